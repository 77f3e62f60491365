package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// A damageFixture is a spool as a good stop and as kill -9 left it.
type damageFixture struct {
	closed, killed string
	content        map[uint64]string // sequence → dataset and hash of its body
	exceptions     int
}

// damageSetting is a fact in meta that damage elsewhere must not touch.
const damageSetting = "north gate"

func buildDamageFixture(t *testing.T) *damageFixture {
	t.Helper()
	dir := t.TempDir()
	f := &damageFixture{closed: dir, killed: t.TempDir(), content: map[uint64]string{}, exceptions: 12}
	s, err := Open(testConfig(dir, nil))
	if err != nil {
		t.Fatal(err)
	}
	add := func(recs ...Record) {
		for i, r := range mustAppend(t, s, recs...) {
			f.content[r.Sequence] = fmt.Sprintf("%s %x", recs[i].Dataset, recs[i].Body.SHA256())
		}
	}
	for i := range 60 {
		add(sampleOf("training", i, noise(i, 30<<10)), sampleOf("testing", i, noise(1000+i, 9<<10)))
		add(sampleOf("anomaly", 3*i, noise(3*i, 500)), sampleOf("anomaly", 3*i+1, noise(3*i+1, 500)), sampleOf("anomaly", 3*i+2, noise(3*i+2, 500)))
		if i%20 == 7 {
			add(sampleOf("testing", 2000+i, noise(2000+i, 300<<10)))
		}
	}
	st := mustStream(t, s, "delivered", "anomaly")
	for _, r := range mustFetch(t, st, f.exceptions) {
		if err := st.Settle(t.Context(), Outcome{Sequence: r.Sequence, Fate: FateRejected, Reason: strings.Repeat("no ", 50)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting("site", []byte(damageSetting)); err != nil {
		t.Fatal(err)
	}
	copyTree(t, dir, f.killed) // the mappings' pages are the files'
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return copySparse(path, filepath.Join(to, rel))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A damageCase harms a copy of the fixture.
type damageCase struct {
	name   string
	killed bool // the copy is of the killed spool
	harm   func(t *testing.T, d *damagedSpool)
}

// A damagedSpool is a copy that is being harmed.
type damagedSpool struct {
	dir    string
	blocks []damagedBlock
	lost   map[uint64]bool // records whose bytes were hit
	facts  bool            // facts in meta or history were hit as well
	// uncounted: nothing is left that could tell how much was lost.
	uncounted bool
	// unseen: no harm is done that anybody could see.
	unseen bool
	// nothing is left that could be set aside.
	nothing bool
	// page: one of the duplicate index was hit. Its samples may be taken again
	// until the run is made anew, which the first start does.
	page bool
	// bodies: records of which parts of their large bodies were hit; who reads
	// them finds out.
	bodies map[uint64]bool
}

type damagedBlock struct {
	blockPlace
	records []stored
}

// newDamagedSpool copies a spool and notes what stands where.
func newDamagedSpool(t *testing.T, from string) *damagedSpool {
	t.Helper()
	d := &damagedSpool{dir: t.TempDir(), lost: map[uint64]bool{}, bodies: map[uint64]bool{}}
	copyTree(t, from, d.dir)
	v, err := openView(d.dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	for _, st := range v.stores {
		for _, place := range st.chunks {
			b, err := v.read(place)
			if err != nil {
				t.Fatal(err)
			}
			recs, err := decodeChunk(&b)
			if err != nil {
				t.Fatal(err)
			}
			d.blocks = append(d.blocks, damagedBlock{place, recs})
		}
	}
	for _, place := range v.parts {
		d.blocks = append(d.blocks, damagedBlock{place, nil})
	}
	return d
}

// file is the biggest file of that kind.
func (d *damagedSpool) file(t *testing.T, pattern string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(d.dir, pattern))
	best, size := "", int64(-1)
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil && fi.Size() > size {
			best, size = f, fi.Size()
		}
	}
	if best == "" {
		t.Fatalf("nothing matches %s", pattern)
	}
	return best
}

// segment is the folder of the first, second … or, from -1, last segment.
func (d *damagedSpool) segment(t *testing.T, n int) string {
	t.Helper()
	segs, err := filepath.Glob(filepath.Join(d.dir, "seg", "*"))
	if err != nil || len(segs) < 3 {
		t.Fatalf("the fixture has %d segments", len(segs))
	}
	rel, _ := filepath.Rel(d.dir, segs[(n+len(segs))%len(segs)])
	return rel
}

// hit notes the records that need a byte of that stretch of a file.
func (d *damagedSpool) hit(path string, from, to int64) {
	bodies := map[string]bool{}
	for _, b := range d.blocks {
		if b.path != path || b.at >= to || b.at+int64(b.size) <= from {
			continue
		}
		if b.head.kind == kindPart {
			bodies[b.head.name] = true
		}
		for _, r := range b.records {
			d.lost[r.sequence] = true
		}
	}
	for _, b := range d.blocks {
		for _, r := range b.records {
			if bodies[r.parts.id] && !d.lost[r.sequence] {
				d.lost[r.sequence], d.bodies[r.sequence] = true, true
			}
		}
	}
}

func (d *damagedSpool) flip(t *testing.T, path string, at int64) {
	t.Helper()
	flipAt(t, path, at)
	d.hit(path, at, at+1)
}

// zero overwrites a stretch with zeros.
func (d *damagedSpool) zero(t *testing.T, path string, from, to int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, to-from), from); err != nil {
		t.Fatal(err)
	}
	d.hit(path, from, to)
}

func (d *damagedSpool) cut(t *testing.T, path string, to int64) {
	t.Helper()
	truncate(t, path, to)
	d.hit(path, to, 1<<40)
}

// end is where the last block of a file ends.
func (d *damagedSpool) end(path string) int64 {
	var end int64
	for _, b := range d.blocks {
		if b.path == path {
			end = max(end, b.at+int64(b.size))
		}
	}
	return end
}

// middle is the chunk half way through a value log.
func (d *damagedSpool) middle(path string) damagedBlock {
	var best damagedBlock
	for _, b := range d.blocks {
		if b.path == path && len(b.records) > 0 && b.at < d.end(path)/2 && b.at > best.at {
			best = b
		}
	}
	return best
}

func (d *damagedSpool) length(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// A damageReading is what one start finds, as the child prints it.
type damageReading struct {
	Records     map[uint64]string // by the first stream of each dataset
	Again       map[uint64]string // by the second one
	Unknown     int               // of what Records has, how many may come again
	Damaged     uint64
	Quarantined int
	Complaints  int // warnings and errors in the log
	Exceptions  int
	Setting     string
	Next        uint64
}

// countedLog counts what is to be said.
type countedLog struct{ lines atomic.Int64 }

func (l *countedLog) Info(string, ...any)            {}
func (l *countedLog) Warn(line string, args ...any)  { l.lines.Add(1); l.print(line, args) }
func (l *countedLog) Error(line string, args ...any) { l.lines.Add(1); l.print(line, args) }
func (l *countedLog) print(line string, args []any)  { fmt.Fprintln(os.Stderr, line, args) }

// readDamaged opens a spool, reads everything in it by two streams for each
// dataset, and prints what it found.
func readDamaged(dir string) {
	log := &countedLog{}
	s, err := Open(testConfig(dir, func(c *Config) { c.Log = log }))
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		os.Exit(1)
	}
	r := damageReading{Records: map[uint64]string{}, Again: map[uint64]string{}}
	for i, into := range []map[uint64]string{r.Records, r.Again} {
		for _, dataset := range []string{"training", "testing", "anomaly"} {
			if err := readDataset(s, fmt.Sprintf("check/%d/%s", i, dataset), dataset, into); err != nil {
				fmt.Fprintln(os.Stderr, "read:", err)
				os.Exit(1)
			}
		}
	}
	for _, body := range r.Records {
		var dataset string
		var sum []byte
		_, _ = fmt.Sscanf(body, "%s %x", &dataset, &sum)
		if _, known := s.Seen([32]byte(sum)); !known && dataset != "anomaly" { // of which some were rejected
			r.Unknown++
		}
	}
	if st, err := s.Stream("delivered", "anomaly", StreamOptions{Pin: true}); err == nil {
		found, _ := st.Exceptions(context.Background(), 0, 1000)
		r.Exceptions = len(found)
	}
	setting, _ := s.Setting("site")
	stats := s.Stats()
	r.Damaged, r.Quarantined, r.Next, r.Setting = stats.Damaged, stats.Quarantined, stats.NextSequence, string(setting)
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close:", err)
		os.Exit(1)
	}
	r.Complaints = int(log.lines.Load())
	_ = json.NewEncoder(os.Stdout).Encode(r)
}

