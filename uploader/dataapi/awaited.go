package dataapi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxAwaited is how many requests may be without results at a time.
	maxAwaited = 32
	// maxRecent is how many accepted records are known beside theirs.
	maxRecent = 4096
	// maxRequestID bounds a request's id, which is the service's.
	maxRequestID = 256
	// Results are asked for after firstAsk, then after twice that, and so
	// on up to askEvery; patience is when they are given up.
	firstAsk = time.Second
	askEvery = 5 * time.Minute
	patience = 48 * time.Hour
)

// A sent object is known by its record.
type sent struct {
	key      key
	sequence uint64
}

// A pending request has objects whose results are not here yet.
type pending struct {
	id      string
	slot    int
	objects map[key]uint64 // sequences of their records
	since   time.Time
	next    time.Time
	wait    time.Duration
	unknown int // times that the service did not know it
}

// awaited are the requests whose results are to be fetched, oldest first, and
// the records that were accepted lately. A record belongs to the newest of its
// requests. What is durable is a ring of settings, one for each request.
type awaited struct {
	memory Memory // nil: nothing is durable
	name   string

	mu       sync.Mutex
	requests []*pending
	newest   map[key]*pending
	recent   map[key]string // request ids
	order    []key          // of recent, oldest first
}

func newAwaited(memory Memory, name string) *awaited {
	a := &awaited{memory: memory, name: name, newest: map[key]*pending{}, recent: map[key]string{}}
	if memory == nil {
		return a
	}
	for slot := range maxAwaited {
		text, ok := memory.Setting(a.setting(slot))
		if !ok || len(text) == 0 {
			continue
		}
		p, err := parsePending(text)
		if err != nil { // of another version, say: its results are lost, nothing else
			continue
		}
		p.slot = slot
		a.take(p, time.Now())
	}
	slices.SortStableFunc(a.requests, func(x, y *pending) int { return x.since.Compare(y.since) })
	clear(a.newest)
	for _, p := range a.requests {
		for k := range p.objects {
			a.newest[k] = p
		}
		p.since = time.Now() // the clock may be another one than it was
	}
	return a
}

func (a *awaited) setting(slot int) string { return fmt.Sprintf("%s/%d", a.name, slot) }

// accepted tells which request has a record.
func (a *awaited) accepted(k key) (request string, there bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.newest[k]; p != nil {
		return p.id, true
	}
	request, there = a.recent[k]
	return request, there
}

// note remembers for a while that records were accepted.
func (a *awaited) note(request string, objects []sent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(request, objects)
}

func (a *awaited) remember(request string, objects []sent) {
	for _, o := range objects {
		if _, known := a.recent[o.key]; !known {
			a.order = append(a.order, o.key)
		}
		a.recent[o.key] = request
	}
	for len(a.order) > maxRecent {
		delete(a.recent, a.order[0])
		a.order = a.order[1:]
	}
}

// add notes a request; it is durable on return. The oldest one makes room if
// there are too many.
func (a *awaited) add(request string, objects []sent) (dropped string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(request, objects)
	if len(a.requests) >= maxAwaited {
		oldest := a.requests[0]
		dropped = oldest.id
		err = a.forget(oldest)
	}
	p := &pending{id: request, slot: a.freeSlot(), objects: make(map[key]uint64, len(objects)), since: time.Now()}
	for _, o := range objects {
		p.objects[o.key] = o.sequence
	}
	a.take(p, time.Now())
	if a.memory != nil {
		err = errors.Join(err, a.memory.SetSetting(a.setting(p.slot), p.text()))
	}
	return dropped, err
}

// take puts a request behind the others; a.mu is held.
func (a *awaited) take(p *pending, now time.Time) {
	p.wait = firstAsk
	p.next = now.Add(p.wait)
	a.requests = append(a.requests, p)
	for k := range p.objects {
		a.newest[k] = p
	}
}

// freeSlot is a place in the ring that no request has; a.mu is held.
func (a *awaited) freeSlot() int {
	for slot := range maxAwaited {
		if !slices.ContainsFunc(a.requests, func(p *pending) bool { return p.slot == slot }) {
			return slot
		}
	}
	return 0
}

// finish forgets a request whose results are here, or will never be.
func (a *awaited) finish(p *pending) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.forget(p)
}

func (a *awaited) forget(p *pending) error {
	a.requests = slices.DeleteFunc(a.requests, func(o *pending) bool { return o == p })
	for k := range p.objects {
		if a.newest[k] == p {
			delete(a.newest, k)
		}
	}
	if a.memory == nil {
		return nil
	}
	return a.memory.SetSetting(a.setting(p.slot), nil)
}

// due lists up to n requests to be asked for now, oldest first.
func (a *awaited) due(now time.Time, n int) (list []*pending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.requests {
		if len(list) < n && !now.Before(p.next) {
			list = append(list, p)
		}
	}
	return list
}

// dueIn is how long until a request is to be asked for; 0 if there is none.
func (a *awaited) dueIn(now time.Time) (d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.requests {
		if left := max(p.next.Sub(now), collectEvery); d == 0 || left < d {
			d = left
		}
	}
	return d
}

// later puts the next question off, or says that there is to be none.
func (a *awaited) later(p *pending, now time.Time, asked time.Duration) (giveUp bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.wait = min(2*p.wait, askEvery)
	p.next = now.Add(max(p.wait, asked))
	return now.Sub(p.since) > patience
}

// missing is the sequence of an object's record if its result is awaited from
// this request.
func (a *awaited) missing(p *pending, k key) (sequence uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.newest[k] != p {
		return 0, false
	}
	sequence, ok = p.objects[k]
	return sequence, ok
}

// arrived notes that results were handed on.
func (a *awaited) arrived(p *pending, keys []key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range keys {
		if a.newest[k] == p {
			delete(a.newest, k)
		}
		delete(p.objects, k)
	}
}

// left is how many results of a request have not come, and will not come from
// a newer one.
func (a *awaited) left(p *pending) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range p.objects {
		if a.newest[k] == p {
			n++
		}
	}
	return n
}

// text is a request as the memory keeps it: 1 version, 8 time, 2 length and
// the id, then 12 + 8 for each object.
func (p *pending) text() []byte {
	be := binary.BigEndian
	b := make([]byte, 0, 11+len(p.id)+20*len(p.objects))
	b = be.AppendUint64(append(b, 1), uint64(p.since.UnixNano()))
	b = append(be.AppendUint16(b, uint16(len(p.id))), p.id...)
	for k, sequence := range p.objects {
		b = be.AppendUint64(append(b, k[:]...), sequence)
	}
	return b
}

func parsePending(b []byte) (*pending, error) {
	be := binary.BigEndian
	if len(b) < 11 || b[0] != 1 {
		return nil, errors.New("read request: of another version")
	}
	n := int(be.Uint16(b[9:]))
	rest := b[11:]
	if n == 0 || n > len(rest) || (len(rest)-n)%20 != 0 {
		return nil, errors.New("read request: its length is not right")
	}
	p := &pending{id: string(rest[:n]), since: time.Unix(0, int64(be.Uint64(b[1:]))), objects: map[key]uint64{}}
	for rest = rest[n:]; len(rest) > 0; rest = rest[20:] {
		p.objects[key(rest[:12])] = be.Uint64(rest[12:])
	}
	return p, nil
}
