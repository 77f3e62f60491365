//go:build !386 && !arm

package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// A cutWriter is a process that does everything that a spool does, on a file
// system that will lose its power, and says what was acknowledged to it, after
// it was: the lines are those that cutLedger.take reads.
type cutWriter struct {
	Path     string
	Base     int    // the first number of a record
	Boot     string // see bootFile
	Unsynced bool   // no commit is synced: what the harness must notice
	Tolerant bool   // what fails is tried again
	Hoard    bool   // one stream only is read, so that everything stays in the spool

	spool *Spool
	mu    sync.Mutex
}

// cutSets are the datasets of the records; that of a number follows from it.
var cutSets = []string{"training", "testing", "anomaly"}

// cutStreams are the streams that read them; all of them pin.
var cutStreams = map[string]string{
	"dest/training": "training", "dest/testing": "testing", "dest/anomaly": "anomaly", "api/training": "training",
}

func cutConfig(dir string) Config {
	return testConfig(dir, func(c *Config) {
		c.segmentBytes, c.MaxBytes, c.Keep = 700<<10, 256<<20, 0
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil)) // shown if something goes wrong
	})
}

// cutRecord is the record of a number: 200 B to 300 KB, all of it following
// from the number, and now and then with so much metadata that its rejection
// fills the history.
func cutRecord(number int) Record {
	random := rand.New(rand.NewPCG(uint64(number), 7))
	size := 200 + random.IntN(3000)
	switch number % 16 {
	case 5:
		size = 64<<10 + random.IntN(236<<10)
	case 9, 13:
		size = 8<<10 + random.IntN(40<<10)
	}
	body := make([]byte, size)
	for i := 12; i+8 <= size/2; i += 8 { // the other half compresses
		binary.LittleEndian.PutUint64(body[i:], random.Uint64())
	}
	copy(body, fmt.Sprintf("%012d", number))
	r := sampleOf(cutSets[number%3], number, body)
	if cutRejected(number) {
		r.Metadata = map[string]string{"note": string(bytes.Repeat([]byte("note "), 6000))}
	}
	return r
}

// cutDetected names what the detection of a record is about.
func cutDetected(number int) string { return fmt.Sprintf("detected-%d", number) }

// cutRejected tells whether the destinations reject a record.
func cutRejected(number int) bool { return number%11 == 4 }

// writeUntilCut is the process.
func writeUntilCut(argument string) {
	w := &cutWriter{}
	if err := json.Unmarshal([]byte(argument), w); err != nil {
		fmt.Println("fault: setup:", err)
		return
	}
	bootFile = w.Boot
	s, err := Open(cutConfig(w.Path))
	if err != nil {
		fmt.Println("fault: open:", err)
		return
	}
	w.spool = s
	if w.Unsynced {
		s.syncLog = func(*syncedLog) error { return nil }
	}
	w.say("opened")
	var wg sync.WaitGroup
	for lane := range 3 {
		wg.Go(func() { w.until("append", w.append(lane)) })
	}
	for name, dataset := range cutStreams {
		if !w.Hoard || name == "api/training" {
			wg.Go(func() { w.until(name, w.consume(name, dataset)) })
		}
	}
	wg.Go(func() { w.until("set", w.set) })
	wg.Wait()
}

// say writes a line at once.
func (w *cutWriter) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Printf(format+"\n", args...)
}

// until repeats a step until the power goes or it fails.
func (w *cutWriter) until(what string, step func(turn int) error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for turn := 0; ; turn++ {
		err := step(turn)
		switch {
		case err != nil && w.Tolerant:
			w.say("refused %s: %q", what, err)
			<-again.C
			w.spool.mu.Lock()
			w.spool.failedUntil = time.Now() // try the disk again at once instead of in a while
			w.spool.mu.Unlock()
		case err != nil:
			w.say("fault: %s: %v", what, err)
			return
		}
	}
}

