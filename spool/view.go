package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// A view is what can be read of a spool's files without Badger: nothing of
// them changes, no damage kills the process, and an agent may go on beside it.
type view struct {
	path   string
	spool  *Spool // for the envelopes, streams and counters, never opened
	lock   *os.File
	held   bool // by an agent
	format error
	stores []*viewedStore // segments, oldest first
	parts  map[string]blockPlace
	meta   viewedFacts
}

// A blockPlace is where a block stands in a value log.
type blockPlace struct {
	head block
	path string
	at   int64
	size int
}

// A viewedStore is what was found in a segment.
type viewedStore struct {
	id     segmentID
	dir    string
	row    segmentRow // of what it holds, damaged chunks too
	sealed segmentRow // as meta knows it
	chunks []blockPlace
	known  map[string]bool // keys of the blocks
	lost   []block         // chunks that its keys name and no whole block is
	cause  error           // why it needs mending, nil if it does not
}

// viewedFacts are the pairs of a generation of meta or a store of history.
type viewedFacts struct {
	name  string
	pairs []metaPair
	cause error
}

// openView looks at all stores of a spool. Unless beside, one that an agent
// holds fails with ErrLocked.
func openView(path string, beside bool) (*view, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("look into spool: %w", err)
	}
	v := &view{path: path, parts: map[string]blockPlace{}, spool: newSpool(Config{Path: path}.withDefaults())}
	if err := v.takeLock(beside); err != nil {
		return nil, err
	}
	if err := v.load(); err != nil {
		v.close()
		return nil, fmt.Errorf("look into spool %s: %w", path, err)
	}
	return v, nil
}

func (v *view) close() {
	if v.lock != nil {
		v.lock.Close()
	}
	if v.spool.codec != nil {
		v.spool.codec.close()
	}
}

func (v *view) takeLock(beside bool) error {
	lock, err := os.Open(filepath.Join(v.path, "LOCK"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into spool: %w", err)
	}
	v.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		v.held = true
		if !beside {
			lock.Close()
			return fmt.Errorf("look into spool %s: %w; stop it first, or ask it with status", v.path, ErrLocked)
		}
	}
	return nil
}

func (v *view) load() error {
	epoch, found, err := readFormat(v.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: no FORMAT in it, so it is no spool", ErrDamaged)
	case errors.Is(err, ErrNewer):
		return err
	case err != nil || !found:
		v.format = errFormat
	}
	if v.spool.codec, err = newCodec(epoch); err != nil {
		return err
	}
	dir := filepath.Join(v.path, "meta")
	if gens, err := generations(dir); err == nil && len(gens) > 0 {
		newest := (&metaStore{dir: dir}).path(gens[len(gens)-1])
		v.meta = viewFacts(newest)
	}
	return v.loadStores()
}

// viewFacts reads a generation of meta or a store of history.
func viewFacts(dir string) viewedFacts {
	f := viewedFacts{name: filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir)}
	pairs, damaged, err := wholePairs(dir)
	f.pairs, f.cause = pairs, err
	if damaged && err == nil {
		f.cause = errDamagedLog
	}
	if cerr := checkStore(dir); cerr != nil {
		f.cause = cerr
	}
	return f
}

