package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// How much is on its way at once. The number of commits wears a card, so that
// many files share one; the bytes of small files are in memory until then.
const (
	groupFiles = 64
	groupBytes = 4 << 20
	// roundFiles bounds one round, so that the next look is not far.
	roundFiles = 1024
)

// takeAll takes the files that are ready, oldest first, a group a commit. An
// error is the spool's (errSpool) or the context's.
func (sc *scan) takeAll(sink sampler.Sink, limit int) error {
	defer sc.releaseMounts()
	var group []*taken
	var bytes int64
	count := 0
	for _, c := range sc.candidates {
		if count >= limit || sc.ctx.Err() != nil {
			break
		}
		if c.known.notBefore.After(sc.now) || !c.known.settled(sc.now, sc.config.Settle) {
			sc.report(c)
			continue
		}
		if !c.stays && !sc.holdMount(c.mount) {
			c.known.notBefore = sc.now.Add(firstRetry)
			continue
		}
		count++
		t, err := sc.take(sink, c)
		switch {
		case t != nil:
			group, bytes = append(group, t), bytes+t.stamp.size
		case errors.Is(err, errSpool):
			return errors.Join(err, sc.commit(sink, group))
		case err != nil:
			sc.notTaken(c, err)
		}
		if len(group) >= groupFiles || bytes >= groupBytes {
			if err := sc.commit(sink, group); err != nil {
				return err
			}
			group, bytes = nil, 0
		}
	}
	return sc.commit(sink, group)
}

// notTaken makes a file wait that could not be taken now.
func (sc *scan) notTaken(c candidate, err error) {
	switch {
	case sc.ctx.Err() != nil || gone(c.path):
		// Nothing to report.
	case errors.Is(err, errBusy):
		sc.busy++
		c.known.notBefore = sc.now.Add(max(sc.config.Settle, shortestPause))
	case errors.Is(err, acquisition.ErrLabelFile):
		sc.faulty(err)
		c.known.held = true
	default:
		if c.known.delay == 0 {
			sc.failed.add(c.path, err)
		}
		c.known.failed(sc.now, err)
		sc.report(c)
	}
}

// report tells of the first file that waits after a failure.
func (sc *scan) report(c candidate) {
	if sc.fault == nil && c.known.fault != "" {
		sc.fault = fmt.Errorf("take %s: %s", c.path, c.known.fault)
	}
}

// commit hands a group to the spool, and lets go of the files once they are
// durable there. If they are not, every file is back at its place.
func (sc *scan) commit(sink sampler.Sink, group []*taken) error {
	fresh := group[:0]
	for _, t := range group {
		if t.repeat {
			sc.done(t, spool.Result{Sequence: t.rec.Sequence, Duplicate: true})
		} else {
			fresh = append(fresh, t)
		}
	}
	if group = fresh; len(group) == 0 {
		return nil
	}
	recs := make([]spool.Record, len(group))
	for i, t := range group {
		recs[i] = t.rec
	}
	receipt, err := sink.Append(sc.ctx, recs...)
	if errors.Is(err, spool.ErrTooLarge) {
		return sc.commitOneByOne(sink, group)
	}
	if err == nil {
		err = receipt.Wait(sc.ctx)
	}
	if err != nil {
		for _, t := range group {
			sc.putBack(t)
		}
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	for i, t := range group {
		sc.done(t, receipt.Results[i])
	}
	return nil
}

// commitOneByOne finds the file that the spool does not take.
func (sc *scan) commitOneByOne(sink sampler.Sink, group []*taken) error {
	if len(group) == 1 {
		if err := sc.setAside(group[0], &refusal{reason: spool.ErrTooLarge.Error()}); err != nil {
			sc.notTaken(group[0].candidate, err)
		}
		return nil
	}
	for i := range group {
		if err := sc.commit(sink, group[i:i+1]); err != nil {
			for _, t := range group[i+1:] {
				sc.putBack(t)
			}
			return err
		}
	}
	return nil
}

// done counts a file that the spool has, and disposes of it.
func (sc *scan) done(t *taken, result spool.Result) {
	err := sc.dispose(t)
	if err != nil {
		sc.putBack(t)
		sc.notTaken(t.candidate, err)
	} else if t.stuck != nil {
		sc.notTaken(t.candidate, t.stuck)
	} else {
		sc.sightings.forget(t.path)
	}
	if result.Relabelled {
		sc.setup.Log.Warn("file is known under another name, label or category, which it keeps",
			"source", sc.setup.Name, "file", t.path, "sequence", result.Sequence)
	}
	sc.setup.Progress.Update(func(p *sampler.Snapshot) {
		switch {
		case !result.Duplicate:
			p.Samples++
			p.LastSample = time.Now()
		case err == nil:
			p.Duplicates++
		}
	})
}

// holdMount locks a mount for the rest of the round.
func (sc *scan) holdMount(m *mount) bool {
	if m.lock != nil {
		return true
	}
	if err := m.hold(); err != nil {
		sc.faulty(err)
		return false
	}
	return true
}

func (sc *scan) releaseMounts() {
	for _, m := range sc.mounts {
		m.release()
	}
}

// putBack returns a claimed file to its place.
func (sc *scan) putBack(t *taken) {
	if !t.claimed() {
		return
	}
	to, err := t.mount.putBack(t.lies, t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return // already disposed of
	}
	if err != nil {
		t.mount.recovered = false // tried again at the next look
		sc.faulty(err)
		return
	}
	if s, _, err := lstat(to); err == nil && to == t.path {
		// Only our renames changed it; what is known of its failures holds.
		t.known.stamp, t.known.since, t.known.looks = s, sc.now, 1
	}
	t.lies = to
}
