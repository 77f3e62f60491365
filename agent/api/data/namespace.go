package data

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/edgespool/edgespool/spool"
)

// The datasets and streams of a namespace. The datasets have prefixes, so
// that a namespace called training is not the category; a stream's name has a
// colon, which no destination's has.
const (
	objectsDataset = "data-"
	resultsDataset = "results-"
	judgeStream    = "data:judge/"
	webhookStream  = "data:webhook/"
)

const (
	maxNamespace  = 128 // characters of a name; the wire says nothing
	maxNamespaces = 256 // each one is a stream or two in the spool
)

var errNamespaces = fmt.Errorf("there are %d namespaces already; use one of them", maxNamespaces)

// validNamespace tells whether a name is of letters, digits, _ and -.
func validNamespace(name string) bool {
	if name == "" || len(name) > maxNamespace {
		return false
	}
	for _, c := range []byte(name) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// A namespace is what the service knows of one.
type namespace struct {
	name    string
	objects *spool.Stream // to be judged
	results *spool.Stream // to be posted; nil without a webhook

	mu    sync.Mutex
	acked uint64 // objects before it were committed
	done  uint64 // and before it judged
	trail []mark // where results of which objects begin, rising
}

// A mark says that the results of objects from one on are at a sequence or
// behind it.
type mark struct{ object, result uint64 }

// maxTrail bounds a namespace's marks; without one a search takes longer.
const maxTrail = 1024

// namespaceOf finds or makes a namespace.
func (s *Service) openNamespace(name string) (*namespace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.namespaces[name]; n != nil {
		return n, nil
	}
	if len(s.namespaces) >= maxNamespaces {
		return nil, errNamespaces
	}
	n := &namespace{name: name, acked: s.opened}
	var err error
	if s.posted != nil { // first, or it would miss results
		if n.results, err = s.deps.Spool.Stream(webhookStream+name, resultsDataset+name, spool.StreamOptions{Pin: true, FromNow: true}); err != nil {
			return nil, err
		}
	}
	if n.objects, err = s.deps.Spool.Stream(judgeStream+name, objectsDataset+name, spool.StreamOptions{Pin: true}); err != nil {
		return nil, err
	}
	s.namespaces[name] = n
	return n, nil
}

// findNamespace finds one that has had objects; nil if there is none.
func (s *Service) findNamespace(name string) *namespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.namespaces[name]
}

// allNamespaces lists them by name.
func (s *Service) allNamespaces() []*namespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*namespace, 0, len(s.namespaces))
	for _, n := range s.namespaces {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *namespace) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

// forgetPosting removes the streams of a webhook that is configured no more,
// so that they hold nothing in the spool.
func (s *Service) forgetPosting() error {
	for _, n := range s.allNamespaces() {
		if err := s.deps.Spool.RemoveStream(webhookStream + n.name); err != nil && !errors.Is(err, spool.ErrUnknownStream) {
			return err
		}
	}
	return nil
}

// committed notes that everything up to a sequence survives a power cut.
func (n *namespace) committed(last uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acked = max(n.acked, last+1)
}

// bound is what an empty fetch that begins now will prove to be judged.
func (n *namespace) bound() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.acked
}

// judged notes that every object before a sequence has its result.
func (n *namespace) judged(before uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done = max(n.done, before)
}

func (n *namespace) judgedBefore() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.done
}

// mark notes where the results of objects from one on begin.
func (n *namespace) mark(m mark) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := len(n.trail); k > 0 && n.trail[k-1].object >= m.object {
		return
	}
	if len(n.trail) == maxTrail {
		n.trail = slices.Delete(n.trail, 0, maxTrail/2)
	}
	n.trail = append(n.trail, m)
}

// resultsFrom is where to look for the result of an object: a result comes
// behind its object, and results come in the order of their objects.
func (n *namespace) resultsFrom(object uint64) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, found := slices.BinarySearchFunc(n.trail, object, func(m mark, object uint64) int {
		switch {
		case m.object < object:
			return -1
		case m.object > object:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 {
		return object + 1
	}
	return max(n.trail[i].result, object+1)
}

// A NamespaceStatus is a namespace's progress.
type NamespaceStatus struct {
	Name     string
	Backlog  int64  // objects to be judged
	Judged   uint64 // since the namespace was made
	Lost     uint64 // objects that left the spool before
	Unposted int64  // results that wait for the webhook
}

// Namespaces says how those there are get on, by name. It does no I/O.
func (s *Service) Namespaces() (all []NamespaceStatus) {
	for _, n := range s.allNamespaces() {
		st, totals := NamespaceStatus{Name: n.name}, n.objects.Totals()
		st.Backlog, _ = n.objects.Backlog()
		st.Judged, st.Lost = totals.Stored, totals.Lost
		if n.results != nil {
			st.Unposted, _ = n.results.Backlog()
		}
		all = append(all, st)
	}
	return all
}
