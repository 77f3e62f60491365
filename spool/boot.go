package spool

import (
	"fmt"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// bootsKept bounds how many boots' offsets are remembered.
const bootsKept = 256

// A bootRow says how records of one boot are dated.
type bootRow struct {
	Offset int64  `cbor:"1,keyasint"` // wall time in ns at boot
	From   uint64 `cbor:"2,keyasint"` // first sequence that may be dated
}

// A counterRow holds the counts that outlive segments.
type counterRow struct {
	NextSequence uint64 `cbor:"1,keyasint"`
	Duplicates   uint64 `cbor:"2,keyasint"`
	Lost         uint64 `cbor:"3,keyasint"`
	Damaged      uint64 `cbor:"4,keyasint"`
	// Offered: records up to here may have been offered without a date.
	Offered uint64  `cbor:"5,keyasint"`
	Created int64   `cbor:"6,keyasint"` // the spool's own time; see ownTime
	Age     int64   `cbor:"7,keyasint"`
	Last    Instant `cbor:"8,keyasint"`
}

// counterPair is the counters as meta keeps them.
func (s *Spool) counterPair() metaPair {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counterPairHeld()
}

func (s *Spool) counterPairHeld() metaPair {
	data, err := cbor.Marshal(counterRow{
		NextSequence: s.writtenSeq + 1, Duplicates: s.duplicates, Lost: s.lost.Load(), Damaged: s.damaged.Load(),
		Offered: s.offered, Created: s.own.created, Age: s.own.age, Last: s.own.last,
	})
	if err != nil {
		panic(fmt.Sprintf("encode counters: %v", err)) // plain numbers always encode
	}
	return metaPair{[]byte{metaCounters}, data}
}

// MarkBootTime says that records of this boot are to be dated with offset
// (wall time = offset + Instant.Since). The first call for a boot counts, and
// only for records that no stream has offered undated before it. Durable when
// it returns.
func (s *Spool) MarkBootTime(boot [16]byte, offset time.Time) error {
	s.offerMu.Lock()
	defer s.offerMu.Unlock()
	s.mu.Lock()
	_, known := s.boots[boot]
	row := bootRow{Offset: offset.UnixNano(), From: s.offered + 1}
	s.mu.Unlock()
	if known {
		return nil
	}
	data, err := cbor.Marshal(row)
	if err != nil {
		return fmt.Errorf("mark boot time: %w", err)
	}
	pairs := append(s.spareBoots(), metaPair{append([]byte{metaBoot}, boot[:]...), data})
	if err := s.meta.put(pairs...); err != nil {
		return fmt.Errorf("mark boot time: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boots[boot] = row
	return nil
}

// spareBoots forgets the oldest boots beyond what is kept.
func (s *Spool) spareBoots() (gone []metaPair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.boots) >= bootsKept {
		var oldest [16]byte
		from := uint64(math.MaxUint64)
		for id, row := range s.boots {
			if row.From <= from {
				oldest, from = id, row.From
			}
		}
		delete(s.boots, oldest)
		gone = append(gone, metaPair{key: append([]byte{metaBoot}, oldest[:]...)})
	}
	return gone
}

// Dated returns the record's true wall time: its own if it was synchronised,
// else by its boot's offset if that is known. A record that was once offered
// undated stays undated.
func (s *Spool) Dated(r *Record) (t time.Time, ok bool) {
	if r.Time.State == ClockSynchronised {
		return time.Unix(0, r.Time.Wall).UTC(), true
	}
	s.mu.Lock()
	row, known := s.boots[r.Time.Boot]
	s.mu.Unlock()
	if !known || r.Sequence < row.From {
		return time.Time{}, false
	}
	return time.Unix(0, row.Offset+int64(r.Time.Since)).UTC(), true
}

// offer makes it durable that records are handed out undated, before they are.
func (s *Spool) offer(recs []Record) error {
	s.offerMu.Lock()
	defer s.offerMu.Unlock()
	last := uint64(0)
	for i := range recs {
		if _, dated := s.Dated(&recs[i]); !dated {
			last = max(last, recs[i].Sequence)
		}
	}
	s.mu.Lock()
	if last <= s.offered {
		s.mu.Unlock()
		return nil
	}
	s.offered = last
	pair := s.counterPairHeld()
	s.mu.Unlock()
	return s.meta.put(pair)
}

// loadBoots brings back the boots' offsets and the counters.
func (s *Spool) loadBoots() error {
	if data, ok := s.meta.get([]byte{metaCounters}); ok {
		var c counterRow
		if err := envelopeDec.Unmarshal(data, &c); err == nil {
			s.nextSeq, s.duplicates, s.offered = c.NextSequence, c.Duplicates, c.Offered
			s.own = ownTime{created: c.Created, age: c.Age, last: c.Last}
			s.lost.Store(c.Lost)
			s.damaged.Store(c.Damaged)
		}
	}
	return s.meta.each([]byte{metaBoot}, func(key, value []byte) error {
		var row bootRow
		if err := envelopeDec.Unmarshal(value, &row); err == nil && len(key) == 17 {
			s.boots[[16]byte(key[1:])] = row
		}
		return nil
	})
}