// readDataset reads what a stream gives; a body that cannot be read is lost,
// as a destination would say.
func readDataset(s *Spool, name, dataset string, into map[uint64]string) error {
	st, err := s.Stream(name, dataset, StreamOptions{})
	if err != nil {
		return err
	}
	if err := st.Reset(context.Background(), 0); err != nil {
		return err
	}
	recs, err := st.Fetch(context.Background(), Limit{Records: 1 << 20, Bytes: 1 << 40})
	if err != nil {
		return err
	}
	for _, rec := range recs {
		rd, err := rec.Body.Open()
		if err != nil {
			continue
		}
		data, err := io.ReadAll(rd)
		if err == nil {
			into[rec.Sequence] = fmt.Sprintf("%s %x", dataset, sha256Sum(data))
		}
	}
	return nil
}

func damageCases() []damageCase {
	var cases []damageCase
	add := func(killed bool, name string, harm func(t *testing.T, d *damagedSpool)) {
		prefix := "closed "
		if killed {
			prefix = "killed "
		}
		cases = append(cases, damageCase{prefix + name, killed, harm})
	}
	both := func(name string, harm func(t *testing.T, d *damagedSpool)) {
		add(false, name, harm)
		add(true, name, harm)
	}
	addSegmentCases(add, both)
	addFactCases(add, both)
	addFolderCases(both)
	return cases
}

