package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// memoryLimit is the most memory of its own (RssAnon) that the 32-bit program
// may have, whatever it does.
const memoryLimit = 24 << 20

// TestMemoryOfTheProgram builds the program for 32 bits, fills its spool to
// the cap while the destination is away, starts it again, lets it deliver all,
// and exports what is left, and looks at its memory all the while.
func TestMemoryOfTheProgram(t *testing.T) {
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	program := build32(t, s.path("edgespool32"))
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	reachable := strings.Replace(string(text), "max_bytes: 600MiB", "max_bytes: 96MiB", 1)
	away := strings.Replace(reachable, s.url, "http://"+freeAddress(t), 1)
	var agent *process
	live := func(what, config string, until func()) {
		t.Helper()
		s.write("agent.yaml", config)
		agent = s.startProgram("agent", program, "run", "--config", s.config)
		watch := watchMemory(agent.cmd.Process.Pid)
		s.until("the agent answers", func() error { _, err := s.status(); return err })
		until()
		agent.signal(syscall.SIGTERM)
		watch.judge(t, what)
	}
	live("filling up to the cap", away, func() { s.fill() })
	live("delivering the backlog", reachable, func() { s.until("everything is delivered", s.drained) })
	export := s.startProgram("export", program, "export", "--spool", s.path("spool"), "--to", s.path("exported"))
	watch := watchMemory(export.cmd.Process.Pid)
	<-export.done
	watch.judge(t, "exporting")
	if !export.cmd.ProcessState.Success() {
		t.Errorf("export: %v", export.cmd.ProcessState)
	}
}

// build32 builds the program as scripts/build does, for 32 bits.
func build32(t *testing.T, path string) string {
	t.Helper()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "386" {
		t.Skip("this processor does not run 386 code; run the tests on amd64")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("go is missing, which builds the program for 32 bits; see https://go.dev/doc/install")
	}
	build := exec.Command(goTool, "build", "-trimpath", "-buildvcs=false", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := exec.Command(path, "version").Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this kernel does not run 32-bit programs: it needs CONFIG_IA32_EMULATION, and ia32_emulation=on at its start")
	}
	return path
}

// fill posts samples of 60 KB, four at a time, until the spool drops its
// oldest.
func (s *site) fill() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var posters sync.WaitGroup
	for lane := range 4 {
		posters.Go(func() {
			client := &http.Client{Timeout: 30 * time.Second}
			random := rand.New(rand.NewChaCha8([32]byte{byte(lane)}))
			noise := make([]byte, 45<<10)
			for n := 0; ctx.Err() == nil; n++ {
				for i := range noise {
					noise[i] = byte(random.Uint32())
				}
				body := []byte("timestamp,y\n0,1\n5,2\n#" + base64.StdEncoding.EncodeToString(noise))
				if err := post(ctx, client, s, fmt.Sprintf("post.%d.%d.csv", lane, n), body); err != nil && ctx.Err() == nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	s.until("the spool is at its cap", func() error {
		st, err := s.status()
		if err == nil && st.Spool.Lost == 0 {
			err = fmt.Errorf("%d records, none dropped", st.Spool.Records)
		}
		return err
	})
	stop()
	posters.Wait()
}

// A memoryWatch keeps the peak of a process's memory.
type memoryWatch struct {
	done            chan struct{}
	anonymous, size int64 // RssAnon and VmRSS
	looks           int
}

// watchMemory looks at a process every 10 ms until it is gone.
func watchMemory(pid int) *memoryWatch {
	w := &memoryWatch{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil || !strings.Contains(string(text), "RssAnon:") { // gone, or a zombie
				return
			}
			w.anonymous = max(w.anonymous, statusField(string(text), "RssAnon:"))
			w.size = max(w.size, statusField(string(text), "VmRSS:"))
			w.looks++
		}
	}()
	return w
}

// statusField is a line of /proc/PID/status in bytes; the kernel counts in KiB.
func statusField(text, name string) int64 {
	_, rest, _ := strings.Cut(text, name)
	var n int64
	_, _ = fmt.Sscan(rest, &n)
	return n << 10
}

// judge waits for the end of the process and holds its peak to the limit.
func (w *memoryWatch) judge(t *testing.T, what string) {
	t.Helper()
	<-w.done
	t.Logf("%s: RssAnon %.1f MB, VmRSS %.1f MB at most in %d looks", what, float64(w.anonymous)/(1<<20), float64(w.size)/(1<<20), w.looks)
	if w.looks == 0 {
		t.Errorf("%s: never seen", what)
	}
	if w.anonymous > memoryLimit {
		t.Errorf("%s took %d bytes of memory of its own, more than %d", what, w.anonymous, memoryLimit)
	}
}
