package dataset

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/edgespool/edgespool/uploader"
)

func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	p := pace{}
	p.changed(start)
	if got := p.due(start); got != quiet {
		t.Errorf("after a change: got %v, want %v", got, quiet)
	}
	if p.overdue(start) || !p.overdue(start.Add(rewriteAtLeast)) {
		t.Error("a busy folder is not rewritten every 30 s")
	}
	p.writtenAt, p.patience = start, 10*time.Minute // some 20 MiB
	if got := p.due(start.Add(quiet)); got != 10*time.Minute-quiet {
		t.Errorf("large manifest: got %v", got)
	}
	if p.overdue(start.Add(5 * time.Minute)) {
		t.Error("a large manifest is rewritten too often")
	}
}

func TestFullDisk(t *testing.T) {
	v := unavailable(fmt.Errorf("write x: %w", &os.PathError{Op: "write", Err: syscall.ENOSPC}))
	if v.Kind != uploader.TryLater || !v.Everywhere() {
		t.Errorf("got %+v", v)
	}
	t.Log(v.Err)
}

func FuzzRow(f *testing.F) {
	text := []byte(`{"path":"training/a.csv","category":"training","label":{"type":"label","label":"a"}}`)
	f.Add(fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text))
	f.Add([]byte("\n\n0 0\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, logName), content, 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := openRows(root)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		before := l.count
		if err := l.append([]row{{}}); err != nil {
			t.Fatal(err)
		}
		after := int64(0)
		if err := l.each(func(row) error { after++; return nil }); err != nil {
			t.Fatal(err)
		}
		if after < before+1 {
			t.Fatalf("a row was lost: %d before, %d after one more", before, after)
		}
	})
}
