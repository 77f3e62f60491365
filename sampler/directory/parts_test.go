package directory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/edgespool/edgespool/sampler"
)

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	good.Path = "/srv/recordings"
	for name, c := range map[string]struct {
		change func(c *Config)
		fields []string
	}{
		"the default":        {func(*Config) {}, nil},
		"a fixed label":      {func(c *Config) { c.Label, c.Category, c.DefaultCategory = "=up", "split", "split" }, nil},
		"move":               {func(c *Config) { c.After, c.MoveTo = AfterMove, "/srv/done" }, nil},
		"nothing":            {func(c *Config) { *c = Config{} }, []string{"path", "include", "after", "label", "category", "default_category"}},
		"bad patterns":       {func(c *Config) { c.Include = []string{"[", ""} }, []string{"include", "include"}},
		"no text":            {func(c *Config) { c.Label = "= " }, []string{"label"}},
		"a bare label":       {func(c *Config) { c.Label = "idle" }, []string{"label"}},
		"an odd category":    {func(c *Config) { c.Category, c.DefaultCategory = "production", "folder" }, []string{"category", "default_category"}},
		"settle":             {func(c *Config) { c.Settle = -1 }, []string{"settle"}},
		"move to nowhere":    {func(c *Config) { c.After = AfterMove }, []string{"move_to"}},
		"move to where from": {func(c *Config) { c.After, c.MoveTo = AfterMove, "/srv/./recordings/" }, []string{"move_to"}},
		"move_to and delete": {func(c *Config) { c.After, c.MoveTo = AfterDelete, "/srv/done" }, []string{"move_to"}},
		"move_to and keep":   {func(c *Config) { c.MoveTo = "/srv/done" }, nil},
	} {
		config := good
		c.change(&config)
		var fields []string
		config.Validate(func(field, problem, remedy string) {
			fields = append(fields, field)
			if problem == "" || remedy == "" {
				t.Errorf("%s: %s: problem %q, remedy %q", name, field, problem, remedy)
			}
		})
		if !slices.Equal(fields, c.fields) {
			t.Errorf("%s: faults in %v, want %v", name, fields, c.fields)
		}
		if _, err := New(sampler.Setup{}, config); (err == nil) != (len(c.fields) == 0) {
			t.Errorf("%s: new source: %v", name, err)
		}
	}
}

func TestSightings(t *testing.T) {
	var g sightings
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	look := func(s stamp, d time.Duration) *sighting {
		g.begin()
		k := g.note("a", s, at(d))
		g.sweep()
		return k
	}
	first, second := stamp{ino: 1, size: 1}, stamp{ino: 1, size: 2}
	for _, step := range []struct {
		stamp   stamp
		at      time.Duration
		settled bool
	}{
		{first, 0, false}, {first, 900 * time.Millisecond, false}, {first, time.Second, true},
		{second, 2 * time.Second, false}, {second, 4 * time.Second, true}, {first, 5 * time.Second, false},
	} {
		if got := look(step.stamp, step.at).settled(at(step.at), time.Second); got != step.settled {
			t.Errorf("at %v: settled %v", step.at, got)
		}
	}
	// One look is not enough, however long ago.
	g.begin()
	g.sweep()
	k := look(first, 6*time.Second)
	if k.settled(at(time.Hour), time.Second) {
		t.Error("settled after one look")
	}
	var waits []time.Duration
	for range 12 {
		k.failed(at(6*time.Second), errors.New("input/output error"))
		waits = append(waits, k.due(0).Sub(at(6*time.Second)))
	}
	if waits[0] != time.Second || waits[5] != 32*time.Second || waits[11] != lastRetry {
		t.Errorf("waits %v", waits)
	}
}

func TestAnOverflowIsAHint(t *testing.T) {
	dir := t.TempDir()
	b := prepareIn(t, dir)
	h := newHints(dir, fsnotify.NewWatcher, testLog(b))
	defer h.close()
	at, err := locate(dir)
	if err != nil {
		t.Fatal(err)
	}
	h.watch(dir, at)
	hinted := func(what string) {
		t.Helper()
		select {
		case <-h.wake:
		case <-time.After(time.Minute):
			t.Errorf("%s is no hint", what)
		}
	}
	h.watcher.Errors <- fsnotify.ErrEventOverflow
	hinted("an overflow")
	b.write("a.csv", csv("1"))
	hinted("a new file")
}

func TestIncluded(t *testing.T) {
	for _, c := range []struct {
		pattern, rel string
		want         bool
	}{
		{"*.csv", "a.csv", true}, {"*.csv", "deep/a.CSV", true}, {"*.CSV", "a.csv", true}, {"*.csv", "a.csv.gz", false},
		{"training/*.csv", "training/a.csv", true}, {"training/*.csv", "testing/a.csv", false}, {"training/*.csv", "x/training/a.csv", false},
	} {
		if got := included([]string{"*.none", c.pattern}, c.rel); got != c.want {
			t.Errorf("%s, %s: got %v", c.pattern, c.rel, got)
		}
	}
}

func TestNamesThatAreNotFree(t *testing.T) {
	for name, want := range map[string]string{"a.csv": "a.tag.csv", "a.01.csv": "a.01.tag.csv", "a": "a.tag", ".a": ".a.tag"} {
		if got := withTag(name, "tag"); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func FuzzTable(f *testing.F) {
	for _, s := range []string{"", "\n", "a,b\n", "a,b\n1,2\n", "1;2\r\n", "\xff\x00", strings.Repeat("x", 70_000) + "\n1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := checkTable(strings.NewReader(text))
		var refused *refusal
		if err != nil && !errors.As(err, &refused) {
			t.Errorf("an error that is no refusal: %v", err)
		}
		if lines := strings.Fields(text); err == nil && len(lines) == 0 {
			t.Error("a table of nothing is taken")
		}
	})
}

// BenchmarkLook measures a look at a folder of files that are all known.
func BenchmarkLook(b *testing.B) {
	const files = 10_000
	dir, known := b.TempDir(), newShelf()
	for i := range files {
		path := filepath.Join(dir, fmt.Sprintf("a.%d.csv", i))
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			b.Fatal(err)
		}
		s, _, err := lstat(path)
		if err != nil {
			b.Fatal(err)
		}
		known.memory[s.key()] = true
	}
	s, err := New(sampler.Setup{Name: "s", Memory: known}, quick(dir))
	if err != nil {
		b.Fatal(err)
	}
	s.hints, s.pruned = &hints{watched: make(map[string]whereabouts)}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		sc, err := s.scan(b.Context())
		if err != nil || len(sc.candidates) != 0 {
			b.Fatal(len(sc.candidates), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
}
