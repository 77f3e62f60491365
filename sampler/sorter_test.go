package sampler

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/edgespool/edgespool/spool"
)

// Whatever the windows: each is kept or dropped once, every one around an
// anomaly is kept, and of the rest those whose identity says so.
func TestSorterKeepsWhatItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * time.Second
		}
		s := sorter{plan: Judging{KeepOneIn: uint64(rapid.IntRange(1, 4).Draw(t, "one in")), Before: seconds("before", 5), After: seconds("after", 5)}}
		type fate struct {
			w       judgedWindow
			anomaly bool
			kept    int
		}
		var all []fate
		at, dropped := time.Hour, 0
		for i := range rapid.IntRange(1, 60).Draw(t, "windows") {
			at += seconds("gap", 2)
			w := judgedWindow{rec: spool.Record{Length: 2 * time.Second, Time: spool.Instant{Since: at}}, rows: i}
			binary.BigEndian.PutUint64(w.rec.Identity[:], uint64(rapid.IntRange(0, 100).Draw(t, "identity")))
			f := fate{w: w, anomaly: rapid.IntRange(0, 9).Draw(t, "kind") == 0}
			var out sorted
			if f.anomaly {
				f.kept++
				out = s.anomaly(w)
			} else {
				out = s.normal(w)
			}
			all = append(all, f)
			for _, k := range out.keep {
				all[k.rows].kept++
			}
			dropped += out.dropped
		}
		dropped += len(s.held)
		lost := 0
		for i, f := range all {
			must := f.anomaly || s.chosen(f.w)
			for j, o := range all {
				if o.anomaly && (j > i && f.w.end() >= o.w.start()-s.plan.Before && s.plan.Before > 0 ||
					j < i && f.w.start() <= o.w.end()+s.plan.After && s.plan.After > 0) {
					must = true
				}
			}
			switch {
			case f.kept > 1:
				t.Fatalf("window %d is kept %d times", i, f.kept)
			case f.kept == 0 && must:
				t.Fatalf("window %d is not kept", i)
			case f.kept == 0:
				lost++
			}
		}
		if lost != dropped {
			t.Fatalf("%d windows are gone, %d are counted", lost, dropped)
		}
	})
}

// What is held back for an anomaly that may follow is bounded, and counted.
func TestSorterHoldsNoMoreThanItMay(t *testing.T) {
	s := sorter{plan: Judging{KeepOneIn: 1 << 62, Before: time.Hour}}
	dropped := 0
	for i := range 100 {
		w := judgedWindow{rec: spool.Record{Size: 1 << 20, Identity: [32]byte{1}, Time: spool.Instant{Since: time.Duration(i)}}}
		dropped += s.normal(w).dropped
	}
	if len(s.held) != 8 || s.heldBytes != 8<<20 || dropped != 92 {
		t.Errorf("%d windows of %d bytes held, %d dropped, want 8, 8 MiB and 92", len(s.held), s.heldBytes, dropped)
	}
}
