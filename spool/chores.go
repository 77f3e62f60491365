package spool

import (
	"math"
	"time"
)

// choresSoon has cursors and counters saved within choresAfter.
func (s *Spool) choresSoon() {
	s.mu.Lock()
	at := time.Now().Add(choresAfter)
	soon := at.Before(s.choresAt)
	if soon {
		s.choresAt = at
	}
	s.mu.Unlock()
	if soon {
		s.nudge()
	}
}

// doChores saves what changed in memory, and lets segments go that nobody
// needs any more.
func (s *Spool) doChores() {
	s.mu.Lock()
	s.choresAt = time.Now().Add(retainEvery)
	s.mu.Unlock()
	if err := s.saveState(); err != nil {
		s.log.Warn("cursors are not durable yet; they are saved again", "error", err)
		s.choresSoon()
	}
	s.letGo()
	s.trimIndex()
	s.measureSides()
}

// trimIndex keeps the duplicate index in its bounds.
func (s *Spool) trimIndex() {
	oldest := uint64(math.MaxUint64)
	if all := s.table.list(); len(all) > 0 {
		oldest = all[0].id.First
	}
	s.mu.Lock()
	gone := s.index.trim(oldest)
	s.mu.Unlock()
	for len(gone) > 0 {
		n := min(len(gone), 256)
		if err := s.meta.put(gone[:n]...); err != nil {
			s.log.Warn("old ranges of the duplicate index stay", "error", err)
			return
		}
		gone = gone[n:]
	}
}

// saveState makes cursors, counters, facts and outcomes durable.
func (s *Spool) saveState() error {
	pairs := []metaPair{s.counterPair()}
	var saved []*Stream
	for _, st := range s.streamList() {
		st.mu.Lock()
		if st.unsaved() {
			pairs = append(pairs, st.pair())
			st.dirty = false
			saved = append(saved, st)
		}
		st.mu.Unlock()
	}
	err := s.meta.put(pairs...)
	if err != nil {
		for _, st := range saved {
			st.mu.Lock()
			st.dirty = true
			st.mu.Unlock()
		}
	}
	if ferr := s.saveFacts(); err == nil {
		err = ferr
	}
	if s.hist.due() || s.isClosed() {
		if herr := s.hist.flush(); err == nil {
			err = herr
		}
	}
	return err
}

// noteDamage counts a damaged stretch once, and lets its records come again.
func (s *Spool) noteDamage(dataset string, sp span, cause error) {
	s.mu.Lock()
	if !s.index.isForgotten(dataset, sp.last) { // else another stream met it before
		s.damaged.Add(uint64(sp.count))
	}
	pairs := s.index.forget(dataset, sp.first, sp.last)
	s.mu.Unlock()
	s.log.Error("records are damaged; they are passed over and counted as lost", "dataset", dataset,
		"first", sp.first, "last", sp.last, "records", sp.count, "segment", sp.segment.name(), "error", cause)
	if err := s.meta.put(pairs...); err != nil {
		s.log.Warn("damage is not noted durably", "error", err)
	}
}
