package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// detectionStores is how many stores the history of detections has at most.
	detectionStores = 8
	// detectionsEvery is how long a detection that can be made again waits for
	// others, so that they share a commit. A minute of them costs a card some
	// 40 MB a day; a commit for each would cost as much in half an hour.
	detectionsEvery = time.Minute
	// detectionsHeld is how many of them wait at most while they cannot be
	// written.
	detectionsHeld = 16 * detectionsPerChunk
	// idsAhead is how many ids a note in meta gives out: a crash costs those
	// that are left of it, and none is given twice.
	idsAhead = 1024
	// chunksPerCommit bounds a commit by Badger's limits for one.
	chunksPerCommit = 16
	// surely is the score from which on a detection is durable at once.
	surely = 0.5
)

// detections are the spool's history of detections, in rotated stores det/<n>/
// like those of a history. Badger writes them; they are read past it, from the
// value logs, which have everything in the order of the ids: opening a closed
// store would write to the card, and eight open ones take much of a small
// board. The order of the mutexes: writing, layout, mu, the history's.
type detections struct {
	stores *history
	codec  *codec
	meta   *metaStore
	now    func() time.Time // in the spool's own time
	moved  func()           // told when stores began or went
	log    Logger

	writing sync.Mutex   // one writes at a time
	layout  sync.RWMutex // held for writing by who moves, builds or drops stores

	mu       sync.Mutex
	waiting  []Detection // not written yet, oldest first
	since    time.Time   // when the first of them came
	size     int
	next     uint64 // id to be given
	reserved uint64 // ids below are noted in meta
	lastAt   time.Time
	logs     map[uint64]*detectionLogs // what was found in the stores
	loaded   bool                      // next is behind all that the stores have
}

// The least and the most that the share of the detections may be.
const (
	leastDetections = 2 << 20
	mostDetections  = 128 << 20
)

// detectionsLimit is the payload of one store: an eighth of the history's
// share, which is a 32nd of the cap. A store is read whole into memory where a
// process left it open.
func detectionsLimit(memory, maxBytes int64) int64 {
	most := int64(64 << 20)
	switch {
	case memory < mediumMemory:
		most = 16 << 20
	case memory < largeMemory:
		most = 32 << 20
	}
	return min(most, max(maxBytes/32, leastDetections)) / detectionStores
}

// detectionShape is that of a history, cut smaller: its values are some KB
// each, so that it has few keys.
func detectionShape(payload int64) storeShape {
	return storeShape{memTable: 256 << 10, log: max(payload, 1<<20) + 128<<10, inline: inlineValue, synced: true}
}

// detectionKeys is how many keys a store takes before its chunks are merged.
const detectionKeys = keysPerSegment / 4

func openDetections(s *Spool, dir string) (*detections, error) {
	d := &detections{codec: s.codec, meta: s.meta, now: s.ownNow, moved: s.measureSides, log: s.log, logs: map[uint64]*detectionLogs{}, next: 1}
	stores, err := openHistory(dir, s.lim.detections, s.faults)
	if err != nil {
		return nil, err
	}
	d.stores = stores
	stores.shape, stores.most, stores.keysLimit = detectionShape(s.lim.detections), detectionStores, detectionKeys
	stores.damaged, stores.dropped = s.setAside, func(map[string]int64) {}
	if value, ok := s.meta.get([]byte{metaDetections}); ok && len(value) == 8 {
		d.next = binary.BigEndian.Uint64(value)
	}
	d.reserved = d.next
	return d, nil
}

