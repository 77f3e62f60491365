package spool

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"
)

// A partRequest is one part of a large body on its way to a segment.
type partRequest struct {
	block  *block
	commit *commit
	at     segmentID // set by the writer

	abandoned bool // nobody waits for it; guarded by the spool's mu
}

// A stagedBody is a large body whose parts are in the spool already.
type stagedBody struct {
	spool *Spool
	parts partList
	size  int64
	sum   [32]byte
}

// Size, SHA256 and Open make stagedBody a Body.
func (b *stagedBody) Size() int64      { return b.size }
func (b *stagedBody) SHA256() [32]byte { return b.sum }
func (b *stagedBody) Open() (io.ReadCloser, error) {
	return &partReader{spool: b.spool, parts: b.parts, left: b.size, size: b.size}, nil
}

// Stage reads r to its end and returns its bytes as a Body for Append: small
// ones stay in memory, larger ones are stored at once in parts, so that no
// body is ever whole in memory. Parts that no record claims go with their
// segment. More than limit bytes fail with ErrTooLarge. A large body whose
// reader tells its size, as a bytes.Reader does, fails with ErrFull before any
// of it is written where the spool refuses that much, so that trying again
// costs the disk nothing.
func (s *Spool) Stage(ctx context.Context, r io.Reader, limit int64) (Body, error) {
	buffer := heads.Get().(*[inlineLimit + 1]byte)
	defer heads.Put(buffer)
	head := buffer[:]
	n, err := io.ReadFull(r, head)
	if int64(n) > limit {
		return nil, fmt.Errorf("stage body of more than %d bytes: %w", limit, ErrTooLarge)
	}
	switch {
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return Bytes(bytes.Clone(head[:n])), nil // its own length and no more: many may wait at a time
	case err != nil:
		return nil, fmt.Errorf("stage body: %w", err)
	}
	st := &staging{spool: s, sum: sha256.New(), limit: min(limit, s.bodyLimit())}
	if sized, ok := r.(interface{ Size() int64 }); ok {
		if err := st.expect(sized.Size()); err != nil {
			return nil, err
		}
	}
	st.parts.id = newStageID()
	body, err := st.run(ctx, head[:n], r)
	if err != nil {
		s.mu.Lock()
		s.release(st.parts.id)
		s.mu.Unlock()
		return nil, err
	}
	return body, nil
}

// bodyLimit is the most that one body may have of the spool.
func (s *Spool) bodyLimit() int64 { return int64(s.conf.MaxBytes) / 2 }

// heads are buffers for the beginnings of bodies, which are short mostly.
var heads = sync.Pool{New: func() any { return new([inlineLimit + 1]byte) }}

func newStageID() string {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	return string(id)
}

// staging is one body on its way in: one part is read while the one before is
// written, so two are in memory.
type staging struct {
	spool  *Spool
	sum    hash.Hash
	limit  int64
	size   int64
	parts  partList
	flying *partRequest
}

// expect fails if a body of that size would not be taken.
func (st *staging) expect(size int64) error {
	if size > st.limit {
		return fmt.Errorf("stage body of more than %d bytes: %w", st.limit, ErrTooLarge)
	}
	st.spool.mu.Lock()
	defer st.spool.mu.Unlock()
	return st.spool.acceptable(size)
}

