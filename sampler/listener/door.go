package listener

import (
	"sync"

	"github.com/edgespool/edgespool/sampler"
)

// A door lets requests in while the source runs: never without a sink, and
// never more than a number at once. The zero value is closed.
type door struct {
	mu     sync.Mutex
	sink   sampler.Sink
	inside map[*visit]struct{}
	left   chan struct{} // closed by the last visit that leaves a closed door
}

// A visit is one request on its way through the source.
type visit struct {
	sink sampler.Sink
	mu   sync.Mutex
	wire *patientReader
	over bool
}

func (d *door) open(sink sampler.Sink) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sink, d.inside, d.left = sink, make(map[*visit]struct{}), make(chan struct{})
}

// enter begins a visit; the caller leaves when its answer is written.
func (d *door) enter(limit int) (*visit, *refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sink == nil {
		return nil, later("The source is not running", briefly)
	}
	if len(d.inside) >= limit {
		return nil, later("Too many requests at once", briefly)
	}
	v := &visit{sink: d.sink}
	d.inside[v] = struct{}{}
	return v, nil
}

func (d *door) leave(v *visit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inside, v)
	if d.sink == nil && len(d.inside) == 0 {
		close(d.left)
	}
}

// close lets nobody in any more, ends the bodies that are still under way,
// and returns when the last visit is over. What has arrived whole is kept
// and answered.
func (d *door) close() {
	d.mu.Lock()
	d.sink = nil
	for v := range d.inside {
		v.stop()
	}
	if len(d.inside) == 0 {
		close(d.left)
	}
	d.mu.Unlock()
	<-d.left
}

// hold makes wire the body that stop ends.
func (v *visit) hold(wire *patientReader) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wire = wire
	if v.over {
		wire.stop()
	}
}

func (v *visit) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	if v.wire != nil {
		v.wire.stop()
	}
}