// append takes one to six records at a time to the spool; some bodies are
// staged, and now and then a record comes twice.
func (w *cutWriter) append(lane int) func(turn int) error {
	ctx := context.Background()
	next := w.Base + lane
	return func(turn int) error {
		var recs []Record
		var numbers []int
		for range 1 + turn%6 {
			r := cutRecord(next)
			if next%32 == 5 {
				rd, err := r.Body.Open()
				if err != nil {
					return err
				}
				if r.Body, err = w.spool.Stage(ctx, rd, 1<<30); err != nil {
					return err
				}
			}
			recs, numbers = append(recs, r), append(numbers, next)
			next += 3
		}
		receipt, err := w.spool.Append(ctx, recs...)
		if err == nil {
			err = receipt.Wait(ctx)
		}
		if err != nil {
			return err
		}
		for i, result := range receipt.Results {
			w.say("ack %d %d", numbers[i], result.Sequence)
		}
		if lane == 0 && !w.Tolerant && !w.Unsynced {
			ids, err := w.spool.Detect(ctx, Detection{Sequence: receipt.Results[0].Sequence, Name: cutDetected(numbers[0]), Score: 0.9})
			if err != nil {
				return err
			}
			w.say("detected %d %d", numbers[0], ids[0])
		}
		if first := receipt.Results[0]; turn%8 == 3 && !cutRejected(numbers[0]) {
			again, err := w.spool.Append(ctx, cutRecord(numbers[0]))
			if err != nil {
				return err
			}
			if got := again.Results[0]; !got.Duplicate || got.Sequence != first.Sequence {
				w.say("fault: number %d, taken as %d, is taken again as %+v", numbers[0], first.Sequence, got)
			}
		}
		return nil
	}
}

// consume delivers what a stream gives, rejects some of it, and makes its
// cursor durable now and then. What it settles it says before, for the power
// may go in between.
func (w *cutWriter) consume(name, dataset string) func(turn int) error {
	ctx := context.Background()
	return func(turn int) error {
		st, err := w.spool.Stream(name, dataset, StreamOptions{Pin: true})
		if err != nil {
			return err
		}
		ready := st.Ready()
		recs, err := st.Fetch(ctx, Limit{Records: 1 + turn%40, Bytes: 1 << 20})
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			<-ready
			return nil
		}
		var outcomes []Outcome
		for _, r := range recs {
			number, err := cutNumber(r)
			if err != nil {
				return err
			}
			w.say("got %d %d", number, r.Sequence)
			o := Outcome{Sequence: r.Sequence, Fate: FateStored}
			if cutRejected(number) {
				o.Fate = FateRejected
			}
			outcomes = append(outcomes, o)
		}
		w.say("settling %s %d", name, recs[len(recs)-1].Sequence)
		if err := st.Settle(ctx, outcomes...); err != nil {
			return err
		}
		if turn%3 == 2 {
			if err := st.Sync(ctx); err != nil {
				return err
			}
			w.say("synced %s %d", name, recs[len(recs)-1].Sequence+1)
		}
		if turn%5 == 4 { // let segments go that everybody has passed, at once instead of in a while
			w.spool.mu.Lock()
			w.spool.choresAt = time.Now()
			w.spool.mu.Unlock()
			w.spool.nudge()
		}
		return nil
	}
}

// set changes a setting that is large enough for meta to go through
// generations.
func (w *cutWriter) set(turn int) error {
	value := fmt.Appendf(make([]byte, 60<<10), "%d", w.Base+turn)
	if err := w.spool.SetSetting("count", value); err != nil {
		return err
	}
	w.say("set %d", w.Base+turn)
	return nil
}

// cutNumber reads a record and tells its number, if it is what was appended.
func cutNumber(r Record) (int, error) {
	rd, err := r.Body.Open()
	if err != nil {
		return 0, err
	}
	defer rd.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(rd); err != nil {
		return 0, fmt.Errorf("record %d: %w", r.Sequence, err)
	}
	var number int
	if _, err := fmt.Sscanf(string(got.Bytes()[:min(12, got.Len())]), "%012d", &number); err != nil {
		return 0, fmt.Errorf("record %d: %w", r.Sequence, err)
	}
	want := cutRecord(number)
	body, _ := want.Body.Open()
	defer body.Close()
	var sent bytes.Buffer
	_, _ = sent.ReadFrom(body)
	if !bytes.Equal(got.Bytes(), sent.Bytes()) || r.Dataset != want.Dataset || r.Name != want.Name || r.Metadata["note"] != want.Metadata["note"] {
		return 0, fmt.Errorf("record %d came back as %s of %s, not as number %d was given", r.Sequence, r.Name, r.Dataset, number)
	}
	return number, nil
}
