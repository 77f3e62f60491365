//go:build !386 && !arm

package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// A cutLedger is what writers said was acknowledged to them, and so has to
// outlive every cut.
type cutLedger struct {
	Kept     map[int]uint64    // number to sequence of every record that was acknowledged or fetched
	Numbers  map[uint64]int    // the same, the other way round
	Settling map[string]uint64 // by stream: how far its reader may have settled
	Synced   map[string]uint64 // and where its durable cursor is at least
	Setting  int
	Detected map[uint64]int // id → number

	fault    func(format string, args ...any) // is told what is wrong
	failed   bool                             // see cutCheck
	faulty   bool
	patience int // how often to ask once more
}

func newCutLedger() *cutLedger {
	return &cutLedger{
		Kept: map[int]uint64{}, Numbers: map[uint64]int{}, Settling: map[string]uint64{}, Synced: map[string]uint64{},
		Setting: -1, Detected: map[uint64]int{},
	}
}

// take reads a line of a writer; it returns what is wrong with it.
func (l *cutLedger) take(line string) error {
	var number int
	var sequence uint64
	var word, name string
	switch _, _ = fmt.Sscan(line, &word); word {
	case "opened", "refused":
		return nil
	case "ack", "got":
		if _, err := fmt.Sscanf(line, word+" %d %d", &number, &sequence); err != nil {
			break
		}
		return l.keep(number, sequence)
	case "detected":
		if _, err := fmt.Sscanf(line, word+" %d %d", &number, &sequence); err != nil {
			break
		}
		if was, twice := l.Detected[sequence]; twice {
			return fmt.Errorf("id %d was given to the detections of %d and %d", sequence, was, number)
		}
		l.Detected[sequence] = number
		return nil
	case "settling", "synced":
		if _, err := fmt.Sscanf(line, word+" %s %d", &name, &sequence); err != nil {
			break
		}
		marks := map[string]map[string]uint64{"settling": l.Settling, "synced": l.Synced}[word]
		marks[name] = max(marks[name], sequence)
		return nil
	case "set":
		if _, err := fmt.Sscanf(line, "set %d", &number); err != nil {
			break
		}
		l.Setting = max(l.Setting, number)
		return nil
	}
	return fmt.Errorf("writer says %q", line)
}

func (l *cutLedger) keep(number int, sequence uint64) error {
	if was, ok := l.Kept[number]; ok && was != sequence {
		return fmt.Errorf("number %d was record %d and is record %d", number, was, sequence)
	}
	if was, ok := l.Numbers[sequence]; ok && was != number {
		return fmt.Errorf("sequence %d was given to number %d and to number %d", sequence, was, number)
	}
	l.Kept[number], l.Numbers[sequence] = sequence, number
	return nil
}

// A cutCheck is what the checking process is told.
type cutCheck struct {
	Path   string
	Ledger string // a file
	Boot   string // see bootFile
	Failed bool   // writes had failed, so that the figures may tell of damage
	// Faulty: the disk has bad places. Cursors and settings need not be as
	// they were, and lost records are only listed.
	Faulty bool
	Again  bool // read everything once more when told to
}

// checkAfterCut opens what a cut left, in a process of its own, and says what
// of the ledger is not true of it.
func checkAfterCut(argument string) {
	var c cutCheck
	ledger := newCutLedger()
	err := json.Unmarshal([]byte(argument), &c)
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(c.Ledger); err == nil {
			err = json.Unmarshal(text, ledger)
		}
	}
	if err != nil {
		fmt.Println("fault: setup:", err)
		return
	}
	bootFile = c.Boot
	ledger.fault = func(format string, args ...any) { fmt.Printf("fault: "+format+"\n", args...) }
	ledger.patience = 250
	ledger.failed, ledger.faulty = c.Failed || c.Faulty, c.Faulty
	ask := func() {}
	if c.Again {
		ask = func() {
			fmt.Println("again?")
			_, _ = fmt.Scanln()
		}
	}
	for range 2 { // opening again finds the same
		if err := ledger.check(c.Path, ask); err != nil {
			fmt.Println("fault:", err)
		}
		ask = func() {}
	}
	fmt.Println("checked", len(ledger.Kept))
}

