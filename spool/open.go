package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Open opens or creates the spool at c.Path and starts its writer. Close it
// when every source and worker has stopped.
func Open(c Config) (*Spool, error) {
	c = c.withDefaults()
	if c.RequireMount {
		if err := OnMount(c.Path); err != nil {
			return nil, fmt.Errorf("open spool: %w", err)
		}
	}
	if err := makeFolder(c.Path); err != nil {
		return nil, fmt.Errorf("create spool: %w", readOnlyError(err))
	}
	if !c.AllowVolatile {
		if err := refuseVolatile(c.Path); err != nil {
			return nil, err
		}
	}
	if err := clearPlace(filepath.Join(c.Path, "LOCK"), false, c.Log); err != nil {
		return nil, readOnlyError(err)
	}
	lock, err := lockFolder(c.Path)
	if err != nil {
		return nil, readOnlyError(err)
	}
	s := newSpool(c)
	s.lock, s.faults.disk = lock, lock
	s.loadVain()
	if err := s.load(); err != nil {
		_ = s.shut()
		return nil, fmt.Errorf("open spool %s: %w", c.Path, readOnlyError(err))
	}
	go s.writeLoop()
	return s, nil
}

// readOnlyError adds ErrReadOnly to what a read-only file system answers, and
// ErrFull to what a full one does.
func readOnlyError(err error) error {
	if isFullDisk(err) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "read-only file system") {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

func newSpool(c Config) *Spool {
	s := &Spool{
		conf: c, log: c.Log, lim: boardLimits(c.Memory, int64(c.MaxBytes)), faults: &faultLog{log: c.Log},
		quarantine: filepath.Join(c.Path, "quarantine"), update: (*badger.DB).Update, syncLog: (*syncedLog).sync,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}), hung: make(chan struct{}), room: make(chan struct{}),
		nextSeq: 1,
		streams: map[string]*Stream{}, boots: map[[16]byte]bootRow{}, holds: map[string]segmentID{},
		facts: map[string]*factSource{}, own: ownTime{at: time.Now()}, choresAt: time.Now().Add(retainEvery),
		wear: newWearMeter(c.root, c.Path, c.CardCycles),
	}
	if c.Detections > 0 {
		s.lim.detections = int64(c.Detections) / detectionStores
	}
	if c.segmentBytes > 0 {
		s.lim.segment = c.segmentBytes
	}
	s.index = newSeenIndex(filepath.Join(c.Path, "seen"), seenLimit(s.lim.remembered, int64(c.MaxBytes)), c.Log)
	s.queue = s.newGroup()
	return s
}

// load brings back everything in the order in which one thing needs another.
func (s *Spool) load() error {
	if err := s.makeFolders(); err != nil {
		return err
	}
	epoch, err := s.loadFormat()
	if err != nil {
		return err
	}
	if s.codec, err = newCodec(epoch); err != nil {
		return err
	}
	s.index.epoch, s.index.damaged = epoch, s.setAside
	s.table = &segmentTable{
		dir: filepath.Join(s.conf.Path, "seg"), shape: segmentShape(s.lim.segment), codec: s.codec,
		faults: s.faults, keep: s.lim.openSealed, open: s.openSealedSegment,
	}
	if err := s.noteUnsure(); err != nil {
		return err
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
	if s.detections, err = openDetections(s, filepath.Join(s.conf.Path, "det")); err != nil {
		return err
	}
	if data, ok := s.meta.get([]byte{metaWear}); ok {
		s.wear.restore(data)
	}
	s.wear.lookAtCard()
	if err := s.loadBoots(); err != nil {
		return err
	}
	if err := s.loadFacts(); err != nil {
		return err
	}
	s.meta.facts = s.copyFacts
	saved := s.own.created
	if err := s.loadSegments(); err != nil {
		return err
	}
	s.resumeTime(saved)
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

// shut releases everything that load opened.
func (s *Spool) shut() error {
	var err error
	keep := func(e error) {
		if staysOpen(e) { // as after a kill, which loses nothing
			s.log.Warn("store is left as it is on a disk without room; it is mended at the next start", "error", e)
		} else if err == nil {
			err = e
		}
	}
	if s.table != nil {
		s.freeBallast(2 * mapMargin)
		for _, seg := range s.table.list() {
			keep(seg.close())
		}
	}
	if s.detections != nil {
		keep(s.detections.close())
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
