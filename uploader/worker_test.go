package uploader_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// lines is a logger that keeps what it is told.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(level, text string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprint(level, " ", text, " ", args))
}
func (l *lines) Info(text string, args ...any)  { l.add("INFO", text, args) }
func (l *lines) Warn(text string, args ...any)  { l.add("WARN", text, args) }
func (l *lines) Error(text string, args ...any) { l.add("ERROR", text, args) }

func (l *lines) expect(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) != len(want) {
		t.Fatalf("got %d log lines, want %d:\n%s", len(l.all), len(want), strings.Join(l.all, "\n"))
	}
	for i, w := range want {
		if !strings.Contains(l.all[i], w) {
			t.Errorf("log line %d: got %q, want something of %q", i, l.all[i], w)
		}
	}
}

// far is a destination whose verdicts are a function of the record. What it
// stores it knows again.
type far struct {
	mu      sync.Mutex
	verdict func(rec *spool.Record, batch int) uploader.Verdict
	sends   []sent
	got     []uint64
	changed bool
	opens   map[string]time.Duration
}

type sent struct {
	at        time.Time
	sequences []uint64
}

func (f *far) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := sent{at: time.Now()}
	list := make([]uploader.Verdict, len(batch))
	for i := range batch {
		s.sequences = append(s.sequences, batch[i].Sequence)
		list[i] = uploader.Verdict{Kind: uploader.Stored}
		if f.verdict != nil {
			list[i] = f.verdict(&batch[i], len(batch))
		}
		if list[i].Kind == uploader.Stored {
			if slices.Contains(f.got, batch[i].Sequence) {
				list[i].Kind = uploader.AlreadyThere
			} else {
				f.got = append(f.got, batch[i].Sequence)
			}
		}
	}
	f.sends = append(f.sends, s)
	return list
}

func (f *far) CredentialsChanged() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *far) OpensIn(dataset string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opens[dataset]
}

func (f *far) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *far) gaps() (gaps []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := 1; i < len(f.sends); i++ {
		gaps = append(gaps, f.sends[i].at.Sub(f.sends[i-1].at))
	}
	return gaps
}

var (
	errUnreachable = fmt.Errorf("%w: no route", uploader.ErrUnavailable)
	errBroken      = errors.New("internal error")
)

// run runs a worker over the feeds for d of the bubble's time.
func run(t *testing.T, d time.Duration, o uploader.Options) *uploader.Worker {
	t.Helper()
	w := uploader.NewWorker(o)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := w.Run(ctx); err != nil {
		t.Errorf("run: %v", err)
	}
	return w
}

func options(f *far, log *lines, feeds ...*uploadertest.Feed) uploader.Options {
	o := uploader.Options{Name: "studio", Destination: f, Log: log, Batch: spool.Limit{Records: 10, Bytes: 1 << 20}}
	for _, feed := range feeds {
		o.Feeds = append(o.Feeds, feed)
	}
	return o
}

func TestAnomaliesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		training, testing, anomaly := uploadertest.NewFeed("training"), uploadertest.NewFeed("testing"), uploadertest.NewFeed("anomaly")
		training.Add(uploadertest.Files(1, 25, "training", "")...)
		testing.Add(uploadertest.Files(101, 3, "testing", "")...)
		f, log := &far{}, &lines{}
		f.verdict = func(rec *spool.Record, _ int) uploader.Verdict {
			if rec.Sequence == 10 { // an anomaly comes while training goes out
				anomaly.Add(uploadertest.Files(201, 1, "anomaly", "")...)
			}
			return uploader.Verdict{Kind: uploader.Stored}
		}
		w := run(t, time.Minute, options(f, log, training, testing, anomaly))
		var order []uint64
		for _, s := range f.sends {
			order = append(order, s.sequences[0])
		}
		if want := []uint64{101, 1, 201, 11, 21}; !slices.Equal(order, want) {
			t.Errorf("got batches beginning with %v, want %v", order, want)
		}
		if s := w.Snapshot(); s.State != uploader.StateIdle || s.Stored != 29 || s.Error != "" {
			t.Errorf("got %+v", s)
		}
		log.expect(t)
	})
}

