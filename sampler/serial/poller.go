package serial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// A poller asks Modbus devices on one link for their registers, again and
// again; all values of one poll make one reading.
type poller struct {
	link     link
	config   *Config
	rate     sampler.Frequency
	in       *sampler.Inbox
	setup    *sampler.Setup
	watch    *watch
	requests []*request
	reading  []byte
	buffer   []byte
	number   uint16 // of the last request over TCP
	begun    bool   // the first reading has been handed on
}

// maxAnswer holds an answer, an echo of its request and some noise.
const maxAnswer = 512

func (s *Source) newPoller(l link, in *sampler.Inbox, w *watch) *poller {
	p := &poller{link: l, config: &s.config, rate: s.config.readings().Frequency, in: in, setup: &s.setup, watch: w, buffer: make([]byte, maxAnswer)}
	requests, size := plan(s.config.registers())
	p.requests, p.reading = requests, make([]byte, size)
	return p
}

// run asks until ctx ends or the link is gone.
func (p *poller) run(ctx context.Context) error {
	sampler.Pause(ctx, p.config.Settle)
	return sampler.Poll(ctx, p.rate, p.in, func(n uint64) { p.setup.Progress.Count("late_polls", n) }, func() error {
		now := p.setup.Clock.Since()
		if err := p.watch.look(now); err != nil {
			return err
		}
		return p.poll(ctx, now)
	})
}

// poll makes one reading. What a device does not give is counted and named,
// and ends the sample.
func (p *poller) poll(ctx context.Context, now time.Duration) error {
	whole := true
	for _, q := range p.requests {
		if q.value != nil && now < q.due {
			continue
		}
		values, err := p.ask(ctx, q)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errGone):
			return err
		case err != nil:
			p.setup.Progress.Reject(counter(err), fmt.Errorf("%s: %w", q.name(), err))
			q.value, whole = nil, false
		default:
			q.keep(values)
			q.put(p.reading)
			q.due = now + q.every - time.Duration(5e8/float64(p.rate)) // the poll next to it
		}
	}
	if !whole {
		p.in.Put(sampler.Line{At: now, Broken: true})
		return nil
	}
	p.in.Put(sampler.Line{Text: p.reading, At: now, First: !p.begun})
	p.begun = true
	return nil
}

// counter is the name under which a failure is counted.
func counter(err error) string {
	var e exception
	switch {
	case errors.As(err, &e):
		return "exceptions"
	case errors.Is(err, errNoAnswer):
		return "timeouts"
	}
	return "bad_answers"
}

// ask sends a request and waits for its answer.
func (p *poller) ask(ctx context.Context, q *request) (values []byte, err error) {
	frame := p.frame(ctx, q)
	if _, err := p.link.Write(frame); err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	p.setup.Progress.Beat()
	onWire := 11 * time.Second / time.Duration(p.config.Baud) * time.Duration(len(frame)+q.answerSize()+5)
	deadline := time.Now().Add(p.config.Modbus.Timeout + onWire)
	got := 0
	for ctx.Err() == nil {
		n, err := p.link.Read(p.buffer[got:])
		got += n
		if err != nil {
			return nil, err
		}
		if values, ok, err := p.find(q, p.buffer[:got], frame); ok || err != nil {
			return values, err
		}
		switch over := time.Now().After(deadline); {
		case over && got == 0:
			return nil, fmt.Errorf("%w within %v", errNoAnswer, p.config.Modbus.Timeout)
		case over, got == len(p.buffer):
			return nil, errBadAnswer
		}
	}
	return nil, ctx.Err()
}

// frame puts a request into what goes over the wire. On a serial line the
// silence comes first that tells frames apart, and what came unasked is
// forgotten.
func (p *poller) frame(ctx context.Context, q *request) []byte {
	if p.config.Format == FormatModbusTCP {
		p.number++
		b := binary.BigEndian.AppendUint16(nil, p.number)
		return append(append(b, 0, 0, 0, 6, byte(q.unit)), q.ask()...)
	}
	sampler.Pause(ctx, max(2*time.Millisecond, 40*time.Second/time.Duration(p.config.Baud))) // 3.5 characters
	p.link.Flush()
	b := append([]byte{byte(q.unit)}, q.ask()...)
	return binary.LittleEndian.AppendUint16(b, sampler.CRC16Modbus(b))
}

func (p *poller) find(q *request, b, frame []byte) (values []byte, ok bool, err error) {
	if p.config.Format == FormatModbusTCP {
		return q.findTCP(b, p.number)
	}
	return q.findRTU(b, frame)
}
