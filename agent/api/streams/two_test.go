package streams

import (
	"fmt"
	"sync"
	"testing"
)

// TestTwoConsumersAtOnce: of two programs that read one stream without knowing
// of each other, one or the other gets each sample, however their advances mix.
// (Each advance goes to exactly its place, backwards too, as the wire has it.)
func TestTwoConsumersAtOnce(t *testing.T) {
	h := newHouse(t)
	h.define(device+"training/streams", "all", nil)
	const samples, all = 40, device + "training/streams/all"
	for i := range samples {
		h.sample("training", i, nil)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var consumers sync.WaitGroup
	for size := 2; size <= 3; size++ {
		consumers.Go(func() {
			for range 10 * samples {
				b := h.fetch(all, size, 0)
				mu.Lock()
				for _, name := range b.names {
					seen[name]++
				}
				mu.Unlock()
				h.advance(all, b.next)
				if len(b.names) == 0 && b.end {
					return
				}
			}
			t.Error("a consumer came to no end")
		})
	}
	consumers.Wait()
	for i := range samples {
		if name := fmt.Sprintf("%d.csv", i); seen[name] == 0 {
			t.Errorf("nobody got %s", name)
		}
	}
}
