package main

import (
	"os/exec"
	"regexp"
	"testing"
)

// TestDemo plays the demo as a user does. It checks itself; the test makes
// sure that it had something to check.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("plays for a quarter of a minute; leave out -short to run it")
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/demo"
	out, err := exec.Command(path, "demo", "--dir", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`(?m)^accelerometer +(\d+) +(\d+) +(\d+) +0 +0$`, `(?m)^JSON +4 +3 +3 +0 +1$`, `(?m)^WAV +5 +4 +4 +1 +0$`,
		`Every sample arrived exactly once`, `reported by the detector: [1-9]`, `overtook the backlog: .* before [1-9]`,
		`in the detection history: [1-9]`, `in a stream with Anomaly Score from 0.8 on: [1-9]`, `documents arrived with a signature that holds`, `SIGKILL`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("nothing like %q in\n%s", want, out)
		}
	}
	if out, err := exec.Command(path, "demo", "--dir", dir).CombinedOutput(); err == nil {
		t.Errorf("played in a folder that is in use:\n%s", out)
	}
}
