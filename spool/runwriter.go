package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// A runWriter writes a run of a known number of identities from front to back,
// so that only its filter and one page are in memory.
type runWriter struct {
	r       *run
	epoch   uint64
	f       *os.File
	page    []byte
	added   int
	numbers map[string]uint16
}

// newRunWriter begins the run of count identities, of these datasets, that
// cover the sequences first to last.
func newRunWriter(dir string, epoch uint64, cover seqRange, count int, datasets []string) (*runWriter, error) {
	if len(datasets) > 1<<15 || cover.to-cover.from > 1<<32-1 && count > 0 {
		return nil, fmt.Errorf("write run: %d datasets or %d sequences are more than it takes", len(datasets), cover.to-cover.from)
	}
	r := &run{
		path: filepath.Join(dir, fmt.Sprintf("%016x-%016x", cover.from, cover.to)+looseRun), first: cover.from, last: cover.to,
		count: count, datasets: datasets, filter: make([]byte, count*filterBits/8+8),
		pages: make([]uint32, 0, (count+runPerPage-1)/runPerPage),
	}
	r.offset = pagesAt(int64(runHeader + namesSize(datasets) + 4*cap(r.pages) + len(r.filter)))
	f, err := os.OpenFile(r.path+runDraft, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write run: %w", err)
	}
	w := &runWriter{r: r, epoch: epoch, f: f, page: make([]byte, 0, runPage), numbers: map[string]uint16{}}
	for i, name := range datasets {
		w.numbers[name] = uint16(i)
	}
	return w, nil
}

const (
	// runDraft is the end of the name of a run that is not written yet.
	runDraft = ".tmp"
	// looseRun is the end of the name of a run that is written, and that a
	// power cut may still spoil.
	looseRun = ".new" + runEnd
	// runEnd is the end of every run's name.
	runEnd = ".run"
)

// add takes the next identity, in the order of their hashes.
func (w *runWriter) add(ref identityRef) error {
	if w.added%runPerPage == 0 {
		if err := w.flush(); err != nil {
			return err
		}
		w.r.pages = append(w.r.pages, binary.BigEndian.Uint32(ref.hash[:]))
	}
	w.added++
	w.page = append(w.page, ref.hash[:]...)
	w.page = binary.BigEndian.AppendUint32(w.page, uint32(ref.sequence-w.r.first))
	w.page = binary.BigEndian.AppendUint16(w.page, w.numbers[ref.dataset])
	w.r.probe(ref.hash, func(at uint32) bool { w.r.filter[at/8] |= 1 << (at % 8); return true })
	return nil
}

// flush writes the page that is full, or the last one.
func (w *runWriter) flush() error {
	if len(w.page) == 0 {
		return nil
	}
	for len(w.page) < runPage-crc32.Size {
		w.page = append(w.page, 0xff)
	}
	w.page = binary.BigEndian.AppendUint32(w.page, crc32.Checksum(w.page, castagnoli))
	_, err := w.f.WriteAt(w.page, w.r.offset+int64(len(w.r.pages)-1)*runPage)
	w.page = w.page[:0]
	return err
}

// finish gives the run its name. Neither that nor its bytes are durable: until
// seenIndex.settle the segments, or the runs that it was merged of, can make it
// again.
func (w *runWriter) finish() (*run, error) {
	err := w.flush()
	if err == nil && w.added != w.r.count {
		err = fmt.Errorf("it has %d identities, not %d", w.added, w.r.count)
	}
	if err == nil {
		_, err = w.f.WriteAt(w.r.head(w.epoch), 0)
	}
	if err == nil {
		err = w.f.Truncate(w.r.disk())
	}
	if err == nil { // the file gets its blocks now, so that one commit of the journal has them and its name
		_ = unix.SyncFileRange(int(w.f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	}
	if cerr := w.f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(w.r.path+runDraft, w.r.path)
	}
	if err != nil {
		_ = os.Remove(w.r.path + runDraft)
		return nil, fmt.Errorf("write run %s: %w", w.r.path, err)
	}
	return w.r, nil
}

// abort gives up a run that is not whole.
func (w *runWriter) abort() {
	_ = w.f.Close()
	_ = os.Remove(w.r.path + runDraft)
}

// writeRun makes a run of identities in any order.
func writeRun(dir string, epoch uint64, cover seqRange, refs []identityRef) (*run, error) {
	slices.SortFunc(refs, compareRefs)
	var datasets []string
	known := map[string]bool{}
	for _, ref := range refs {
		if !known[ref.dataset] {
			known[ref.dataset] = true
			datasets = append(datasets, ref.dataset)
		}
	}
	w, err := newRunWriter(dir, epoch, cover, len(refs), datasets)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		if err := w.add(ref); err != nil {
			w.abort()
			return nil, fmt.Errorf("write run: %w", err)
		}
	}
	return w.finish()
}

func compareRefs(a, b identityRef) int {
	if c := bytes.Compare(a.hash[:], b.hash[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.sequence, b.sequence)
}