// addSegmentCases harms the first segment, which is sealed, the last one, which
// is not, and both of them after kill -9.
func addSegmentCases(add func(bool, string, func(*testing.T, *damagedSpool)), both func(string, func(*testing.T, *damagedSpool))) {
	for which, n := range map[string]int{"sealed": 0, "newest": -1} {
		logOf := func(t *testing.T, d *damagedSpool) string { return d.file(t, d.segment(t, n)+"/*.vlog") }
		for where, offset := range map[string]int64{
			"magic": 0, "name of dataset": 65, "sum": 61, "first sequence": 20, "body": 200, "end of body": -1,
			"pair's sum": -1000, "pair's lengths": -1001, "pair's key": -1002,
		} {
			both(which+" log flipped in "+where, func(t *testing.T, d *damagedSpool) {
				path := logOf(t, d)
				b := d.middle(path)
				at := b.at + offset
				switch offset {
				case -1:
					at = b.at + int64(b.size) - 1
				case -1000:
					at = b.at + int64(b.size) + 1
				case -1001:
					at = b.at - int64(len(b.head.key())+8) - 4
				case -1002:
					at = b.at - 20
				}
				d.flip(t, path, at)
			})
		}
		both(which+" log flipped in many places", func(t *testing.T, d *damagedSpool) {
			path := logOf(t, d)
			for at := int64(3000); at < d.middle(path).at; at += 41_000 {
				d.flip(t, path, at)
			}
		})
		both(which+" log flipped in header", func(t *testing.T, d *damagedSpool) { flipAt(t, logOf(t, d), 3) })
		both(which+" log zeroed in the middle", func(t *testing.T, d *damagedSpool) {
			path := logOf(t, d)
			at := d.middle(path).at &^ 4095
			d.zero(t, path, at, at+8192)
		})
		both(which+" log cut in the middle", func(t *testing.T, d *damagedSpool) {
			path := logOf(t, d)
			d.cut(t, path, d.middle(path).at+100)
			d.uncounted, d.nothing = true, true
		})
		both(which+" log tail zeroed", func(t *testing.T, d *damagedSpool) {
			path := logOf(t, d)
			d.zero(t, path, d.middle(path).at+100, d.end(path)+8)
			d.uncounted, d.nothing = true, true
		})
		both(which+" log empty", func(t *testing.T, d *damagedSpool) {
			d.cut(t, logOf(t, d), 0)
			d.uncounted, d.nothing = true, true
		})
		both(which+" log gone", func(t *testing.T, d *damagedSpool) {
			path := logOf(t, d)
			d.hit(path, 0, 1<<40)
			remove(t, path)
			d.uncounted, d.nothing = true, true
		})
		for name, harm := range map[string]func(t *testing.T, path string){
			"empty":            func(t *testing.T, path string) { truncate(t, path, 0) },
			"gone":             func(t *testing.T, path string) { remove(t, path) },
			"cut":              func(t *testing.T, path string) { truncate(t, path, 9) },
			"a folder":         func(t *testing.T, path string) { remove(t, path); mkdir(t, path) },
			"flipped at front": func(t *testing.T, path string) { flipAt(t, path, 1) },
			"flipped behind":   flipLast,
			"with garbage":     appendGarbage,
		} {
			for _, file := range []string{"MANIFEST", "KEYREGISTRY", "DISCARD"} {
				both(which+" "+file+" "+name, func(t *testing.T, d *damagedSpool) {
					harm(t, filepath.Join(d.dir, d.segment(t, n), file))
					d.unseen = file == "DISCARD" || file == "KEYREGISTRY" && (name == "gone" || strings.HasPrefix(name, "flipped at")) ||
						file == "MANIFEST" && (name == "with garbage" || name == "cut" && hasKeyLog(filepath.Join(d.dir, d.segment(t, n))))
				})
			}
			add(false, which+" table "+name, func(t *testing.T, d *damagedSpool) { harm(t, d.file(t, d.segment(t, n)+"/*.sst")) })
		}
		for _, back := range []int64{2, 6, 30, 200, 4000} {
			add(false, fmt.Sprintf("%s table flipped %d before its end", which, back), func(t *testing.T, d *damagedSpool) {
				path := d.file(t, d.segment(t, n)+"/*.sst")
				flipAt(t, path, max(0, d.length(t, path)-back))
			})
		}
		both(which+" marker found", func(t *testing.T, d *damagedSpool) {
			touch(t, filepath.Join(d.dir, d.segment(t, n), markerName))
			d.unseen = true
		})
		both(which+" foreign files inside", func(t *testing.T, d *damagedSpool) {
			for _, name := range []string{"notes.txt", "abc.sst", "abc.mem", "abc.vlog"} {
				touch(t, filepath.Join(d.dir, d.segment(t, n), name))
			}
			mkdir(t, filepath.Join(d.dir, d.segment(t, n), "folder"))
			d.unseen = true
		})
		both(which+" a file in its place", func(t *testing.T, d *damagedSpool) {
			dir := filepath.Join(d.dir, d.segment(t, n))
			logs, _ := filepath.Glob(dir + "/*.vlog")
			for _, path := range logs {
				d.hit(path, 0, 1<<40)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			touch(t, dir)
			d.uncounted = true
		})
	}
	for name, harm := range map[string]func(t *testing.T, path string, length int64){
		"gone":          func(t *testing.T, path string, _ int64) { remove(t, path) },
		"empty":         func(t *testing.T, path string, _ int64) { truncate(t, path, 0) },
		"cut":           func(t *testing.T, path string, length int64) { truncate(t, path, length/2) },
		"flipped early": func(t *testing.T, path string, _ int64) { flipAt(t, path, 40) },
		"flipped":       func(t *testing.T, path string, length int64) { flipAt(t, path, length/2) },
		"with holes":    func(t *testing.T, path string, length int64) { hole(t, path, length/3&^511) },
		"zeroed":        func(t *testing.T, path string, _ int64) { hole(t, path, 0) },
	} {
		add(true, "newest log of keys "+name, func(t *testing.T, d *damagedSpool) {
			path := d.file(t, d.segment(t, -1)+"/*.mem")
			harm(t, path, keysEnd(t, path))
			d.unseen = true
		})
	}
	add(true, "newest keys ahead of their values", func(t *testing.T, d *damagedSpool) {
		path := d.file(t, d.segment(t, -1)+"/*.vlog")
		last := damagedBlock{}
		for _, b := range d.blocks {
			if b.path == path && len(b.records) > 0 && b.at > last.at {
				last = b
			}
		}
		d.zero(t, path, last.at-120, d.end(path)+4)
		d.uncounted, d.unseen = true, true // it looks like a commit that nobody acknowledged
	})
}

// addFactCases harms what is beside the segments.
func addFactCases(add func(bool, string, func(*testing.T, *damagedSpool)), both func(string, func(*testing.T, *damagedSpool))) {
	files := map[string]func(t *testing.T, path string){
		"empty":    func(t *testing.T, path string) { truncate(t, path, 0) },
		"gone":     func(t *testing.T, path string) { remove(t, path) },
		"a folder": func(t *testing.T, path string) { remove(t, path); mkdir(t, path) },
		"flipped":  func(t *testing.T, path string) { flipAt(t, path, 5) },
		"garbage":  appendGarbage,
		"cut":      func(t *testing.T, path string) { truncate(t, path, 19) },
	}
	for name, harm := range files {
		both("FORMAT "+name, func(t *testing.T, d *damagedSpool) {
			harm(t, filepath.Join(d.dir, "FORMAT"))
			d.nothing = name == "gone"
		})
		for _, file := range []string{"LOCK", "ballast"} {
			if name == "flipped" || name == "cut" {
				continue
			}
			both(file+" "+name, func(t *testing.T, d *damagedSpool) {
				harm(t, filepath.Join(d.dir, file))
				d.unseen = true
			})
		}
		for _, store := range []string{"meta", "hist"} {
			for _, file := range []string{"MANIFEST", "KEYREGISTRY"} {
				both(store+" "+file+" "+name, func(t *testing.T, d *damagedSpool) {
					path := d.file(t, store+"/0*/"+file)
					harm(t, path)
					d.unseen = file == "KEYREGISTRY" && (name == "gone" || name == "flipped" || name == "a folder" && store == "meta") ||
						file == "MANIFEST" && (name == "garbage" || name == "cut" && hasKeyLog(filepath.Dir(path)))
				})
			}
			both(store+" value log "+name, func(t *testing.T, d *damagedSpool) {
				harm(t, d.file(t, store+"/0*/*.vlog"))
				d.facts, d.unseen = true, true
			})
			add(false, store+" table "+name, func(t *testing.T, d *damagedSpool) {
				harm(t, d.file(t, store+"/0*/*.sst"))
				d.facts = store == "meta"
			})
			add(true, store+" log of keys "+name, func(t *testing.T, d *damagedSpool) {
				harm(t, d.file(t, store+"/0*/*.mem"))
				d.facts, d.unseen = true, true
			})
		}
		both("READY of meta "+name, func(t *testing.T, d *damagedSpool) {
			harm(t, d.file(t, "meta/0*/READY"))
			d.facts, d.unseen = name == "gone", true
		})
		both("run "+name, func(t *testing.T, d *damagedSpool) {
			run := d.file(t, "seen/*.run")
			harm(t, run)
			d.unseen, d.nothing = name == "gone", strings.HasSuffix(run, looseRun) // which a power cut may spoil
		})
	}
	for _, at := range []int64{10, 40, 200, 4200} {
		both(fmt.Sprintf("run flipped at %d", at), func(t *testing.T, d *damagedSpool) {
			run := d.file(t, "seen/*.run")
			flipAt(t, run, at)
			d.page = at >= runPage
			d.nothing = d.page || strings.HasSuffix(run, looseRun) // it is still good for the rest, or made again
		})
		if at > 1000 {
			continue
		}
		add(true, fmt.Sprintf("meta log of keys flipped at %d", at), func(t *testing.T, d *damagedSpool) {
			flipAt(t, d.file(t, "meta/0*/*.mem"), at)
			d.facts = true
			d.unseen = at < logHeader
		})
	}
	for _, store := range []string{"meta", "hist"} {
		both(store+" marker found", func(t *testing.T, d *damagedSpool) {
			touch(t, filepath.Join(filepath.Dir(d.file(t, store+"/0*/MANIFEST")), markerName))
			d.unseen = true
		})
		both(store+" gone", func(t *testing.T, d *damagedSpool) {
			if err := os.RemoveAll(filepath.Join(d.dir, store)); err != nil {
				t.Fatal(err)
			}
			d.facts, d.unseen = true, true
		})
	}
}

// addFolderCases puts things where they do not belong.
func addFolderCases(both func(string, func(*testing.T, *damagedSpool))) {
	for _, folder := range []string{"", "meta", "seg", "hist", "seen", "quarantine"} {
		both("foreign files and folders in "+folder+"/", func(t *testing.T, d *damagedSpool) {
			dir := filepath.Join(d.dir, folder)
			touch(t, filepath.Join(dir, "notes.txt"))
			mkdir(t, filepath.Join(dir, "lost+found"))
			touch(t, filepath.Join(dir, "lost+found", "x"))
			d.unseen = true
		})
		if folder == "" {
			continue
		}
		both("a file in place of "+folder, func(t *testing.T, d *damagedSpool) {
			dir := filepath.Join(d.dir, folder)
			if folder == "seg" {
				d.lost = nil // everything
			}
			d.facts = folder == "meta" || folder == "hist"
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			touch(t, dir)
			d.uncounted, d.unseen = true, true
		})
	}
	both("leftovers of a deletion and of a salvage", func(t *testing.T, d *damagedSpool) {
		seg := filepath.Join(d.dir, d.segment(t, 0))
		copyTree(t, seg, seg+".new")
		copyTree(t, filepath.Join(d.dir, d.segment(t, 1)), filepath.Join(d.dir, "seg", "0000000000000000.del"))
		d.unseen = true
	})
	both("the new store without the old one", func(t *testing.T, d *damagedSpool) {
		seg := filepath.Join(d.dir, d.segment(t, 0))
		if err := os.Rename(seg, seg+".new"); err != nil {
			t.Fatal(err)
		}
		d.unseen = true
	})
	both("empty folders for stores", func(t *testing.T, d *damagedSpool) {
		mkdir(t, filepath.Join(d.dir, "seg", "00000000000fffff"))
		mkdir(t, filepath.Join(d.dir, "hist", "00000077"))
		mkdir(t, filepath.Join(d.dir, "meta", "00000099"))
		d.unseen, d.facts = true, false
	})
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func flipLast(t *testing.T, path string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	flipAt(t, path, fi.Size()-2)
}

func appendGarbage(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(noise(7, 300)); err != nil {
		t.Fatal(err)
	}
}

// hole zeros 4 KiB behind a log's header.
func hole(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 4096), max(at, logHeader)); err != nil {
		t.Fatal(err)
	}
}

