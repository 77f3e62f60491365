package spool

import (
	"errors"
	"testing"
)

// TestHeld: a spool is held from its opening to its closing, and asking
// changes nothing.
func TestHeld(t *testing.T) {
	dir := t.TempDir()
	if err := Held(dir); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	s, err := Open(Config{Path: dir, AllowVolatile: true, MaxBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Held(dir); !errors.Is(err, ErrLocked) {
			t.Errorf("an open spool: got %v, want ErrLocked", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Held(dir); err != nil {
		t.Errorf("a closed spool: %v", err)
	}
}
