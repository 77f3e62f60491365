package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// storeMagic marks Badger folders of ours, so that a foreign one is refused.
const storeMagic = 0xE5B1

// A storeShape says how a small Badger database is cut. Every value longer
// than inline goes to the value log, where it can be salvaged.
type storeShape struct {
	memTable int64 // bytes of keys before Badger would flush; we stop earlier
	log      int64 // bytes of values; the log never rotates below it
	inline   int64
	synced   bool // Badger syncs both logs in each commit; else see syncedLog
}

// errSuspect: the store's marker was found, so that opening it once more may
// kill the process once more.
var errSuspect = errors.New("an earlier start died while opening it")

// openStore opens or creates a store for writing, with its files allocated
// and advised. deaths is how often a start may have died here before.
func openStore(dir string, shape storeShape, deaths int, faults *faultLog) (*badger.DB, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	if err := roomToMap(dir, shape.disk()); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db, err := openMarked(dir, shape, deaths, false, faults)
	if err != nil {
		return nil, err
	}
	if err := prepareFiles(dir, shape); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// openSealed opens a store for reading only; nothing in it changes.
func openSealed(dir string, shape storeShape, faults *faultLog) (*badger.DB, error) {
	return openMarked(dir, shape, 0, true, faults)
}

// openMarked opens Badger between setting and removing the marker.
func openMarked(dir string, shape storeShape, deaths int, readOnly bool, faults *faultLog) (*badger.DB, error) {
	found := markerCount(dir)
	if found > deaths {
		return nil, fmt.Errorf("open store %s: %w", dir, errSuspect)
	}
	if err := mark(dir, found); err != nil {
		if readOnly && isDiskFault(err) {
			return openRead(dir, shape, true, faults) // reading goes on where nothing can be written
		}
		return nil, fmt.Errorf("mark store: %w", err)
	}
	db, err := openRead(dir, shape, readOnly, faults)
	if rerr := unmark(dir); err == nil && rerr != nil {
		_ = db.Close()
		return nil, fmt.Errorf("unmark store: %w", rerr)
	}
	return db, err
}

// openRead reads every file through once and then lets Badger map them.
func openRead(dir string, shape storeShape, readOnly bool, faults *faultLog) (*badger.DB, error) {
	closed := !hasKeyLog(dir)
	if readOnly && !closed { // Badger refuses it, and leaves goroutines and files behind
		return nil, fmt.Errorf("open store %s: %w", dir, errUnopened)
	}
	if err := readThrough(dir, !closed); err != nil {
		return nil, err
	}
	if err := checkStore(dir); err != nil {
		return nil, err
	}
	if closed {
		if err := checkLogs(dir); err != nil {
			return nil, err
		}
	}
	if !readOnly {
		if err := removeEmptyLogs(dir); err != nil {
			return nil, err
		}
	}
	return openBadger(dir, shape, readOnly, faults)
}

// removeEmptyLogs removes logs of length zero, which a crash leaves between
// creating or truncating one and the next step. Badger would fail to open the
// store, remove them, and keep what it had opened by then for ever.
func removeEmptyLogs(dir string) error {
	for _, pattern := range []string{"*.vlog", "*.mem"} {
		logs, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return fmt.Errorf("open store: %w", err)
		}
		for _, path := range logs {
			if fi, err := os.Stat(path); err != nil || fi.Size() > 0 {
				continue
			}
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("open store: %w", err)
			}
		}
	}
	return nil
}

func openBadger(dir string, shape storeShape, readOnly bool, faults *faultLog) (db *badger.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // what it maps may have no blocks
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, faultError(dir, readOnly, p)
		}
	}()
	place := dir
	if readOnly && faults.takesWrites() != nil {
		if place, err = linkStore(dir); err != nil {
			return nil, fmt.Errorf("open store %s: %w", dir, err)
		}
		defer func() {
			if db == nil {
				unlinkStore(place)
			}
		}()
	}
	o := badger.DefaultOptions(place).WithLogger(faults).WithReadOnly(readOnly).
		WithSyncWrites(shape.synced).WithNumVersionsToKeep(1).WithDetectConflicts(false).WithMetricsEnabled(false).
		WithNumGoroutines(1).WithNumCompactors(0).WithNumLevelZeroTables(100).WithNumLevelZeroTablesStall(200).
		WithNumMemtables(1).WithMemTableSize(shape.memTable).WithBaseTableSize(2 * shape.memTable).
		WithBaseLevelSize(10 << 20).WithValueThreshold(shape.inline).
		WithValueLogFileSize(shape.log).WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithVerifyValueChecksum(false).WithExternalMagic(storeMagic)
	o.TableSizeMultiplier = 1
	if db, err = badger.Open(o); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return db, nil
}

// prepareFiles allocates the two logs of a fresh store that will be written,
// makes them and the store's names durable, so that no commit has to, and
// advises their mappings. The syncs come one after the other, so that they
// share a commit of the file system's journal.
func prepareFiles(dir string, shape storeShape) error {
	var logs []string
	for pattern, bytes := range map[string]int64{"*.vlog": shape.log, "*.mem": shape.memTable} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("prepare store %s: no %s in it", dir, pattern)
		}
		newest := files[len(files)-1] // Glob sorts
		if err := allocate(newest, bytes); err != nil {
			return err
		}
		logs = append(logs, newest)
	}
	for _, path := range append(logs, dir, filepath.Dir(dir)) {
		if err := syncFile(path); err != nil {
			return err
		}
	}
	return adviseRandom(dir)
}

// A faultLog is Badger's logger: silent, but for the lines that say that a
// write or a read went wrong while Badger itself goes on as if it had not. It
// counts those of writes: a commit during which one came is not acknowledged.
type faultLog struct {
	log   Logger
	count atomic.Int64
	disk  *os.File // on the stores' disk, open for writing
}

// The beginnings of Badger's lines that are faults. After a failed sync of the
// value log, the first of writeFaults, Badger acknowledges all the same. What
// cannot be read shows as a damaged block, and is no fault of a commit.
var (
	writeFaults = []string{"Error while curlf sync", "failed to flush", "error flushing", "trying to flush", "writeRequests"}
	readFaults  = []string{"Unable to read", "Ignoring table"}
)

func (f *faultLog) judge(format string, args []any) {
	line := strings.TrimSpace(fmt.Sprintf(format, args...))
	contained := func(fault string) bool { return strings.Contains(line, fault) }
	wrote := slices.ContainsFunc(writeFaults, contained)
	if wrote {
		f.count.Add(1)
	}
	if wrote || slices.ContainsFunc(readFaults, contained) {
		f.log.Error("store reports a fault", "error", line)
	}
}

// Errorf and the others make faultLog a badger.Logger.
func (f *faultLog) Errorf(format string, args ...any)   { f.judge(format, args) }
func (f *faultLog) Warningf(format string, args ...any) { f.judge(format, args) }
func (f *faultLog) Infof(string, ...any)                {}
func (f *faultLog) Debugf(string, ...any)               {}

// silent is the Logger of a spool that was given none.
type silent struct{}

func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