// TestPoisonStandsAlone checks that one bad record costs no other one.
func TestPoisonStandsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := uploadertest.NewFeed("training")
		feed.Add(uploadertest.Files(1, 300, "training", "")...)
		f, log := &far{}, &lines{}
		d := poison{f, 137}
		o := options(f, log, feed)
		o.Destination, o.Batch.Records = d, 100
		w := run(t, time.Minute, o)
		s := w.Snapshot()
		if s.Stored != 299 || s.Rejected != 1 || feed.Left() != 0 || s.LastRejected != "bad batch" {
			t.Errorf("got %+v with %d left, want 299 stored and 1 rejected", s, feed.Left())
		}
		for _, o := range feed.Outcomes() {
			if (o.Fate == spool.FateRejected) != (o.Sequence == 137) {
				t.Errorf("record %d: got fate %d", o.Sequence, o.Fate)
			}
		}
		if len(f.sends) > 3+2*8 {
			t.Errorf("got %d sends, want the poison found by halves", len(f.sends))
		}
		log.expect(t)
	})
}

// poison refuses every batch with one record in it.
type poison struct {
	*far
	sequence uint64
}

func (p poison) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	for i := range batch {
		if batch[i].Sequence == p.sequence {
			p.far.set(func() { p.far.sends = append(p.far.sends, sent{}) })
			list := make([]uploader.Verdict, len(batch))
			for j := range list {
				list[j] = uploader.Verdict{Kind: uploader.Rejected, Status: 400, Batch: len(batch) > 1, Err: errors.New("bad batch")}
			}
			return list
		}
	}
	return p.far.Send(ctx, batch)
}

func TestOutageIsTwoLines(t *testing.T) {
	for _, test := range []struct {
		name string
		down uploader.Verdict
	}{
		{"no route", uploader.Verdict{Err: errUnreachable}},
		{"503", uploader.Verdict{Status: 503, Err: errBroken}},
		{"500", uploader.Verdict{Status: 500, Err: errBroken}},
		{"no reason", uploader.Verdict{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				anomaly, training := uploadertest.NewFeed("anomaly"), uploadertest.NewFeed("training")
				f, log := &far{}, &lines{}
				until := time.Now().Add(24 * time.Hour)
				f.verdict = func(*spool.Record, int) uploader.Verdict {
					if time.Now().Before(until) {
						return test.down
					}
					return uploader.Verdict{Kind: uploader.Stored}
				}
				training.Add(uploadertest.Files(1, 50, "training", "")...)
				anomaly.Add(uploadertest.Files(1001, 15, "anomaly", "")...)
				w := run(t, 25*time.Hour, options(f, log, training, anomaly))
				if s := w.Snapshot(); s.Stored != 65 || s.State != uploader.StateIdle || !s.Since.IsZero() {
					t.Errorf("got %+v", s)
				}
				log.expect(t, "WARN destination takes nothing", "INFO destination takes records again")
				gaps := f.gaps()
				if n := len(gaps); n < 288 || n > 5000 {
					t.Errorf("got %d tries in a day, want some hundreds", n)
				}
				if longest := slices.Max(gaps); longest > 5*time.Minute+time.Second {
					t.Errorf("longest wait: got %v, want at most 5 min", longest)
				}
				if gaps[0] > time.Second {
					t.Errorf("first wait: got %v, want at most 1 s", gaps[0])
				}
			})
		})
	}
}

func TestRetryAfterIsHonouredWithinAnHour(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{7 * time.Second: 7 * time.Second, 40 * time.Hour: time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			feed := uploadertest.NewFeed("training")
			feed.Add(uploadertest.Files(1, 3, "training", "")...)
			f, log := &far{}, &lines{}
			tries := 0
			f.verdict = func(rec *spool.Record, _ int) uploader.Verdict {
				if rec.Sequence == 1 {
					tries++
				}
				if tries == 1 {
					return uploader.Verdict{Status: 429, RetryAfter: asked, Err: errBroken}
				}
				return uploader.Verdict{Kind: uploader.Stored}
			}
			run(t, 2*time.Hour, options(f, log, feed))
			if got := f.gaps(); len(got) != 1 || got[0] != want {
				t.Errorf("asked to wait %v: got %v, want %v", asked, got, want)
			}
		})
	}
}