// check opens a spool and tells what of the ledger is not true of it.
func (l *cutLedger) check(path string, ask func()) error {
	s, err := Open(cutConfig(path))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	found, err := l.readAll(s)
	if err != nil {
		return err
	}
	if ask(); l.faulty {
		if found, err = l.readAll(s); err != nil {
			return err
		}
	}
	l.checkStreams(s, found)
	for id, number := range l.Detected {
		if d, ok, err := s.Detection(context.Background(), id); (err != nil || !ok || d.Name != cutDetected(number)) && !l.faulty {
			l.fault("detection %d of number %d is %+v (%v, %v)", id, number, d, ok, err)
		}
	}
	if st, err := s.Stream("api/training", "training", StreamOptions{Pin: true}); err != nil {
		l.fault("%v", err)
	} else if _, err := st.Exceptions(context.Background(), 0, 1000); err != nil {
		l.fault("%v", err)
	}
	if value, ok := s.Setting("count"); l.Setting >= 0 && !l.faulty {
		var count int
		if _, err := fmt.Sscan(string(value[min(len(value), 60<<10):]), &count); !ok || err != nil || count < l.Setting {
			l.fault("setting is %d (%v), but %d was acknowledged", count, err, l.Setting)
		}
	}
	if stats := s.Stats(); !l.failed && (stats.Lost != 0 || stats.Damaged != 0 || stats.Quarantined != 0) {
		l.fault("a cut is no damage, but the figures are %+v", stats)
	}
	// A fresh record gets a fresh sequence, and is taken once.
	number := 1<<30 + len(l.Kept)
	receipt, err := s.Append(context.Background(), cutRecord(number))
	if err == nil {
		err = receipt.Wait(context.Background())
	}
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	for sequence := range l.Numbers {
		if given := receipt.Results[0]; !given.Duplicate && sequence >= given.Sequence {
			l.fault("a new record gets sequence %d, but %d was given before", given.Sequence, sequence)
		}
	}
	return s.Close()
}

// readAll reads every dataset from its beginning.
func (l *cutLedger) readAll(s *Spool) (found map[int]uint64, err error) {
	found = map[int]uint64{}
	for _, dataset := range cutSets {
		if err := l.read(s, dataset, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (l *cutLedger) read(s *Spool, dataset string, found map[int]uint64) error {
	st, err := s.Stream("check/"+dataset, dataset, StreamOptions{})
	if err == nil {
		err = st.Reset(context.Background(), 0)
	}
	if err != nil {
		return err
	}
	recs, err := st.Fetch(context.Background(), Limit{Records: 1 << 30, Bytes: 1 << 30})
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	var last Record
	for _, r := range recs {
		number, err := cutNumber(r)
		if errors.Is(err, ErrDamaged) && l.faulty {
			continue
		}
		if err != nil {
			l.fault("%v", err)
			continue
		}
		if r.Sequence <= last.Sequence || r.CreatedAt.Before(last.CreatedAt) {
			l.fault("record %d of %v comes after %d of %v", r.Sequence, r.CreatedAt, last.Sequence, last.CreatedAt)
		}
		if was, twice := found[number]; twice {
			l.fault("number %d is record %d and record %d", number, was, r.Sequence)
		}
		if was, ok := l.Numbers[r.Sequence]; ok && was != number {
			l.fault("record %d is number %d, but was number %d", r.Sequence, number, was)
		}
		found[number], last = r.Sequence, r
	}
	return nil
}

// checkStreams holds cursors and records against the ledger: a kept record is
// there or was settled by each stream of its dataset, and is known.
func (l *cutLedger) checkStreams(s *Spool, found map[int]uint64) {
	next := map[string]uint64{}
	for _, info := range s.Streams() {
		next[info.Name] = info.Next
		if cutStreams[info.Name] == "" {
			continue
		}
		if synced := l.Synced[info.Name]; info.Next < synced && !l.faulty {
			l.fault("cursor of %s is at %d, but %d was durable", info.Name, info.Next, synced)
		}
	}
	for number, sequence := range l.Kept {
		settled, rejected := true, false
		for name, dataset := range cutStreams {
			if dataset != cutSets[number%3] {
				continue
			}
			settled = settled && l.Settling[name] >= sequence && (next[name] > sequence || l.faulty)
			rejected = rejected || cutRejected(number) && l.Settling[name] >= sequence
			if next[name] > sequence && l.Settling[name] < sequence && !l.faulty {
				l.fault("cursor of %s is at %d, but record %d was never settled", name, next[name], sequence)
			}
		}
		at, ok := found[number]
		lost := !ok && !settled
		if lost && l.faulty {
			fmt.Println("lost", sequence, number)
			continue
		}
		if lost || ok && at != sequence {
			l.fault("record %d, number %d, was acknowledged; the spool has %d", sequence, number, at)
		}
		if rejected || l.faulty && settled {
			continue
		}
		if at, ok = l.seen(s, number); !ok || at != sequence {
			l.fault("record %d, number %d, was acknowledged, but is known as %d, %v", sequence, number, at, ok)
		}
	}
}

// seen asks the duplicate index for a number. Where a page of it cannot be
// read, the spool makes it anew with its next chores.
func (l *cutLedger) seen(s *Spool, number int) (sequence uint64, ok bool) {
	identity := cutRecord(number).Body.SHA256()
	sequence, ok = s.Seen(identity)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for tries := 0; !ok && l.faulty && l.patience > 0; tries++ {
		if tries == 0 {
			s.mu.Lock()
			s.choresAt = time.Now()
			s.mu.Unlock()
			s.nudge()
		}
		l.patience--
		<-again.C
		sequence, ok = s.Seen(identity)
	}
	return sequence, ok
}
