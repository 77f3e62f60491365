package detect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A model is an Edge Impulse model for Linux. Its file is a program: it is
// started with the path of a socket, binds it, listens, and serves the first
// who connects (socket_main in source/eim.cpp of the vendor's
// example-standalone-inferencing-linux; linux-sdk-go starts it so in
// runner.go). It answers objects of JSON in order, each followed by a newline
// and a NUL byte, because it sends the C string whole.
type model struct {
	config  *ModelConfig
	source  string
	log     *slog.Logger
	process process
	facts   facts // of the running child
	id      int64
	request []byte
	warned  bool
}

const (
	// helloTime is for a model to start and to say what it is, and for a
	// program's first answer; the vendor's own runner allows any answer 60 s.
	helloTime   = 60 * time.Second
	socketCheck = 20 * time.Millisecond
	// maxPieces bounds how often one window is classified.
	maxPieces = 16
)

func newModel(c *ModelConfig, source string, log *slog.Logger) *model {
	m := &model{config: c, source: source, log: log}
	m.process = process{start: m.start, first: firstPause}
	return m
}

// start runs the model and greets it.
func (m *model) start(ctx context.Context) (*child, error) {
	dir, err := socketFolder()
	if err != nil {
		return nil, fmt.Errorf("start model: %w", err)
	}
	defer os.RemoveAll(dir) // the connection outlives the name
	socket := filepath.Join(dir, "runner.sock")
	c, err := launch([]string{m.config.Path, socket}, nil, nil)
	if err != nil {
		return nil, err
	}
	c.tidies = true // its shared memory, as the vendor's runners have it do
	if m.facts, err = m.greet(ctx, c, socket); err != nil {
		c.end(0)
		return nil, err
	}
	m.log.Info("model is running", "source", m.source, "model", m.facts.name, "version", m.facts.version,
		"labels", len(m.facts.labels), "features", m.facts.features)
	return c, nil
}

// greet connects to a model and asks what it is.
func (m *model) greet(ctx context.Context, c *child, socket string) (facts, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	conn, err := c.dial(ctx, socket)
	if err != nil {
		return facts{}, err
	}
	c.attach(conn)
	m.id++
	answer, err := c.ask(ctx, fmt.Appendf(nil, "{\"hello\":1,\"id\":%d}\n", m.id), 0, helloTime, m.mine)
	if err != nil {
		return facts{}, err
	}
	return parseHello(answer)
}

// socketFolder makes a folder for the socket, in memory where there is one, as
// the vendor's runners do.
func socketFolder() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "edgespool-model-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "edgespool-model-")
}

// dial connects as soon as the model listens.
func (c *child) dial(ctx context.Context, socket string) (*net.UnixConn, error) {
	tick := time.NewTicker(socketCheck)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn.(*net.UnixConn), nil
		}
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED) {
			return nil, c.explain("connect to model", err, helloTime)
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return nil, c.explain("connect to model", unix.EPIPE, helloTime)
		case <-ctx.Done():
			return nil, c.explain("connect to model", os.ErrDeadlineExceeded, helloTime)
		}
	}
}

// mine tells whether an answer is that to the last request.
func (m *model) mine(answer []byte) bool {
	id, ok := answerID(answer)
	return !ok || id == m.id // one without an id says why in its error
}

func (m *model) close() { m.process.close() }

func (m *model) judge(ctx context.Context, c sampler.Case) (o opinion, err error) {
	child, err := m.process.get(ctx)
	if err != nil {
		return o, err
	}
	pieces, err := m.pieces(c)
	if err != nil {
		return o, err // the window's fault, not the model's
	}
	var all []classified
	for _, values := range pieces {
		r, err := m.classify(ctx, child, values)
		if err != nil {
			m.process.fail(ctx, err)
			return o, err
		}
		all = append(all, r)
	}
	m.process.succeed()
	return m.opine(all), nil
}

func (m *model) classify(ctx context.Context, c *child, values []float64) (classified, error) {
	m.id = (m.id + 1) & math.MaxInt32 // the model reads it as an int
	b := append(m.request[:0], `{"classify":[`...)
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNumber(b, float64(float32(v)), 32) // the model casts to float
	}
	m.request = append(strconv.AppendInt(append(b, `],"id":`...), m.id, 10), "}\n"...)
	answer, err := c.ask(ctx, m.request, 0, c.patience(m.config.Timeout), m.mine)
	if err != nil {
		return classified{}, err
	}
	c.warm = true
	return parseClassified(answer)
}

// pieces cuts a window into what the model takes at once: as many features as
// it names, one after the other and the last one up to the end.
func (m *model) pieces(c sampler.Case) (pieces [][]float64, err error) {
	axes, n := len(c.Sensors), m.facts.features
	switch {
	case m.facts.axes > 0 && m.facts.axes != axes || n%axes != 0:
		return nil, fmt.Errorf("%w: model takes %d values a reading, the source has %d sensors", errUnfit, max(m.facts.axes, 1), axes)
	case len(c.Values) < n:
		return nil, fmt.Errorf("%w: model takes %d readings, the window has %d: make window longer", errUnfit, n/axes, c.Rows)
	}
	if f := m.facts.frequency; f > 0 && math.Abs(c.Hz-f) > f/10 && !m.warned {
		m.warned = true
		m.log.Warn("model was made for another frequency; its scores mean little", "source", m.source, "hz", c.Hz, "model_hz", f)
	}
	count := min((len(c.Values)+n-1)/n, maxPieces)
	rows, last := n/axes, c.Rows-n/axes
	for i := range count {
		from := last
		if count > 1 {
			from = i * last / (count - 1)
		}
		pieces = append(pieces, c.Values[from*axes:(from+rows)*axes])
	}
	return pieces, nil
}

// opine puts the pieces together: the worst anomaly counts, labels by their
// mean probability.
func (m *model) opine(all []classified) opinion {
	o := opinion{name: m.facts.name, version: m.facts.version}
	at, highest, found := m.facts.anomalyAt(m.config), math.Inf(-1), false
	sums := map[string]float64{}
	for _, r := range all {
		if r.anomaly != nil {
			highest, found = max(highest, *r.anomaly), true
		}
		for label, p := range r.labels {
			sums[label] += p / float64(len(all))
		}
	}
	o.labels, _ = rank(sums) // each was checked when it was read
	if found {
		o.score = scoreOf(highest / at)
		o.checks = append(o.checks, spool.Check{Type: "ANOMALY", Passed: highest < at, Score: o.score,
			Details: fmt.Sprintf("the model's anomaly score is %.4g, its limit %.4g", highest, at)})
	}
	if len(m.config.Anomalous) > 0 {
		p := 0.0
		for _, l := range o.labels {
			if slices.Contains(m.config.Anomalous, l.Name[0]) {
				p += l.Probability
			}
		}
		p = min(p, 1)
		o.score = max(o.score, p)
		o.checks = append(o.checks, spool.Check{Type: "LABEL", Passed: p < limitScore, Score: p,
			Details: fmt.Sprintf("labels that mean an anomaly have %.4g", p)})
	}
	for _, c := range o.checks {
		if !c.Passed {
			o.reasons = append(o.reasons, c.Details)
		}
	}
	return o
}