// keysEnd is where the pairs of a log of keys end.
func keysEnd(t *testing.T, path string) int64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(bytes.TrimRight(data, "\x00")))
}

// TestDamage harms every kind of file of a spool in every way. Each time the
// spool starts, three times in a row, gives back everything that was not hit
// by two streams, says what it set aside, and takes new records. Inspect finds
// it before, and changes nothing.
func TestDamage(t *testing.T) {
	f := buildDamageFixture(t)
	cases := damageCases()
	slices.SortFunc(cases, func(a, b damageCase) int { return strings.Compare(a.name, b.name) })
	every := 1
	if !soak() {
		every = max(1, len(cases)/rounds(20, 0))
	}
	ran := 0
	for i, c := range cases {
		if i%every != 0 {
			continue
		}
		ran++
		t.Run(c.name, func(t *testing.T) { f.check(t, c) })
	}
	t.Logf("%d of %d cases", ran, len(cases))
}

func (f *damageFixture) check(t *testing.T, c damageCase) {
	from := f.closed
	if c.killed {
		from = f.killed
	}
	d := newDamagedSpool(t, from)
	c.harm(t, d)
	want := maps.Clone(f.content)
	if d.lost == nil {
		clear(want)
	}
	for sequence := range d.lost {
		delete(want, sequence)
	}
	f.inspect(t, d, want)
	starts := 3
	if !soak() {
		starts = 2
	}
	var first damageReading
	for n := range starts {
		got := startDamaged(t, d.dir)
		if !maps.Equal(got.Records, want) || !maps.Equal(got.Again, want) {
			t.Errorf("start %d gives %d records, and %d to a second stream; want %d; missing %v, too many %v", n+1,
				len(got.Records), len(got.Again), len(want), lacks(got.Records, want), lacks(want, got.Records))
		}
		if lost := uint64(len(f.content) - len(want) - len(d.bodies)); got.Damaged != lost && !d.uncounted {
			t.Errorf("start %d counts %d damaged records, want %d", n+1, got.Damaged, lost)
		}
		if !d.facts && (got.Setting != damageSetting || got.Exceptions != f.exceptions) {
			t.Errorf("start %d: setting %q and %d exceptions, want %q and %d", n+1, got.Setting, got.Exceptions, damageSetting, f.exceptions)
		}
		if got.Unknown != 0 && !(d.page && n == 0) {
			t.Errorf("start %d would take %d of %d records again", n+1, got.Unknown, len(got.Records))
		}
		if n == 0 {
			first = got
			if !d.unseen && (got.Complaints == 0 || got.Quarantined == 0 && !d.nothing) {
				t.Errorf("the log has %d warnings, %d are set aside", got.Complaints, got.Quarantined)
			}
		} else if got.Quarantined != first.Quarantined {
			t.Errorf("start %d has %d set aside, the first one had %d", n+1, got.Quarantined, first.Quarantined)
		}
	}
	s := openAt(t, d.dir, nil)
	if got := mustAppend(t, s, sampleOf("training", 9999, noise(9999, 100))); got[0].Duplicate || got[0].Sequence < first.Next {
		t.Errorf("a new record gives %+v, want a sequence from %d on", got[0], first.Next)
	}
}

