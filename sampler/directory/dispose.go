package directory

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// dispose does with a file in the spool what `after` says.
func (sc *scan) dispose(t *taken) error {
	if !t.claimed() {
		if err := sc.setup.Memory.Remember(sc.setup.Name, t.stamp.key()); err != nil {
			return fmt.Errorf("remember file: %w", err)
		}
		return nil
	}
	// A writer with a hard link of his own can still reach it.
	now, _, err := lstat(t.lies)
	if err != nil {
		return err
	}
	if now != t.stamp {
		return errBusy
	}
	if sc.config.After == AfterDelete {
		err = os.Remove(t.lies)
	} else {
		err = sc.move(t)
	}
	if err != nil {
		return fmt.Errorf("%s file: %w", sc.config.After, err)
	}
	t.mount.tidy(t.lies)
	return nil
}

// move puts a file under its path below move_to. Where another file has that
// name, the beginning of its identity is added; where that file has the same
// bytes, one is enough.
func (sc *scan) move(t *taken) error {
	rel, err := filepath.Rel(sc.config.Path, t.path)
	if err != nil {
		return err
	}
	dir := filepath.Join(sc.config.MoveTo, filepath.Dir(rel))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range freeNames(filepath.Base(rel), tagOf([16]byte(t.rec.Identity[:16]))) {
		to := filepath.Join(dir, name)
		err := renameNew(t.lies, to)
		if errors.Is(err, unix.EXDEV) {
			err = copyOver(t.lies, to)
		}
		if errors.Is(err, fs.ErrExist) {
			if !hasBytes(to, t.rec.Identity, t.stamp.size) {
				continue
			}
			return os.Remove(t.lies)
		}
		return err
	}
	return fmt.Errorf("no free name for %s in %s", filepath.Base(rel), dir)
}

// copyOver moves a file to another file system: the copy is durable under its
// name before the original goes.
func copyOver(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "copy", Old: from, New: to, Err: fs.ErrExist}
	}
	dir := filepath.Dir(to)
	unfinished := filepath.Join(dir, ".edgespool-"+filepath.Base(to)+".part")
	err := copyDurably(from, unfinished)
	if err == nil {
		err = renameNew(unfinished, to)
	}
	if err != nil {
		_ = os.Remove(unfinished)
		return err
	}
	if err := syncFolder(dir); err != nil {
		return err
	}
	return os.Remove(from)
}

// copyDurably copies bytes and modification time.
func copyDurably(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, info.ModTime())
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // vfat and others cannot
		return err
	}
	return nil
}

// hasBytes tells whether a file has exactly these bytes.
func hasBytes(path string, sum [32]byte, size int64) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if s, regular, err := fstat(f); err != nil || !regular || s.size != size {
		return false
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return err == nil && [32]byte(h.Sum(nil)) == sum
}
