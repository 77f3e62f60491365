package sampler_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgespool/edgespool/spool"
)

// discard is a sink that takes everything and keeps nothing.
type discard struct{}

func (discard) Append(_ context.Context, recs ...spool.Record) (spool.Receipt, error) {
	return spool.Receipt{Results: make([]spool.Result, len(recs))}, nil
}
func (discard) Stage(context.Context, io.Reader, int64) (spool.Body, error) { return nil, nil }
func (discard) Seen([32]byte) (uint64, bool)                                { return 0, false }

// serialLogs are real receivers' output, from the shared material.
func serialLogs(t *testing.T) []string {
	t.Helper()
	shared := os.Getenv("EDGESPOOL_SHARED")
	if shared == "" {
		shared = filepath.Join(repository(t), "..", "shared")
	}
	logs, err := filepath.Glob(filepath.Join(shared, "data", "serial-logs", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Skipf("no serial logs in %s: set EDGESPOOL_SHARED to the shared folder", shared)
	}
	return logs
}

// repository is the folder that holds go.mod.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}
