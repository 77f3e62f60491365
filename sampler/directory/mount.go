package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A mount is the part of the watched tree that lies on one file system,
// where files can be renamed: the watched folder itself, or a folder below
// that something is mounted on. Its top holds what is ours:
//
//	.edgespool/lock        held while files are taken
//	.edgespool/claimed/    files on their way, at their path below the top
//	.edgespool/failed/     files that were refused, each with its reason
//
// A crash leaves files in claimed; who holds the lock next puts them back.
type mount struct {
	path      string
	at        whereabouts
	mayWrite  bool
	recovered bool // claimed holds nothing that a crash left behind
	lock      *os.File
}

// errLocked: another agent takes files from the same folder.
var errLocked = errors.New("another agent takes files from this folder")

func (m *mount) own(rel ...string) string {
	return filepath.Join(append([]string{m.path, ownFolder}, rel...)...)
}

// claimedPath is where a file of this mount lies while it is on its way.
func (m *mount) claimedPath(path string) string {
	rel, err := filepath.Rel(m.path, path)
	if err != nil || !filepath.IsLocal(rel) {
		rel = filepath.Base(path)
	}
	return m.own("claimed", rel)
}

// hold locks the mount against other agents until release. Nothing is held
// between the rounds, so that a stick can be unmounted.
func (m *mount) hold() error {
	if err := os.MkdirAll(m.own("claimed"), 0o755); err != nil {
		return fmt.Errorf("make folder for claimed files: %w", err)
	}
	f, err := os.OpenFile(m.own("lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open lock of folder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		_ = f.Close()
		return fmt.Errorf("lock folder %s: %w", m.path, errLocked)
	}
	// A file system without locks cannot keep two agents apart, but a rename
	// still lets only one of them have a file.
	m.lock = f
	return nil
}

func (m *mount) release() {
	if m.lock != nil {
		_ = m.lock.Close()
		m.lock = nil
	}
}

// recover puts back what a crash left in claimed. Whether the spool has a
// file already is asked when it is taken again.
func (m *mount) recover() (n int, err error) {
	claimed := m.own("claimed")
	if _, err := os.Lstat(claimed); errors.Is(err, fs.ErrNotExist) {
		m.recovered = true
		return 0, nil
	}
	if err := m.hold(); err != nil {
		return 0, err
	}
	defer m.release()
	err = filepath.WalkDir(claimed, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(claimed, path)
		if err != nil {
			return err
		}
		_, err = m.putBack(path, filepath.Join(m.path, rel))
		if err == nil {
			n++
		}
		return err
	})
	if err != nil {
		return n, fmt.Errorf("put back claimed files: %w", err)
	}
	m.recovered = true
	return n, nil
}

// claim takes a file away from everybody else: nobody can open it by its
// name any more. It returns where the file lies now.
func (m *mount) claim(path string) (string, error) {
	to := m.claimedPath(path)
	err := renameNew(path, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", fmt.Errorf("claim file: %w", err)
		}
		err = renameNew(path, to)
	}
	if err != nil {
		return "", fmt.Errorf("claim file: %w", err)
	}
	return to, nil
}

// putBack returns a claimed file to its place, or beside it if a new file
// has its name, and says where that is.
func (m *mount) putBack(claimed, path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("put back file: %w", err)
	}
	at, _, err := lstat(claimed)
	if err != nil {
		return "", fmt.Errorf("put back file: %w", err)
	}
	to, err := place(claimed, filepath.Dir(path), filepath.Base(path), tagOf(at.key()))
	if err != nil {
		return "", fmt.Errorf("put back file: %w", err)
	}
	m.tidy(claimed)
	return to, nil
}

// tidy removes the empty folders that a claimed file leaves.
func (m *mount) tidy(claimed string) {
	top := m.own("claimed")
	for dir := filepath.Dir(claimed); dir != top && len(dir) > len(top); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return
		}
	}
}
