package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// A detectionPlace is where a chunk of detections stands in a value log. from
// is the first id that counts: what a failed commit left behind may be there
// once more.
type detectionPlace struct {
	head detectionHead
	from uint64
	path string
	at   int64
	size int
	// value is the chunk itself, of detections that are not written yet.
	value []byte
}

// detectionLogs is what was found in the value logs of one store.
type detectionLogs struct {
	places []detectionPlace // in the order of their ids
	after  uint64           // highest id of the stores before
	path   string           // of the last log
	end    int64            // of the pairs in it
}

// last is the highest id that was found, also in the stores before.
func (l *detectionLogs) last() uint64 {
	last := l.after
	for _, p := range l.places {
		last = max(last, p.head.last)
	}
	return last
}

// detectionHeadOf reads the head of a pair, if it is a chunk of detections.
func detectionHeadOf(p storedPair) (h detectionHead, ok bool) {
	if len(p.key) == 0 || p.key[0] != detectionKind || p.flags&pairDeleted != 0 {
		return h, false
	}
	value, err := unsealValue(p.key, p.value)
	if err != nil {
		return h, false
	}
	h, err = parseDetectionHead(value)
	return h, err == nil && bytes.Equal(p.key, detectionKey(h.first, h.last))
}

// add notes a chunk in the order of the ids. Those of one commit stand in the
// log in any order, and a failed one may have left some of its chunks, which
// were written once more.
func (l *detectionLogs) add(h detectionHead, p storedPair, path string) {
	place := detectionPlace{head: h, path: path, at: p.at, size: p.size}
	at, _ := slices.BinarySearchFunc(l.places, h.first, func(o detectionPlace, first uint64) int { return cmp.Compare(o.head.first, first) })
	if at < len(l.places) {
		l.places = slices.Clone(l.places) // views have the old one
	}
	l.places = slices.Insert(l.places, at, place)
	last := l.after
	if at > 0 {
		last = max(last, l.places[at-1].from-1, l.places[at-1].head.last)
	}
	for i := at; i < len(l.places); i++ {
		o := &l.places[i]
		o.from = last + 1
		last = max(last, o.head.last)
	}
}

// indexed makes sure that every store's logs are known; d.layout is held for
// writing. A damaged store is built anew from what is whole in it.
func (d *detections) indexed() error {
	numbers, open := d.stores.all()
	last := uint64(0)
	for _, n := range numbers {
		d.mu.Lock()
		have := d.logs[n]
		d.mu.Unlock()
		if have == nil {
			logs, damaged, err := d.scan(n, n == open, last)
			if damaged && err == nil {
				d.log.Error("detections are damaged; what is whole of them is kept", "store", n)
				if err = d.stores.mend(n); err == nil {
					logs, _, err = d.scan(n, n == open, last)
				}
			}
			if err != nil {
				return fmt.Errorf("read detections: %w", err)
			}
			have = logs
			d.mu.Lock()
			d.logs[n] = have
			d.mu.Unlock()
		}
		last = max(last, have.last())
	}
	return nil
}

// scan finds the chunks of a store; after is the last id of those before it.
func (d *detections) scan(n uint64, open bool, after uint64) (logs *detectionLogs, damaged bool, err error) {
	logs = &detectionLogs{after: after}
	if open {
		return logs, false, d.extend(n, logs, math.MaxUint64)
	}
	dir := d.stores.path(n)
	files, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil {
		return nil, false, err
	}
	for _, path := range files {
		bad, err := scanLogPairs(path, !hasKeyLog(dir), func(p storedPair) {
			if h, ok := detectionHeadOf(p); ok {
				logs.add(h, p, path)
			}
		})
		damaged = damaged || bad
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, damaged, err
		}
	}
	return logs, damaged, nil
}

// extend goes on in the store that is being written, up to an id.
func (d *detections) extend(n uint64, logs *detectionLogs, before uint64) error {
	files, err := filepath.Glob(filepath.Join(d.stores.path(n), "*.vlog"))
	if err != nil {
		return err
	}
	for _, path := range files {
		if path < logs.path {
			continue
		}
		if path > logs.path {
			logs.path, logs.end = path, logHeader
		}
		if err := logs.extendIn(path, before); err != nil {
			return err
		}
	}
	return nil
}

