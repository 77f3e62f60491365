package detect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A process keeps a child running: it is started when it is first needed, and
// again after it has failed, with growing pauses. Nobody waits for a pause.
type process struct {
	start    func(ctx context.Context) (*child, error)
	first    time.Duration // pause after the first failure
	child    *child
	failures int
	last     error
	next     time.Time // not before
}

const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// errResting: it failed a moment ago.
var errResting = errors.New("program failed and is tried again later")

// get returns the running child.
func (p *process) get(ctx context.Context) (*child, error) {
	if p.child != nil {
		switch {
		case p.child.link == nil: // it was killed
			if !p.child.end(0) {
				return nil, errStuck
			}
			p.child = nil
		case p.child.alive():
			return p.child, nil
		default:
			err := p.child.explain("look for program", io.EOF, 0)
			p.fail(ctx, err)
			return nil, err
		}
	}
	if time.Now().Before(p.next) {
		return nil, fmt.Errorf("%w: %w", errResting, p.last)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := p.start(ctx)
	if err != nil {
		p.fail(ctx, err)
		return nil, err
	}
	p.child = c
	return c, nil
}

// fail ends a child that did something wrong.
func (p *process) fail(ctx context.Context, err error) {
	if p.child != nil && p.child.end(0) {
		p.child = nil
	} else if p.child != nil {
		p.child.link = nil // nobody asks it again
	}
	if ctx.Err() != nil {
		return // it was we who had no time
	}
	p.last = err
	p.next = time.Now().Add(min(p.first<<min(p.failures, 20), maxPause))
	p.failures++
}

// succeed says that the child has answered well.
func (p *process) succeed() { p.failures = 0 }

// close ends the child.
func (p *process) close() {
	if p.child != nil && p.child.end(endTime) {
		p.child = nil
	}
}
