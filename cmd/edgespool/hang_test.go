package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHangingDisk lets the disk below the spool stop answering, as a card does
// that is pulled or dies, while samples come in. The agent must take nothing
// more, say so to everybody who asks, and end with a code of its own by which
// its service manager starts it anew; a new start, once the disk answers
// again, must have everything that was acknowledged.
func TestHangingDisk(t *testing.T) {
	disk := newFreezer(t)
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	spool := fmt.Sprintf("spool: {path: %q, max_bytes: 64MiB, min_free: 1MiB, commit: {timeout: 3s}}", disk.dir+"/spool")
	s.write("agent.yaml", regexp.MustCompile(`(?m)^spool: .*$`).ReplaceAllLiteralString(string(text), spool))
	s.run()
	t.Cleanup(disk.thaw) // before the agent is waited for

	var posted acknowledged
	s.until("samples are acknowledged", func() error {
		n := len(posted.list())
		body := fmt.Appendf(nil, "timestamp,x\n0,%d\n", n)
		if err := post(t.Context(), impatient(), s, fmt.Sprintf("before.%d.csv", n), body); err != nil {
			return err
		}
		if posted.add(body); n < 10 {
			return errors.New("go on")
		}
		return nil
	})

	disk.freeze()
	go func() { // it waits for the disk, and may never be answered
		_ = post(t.Context(), impatient(), s, "during.csv", []byte("timestamp,x\n0,-1\n"))
	}()
	s.until("the health is not ok", func() error {
		err := getJSON(s.api+"/healthz", &struct{}{})
		if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "does not answer") {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	if err := getJSON(s.api+"/readyz", &struct{}{}); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("readyz: got %v, want 503", err)
	}
	var status struct {
		Spool struct {
			Error    string `json:"error"`
			ReadOnly bool   `json:"read_only"`
		} `json:"spool"`
	}
	if err := getJSON(s.api+"/api/status", &status); err != nil || !status.Spool.ReadOnly || !strings.Contains(status.Spool.Error, "did not answer for 3s") {
		t.Errorf("status: got %+v, %v", status, err)
	}
	if err := post(t.Context(), impatient(), s, "late.csv", []byte("timestamp,x\n0,-2\n")); err == nil {
		t.Error("a sample was acknowledged while the disk hung")
	}

	// The process ends, but the kernel keeps a thread that waits for a disk
	// until the disk answers, be it the first one: what can be seen meanwhile
	// is that no other thread is left.
	s.until("the process has ended", func() error {
		states, err := threadStates(s.agent.cmd.Process.Pid)
		if err == nil && strings.Trim(states, "DZX") != "" {
			err = fmt.Errorf("its threads are in the states %s", states)
		}
		return err
	})
	disk.thaw()
	<-s.agent.done
	if code := s.agent.cmd.ProcessState.ExitCode(); code != exitHung {
		t.Errorf("got exit code %d, want %d", code, exitHung)
	}
	said := s.agent.log.String()
	for _, line := range []string{"level=ERROR msg=\"disk does not answer; the spool takes nothing more\"", "\nedgespool: the spool's disk does not answer, so the agent ends: "} {
		if n := strings.Count(said, line); n != 1 {
			t.Errorf("it said %q %d times, want once; all it said:\n%s", line, n, said)
		}
	}

	s.run()
	s.until("everything is delivered", s.drained)
	s.until("what was acknowledged has arrived", func() error {
		got, err := received(s.path("received"))
		if err != nil {
			return err
		}
		arrived := map[string]bool{}
		for _, a := range got {
			arrived[a.sha] = true
		}
		for i, sha := range posted.list() {
			if !arrived[sha] {
				return fmt.Errorf("sample %d is missing among %d", i, len(got))
			}
		}
		return nil
	})
	s.agent.signal(syscall.SIGTERM)
}

// impatient is a client that does not wait for a disk.
func impatient() *http.Client { return &http.Client{Timeout: 10 * time.Second} }

// A freezer is a file system in a file, which can be made to hang.
type freezer struct {
	t      *testing.T
	dir    string
	frozen bool
}

// newFreezer makes one, where this machine lets the test mount anything.
func newFreezer(t *testing.T) *freezer {
	t.Helper()
	if testing.Short() {
		t.Skip("runs whole processes for a while; leave out -short to run it")
	}
	if os.Getuid() != 0 {
		t.Skip("mounts a file system, for which it must be root")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "fsfreeze"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: install e2fsprogs, mount and util-linux", tool)
		}
	}
	place := t.TempDir()
	image, dir := filepath.Join(place, "image"), filepath.Join(place, "disk")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 192<<20), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("make file system: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a file here: %v: %s", err, bytes.TrimSpace(out))
	}
	f := &freezer{t: t, dir: dir}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v: %s", err, out)
		}
	})
	return f
}

func (f *freezer) freeze() { f.command("-f"); f.frozen = true }

func (f *freezer) thaw() {
	if f.frozen {
		f.command("-u")
		f.frozen = false
	}
}

func (f *freezer) command(option string) {
	f.t.Helper()
	if out, err := exec.Command("fsfreeze", option, f.dir).CombinedOutput(); err != nil {
		f.t.Fatalf("fsfreeze %s: %v: %s", option, err, out)
	}
}

// threadStates are the letters of proc(5) for the states of a process's
// threads.
func threadStates(pid int) (states string, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return "", err
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		state, _, _ := strings.Cut(rest, " ")
		states += state
	}
	return states, nil
}