// loadStores looks into the segments; each is believed up to the next one.
func (v *view) loadStores() error {
	rows, ends := map[segmentID]segmentRow{}, map[segmentID]uint64{}
	_ = eachOf(v.meta.pairs, []byte{metaSegment}, func(_, value []byte) error {
		switch row, err := decodeRow(value); {
		case err != nil:
		case row.Sealed:
			rows[row.ID] = row
		default:
			ends[row.ID] = row.Last + 1 // see giveUp
		}
		return nil
	})
	names, err := os.ReadDir(filepath.Join(v.path, "seg"))
	if err != nil {
		return err
	}
	var ids []segmentID
	dirs := map[segmentID]string{}
	for _, d := range names { // a new store comes behind the old one, and counts only without it
		id, ok := parseSegmentName(strings.TrimSuffix(d.Name(), ".new"))
		if ok && dirs[id] == "" {
			ids = append(ids, id)
			dirs[id] = filepath.Join(v.path, "seg", d.Name())
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i].before(ids[j]) })
	for i, id := range ids {
		limit := uint64(math.MaxUint64)
		if i+1 < len(ids) {
			limit = ids[i+1].First
		}
		if end, failed := ends[id]; failed {
			limit = min(limit, end)
		}
		st := &viewedStore{id: id, dir: dirs[id], sealed: rows[id]}
		err := v.look(st, limit)
		for range 2 { // what an agent is writing may look torn for a moment
			if v.held && st.cause != nil && err == nil {
				err = v.look(st, limit)
			}
		}
		if _, gone := os.Stat(st.dir); errors.Is(gone, fs.ErrNotExist) {
			continue // an agent let it go meanwhile
		}
		if err != nil {
			return err
		}
		v.stores = append(v.stores, st)
	}
	return nil
}

// look finds a segment's blocks, and the keys that name no whole one. Keys
// come first: what an agent writes meanwhile is then not missing.
func (v *view) look(st *viewedStore, limit uint64) error {
	st.row = segmentRow{ID: st.id, Last: max(st.id.First, 1) - 1, Sealed: st.sealed.Sealed, Disk: treeBytes(st.dir)}
	st.chunks, st.known, st.lost, st.cause = nil, map[string]bool{}, nil, nil
	if fi, err := os.Stat(st.dir); err == nil && !fi.IsDir() {
		st.cause = fmt.Errorf("%w: it is no folder", ErrDamaged)
		return nil
	}
	named, _, keysDamaged, err := namedChunks(st.dir)
	if err != nil {
		return err
	}
	damaged, err := v.place(st, limit, named)
	if err != nil {
		return err
	}
	for _, head := range named {
		if head.first < limit {
			st.lost = append(st.lost, head)
			st.row.add(&head)
		}
	}
	sort.Slice(st.chunks, func(i, j int) bool { return st.chunks[i].head.first < st.chunks[j].head.first })
	sort.Slice(st.lost, func(i, j int) bool { return st.lost[i].first < st.lost[j].first })
	switch err := checkStore(st.dir); {
	case len(st.known) == 0 && len(st.lost) == 0 && st.sealed.Count == 0: // it was only begun
	case err != nil:
		st.cause = err
	case keysDamaged:
		st.cause = fmt.Errorf("%w: its list of keys is bad in the middle", ErrDamaged)
	case damaged && len(st.lost) == 0: // else the lost chunks say it
		st.cause = errDamagedLog
	}
	return nil
}

// place finds the blocks in a segment's value logs, and takes them off named.
func (v *view) place(st *viewedStore, limit uint64, named map[string]block) (damaged bool, err error) {
	logs, err := filepath.Glob(filepath.Join(st.dir, "*.vlog"))
	if err != nil {
		return false, err
	}
	for i, path := range logs {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return damaged, err
		}
		kind := logKind{closed: !hasKeyLog(st.dir), later: i > 0}
		h, err := placeBlocks(f, v.spool.codec, kind, func(b block, data []byte, at int64) error {
			v.note(st, blockPlace{head: b, path: path, at: at, size: len(data)}, limit)
			delete(named, string(b.key()))
			return nil
		})
		f.Close()
		damaged = damaged || h.damaged
		if err != nil {
			return damaged, err
		}
		for _, head := range h.lost {
			if key := string(head.key()); !st.known[key] && (&segment{id: st.id}).mayHold(&head) {
				named[key] = head
			}
		}
	}
	return damaged, nil
}

func (v *view) note(st *viewedStore, p blockPlace, limit uint64) {
	key := string(p.head.key())
	twice := st.known[key] // a mending wrote it once more
	st.known[key] = true
	switch p.head.kind {
	case kindPart:
		v.parts[key] = p
	case kindChunk:
		if twice || p.head.first >= limit { // what is beyond is another segment's
			return
		}
		st.chunks = append(st.chunks, p)
		st.row.add(&p.head)
	}
}
