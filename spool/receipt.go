package spool

import (
	"context"
	"sync"
)

// A Receipt says what Append made of each record, in order.
type Receipt struct {
	// Results has one entry for each record handed to Append.
	Results []Result
	commit  *commit
}

// A Result is what Append made of one record.
type Result struct {
	// Sequence is the record's place, or that of the first one if Duplicate.
	Sequence uint64
	// Duplicate: the identity is already known; nothing was written.
	Duplicate bool
	// Relabelled: a duplicate came with another name, label or category
	// than the first one. Known only while the first is in the spool, and
	// where its segment is closed, for one repeat a second.
	Relabelled bool
}

// A commit is one group of records on its way to the disk.
type commit struct {
	done chan struct{}
	once sync.Once
	err  error
	wake func()
}

// finish tells everybody who waits; only the first call counts.
func (c *commit) finish(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
	})
}

// Wait returns once the records survive a power cut, and asks for the commit
// to happen now. The zero receipt, and one of duplicates of durable records
// only, is done. A duplicate of a record that is itself still on its way
// waits for that one. It fails with ErrFull when the commit finds no room after
// all: the records are kept in memory and written once there is some, and who
// appends them again waits for the same.
func (r Receipt) Wait(ctx context.Context) error {
	if r.commit == nil {
		return nil
	}
	select {
	case <-r.commit.done:
		return r.commit.err
	default:
	}
	r.commit.wake()
	select {
	case <-r.commit.done:
		return r.commit.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
