package spool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// Stream opens the stream of this name, creating it if there is none.
func (s *Spool) Stream(name, dataset string, o StreamOptions) (*Stream, error) {
	if name == "" || len(name) > 200 || dataset == "" || len(dataset) > 200 {
		return nil, fmt.Errorf("open stream %q: name and dataset need 1 to 200 bytes", name)
	}
	if s.isClosed() {
		return nil, ErrClosed
	}
	st, known := s.findStream(name)
	if !known {
		history := s.hist.unused(name)
		st, known = s.beginStream(name, dataset, history, o.FromNow)
	}
	if st.dataset != dataset {
		return nil, fmt.Errorf("open stream %s: it reads dataset %s, not %s; remove it first", name, st.dataset, dataset)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.removed { // meanwhile
		return s.Stream(name, dataset, o)
	}
	if known && st.pin == o.Pin {
		return st, nil
	}
	st.pin = o.Pin
	st.pinning.Store(o.Pin)
	if err := st.locate(); err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	if err := st.save(); err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	return st, nil
}

func (s *Spool) findStream(name string) (st *Stream, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, known = s.streams[name]
	return st, known
}

// beginStream makes a stream, unless there is one of its name by now.
func (s *Spool) beginStream(name, dataset, history string, fromNow bool) (st *Stream, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, known = s.streams[name]; known {
		return st, true
	}
	st = &Stream{spool: s, name: name, dataset: dataset, history: history, ready: make(chan struct{})}
	st.moveTo(1)
	if fromNow {
		st.moveTo(s.nextSeq)
	}
	s.streams[name] = st
	return st, false
}

// RemoveStream forgets a stream, so that it pins nothing any more. Its name
// may be used again, for a stream that begins anew.
func (s *Spool) RemoveStream(name string) error {
	st, known := s.findStream(name)
	if !known {
		return fmt.Errorf("remove stream %s: %w", name, ErrUnknownStream)
	}
	st.mu.Lock() // who saves the stream has it too
	defer st.mu.Unlock()
	if st.removed {
		return fmt.Errorf("remove stream %s: %w", name, ErrUnknownStream)
	}
	if err := s.meta.put(metaPair{key: streamKey(name)}); err != nil {
		return err
	}
	st.removed = true
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, name)
	return nil
}

func streamKey(name string) []byte { return append([]byte{metaStream}, name...) }

// forgetExceptions takes exceptions that the history dropped off the counts.
func (s *Spool) forgetExceptions(gone map[string]int64) {
	for _, st := range s.streamList() {
		st.outdated.Add(gone[st.history])
	}
}

// loadStreams brings back the stored streams, and where in the segments they are.
func (s *Spool) loadStreams() error {
	if err := s.readStreams(); err != nil {
		return err
	}
	for _, st := range s.streams {
		s.loseVanished(st)
		s.loseHurt(st)
		if err := st.resume(); err != nil {
			s.log.Warn("backlog of a stream is not exact", "stream", st.name, "error", err)
		}
		st.setAgain()
	}
	return nil
}

// readStreams brings back the stored streams' rows.
func (s *Spool) readStreams() error {
	if err := s.meta.each([]byte{metaStream}, s.readStream); err != nil {
		return fmt.Errorf("load streams: %w", err)
	}
	return nil
}

func (s *Spool) readStream(key, value []byte) error {
	var row streamRow
	if err := envelopeDec.Unmarshal(value, &row); err != nil {
		return fmt.Errorf("%w: stream row: %v", ErrDamaged, err)
	}
	name := string(key[1:])
	st := &Stream{
		spool: s, name: name, dataset: row.Dataset, pin: row.Pin, totals: row.Totals,
		exceptions: row.Exceptions, at: row.At, passed: row.Passed, rejected: row.Rejected, history: row.History,
		aside: row.Aside, ready: make(chan struct{}),
	}
	if st.history == "" {
		st.history = name
	}
	st.moveTo(row.Next)
	st.retries = row.Retries
	st.hold()
	s.goOnFrom(row.Next) // it may lie behind records that a power cut took
	st.pinning.Store(row.Pin)
	s.streams[name] = st
	return nil
}

// forgetVanished makes the losses of loseVanished durable, lets what no stream
// delivered come again, and forgets the segments' rows.
func (s *Spool) forgetVanished() error {
	if len(s.vanished) == 0 {
		return nil
	}
	var pairs []metaPair
	for _, st := range s.streams {
		if st.dirty {
			pairs = append(pairs, st.pair())
			st.dirty = false
		}
	}
	delivered := map[string]uint64{}
	for _, st := range s.streams {
		delivered[st.dataset] = max(delivered[st.dataset], st.next)
	}
	s.mu.Lock()
	for _, row := range s.vanished {
		for name, set := range row.Sets {
			if from := max(delivered[name], set.First); from <= set.Last {
				pairs = append(pairs, s.index.forget(name, from, set.Last)...)
			}
		}
		pairs = append(pairs, metaPair{key: append([]byte{metaSegment}, row.ID.name()...)})
	}
	s.mu.Unlock()
	s.vanished = nil
	return s.meta.put(pairs...)
}

// loseVanished counts what a stream had not passed of segments that were
// removed before anything could be opened, to make room on a full disk.
func (s *Spool) loseVanished(st *Stream) {
	for _, row := range s.vanished {
		if set, ok := row.Sets[st.dataset]; ok && st.next <= set.Last {
			lost := min(uint64(set.Count), set.Last-st.next+1)
			st.totals.Lost += lost
			st.dirty = true
			if st.pin {
				s.lost.Add(lost)
			}
		}
	}
}

// readChunk reads and takes apart the chunk that an iterator stands at.
func (s *Spool) readChunk(item *badger.Item) (recs []stored, err error) {
	err = chunkValue(item, func(data []byte) error {
		b, err := s.codec.decode(data)
		if err != nil {
			return err
		}
		recs, err = decodeChunk(&b)
		return err
	})
	return recs, err
}

// Totals counts the stream's outcomes since it was created.
func (st *Stream) Totals() Totals {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.takeOwed()
	return st.totals
}

// Streams lists the open and stored streams by name.
func (s *Spool) Streams() []StreamInfo {
	var infos []StreamInfo
	for _, st := range s.streamList() {
		infos = append(infos, st.info())
	}
	return infos
}

func (s *Spool) streamList() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b *Stream) int { return strings.Compare(a.name, b.name) })
	return list
}

func (st *Stream) info() StreamInfo {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.takeOwed()
	records, bytes := st.backlog()
	return StreamInfo{
		Name: st.name, Dataset: st.dataset, Next: st.next, Backlog: records, BacklogBytes: bytes,
		Totals: st.totals, Exceptions: st.exceptions, Pinned: st.pin,
	}
}
