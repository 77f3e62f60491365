package spool

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing/synctest"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"
)

// copyFolder copies a spool's folder as its files are now: what a process
// leaves behind that is killed at this moment. Readers may open and close
// segments meanwhile, so their markers are left out.
func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		target := to + strings.TrimPrefix(path, from)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Name() == "LOCK" || d.Name() == ballastName || d.Name() == markerName:
			return nil
		}
		return copySparse(path, target)
	})
}

// reopen closes the spool and opens it again. Nothing may change.
func (m *modelRun) reopen(t *rapid.T) {
	full := m.mayRefuse()
	if err := m.s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if !full {
		for _, r := range m.recs {
			r.promised = true
		}
	}
	m.saved()
	m.staged = nil
	m.reboot(t)
	m.open()
	m.recover(t)
}

// reboot is whether the board started anew as well, and not the process only.
func (m *modelRun) reboot(t *rapid.T) {
	if rapid.Bool().Draw(t, "reboot") {
		m.clock.reboot()
	}
}

// crash goes on with a copy of the folder; what was in memory only is gone.
func (m *modelRun) crash(t *rapid.T) {
	synctest.Wait()
	m.observe(t, m.s)
	m.fall(t, nil)
}

// crashInCommit takes the copy while records that somebody waits for are
// being written, before or after one of the transactions.
func (m *modelRun) crashInCommit(t *rapid.T) {
	recs := m.draw(t)
	after, left := rapid.Bool().Draw(t, "after"), rapid.IntRange(0, 3).Draw(t, "transaction")
	from, to := m.folder(), ""
	var failed error
	snap := func() {
		if left == 0 && to == "" {
			m.life++
			to = m.folder()
			failed = copyFolder(from, to)
		}
	}
	update := m.s.update
	m.s.update = func(db *badger.DB, write func(txn *badger.Txn) error) error {
		if !after {
			snap()
		}
		err := update(db, write)
		if after {
			snap()
		}
		left--
		return err
	}
	receipt, err := m.s.Append(context.Background(), recs...)
	if err == nil {
		m.appended(t, m.s, recs, receipt.Results)
		_ = receipt.Wait(context.Background())
	}
	synctest.Wait()
	m.s.update = update
	if failed != nil {
		t.Fatalf("copy: %v", failed)
	}
	if to == "" { // that many transactions were not needed
		m.observe(t, m.s)
		return
	}
	m.fall(t, &to)
}

// fall leaves the spool as it is, and opens the copy.
func (m *modelRun) fall(t *rapid.T, copied *string) {
	if copied == nil {
		from := m.folder()
		m.life++
		if err := copyFolder(from, m.folder()); err != nil {
			t.Fatalf("copy: %v", err)
		}
	}
	_ = m.s.Close()
	old := m.s.conf.Path
	m.s, m.staged = nil, nil
	if err := os.RemoveAll(old); err != nil {
		t.Fatalf("remove: %v", err)
	}
	m.reboot(t)
	m.open()
	m.recover(t)
}

// recover compares what a start found with what had to be there, and takes
// over what the model cannot know: which of the records that were not
// acknowledged survived, and how far back cursors and counters are.
func (m *modelRun) recover(t *rapid.T) {
	found := map[uint64]bool{}
	for _, seg := range m.s.table.list() {
		for sequence := range modelSequences(t, m.s, seg) {
			if found[sequence] {
				t.Fatalf("record %d is in two segments", sequence)
			}
			found[sequence] = true
		}
	}
	kept := m.recs[:0]
	for _, r := range m.recs {
		switch {
		case r.written || r.promised || found[r.Sequence]:
			kept = append(kept, r)
		default:
			m.forget(r)
		}
		delete(found, r.Sequence)
	}
	m.recs = kept
	for sequence := range found {
		t.Fatalf("record %d was never appended", sequence)
	}
	m.observe(t, m.s)
	for _, r := range m.recs {
		if !r.written {
			t.Fatalf("record %d was acknowledged and is not there", r.Sequence)
		}
	}
	m.recoverCounters(t)
	for _, st := range m.streams {
		m.recoverStream(t, st)
	}
	if n := len(m.s.Streams()); n != len(m.streams) {
		t.Fatalf("%d streams came back, want %d", n, len(m.streams))
	}
}

func (m *modelRun) recoverCounters(t *rapid.T) {
	s := m.s.Stats()
	if s.Duplicates < m.safe.duplicates || s.Duplicates > m.duplicates || s.Damaged < m.safe.damaged || s.Damaged > m.damaged ||
		s.Lost < m.safe.lost || s.Lost > m.lost {
		t.Fatalf("counters came back as %+v; want %d to %d duplicates, %d to %d damaged, %d to %d lost", s,
			m.safe.duplicates, m.duplicates, m.safe.damaged, m.damaged, m.safe.lost, m.lost)
	}
	m.duplicates, m.damaged, m.lost = s.Duplicates, s.Damaged, s.Lost
	var last uint64
	if n := len(m.recs); n > 0 {
		last = m.recs[n-1].Sequence
		if m.s.own.created < m.recs[n-1].created || m.s.own.created > m.clock.created {
			t.Fatalf("the spool's time came back as %d, want %d to %d", m.s.own.created, m.recs[n-1].created, m.clock.created)
		}
	}
	m.clock.created, m.clock.last = m.s.own.created, m.s.own.last
	for _, st := range m.streams {
		last = max(last, st.safe.next-1)
	}
	if s.NextSequence <= last {
		t.Fatalf("the next sequence is %d, want one beyond %d", s.NextSequence, last)
	}
}

func (m *modelRun) recoverStream(t *rapid.T, st *modelStream) {
	got, err := m.s.Stream(st.name, st.dataset, StreamOptions{Pin: st.pin})
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	st.st = got
	back := modelCursor{next: got.next, totals: got.Totals()}
	if back.next > st.next && !m.holdsBetween(st, back.next) { // over a gap
		st.move(back.next)
	}
	if !st.safe.upTo(back) || !back.upTo(st.modelCursor) {
		t.Fatalf("stream %s came back as %+v, want %+v to %+v", st.name, back, st.safe, st.modelCursor)
	}
	st.modelCursor, st.safe = back, back
	clear(st.fetched)
	clear(st.settled)
	for sequence := range st.rejected {
		if r := m.find(sequence); sequence >= back.next && !r.gone {
			st.settled[sequence] = FateRejected
		}
	}
}

// upTo tells whether nothing of c is beyond o.
func (c modelCursor) upTo(o modelCursor) bool {
	a, b := c.totals, o.totals
	return c.next <= o.next && a.Stored <= b.Stored && a.AlreadyThere <= b.AlreadyThere && a.Rejected <= b.Rejected &&
		a.Lost <= b.Lost && a.BytesStored <= b.BytesStored
}
