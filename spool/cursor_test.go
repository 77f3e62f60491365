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