// TestCredentials checks that refused credentials cost no record, are probed
// every quarter of an hour, and at once when they change.
func TestCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := uploadertest.NewFeed("training")
		feed.Add(uploadertest.Files(1, 3, "training", "")...)
		f, log := &far{}, &lines{}
		good := false
		f.verdict = func(*spool.Record, int) uploader.Verdict {
			if good {
				return uploader.Verdict{Kind: uploader.Stored}
			}
			return uploader.Verdict{Kind: uploader.Stop, Status: 401, Err: errBroken}
		}
		w := uploader.NewWorker(options(f, log, feed))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(46 * time.Minute)
		synctest.Wait()
		if s := w.Snapshot(); s.State != uploader.StatePaused || s.Error != "internal error" || feed.Left() != 3 {
			t.Errorf("got %+v with %d left", s, feed.Left())
		}
		gaps := f.gaps()
		if len(gaps) != 3 || slices.Max(gaps) > 15*time.Minute+10*time.Second {
			t.Errorf("probes: got %v, want one every 15 min", gaps)
		}
		f.set(func() { good, f.changed = true, true })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if feed.Left() != 0 {
			t.Error("the new key was not tried")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		log.expect(t, "WARN destination has no usable credentials", "INFO destination takes records again")
	})
}

// TestStubbornRecord checks that a record which never gets an answer neither
// blocks the others nor is dropped lightly.
func TestStubbornRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := uploadertest.NewFeed("training")
		feed.Add(uploadertest.Files(1, 50, "training", "")...)
		f, log := &far{}, &lines{}
		d := broken{f, 17}
		o := options(f, log, feed)
		o.Destination = d
		w := uploader.NewWorker(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := w.Snapshot(); s.Stored != 49 || s.Held != 1 || s.Rejected != 0 || s.Error == "" {
			t.Errorf("after an hour: got %+v, want 49 stored and 1 held", s)
		}
		feed.Add(uploadertest.Files(1000, 1100, "training", "")...)
		time.Sleep(time.Hour)
		synctest.Wait()
		s := w.Snapshot()
		if s.Stored != 1149 || s.Held != 0 || s.Rejected != 1 || !strings.Contains(s.LastRejected, "no usable answer") {
			t.Errorf("after a thousand others: got %+v, want it set aside", s)
		}
		cancel()
		<-done
		log.expect(t, "held back and tried again by itself [destination studio dataset training",
			"has come to its end [destination studio dataset training")
	})
}

// broken answers nothing usable to batches with one record in them.
type broken struct {
	*far
	sequence uint64
}

func (b broken) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	for i := range batch {
		if batch[i].Sequence == b.sequence {
			list := make([]uploader.Verdict, len(batch))
			for j := range list {
				list[j] = uploader.Verdict{Status: 500, Err: errBroken}
			}
			return list
		}
	}
	return b.far.Send(ctx, batch)
}

// TestOneCategoryBroken checks that the others go on, and that their success
// does not make the broken one be hammered.
func TestOneCategoryBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anomaly, training := uploadertest.NewFeed("anomaly"), uploadertest.NewFeed("training")
		anomaly.Add(uploadertest.Files(1, 5, "anomaly", "")...)
		f, log := &far{}, &lines{}
		tries := 0
		f.verdict = func(rec *spool.Record, _ int) uploader.Verdict {
			if rec.Dataset == "anomaly" {
				tries++
				return uploader.Verdict{Status: 404, Err: errors.New("no such path")}
			}
			return uploader.Verdict{Kind: uploader.Stored}
		}
		w := uploader.NewWorker(options(f, log, anomaly, training))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		for i := range uint64(600) { // for ten hours
			training.Add(uploadertest.Files(1000+i, 1, "training", "")...)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		s := w.Snapshot()
		if s.Stored != 600 || anomaly.Left() != 5 || s.Error != "no such path" {
			t.Errorf("got %+v with %d anomalies left", s, anomaly.Left())
		}
		if tries > 1000 {
			t.Errorf("the broken category was tried %d times in ten hours", tries)
		}
		cancel()
		<-done
		log.expect(t, "destination takes nothing")
	})
}

