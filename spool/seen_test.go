package spool

import (
	"testing"
	"time"
)

// TestSeenIsDurable: a source that asks whether the spool has a file may let
// go of it on the answer, so a record that nobody has committed is not seen.
func TestSeenIsDurable(t *testing.T) {
	s := openTest(t, func(c *Config) { c.Commit = CommitConfig{Bytes: 1 << 20, Interval: time.Hour} })
	rec := sample("training", 1)
	identity := rec.Body.SHA256()
	receipt, err := s.Append(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	if sequence, seen := s.Seen(identity); seen {
		t.Errorf("record %d is seen before it is durable", sequence)
	}
	if err := receipt.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sequence, seen := s.Seen(identity); !seen || sequence != 1 {
		t.Errorf("got %d, %v, want the durable record", sequence, seen)
	}
}