func (l *detectionLogs) extendIn(path string, before uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	scan := &logScan{f: f}
	for {
		p, size, err := scan.whole(l.end)
		if err != nil || size == 0 {
			return err
		}
		if h, ok := detectionHeadOf(p); ok && h.first >= before {
			return nil // its commit may still be under way
		} else if ok {
			l.add(h, p, path)
		}
		l.end += size
	}
}

// forget has a store's logs looked at anew.
func (d *detections) forget(n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.logs, n)
}

// load makes sure that no id is given which a store has, though meta may have
// been lost.
func (d *detections) load() error {
	d.mu.Lock()
	loaded := d.loaded
	d.mu.Unlock()
	if loaded {
		return nil
	}
	d.layout.Lock()
	defer d.layout.Unlock()
	numbers, open := d.stores.all()
	last := uint64(0)
	for _, n := range slices.Backward(numbers) {
		logs, _, err := d.scan(n, n == open, 0)
		if err != nil {
			return fmt.Errorf("read detections: %w", err)
		}
		if last = logs.last(); last > 0 {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next, d.loaded = max(d.next, last+1), true
	return nil
}

// A detectionView is what there is of detections at one moment; it is to be
// closed.
type detectionView struct {
	d       *detections
	stores  [][]detectionPlace // oldest first
	numbers []uint64
	first   uint64 // id of them, from which on the stores do not count
	newest  uint64 // the highest id there is
	file    *os.File
	path    string
	scan    logScan
	rows    *detectionRows
}

// view looks at all there is.
func (d *detections) view() (*detectionView, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	for {
		d.layout.RLock()
		v, missing, err := d.look()
		if err == nil && !missing {
			return v, nil
		}
		d.layout.RUnlock()
		if err != nil {
			return nil, fmt.Errorf("read detections: %w", err)
		}
		d.layout.Lock()
		err = d.indexed()
		d.layout.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// look takes the view, or tells that a store is to be indexed first.
func (d *detections) look() (v *detectionView, missing bool, err error) {
	numbers, open := d.stores.all()
	d.mu.Lock()
	defer d.mu.Unlock()
	v = &detectionView{d: d, numbers: numbers, newest: d.next - 1, first: d.next}
	if len(d.waiting) > 0 {
		v.first = d.waiting[0].ID
	}
	for _, n := range numbers {
		logs := d.logs[n]
		if logs == nil {
			return nil, true, nil
		}
		if n == open {
			if err := d.extend(n, logs, v.first); err != nil {
				return nil, false, err
			}
		}
		v.stores = append(v.stores, logs.places[:len(logs.places):len(logs.places)])
	}
	v.stores = append(v.stores, nil)
	for rest := d.waiting; len(rest) > 0; {
		n := chunkOf(rest)
		value, err := encodeDetections(d.codec, rest[:n], false)
		if err != nil {
			return nil, false, err
		}
		head, err := parseDetectionHead(value)
		if err != nil {
			return nil, false, err
		}
		last := &v.stores[len(v.stores)-1]
		*last = append(*last, detectionPlace{head: head, from: head.first, value: value})
		rest = rest[n:]
	}
	return v, false, nil
}

// close lets the stores be moved again.
func (v *detectionView) close() {
	if v.file != nil {
		v.file.Close()
	}
	v.d.layout.RUnlock()
}

// read gives a chunk; the memory is that of the view until the next one is
// read. One that cannot be read any more is missing, and has its store looked
// at anew.
func (v *detectionView) read(store int, p *detectionPlace) (value []byte, ok bool) {
	if p.value != nil {
		return p.value, true
	}
	value, err := v.readFrom(p)
	if err == nil {
		return value, true
	}
	v.d.log.Error("detections cannot be read; they are passed over", "first", p.head.first, "last", p.head.last, "error", err)
	v.d.forget(v.numbers[store])
	return nil, false
}

func (v *detectionView) readFrom(p *detectionPlace) ([]byte, error) {
	if v.path != p.path {
		if v.file != nil {
			v.file.Close()
		}
		f, err := os.Open(p.path)
		if err != nil {
			v.file, v.path = nil, ""
			return nil, err
		}
		v.file, v.path = f, p.path
	}
	v.scan.f = v.file
	data, err := v.scan.read(p.at, p.size)
	if err != nil {
		return nil, err
	}
	pair, _, ok := parsePair(data)
	if !ok {
		return nil, fmt.Errorf("%w: pair does not match its checksum", ErrDamaged)
	}
	return unsealValue(pair.key, pair.value)
}
