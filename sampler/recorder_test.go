package sampler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// desk is a recorder on a test's desk, fed line by line at 10 Hz.
type desk struct {
	*sampler.Recorder
	t     *testing.T
	setup sampler.Setup
	sink  *samplertest.Sink
	logs  *bytes.Buffer
	at    time.Duration
	n     int
}

func tenHertz() sampler.ReadingConfig {
	c := sampler.DefaultReadingConfig()
	c.Sensors = []sampler.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "temp", Units: "Cel"}}
	c.Frequency, c.Window = 10, time.Second
	return c
}

func newDesk(t *testing.T, c sampler.ReadingConfig) *desk {
	t.Helper()
	c.ValidateReadings(func(field, problem, remedy string) { t.Fatalf("%s: %s; %s", field, problem, remedy) })
	logs := &bytes.Buffer{}
	d := &desk{t: t, setup: samplertest.Setup("desk", slog.New(slog.NewTextHandler(logs, nil))), sink: samplertest.NewSink(), logs: logs}
	d.Recorder = sampler.NewRecorder(d.setup, c, d.sink)
	d.at = d.setup.Clock.Since()
	return d
}

// say hands in a line 100 ms after the one before.
func (d *desk) say(text string) {
	d.at += 100 * time.Millisecond
	d.Line(d.t.Context(), sampler.Line{Text: []byte(text), At: d.at})
}

// read hands in n good lines.
func (d *desk) read(n int) {
	for range n {
		d.n++
		d.say(fmt.Sprintf("%d.5,%d", d.n, d.n))
	}
}

// taken describes the records as label/rows, and clears up.
func (d *desk) taken() string {
	d.t.Helper()
	var words []string
	for _, r := range d.sink.Records() {
		words = append(words, fmt.Sprintf("%s/%d", r.Label.Text, document(d.t, r).Rows))
	}
	return strings.Join(words, " ")
}

// shown are the figures after they were brought up to date.
func (d *desk) shown() sampler.Snapshot {
	d.Idle(d.t.Context())
	return d.setup.Progress.Snapshot()
}

