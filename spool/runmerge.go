package spool

import (
	"container/heap"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// merge makes one run of mergeRuns small ones in a row.
func (x *seenIndex) merge(mu *sync.Mutex) error {
	mu.Lock()
	small := slices.Clone(x.mergeable())
	mu.Unlock()
	if small == nil {
		return nil
	}
	one, err := mergeRunFiles(x.dir, x.epoch, small)
	if err != nil {
		return err
	}
	if err := x.settle(mu, one); err != nil { // before the small ones go
		return errors.Join(err, os.Remove(one.path))
	}
	mu.Lock()
	x.insert(one)
	mu.Unlock()
	for _, r := range small {
		if err := os.Remove(r.path); err != nil {
			return fmt.Errorf("remove merged run: %w", err)
		}
	}
	return nil
}

// mergeable finds mergeRuns small runs in a row with nothing missing between.
func (x *seenIndex) mergeable() []*run {
	from := 0
	for i, r := range x.runs {
		if r.count >= x.small || r.bad.Load() {
			from = i + 1
			continue
		}
		if i > from && x.runs[i-1].last+1 != r.first && x.holds(x.runs[i-1].last+1, r.first-1) {
			from = i
		}
		if i+1-from == mergeRuns {
			return x.runs[from : i+1]
		}
	}
	return nil
}

// A runReader reads a run's identities in the order of their hashes, a page at
// a time.
type runReader struct {
	r    *run
	f    *os.File
	page []byte
	next int // identity to be read
	ref  identityRef
}

func openRunReader(r *run) (*runReader, error) {
	f, err := os.Open(r.path)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	return &runReader{r: r, f: f, page: make([]byte, runPage)}, nil
}

// step goes to the next identity; false at the end.
func (c *runReader) step() (bool, error) {
	if c.next >= c.r.count {
		return false, nil
	}
	if c.next%runPerPage == 0 {
		if err := c.r.read(c.f, c.next/runPerPage, c.page); err != nil {
			return false, err
		}
	}
	c.ref = c.r.identity(c.page, c.next%runPerPage)
	c.next++
	return true, nil
}

// A runHeap is readers by the hash that they stand at.
type runHeap []*runReader

// Len and the others make runHeap a heap.
func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return compareRefs(h[i].ref, h[j].ref) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*runReader)) }
func (h *runHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// mergeRunFiles writes the identities of the runs, which are in order, to one
// new run, with a page of each in memory.
func mergeRunFiles(dir string, epoch uint64, runs []*run) (merged *run, err error) {
	count := 0
	var datasets []string
	readers := make(runHeap, 0, len(runs))
	defer func() {
		for _, c := range readers {
			_ = c.f.Close()
		}
	}()
	for _, r := range runs {
		count += r.count
		for _, name := range r.datasets {
			if !slices.Contains(datasets, name) {
				datasets = append(datasets, name)
			}
		}
		c, err := openRunReader(r)
		if err != nil {
			return nil, err
		}
		readers = append(readers, c)
		if _, err := c.step(); err != nil { // a run has at least one identity
			return nil, err
		}
	}
	w, err := newRunWriter(dir, epoch, seqRange{runs[0].first, runs[len(runs)-1].last}, count, datasets)
	if err != nil {
		return nil, err
	}
	heap.Init(&readers)
	for len(readers) > 0 {
		c := readers[0]
		if err := w.add(c.ref); err != nil {
			w.abort()
			return nil, fmt.Errorf("merge runs: %w", err)
		}
		more, err := c.step()
		if err != nil {
			w.abort()
			return nil, err
		}
		if more {
			heap.Fix(&readers, 0)
			continue
		}
		_ = c.f.Close()
		heap.Pop(&readers)
	}
	return w.finish()
}
