package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Recordings that are dropped into a folder, or posted by other devices, are
// judged: an anomaly is in its own category as well, with its scores, in the
// history, and told; the others stay as they are, and so does what is no
// recording.
func TestFilesAreJudged(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "key", "secret-of-the-lan\n")
	h := live(t, fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - name: folder
    type: directory
    path: %[1]s/in
    settle: 100ms
    after: delete
    detect:
      - {type: threshold, axes: {accX: {max: 5}, axis1: {max: 1000}}}
      - {type: command, name: opinion, command: [/bin/sh, -c, 'while read -r line; do echo "{\"score\":0.25,\"label\":\"steady\"}"; done'], timeout: 1m}
    report_as: both
    on_detection: {command: [/bin/sh, -c, 'cat >> %[1]s/told'], every: 1h}
  - name: lan
    type: ingestion
    api_key_file: %[1]s/key
    detect: [{type: threshold, axes: {accX: {max: 5}}}]
    report_as: both
destinations: [{name: archive, type: dataset, path: %[1]s/archive}]
api: {listen: "127.0.0.1:0"}
`, dir))
	const loud, calm = "timestamp,accX\n0,1\n10,9\n20,1\n", "timestamp,accX\n0,1\n10,2\n20,1\n"
	for name, text := range map[string]string{"loud.csv": loud, "calm.csv": calm, "bang.wav": wav(9, 4000), "hush.wav": wav(9, 40), "odd.csv": "accX\n1,2\n"} {
		writeFile(t, filepath.Join(dir, "in"), name, text)
	}
	h.until("the folder is judged", func(s Status) bool {
		d := s.Sources[0].Detect
		return d != nil && d.Judged == 4 && d.Unjudged == 1 && d.Anomalies == 2 && d.Alarms == 1
	})
	ingestion := "http://" + h.Address() + "/api/testing/files"
	post(t, ingestion, "secret-of-the-lan", "posted.csv", strings.Replace(loud, "9", "8", 1))
	post(t, ingestion, "secret-of-the-lan", "quiet.csv", strings.Replace(calm, "2", "3", 1))
	post(t, ingestion, "secret-of-the-lan", "posted.csv", strings.Replace(loud, "9", "8", 1))          // which is known
	post(t, ingestion, "secret-of-the-lan", "long.csv", "accX\n"+strings.Repeat("1\n", 500_000)+"7\n") // which is not kept in one piece
	h.until("what was posted is judged", func(s Status) bool {
		d := s.Sources[1].Detect
		return d != nil && d.Judged == 3 && d.Anomalies == 2
	})
	for name, want := range map[string]bool{
		"training/loud.csv": true, "anomaly/loud.csv": true, "training/calm.csv": true, "anomaly/calm.csv": false, "anomaly/bang.wav": true,
		"anomaly/hush.wav": false, "training/odd.csv": true, "testing/posted.csv": true, "anomaly/posted.csv": true, "anomaly/long.csv": true, "anomaly/quiet.csv": false,
	} {
		if got := h.kept(dir, name, want); got != want {
			t.Errorf("archive/%s is there: %v, want %v", name, got, want)
		}
	}
	var history struct {
		TotalCount int
		Data       []struct {
			FileName   string
			Likelihood float64
		}
	}
	call(t, h, "GET", "/v1/detection?tagFilter=source=folder", "", &history)
	if history.TotalCount != 2 {
		t.Errorf("the history has %+v, want two of the folder", history)
	}
	call(t, h, "GET", "/v1/detection?fileName=posted.csv", "", &history)
	if history.TotalCount != 1 {
		t.Errorf("the history has %+v, want the posted one", history)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "told")); err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("told was %q, %v", text, err)
	}
	if code, s := submit(t, h, "lan/threshold", "asked.csv", loud); code != 200 || s.Data.Likelihood != 100 {
		t.Errorf("asked for: %d, %+v", code, s)
	}
}

// kept looks for a file that the archive should have, or should not have.
func (h *house) kept(dir, name string, want bool) bool {
	for deadline := time.Now().Add(20 * time.Second); ; {
		found, _ := filepath.Glob(filepath.Join(dir, "archive", strings.Replace(name, ".", "*.", 1)))
		if len(found) > 0 || !want || time.Now().After(deadline) {
			return len(found) > 0
		}
		<-time.After(20 * time.Millisecond)
	}
}

// wav is a recording of 16-bit samples with one peak.
func wav(samples int, peak int16) string {
	var b bytes.Buffer
	values := make([]int16, samples)
	values[samples/2] = peak
	size := uint32(2 * samples)
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, 36+size)
	b.WriteString("WAVEfmt ")
	_ = binary.Write(&b, binary.LittleEndian, []uint32{16})
	_ = binary.Write(&b, binary.LittleEndian, []uint16{1, 1})
	_ = binary.Write(&b, binary.LittleEndian, []uint32{8000, 16000})
	_ = binary.Write(&b, binary.LittleEndian, []uint16{2, 16})
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, size)
	_ = binary.Write(&b, binary.LittleEndian, values)
	return b.String()
}
