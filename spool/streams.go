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
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	st, known := s.streams[name]
	if !known {
		st = &Stream{spool: s, name: name, dataset: dataset, ready: make(chan struct{})}
		st.moveTo(1)
		if o.FromNow {
			st.moveTo(s.nextSeq)
		}
		s.streams[name] = st
	}
	s.mu.Unlock()
	if st.dataset != dataset {
		return nil, fmt.Errorf("open stream %s: it reads dataset %s, not %s; remove it first", name, st.dataset, dataset)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
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

// RemoveStream forgets a stream, so that it pins nothing any more. Its name
// may be used again, for a stream that begins anew.
func (s *Spool) RemoveStream(name string) error {
	s.mu.Lock()
	_, known := s.streams[name]
	delete(s.streams, name)
	s.mu.Unlock()
	if !known {
		return fmt.Errorf("remove stream %s: %w", name, ErrUnknownStream)
	}
	return s.meta.put(metaPair{key: streamKey(name)})
}

func streamKey(name string) []byte { return append([]byte{metaStream}, name...) }

// forgetExceptions takes exceptions that the history dropped off the counts.
func (s *Spool) forgetExceptions(gone map[string]int64) {
	for _, st := range s.streamList() {
		st.outdated.Add(gone[st.name])
	}
}

// loadStreams brings back the stored streams.
func (s *Spool) loadStreams() error {
	err := s.meta.each([]byte{metaStream}, func(key, value []byte) error {
		var row streamRow
		if err := envelopeDec.Unmarshal(value, &row); err != nil {
			return fmt.Errorf("%w: stream row: %v", ErrDamaged, err)
		}
		name := string(key[1:])
		st := &Stream{
			spool: s, name: name, dataset: row.Dataset, pin: row.Pin, totals: row.Totals,
			exceptions: row.Exceptions, ready: make(chan struct{}),
		}
		st.moveTo(row.Next)
		s.goOnFrom(row.Next) // it may lie behind records that a power cut took
		st.pinning.Store(row.Pin)
		s.streams[name] = st
		return nil
	})
	if err != nil {
		return fmt.Errorf("load streams: %w", err)
	}
	for _, st := range s.streams {
		s.loseVanished(st)
		if err := st.locate(); err != nil {
			s.log.Warn("backlog of a stream is not exact", "stream", st.name, "error", err)
		}
	}
	return nil
}

// forgetVanished makes the losses of loseVanished durable, and forgets the
// segments' rows.
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
	for _, row := range s.vanished {
		pairs = append(pairs, metaPair{key: append([]byte{metaSegment}, row.ID.name()...)})
	}
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
		Totals: st.totals, Exceptions: st.exceptions,
	}
}
