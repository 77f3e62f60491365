package uploadertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// A FarSide is a destination under test and the place where its records
// arrive.
type FarSide struct {
	Destination uploader.Destination
	// Taken lists the SHA-256 of the bodies that arrived, by category.
	Taken func() map[string][][32]byte
	// Down makes the place unavailable, Up available again.
	Down, Up func()
}

// Suite is what every destination passes. open makes a new one, with an empty
// far side, for each test.
func Suite(t *testing.T, open func(t *testing.T) FarSide) {
	tests := []struct {
		name string
		run  func(t *testing.T, f FarSide)
	}{
		{"nothing", suiteNothing}, {"batch arrives", suiteBatch}, {"repeat", suiteRepeat},
		{"cancelled", suiteCancelled}, {"unavailable", suiteUnavailable}, {"damaged record", suiteDamaged},
		{"unreadable record", suiteUnreadable}, {"odd names and labels", suiteOdd},
		{"same names", suiteSameNames}, {"large and empty", suiteLarge}, {"all at once", suiteConcurrent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func suiteNothing(t *testing.T, f FarSide) {
	if got := f.Destination.Send(t.Context(), nil); len(got) != 0 {
		t.Errorf("verdicts on nothing: got %v", got)
	}
	expectTaken(t, f)
}

func suiteBatch(t *testing.T, f FarSide) {
	batch := append(Files(1, 7, "training", "idle"), Files(20, 3, "anomaly", "")...)
	batch = append(batch, Files(30, 4, "testing", "walk")...)
	expectKinds(t, f.Destination.Send(t.Context(), batch), repeat(uploader.Stored, len(batch))...)
	expectTaken(t, f, batch...)
}

func suiteRepeat(t *testing.T, f FarSide) {
	batch := Files(1, 5, "training", "idle")
	expectKinds(t, f.Destination.Send(t.Context(), batch[:3]), repeat(uploader.Stored, 3)...)
	want := append(repeat(uploader.AlreadyThere, 3), repeat(uploader.Stored, 2)...)
	expectKinds(t, f.Destination.Send(t.Context(), batch), want...)
	expectTaken(t, f, batch...)
}

func suiteCancelled(t *testing.T, f FarSide) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	expectKinds(t, f.Destination.Send(ctx, Files(1, 3, "training", "idle")), repeat(uploader.TryLater, 3)...)
	expectTaken(t, f)
}

func suiteUnavailable(t *testing.T, f FarSide) {
	batch := Files(1, 3, "training", "idle")
	f.Down()
	verdicts := f.Destination.Send(t.Context(), batch)
	expectKinds(t, verdicts, repeat(uploader.TryLater, 3)...)
	for i, v := range verdicts {
		if v.Err == nil || !v.Everywhere() {
			t.Errorf("verdict %d does not say that the destination is unavailable: %v", i, v.Err)
		}
	}
	f.Up()
	expectKinds(t, f.Destination.Send(t.Context(), batch), repeat(uploader.Stored, 3)...)
	expectTaken(t, f, batch...)
}

func suiteDamaged(t *testing.T, f FarSide) {
	batch := Files(1, 5, "training", "idle")
	batch[2] = Damaged(batch[2])
	verdicts := f.Destination.Send(t.Context(), batch)
	if verdicts[2].Kind != uploader.Rejected || verdicts[2].Batch || !errors.Is(verdicts[2].Err, spool.ErrDamaged) {
		t.Errorf("damaged record: got %v, %v", verdicts[2].Kind, verdicts[2].Err)
	}
	rest := append(append([]spool.Record(nil), batch[:2]...), batch[3:]...)
	expectTaken(t, f, settled(rest, append(append([]uploader.Verdict(nil), verdicts[:2]...), verdicts[3:]...))...)
	for _, v := range f.Destination.Send(t.Context(), rest) {
		if v.Kind != uploader.Stored && v.Kind != uploader.AlreadyThere {
			t.Errorf("neighbour of a damaged record: got %v, %v", v.Kind, v.Err)
		}
	}
	expectTaken(t, f, rest...)
}

func suiteUnreadable(t *testing.T, f FarSide) {
	rec := Failing(Files(1, 1, "training", "idle")[0], io.ErrClosedPipe)
	verdicts := f.Destination.Send(t.Context(), []spool.Record{rec})
	expectKinds(t, verdicts, uploader.TryLater)
	if verdicts[0].Everywhere() {
		t.Error("a record that cannot be read now was taken for an outage")
	}
	expectTaken(t, f)
}

func suiteOdd(t *testing.T, f FarSide) {
	var batch []spool.Record
	for i, name := range []string{"späce/../ü 温度.1.csv", "", ".", "..", "a\"b\r\nX-Evil: 1.csv", "c\\d.csv", "\xff.csv", string(bytes.Repeat([]byte("n"), 400)) + ".csv"} {
		rec := File(uint64(i+1), "training", name, "späce/lábel 温\n\x7f😀", fmt.Appendf(nil, "odd %d", i))
		rec.Metadata = map[string]string{"ort": "Köln 😀\n", "q": `"\`}
		batch = append(batch, rec)
	}
	expectKinds(t, f.Destination.Send(t.Context(), batch), repeat(uploader.Stored, len(batch))...)
	expectTaken(t, f, batch...)
}

func suiteSameNames(t *testing.T, f FarSide) {
	var batch []spool.Record
	for i := range uint64(4) {
		rec := File(i+1, "training", "rec.csv", "idle", fmt.Appendf(nil, "%d of the same length", i))
		if i%2 == 1 {
			rec.Label.Boxes = []spool.Box{{Label: "cup", X: 1, Y: 2, Width: 3, Height: 4}}
		}
		batch = append(batch, rec)
	}
	expectKinds(t, f.Destination.Send(t.Context(), batch), repeat(uploader.Stored, len(batch))...)
	for _, v := range f.Destination.Send(t.Context(), batch) {
		if v.Kind != uploader.AlreadyThere {
			t.Errorf("repeat of a name: got %v, %v", v.Kind, v.Err)
		}
	}
	expectTaken(t, f, batch...)
}

func suiteLarge(t *testing.T, f FarSide) {
	batch := []spool.Record{
		File(1, "testing", "large.bin", "", bytes.Repeat([]byte("0123456789abcde\n"), 300_000)),
		File(2, "testing", "empty.bin", "", nil),
	}
	expectKinds(t, f.Destination.Send(t.Context(), batch), uploader.Stored, uploader.Stored)
	expectTaken(t, f, batch...)
}

func suiteConcurrent(t *testing.T, f FarSide) {
	var all []spool.Record
	done := make(chan []uploader.Verdict)
	for i := range uint64(4) {
		batch := Files(100*i+1, 20, "training", fmt.Sprint("label ", i%2))
		all = append(all, batch...)
		go func() { done <- f.Destination.Send(t.Context(), batch) }()
	}
	for range 4 {
		expectKinds(t, <-done, repeat(uploader.Stored, 20)...)
	}
	expectTaken(t, f, all...)
}

func repeat(k uploader.Kind, n int) []uploader.Kind {
	kinds := make([]uploader.Kind, n)
	for i := range kinds {
		kinds[i] = k
	}
	return kinds
}

func expectKinds(t *testing.T, verdicts []uploader.Verdict, want ...uploader.Kind) {
	t.Helper()
	if len(verdicts) != len(want) {
		t.Fatalf("got %d verdicts, want %d", len(verdicts), len(want))
	}
	for i, v := range verdicts {
		if v.Kind != want[i] {
			t.Errorf("verdict %d: got %v (%v), want %v", i, v.Kind, v.Err, want[i])
		}
	}
}

// settled are the records whose verdict says that they arrived.
func settled(batch []spool.Record, verdicts []uploader.Verdict) []spool.Record {
	var there []spool.Record
	for i, v := range verdicts {
		if v.Kind == uploader.Stored || v.Kind == uploader.AlreadyThere {
			there = append(there, batch[i])
		}
	}
	return there
}

// expectTaken compares what arrived with what should have, each once.
func expectTaken(t *testing.T, f FarSide, want ...spool.Record) {
	t.Helper()
	type place struct {
		category string
		sum      [sha256.Size]byte
	}
	left := make(map[place]int)
	for _, rec := range want {
		left[place{rec.Dataset, rec.SHA256}]++
	}
	for category, sums := range f.Taken() {
		for _, sum := range sums {
			left[place{category, sum}]--
		}
	}
	for p, n := range left {
		if n != 0 {
			t.Errorf("%s %x: %+d arrivals missing", p.category, p.sum[:4], n)
		}
	}
}