// document decodes a window as the far side would get it.
func document(t *testing.T, r spool.Record) *acquisition.Document {
	t.Helper()
	signed, err := acquisition.AppendEnvelope(nil, samplertest.Body(t, r), acquisition.Envelope{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := acquisition.Decode(signed, []byte("k"))
	if err != nil || doc.Signature != acquisition.Valid {
		t.Fatalf("decode %s: %v, signature %v", r.Name, err, doc.Signature)
	}
	return &doc
}

func TestRecorderMakesRecords(t *testing.T) {
	d := newDesk(t, tenHertz())
	d.read(25)
	records := d.sink.Records()
	if len(records) != 2 {
		t.Fatalf("got %d records of 25 readings, want 2", len(records))
	}
	r := records[1]
	doc := document(t, r)
	if doc.IntervalMS != 100 || doc.DeviceName != "02:00:00:00:00:01" || fmt.Sprint(doc.Sensors) != "[{accX m/s2} {temp Cel}]" {
		t.Errorf("payload header: %+v", doc)
	}
	if got := fmt.Sprint(doc.Row(0), doc.Row(9)); got != "[11.5 11] [20.5 20]" {
		t.Errorf("rows: got %s", got)
	}
	if r.Name != "idle."+r.ID()+".cbor" || r.Dataset != "training" || r.Kind != spool.KindWindow || r.Length != time.Second {
		t.Errorf("record: %+v", r)
	}
	if step := r.Time.Since - records[0].Time.Since; step != time.Second {
		t.Errorf("windows begin %v apart, want 1s", step)
	}
	if s := d.shown(); s.Samples != 2 || s.Readings != 25 || s.Rejected != 0 || s.State != sampler.StateRunning || s.LastSample.IsZero() {
		t.Errorf("progress: %+v", s)
	}
}

func TestEqualWindowsAreNoDuplicates(t *testing.T) {
	d := newDesk(t, tenHertz())
	for range 30 {
		d.say("0,0")
	}
	if got := d.taken(); got != "idle/10 idle/10 idle/10" {
		t.Errorf("a machine at rest: got %q, want three records", got)
	}
}

func TestBadLineCostsItsWindow(t *testing.T) {
	d := newDesk(t, tenHertz())
	d.read(7)
	d.say("1.0,x\x80")
	d.read(3)
	d.say("garbage")
	d.read(10)
	d.say("ERR no sensor")
	if got := d.taken(); got != "idle/7 idle/10" {
		t.Errorf("got %q, want the part of 7 and one whole window", got)
	}
	s := d.shown()
	if s.Rejected != 3 || s.Dropped != 3 || s.Readings != 20 || s.Detail["device_errors"] != 1 {
		t.Errorf("progress: %+v", s)
	}
	if s.LastBad != `"ERR no sensor": device reports an error` {
		t.Errorf("last bad line: got %s", s.LastBad)
	}
}

func TestNoWindowSpansABreak(t *testing.T) {
	for _, l := range []sampler.Line{{Broken: true}, {First: true}, {Long: true}} {
		d := newDesk(t, tenHertz())
		d.read(8)
		l.At = d.at + 1
		d.Line(t.Context(), l)
		d.read(10)
		if got := d.taken(); got != "idle/8 idle/10" {
			t.Errorf("%+v: got %q, want idle/8 idle/10", l, got)
		}
	}
}

func TestFirstLineMayBeCut(t *testing.T) {
	d := newDesk(t, tenHertz())
	d.Line(t.Context(), sampler.Line{Text: []byte("5"), At: d.at, First: true})
	d.Line(t.Context(), sampler.Line{Text: []byte("1,2"), At: d.at, First: true})
	if s := d.shown(); s.Rejected != 0 || s.Readings != 1 {
		t.Errorf("first lines: %d rejected, %d read; want 0 and 1", s.Rejected, s.Readings)
	}
}

func TestLabelling(t *testing.T) {
	d := newDesk(t, tenHertz())
	d.read(6)
	d.setup.Labelling.Set(sampler.Choice{Label: "run", Category: "testing"})
	d.read(6)
	d.setup.Labelling.SetFor(sampler.Choice{Label: "sit/down"}, time.Hour)
	d.read(6)
	d.setup.Labelling.SetFor(sampler.Choice{Label: "x"}, -time.Hour) // is over
	d.read(4)
	d.setup.Labelling.Set(sampler.Choice{Label: "run", Category: "testing", Disabled: true})
	d.read(30)
	if s := d.shown(); s.State != sampler.StatePaused {
		t.Errorf("switched off: state %s", s.State)
	}
	d.setup.Labelling.Set(sampler.Choice{Category: "anomaly"})
	d.read(10)
	if got := d.taken(); got != "idle/6 run/6 sit/down/6 /10" {
		t.Errorf("got %q", got)
	}
	var names []string
	for _, r := range d.sink.Records() {
		names = append(names, r.Dataset+" "+strings.TrimSuffix(r.Name, r.ID()+".cbor"))
	}
	if want := []string{"training idle.", "testing run.", "testing sit_down.", "anomaly unlabelled."}; !slices.Equal(names, want) {
		t.Errorf("datasets and names: got %q, want %q", names, want)
	}
}

func TestFirmwareLabels(t *testing.T) {
	c := tenHertz()
	c.LabelColumn = "3"
	d := newDesk(t, c)
	for _, label := range []string{"a", "b", ""} {
		for range 6 {
			d.say("1,2," + label + " ,")
		}
	}
	d.setup.Labelling.SetFor(sampler.Choice{Label: "spoken"}, time.Hour)
	for range 10 {
		d.say("1,2,a")
	}
	if got := d.taken(); got != "a/6 b/6 idle/6 spoken/10" {
		t.Errorf("got %q, want firmware's labels, the configured one without, and the operator's over all", got)
	}
}

func TestSplitGoesByContent(t *testing.T) {
	c := tenHertz()
	c.Window = 100 * time.Millisecond
	d := newDesk(t, c)
	d.setup.Labelling.Set(sampler.Choice{Category: sampler.CategorySplit})
	d.read(500)
	testing := 0
	for _, r := range d.sink.Records() {
		if r.Dataset != sampler.Split(r.Identity) {
			t.Fatalf("%s is in %s", r.Name, r.Dataset)
		}
		if r.Dataset == "testing" {
			testing++
		}
	}
	if testing < 60 || testing > 150 {
		t.Errorf("%d of 500 samples are for testing, want about 100", testing)
	}
}

func TestSpoolThatRefuses(t *testing.T) {
	d := newDesk(t, tenHertz())
	d.read(10)
	d.sink.Refuse(fmt.Errorf("append: %w", spool.ErrFull))
	d.read(25)
	if s := d.shown(); s.State != sampler.StateWaiting || !strings.Contains(s.Error, "full") || s.Dropped != 20 {
		t.Errorf("refused: %+v", s)
	}
	d.sink.Refuse(nil)
	d.read(10)
	if s := d.shown(); s.State != sampler.StateRunning || s.Error != "" || s.Samples != 2 {
		t.Errorf("with room again: %+v", s)
	}
	if n := strings.Count(d.logs.String(), "level="); n != 2 {
		t.Errorf("%d log lines for one refusal, want 2:\n%s", n, d.logs)
	}
}

// TestAStopLeavesNothingUncommitted: whoever drains the spool after the
// sources must find the last window.
func TestAStopLeavesNothingUncommitted(t *testing.T) {
	s := lazySpool(t)
	d := newDesk(t, tenHertz())
	r := sampler.NewRecorder(d.setup, tenHertz(), s)
	in := sampler.NewInbox(sampler.InboxSize)
	for n := range 15 {
		in.Put(sampler.Line{Text: fmt.Appendf(nil, "%d,1", n), At: d.at + time.Duration(n)*100*time.Millisecond})
	}
	in.Close()
	r.Run(t.Context(), in)
	if n := s.Stats().Records; n != 2 || s.Stats().Commits == 0 {
		t.Errorf("%d records in %d commits after the stop, want 2 and at least one", n, s.Stats().Commits)
	}
}

// lazySpool is a real spool that commits nothing by itself in the time of a test.
func lazySpool(t *testing.T) *spool.Spool {
	t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.AllowVolatile = filepath.Join(t.TempDir(), "spool"), true
	c.MaxBytes, c.MinFree = 256<<20, 1<<20
	c.Commit.Interval = time.Hour
	s, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAnomaliesAreCommittedAtOnce(t *testing.T) {
	s := lazySpool(t)
	d := newDesk(t, tenHertz())
	d.Recorder = sampler.NewRecorder(d.setup, tenHertz(), s)
	d.read(10)
	if n := s.Stats().Commits; n != 0 || d.shown().Samples != 1 {
		t.Errorf("a training sample: %d commits, progress %+v; want none yet", n, d.shown())
	}
	d.setup.Labelling.Set(sampler.Choice{Category: "anomaly"})
	d.read(10)
	samplertest.Until(t, "the commit", func() bool { return s.Stats().Commits > 0 }, nil)
}

func TestFrequencyIsMeasured(t *testing.T) {
	c := tenHertz()
	c.Frequency = 0
	d := newDesk(t, c)
	d.read(40)
	if got := d.taken(); got != "idle/10 idle/10 idle/10 idle/10" {
		t.Errorf("got %q, want all readings in windows of 1 s", got)
	}
	if s := d.shown(); s.Frequency < 9.99 || s.Frequency > 10.01 {
		t.Errorf("frequency: got %v Hz, want 10", s.Frequency)
	}
	if doc := document(t, d.sink.Records()[0]); doc.IntervalMS != 100 {
		t.Errorf("interval: got %v ms, want 100", doc.IntervalMS)
	}
}

// TestGapsLeaveTheRateAlone: with a duty cycle most gaps fall where no window
// is open.
func TestGapsLeaveTheRateAlone(t *testing.T) {
	c := tenHertz()
	c.Frequency, c.Every = 0, 10*time.Second
	d := newDesk(t, c)
	for range 6 {
		d.read(150)
		d.at += 7 * time.Second
	}
	if s := d.shown(); s.Frequency < 9.99 || s.Frequency > 10.01 {
		t.Errorf("frequency: got %v Hz, want 10", s.Frequency)
	}
	for _, r := range d.sink.Records() {
		if doc := document(t, r); doc.IntervalMS != 100 || doc.Rows != 10 {
			t.Errorf("a window of %d rows at %v ms", doc.Rows, doc.IntervalMS)
		}
	}
}

func TestDriftIsReported(t *testing.T) {
	c := tenHertz()
	c.Frequency = 20
	d := newDesk(t, c)
	d.read(60)
	if s := d.shown(); s.Frequency < 9.99 || s.Frequency > 10.01 {
		t.Errorf("frequency: got %v Hz, want the measured 10", s.Frequency)
	}
	if n := strings.Count(d.logs.String(), "another rate"); n != 1 {
		t.Errorf("%d warnings of the wrong rate, want 1:\n%s", n, d.logs)
	}
	if got := d.taken(); got != "idle/20 idle/20 idle/20" {
		t.Errorf("got %q: a wrong rate must not make gaps", got)
	}
}

// TestBufferedLinesHaveNoRate: what waited in the port's buffer comes at once
// when the port is opened, and says nothing of how often readings come.
func TestBufferedLinesHaveNoRate(t *testing.T) {
	d := newDesk(t, tenHertz())
	d.Line(t.Context(), sampler.Line{Text: []byte("1.5,1"), At: d.at, First: true})
	for range 300 {
		d.Line(t.Context(), sampler.Line{Text: []byte("1.5,1"), At: d.at + 5*time.Millisecond})
	}
	d.read(60)
	if s := d.shown(); s.Frequency < 9.9 || s.Frequency > 10.1 {
		t.Errorf("frequency: got %v Hz, want 10", s.Frequency)
	}
	if strings.Contains(d.logs.String(), "another rate") {
		t.Errorf("a wrong rate is reported:\n%s", d.logs)
	}
}

// TestFarTooSlow: at a hundredth of the configured rate every reading looks
// late, until the real rate is known.
func TestFarTooSlow(t *testing.T) {
	c := tenHertz()
	c.Frequency = 100
	d := newDesk(t, c)
	for range 250 {
		d.at += 900 * time.Millisecond
		d.read(1)
	}
	if got := d.taken(); got != "idle/100 idle/100" {
		t.Errorf("got %q, want windows of 100 readings", got)
	}
	if s := d.shown(); s.Frequency < 0.99 || s.Frequency > 1.01 {
		t.Errorf("frequency: got %v Hz, want 1", s.Frequency)
	}
}

func TestWithoutSensors(t *testing.T) {
	c := tenHertz()
	c.Sensors = nil
	d := newDesk(t, c)
	d.Line(t.Context(), sampler.Line{Text: []byte("2"), At: d.at, First: true})
	d.read(11)
	if doc := document(t, d.sink.Records()[0]); fmt.Sprint(doc.Sensors) != "[{value0 N/A} {value1 N/A}]" {
		t.Errorf("sensors: got %v", doc.Sensors)
	}
	if s := d.shown(); s.Rejected != 0 {
		t.Errorf("learning rejected %d lines", s.Rejected)
	}
}

func TestHeaderEndsTheWindow(t *testing.T) {
	d := newDesk(t, tenHertz())
	d.read(6)
	d.say("temp,accX")
	d.read(10)
	if got := d.taken(); got != "idle/6 idle/10" {
		t.Errorf("got %q", got)
	}
	if doc := document(t, d.sink.Records()[1]); fmt.Sprint(doc.Row(0)) != "[7 7.5]" {
		t.Errorf("columns in the header's order: got %v", doc.Row(0))
	}
	if s := d.shown(); s.Rejected != 0 || strings.Count(d.logs.String(), "another order") != 1 {
		t.Errorf("%d rejected; log:\n%s", s.Rejected, d.logs)
	}
}

func TestSilenceIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, tenHertz())
		d.Opened()
		time.Sleep(29 * time.Second)
		if s := d.shown(); s.State != sampler.StateRunning {
			t.Errorf("after 29 s: %s, %s", s.State, s.Error)
		}
		time.Sleep(2 * time.Second)
		if s := d.shown(); s.State != sampler.StateWaiting || s.Error != "no reading for 31s: check wiring, baud rate and format" {
			t.Errorf("after 31 s: %s, %s", s.State, s.Error)
		}
		d.read(1)
		if s := d.shown(); s.State != sampler.StateRunning || s.Error != "" {
			t.Errorf("after a reading: %s, %s", s.State, s.Error)
		}
		if d.Gone(errors.New("port is gone")); d.shown().Error != "port is gone" {
			t.Errorf("gone: %+v", d.shown())
		}
	})
}

