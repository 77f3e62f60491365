package spool

import (
	"context"
	"fmt"
	"time"
)

// A group is what one commit will write.
type group struct {
	recs   []*pending
	parts  []*partRequest
	bytes  int64
	since  time.Time // when the first of it came
	forced bool      // somebody waits
	commit *commit
	last   uint64 // sequence of its last record, 0 for none
}

func (g *group) empty() bool { return len(g.recs) == 0 && len(g.parts) == 0 }

// newGroup begins a group; waiting on it forces its commit.
func (s *Spool) newGroup() *group {
	g := &group{}
	g.commit = s.newCommit(g)
	return g
}

func (s *Spool) newCommit(g *group) *commit {
	return &commit{done: make(chan struct{}), wake: func() {
		s.mu.Lock()
		g.forced = true
		s.mu.Unlock()
		s.nudge()
	}}
}

// nudge makes the writer look again at what is due.
func (s *Spool) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Append gives records their order and drops those that are already known.
// It returns before they are durable: Receipt.Wait says when they are. Who
// does not wait has its records committed by bytes or age (Config.Commit).
// It blocks only while the writer is behind, and fails with ErrFull (policy
// refuse), ErrReadOnly, ErrTooLarge or ErrClosed, taking nothing.
func (s *Spool) Append(ctx context.Context, recs ...Record) (Receipt, error) {
	fresh := make([]pending, len(recs))
	envelopes := make([]byte, 0, envelopeUsual*len(recs)) // of all of them: they go together
	var bytes int64
	for i := range recs {
		fresh[i].rec = recs[i]
		var err error
		if envelopes, err = s.prepare(ctx, &fresh[i], envelopes); err != nil {
			return Receipt{}, err
		}
		bytes += fresh[i].bytes()
	}
	receipt := Receipt{Results: make([]Result, len(recs))}
	var repeats []int
	err := s.enqueue(ctx, bytes, func(g *group) {
		for i := range fresh {
			if s.place(g, &fresh[i], &receipt.Results[i]) {
				repeats = append(repeats, i)
			}
		}
		receipt.commit = s.commitOf(g, receipt.Results)
	})
	if err != nil {
		return Receipt{}, err
	}
	for _, i := range repeats {
		receipt.Results[i].Relabelled = s.relabelled(&fresh[i].rec, receipt.Results[i].Sequence)
	}
	return receipt, nil
}

// prepare checks a record and appends its packed envelope to envelopes.
func (s *Spool) prepare(ctx context.Context, p *pending, envelopes []byte) ([]byte, error) {
	r := &p.rec
	if r.Body == nil || r.Dataset == "" || len(r.Dataset) > 200 {
		return nil, fmt.Errorf("append record %q: it has no body, or no dataset of 1 to 200 bytes", r.Name)
	}
	if err := s.prepareBody(ctx, p); err != nil {
		return nil, fmt.Errorf("append record %q: %w", r.Name, err)
	}
	r.Size, r.SHA256 = r.Body.Size(), r.Body.SHA256()
	if r.Identity == ([32]byte{}) {
		r.Identity = r.SHA256
	}
	at := len(envelopes)
	envelopes, err := appendEnvelope(envelopes, r)
	if err != nil {
		return nil, fmt.Errorf("append record %q: %w", r.Name, err)
	}
	p.envelope = envelopes[at:len(envelopes):len(envelopes)]
	if len(p.envelope) > envelopeLimit {
		return nil, fmt.Errorf("append record %q: labels, metadata and companions take %d bytes, more than %d: %w",
			r.Name, len(p.envelope), envelopeLimit, ErrTooLarge)
	}
	return envelopes, nil
}

// prepareBody finds out where the record's body is to go. One that is not of
// our making is staged.
func (s *Spool) prepareBody(ctx context.Context, p *pending) error {
	switch b := p.rec.Body.(type) {
	case memoryBody:
		switch size, most := b.Size(), s.bodyLimit(); {
		case size <= inlineLimit:
			p.inline = b.bytes
		case size > most: // it would be acknowledged, and then go to make room for itself
			return fmt.Errorf("its body has more than %d bytes: %w", most, ErrTooLarge)
		default:
			p.large = &b
		}
	case *stagedBody:
		if b.spool != s || !s.holdsAll(b.parts) {
			return fmt.Errorf("%w: the parts of its body are not in the spool any more", ErrDamaged)
		}
		p.parts = b.parts
	default:
		rd, err := b.Open()
		if err != nil {
			return err
		}
		defer rd.Close()
		if p.rec.Body, err = s.Stage(ctx, rd, b.Size()); err != nil {
			return err
		}
		return s.prepareBody(ctx, p)
	}
	return nil
}

