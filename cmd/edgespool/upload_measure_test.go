package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUploadMeasured uploads 500 small and 8 large files. It checks what does
// not depend on the machine's mood: connections, requests of a second run,
// and memory. With EDGESPOOL_BENCH=upload it also uploads 30,000 small ones,
// and prints what was measured beside a plain copy of the same files.
func TestUploadMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 400 MB; leave out -short to run it")
	}
	path := shipped(t)
	bench := os.Getenv("EDGESPOOL_BENCH") == "upload"
	for _, tc := range []struct {
		name string
		make func(dir string)
		n    int
	}{
		{"500 documents of 10 KB", func(dir string) { documents(t, dir, 500) }, 500},
		{"30000 documents of 10 KB", func(dir string) { documents(t, dir, 30_000) }, 30_000},
		{"8 files of 50 MB", func(dir string) {
			for i := range 8 {
				write(t, fmt.Sprintf("%s/%d.wav", dir, i), sound(i+1, 50e6))
			}
		}, 8},
	} {
		if tc.n > 1000 && !bench {
			continue
		}
		dir, state, s := t.TempDir(), t.TempDir(), newStand(t)
		tc.make(dir)
		copied := copyFiles(t, dir, t.TempDir())

		used := measured(t, s, path, state, dir)
		connections, requests := s.figures()
		if got := len(s.byName()); got != tc.n {
			t.Errorf("%s: %d arrived, want %d", tc.name, got, tc.n)
		}
		if connections > 4 {
			t.Errorf("%s: got %d connections, want at most 4", tc.name, connections)
		}
		if used.PeakMiB > 24 {
			t.Errorf("%s: got %.1f MiB of memory, want at most 24", tc.name, used.PeakMiB)
		}
		uploading(t, s, state, dir)
		if _, again := s.figures(); again != 0 {
			t.Errorf("%s: the second run sent %d requests, want 0", tc.name, again)
		}
		if bench {
			fmt.Printf("%-24s wall %5.0f ms, %5.0f files/s, %4.1f times a plain copy; CPU %4.0f ms; peak %4.1f MiB; %d connections, %d requests; second run 0 requests\n",
				tc.name, used.Wall*1000, float64(tc.n)/used.Wall, used.Wall/copied.Seconds(), used.CPU*1000, used.PeakMiB, connections, requests)
		}
	}
}

// shipped builds the program as users get it: the test binary and the race
// detector would be measured along.
func shipped(t *testing.T) string {
	t.Helper()
	if out, err := exec.Command(filepath.Join(repository(t), "scripts", "build"), "native").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return filepath.Join(repository(t), "dist", "edgespool")
}

// A use is what a process took.
type use struct {
	Wall, CPU float64 // seconds
	PeakMiB   float64 // resident memory
}

// measured runs one upload and says what it took. A child's peak of memory
// counts from what its parent had, so that a small process stands between.
func measured(t *testing.T, s *stand, path, state, dir string) (u use) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run", "^TestMeasuringProcess$")
	c.Env = append(os.Environ(), "EI_API_KEY="+standKey, "XDG_STATE_HOME="+state,
		measureVar+"="+strings.Join([]string{path, "upload", "--url", s.URL, dir}, "\n"))
	out, err := c.Output()
	text, _, _ := strings.Cut(string(out), "\n")
	if err != nil || json.Unmarshal([]byte(text), &u) != nil {
		t.Fatalf("measure an upload: %v\n%s", err, out)
	}
	return u
}

const measureVar = "EDGESPOOL_TEST_MEASURE"

// TestMeasuringProcess is the process that measured starts.
func TestMeasuringProcess(t *testing.T) {
	args := strings.Split(os.Getenv(measureVar), "\n")
	if len(args) < 2 {
		return
	}
	start := time.Now()
	c := exec.Command(args[0], args[1:]...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u := use{Wall: time.Since(start).Seconds(), CPU: (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()}
	u.PeakMiB = float64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	_ = json.NewEncoder(os.Stdout).Encode(u)
}

// copyFiles copies a folder, as a measure of what the machine can do now.
func copyFiles(t *testing.T, from, to string) time.Duration {
	t.Helper()
	all, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for _, e := range all {
		in, err := os.Open(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(to, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
		in.Close()
		out.Close()
	}
	return time.Since(start)
}
