package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestTaggedSamplesComeOnceMore: of a stream that was read to its end some
// samples are tagged and retried by command, others each time, and the agent is
// killed with SIGKILL right after the answer. One or the other of two programs
// that read the stream sees each of them once more, and none beside them.
func TestTaggedSamplesComeOnceMore(t *testing.T) {
	const records, rounds, stride = 200, 4, 20
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	s.run()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	streams := func(command string, args ...string) string {
		t.Helper()
		out, err := exec.Command(path, append(append([]string{"streams", command, "project1/machines/all"}, args...), "--url", s.api)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", command, args, err, out)
		}
		return string(out)
	}
	const dataset = "/api/v1/datasets/project1/machines/streams"
	if _, err := callStreams(t.Context(), "PUT", s.api+dataset, `{"stream":{"name":"all"}}`); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	sendComments(t.Context(), s.api, records, &sent)
	uids := map[int]string{}
	for _, line := range strings.Split(strings.TrimSpace(streams("fetch", "--json", "--size", "1024", "--advance")), "\n") {
		var r struct {
			Comment struct{ ID, UID string }
		}
		if json.Unmarshal([]byte(line), &r) != nil { // what it says on standard error
			continue
		}
		n, err := strconv.Atoi(r.Comment.ID)
		if err != nil {
			t.Fatal(err)
		}
		uids[n] = r.Comment.UID
	}
	if len(uids) != records {
		t.Fatalf("the first fetch gives %d of %d samples", len(uids), records)
	}
	w := &watcher{url: s.api + dataset + "/all", seen: map[int]int{}}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	for range 2 {
		work.Go(func() {
			if err := w.run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for round := range rounds {
		args := []string{"--tag", "No Prediction"}
		for n := round; n < records; n += stride {
			args = append(args, uids[n])
		}
		streams("exceptions", args...)
		if out := streams("exceptions", "--retry", "all"); out != fmt.Sprintf("%d samples come once more, 0 gone from the spool\n", records/stride) {
			t.Errorf("the retry says %q", out)
		}
		s.agent.signal(syscall.SIGKILL)
		s.run()
		s.until("those that were tagged came once more", func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for n := range records {
				switch {
				case n%stride == round && w.seen[n] == 0:
					return fmt.Errorf("sample %d did not", n)
				case n%stride > round && w.seen[n] > 0:
					t.Fatalf("sample %d came again and was not tagged", n)
				}
			}
			return nil
		})
		if out := streams("exceptions"); out != "" {
			t.Fatalf("still tagged: %s", out)
		}
	}
}
