package spool

// arenaKept is the most memory that an arena keeps from commit to commit.
const arenaKept = 1 << 20

// An arena gives out the writer's memory for one commit, and the same again
// for the next one.
type arena struct{ buf []byte }

// take gives an empty slice that takes n bytes.
func (a *arena) take(n int) []byte {
	if cap(a.buf)-len(a.buf) < n {
		a.buf = make([]byte, 0, max(n, min(2*cap(a.buf), arenaKept)))
	}
	at := len(a.buf)
	a.buf = a.buf[:at+n]
	return a.buf[at : at : at+n]
}

// reset takes back what was given out.
func (a *arena) reset() {
	if cap(a.buf) > arenaKept {
		a.buf = nil
	}
	a.buf = a.buf[:0]
}
