package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"edgespool": main})
}

// TestCommandLine runs the scripts in testdata/script: the program as a user
// runs it, with its output and exit codes.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { taken.Close() })
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state")) // there is no home to write to
			env.Setenv("FREE", freeAddress(t))
			env.Setenv("TAKEN", taken.Addr().String())
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code": exitsWith, "answers": answers, "fill": fillIn, "until": until,
		},
	})
}

// exitsWith runs a program: code N PROGRAM ARG…, which must exit with N.
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if want := args[0]; fmt.Sprint(got) != want {
		ts.Fatalf("%s exited with %d, want %s\nstdout: %s\nstderr: %s", args[1], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// answers waits until an HTTP server does: answers HOST:PORT.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answers HOST:PORT")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	client := &http.Client{Timeout: time.Second}
	for range 2000 {
		// A mere connection says nothing: the kernel connects a caller to
		// itself when it happens to call from the very port that it calls.
		if resp, err := client.Get("http://" + args[0]); err == nil {
			resp.Body.Close()
			return
		}
		<-tick.C
	}
	ts.Fatalf("nobody answers at %s", args[0])
}

// until runs a program again and again until its output holds a text:
// until TEXT PROGRAM ARG…
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT PROGRAM ARG…")
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 400 {
		if ts.Exec(args[1], args[2:]...) == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		<-tick.C
	}
	ts.Fatalf("%s never said %s", args[1], args[0])
}

// fillIn replaces $NAME in files by the script's environment: fill FILE…
func fillIn(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(filepath.Clean(path), []byte(text), 0o600))
	}
}

// A spool in a folder that this user may not write to. Root may write
// everywhere, so as root the program runs as nobody.
func TestFolderThatTakesNoWrites(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	locked, program, config := filepath.Join(dir, "locked"), filepath.Join(dir, "edgespool"), filepath.Join(dir, "c.yaml")
	text := "spool: {path: " + locked + "/spool, allow_volatile: true}\nsources: [{name: a, type: directory, path: " + dir + "/in}]\napi: {listen: \"127.0.0.1:0\"}\n"
	if err := errors.Join(os.Mkdir(locked, 0o555), os.WriteFile(program, binary, 0o755), os.WriteFile(config, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	run := exec.Command(program, "run", "--config", config)
	run.Dir = "/"
	if os.Geteuid() == 0 {
		run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := run.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Fatalf("got %v, want exit code 1; it said %s", err, out)
	}
	if !strings.Contains(string(out), locked) || !strings.Contains(string(out), "\n  make ") || strings.Count(string(out), "\n") != 2 {
		t.Errorf("got %q, want one line that names the folder, and the remedy", out)
	}
}