func TestHoursHoldBackAllButAnomalies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anomaly, training := uploadertest.NewFeed("anomaly"), uploadertest.NewFeed("training")
		training.Add(uploadertest.Files(1, 5, "training", "")...)
		f, log := &far{opens: map[string]time.Duration{"training": 3 * time.Hour}}, &lines{}
		w := uploader.NewWorker(options(f, log, anomaly, training))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		if s := w.Snapshot(); s.State != uploader.StateWaiting || s.Error != "" {
			t.Errorf("got %+v, want it to wait without an error", s)
		}
		anomaly.Add(uploadertest.Files(100, 1, "anomaly", "")...)
		synctest.Wait()
		if anomaly.Left() != 0 || training.Left() != 5 {
			t.Errorf("got %d anomalies and %d others left, want 0 and 5", anomaly.Left(), training.Left())
		}
		f.set(func() { f.opens = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if training.Left() != 0 {
			t.Error("the hours began and nothing went out")
		}
		cancel()
		<-done
		log.expect(t)
	})
}

func TestStopWhenEmpty(t *testing.T) {
	tests := []struct {
		name    string
		verdict uploader.Verdict
		want    error
		took    time.Duration
	}{
		{"all taken", uploader.Verdict{Kind: uploader.Stored}, nil, 0},
		{"all refused", uploader.Verdict{Kind: uploader.Rejected}, nil, 0},
		{"key refused", uploader.Verdict{Kind: uploader.Stop, Err: errBroken}, uploader.ErrCredentials, 0},
		{"no route", uploader.Verdict{Err: errUnreachable}, uploader.ErrUnfinished, 2 * time.Minute},
		{"broken", uploader.Verdict{Status: 500, Err: errBroken}, uploader.ErrUnfinished, 2 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := uploadertest.NewFeed("training")
				feed.Add(uploadertest.Files(1, 35, "training", "")...)
				f := &far{verdict: func(*spool.Record, int) uploader.Verdict { return test.verdict }}
				o := options(f, &lines{}, feed)
				o.StopWhenEmpty, o.Patience = true, 2*time.Minute
				start := time.Now()
				err := uploader.NewWorker(o).Run(t.Context())
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if took := time.Since(start); took < test.took || took > test.took+time.Second {
					t.Errorf("took %v, want %v", took, test.took)
				}
			})
		})
	}
}

func TestDrain(t *testing.T) {
	tests := []struct {
		name    string
		verdict uploader.Verdict
		left    int
	}{
		{"taking", uploader.Verdict{Kind: uploader.Stored}, 0},
		{"no route", uploader.Verdict{Err: errUnreachable}, 35},
		{"paused", uploader.Verdict{Kind: uploader.Stop, Err: errBroken}, 35},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := uploadertest.NewFeed("training")
				f := &far{verdict: func(*spool.Record, int) uploader.Verdict { return test.verdict }}
				w := uploader.NewWorker(options(f, &lines{}, feed))
				done := make(chan error, 1)
				go func() { done <- w.Run(t.Context()) }()
				synctest.Wait() // idle
				feed.Add(uploadertest.Files(1, 35, "training", "")...)
				w.Drain()
				start := time.Now()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if feed.Left() != test.left || time.Since(start) > 3*time.Second {
					t.Errorf("got %d left after %v, want %d at once", feed.Left(), time.Since(start), test.left)
				}
			})
		})
	}
}

