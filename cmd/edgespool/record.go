package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

const (
	// leaseTime is how long a label holds after the last word of a record
	// without --for; it is renewed well before. So a lost terminal ends it.
	leaseTime, renewEvery = 30 * time.Second, 10 * time.Second
	// afterwards is how long the last sample may take to appear.
	afterwards = 2 * time.Second
	// showEvery is how often a reading is shown.
	showEvery = 100 * time.Millisecond
)

// recordRun is one run of `edgespool record`.
type recordRun struct {
	agentFlags
	source, label, category string
	length                  time.Duration
	asJSON                  bool

	client            *agent.Client
	out, side         io.Writer
	live              bool      // side is a terminal
	ends              time.Time // zero: at Ctrl-C, which is not known yet
	readings, samples int
	duplicates        int
	lastShown         time.Time
	released          bool
}

func newRecordCommand() *cobra.Command {
	r := &recordRun{}
	c := &cobra.Command{
		Use:   "record SOURCE --label LABEL",
		Short: "Label what a source of the running agent collects from now on",
		Long: `Labels what a source of the running agent collects from now on, for as long as
--for says or until Ctrl-C; then the former label returns. Readings and samples
are shown as they come. The samples go where all samples of the agent go.`,
		Example: `  edgespool record vibration --label idle --for 60s
  edgespool record vibration --label running --category testing --for 2m`,
		Args: cobra.ExactArgs(1),
		PreRunE: func(*cobra.Command, []string) error {
			if r.label == "" || r.length < 0 {
				return errors.New("--label needs a text, and --for a time that is not negative")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			r.source, r.out, r.side = args[0], c.OutOrStdout(), c.ErrOrStderr()
			r.live = isTerminal(r.side)
			return r.run(c.Context())
		},
	}
	r.add(c)
	c.Flags().StringVar(&r.label, "label", "", "label of the samples")
	c.Flags().StringVar(&r.category, "category", "", "training, testing, anomaly, validation, post-processing or split (default: as configured)")
	c.Flags().DurationVar(&r.length, "for", 0, "how long, such as 60s (default: until Ctrl-C)")
	c.Flags().BoolVar(&r.asJSON, "json", false, "print every reading and sample as one JSON object a line")
	return c
}

func (r *recordRun) run(ctx context.Context) error {
	var err error
	if r.client, err = r.agentFlags.client(); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	view, err := r.client.Watch(watching, r.source)
	if err != nil {
		return err
	}
	defer view.Close()
	if err := r.hold(ctx); err != nil {
		return err
	}
	if r.length > 0 {
		r.ends = time.Now().Add(r.length)
	}
	defer r.release(ctx)
	glimpses, viewed := make(chan agent.Glimpse), make(chan error, 1)
	go func() { viewed <- forward(watching, view.Next, glimpses) }()
	err = r.show(ctx, glimpses, viewed)
	r.summary()
	if err == nil && r.samples == 0 && ctx.Err() == nil {
		err = r.nothing()
	}
	return err
}

// nothing says why there may have been no sample.
func (r *recordRun) nothing() error {
	err := fmt.Errorf("record %s: no sample labelled %s came in %v", r.source, plain(r.label), r.length)
	if r.duplicates > 0 {
		return withHint(err, "what came is in the spool already")
	}
	return withHint(err, "edgespool status says how the source is; a sample takes as long as its window")
}

// forward hands on what the view shows until ctx or the view ends.
func forward(ctx context.Context, next func() (agent.Glimpse, error), to chan<- agent.Glimpse) error {
	for {
		g, err := next()
		if err != nil {
			return err
		}
		select {
		case to <- g:
		case <-ctx.Done():
			return nil
		}
	}
}

// hold asks for the label, for the whole time or for as long as a lease.
func (r *recordRun) hold(ctx context.Context) error {
	length := r.length
	if length == 0 {
		length = leaseTime
	}
	text := length.String()
	change := agent.Change{Label: &r.label, For: &text}
	if r.category != "" {
		change.Category = &r.category
	}
	_, err := r.client.Label(ctx, r.source, change)
	return err
}

// release brings the former label back, once, also when ctx has ended.
func (r *recordRun) release(ctx context.Context) {
	if r.released {
		return
	}
	r.released = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	now := "0s"
	if _, err := r.client.Label(ctx, r.source, agent.Change{For: &now}); err != nil {
		fmt.Fprintf(r.side, "the label of %s could not be taken back, it ends by itself: %v\n", r.source, err)
	}
}

// show prints what comes until the time is over, or Ctrl-C, and the last
// sample had its chance to appear: the one under way ends with its label.
func (r *recordRun) show(ctx context.Context, glimpses <-chan agent.Glimpse, viewed <-chan error) error {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	var over <-chan time.Time
	if r.length > 0 {
		over = time.After(r.length + afterwards)
		renew.Stop()
	}
	interrupted := ctx.Done()
	for {
		select {
		case <-interrupted:
			interrupted = nil
			renew.Stop()
			r.ends = time.Now()
			r.release(ctx)
			over = time.After(afterwards)
		case <-over:
			return nil
		case <-renew.C:
			if err := r.hold(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case err := <-viewed:
			if errors.Is(err, io.EOF) {
				err = errors.New("the agent has stopped")
			}
			return fmt.Errorf("record %s: %w", r.source, err)
		case g := <-glimpses:
			if err := r.print(g); err != nil {
				return err
			}
		}
	}
}

// print shows what belongs to this recording. Samples that began before it,
// or after its end, have another label; readings after its end are not part
// of it.
func (r *recordRun) print(g agent.Glimpse) error {
	switch {
	case g.Sample != nil && g.Sample.Label != r.label:
		return nil
	case g.Sample != nil && g.Sample.Duplicate:
		r.duplicates++
	case g.Sample != nil:
		r.samples++
	case r.over():
		return nil
	default:
		r.readings++
	}
	switch {
	case r.asJSON:
		return json.NewEncoder(r.out).Encode(g)
	case g.Sample != nil:
		r.clearLine()
		_, err := fmt.Fprintf(r.out, "sample %d  %s  %s  %s  %s\n", g.Sample.Sequence, orDash(g.Sample.Label), g.Sample.Category, size(g.Sample.Size), orDash(g.Sample.Name))
		return err
	case r.live && time.Since(r.lastShown) >= showEvery:
		r.lastShown = time.Now()
		r.clearLine()
		fmt.Fprint(r.side, cutTo(width(r.side)-1, r.left()+readingText(g)))
	case !r.live && time.Since(r.lastShown) >= time.Second:
		r.lastShown = time.Now()
		fmt.Fprintln(r.side, readingText(g))
	}
	return nil
}

// over tells whether the time is over.
func (r *recordRun) over() bool { return !r.ends.IsZero() && time.Now().After(r.ends) }

// left says how long it still takes, where there is an end.
func (r *recordRun) left() string {
	if r.ends.IsZero() {
		return ""
	}
	return fmt.Sprintf("%v left  ", max(0, time.Until(r.ends)).Round(time.Second))
}

// cutTo keeps a line that is written over in place from reaching a second
// one.
func cutTo(columns int, text string) string {
	if shown := []rune(text); len(shown) > columns {
		return string(shown[:max(columns, 0)])
	}
	return text
}

// readingText writes a reading as "accX 0.12  accY 9.81".
func readingText(g agent.Glimpse) string {
	var parts []string
	for i, v := range g.Values {
		name := strconv.Itoa(i + 1)
		if i < len(g.Sensors) {
			name = plain(g.Sensors[i])
		}
		parts = append(parts, name+" "+strconv.FormatFloat(float64(v), 'g', 6, 64))
	}
	return strings.Join(parts, "  ")
}

func (r *recordRun) clearLine() {
	if r.live {
		fmt.Fprint(r.side, "\r\x1b[K")
	}
}

func (r *recordRun) summary() {
	r.clearLine()
	text := fmt.Sprintf("%s: %s labelled %s, %s", r.source, counted(r.samples, "sample"), plain(r.label), counted(r.readings, "reading"))
	if r.duplicates > 0 {
		text += ", " + counted(r.duplicates, "duplicate") + " skipped"
	}
	fmt.Fprintln(r.side, text)
}
