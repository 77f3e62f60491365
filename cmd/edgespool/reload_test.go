package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgespool/edgespool/agent"
)

// took notes the configurations that an agent would be given.
type took chan *agent.Config

func (c took) Reload(cfg *agent.Config) error {
	c <- cfg
	return nil
}

func writeConfig(t *testing.T, path, source string) {
	t.Helper()
	text := fmt.Sprintf("sources: [{name: %s, type: directory, path: /in}]\n", source)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHangupReadsTheConfiguration: SIGHUP, which would end a program by
// default, has the file read as often as it comes, and a faulty one is only
// reported.
func TestHangupReadsTheConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edgespool.yaml")
	writeConfig(t, path, "first")
	var said lockedBuffer
	given := make(took, 10)
	stop := reloadOf(path, given, newLogger(&said, slog.LevelInfo, "text"))
	defer stop()
	hangup := func() {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		hangup()
		if cfg := <-given; cfg.Sources[0].Name != "first" {
			t.Fatalf("got source %s", cfg.Sources[0].Name)
		}
	}
	writeConfig(t, path, "first, paht: x")
	hangup()
	for range 1000 {
		if strings.Contains(said.String(), "goes on as before") {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	if text := said.String(); !strings.Contains(text, "goes on as before") || !strings.Contains(text, "paht") || len(given) > 0 {
		t.Errorf("%d configurations more; the log says:\n%s", len(given), text)
	}
}

// TestAChangedFileIsReadOnceItRests: a file that is still being written is not
// read, nor one that is gone for a moment or the same as before.
func TestAChangedFileIsReadOnceItRests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edgespool.yaml")
	writeConfig(t, path, "first")
	given := make(took, 10)
	r := reloader{path: path, agent: given, log: slog.New(slog.DiscardHandler)}
	r.read, r.seen = fileStamp(path), fileStamp(path)
	r.look()
	r.look()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.look()
	r.look()
	if len(given) > 0 {
		t.Fatalf("%d configurations are read that have not changed", len(given))
	}
	writeConfig(t, path, "second")
	r.look()
	writeConfig(t, path, "second-one")
	r.look()
	if len(given) > 0 {
		t.Fatal("a file that still changes is read")
	}
	r.look()
	r.look()
	if len(given) != 1 || (<-given).Sources[0].Name != "second-one" {
		t.Errorf("%d configurations are read, want the last one, once", len(given))
	}
}

// TestAChangedFragmentIsReadOnceItRests: fragments count as the file does, when
// they come, change and go.
func TestAChangedFragmentIsReadOnceItRests(t *testing.T) {
	dir := t.TempDir()
	path, fragment := filepath.Join(dir, "edgespool.yaml"), filepath.Join(dir, "conf.d", "more.yaml")
	writeConfig(t, path, "first")
	given := make(took, 10)
	r := reloader{path: path, agent: given, log: slog.New(slog.DiscardHandler)}
	r.read, r.seen = fileStamp(path), fileStamp(path)
	write := func(source string) func() error {
		return func() error {
			return os.WriteFile(fragment, []byte("sources: [{name: "+source+", type: directory, path: /more}]\n"), 0o600)
		}
	}
	for _, step := range []struct {
		what   func() error
		source []string
	}{
		{func() error { return os.Mkdir(filepath.Dir(fragment), 0o755) }, nil},
		{write("second"), []string{"first", "second"}},
		{write("third"), []string{"first", "third"}},
		{func() error { return os.Remove(fragment) }, []string{"first"}},
	} {
		if err := step.what(); err != nil {
			t.Fatal(err)
		}
		r.look()
		r.look()
		r.look()
		if step.source == nil {
			continue
		}
		if len(given) != 1 {
			t.Fatalf("%d configurations are read, want one with %q", len(given), step.source)
		}
		var got []string
		for _, s := range (<-given).Sources {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, step.source) {
			t.Errorf("got sources %q, want %q", got, step.source)
		}
	}
}