func (st *staging) run(ctx context.Context, head []byte, r io.Reader) (*stagedBody, error) {
	buffers := [2][]byte{make([]byte, partBytes), make([]byte, partBytes)}
	got := copy(buffers[0], head)
	for number := uint32(0); ; number++ {
		buf := buffers[number%2]
		n, err := io.ReadFull(r, buf[got:])
		n, got = n+got, 0
		ended := err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return nil, fmt.Errorf("stage body: %w", err)
		}
		if st.size += int64(n); st.size > st.limit {
			return nil, fmt.Errorf("stage body of more than %d bytes: %w", st.limit, ErrTooLarge)
		}
		if n > 0 {
			st.sum.Write(buf[:n])
			if err := st.send(ctx, number, buf[:n]); err != nil {
				return nil, err
			}
		}
		if ended {
			break
		}
	}
	if err := st.settle(ctx); err != nil {
		return nil, err
	}
	body := &stagedBody{spool: st.spool, parts: st.parts, size: st.size}
	st.sum.Sum(body.sum[:0])
	runtime.AddCleanup(body, func(id string) {
		st.spool.mu.Lock()
		defer st.spool.mu.Unlock()
		st.spool.release(id)
	}, st.parts.id)
	return body, nil
}

// send hands a part to the writer once the one before is durable.
func (st *staging) send(ctx context.Context, number uint32, data []byte) error {
	if err := st.settle(ctx); err != nil {
		return err
	}
	req := &partRequest{commit: &commit{done: make(chan struct{})}, block: &block{
		kind: kindPart, name: st.parts.id, first: uint64(number), last: uint64(number), count: 1,
		bytes: int64(len(data)), raw: data,
	}}
	return st.spool.enqueue(ctx, int64(len(data)), func(g *group) {
		g.parts = append(g.parts, req)
		g.bytes += int64(len(data))
		g.forced = true
		st.flying = req
	})
}

// settle waits for the part under way and notes where it is. When ctx ends
// first, the part's buffer stays the writer's and is not used again.
func (st *staging) settle(ctx context.Context) error {
	req := st.flying
	if req == nil {
		return nil
	}
	st.flying = nil
	select {
	case <-req.commit.done:
	case <-ctx.Done():
		st.spool.mu.Lock()
		req.abandoned = true
		st.spool.mu.Unlock()
		return ctx.Err()
	}
	if req.commit.err != nil {
		return req.commit.err
	}
	st.parts.add(req.at, uint32(req.block.first))
	return nil
}

// add notes that the next part is in that segment.
func (p *partList) add(at segmentID, number uint32) {
	if n := len(p.runs); n > 0 && p.runs[n-1].segment == at {
		p.runs[n-1].count++
		return
	}
	p.runs = append(p.runs, partRun{segment: at, from: number, count: 1})
}

// hold keeps the segments from the body's first part on, until release.
func (s *Spool) hold(p partList) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds[p.id] = p.oldest()
}

// holdFirst holds the bodies that parts just written begin, before anything can
// let their segment go.
func (s *Spool) holdFirst(parts []*partRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range parts {
		if r.block.first == 0 && !r.abandoned {
			s.holds[r.block.name] = r.at
		}
	}
}

// release ends a hold; s.mu is held.
func (s *Spool) release(id string) { delete(s.holds, id) }

// holdsAll tells whether every segment of the body is still there.
func (s *Spool) holdsAll(p partList) bool {
	for _, r := range p.runs {
		if s.table.find(r.segment) == nil {
			return false
		}
	}
	return true
}

// writeLarge writes the parts of a large body that came in memory.
func (s *Spool) writeLarge(p *pending) error {
	if p.large == nil {
		return nil
	}
	list, rest := partList{id: newStageID()}, p.large.bytes
	for number := uint64(0); len(rest) > 0; {
		var blocks []*block
		for ; len(rest) > 0 && len(blocks) < txnBytes/partBytes; number++ {
			n := min(len(rest), partBytes)
			blocks = append(blocks, &block{
				kind: kindPart, name: list.id, first: number, last: number, count: 1, bytes: int64(n), raw: rest[:n],
			})
			rest = rest[n:]
		}
		id, err := s.put(blocks, nil)
		if err != nil {
			s.mu.Lock()
			s.release(list.id)
			s.mu.Unlock()
			return err
		}
		for _, b := range blocks {
			list.add(id, uint32(b.first))
		}
		s.hold(list) // before the next part may need room
	}
	p.parts, p.large = list, nil
	return nil
}
