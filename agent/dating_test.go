package agent

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// A datedBoard is a board with a clock that the test sets, a spool that
// outlives its starts, the real worker and a service that keeps what it sent.
type datedBoard struct {
	*Agent
	t       *testing.T
	dir     string
	service *uploadertest.Service
	boot    byte
	wall    time.Time // the claimed wall time at set
	set     time.Time
	vouched bool
	windows int
}

var in2026 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newDatedBoard(t *testing.T) *datedBoard {
	b := &datedBoard{t: t, dir: t.TempDir(), service: uploadertest.NewService()}
	b.Agent = &Agent{log: slog.New(slog.DiscardHandler)}
	b.reboot()
	b.open()
	return b
}

// reboot starts the board anew, in 1970.
func (b *datedBoard) reboot() {
	b.boot++
	b.setClock(time.Unix(0, 0), false)
	b.clock = sampler.NewClockOf(sampler.Board{
		Boot: [16]byte{b.boot}, Wall: func() time.Time { return b.wall.Add(time.Since(b.set)) },
		Vouched: func() bool { return b.vouched },
	})
}

func (b *datedBoard) setClock(wall time.Time, vouched bool) {
	b.wall, b.set, b.vouched = wall, time.Now(), vouched
}

func (b *datedBoard) open() {
	b.t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.MinFree, c.AllowVolatile = filepath.Join(b.dir, "spool"), 0, true
	s, err := spool.Open(c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.spool = s
}

func (b *datedBoard) shut() {
	b.t.Helper()
	if err := b.spool.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// collect takes some windows of a machine at rest, a second each.
func (b *datedBoard) collect(n int) {
	b.t.Helper()
	for range n {
		payload, err := acquisition.AppendPayload(nil, acquisition.PayloadHeader{
			DeviceType: "RASPBERRY_PI", IntervalMS: 10, Sensors: []acquisition.Sensor{{Name: "x", Units: "m/s2"}},
		}, []float64{1, 2, 3})
		if err != nil {
			b.t.Fatal(err)
		}
		b.windows++
		body := spool.Bytes(payload)
		r := spool.Record{
			Kind: spool.KindWindow, Name: fmt.Sprintf("idle.%d.cbor", b.windows), Dataset: "training", Label: spool.Label{Text: fmt.Sprint(b.windows)},
			ContentType: "application/cbor", Time: b.clock.Now(), Body: body, Length: time.Second,
			Identity: sha256.Sum256(fmt.Append(nil, b.windows)),
		}
		receipt, err := b.spool.Append(b.t.Context(), r)
		if err == nil {
			err = receipt.Wait(b.t.Context())
		}
		if err != nil {
			b.t.Fatal(err)
		}
		<-time.After(time.Second) // of the bubble
	}
}

// send runs the worker until all is sent, or for a minute.
func (b *datedBoard) send() {
	b.t.Helper()
	st, err := b.spool.Stream("studio/training", "training", spool.StreamOptions{Pin: true})
	if err != nil {
		b.t.Fatal(err)
	}
	key := filepath.Join(b.dir, "key")
	if err := os.WriteFile(key, []byte("ei_1234"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	c := edgeimpulse.DefaultConfig()
	c.APIKeyFile = key
	d, err := edgeimpulse.New(c, edgeimpulse.Deps{Dated: b.spool.Dated, Transport: b.service.Transport()})
	if err != nil {
		b.t.Fatal(err)
	}
	w := uploader.NewWorker(uploader.Options{Name: "studio", Destination: d, Feeds: []uploader.Feed{st}})
	done := make(chan error, 1)
	go func() { done <- w.Run(b.t.Context()) }()
	<-time.After(time.Minute) // of the bubble
	w.Drain()
	if err := <-done; err != nil {
		b.t.Fatal(err)
	}
}

// wantDates compares the dates that arrived, in the order of capture; a zero
// stands for none. A document without a date has the record's id instead.
func (b *datedBoard) wantDates(want ...time.Time) {
	b.t.Helper()
	samples := b.service.Samples()
	if len(samples) != len(want) {
		b.t.Fatalf("%d samples arrived, want %d", len(samples), len(want))
	}
	slices.SortFunc(samples, func(x, y uploadertest.Sample) int { return bytes.Compare([]byte(x.Label), []byte(y.Label)) })
	for i, s := range samples {
		d, err := acquisition.Decode(s.Bytes, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		date := int64(0)
		if !want[i].IsZero() {
			date = want[i].Unix()
		}
		if int64(d.IssuedAt) != date || (d.Metadata["uid"] == "") != (date != 0) {
			b.t.Errorf("window %s has iat %v and uid %q, want iat %d", s.Label, d.IssuedAt, d.Metadata["uid"], date)
		}
	}
}

// TestTimeOfUploads plays a board without a clock: it starts in 1970, gets the
// time, is set 56 years ahead and back, and is started anew without the time.
func TestTimeOfUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newDatedBoard(t)
		defer func() { b.shut() }()
		started := time.Now()
		right := func() time.Time { return in2026.Add(time.Since(started)) }
		var want []time.Time
		collect := func(dated bool) {
			if want = append(want, time.Time{}); dated {
				want[len(want)-1] = right()
			}
			b.collect(1)
		}
		collect(false)
		b.send() // undated, for good
		collect(true)
		if b.dateBoot() {
			t.Fatal("the boot is dated by a clock that nobody vouches for")
		}
		b.setClock(right(), true)
		collect(true)
		if !b.dateBoot() {
			t.Fatal("the boot is not dated")
		}
		b.setClock(right().AddDate(56, 0, 0), false) // the service that kept the time has died
		collect(true)
		b.setClock(time.Unix(0, 0), false)
		collect(true)
		b.reboot()
		collect(false) // never dated, for this boot does not get the time
		b.send()
		b.wantDates(want...)
		if got := b.spool.Stats(); got.Records != int64(len(want)) {
			t.Errorf("%d of %d records are left", got.Records, len(want))
		}
	})
}

// TestTimeOfOfferedRecords: what was once offered without a date, and perhaps
// arrived, stays without, over restarts and crashes; else a repeat would have
// other bytes and be taken for another sample.
func TestTimeOfOfferedRecords(t *testing.T) {
	for name, again := range map[string]func(b *datedBoard){
		"going on": func(*datedBoard) {},
		"restarted": func(b *datedBoard) {
			b.shut()
			b.open()
		},
		"killed": func(b *datedBoard) {
			killed := filepath.Join(b.dir, "killed")
			if err := os.CopyFS(killed, os.DirFS(filepath.Join(b.dir, "spool"))); err != nil {
				b.t.Fatal(err)
			}
			b.shut()
			if err := os.RemoveAll(filepath.Join(b.dir, "spool")); err != nil {
				b.t.Fatal(err)
			}
			if err := os.Rename(killed, filepath.Join(b.dir, "spool")); err != nil {
				b.t.Fatal(err)
			}
			b.open()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newDatedBoard(t)
				defer func() { b.shut() }()
				b.collect(2)
				b.service.Always(uploadertest.Action{Cut: true, Commit: true}) // it arrives, and nobody hears of it
				b.send()
				first := b.service.Samples()
				b.collect(1)
				b.setClock(in2026, true)
				captured := b.clock.Now()
				if !b.dateBoot() {
					t.Fatal("the boot is not dated")
				}
				again(b)
				b.collect(1)
				b.service.Always(uploadertest.Action{})
				b.send()
				b.wantDates(time.Time{}, time.Time{}, time.Unix(0, captured.Wall).Add(-time.Second), in2026)
				for i, s := range b.service.Samples()[:len(first)] {
					if !bytes.Equal(s.Bytes, first[i].Bytes) {
						t.Errorf("window %s changed its bytes", s.Label)
					}
				}
			})
		})
	}
}