// bytes is what the writer has to write for the record.
func (p *pending) bytes() int64 {
	if p.large == nil {
		return int64(p.weight())
	}
	return int64(p.weight()) + p.large.Size()
}

// enqueue waits until the writer can take that many bytes more and lets put
// add what it takes to the group, with s.mu held.
func (s *Spool) enqueue(ctx context.Context, bytes int64, put func(g *group)) error {
	s.mu.Lock()
	for {
		if err := s.acceptable(bytes); err != nil {
			s.mu.Unlock()
			return err
		}
		if s.closing { // while room was looked for
			s.mu.Unlock()
			return ErrClosed
		}
		if s.queue.bytes == 0 || s.queue.bytes+bytes <= s.lim.queue {
			break
		}
		room := s.room
		s.queue.forced = true
		s.mu.Unlock()
		s.nudge()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
	g := s.queue
	began := g.empty()
	put(g)
	if began {
		g.since = time.Now()
	}
	due := began && !g.empty() || g.forced || g.bytes >= int64(s.conf.Commit.Bytes)
	s.mu.Unlock()
	if due {
		s.nudge()
	}
	return nil
}

// place dedupes one record and gives it its order; s.mu is held. It tells
// whether the record is a repeat.
func (s *Spool) place(g *group, p *pending, result *Result) bool {
	h := shortHash(p.rec.Identity)
	if seq, known := s.index.lookup(h); known {
		s.duplicates++
		s.release(p.parts.id)
		*result = Result{Sequence: seq, Duplicate: true}
		return true
	}
	p.sequence = s.nextSeq
	s.nextSeq++
	p.created = s.own.stamp(p.rec.Time)
	p.aged = s.own.age
	s.index.add(h, p.sequence, p.rec.Dataset)
	g.recs = append(g.recs, p)
	g.bytes += p.bytes()
	g.last = p.sequence
	*result = Result{Sequence: p.sequence}
	return false
}

// commitOf is the commit to wait for: that of the group if a record of it is
// among the results, that of the group under way if a repeat's first one is.
func (s *Spool) commitOf(g *group, results []Result) *commit {
	var c *commit
	for _, r := range results {
		switch {
		case r.Sequence <= s.durable:
		case s.flight != nil && r.Sequence <= s.flight.last:
			if c == nil {
				c = s.flight.commit
			}
		default:
			return g.commit // later than the one under way, so it stands for both
		}
	}
	return c
}

// relabelled tells whether a repeat says otherwise than the first record. One
// that would cost too much to read passes for the same.
func (s *Spool) relabelled(r *Record, sequence uint64) bool {
	if !s.comparable(sequence) {
		return false
	}
	first, ok := s.envelopeOf(sequence)
	return ok && (first.Name != r.Name || first.Dataset != r.Dataset || !sameLabel(first.Label, r.Label))
}

// comparable tells whether a repeat's first record may be read. A closed
// segment is opened for that once in a while only: opening reads it through,
// and a flood of old repeats would do little else.
func (s *Spool) comparable(sequence uint64) bool {
	if !s.table.needsOpening(sequence) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.compareAt) {
		return false
	}
	s.compareAt = now.Add(s.conf.compareEvery)
	return true
}

func sameLabel(a, b Label) bool {
	x, errX := envelopeEnc.Marshal(a)
	y, errY := envelopeEnc.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// Seen tells whether a record of this identity is in the spool or was
// delivered, and its sequence. It never says so wrongly: one that a power cut
// could still take is not seen yet, for who asks may let go of the original.
func (s *Spool) Seen(identity [32]byte) (sequence uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sequence, ok = s.index.lookup(shortHash(identity))
	if !ok || sequence > s.durable {
		return 0, false
	}
	return sequence, true
}
