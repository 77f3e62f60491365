package edgeimpulse_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// onDisk is a body that is read from its file each time.
type onDisk struct {
	spool.Body
	path string
}

func (b onDisk) Open() (io.ReadCloser, error) { return os.Open(b.path) }

func filesOnDisk(tb testing.TB, n, size int) []spool.Record {
	tb.Helper()
	dir := tb.TempDir()
	records := make([]spool.Record, n)
	for i := range records {
		name := fmt.Sprintf("idle.%04d.cbor", i)
		content := bytes.Repeat([]byte{byte(i), byte(i >> 8), 3, 4}, size/4)
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			tb.Fatal(err)
		}
		records[i] = uploadertest.File(uint64(i+1), "training", name, "idle", content)
		records[i].Body = onDisk{records[i].Body, filepath.Join(dir, name)}
	}
	return records
}

// BenchmarkSend sends 500 files of 10 KB to a service on the loopback.
func BenchmarkSend(b *testing.B) {
	service := uploadertest.NewService()
	service.Discard = true
	server := uploadertest.Serve(b, service)
	c := edgeimpulse.DefaultConfig()
	b.Setenv("EI_TEST_KEY", testKey)
	c.URL, c.APIKeyEnv = server.URL, "EI_TEST_KEY"
	dest, err := edgeimpulse.New(c, edgeimpulse.Deps{})
	if err != nil {
		b.Fatal(err)
	}
	defer dest.Close()
	records := filesOnDisk(b, 500, 10<<10)
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for b.Loop() {
		for i := 0; i < len(records); i += 100 {
			if v := dest.Send(b.Context(), records[i:i+100]); v[0].Kind == uploader.TryLater {
				b.Fatal(v[0].Err)
			}
		}
	}
	b.ReportMetric(float64(b.N*len(records))/time.Since(start).Seconds(), "files/s")
	b.ReportMetric(float64(server.Connections()), "connections")
}

// TestLargeFilesTakeLittleMemory sends 4 files of 25 MB and looks at what was
// allocated for that, both ends together.
func TestLargeFilesTakeLittleMemory(t *testing.T) {
	dest, server := open(t, nil)
	server.Discard = true
	records := filesOnDisk(t, 4, 25<<20)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stored(t, dest.Send(t.Context(), records))
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("allocated %d bytes to send 100 MB, want at most 4 MiB", used)
	}
}
