package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestSamplesLostToTheCapAreOutcomes: what had to go to make room is told for
// the destination that had not taken it, by API and command, and not for the
// one that had.
func TestSamplesLostToTheCapAreOutcomes(t *testing.T) {
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	away := fmt.Sprintf("\n  - {name: away, type: edge-impulse, url: \"http://%s\", api_key_file: %s}\napi:", freeAddress(t), s.path("key"))
	s.write("agent.yaml", strings.NewReplacer("\napi:", away, "600MiB", "64MiB").Replace(string(text)))
	s.run()
	client := &http.Client{Timeout: time.Minute}
	dice := rand.New(rand.NewPCG(5, 6))
	sent := 0
	for ; sent < 100; sent++ {
		var body strings.Builder
		body.WriteString("timestamp,x\n")
		for row := range 64 << 10 {
			fmt.Fprintf(&body, "%d,%.9f\n", row, dice.Float64())
		}
		if err := post(t.Context(), client, s, fmt.Sprintf("%d.csv", sent), []byte(body.String())); err != nil {
			t.Fatal(err)
		}
		st, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		if st.Spool.Lost > 3 {
			break
		}
		s.until("the one that is there has it", func() error { // or it would lose some, too
			if st, err = s.status(); err == nil && st.Destinations[0].Backlog > 0 {
				err = fmt.Errorf("%d wait", st.Destinations[0].Backlog)
			}
			return err
		})
	}
	type outcome struct {
		Sequence, Last uint64
		Fate, Reason   string
	}
	ask := func(stream string) (all []outcome) {
		t.Helper()
		var answer struct{ Outcomes []outcome }
		if err := getJSON(s.api+"/api/outcomes?limit=1000&stream="+stream, &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Outcomes
	}
	lost := ask("away/testing")
	if len(lost) == 0 || lost[0].Sequence != 1 || lost[0].Fate != "lost" || lost[0].Reason == "" {
		t.Fatalf("after %d samples: got outcomes %+v, want the first ones lost", sent, lost)
	}
	for _, o := range ask("studio/testing") {
		if o.Fate != "stored" {
			t.Errorf("got %+v at the one that is there, want all stored", o)
		}
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"outcomes away/testing": fmt.Sprintf("  %s  lost  -  %s\n", stretch(lost[0].Sequence, lost[0].Last), lost[0].Reason), "outcomes away/testing 1": "  lost  ",
		"outcomes studio/testing 1": "  stored  ",
	} {
		out, err := exec.Command(path, strings.Fields("streams "+args+" --url "+s.api)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("streams %s: %v, got %q, want %q", args, err, out, want)
		}
	}
}
