package streams

import (
	"maps"
	"slices"
	"time"
)

// A Status is what there is to say of a stream.
type Status struct {
	Name string // OWNER/DATASET/STREAM
	// Backlog is how many records were not advanced over, filtered or not or
	// to be seen once more, and Lost how many left the spool before.
	Backlog int64
	Lost    uint64
	// Exceptions are the comments tagged on it.
	Exceptions int
	// When it was fetched from and advanced since the start; zero for never.
	Fetched, Advanced time.Time
}

// countEvery is how old the count of exceptions may be: they go with the
// history, and counting reads it.
const countEvery = 10 * time.Minute

// A usage is how a stream is used.
type usage struct{ fetched, advanced time.Time }

// used changes what is known of a stream's use.
func (a *API) used(st *stream, change func(u *usage)) {
	a.useMu.Lock()
	defer a.useMu.Unlock()
	u := a.uses[st.ID]
	change(&u)
	a.uses[st.ID] = u
}

// tagged has the exceptions counted anew.
func (a *API) tagged() {
	a.useMu.Lock()
	defer a.useMu.Unlock()
	a.counted = time.Time{}
}

// exceptions counts them by cursor.
func (a *API) exceptions() map[string]int {
	a.useMu.Lock()
	defer a.useMu.Unlock()
	if time.Since(a.counted) >= countEvery {
		if counts, err := a.spool.Tagged(); err == nil {
			a.counts, a.counted = counts, time.Now()
		}
	}
	return a.counts
}

// Status says how the streams are, by name. It reads the history when
// exceptions came or went.
func (a *API) Status() (all []Status) {
	a.mu.RLock()
	streams := maps.Clone(a.streams)
	a.mu.RUnlock()
	if len(streams) == 0 {
		return nil
	}
	counts := a.exceptions()
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		st := streams[name]
		s := Status{Name: name, Exceptions: counts[st.cursors[0].Name()]}
		s.Backlog, s.Lost = st.figures()
		a.used(st, func(u *usage) { s.Fetched, s.Advanced = u.fetched, u.advanced })
		all = append(all, s)
	}
	return all
}

// figures are the records that a stream has yet to pass, and those that went
// before.
func (st *stream) figures() (backlog int64, lost uint64) {
	for _, c := range st.cursors {
		records, _ := c.Backlog()
		backlog += records
		lost += c.Totals().Lost
	}
	return backlog + int64(st.Again.waiting()), lost + st.Again.Lost
}
