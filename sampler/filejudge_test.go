package sampler_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// A judge that hangs, panics or has too much to do costs verdicts and no file:
// all are handed on before anybody looks.
func TestFilesDoNotWaitForTheirJudge(t *testing.T) {
	sink, asked, answer := samplertest.NewSink(), make(chan string, 100), make(chan bool)
	b := &bench{t: t, setup: samplertest.Setup("folder", slog.New(slog.DiscardHandler)), say: func(ctx context.Context, c sampler.Case) (sampler.Verdict, error) {
		asked <- c.Label
		if c.Label == "panic" {
			panic("as the test says")
		}
		select {
		case <-answer:
		case <-ctx.Done():
			return sampler.Verdict{}, ctx.Err()
		}
		return byFirst(ctx, c)
	}}
	b.setup.Judging, b.setup.Detections = &sampler.Judging{Judge: b, ReportAt: 0.8, Both: true, KeepOneIn: 1}, b
	files := sampler.NewFileJudge(&b.setup, sink)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); files.Run(ctx) }()
	defer stop()
	n := 0
	drop := func(name, label, text string) {
		t.Helper()
		n++
		body := spool.Bytes(fmt.Appendf(nil, "x\n%s\n%d\n", text, n))
		_, err := files.Append(t.Context(), spool.Record{Kind: spool.KindFile, Identity: body.SHA256(), Name: name, Dataset: "training",
			Label: spool.Label{Text: label}, Source: "folder", Size: body.Size(), Body: body})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func(what string) uint64 { return b.setup.Progress.Snapshot().Detail[what] }

	drop("picture.jpg", "", "90")
	drop("a.csv", "panic", "90")
	drop("b.csv", "hang", "90")
	for _, want := range []string{"panic", "hang"} {
		if got := <-asked; got != want {
			t.Fatalf("asked about %s, want %s", got, want)
		}
	}
	for range 16 + 3 { // while it hangs
		drop("c.CSV", "much", "1")
	}
	drop("large.csv", "", string(bytes.Repeat([]byte("1\n"), sampler.MaxCaseFile/2+1)))
	b.setup.Labelling.SetFor(sampler.Choice{Label: "idle"}, time.Hour)
	drop("labelled.csv", "operator", "90")
	b.setup.Labelling.Set(sampler.Choice{})
	if got := len(sink.Records()); got != n {
		t.Errorf("%d files are handed on, want %d", got, n)
	}
	if got := count("unjudged"); got != 1+3+1 || count("judge_overruns") != 3 {
		t.Errorf("%d are unjudged, and %d for want of room, want 5 and 3", got, count("judge_overruns"))
	}
	for range 17 {
		answer <- true
	}
	samplertest.AwaitProgress(t, "17 are judged", b.setup.Progress, func(s sampler.Snapshot) bool { return s.Detail["judged"] == 17 })
	drop("d.csv", "stop", "90")
	<-asked // one of those that waited, or this one
	stop()
	<-done
	drop("late.csv", "", "90")
	recs := sink.Records()
	if last := recs[n]; len(recs) != n+1 || !b.closed || len(b.found) != 1 || len(b.reported) != 1 {
		t.Errorf("%d records of %d files, %d found, %d reported, closed %v, the last is %s", len(recs), n, len(b.found), len(b.reported), b.closed, last.Name)
	}
	for _, r := range recs {
		if r.Dataset != "training" && (r.Name != "b.csv" || r.Metadata[spool.KeyAnomalyScore] != "0.9" || r.Metadata[spool.KeyPrediction] != "bang") {
			t.Errorf("%s is in %s with %v", r.Name, r.Dataset, r.Metadata)
		}
	}
}
