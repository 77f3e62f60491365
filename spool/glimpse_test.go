package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestStartKeepsPartsOfUnsealed: a spool at its cap is killed when the segment
// with a large record was not sealed yet. At the start, the segment before it,
// which has parts of the record's body and no record, must not go to make room
// before anybody knows that.
func TestStartKeepsPartsOfUnsealed(t *testing.T) {
	for _, policy := range []string{refuse, DefaultConfig().WhenFull} {
		t.Run(policy, func(t *testing.T) {
			config := func(c *Config) { c.MaxBytes, c.WhenFull, c.Keep = 48<<20, policy, 0 }
			dir := t.TempDir()
			s := openAt(t, dir, config)
			mustStream(t, s, "a", "anomaly")
			body := noise(1, 3<<20) // three segments and a piece
			staged, err := s.Stage(t.Context(), bytes.NewReader(body), 10<<20)
			if err != nil {
				t.Fatal(err)
			}
			large := sample("anomaly", 1)
			large.Body = staged
			mustAppend(t, s, large)
			if got := len(s.table.list()); got < 3 {
				t.Fatalf("the body is in %d segments", got)
			}
			killed := cutCopy(t, dir)
			aside := filepath.Join(killed, "quarantine", "seg-0000000000000001-1")
			if err := os.WriteFile(aside, make([]byte, 40<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, killed, config)
			recs := mustFetch(t, mustStream(t, s, "a", "anomaly"), 10)
			if len(recs) != 1 || s.Stats().Lost != 0 {
				t.Fatalf("%d records and %d lost, want the one", len(recs), s.Stats().Lost)
			}
			if !bytes.Equal(readBody(t, recs[0]), body) {
				t.Error("its body came back changed")
			}
		})
	}
}
