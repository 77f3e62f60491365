package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/dgraph-io/badger/v4"
)

// A keptBody is the body of a fetched record: in memory if it is small, else
// read from its parts.
type keptBody struct {
	spool  *Spool
	inline []byte
	parts  partList
	size   int64
	sum    [32]byte
	// part, if set, reads the parts in place of the spool.
	part func(id string, number uint32) ([]byte, error)
}

// Size, SHA256 and Open make keptBody a Body.
func (b *keptBody) Size() int64      { return b.size }
func (b *keptBody) SHA256() [32]byte { return b.sum }
func (b *keptBody) Open() (io.ReadCloser, error) {
	if b.parts.id == "" {
		return bodyInMemory{bytes.NewReader(b.inline)}, nil
	}
	r := &partReader{spool: b.spool, parts: b.parts, left: b.size, size: b.size}
	if b.part != nil {
		r.part = func(number uint32) ([]byte, error) { return b.part(b.parts.id, number) }
	}
	return r, nil
}

// bodyInMemory reads a small body.
type bodyInMemory struct{ *bytes.Reader }

func (bodyInMemory) Close() error { return nil }

// A partReader reads a body part by part; one part is in memory.
type partReader struct {
	spool *Spool
	parts partList
	left  int64
	size  int64
	next  uint32
	data  []byte
	part  func(number uint32) ([]byte, error) // if not the spool
}

func (r *partReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		data, err := r.read()
		if err != nil {
			return 0, err
		}
		if len(data) == 0 || int64(len(data)) > r.left {
			return 0, fmt.Errorf("read part %d: %w: it does not fit its record", r.next, ErrDamaged)
		}
		r.data = data
		r.next++
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	r.left -= int64(n)
	return n, nil
}

// Seek moves to another byte: what lies between is not read, for all parts but
// the last are of the same size.
func (r *partReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.size - r.left
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in body: %d is before its beginning", offset)
	}
	at := min(offset, r.size)
	part := at / partBytes
	r.next, r.data, r.left = uint32(part), nil, r.size-part*partBytes
	if inside := at - part*partBytes; inside > 0 {
		if _, err := io.CopyN(io.Discard, r, inside); err != nil {
			return 0, err
		}
	}
	return offset, nil
}

func (r *partReader) read() ([]byte, error) {
	if r.part != nil {
		return r.part(r.next)
	}
	return r.spool.readPart(r.parts, r.next)
}

func (r *partReader) Close() error {
	r.data, r.left = nil, 0
	return nil
}

// readPart reads one part of a large body.
func (s *Spool) readPart(parts partList, number uint32) ([]byte, error) {
	for _, run := range parts.runs {
		if number < run.from || number >= run.from+run.count {
			continue
		}
		seg := s.table.find(run.segment)
		if seg == nil {
			return nil, fmt.Errorf("read part %d: %w: its segment is gone", number, ErrDamaged)
		}
		var b block
		err := s.table.view(seg, func(db *badger.DB) (err error) {
			b, err = getBlock(db, s.codec, partKey(parts.id, number))
			if errors.Is(err, ErrDamaged) {
				if rescued, rerr := s.rescue(seg, partKey(parts.id, number)); rerr == nil {
					b, err = rescued, nil
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, fmt.Errorf("read part %d: %w: %w", number, ErrDamaged, err)
		}
		return b.raw, err
	}
	return nil, fmt.Errorf("read part %d: %w: no segment has it", number, ErrDamaged)
}

// holdsParts tells whether the body's parts are in their segments. What goes
// of a body while its segment stays goes whole.
func (s *Spool) holdsParts(p partList) bool {
	for _, run := range p.runs {
		seg := s.table.find(run.segment)
		if seg == nil {
			return false
		}
		err := s.table.view(seg, func(db *badger.DB) error {
			return db.View(func(txn *badger.Txn) error {
				_, err := txn.Get(partKey(p.id, run.from))
				return err
			})
		})
		if errors.Is(err, badger.ErrKeyNotFound) {
			return false
		}
	}
	return true
}

// check reads the whole body and compares its hash.
func (b *keptBody) check(ctx context.Context, buf []byte) error {
	r, err := b.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if [32]byte(sum.Sum(nil)) != b.sum {
		return fmt.Errorf("%w: body does not match its hash", ErrDamaged)
	}
	return nil
}