// Detect keeps detections and gives them their ids, in order. Those of a score
// of 0.5 or more, and those about no record of the spool, which nobody could
// make again, are durable when it returns, with all before them; who calls it
// meanwhile shares the commit. The others are seen at once, and durable within
// a minute or 64 KiB. It fails with ErrFull, ErrReadOnly, ErrTooLarge or
// ErrClosed, or on a score outside of 0 to 1; then the ids it returns, if any,
// are those of detections that are kept and tried again.
func (s *Spool) Detect(ctx context.Context, all ...Detection) (ids []uint64, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	if s.isClosed() {
		return nil, fmt.Errorf("detect: %w", ErrClosed)
	}
	sizes := 0
	now := false
	for i := range all {
		size, err := checkDetection(&all[i])
		if err != nil {
			return nil, fmt.Errorf("detect: %w", err)
		}
		sizes += size
		now = now || all[i].Score >= surely || all[i].Sequence == 0
	}
	d := s.detections
	ids, due, err := d.take(all, sizes)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	if now || due {
		if err := ctx.Err(); err != nil {
			return ids, fmt.Errorf("detect: %w", err)
		}
		if err := d.flush(ids[len(ids)-1]); err != nil {
			s.choresSoon()
			return ids, fmt.Errorf("detect: %w", readOnlyError(err))
		}
		return ids, nil
	}
	s.choresSoon()
	return ids, nil
}

// SyncDetections makes every detection durable that has an id.
func (s *Spool) SyncDetections(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sync detections: %w", err)
	}
	if s.isClosed() {
		return fmt.Errorf("sync detections: %w", ErrClosed)
	}
	if err := s.detections.flush(math.MaxUint64); err != nil {
		return fmt.Errorf("sync detections: %w", readOnlyError(err))
	}
	return nil
}

// checkDetection refuses what cannot be kept, and tells how much it takes.
func checkDetection(d *Detection) (size int, err error) {
	scores := []float64{d.Score}
	for _, l := range d.Labels {
		scores = append(scores, l.Probability)
	}
	for _, c := range d.Checks {
		scores = append(scores, c.Score)
	}
	for _, score := range scores {
		if !(score >= 0 && score <= 1) {
			return 0, fmt.Errorf("a score of %v by model %q is not within 0 to 1", score, d.Model)
		}
	}
	if len(d.Tags) > detectionTags {
		return 0, fmt.Errorf("%d tags are more than %d: %w", len(d.Tags), detectionTags, ErrTooLarge)
	}
	if size = detectionSize(d); size > detectionLimit {
		return 0, fmt.Errorf("a detection of %d bytes is more than %d: %w", size, detectionLimit, ErrTooLarge)
	}
	return size, nil
}

// detectionSize is about what a detection takes.
func detectionSize(d *Detection) (size int) {
	size = 64 + len(d.SHA256)
	for _, text := range []string{d.Dataset, d.Name, d.ContentType, d.Source, d.Model, d.ModelVersion, d.Classification} {
		size += len(text)
	}
	for name, value := range d.Tags {
		size += len(name) + len(value) + 4
	}
	for _, l := range d.Labels {
		size += 16
		for _, part := range l.Name {
			size += len(part) + 4
		}
	}
	for _, c := range d.Checks {
		size += len(c.Type) + len(c.Details) + 24
	}
	for _, reason := range d.Reasons {
		size += len(reason) + 4
	}
	return size
}

// take gives ids, and tells whether what waits is due.
func (d *detections) take(all []Detection, size int) (ids []uint64, due bool, err error) {
	if err := d.load(); err != nil {
		return nil, false, err
	}
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting)+len(all) > detectionsHeld && len(d.waiting) > 0 {
		return nil, false, fmt.Errorf("%d detections wait for the disk already: %w", len(d.waiting), ErrFull)
	}
	if err := d.reserve(len(all)); err != nil {
		return nil, false, err
	}
	if now.Before(d.lastAt) {
		now = d.lastAt
	}
	if len(d.waiting) == 0 {
		d.since = time.Now()
	}
	for _, o := range all {
		o.ID = d.next
		d.next++
		if o.At.IsZero() {
			o.At, d.lastAt = now, now
		}
		ids = append(ids, o.ID)
		d.waiting = append(d.waiting, o)
	}
	d.size += size
	return ids, d.size >= detectionBytes || len(d.waiting) >= detectionsPerChunk, nil
}

