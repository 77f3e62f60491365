package directory

import "time"

// sightings remember how files looked at earlier looks, by path. Ages go by
// the monotonic clock that time.Time carries: a Pi without a clock of its own
// starts in the past and jumps, and no file's own times can be believed.
type sightings struct {
	seen map[string]*sighting
	look uint64 // number of the scan under way
}

// A sighting is a file as it was at the last look.
type sighting struct {
	stamp     stamp
	since     time.Time     // when it was first seen like this
	looks     int           // how often
	notBefore time.Time     // when to try again; zero: any time
	delay     time.Duration // how long the last failure made it wait
	fault     string        // why it could not be taken
	held      bool          // waits for a label file to be corrected
	look      uint64
}

// The wait after a file could not be read doubles between these.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

func (g *sightings) begin() { g.look++ }

// note records a look at a file and returns what is known of it.
func (g *sightings) note(path string, s stamp, now time.Time) *sighting {
	if g.seen == nil {
		g.seen = make(map[string]*sighting)
	}
	known := g.seen[path]
	if known == nil || known.stamp != s {
		known = &sighting{stamp: s, since: now}
		g.seen[path] = known
	}
	if known.look != g.look {
		known.look, known.held = g.look, false
		known.looks++
	}
	return known
}

// sweep forgets the files that the scan under way did not find.
func (g *sightings) sweep() {
	for path, known := range g.seen {
		if known.look != g.look {
			delete(g.seen, path)
		}
	}
}

func (g *sightings) forget(path string) { delete(g.seen, path) }

// settled tells whether the file stayed the same over two looks and this long.
func (k *sighting) settled(now time.Time, settle time.Duration) bool {
	return k.looks >= 2 && now.Sub(k.since) >= settle
}

// due is when the file is worth the next look.
func (k *sighting) due(settle time.Duration) time.Time {
	due := k.since.Add(settle)
	if k.notBefore.After(due) {
		return k.notBefore
	}
	return due
}

// failed makes the file wait, each time longer.
func (k *sighting) failed(now time.Time, err error) {
	k.delay = min(max(2*k.delay, firstRetry), lastRetry)
	k.notBefore, k.fault = now.Add(k.delay), err.Error()
}
