package edgeimpulse_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// TestMisbehavingService lets worker and destination meet everything at once:
// at the end each good record is there once, and each bad one set aside.
func TestMisbehavingService(t *testing.T) {
	key := keyFile(t, testKey)
	synctest.Test(t, func(t *testing.T) {
		service := uploadertest.NewService()
		service.Poison = func(s uploadertest.Sample) int {
			switch s.Name {
			case "training.37.csv":
				return 400
			case "training.141.csv":
				return 413
			}
			return 0
		}
		service.Refuse = func(s uploadertest.Sample) string {
			if s.Name == "anomaly.1003.csv" {
				return "Invalid mimetype"
			}
			return ""
		}
		service.Script(
			uploadertest.Action{Cut: true}, uploadertest.Action{Cut: true, Commit: true}, answer(200, "<html>"),
			answer(200, `{"success":true,"files":[]}`), answer(500, ""), retry(429, "30"), answer(401, ""), answer(404, ""),
			uploadertest.Action{Latency: 3 * time.Minute}, answer(502, "<html>"), answer(200, `{"success":`), retry(503, "Sun, 22 Nov 2026 10:05:00 GMT"),
			uploadertest.Action{Cut: true, Commit: true}, uploadertest.Action{Cut: true, Unread: true}, answer(403, ""))
		c := edgeimpulse.DefaultConfig()
		c.APIKeyFile = key
		dest, err := edgeimpulse.New(c, edgeimpulse.Deps{Transport: service.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		training, anomaly := uploadertest.NewFeed("training"), uploadertest.NewFeed("anomaly")
		for i, label := range []string{"idle", "walk", ""} {
			training.Add(uploadertest.Files(uint64(100*i+1), 100, "training", label)...)
		}
		anomaly.Add(uploadertest.Files(1001, 5, "anomaly", "")...)
		w := uploader.NewWorker(uploader.Options{Destination: dest, Feeds: []uploader.Feed{training, anomaly}, StopWhenEmpty: false})
		done := make(chan error, 1)
		go func() { done <- w.Run(t.Context()) }()
		time.Sleep(4 * time.Hour)
		w.Drain()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := training.Left() + anomaly.Left(); n != 0 {
			t.Errorf("%d records are left", n)
		}
		once := make(map[string]int)
		for _, s := range service.Samples() {
			once[s.Name]++
		}
		for name, n := range once {
			if n != 1 {
				t.Errorf("%s arrived %d times", name, n)
			}
		}
		if len(once) != 302 {
			t.Errorf("got %d samples, want 302", len(once))
		}
		bad := map[uint64]bool{37: true, 141: true, 1003: true}
		for _, o := range append(training.Outcomes(), anomaly.Outcomes()...) {
			if (o.Fate == spool.FateRejected) != bad[o.Sequence] {
				t.Errorf("record %d: got fate %d, %s", o.Sequence, o.Fate, o.Reason)
			}
		}
	})
}
