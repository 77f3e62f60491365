package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The magic numbers of file systems that forget (linux/magic.h).
const (
	magicTmpfs   = 0x01021994
	magicOverlay = 0x794c7630
)

// refuseVolatile fails with ErrVolatile on a file system that forgets.
func refuseVolatile(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("look at file system of %s: %w", path, err)
	}
	switch uint32(st.Type) {
	case magicTmpfs:
		return fmt.Errorf("open spool %s on tmpfs: %w; put it on a disk or set allow_volatile: true", path, ErrVolatile)
	case magicOverlay:
		return fmt.Errorf("open spool %s on an overlay: %w; put it on a disk or set allow_volatile: true", path, ErrVolatile)
	}
	return nil
}

// freeBytes is what an unprivileged program may still write there, and
// whether the file system takes writes at all.
func freeBytes(path string) (free int64, readOnly bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, false, fmt.Errorf("look at file system of %s: %w", path, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), st.Flags&unix.ST_RDONLY != 0, nil
}

// treeBytes is the real disk use of a folder: blocks, not lengths.
func treeBytes(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went while we looked
		}
		if fi, err := d.Info(); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				total += int64(st.Blocks) * 512
			}
		}
		return nil
	})
	return total
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error { return syncFile(dir) }

// syncFile makes a file durable, or the names in a folder.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// syncStore makes a store durable that nobody writes to: every file in its
// folder, and their names. In one that is open Badger may remove a log of keys
// meanwhile, once it has made a table of it.
func syncStore(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	for _, d := range files {
		err := syncFile(filepath.Join(dir, d.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(dir)
}

// makeFolder makes a folder that outlives a power cut, and those above it. A
// folder that was there before, and may be somebody else's, need not be synced.
func makeFolder(dir string) error {
	_, err := os.Stat(dir)
	fresh, parent := errors.Is(err, fs.ErrNotExist), filepath.Dir(dir)
	if fresh && parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := syncDir(parent); err != nil && fresh {
		return err
	}
	return nil
}

// writeDurably makes a small file whole or not at all: write, sync, rename,
// sync the folder.
func writeDurably(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// allocate gives a file its blocks ahead, so that a full disk cannot become a
// SIGBUS on its mapping. Length and content stay as they are.
func allocate(path string, bytes int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // the floor of free space is then the only guard
	}
	if err != nil {
		return fmt.Errorf("allocate %d bytes for %s: %w", bytes, path, err)
	}
	return nil
}

// adviseRandom tells the kernel not to read or write around the pages that a
// value log's mapping touches: with large folios it would write ten times as
// much as was changed.
func adviseRandom(dir string) error { return adviseLogs(dir, unix.MADV_RANDOM) }

// adviseLogs gives the kernel that advice on the mappings of a store's logs.
func adviseLogs(dir string, advice uintptr) error {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return fmt.Errorf("advise mappings: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("advise mappings: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		line = strings.TrimSuffix(line, "\n")
		at := strings.Index(line, real+"/")
		if at < 0 || !(strings.HasSuffix(line, ".vlog") || strings.HasSuffix(line, ".mem")) {
			continue
		}
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err != nil {
			continue
		}
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), advice)
		if errno != 0 && errno != unix.ENOMEM { // a log of an earlier run may be unmapped by now
			return fmt.Errorf("advise mappings of %s: %w", dir, errno)
		}
	}
	return nil
}

// readThrough reads every file of a folder once, value logs only if logs: a
// read error shows here as an error, and in Badger's mapping as a SIGBUS that
// nobody can catch.
func readThrough(dir string, logs bool) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read through: %w", err)
	}
	for _, d := range files {
		if d.IsDir() || !logs && filepath.Ext(d.Name()) == ".vlog" {
			continue
		}
		if err := readOnce(filepath.Join(dir, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

func readOnce(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read through: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, f); err != nil {
		return fmt.Errorf("read through %s: %w", path, err)
	}
	return nil
}

// lockFolder takes the spool's lock, which goes with the process.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock spool %s: %w; stop it first", path, ErrLocked)
		}
		return nil, fmt.Errorf("lock spool %s: %w", path, err)
	}
	return f, nil
}
