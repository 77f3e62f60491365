package directory

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// The ways in which programs put files into a folder. Each must leave exactly
// text at path; outside is a folder of the same file system.
var writers = []struct {
	name  string
	write func(path, outside string, text []byte) error
}{
	{"slow in place", func(path, _ string, text []byte) error { return inParts(path, text, 20, 40*time.Millisecond) }},
	{"stalled in the middle", func(path, _ string, text []byte) error { return inParts(path, text, 2, 1500*time.Millisecond) }},
	{"renamed in", func(path, outside string, text []byte) error {
		from := filepath.Join(outside, filepath.Base(path))
		return errors.Join(os.WriteFile(from, text, 0o644), os.Rename(from, path))
	}},
	{"renamed in place", func(path, _ string, text []byte) error {
		return errors.Join(inParts(path+".tmp", text, 3, 300*time.Millisecond), os.Rename(path+".tmp", path))
	}},
	{"cp -p", func(path, _ string, text []byte) error {
		old := time.Now().Add(-48 * time.Hour)
		return errors.Join(inParts(path, text, 3, 100*time.Millisecond), os.Chtimes(path, old, old))
	}},
	{"old while it is written", writeOld},
	{"quick", func(path, _ string, text []byte) error { return os.WriteFile(path, text, 0o644) }},
	{"hard link", func(path, outside string, text []byte) error {
		from := filepath.Join(outside, filepath.Base(path))
		return errors.Join(os.WriteFile(from, text, 0o644), os.Link(from, path), os.Remove(from))
	}},
	{"mapped", writeMapped},
	{"into a new folder", func(path, _ string, text []byte) error {
		dir := filepath.Join(filepath.Dir(path), "new", filepath.Base(path)+".d")
		return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o644))
	}},
}

// inParts writes with one open descriptor and waits between the parts.
func inParts(path string, text []byte, parts int, pause time.Duration) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	size := len(text)/parts + 1
	for len(text) > 0 && err == nil {
		n := min(size, len(text))
		_, err = f.Write(text[:n])
		if text = text[n:]; len(text) > 0 {
			<-time.After(pause)
		}
	}
	return errors.Join(err, f.Close())
}

// writeOld sets an old time after every part, as some copying programs do.
func writeOld(path, _ string, text []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	old := time.Now().Add(-48 * time.Hour)
	for _, part := range [][]byte{text[:len(text)/2], text[len(text)/2:]} {
		_, err = f.Write(part)
		err = errors.Join(err, os.Chtimes(path, old, old))
		<-time.After(700 * time.Millisecond)
	}
	return errors.Join(err, f.Close())
}

// writeMapped gives the file its size at once and fills it through memory,
// which no notification tells; the descriptor is closed early.
func writeMapped(path, _ string, text []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		return err
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, len(text), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	half := len(text) / 2
	copy(memory, text[:half])
	<-time.After(1200 * time.Millisecond)
	copy(memory[half:], text[half:])
	return unix.Munmap(memory)
}

// TestContest has 200 writers put files into a folder in every way we know,
// some before the start and some into a folder that replaced the first one:
// none may be taken half, twice or not at all.
func TestContest(t *testing.T) {
	deaf := func() (*fsnotify.Watcher, error) { return nil, unix.EMFILE }
	for _, contest := range []struct {
		name, after string
		watcher     func() (*fsnotify.Watcher, error)
	}{
		{"keep", AfterKeep, fsnotify.NewWatcher},
		{"delete", AfterDelete, fsnotify.NewWatcher},
		// As if every notification were lost to a full queue.
		{"delete without hints", AfterDelete, deaf},
	} {
		t.Run(contest.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t)
			top := filepath.Join(b.dir, "in")
			outside := filepath.Join(b.dir, "outside")
			if err := errors.Join(os.Mkdir(top, 0o755), os.Mkdir(outside, 0o755)); err != nil {
				t.Fatal(err)
			}
			want := make(map[[32]byte]string)
			expect := func(name string) (path string, text []byte) {
				r := rand.NewChaCha8(sha256.Sum256([]byte(name)))
				text = make([]byte, 1000+len(want)*300)
				_, _ = r.Read(text)
				want[sha256.Sum256(text)] = name
				return filepath.Join(top, name+".wav"), text
			}
			early := func(name string) {
				path, text := expect(name)
				if err := os.WriteFile(path, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			early("before the start")
			c := quick(top)
			c.Settle, c.After = 500*time.Millisecond, contest.after
			b.watcher = contest.watcher
			s := openSpool(t, t.TempDir())
			defer s.Close()
			b.runInto(c, s, s)
			samples := func() int { return int(b.progress.Snapshot().Samples) }
			b.until("the first file is taken", func() bool { return samples() == 1 })
			if err := errors.Join(os.Rename(top, top+".old"), os.Mkdir(top, 0o755)); err != nil {
				t.Fatal(err)
			}
			early("after the folder was replaced")

			var all sync.WaitGroup
			for i := range 200 {
				w := writers[i%len(writers)]
				path, text := expect(fmt.Sprintf("%s %d", w.name, i))
				start := time.Duration(i) * 5 * time.Millisecond
				all.Go(func() {
					<-time.After(start)
					if err := w.write(path, outside, text); err != nil {
						t.Errorf("%s: %v", w.name, err)
					}
				})
			}
			for i := range 2000 { // what it must not choke on
				noise := filepath.Join(top, fmt.Sprintf("noise-%d.tmp", i))
				if err := errors.Join(os.WriteFile(noise, nil, 0o644), os.Remove(noise)); err != nil {
					t.Fatal(err)
				}
			}
			all.Wait()
			b.until("all files are taken", func() bool { return samples() >= len(want) })
			// One more look finds nothing more.
			b.write("in/the last.csv", csv("last"))
			want[sha256.Sum256([]byte(csv("last")))] = "the last"
			b.until("the last file is taken", func() bool { return samples() >= len(want) })
			b.stop()
			judge(t, kept(t, s), want)
			if p := b.progress.Snapshot(); p.Duplicates != 0 || p.Rejected != 0 {
				t.Errorf("progress: %+v", p)
			}
			if contest.after == AfterDelete {
				left := 0
				if err := filepath.WalkDir(top, func(_ string, d fs.DirEntry, err error) error {
					if err == nil && d.Type().IsRegular() && d.Name() != "lock" {
						left++
					}
					return err
				}); err != nil || left > 0 {
					t.Errorf("%d files are left, %v", left, err)
				}
			}
		})
	}
}

// judge compares what was taken with what was written, by content.
func judge(t *testing.T, recs []spool.Record, want map[[32]byte]string) {
	t.Helper()
	half, missed, twice, taken := 0, 0, 0, make(map[[32]byte]int)
	for _, r := range recs {
		taken[r.Identity]++
		if want[r.Identity] == "" {
			half++
			t.Errorf("half-taken: %s, %d bytes", r.Name, r.Size)
		}
		if sha256.Sum256(samplertest.Body(t, r)) != r.Identity || r.SHA256 != r.Identity {
			t.Errorf("%s: the body is not what was hashed", r.Name)
		}
	}
	for sum, name := range want {
		switch n := taken[sum]; {
		case n == 0:
			missed++
			t.Errorf("missed: %s", name)
		case n > 1:
			twice++
			t.Errorf("taken %d times: %s", n, name)
		}
	}
	t.Logf("%d files: %d half-taken, %d missed, %d twice", len(want), half, missed, twice)
}
