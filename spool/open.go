package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Open opens or creates the spool at c.Path and starts its writer. Close it
// when every source and worker has stopped.
func Open(c Config) (*Spool, error) {
	c = c.withDefaults()
	if err := os.MkdirAll(c.Path, 0o755); err != nil {
		return nil, fmt.Errorf("create spool: %w", readOnlyError(err))
	}
	if !c.AllowVolatile {
		if err := refuseVolatile(c.Path); err != nil {
			return nil, err
		}
	}
	lock, err := lockFolder(c.Path)
	if err != nil {
		return nil, readOnlyError(err)
	}
	s := newSpool(c)
	s.lock = lock
	if err := s.load(); err != nil {
		_ = s.shut()
		return nil, fmt.Errorf("open spool %s: %w", c.Path, readOnlyError(err))
	}
	go s.writeLoop()
	return s, nil
}

// readOnlyError adds ErrReadOnly to what a read-only file system answers.
func readOnlyError(err error) error {
	if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "read-only file system") {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

func newSpool(c Config) *Spool {
	s := &Spool{
		conf: c, log: c.Log, lim: boardLimits(boardMemory(), int64(c.MaxBytes)), faults: &faultLog{log: c.Log},
		quarantine: filepath.Join(c.Path, "quarantine"), update: (*badger.DB).Update,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}), room: make(chan struct{}),
		nextSeq: 1, index: newSeenIndex(filepath.Join(c.Path, "seen"), 0, c.Log),
		streams: map[string]*Stream{}, boots: map[[16]byte]bootRow{}, holds: map[string]segmentID{},
		facts: map[string]*factSource{}, stampedAt: time.Now(), choresAt: time.Now().Add(retainEvery),
	}
	if c.segmentBytes > 0 {
		s.lim.segment = c.segmentBytes
	}
	s.index.limit = s.lim.remembered
	s.queue = s.newGroup()
	return s
}

// load brings back everything in the order in which one thing needs another.
func (s *Spool) load() error {
	for _, dir := range []string{"seg", "hist", "meta", "quarantine", "seen"} {
		if err := os.MkdirAll(filepath.Join(s.conf.Path, dir), 0o755); err != nil {
			return err
		}
	}
	epoch, err := readFormat(filepath.Join(s.conf.Path, "FORMAT"))
	if err != nil {
		return err
	}
	if s.codec, err = newCodec(epoch); err != nil {
		return err
	}
	s.index.epoch = epoch
	s.table = &segmentTable{
		dir: filepath.Join(s.conf.Path, "seg"), shape: segmentShape(s.lim.segment), codec: s.codec,
		faults: s.faults, keep: s.lim.openSealed, open: s.openSealedSegment,
	}
	if err := sweepStores(s.table.dir); err != nil { // on a full disk this is what makes room
		return err
	}
	if err := s.roomToOpen(); err != nil {
		return err
	}
	if s.meta, err = openMeta(filepath.Join(s.conf.Path, "meta"), s.faults, s.setAside); err != nil {
		return err
	}
	if s.hist, err = openHistory(filepath.Join(s.conf.Path, "hist"), s.lim.hist, s.faults); err != nil {
		return err
	}
	s.hist.damaged, s.hist.dropped = s.setAside, s.forgetExceptions
	if err := s.loadBoots(); err != nil {
		return err
	}
	if err := s.loadFacts(); err != nil {
		return err
	}
	s.meta.facts = s.copyFacts
	if err := s.loadSegments(); err != nil {
		return err
	}
	if err := s.loadIndex(); err != nil {
		return err
	}
	s.boundQuarantine()
	s.measureSides()
	s.makeBallast()
	if err := s.loadStreams(); err != nil {
		return err
	}
	return s.forgetVanished()
}

// readFormat reads the spool's version and epoch, or makes them. The epoch
// marks the spool's own blocks; see block.
func readFormat(path string) (epoch uint64, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		epoch = binary.BigEndian.Uint64(b[:])
		return epoch, writeDurably(path, fmt.Appendf(nil, "edgespool spool\nversion 1\nepoch %016x\n", epoch))
	}
	if err != nil {
		return 0, fmt.Errorf("read format: %w", err)
	}
	var version int
	if n, err := fmt.Sscanf(string(text), "edgespool spool\nversion %d\nepoch %x\n", &version, &epoch); n == 0 {
		return 0, fmt.Errorf("read %s: %w: %v", path, ErrDamaged, err)
	} else if version > 1 {
		return 0, fmt.Errorf("read %s: version %d: %w", path, version, ErrNewer)
	} else if n != 2 {
		return 0, fmt.Errorf("read %s: %w: %v", path, ErrDamaged, err)
	}
	return epoch, nil
}

// roomToOpen makes sure that opening the stores cannot run into a full disk,
// which Badger's mappings would turn into a SIGBUS: first the ballast goes,
// then, under drop-oldest, the oldest segments, unopened.
func (s *Spool) roomToOpen() error {
	// Meta is copied to be opened, and once more to its next generation.
	need := metaShape(metaLoad{}).disk() + treeBytes(filepath.Join(s.conf.Path, "meta")) + s.table.shape.disk()
	s.freeBallast(need)
	for {
		free, readOnly, err := freeBytes(s.conf.Path)
		switch {
		case err != nil:
			return err
		case readOnly:
			return ErrReadOnly
		case free >= need:
			return nil
		}
		names, err := os.ReadDir(s.table.dir)
		if err != nil {
			return fmt.Errorf("make room: %w", err)
		}
		if s.conf.WhenFull == refuse || len(names) < 2 {
			return fmt.Errorf("%w: %d bytes are free on the disk, opening needs %d", ErrFull, free, need)
		}
		s.log.Warn("disk is full; the oldest segment goes unopened", "segment", names[0].Name())
		dir := filepath.Join(s.table.dir, names[0].Name())
		if err := os.Rename(dir, dir+".del"); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
		if err := os.RemoveAll(dir + ".del"); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
	}
}

// shut releases everything that load opened.
func (s *Spool) shut() error {
	var err error
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	if s.table != nil {
		s.freeBallast(2 * storeOverhead)
		for _, seg := range s.table.list() {
			keep(seg.close())
		}
	}
	if s.hist != nil {
		keep(s.hist.close())
	}
	if s.meta != nil {
		keep(s.meta.close())
	}
	if s.codec != nil {
		s.codec.close()
		s.makeBallast()
	}
	keep(s.lock.Close())
	if err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}
