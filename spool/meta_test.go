package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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

// TestFullDiskAfterMetaMovedOn: somebody else takes the room between a new
// generation and the closing of the old one. That is closed later, and must
// have its folder until then: Badger tries for ever to write to it.
func TestFullDiskAfterMetaMovedOn(t *testing.T) {
	disk := smallDisk(t, 64)
	m, err := openMeta(filepath.Join(disk, "meta"), &faultLog{log: silent{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		t.Helper()
		if err := m.put(metaPair{fmt.Appendf(nil, "v%d", n), make([]byte, 60<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	old, eaten := m.db, filepath.Join(disk, "eaten")
	if err := m.begin(old); err != nil {
		t.Fatal(err)
	}
	eatAll(t, eaten)
	m.closeOld(old)
	if _, err := os.Stat(old.Opts().Dir); err != nil || len(m.old) != 1 {
		t.Fatalf("%d generations wait to be closed, want 1 with its folder: %v", len(m.old), err)
	}
	if err := os.Remove(eaten); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for n := range 40 { // another generation
			put(n)
		}
	}()
	select {
	case <-closed:
	case <-time.After(starvedPatience):
		t.Fatal("closing a generation does not end")
	}
	if len(m.old) != 0 {
		t.Errorf("%d generations are still open", len(m.old))
	}
	if names, _ := os.ReadDir(m.dir); len(names) != 1 {
		t.Errorf("meta has the generations %v, want the present one", names)
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
}

// TestFailedCommitIsLeftBehind: what a commit that failed left of itself may
// end what a start reads, so the next one goes to a new store.
func TestFailedCommitIsLeftBehind(t *testing.T) {
	faults := &faultLog{log: silent{}}
	m, err := openMeta(filepath.Join(t.TempDir(), "meta"), faults, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHistory(filepath.Join(t.TempDir(), "hist"), 1<<20, faults)
	if err != nil {
		t.Fatal(err)
	}
	small := metaPair{[]byte("va"), []byte("1")}
	for name, store := range map[string]struct {
		put  func(...metaPair) error
		path func() string
	}{
		"meta":    {m.put, func() string { return m.path(m.gen) }},
		"history": {h.put, func() string { return h.db.Opts().Dir }},
	} {
		if err := store.put(small); err != nil {
			t.Fatal(name, err)
		}
		first := store.path()
		if err := store.put(small); err != nil || store.path() != first {
			t.Errorf("%s: %v, and goes on in %s", name, err, store.path())
		}
		if err := whileFaulty(faults, func() error { return store.put(small) }); err == nil {
			t.Errorf("%s acknowledges what the store reports a fault of", name)
		}
		failed := store.path()
		for range 2 {
			if err := store.put(small); err != nil || store.path() == failed {
				t.Errorf("%s after a failed commit: %v, and goes on in %s", name, err, store.path())
			}
		}
	}
	if value, ok := m.get([]byte("va")); !ok || string(value) != "1" {
		t.Errorf("meta has %q, %v", value, ok)
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
}

// whileFaulty does something during which Badger reports one failed sync after
// the other, until it fails: on a busy machine a first put may pass between two.
func whileFaulty(faults *faultLog, do func() error) error {
	ended, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-ended:
				return
			default:
				faults.Errorf("Error while curlf sync: %v", syscall.EIO)
			}
		}
	}()
	err := do()
	for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); {
		err = do()
	}
	close(ended)
	<-gone
	return err
}
