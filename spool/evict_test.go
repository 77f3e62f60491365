package spool

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// evictMixed fills a spool with anomaly records among much more training
// data, and leaves the anomaly stream behind.
func evictMixed(t *testing.T, s *Spool, from, to int) {
	t.Helper()
	var recs []Record
	for i := from; i < to; i++ {
		recs = append(recs, sampleOf("training", i, noise(i, 60<<10)), sampleOf("anomaly", i, noise(1e6+i, 2<<10)))
		if len(recs) == 10 || i == to-1 {
			mustAppend(t, s, recs...)
			recs = recs[:0]
		}
	}
}

// TestAnomaliesOutliveTraining: training data many times the cap goes, and
// every anomaly of that time is still there.
func TestAnomaliesOutliveTraining(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.MaxBytes = 48 << 20 })
	training, anomaly := mustStream(t, s, "studio/training", "training"), mustStream(t, s, "studio/anomaly", "anomaly")
	stop := watchUse(dir)
	const records = 1000 // 60 MB of training, 2 MB of anomaly
	evictMixed(t, s, 0, records)
	if most := stop(); most > 48<<20 {
		t.Errorf("the folder took %d bytes, more than the cap", most)
	}
	left, lost := mustFetch(t, training, 1<<20), training.Totals().Lost
	if lost == 0 || uint64(len(left))+lost != records {
		t.Errorf("%d training records are left and %d count as lost, want %d in all", len(left), lost, records)
	}
	if s.Stats().Lost != lost {
		t.Errorf("the spool counts %d lost, its only stream %d", s.Stats().Lost, lost)
	}
	evictCheckAnomalies(t, s, anomaly, records)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, func(c *Config) { c.MaxBytes = 48 << 20 })
	evictCheckAnomalies(t, s, mustStream(t, s, "studio/anomaly", "anomaly"), records)
	if got := mustAppend(t, s, sampleOf("anomaly", 0, noise(1e6, 2<<10))); !got[0].Duplicate {
		t.Error("an anomaly that is still there is taken twice")
	}
	if got := mustAppend(t, s, sampleOf("training", 0, noise(0, 60<<10))); got[0].Duplicate {
		t.Error("a training sample that was lost does not come again")
	}
}

func evictCheckAnomalies(t *testing.T, s *Spool, st *Stream, want int) {
	t.Helper()
	recs := mustFetch(t, st, 1<<20)
	if n, _ := st.Backlog(); len(recs) != want || int(n) != want || st.Totals().Lost != 0 {
		t.Fatalf("%d anomalies come, the backlog is %d and %d are lost; want all %d", len(recs), n, st.Totals().Lost, want)
	}
	for i, r := range recs {
		if !bytes.Equal(readBody(t, r), noise(1e6+i, 2<<10)) {
			t.Fatalf("anomaly %d came back changed", i)
		}
	}
}

// TestAnomaliesAloneGoOldestFirst: when nothing else is left to give, the
// oldest anomalies go, and are counted.
func TestAnomaliesAloneGoOldestFirst(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes = 48 << 20 })
	st := mustStream(t, s, "studio/anomaly", "anomaly")
	const records = 800
	for i := range records {
		mustAppend(t, s, sampleOf("anomaly", i, noise(i, 60<<10)))
	}
	recs, lost := mustFetch(t, st, 1<<20), st.Totals().Lost
	if lost == 0 || int(lost)+len(recs) != records {
		t.Fatalf("%d are left and %d lost, want %d in all", len(recs), lost, records)
	}
	if recs[0].Sequence != lost+1 || recs[len(recs)-1].Sequence != records {
		t.Errorf("what is left goes from %d to %d, want %d to %d", recs[0].Sequence, recs[len(recs)-1].Sequence, lost+1, records)
	}
}

// TestAnomaliesAreNotKeptIfNotAsked: with keep_anomaly_first off the oldest
// goes, whatever it is.
func TestAnomaliesAreNotKeptIfNotAsked(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes, c.KeepAnomalyFirst = 48<<20, false })
	st := mustStream(t, s, "studio/anomaly", "anomaly")
	mustStream(t, s, "studio/training", "training")
	evictMixed(t, s, 0, 900)
	if st.Totals().Lost == 0 {
		t.Error("no anomaly went")
	}
}