// TestGrace checks that a Send under way may end after the context has.
func TestGrace(t *testing.T) {
	for _, test := range []struct {
		takes time.Duration
		left  int
	}{{3 * time.Second, 0}, {time.Minute, 2}} {
		synctest.Test(t, func(t *testing.T) {
			feed := uploadertest.NewFeed("training")
			feed.Add(uploadertest.Files(1, 2, "training", "")...)
			d := slow{&far{}, test.takes}
			start := time.Now()
			o := options(d.far, &lines{}, feed)
			o.Destination = d
			run(t, time.Second, o)
			if feed.Left() != test.left || time.Since(start) > 7*time.Second {
				t.Errorf("a send of %v: got %d left after %v, want %d", test.takes, feed.Left(), time.Since(start), test.left)
			}
		})
	}
}

type slow struct {
	*far
	takes time.Duration
}

func (s slow) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	select {
	case <-ctx.Done():
		return make([]uploader.Verdict, len(batch))
	case <-time.After(s.takes):
		return s.far.Send(ctx, batch)
	}
}

// TestPartial checks that what was stored is settled while the rest is tried
// again.
func TestPartial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := uploadertest.NewFeed("training")
		feed.Add(uploadertest.Files(1, 10, "training", "")...)
		f, log := &far{}, &lines{}
		tries := make(map[uint64]int)
		f.verdict = func(rec *spool.Record, _ int) uploader.Verdict {
			tries[rec.Sequence]++
			if rec.Sequence%3 == 0 && tries[rec.Sequence] == 1 {
				return uploader.Verdict{Status: 500, Err: errBroken}
			}
			return uploader.Verdict{Kind: uploader.Stored}
		}
		w := run(t, time.Minute, options(f, log, feed))
		if s := w.Snapshot(); s.Stored != 10 || s.AlreadyThere != 0 || feed.Left() != 0 {
			t.Errorf("got %+v, %d left", s, feed.Left())
		}
		log.expect(t) // no outage: something was taken every time
	})
}

// drainer asks the worker to drain while it is on its way to sleep.
type drainer struct {
	*far
	worker *uploader.Worker
}

func (d *drainer) Tidy(context.Context, bool) time.Duration {
	d.worker.Drain()
	return 0
}

// TestDrainOnTheWayToSleep checks that a call of Drain between the last look
// and the sleep is not slept through.
func TestDrainOnTheWayToSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drainer{far: &far{}}
		o := options(d.far, &lines{}, uploadertest.NewFeed("training"))
		o.Destination = d
		d.worker = uploader.NewWorker(o)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if err := d.worker.Run(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("got %v until it stopped, want at once", took)
		}
	})
}

// strictFeed settles nothing for who asks with a context that has ended, as
// the spool does not either.
type strictFeed struct{ *uploadertest.Feed }

func (f strictFeed) Settle(ctx context.Context, outcomes ...spool.Outcome) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.Feed.Settle(ctx, outcomes...)
}

// halfway stores the first record at once and waits with the others until
// the context ends, as parallel requests do.
type halfway struct{ *far }

func (h halfway) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	list := h.far.Send(ctx, batch[:1])
	<-ctx.Done()
	for range batch[1:] {
		list = append(list, uploader.Verdict{Err: fmt.Errorf("%w: %w", uploader.ErrUnavailable, ctx.Err())})
	}
	return list
}

// TestStopIsNoOutage checks that what was answered is settled even when the
// context has ended, and that the stop is not told as an outage.
func TestStopIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := strictFeed{uploadertest.NewFeed("training")}
		feed.Add(uploadertest.Files(1, 3, "training", "")...)
		f, log := &far{}, &lines{}
		o := options(f, log)
		o.Destination, o.Feeds = halfway{f}, []uploader.Feed{feed}
		w := run(t, time.Second, o)
		if s := w.Snapshot(); s.Stored != 1 || feed.Left() != 2 || s.Error != "" {
			t.Errorf("got %+v with %d left, want 1 stored and 2 left", s, feed.Left())
		}
		log.expect(t)
	})
}