// TestRunRecordsWhatIsLeft: the inbox is emptied after the context has ended,
// and the part of a window that is long enough is kept.
func TestRunRecordsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, tenHertz())
		in := sampler.NewInbox(sampler.InboxSize)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.Run(ctx, in) }()
		for range 16 {
			time.Sleep(100 * time.Millisecond)
			in.Put(sampler.Line{Text: []byte("1,2"), At: d.setup.Clock.Since()})
		}
		cancel()
		in.Close()
		<-done
		if got := d.taken(); got != "idle/10 idle/6" {
			t.Errorf("got %q, want a window and the part of 6", got)
		}
	})
}

// TestIdleRecords: a window that the device left half full does not wait for
// the device to come back.
func TestIdleRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, tenHertz())
		for range 6 {
			time.Sleep(100 * time.Millisecond)
			d.Line(t.Context(), sampler.Line{Text: []byte("1,2"), At: d.setup.Clock.Since()})
		}
		time.Sleep(5 * time.Second)
		d.Idle(t.Context())
		if got := d.taken(); got != "idle/6" {
			t.Errorf("got %q, want idle/6", got)
		}
	})
}

func TestTapSeesReadings(t *testing.T) {
	d := newDesk(t, tenHertz())
	sights, stop, ok := d.setup.Tap.Watch()
	if !ok {
		t.Fatal("nobody may look")
	}
	defer stop()
	d.read(1)
	if s := <-sights; fmt.Sprint(s.Sensors, s.Values) != "[accX temp] [1.5 1]" {
		t.Errorf("got %v %v", s.Sensors, s.Values)
	}
}

