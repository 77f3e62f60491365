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
	if err := s.keepIndex(); err != nil {
		s.log.Warn("duplicate index is not in order yet; it is tried again", "error", err)
	}
	s.measureSides()
	s.wear.lookAtCard()
}

// saveState makes cursors, counters, facts, outcomes and detections durable.
func (s *Spool) saveState() error {
	pairs := []metaPair{s.wear.pair()}
	var held []*Stream
	for _, st := range s.streamList() {
		st.mu.Lock()
		if !st.unsaved() {
			st.mu.Unlock()
			continue
		}
		pairs, held = append(pairs, st.pair()), append(held, st)
	}
	err := s.saveHeld(held, pairs)
	if ferr := s.saveFacts(); err == nil {
		err = ferr
	}
	if s.detections.due() || s.isClosed() {
		if derr := s.detections.flush(math.MaxUint64); err == nil {
			err = derr
		}
	}
	if s.hist.due() || s.isClosed() {
		if herr := s.hist.flush(); err == nil {
			err = herr
		}
	}
	return err
}

// saveHeld makes pairs durable, the rows of held streams among them, and the
// counters. It gives up their mutexes only then: nobody is to take a cursor for
// saved before it is, or to save later ones, or counters, that this would take
// back.
func (s *Spool) saveHeld(held []*Stream, pairs []metaPair) error {
	err := s.putCounted(pairs...)
	for _, st := range held {
		st.dirty = err != nil
		st.mu.Unlock()
	}
	return err
}

// putCounted makes rows of streams durable together with the counters, which
// have what the streams have lost.
func (s *Spool) putCounted(pairs ...metaPair) error {
	s.offerMu.Lock()
	defer s.offerMu.Unlock()
	return s.meta.put(append(pairs, s.counterPair())...)
}

// noteDamage counts a damaged stretch once, and lets its records come again.
// It tells whether no stream met it before.
func (s *Spool) noteDamage(dataset string, sp span, cause error) bool {
	s.mu.Lock()
	fresh := !s.index.isForgotten(dataset, sp.last)
	if fresh {
		s.damaged.Add(uint64(sp.count))
	}
	pairs := s.index.forget(dataset, sp.first, sp.last)
	s.mu.Unlock()
	s.log.Error("records are damaged; they are passed over and counted as lost", "dataset", dataset,
		"first", sp.first, "last", sp.last, "records", sp.count, "segment", sp.segment.name(), "error", cause)
	if err := s.meta.put(pairs...); err != nil {
		s.log.Warn("damage is not noted durably", "error", err)
	}
	return fresh
}
