package spool

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestSmallBodiesCostTheirLength: a request of the listener holds up to a
// thousand of them, and several requests may be under way on a small board.
func TestSmallBodiesCostTheirLength(t *testing.T) {
	s := openTest(t, nil)
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // pools let go at the second
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	bodies := make([]Body, 1000)
	for i := range bodies {
		body, err := s.Stage(t.Context(), strings.NewReader(fmt.Sprintf("sample %d", i)), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		bodies[i] = body
	}
	if after := held(); after > before+2<<20 {
		t.Errorf("%d bodies of some bytes hold %d KiB, want about their length", len(bodies), (after-before)>>10)
	}
	for i, b := range bodies {
		if want := int64(len(fmt.Sprintf("sample %d", i))); b.Size() != want {
			t.Fatalf("body %d has %d bytes, want %d", i, b.Size(), want)
		}
	}
}
