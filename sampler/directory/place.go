package directory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// renameNew renames without ever replacing a file: fs.ErrExist then.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// The file system or the kernel cannot: look first instead.
		if _, err := os.Lstat(to); err == nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
		}
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// tagOf makes a name's tag of an identity or of a file's key.
func tagOf(hash [16]byte) string { return hex.EncodeToString(hash[:6]) }

// freeNames are the names to try for a file in a folder where others may
// have its name: its own, one with its tag, and numbered ones.
func freeNames(name, tag string) []string {
	names := []string{name, withTag(name, tag)}
	for n := 2; n < 10; n++ {
		names = append(names, withTag(name, tag+"-"+strconv.Itoa(n)))
	}
	return names
}

// place renames a file into dir under the first free name.
func place(from, dir, name, tag string) (string, error) {
	for _, n := range freeNames(name, tag) {
		to := filepath.Join(dir, n)
		err := renameNew(from, to)
		if !errors.Is(err, fs.ErrExist) {
			return to, err
		}
	}
	return "", fmt.Errorf("no free name for %s in %s", name, dir)
}