// TestLargeAnomaliesOutliveTraining: parts of a large anomaly lie in segments
// before that of its record.
func TestLargeAnomaliesOutliveTraining(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes = 48 << 20 })
	st := mustStream(t, s, "studio/anomaly", "anomaly")
	mustStream(t, s, "studio/training", "training")
	const large = 4
	for n := range large {
		body, err := s.Stage(t.Context(), bytes.NewReader(noise(2e6+n, 1500<<10)), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		evictMixed(t, s, 10*n, 10*n+10)
		rec := sample("anomaly", 1e6+n)
		rec.Body = body
		mustAppend(t, s, rec)
	}
	for i := 1000; i < 2000; i++ {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	recs := mustFetch(t, st, 1<<20)
	if len(recs) != 11*large || st.Totals().Lost != 0 {
		t.Fatalf("%d anomalies come and %d are lost, want all %d", len(recs), st.Totals().Lost, 11*large)
	}
	for n := range large {
		if r := recs[11*n+10]; !bytes.Equal(readBody(t, r), noise(2e6+n, 1500<<10)) {
			t.Errorf("large anomaly %d came back changed", n)
		}
	}
	if s.Stats().Damaged != 0 {
		t.Errorf("%d records count as damaged", s.Stats().Damaged)
	}
}

// TestCrashWhileThinning copies the folder at each step of thinning, as a
// kill there would leave it, and goes on from the copy.
func TestCrashWhileThinning(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.MaxBytes = 48 << 20 })
	mustStream(t, s, "studio/training", "training")
	mustStream(t, s, "studio/anomaly", "anomaly")
	copies := map[string]string{}
	s.thinStep = func(step string) {
		if _, had := copies[step]; had {
			return
		}
		copies[step] = filepath.Join(t.TempDir(), "spool")
		if out, err := exec.Command("cp", "-a", "--sparse=always", dir, copies[step]).CombinedOutput(); err != nil {
			t.Errorf("copy: %v: %s", err, out)
		}
	}
	written := 0
	for ; len(copies) < 4 && written < 1200; written += 20 {
		evictMixed(t, s, written, written+20)
	}
	if len(copies) != 4 {
		t.Fatalf("thinning went through the steps %v, want 4", copies)
	}
	for step, at := range copies {
		t.Run(step, func(t *testing.T) { evictCheckCopy(t, at) })
	}
}

func evictCheckCopy(t *testing.T, dir string) {
	s := openAt(t, dir, func(c *Config) { c.MaxBytes = 48 << 20 })
	training, anomaly := mustStream(t, s, "studio/training", "training"), mustStream(t, s, "studio/anomaly", "anomaly")
	next := s.Stats().NextSequence
	pairs := int(next / 2) // a training and an anomaly record at a time
	evictCheckAnomalies(t, s, anomaly, pairs)
	left, lost := mustFetch(t, training, 1<<20), training.Totals().Lost
	if n, _ := training.Backlog(); uint64(len(left))+lost != uint64(pairs) || int(n) != len(left) {
		t.Errorf("%d training records are left, %d lost, backlog %d; want %d in all", len(left), lost, n, pairs)
	}
	for _, d := range evictNames(t, filepath.Join(dir, "seg")) {
		if filepath.Ext(d) != "" {
			t.Errorf("%s is left", d)
		}
	}
	for _, seg := range s.table.list() {
		row, takes := s.table.row(seg), treeBytes(seg.dir)
		if row.Sealed && max(row.Disk-takes, takes-row.Disk) > 64<<10 { // the copy is sparser
			t.Errorf("segment %s counts for %d bytes and takes %d", seg.id.name(), row.Disk, takes)
		}
	}
	stop := watchUse(dir)
	evictMixed(t, s, pairs, pairs+100)
	if most := stop(); most > 48<<20 {
		t.Errorf("the folder took %d bytes, more than the cap", most)
	}
	evictCheckAnomalies(t, s, anomaly, pairs+100)
}

func evictNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		names = append(names, d.Name())
	}
	return names
}

// TestClassFollowsTheDataset: the category is the last element of a dataset's
// name, whatever project it is of.
func TestClassFollowsTheDataset(t *testing.T) {
	s := &Spool{conf: DefaultConfig()}
	for name, want := range map[string]bool{"anomaly": true, "pump-4/anomaly": true, "training": false, "anomaly/training": false, "anomaly2": false} {
		if got := s.keptLonger(name); got != want {
			t.Errorf("%s is kept longer: %v, want %v", name, got, want)
		}
	}
	s.conf.KeepAnomalyFirst = false
	if s.keptLonger("anomaly") {
		t.Error("anomaly is kept longer though it was not asked for")
	}
}
