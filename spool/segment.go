package spool

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"
)

// A segment is a stretch of the spool's order in one small Badger database,
// written once from front to back, then sealed, and deleted whole.
type segment struct {
	id  segmentID
	dir string

	// row is guarded by the table's mutex.
	row segmentRow

	// The writer's own: what the database has taken so far, and the log that
	// each commit syncs.
	used  int64
	keys  int
	log   *syncedLog
	ended bool // it has its seal record, and only has to be closed
	// ends is set where a commit failed: nothing from that sequence on is the
	// segment's own, though its files may have it. Zero means that none did.
	ends uint64
	lean bool // thinning it out would give nothing back

	mu      sync.RWMutex // guards db: readers share it, opening and closing own it
	db      *badger.DB
	lastUse atomic.Int64
}

// A segmentRow is what the spool knows of a segment without opening it. It is
// kept in meta for sealed segments, and in each seal, from which meta can be
// rebuilt.
type segmentRow struct {
	ID     segmentID `cbor:"1,keyasint"`
	Last   uint64    `cbor:"2,keyasint"` // of its records; less than First if it has none
	Count  int64     `cbor:"3,keyasint"`
	Bytes  int64     `cbor:"4,keyasint"` // of bodies
	Disk   int64     `cbor:"5,keyasint"`
	Sealed bool      `cbor:"6,keyasint"`
	// Oldest is the first segment that holds parts of bodies of this one's
	// records; the segments from there on are needed as long as this one.
	Oldest  segmentID         `cbor:"7,keyasint"`
	Created int64             `cbor:"8,keyasint"` // created_at of the last record
	Sets    map[string]setRow `cbor:"9,keyasint"`
	Aged    int64             `cbor:"10,keyasint,omitempty"` // the spool's age at the last record; see ownTime
}

// A setRow is what a segment holds of one dataset.
type setRow struct {
	First uint64 `cbor:"1,keyasint"`
	Last  uint64 `cbor:"2,keyasint"`
	Count int64  `cbor:"3,keyasint"`
	Bytes int64  `cbor:"4,keyasint"`
}

// add counts a committed chunk.
func (r *segmentRow) add(b *block) {
	if r.Sets == nil {
		r.Sets = map[string]setRow{}
	}
	set, known := r.Sets[b.name]
	if !known || b.first < set.First {
		set.First = b.first
	}
	set.Last = max(set.Last, b.last)
	set.Count += int64(b.count)
	set.Bytes += b.bytes
	r.Sets[b.name] = set
	r.Count += int64(b.count)
	r.Bytes += b.bytes
	r.Last = max(r.Last, b.last)
	r.Created = max(r.Created, b.created)
}

// needs notes that a record of the segment has parts in an earlier one.
func (r *segmentRow) needs(id segmentID) {
	if r.Oldest == (segmentID{}) || id.before(r.Oldest) {
		r.Oldest = id
	}
}

func (r segmentRow) clone() segmentRow {
	sets := make(map[string]setRow, len(r.Sets))
	for name, set := range r.Sets {
		sets[name] = set
	}
	r.Sets = sets
	return r
}

func encodeRow(r segmentRow) []byte {
	data, err := cbor.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("encode segment row: %v", err)) // plain numbers and names always encode
	}
	return data
}

func decodeRow(data []byte) (segmentRow, error) {
	var r segmentRow
	if err := envelopeDec.Unmarshal(data, &r); err != nil {
		return segmentRow{}, fmt.Errorf("%w: segment row: %v", ErrDamaged, err)
	}
	return r, nil
}

// name is the segment's folder: its first sequence, and its ordinal if it is
// not the only one that began there.
func (id segmentID) name() string {
	if id.Ord == 0 {
		return fmt.Sprintf("%016x", id.First)
	}
	return fmt.Sprintf("%016x-%04x", id.First, id.Ord)
}

func parseSegmentName(name string) (segmentID, bool) {
	var id segmentID
	if n, err := fmt.Sscanf(name, "%016x-%04x", &id.First, &id.Ord); n == 2 && err == nil && id.name() == name {
		return id, true
	}
	id = segmentID{}
	if n, err := fmt.Sscanf(name, "%016x", &id.First); n == 1 && err == nil && id.name() == name {
		return id, true
	}
	return segmentID{}, false
}

// chunkValue gives the bytes that the database has under an item's key. An
// empty value is a damaged one: Badger reports what it cannot read like that.
func chunkValue(item *badger.Item, use func(data []byte) error) error {
	return item.Value(func(data []byte) error {
		if len(data) == 0 {
			return fmt.Errorf("%w: the value log does not give the value", ErrDamaged)
		}
		return use(data)
	})
}

// eachChunk visits the chunks of a dataset that reach sequence from or lie
// behind it, in order, until visit says stop. Keys only: visit reads the
// value if it wants it.
func eachChunk(db *badger.DB, dataset string, from uint64, visit func(head block, item *badger.Item) (stop bool, err error)) error {
	return db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		o.Prefix = datasetPrefix(dataset)
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Seek(seekKey(dataset, from)); it.Valid(); it.Next() {
			head, err := parseChunkKey(it.Item().Key())
			if err != nil {
				return err
			}
			if stop, err := visit(head, it.Item()); stop || err != nil {
				return err
			}
		}
		return nil
	})
}

// getBlock reads one block by its key.
func getBlock(db *badger.DB, c *codec, key []byte) (block, error) {
	var b block
	err := db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		return chunkValue(item, func(data []byte) error {
			b, err = c.decode(data)
			return err
		})
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return block{}, fmt.Errorf("%w: a block is missing", ErrDamaged)
	}
	return b, err
}

func (s *segment) isOpen() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db != nil
}

func (s *segment) deletedName() string { return filepath.Clean(s.dir) + ".del" }
