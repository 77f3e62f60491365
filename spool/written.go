package spool

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Wear is what writing does to the card.
type Wear struct {
	// Counted: the kernel counts what this process writes. Without that the
	// figures below are zero.
	Counted bool
	// Written is what this process, and those that held this spool before it,
	// gave the kernel to write, in bytes: all their files, and not the
	// journal of the file system.
	Written uint64
	// PerDay is what the last 24 hours of running wrote, in bytes; less than
	// that is taken times as much. 0 in the first minutes.
	PerDay uint64
	Card   Card
	// DaysLeft is how long the card lasts at this rate if it can be written
	// Cycles times over; 0 if that cannot be said. An eMMC's own LifeUsed
	// counts; of other cards only what this spool wrote is known.
	DaysLeft float64
	Cycles   int // as Config.CardCycles says
}

const (
	wearHours = 24
	// wearSoonest is the running time that a rate is told after.
	wearSoonest = 10 * time.Minute
	day         = 24 * time.Hour
)

// A wearMeter adds up what the process writes, in hours of running time: a
// board's clock may be wrong, and a board may be switched off at night.
type wearMeter struct {
	root, path string
	cycles     int

	mu      sync.Mutex
	counted bool
	base    uint64 // the process's count at the last look
	baseAt  time.Time
	row     wearRow
	card    Card
}

// wearRow is a wearMeter as meta keeps it.
type wearRow struct {
	Written uint64        `cbor:"1,keyasint"`
	Hours   []uint64      `cbor:"2,keyasint"` // the last hours of running, the present one last
	Spent   time.Duration `cbor:"3,keyasint"` // of the present one
}

func newWearMeter(root, path string, cycles int) *wearMeter {
	m := &wearMeter{root: root, path: path, cycles: cycles, baseAt: time.Now()}
	m.base, m.counted = processWrites(root) // what the process wrote before is not the spool's
	return m
}

// processWrites is what the process has had written, by the kernel's
// /proc/self/io (Documentation/filesystems/proc.rst); false where the kernel
// does not count it.
func processWrites(root string) (uint64, bool) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/io"))
	if err != nil {
		return 0, false
	}
	fields := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64); err == nil {
			fields[name] = n
		}
	}
	written, known := fields["write_bytes"]
	// Pages that were given up before they were written.
	return written - min(written, fields["cancelled_write_bytes"]), known
}

// look takes up what was written since the last look; m.mu is held.
func (m *wearMeter) look() {
	now := time.Now()
	count, counted := processWrites(m.root)
	if !counted {
		return
	}
	more := count - min(count, m.base)
	m.row.Spent += now.Sub(m.baseAt)
	m.base, m.baseAt, m.counted = max(count, m.base), now, true
	m.row.Written += more
	if len(m.row.Hours) == 0 {
		m.row.Hours = []uint64{0}
	}
	m.row.Hours[len(m.row.Hours)-1] += more
	for ; m.row.Spent >= time.Hour; m.row.Spent -= time.Hour {
		m.row.Hours = append(m.row.Hours, 0)
	}
	if n := len(m.row.Hours) - wearHours - 1; n > 0 { // the present one is not whole
		m.row.Hours = append(m.row.Hours[:0], m.row.Hours[n:]...)
	}
}

// wear takes the figures.
func (m *wearMeter) wear() Wear {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.look()
	w := Wear{Counted: m.counted, Written: m.row.Written, Card: m.card, Cycles: m.cycles}
	var sum uint64
	for _, n := range m.row.Hours {
		sum += n
	}
	span := time.Duration(len(m.row.Hours)-1)*time.Hour + m.row.Spent
	if m.counted && span >= wearSoonest {
		w.PerDay = uint64(float64(sum) * float64(day) / float64(span))
	}
	w.DaysLeft = m.daysLeft(w)
	return w
}

// daysLeft divides what the card still takes by what it gets.
func (m *wearMeter) daysLeft(w Wear) float64 {
	if w.PerDay == 0 || w.Card.Bytes == 0 || w.Card.Spins {
		return 0
	}
	takes := float64(w.Card.Bytes) * float64(m.cycles)
	used := float64(w.Written)
	if w.Card.LifeUsed > 0 {
		used = takes * float64(w.Card.LifeUsed) / 100
	}
	return max(takes-used, 0) / float64(w.PerDay)
}

// pair is the meter as meta keeps it.
func (m *wearMeter) pair() metaPair {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.look()
	data, err := cbor.Marshal(m.row)
	if err != nil {
		panic("encode wear: " + err.Error()) // plain numbers always encode
	}
	return metaPair{[]byte{metaWear}, data}
}

// restore goes on from what meta kept. What cannot be read counts anew.
func (m *wearMeter) restore(data []byte) {
	var row wearRow
	if envelopeDec.Unmarshal(data, &row) != nil || len(row.Hours) > wearHours+1 || row.Spent < 0 || row.Spent >= time.Hour {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.row = row
}

// lookAtCard asks the card itself, whose life goes on.
func (m *wearMeter) lookAtCard() {
	card := findCard(m.root, m.path)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.card = card
}
