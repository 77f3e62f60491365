package spool

import "time"

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
	s.measureSides()
	s.letGo()
}

// saveState makes cursors, counters, facts and outcomes durable.
func (s *Spool) saveState() error {
	pairs := []metaPair{s.counterPair()}
	var saved []*Stream
	for _, st := range s.streamList() {
		st.mu.Lock()
		if st.dirty {
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
	return err
}

// noteDamage counts a damaged stretch once, and lets its records come again.
func (s *Spool) noteDamage(dataset string, sp span, cause error) {
	s.damaged.Add(uint64(sp.count))
	s.mu.Lock()
	pair := s.index.forget(dataset, sp.first, sp.last)
	s.mu.Unlock()
	s.log.Error("records are damaged; they are passed over and counted as lost", "dataset", dataset,
		"first", sp.first, "last", sp.last, "records", sp.count, "segment", sp.segment.name(), "error", cause)
	if err := s.meta.put(pair); err != nil {
		s.log.Warn("damage is not noted durably", "error", err)
	}
}
