package spool

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestMetaWithMuchInIt: what counts takes more than the smallest store. Small
// changes must not copy it every time, and no store may be flushed.
func TestMetaWithMuchInIt(t *testing.T) {
	dir, faults := t.TempDir(), &faultLog{log: silent{}}
	m, err := openMeta(dir, faults, nil)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 8000
	value := make([]byte, 200)
	for i := range rows {
		if i%100 == 0 {
			if err := m.put(metaPair{fmt.Appendf(nil, "v%d", i), make([]byte, 60<<10)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.put(metaPair{fmt.Appendf(nil, "v%d", i), value}); err != nil {
			t.Fatal(err)
		}
	}
	for again := range 2 {
		before := m.gen
		for i := range 1000 {
			if err := m.put(metaPair{fmt.Appendf(nil, "v%d", i%7), value}); err != nil {
				t.Fatal(err)
			}
		}
		if m.gen > before+2 {
			t.Errorf("1000 small changes made %d generations", m.gen-before)
		}
		for _, pattern := range []string{"*.vlog", "*.mem"} {
			if logs, _ := filepath.Glob(filepath.Join(m.path(m.gen), pattern)); len(logs) != 1 {
				t.Errorf("the store has %d %s, want 1", len(logs), pattern)
			}
		}
		if tables, _ := filepath.Glob(filepath.Join(m.path(m.gen), "*.sst")); len(tables) != 0 {
			t.Errorf("the store was flushed: %v", tables)
		}
		found := 0
		_ = m.each([]byte{'v'}, func(_, _ []byte) error { found++; return nil })
		if found != rows {
			t.Errorf("found %d rows, want %d", found, rows)
		}
		if err := m.close(); err != nil {
			t.Fatal(err)
		}
		if again == 0 {
			if m, err = openMeta(dir, faults, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}
