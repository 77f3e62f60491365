package spool

import (
	"fmt"
	"time"
)

// Hung is closed once something that the writer does, or the closing of the
// spool, has not come back for a minute: a disk that does not answer, or a
// flush that Badger tries again for ever. By then nothing is taken any more,
// who waits was told, and Err says why. It stays closed even if the disk
// answers after all: end the process and let its service manager start it
// again, for nothing that hangs in it can be ended in order.
func (s *Spool) Hung() <-chan struct{} { return s.hung }

// Beats grows while the writer is alive: whenever it comes round, at least every
// 10 s. It stands still during a step on the disk, for commit.timeout at most;
// then the spool has Hung.
func (s *Spool) Beats() uint64 { return s.beats.Load() }

// watched does a step that uses the disk, and notices if it does not come back.
func (s *Spool) watched(what string, step func()) {
	var late, ended bool // guarded by s.mu
	watch := time.AfterFunc(s.conf.commitTimeout, func() {
		err := fmt.Errorf("%s: the disk did not answer for %s", what, s.conf.commitTimeout)
		s.mu.Lock()
		if late = !ended; late {
			s.stuck++
			s.failed = err
			s.tellWaiting(err)
			s.hangOnce.Do(func() { close(s.hung) })
		}
		s.mu.Unlock()
		if late {
			s.log.Error("disk does not answer; the spool takes nothing more", "error", err)
		}
	})
	step()
	watch.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	ended = true
	if late {
		s.stuck--
		s.failedUntil = time.Now().Add(retryAfter)
	}
}

// reachStores waits until meta and the history are free for a moment. Workers
// and the agent write there too, while the writer may have nothing to do for
// an hour: the one who hangs holds the store, and is noticed by that.
func (s *Spool) reachStores() {
	s.meta.get([]byte{metaCounters})
	s.hist.due()
	s.detections.stores.due()
}

// tellWaiting answers everybody who waits for the writer; s.mu is held. Their
// records stay and are written if the disk answers after all.
func (s *Spool) tellWaiting(err error) {
	for _, g := range []*group{s.flight, s.queue} {
		if g == nil {
			continue
		}
		for _, r := range g.parts {
			r.commit.finish(err)
		}
		g.commit.finish(err)
	}
	s.queue.commit = s.newCommit(s.queue) // for who comes when the disk answers again
	close(s.room)
	s.room = make(chan struct{})
}
