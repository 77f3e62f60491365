package edgeimpulse_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(text string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprint(text, args))
}
func (l *lines) Info(text string, args ...any)  { l.add(text, args) }
func (l *lines) Warn(text string, args ...any)  { l.add(text, args) }
func (l *lines) Error(text string, args ...any) { l.add(text, args) }

// TestDayOffline lets a day without a network pass, with the real spool and
// the real destination, while samples keep coming: two log lines, no growing
// memory, and everything in order on the first success.
func TestDayOffline(t *testing.T) {
	dir, key := t.TempDir(), keyFile(t, testKey)
	synctest.Test(t, func(t *testing.T) {
		service := uploadertest.NewService()
		service.SetOffline(true)
		c := edgeimpulse.DefaultConfig()
		c.APIKeyFile, c.Concurrency = key, 1
		dest, err := edgeimpulse.New(c, edgeimpulse.Deps{Transport: service.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		sc := spool.DefaultConfig()
		sc.Path, sc.AllowVolatile, sc.MinFree, sc.MaxBytes = filepath.Join(dir, "spool"), true, 0, 256<<20
		s, err := spool.Open(sc)
		if err != nil {
			t.Fatal(err)
		}
		log := &lines{}
		var feeds []uploader.Feed
		for _, category := range []string{"training", "anomaly"} {
			stream, err := s.Stream("studio/"+category, category, spool.StreamOptions{Pin: true})
			if err != nil {
				t.Fatal(err)
			}
			feeds = append(feeds, stream)
		}
		w := uploader.NewWorker(uploader.Options{Name: "studio", Destination: dest, Feeds: feeds, Log: log})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()

		const samples = 24 * 12 // one in five minutes, every twelfth an anomaly
		var early, late runtime.MemStats
		for i := range samples {
			category := "training"
			if i%12 == 11 {
				category = "anomaly"
			}
			rec := uploadertest.File(0, category, fmt.Sprintf("s%04d.csv", i), "idle", fmt.Appendf(nil, "x\n%d\n", i))
			if _, err := s.Append(ctx, rec); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
			if i == samples/4 {
				runtime.GC()
				runtime.ReadMemStats(&early)
			}
		}
		synctest.Wait()
		runtime.GC()
		runtime.ReadMemStats(&late)
		if grown := int64(late.HeapAlloc) - int64(early.HeapAlloc); grown > 1<<20 {
			t.Errorf("memory grew by %d bytes in 18 hours", grown)
		}
		if snap := w.Snapshot(); snap.State != uploader.StateWaiting || snap.Error == "" || snap.NextTry.IsZero() {
			t.Errorf("offline: got %+v", snap)
		}
		service.SetOffline(false)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close spool: %v", err)
		}

		var names []string
		for _, sample := range service.Samples() {
			names = append(names, fmt.Sprintf("%s/%s", sample.Category, sample.Name))
		}
		want := make([]string, samples)
		for i := range want {
			want[i] = fmt.Sprintf("training/s%04d.csv", i)
			if i%12 == 11 {
				want[i] = fmt.Sprintf("anomaly/s%04d.csv", i)
			}
		}
		slices.SortStableFunc(want, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
		if !slices.Equal(names, want) {
			t.Errorf("got %d samples, want %d, anomalies first and each category in order:\n%s", len(names), len(want), strings.Join(names, " "))
		}
		if len(log.all) != 2 {
			t.Errorf("got %d log lines, want 2:\n%s", len(log.all), strings.Join(log.all, "\n"))
		}
	})
}
