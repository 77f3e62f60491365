package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestStatusKeepsTheContract compares what the running agent says with the
// contract's own object, field by field, and `status --json` with both: while
// nothing has come yet, and after samples went through.
func TestStatusKeepsTheContract(t *testing.T) {
	text, err := os.ReadFile(shared(t, "contract.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```json\n")
	block, _, ended := strings.Cut(rest, "\n```")
	var promised any
	if err := json.Unmarshal([]byte(block), &promised); err != nil || !found || !ended {
		t.Fatalf("the contract shows no status: %v", err)
	}
	_, tty := openPTY(t)
	s := newSite(t, "  - {name: folder, type: directory, path: $DIR/in, settle: 100ms, label: =idle}\n"+
		"  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n"+
		"  - {name: board, type: serial, port: "+tty.Name()+", sensors: [{name: x}], frequency: 10, window: 1s}\n")
	if err := os.Mkdir(s.path("in"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.compareStatus(promised, true)
	for i := range 3 {
		s.write(fmt.Sprintf("in/%d.csv", i), fmt.Sprintf("x\n%d\n", i))
	}
	s.until("all is delivered", func() error {
		st, err := s.status()
		if err == nil && (len(st.Destinations) != 1 || st.Destinations[0].Stored != 3) {
			err = fmt.Errorf("got %+v", st.Destinations)
		}
		return err
	})
	s.compareStatus(promised, false)
}

// compareStatus checks one moment's status. null may stand only for a time
// that has not come; at the beginning it must.
func (s *site) compareStatus(promised any, fresh bool) {
	s.t.Helper()
	raw, err := s.rawStatus()
	if err != nil {
		s.t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		s.t.Fatal(err)
	}
	var nulls []string
	for _, fault := range lacks(promised, got, "", &nulls) {
		s.t.Errorf("%s; it is\n%s", fault, raw)
	}
	for _, at := range nulls {
		if !strings.HasSuffix(at, ".last_sample_at") && !strings.HasSuffix(at, ".next_try_at") {
			s.t.Errorf("%s is null", at)
		}
	}
	if never := slices.Contains(nulls, ".sources[0].last_sample_at"); never != fresh {
		s.t.Errorf("last_sample_at is null: %v, want %v", never, fresh)
	}

	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	s.until("the command line says the same", func() error {
		before, err := s.rawStatus()
		if err != nil {
			return err
		}
		said, err := exec.Command(path, "status", "--json", "--url", s.api).Output()
		if err != nil {
			return err
		}
		if !bytes.Equal(bytes.TrimSpace(before), bytes.TrimSpace(said)) {
			return fmt.Errorf("API: %s\ncommand: %s", before, said) // a second may have passed
		}
		return nil
	})
}

func (s *site) rawStatus() ([]byte, error) {
	var raw json.RawMessage
	err := getJSON(s.api+"/api/status", &raw)
	return raw, err
}

// lacks lists what of the promised object is not there or of another kind. A
// promised list speaks of every element of the given one.
func lacks(promised, got any, at string, nulls *[]string) (faults []string) {
	switch want := promised.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return []string{at + " is no object"}
		}
		for name, value := range want {
			if given, there := have[name]; there {
				faults = append(faults, lacks(value, given, at+"."+name, nulls)...)
			} else {
				faults = append(faults, at+"."+name+" is missing")
			}
		}
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) == 0 {
			return []string{at + " is no list of anything"}
		}
		for i, given := range have {
			faults = append(faults, lacks(want[0], given, fmt.Sprintf("%s[%d]", at, i), nulls)...)
		}
	default:
		if got == nil {
			*nulls = append(*nulls, at)
		} else if a, b := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); a != b {
			return []string{fmt.Sprintf("%s is a %s, want a %s", at, b, a)}
		}
		if words, ok := want.(string); ok && strings.Contains(words, "|") && !slices.Contains(strings.Split(words, "|"), fmt.Sprint(got)) {
			return []string{fmt.Sprintf("%s is %q, none of %s", at, got, words)}
		}
	}
	return faults
}
