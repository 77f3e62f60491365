package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// storeMagic marks Badger folders of ours, so that a foreign one is refused.
const storeMagic = 0xE5B1

// markerName is the file that stands in a store's folder while it is opened:
// who finds it at start knows that opening killed the process.
const markerName = "OPENING"

// A storeShape says how a small Badger database is cut. Every value longer
// than inline goes to the value log, where it can be salvaged.
type storeShape struct {
	memTable int64 // bytes of keys before Badger would flush; we stop earlier
	log      int64 // bytes of values; the log never rotates below it
	inline   int64
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
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	// Badger maps its files before they can be allocated: a disk that is full
	// by then kills the process.
	if free, _, err := freeBytes(dir); err == nil && free < shape.disk() {
		return nil, fmt.Errorf("open store %s: %w: %d bytes are free, it may take %d", dir, syscall.ENOSPC, free, shape.disk())
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

// openMarked opens Badger between setting and removing the marker. The marker
// is not synced: it guards against the death of the process, not of the board.
func openMarked(dir string, shape storeShape, deaths int, readOnly bool, faults *faultLog) (*badger.DB, error) {
	marker := filepath.Join(dir, markerName)
	found := markerCount(dir)
	if found > deaths {
		return nil, fmt.Errorf("open store %s: %w", dir, errSuspect)
	}
	if err := os.WriteFile(marker, []byte(strconv.Itoa(found+1)), 0o644); err != nil {
		if readOnly && isDiskFault(err) {
			return openRead(dir, shape, true, faults) // reading goes on where nothing can be written
		}
		return nil, fmt.Errorf("mark store: %w", err)
	}
	db, err := openRead(dir, shape, readOnly, faults)
	if rerr := os.Remove(marker); err == nil && rerr != nil {
		_ = db.Close()
		return nil, fmt.Errorf("unmark store: %w", rerr)
	}
	return db, err
}

// openRead reads every file through once and then lets Badger map them.
func openRead(dir string, shape storeShape, readOnly bool, faults *faultLog) (*badger.DB, error) {
	if err := readThrough(dir); err != nil {
		return nil, err
	}
	db, err := openBadger(dir, shape, readOnly, faults)
	if err != nil && !readOnly && strings.Contains(err.Error(), "Create a new file") {
		// A file of length zero, from a crash between truncating and
		// removing it; the failed open has removed it.
		db, err = openBadger(dir, shape, readOnly, faults)
	}
	return db, err
}

func markerCount(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, markerName))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return max(n, 1)
}

func openBadger(dir string, shape storeShape, readOnly bool, faults *faultLog) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: open store %s: %v", ErrDamaged, dir, p)
		}
	}()
	o := badger.DefaultOptions(dir).WithLogger(faults).WithReadOnly(readOnly).
		WithSyncWrites(true).WithNumVersionsToKeep(1).WithDetectConflicts(false).WithMetricsEnabled(false).
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

// prepareFiles makes the fresh store's names durable, allocates the two logs
// that will be written, and advises their mappings.
func prepareFiles(dir string, shape storeShape) error {
	if err := syncDir(dir); err != nil {
		return err
	}
	for pattern, bytes := range map[string]int64{"*.vlog": shape.log, "*.mem": shape.memTable} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("prepare store %s: no %s in it", dir, pattern)
		}
		if err := allocate(files[len(files)-1], bytes); err != nil { // Glob sorts; the last is the newest
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
}

// The beginnings of Badger's lines that are faults. After a failed sync of the
// value log, the first of writeFaults, Badger acknowledges all the same. What
// cannot be read shows as a damaged block, and is no fault of a commit.
var (
	writeFaults = []string{"Error while curlf sync", "failed to flush", "error flushing"}
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
