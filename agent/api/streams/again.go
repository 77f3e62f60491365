package streams

import (
	"context"
	"errors"
	"slices"

	"github.com/edgespool/edgespool/spool"
)

// An againList has the comments that a stream shows once more. They are
// numbered from 1 on, those of one request in their order, and no number is used
// twice: so a sequence_id that names one says how far they were seen,
// whatever was asked for meanwhile. It is kept with the stream's definition.
type againList struct {
	// Passed is the last number that was advanced over.
	Passed uint64 `json:"passed,omitempty"`
	// Waiting are the records of the numbers behind it; 0 is none any more.
	Waiting []uint64 `json:"waiting,omitempty"`
	// Lost counts those that left the spool before they were seen.
	Lost uint64 `json:"lost,omitempty"`
}

// with adds records. One that waits already gets a new number: who has it may
// be about to advance over the old one.
func (l againList) with(sequences []uint64) againList {
	l = l.without(sequences)
	l.Waiting = append(l.Waiting, sequences...)
	return l
}

// without takes records out; the numbers of the others stay.
func (l againList) without(sequences []uint64) againList {
	l.Waiting = slices.Clone(l.Waiting)
	for i, sequence := range l.Waiting {
		if slices.Contains(sequences, sequence) {
			l.Waiting[i] = 0
		}
	}
	for len(l.Waiting) > 0 && l.Waiting[0] == 0 {
		l = l.behind(l.Passed + 1)
	}
	return l
}

// behind is what is left when a number was advanced over.
func (l againList) behind(number uint64) againList {
	if number > l.Passed && number-l.Passed <= uint64(len(l.Waiting)) {
		l.Waiting = l.Waiting[number-l.Passed:]
		l.Passed = number
	}
	return l
}

// changeAgain changes what a stream shows once more, durably.
func (a *API) changeAgain(st *stream, change func(l againList) (againList, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, found := a.streams[st.key()]
	if !found || now.ID != st.ID {
		return missing()
	}
	changed := *now
	var err error
	if changed.Again, err = change(now.Again); err != nil {
		return err
	}
	if changed.Again.Passed == now.Again.Passed && slices.Equal(changed.Again.Waiting, now.Again.Waiting) {
		return nil
	}
	if err := a.save(streamSetting, changed.ID, changed.streamDocument); err != nil {
		return err
	}
	a.streams[st.key()] = &changed
	return nil
}

// takeAgain fills a batch with what is shown once more.
func (f *filling) takeAgain(ctx context.Context) error {
	var gone, others []uint64
	for i, sequence := range f.stream.Again.Waiting {
		if sequence == 0 {
			continue
		}
		if len(f.found) >= f.limit.size || f.bytes >= batchBytes {
			break
		}
		r, err := f.api.spool.Record(ctx, sequence)
		var c *comment
		if err == nil {
			c, err = f.api.commentOn(f.stream, &r)
		}
		switch {
		case errors.Is(err, spool.ErrUnknownRecord), errors.Is(err, spool.ErrDamaged):
			gone = append(gone, sequence)
		case err != nil: // it may be read another time
			return err
		case c == nil: // the stream's filter was changed
			others = append(others, sequence)
		default:
			f.last = position{createdMS: r.CreatedAt.UnixMilli(), sequence: f.stream.Again.Passed + uint64(i) + 1, again: true}
			f.found = append(f.found, found{c, f.last})
			f.bytes += commentBytes + bodyBytes(&r)
		}
	}
	if len(gone)+len(others) == 0 {
		return nil
	}
	_ = f.api.changeAgain(f.stream, func(l againList) (againList, error) {
		had := l.waiting()
		l = l.without(gone)
		l.Lost += uint64(had - l.waiting())
		return l.without(others), nil
	}) // a disk that takes no writes keeps nobody from reading: the next fetch finds them again
	return nil
}

// waiting is how many comments wait.
func (l againList) waiting() (n int) {
	for _, sequence := range l.Waiting {
		if sequence != 0 {
			n++
		}
	}
	return n
}

// commentOn makes the comment of a record; nil if it is none of the stream's.
func (a *API) commentOn(st *stream, r *spool.Record) (*comment, error) {
	if !slices.Contains(st.covers.sets, r.Dataset) {
		return nil, nil
	}
	c, err := a.comment(r)
	if err != nil || st.covers.sources != nil && !st.covers.sources[c.sourceID] || !st.filter.matches(c) {
		return nil, err
	}
	return c, nil
}