// TestNoiseIsNeverFatal feeds what real receivers wrote, good lines between.
func TestNoiseIsNeverFatal(t *testing.T) {
	for _, path := range serialLogs(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{sampler.FormatCSV, sampler.FormatJSON} {
			c := tenHertz()
			c.Format = format
			d := newDesk(t, c)
			var split sampler.Splitter
			for rest, ok := text, true; ok; {
				var line []byte
				var long bool
				if line, rest, long, ok = split.Next(rest); ok {
					d.Line(t.Context(), sampler.Line{Text: line, At: d.at, Long: long})
				}
			}
			if s := d.shown(); s.Samples != 0 || s.Readings > s.Rejected/50 {
				t.Errorf("%s as %s: %d samples, %d readings, %d rejected", filepath.Base(path), format, s.Samples, s.Readings, s.Rejected)
			}
			if c.Format == sampler.FormatCSV {
				d.read(10)
				if got := d.taken(); got != "idle/10" {
					t.Errorf("after %s: got %q, want one window", filepath.Base(path), got)
				}
			}
		}
	}
}

func BenchmarkRecorderLine(b *testing.B) {
	c := tenHertz()
	c.Frequency = 1000
	c.Sensors = []sampler.Sensor{{Name: "accX"}, {Name: "accY"}, {Name: "accZ"}}
	s := samplertest.Setup("bench", slog.New(slog.DiscardHandler))
	r := sampler.NewRecorder(s, c, discard{})
	l := sampler.Line{Text: []byte("-0.32,-1.95,-7.4"), At: s.Clock.Since()}
	b.SetBytes(int64(len(l.Text)))
	b.ReportAllocs()
	for b.Loop() {
		l.At += time.Millisecond
		r.Line(b.Context(), l)
	}
	if n := s.Progress.Snapshot(); n.Rejected > 0 || b.N > 2000 && n.Samples == 0 {
		b.Fatalf("the benchmark measures nothing: %+v", n)
	}
}