// reserve makes sure that no start gives ids again which are given now; d.mu
// is held.
func (d *detections) reserve(more int) error {
	if d.next+uint64(more) <= d.reserved {
		return nil
	}
	until := d.next + uint64(more) + idsAhead
	if err := d.meta.put(metaPair{[]byte{metaDetections}, binary.BigEndian.AppendUint64(nil, until)}); err != nil {
		return fmt.Errorf("reserve ids: %w", err)
	}
	d.reserved = until
	return nil
}

// due tells whether what waits is to be written.
func (d *detections) due() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting) > 0 && time.Since(d.since) >= detectionsEvery
}

// flush writes what waits, unless all up to an id is written already: who
// waited for the one before shares its commit.
func (d *detections) flush(upTo uint64) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	batch := d.waiting
	d.mu.Unlock()
	if len(batch) == 0 || batch[0].ID > upTo {
		return nil
	}
	for len(batch) > 0 {
		pairs, n, err := d.pack(batch)
		if err == nil {
			err = d.write(pairs)
		}
		if err != nil {
			return fmt.Errorf("write detections: %w", err)
		}
		d.written(n)
		batch = batch[n:]
	}
	return nil
}

// pack makes chunks of some of the detections for one commit.
func (d *detections) pack(batch []Detection) (pairs []metaPair, n int, err error) {
	for n < len(batch) && len(pairs) < chunksPerCommit {
		more := chunkOf(batch[n:])
		chunk := batch[n : n+more]
		value, err := encodeDetections(d.codec, chunk, true)
		if err != nil {
			return nil, 0, err
		}
		pairs = append(pairs, metaPair{detectionKey(chunk[0].ID, chunk[more-1].ID), value})
		n += more
	}
	return pairs, n, nil
}

// written takes the first of those that wait away.
func (d *detections) written(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = slices.Clone(d.waiting[n:]) // queries may still have the old ones
	d.size, d.since = 0, time.Now()
}

// chunkOf is how many of the detections make one chunk.
func chunkOf(all []Detection) (n int) {
	for size := 0; n < min(len(all), detectionsPerChunk); n++ {
		if size += detectionSize(&all[n]); size > detectionBytes && n > 0 {
			break
		}
	}
	return n
}

// write makes the pairs durable in one commit, after making room for them.
func (d *detections) write(pairs []metaPair) error {
	size := int64(0)
	for _, p := range pairs {
		size += int64(len(p.key)+len(p.value)) + 128
	}
	if !d.stores.takes(size, len(pairs)) {
		if err := d.makeRoom(size, len(pairs)); err != nil {
			return err
		}
	}
	return d.stores.put(pairs...)
}

// makeRoom opens a store that takes that much more: the newest one, after its
// chunks were merged if they are many and small, or the next.
func (d *detections) makeRoom(size int64, keys int) error {
	d.layout.Lock()
	defer d.layout.Unlock()
	n, err := d.stores.resume()
	d.forget(n)
	if err == nil && !d.stores.takes(size, keys) && d.stores.crowded() {
		if err = d.merge(n); err == nil {
			_, err = d.stores.resume()
		}
		d.forget(n)
	}
	if err != nil && isDiskFault(err) {
		return err
	}
	err = d.stores.makeWritable(size, keys)
	d.moved()
	return err
}

// close writes what waits, and notes the ids as they are.
func (d *detections) close() error {
	err := d.flush(math.MaxUint64)
	d.layout.Lock()
	defer d.layout.Unlock()
	d.mu.Lock()
	next, exact := d.next, d.next == d.reserved
	d.mu.Unlock()
	if !exact && d.meta != nil {
		merr := d.meta.put(metaPair{[]byte{metaDetections}, binary.BigEndian.AppendUint64(nil, next)})
		err = errors.Join(err, merr)
	}
	return errors.Join(err, d.stores.close())
}
