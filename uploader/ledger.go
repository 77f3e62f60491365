package uploader

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/edgespool/edgespool/spool"
)

// A Ledger remembers which bytes a destination has taken, so that a second
// upload of the same files sends nothing. It keeps outcomes, not bytes: an
// append-only file of rows of 48 bytes,
//
//	1 mark, 1 fate, 2 HTTP status, 8 scope, 32 SHA-256, 4 CRC-32C of those 44
//
// in which a torn or damaged stretch costs only the rows it covers. One file
// serves many destinations. Several programs may append to it at a time. Rejected
// files are not remembered: they may be mended, or the service may.
type Ledger struct {
	mu    sync.Mutex
	file  *os.File
	scope [8]byte
	known map[[16]byte]struct{} // the first half of the SHA-256 says enough
	rows  []byte                // reused by Add
}

const (
	ledgerRow  = 48
	ledgerMark = 0xe5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenLedger opens or begins the ledger at path for one destination, named by
// its address and the fingerprint of its key. Missing folders are made.
func OpenLedger(path, url, fingerprint string) (*Ledger, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{file: f, known: make(map[[16]byte]struct{})}
	sum := sha256.Sum256([]byte(url + "\x00" + fingerprint))
	copy(l.scope[:], sum[:])
	if err := l.load(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return l, nil
}

// load takes in the rows of the scope. Where a row is not whole, the next one
// is looked for byte by byte.
func (l *Ledger) load(r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		row, err := b.Peek(ledgerRow)
		if errors.Is(err, io.EOF) {
			return nil // what is left is no whole row
		}
		if err != nil {
			return err
		}
		step := 1
		if row[0] == ledgerMark && crc32.Checksum(row[:44], castagnoli) == binary.LittleEndian.Uint32(row[44:]) {
			l.take(row)
			step = ledgerRow
		}
		if _, err := b.Discard(step); err != nil {
			return err
		}
	}
}

func (l *Ledger) take(row []byte) {
	fate := spool.Fate(row[1])
	if [8]byte(row[4:12]) == l.scope && (fate == spool.FateStored || fate == spool.FateAlreadyThere) {
		l.known[[16]byte(row[12:28])] = struct{}{}
	}
}

// Known tells whether the destination has these bytes.
func (l *Ledger) Known(sum [32]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.known[[16]byte(sum[:16])]
	return ok
}

// Len is how many bodies the destination is known to have.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.known)
}

// A LedgerOutcome is what became of one body.
type LedgerOutcome struct {
	SHA256 [32]byte
	Fate   spool.Fate
	Status int
}

// Add notes outcomes; it returns when they survive a power cut. Give it a
// batch at a time: it is one write and one sync.
func (l *Ledger) Add(outcomes ...LedgerOutcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = l.rows[:0]
	for _, o := range outcomes {
		start := len(l.rows)
		l.rows = append(l.rows, ledgerMark, byte(o.Fate))
		l.rows = binary.LittleEndian.AppendUint16(l.rows, uint16(o.Status))
		l.rows = append(append(l.rows, l.scope[:]...), o.SHA256[:]...)
		l.rows = binary.LittleEndian.AppendUint32(l.rows, crc32.Checksum(l.rows[start:], castagnoli))
	}
	if len(l.rows) == 0 {
		return nil
	}
	if _, err := l.file.Write(l.rows); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync ledger: %w", err)
	}
	for i := 0; i < len(l.rows); i += ledgerRow {
		l.take(l.rows[i : i+ledgerRow])
	}
	return nil
}

// Close lets go of the file.
func (l *Ledger) Close() error { return l.file.Close() }