// inspect looks at a damaged spool before it is mended.
func (f *damageFixture) inspect(t *testing.T, d *damagedSpool, want map[uint64]string) {
	t.Helper()
	before := treeHash(t, d.dir)
	r, err := Inspect(t.Context(), d.dir)
	if err != nil {
		if _, serr := os.Stat(filepath.Join(d.dir, "seg")); serr == nil && d.lost != nil {
			t.Errorf("inspect: %v", err)
		}
	} else {
		if r.Readable != int64(len(want)) {
			t.Errorf("inspect can read %d records, want %d; damage %+v", r.Readable, len(want), r.Damage)
		}
		if !d.unseen && len(r.Damage) == 0 {
			t.Error("inspect finds no damage")
		}
	}
	if d.lost != nil {
		salvaged := map[uint64]string{}
		err := Salvage(t.Context(), d.dir, func(r Record) error {
			salvaged[r.Sequence] = fmt.Sprintf("%s %x", r.Dataset, sha256Sum(readBody(t, r)))
			return nil
		})
		if err != nil || !maps.Equal(salvaged, want) {
			t.Errorf("salvage gives %d records (%v), want %d", len(salvaged), err, len(want))
		}
	}
	if treeHash(t, d.dir) != before {
		t.Error("looking changed the spool")
	}
}

// startDamaged starts a spool in a process of its own, which must live.
func startDamaged(t *testing.T, dir string) damageReading {
	t.Helper()
	child := childCommand("damaged", dir)
	said := new(bytes.Buffer)
	child.Stderr = said
	out, err := child.Output()
	var r damageReading
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		t.Fatalf("start: %v\n%s", err, said)
	}
	if t.Failed() {
		t.Log(said.String())
	}
	return r
}

// lacks are the sequences that one has and the other has not.
func lacks(have, want map[uint64]string) []uint64 {
	var out []uint64
	for sequence := range want {
		if _, ok := have[sequence]; !ok {
			out = append(out, sequence)
		}
	}
	slices.Sort(out)
	return out
}
