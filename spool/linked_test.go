package spool

import (
	"path/filepath"
	"testing"
	"time"
)

// TestReadOnlyCardGivesWhatItHas: segments that nobody has open when the card
// takes no more writes are read all the same.
func TestReadOnlyCardGivesWhatItHas(t *testing.T) {
	d := newCardDisk(t)
	config := testConfig(filepath.Join(d.dir, "spool"), nil)
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	const records = 60
	for i := range records {
		r := sampleOf("training", i, noise(i, 60<<10))
		r.Time.Wall, r.Time.State = time.Now().UnixNano(), ClockSynchronised // what goes out undated must be noted first
		mustAppend(t, s, r)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(config); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := mustStream(t, s, "studio/training", "training")
	if n := len(s.table.list()); n < 3 {
		t.Fatalf("%d segments are too few", n)
	}
	before, _ := filepath.Glob("/dev/shm/" + linkedName + "*")
	d.fail()
	if got := len(mustFetch(t, st, 1<<30)); got != records {
		t.Errorf("%d of %d records are read", got, records)
	}
	_ = s.Close() // says that the disk takes no writes
	if after, _ := filepath.Glob("/dev/shm/" + linkedName + "*"); len(after) > len(before) {
		t.Errorf("left in memory: %v", after)
	}
}
