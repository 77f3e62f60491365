package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestNothingGoesInVain: somebody else has filled the disk so far that all
// records together could not give min_free back. They stay, and new ones are
// refused until there is room.
func TestNothingGoesInVain(t *testing.T) {
	disk := smallDisk(t, 160)
	s, err := Open(testConfig(filepath.Join(disk, "spool"), func(c *Config) { c.MinFree, c.MaxBytes = 70<<20, 256<<20 }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := mustStream(t, s, "studio/training", "training")
	const records = 200
	for i := range records {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	eaten := filepath.Join(disk, "eaten")
	eatAll(t, eaten)
	taken := records
	for ; ; taken++ {
		r, err := s.Append(t.Context(), sampleOf("training", taken, noise(taken, 60<<10)))
		if err == nil {
			err = r.Wait(t.Context())
		}
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if lost := st.Totals().Lost; lost != 0 {
		t.Errorf("%d records are dropped for a floor that they cannot give back", lost)
	}
	if err := os.Remove(eaten); err != nil {
		t.Fatal(err)
	}
	for {
		ready := st.Ready()
		if recs := mustFetch(t, st, 1<<20); len(recs) > taken { // with the one that waited
			break
		}
		<-ready
	}
	if lost := st.Totals().Lost; lost != 0 {
		t.Errorf("%d records are lost in the end", lost)
	}
}

// TestOnlyAsMuchAsIsShort: where dropping does give the floor back, it takes
// what is short and hardly more.
func TestOnlyAsMuchAsIsShort(t *testing.T) {
	disk := smallDisk(t, 160)
	s, err := Open(testConfig(filepath.Join(disk, "spool"), func(c *Config) { c.MinFree, c.MaxBytes = 20<<20, 256<<20 }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := mustStream(t, s, "studio/training", "training")
	for i := range 900 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	free, _, err := freeBytes(disk)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(disk, "eaten"))
	if err != nil {
		t.Fatal(err)
	}
	left := s.spare() + int64(s.conf.MinFree) // for a segment it takes one or two more to go
	if err := allocateWhole(f, free-left); err != nil {
		t.Fatal(err)
	}
	before := st.Totals().Lost
	for i := 900; i < 940; i++ {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	const segment = 17 // records
	if gone := st.Totals().Lost - before; gone == 0 || gone > 10*segment {
		t.Errorf("%d records are gone, want those of a few segments of %d", gone, segment)
	}
}

func allocateWhole(f *os.File, bytes int64) error {
	defer f.Close()
	return allocate(f.Name(), bytes)
}

// TestARestartDropsNothingInVain: what filled the disk before a restart has not
// had its while to go. Nothing is dropped to open in spite of it.
func TestARestartDropsNothingInVain(t *testing.T) {
	disk := smallDisk(t, 256)
	config := testConfig(filepath.Join(disk, "spool"), func(c *Config) { c.MinFree, c.MaxBytes = 100<<20, 256<<20 })
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	mustStream(t, s, "studio/training", "training")
	const records = 700
	for i := range records {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	eaten := filepath.Join(disk, "eaten")
	eatAll(t, eaten)
	for i := records; ; i++ {
		r, err := s.Append(t.Context(), sampleOf("training", i, noise(i, 60<<10)))
		if err == nil {
			err = r.Wait(t.Context())
		}
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close() // there may be no room to seal
	if s, err = Open(config); err == nil {
		_ = s.Close()
	} else if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err := os.Remove(eaten); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(config); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := mustStream(t, s, "studio/training", "training")
	if n, lost := len(mustFetch(t, st, 1<<30)), st.Totals().Lost; n < records || lost != 0 {
		t.Errorf("%d of %d records are there, %d were dropped", n, records, lost)
	}
}
