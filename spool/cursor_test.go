package spool

import (
	"bytes"
	"testing"
)

// TestRowBeforeRecoveryKeepsWhatWasRejected: a start that needs room saves the
// rows of streams while it has not yet looked at their segments. What they had
// rejected ahead of their cursors is in them all the same.
func TestRowBeforeRecoveryKeepsWhatWasRejected(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "a", "training")
	mustAppend(t, s, sample("training", 1), sample("training", 2), sample("training", 3))
	mustFetch(t, st, 3)
	if err := st.Settle(t.Context(), Outcome{Sequence: 2, Fate: FateRejected, Status: 400}); err != nil {
		t.Fatal(err)
	}
	saved := st.pair()
	if err := s.readStream(saved.key, saved.value); err != nil {
		t.Fatal(err)
	}
	if again := s.streams["a"].pair(); !bytes.Equal(again.value, saved.value) {
		t.Errorf("the row was\n%x\nand is saved as\n%x", saved.value, again.value)
	}
}

// TestLossesAreSavedTogether: whatever saves what a stream has lost saves what
// the spool has lost with it.
func TestLossesAreSavedTogether(t *testing.T) {
	ctx := t.Context()
	for name, save := range map[string]func(s *Spool, st *Stream) error{
		"sync":   func(_ *Spool, st *Stream) error { return st.Sync(ctx) },
		"move":   func(s *Spool, st *Stream) error { return s.Move(ctx, 4, st) },
		"reject": func(_ *Spool, st *Stream) error { return st.Settle(ctx, Outcome{Sequence: 3, Fate: FateRejected}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, nil)
			st := mustStream(t, s, "a", "training")
			mustAppend(t, s, sample("training", 1), sample("training", 2), sample("training", 3))
			mustFetch(t, st, 3)
			st.mu.Lock()
			st.lose(st.window[0], errPartsGone)
			st.advance()
			st.mu.Unlock()
			if err := save(s, st); err != nil {
				t.Fatal(err)
			}
			again := crashed(t, s)
			if total, lost := again.Streams()[0].Totals.Lost, again.Stats().Lost; total != 1 || lost != 1 {
				t.Errorf("after a crash the stream has lost %d, the spool %d; want 1 and 1", total, lost)
			}
		})
	}
}
