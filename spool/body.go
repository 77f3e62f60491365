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
}

// Size, SHA256 and Open make keptBody a Body.
func (b *keptBody) Size() int64      { return b.size }
func (b *keptBody) SHA256() [32]byte { return b.sum }
func (b *keptBody) Open() (io.ReadCloser, error) {
	if b.parts.id == "" {
		return io.NopCloser(bytes.NewReader(b.inline)), nil
	}
	return &partReader{spool: b.spool, parts: b.parts, left: b.size}, nil
}

// A partReader reads a body part by part; one part is in memory.
type partReader struct {
	spool *Spool
	parts partList
	left  int64
	next  uint32
	data  []byte
}

func (r *partReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		data, err := r.spool.readPart(r.parts, r.next)
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
			return err
		})
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, fmt.Errorf("read part %d: %w: %w", number, ErrDamaged, err)
		}
		return b.raw, err
	}
	return nil, fmt.Errorf("read part %d: %w: no segment has it", number, ErrDamaged)
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
