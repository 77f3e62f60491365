package spool

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// openCopy opens a copy of a store, leaving the store as it is.
func openCopy(dir, to string, shape storeShape, faults *faultLog) (*badger.DB, error) {
	if err := os.RemoveAll(to); err != nil {
		return nil, fmt.Errorf("copy store: %w", err)
	}
	if err := copyStore(dir, to); err != nil {
		return nil, err
	}
	return openRead(to, shape, false, faults)
}

// storedShape is one in which Badger can open a store of meta: its logs fit
// whole, because they are replayed in memory.
func storedShape(dir string) storeShape {
	shape := metaShape(metaLoad{})
	names, _ := os.ReadDir(dir)
	for _, d := range names {
		fi, err := d.Info()
		switch {
		case err != nil:
		case filepath.Ext(d.Name()) == ".mem":
			shape.memTable = max(shape.memTable, fi.Size())
		case filepath.Ext(d.Name()) == ".vlog":
			shape.log = max(shape.log, fi.Size())
		}
	}
	return shape
}

// copyStore copies a store's files, leaving out stretches of zeros.
func copyStore(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	for _, d := range files {
		if d.Name() == markerName || d.IsDir() {
			continue
		}
		if err := copySparse(filepath.Join(from, d.Name()), filepath.Join(to, d.Name())); err != nil {
			return fmt.Errorf("copy store: %w", err)
		}
	}
	return nil
}

func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	var at int64
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && string(buf[:n]) != string(zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return out.Truncate(at)
		}
		if err != nil {
			return err
		}
	}
}
