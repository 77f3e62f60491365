package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mountCard makes a file system of so many megabytes, all its own.
func mountCard(t *testing.T, megabytes int) string {
	t.Helper()
	card := t.TempDir()
	if err := unix.Mount("edgespool-test", card, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("mount tmpfs: %v; run as root, with CAP_SYS_ADMIN in a container", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(card, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(card, "a.csv"), []byte("x\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return card
}

// fails runs the program, which must say one line and the remedy, and exit
// with 1.
func fails(t *testing.T, args ...string) (line, remedy string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	err = cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Fatalf("%s: got %v, want exit code 1; it said %s", args, err, said.String())
	}
	_, text, found := strings.Cut("\n"+said.String(), "\nedgespool: ")
	line, remedy, _ = strings.Cut(text, "\n  ")
	if !found || strings.Count(text, "\n") != 2 {
		t.Errorf("%s: got %q, want one line and the remedy", args, said.String())
	}
	return line, remedy
}

// TestReadOnlyFileSystem: a card that turned read-only, with and without a
// spool on it, is told in one line with the remedy.
func TestReadOnlyFileSystem(t *testing.T) {
	card, config := mountCard(t, 1024), filepath.Join(t.TempDir(), "c.yaml")
	turn := func(flags uintptr) {
		if err := unix.Mount("", card, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(card, "used")
	if out, err := exec.Command(path, "upload", "--spool", used, filepath.Join(card, "a.csv")).CombinedOutput(); err != nil {
		t.Fatalf("make a spool: %v\n%s", err, out)
	}
	turn(unix.MS_RDONLY)
	for _, folder := range []string{used, filepath.Join(card, "fresh")} {
		text := fmt.Sprintf("spool: {path: %s, allow_volatile: true, max_bytes: 64MiB, min_free: 0B}\nsources: [{name: a, type: directory, path: %s/in}]\napi: {listen: \"127.0.0.1:0\"}\n", folder, card)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		line, remedy := fails(t, "run", "--config", config)
		if !strings.Contains(line, folder) || !strings.Contains(line, "read-only") || !strings.HasPrefix(remedy, "make "+folder+" writable") {
			t.Errorf("%s: got %q and %q", folder, line, remedy)
		}
	}
	turn(0) // repaired: it goes on where it was
	if out, err := exec.Command(path, "inspect", "--spool", used).CombinedOutput(); err != nil || !strings.Contains(string(out), "1 record") {
		t.Errorf("inspect afterwards: %v\n%s", err, out)
	}
}

// TestUploadIntoFullSpool: what cannot be kept is told at once, and pushes
// nothing else out.
func TestUploadIntoFullSpool(t *testing.T) {
	card := mountCard(t, 280) // the spool leaves 256 MiB free
	line, remedy := fails(t, "upload", "--spool", filepath.Join(card, "spool"), filepath.Join(card, "a.csv"))
	if !strings.Contains(line, "a.csv") || !strings.Contains(line, "spool is full") || !strings.HasPrefix(remedy, "make room on the disk") {
		t.Errorf("got %q and %q", line, remedy)
	}
}

// TestPortHeldByAnotherProgram: the source waits with one clear line, and
// takes the port once the other program lets go.
func TestPortHeldByAnotherProgram(t *testing.T) {
	wire, tty := openPTY(t)
	port := tty.Name()
	holder, err := os.OpenFile(port, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, fmt.Sprintf("  - {name: board, type: serial, port: %s, sensors: [{name: x}], frequency: 10, window: 1s, label: idle}\n", port))
	s.run()
	s.until("the source waits for the port", func() error {
		st, err := s.status()
		if err != nil {
			return err
		}
		if b := st.Sources[0]; b.State != "waiting" || !strings.Contains(b.Error, port+": port is in use by another program; stop that program") {
			return fmt.Errorf("it is %s: %q", b.State, b.Error)
		}
		return nil
	})
	if n := strings.Count(s.agent.log.String(), "in use by another program"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, s.agent.log.String())
	}
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	s.until("the source has the port", func() error {
		st, err := s.status()
		if err != nil {
			return err
		}
		if b := st.Sources[0]; b.State != "running" || b.Error != "" {
			return fmt.Errorf("it is %s: %q", b.State, b.Error)
		}
		return nil
	})
	for i := range 20 {
		if _, err := fmt.Fprintf(wire, "%d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	s.until("readings come", func() error {
		st, err := s.status()
		if err == nil && st.Sources[0].Readings < 19 {
			err = fmt.Errorf("%d readings", st.Sources[0].Readings)
		}
		return err
	})
}

// TestFullSpool: with when_full: refuse and nobody to deliver to, a folder
// keeps its files and other devices are told to come back, the status says
// why, and all goes on by itself once there is room.
func TestFullSpool(t *testing.T) {
	s := newSite(t, "  - {name: folder, type: directory, path: $DIR/in, after: delete, settle: 100ms, label: =idle}\n"+
		"  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	far := strings.TrimPrefix(s.url, "http://")
	closed := freeAddress(t)
	small := strings.Replace(string(text), "max_bytes: 600MiB", "max_bytes: 64MiB, when_full: refuse, keep: 0s", 1)
	s.write("agent.yaml", strings.Replace(small, far, closed, 1))
	if err := os.Mkdir(s.path("in"), 0o755); err != nil {
		t.Fatal(err)
	}
	const files, size = 24, 4 << 20
	content := make([]byte, size)
	for i := range files {
		_, _ = rand.Read(content)
		if err := os.WriteFile(s.path("in", fmt.Sprintf("%02d.wav", i)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.run()
	s.until("the folder waits for room", func() error {
		st, err := s.status()
		if err != nil {
			return err
		}
		if f := st.Sources[0]; f.State != "waiting" || !strings.Contains(f.Error, "full") {
			return fmt.Errorf("it is %s: %q", f.State, f.Error)
		}
		return nil
	})
	st, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	kept := names(t, s.path("in"))
	if taken := int(st.Sources[0].Samples); taken+len(kept) != files || taken == 0 || len(kept) == 0 {
		t.Errorf("%d files are taken and %d kept, want %d together", taken, len(kept), files)
	}
	if st.Spool.Lost != 0 {
		t.Errorf("%d records are lost", st.Spool.Lost)
	}

	// What is small may still find room; what is not must come back.
	refused := false
	for i := 0; i < 100 && !refused; i++ {
		_, _ = rand.Read(content)
		resp, body := s.post(fmt.Sprintf("p%d.wav", i), content)
		switch resp.StatusCode {
		case http.StatusOK:
		case http.StatusServiceUnavailable:
			refused = true
			if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || after < 1 || !strings.Contains(body, "full") {
				t.Errorf("got Retry-After %q and %s", resp.Header.Get("Retry-After"), body)
			}
		default:
			t.Fatalf("got %s %s", resp.Status, body)
		}
	}
	if !refused {
		t.Error("a full spool took 100 files")
	}
	var full struct {
		Spool struct {
			Full bool `json:"full"`
		} `json:"spool"`
	}
	if err := getJSON(s.api+"/api/status", &full); err != nil || !full.Spool.Full {
		t.Errorf("the status does not say that the spool is full: %v", err)
	}
	if err := getJSON(s.api+"/readyz", nil); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "the spool is full") {
		t.Errorf("readyz: got %v", err)
	}

	// The service comes back, under the address that the agent knows.
	s.start("service again", "receive", "--dir", s.path("received-later"), "--listen", closed, "--api-key-file", s.path("key"))
	s.until("the folder is empty", func() error {
		if left := names(t, s.path("in")); len(left) > 0 {
			return fmt.Errorf("%d files are left", len(left))
		}
		return nil
	})
	s.until("all is delivered", s.drained)
	if err := getJSON(s.api+"/readyz", new(struct{})); err != nil && strings.Contains(err.Error(), "503") {
		t.Errorf("readyz afterwards: %v", err)
	}
	s.until("every file is there whole", func() error {
		for i := range files {
			name := fmt.Sprintf("%02d.wav", i)
			if fi, err := os.Stat(s.path("received-later", "training", name)); err != nil || fi.Size() != size {
				return fmt.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
	if n := strings.Count(s.agent.log.String(), "spool is full"); n == 0 || n > 6 {
		t.Errorf("the log speaks of a full spool %d times, want a few", n)
	}
}

// TestFullSpoolCountsReadings: a board on a wire cannot be told to wait, so
// what a full spool does not take of it is counted, reading by reading.
func TestFullSpoolCountsReadings(t *testing.T) {
	wire, tty := openPTY(t)
	s := newSite(t, fmt.Sprintf("  - {name: board, type: serial, port: %s, sensors: [{name: x}], frequency: 10, window: 1s, label: idle}\n", tty.Name()))
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write("agent.yaml", strings.Replace(string(text), "min_free: 16MiB", "when_full: refuse, min_free: 4000GiB", 1))
	s.run()
	s.until("the port is open", func() error {
		st, err := s.status()
		if err == nil && st.Sources[0].State == "waiting" {
			err = fmt.Errorf("it waits: %s", st.Sources[0].Error)
		}
		return err
	})
	const windows = 4
	lines := 0
	s.until("what the spool did not take is counted", func() error {
		if lines < 10*windows {
			lines++
			if _, err := fmt.Fprintf(wire, "%d\n", lines); err != nil {
				t.Fatal(err)
			}
		}
		st, err := s.status()
		if err != nil {
			return err
		}
		b := st.Sources[0]
		if b.Samples != 0 || st.Spool.Records != 0 {
			t.Fatalf("%d samples are taken", b.Samples)
		}
		if b.Dropped < 10*(windows-1) || !strings.Contains(b.Error, "full") {
			return fmt.Errorf("%d readings of %d lines are dropped: %q", b.Dropped, lines, b.Error)
		}
		return nil
	})
}

// post sends one file to the agent's ingestion source.
func (s *site) post(name string, content []byte) (*http.Response, string) {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("data", name)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = part.Write(content)
	form.Close()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.api+"/api/training/files", &body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("x-api-key", s.key)
	req.Header.Set("x-label", "posted")
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := new(http.Client).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp, string(text)
}

// names lists the files of a folder that are no hidden ones.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range found {
		if !f.IsDir() && !strings.HasPrefix(f.Name(), ".") {
			all = append(all, f.Name())
		}
	}
	return all
}
