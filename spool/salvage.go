package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// salvage builds a segment's store anew from the blocks in its value logs,
// and keeps the old one in quarantine. Chunks from limit on are another's.
func (s *Spool) salvage(seg *segment, limit uint64, cause error) error {
	fresh := seg.dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("salvage segment: %w", err)
	}
	shape, err := s.salvageShape(seg.dir)
	if err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	db, err := openStore(fresh, shape, 0, s.faults)
	if err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	named, reach, _, err := namedChunks(seg.dir)
	if err != nil {
		_ = db.Close()
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	kept, records := map[string]bool{}, int64(0)
	h, err := scanStore(seg.dir, s.codec, func(b block, data []byte) error {
		if b.kind == kindSeal || b.kind == kindChunk && b.first >= limit {
			return nil
		}
		kept[string(b.key())] = true
		delete(named, string(b.key()))
		if b.kind == kindChunk {
			records += int64(b.count)
		}
		return db.Update(func(txn *badger.Txn) error { return txn.Set(b.key(), bytes.Clone(data)) })
	})
	for _, head := range h.lost {
		if key := string(head.key()); !kept[key] && seg.mayHold(&head) {
			named[key] = head
			reach = max(reach, head.last)
		}
	}
	if cerr := closeStore(db); err == nil {
		err = cerr
	}
	if err == nil {
		err = syncStore(fresh)
	}
	if err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	// From here on the new store is whole: a start that finds it without the
	// old one goes on with it.
	harmless := errors.Is(cause, errSuspect) ||
		(errors.Is(cause, errBadLog) || errors.Is(cause, errTorn)) && len(named) == 0
	if !h.damaged && records >= seg.row.Count && harmless {
		err = discardStore(seg.dir) // the process, or the board, was only stopped while it opened the segment
	} else {
		err = s.setAside(seg.dir, cause)
	}
	if err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	if err := os.Rename(fresh, seg.dir); err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	s.log.Warn("segment was built anew from its blocks", "segment", seg.id.name(), "blocks", len(kept))
	if !seg.row.Sealed { // of a sealed one the row tells; see replaceRow
		s.noteHurt(seg, limit, named)
		if errors.Is(cause, syscall.EIO) { // what cannot be read may have held as many as fit
			reach = max(reach, seg.id.First-1+recordsPerSegment)
		}
		s.writtenSeq = max(s.writtenSeq, min(reach, limit-1))
	}
	return syncDir(s.table.dir)
}

// mayHold tells whether a chunk, by a key that nothing vouches for, can be one
// of the segment's.
func (s *segment) mayHold(head *block) bool {
	return head.first >= s.id.First && head.last >= head.first && head.last-s.id.First < recordsPerSegment &&
		head.count > 0 && uint64(head.count) <= head.last-head.first+1
}

// salvageShape is that of the store for the blocks which can be read out of a
// segment: there may be no room for more than they take.
func (s *Spool) salvageShape(dir string) (storeShape, error) {
	var all remainder
	_, err := scanStore(dir, s.codec, func(_ block, data []byte) error {
		all.keys++
		all.bytes += int64(len(data))
		return nil
	})
	return all.shape(), err
}

// noteHurt counts the chunks that the keys of an unsealed segment named and
// its value log did not have any more. The streams are loaded later, and count
// them then.
func (s *Spool) noteHurt(seg *segment, limit uint64, named map[string]block) {
	for _, head := range named {
		if head.first >= limit {
			continue
		}
		s.hurt = append(s.hurt, head)
		s.damaged.Add(uint64(head.count))
		s.log.Error("records are damaged; they are passed over and counted as lost", "dataset", head.name,
			"first", head.first, "last", head.last, "records", head.count, "segment", seg.id.name())
	}
}

// loseHurt counts what a stream had not passed of those; it is not in use yet.
func (s *Spool) loseHurt(st *Stream) {
	for _, head := range s.hurt {
		if head.name == st.dataset && st.next <= head.last {
			st.totals.Lost += min(uint64(head.count), head.last-st.next+1)
			st.dirty = true
		}
	}
}

// rescue looks for a block that its key does not lead to any more, because the
// few bytes before it in the value log are damaged and it is not.
func (s *Spool) rescue(seg *segment, key []byte) (b block, err error) {
	found := errors.New("found")
	_, err = scanStore(seg.dir, s.codec, func(head block, data []byte) error {
		if !bytes.Equal(head.key(), key) {
			return nil
		}
		if b, err = s.codec.decode(data); err != nil {
			return err
		}
		return found
	})
	switch {
	case errors.Is(err, found):
		return b, nil
	case err == nil:
		err = fmt.Errorf("%w: no whole block of this key is in the value log", ErrDamaged)
	}
	return block{}, err
}
