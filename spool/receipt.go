package spool

import "context"

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
	// than the first one (known only while the first is in the spool).
	Relabelled bool
}

// commit is one group of records on its way to the disk.
type commit struct {
	done chan struct{}
	err  error
	wake func()
}

// Wait returns once the records survive a power cut, and asks for the commit
// to happen now. The zero receipt, and one of duplicates only, is done.
func (r Receipt) Wait(ctx context.Context) error {
	if r.commit == nil {
		return nil
	}
	r.commit.wake()
	select {
	case <-r.commit.done:
		return r.commit.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
