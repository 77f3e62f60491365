package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// linkedName begins the names of folders that stand for a store's.
const linkedName = "edgespool-read-"

// linkStore makes a folder in memory whose names lead to a store's files.
// Badger syncs the folder of each store that it opens, also for reading, which
// a file system that takes no writes since an error of its own refuses. What is
// on it can be read, and delivered, all the same.
func linkStore(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	place, err := memoryFolder()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	for _, d := range names {
		if d.Name() == "LOCK" {
			continue
		}
		if err := os.Symlink(filepath.Join(dir, d.Name()), filepath.Join(place, d.Name())); err != nil {
			unlinkStore(place)
			return "", fmt.Errorf("%w: %w", ErrReadOnly, err)
		}
	}
	return place, nil
}

// memoryFolder makes a folder where files are in memory, or else where they
// are temporary.
func memoryFolder() (string, error) {
	var errs []error
	for _, in := range []string{"/dev/shm", "/run", os.TempDir()} {
		place, err := os.MkdirTemp(in, linkedName)
		if err == nil {
			return place, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// unlinkStore removes such a folder, and no other.
func unlinkStore(place string) {
	if strings.HasPrefix(filepath.Base(place), linkedName) {
		_ = os.RemoveAll(place)
	}
}
