package dataset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// A sourceError is a fault of the record's bytes and not of the folder.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read record: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

var (
	errUnusable = errors.New("record cannot be kept")
	errLength   = fmt.Errorf("%w: its bytes changed while they were read", errUnusable)
)

// keep writes the record under its own name, or under one with its id if
// another record has that name. No list of names is needed for that: a record
// can only ever be in one of these two places, and there says whether it did.
// The path is relative to the root, with slashes.
func (d *Destination) keep(rec *spool.Record, p *press) (name string, there bool, err error) {
	folder := folderName(rec.Dataset)
	if err := d.makeFolder(folder); err != nil {
		return "", false, err
	}
	own := uploader.FileName(rec)
	for _, file := range []string{own, withID(own, rec.ID())} {
		name = folder + "/" + file
		there, free, err := d.look(name, rec)
		if err != nil || there {
			return name, there, err
		}
		if free {
			return name, false, d.write(name, rec, p)
		}
	}
	return "", false, fmt.Errorf("%w: %s is there with other bytes", errUnusable, name)
}

func (d *Destination) makeFolder(folder string) error {
	err := os.Mkdir(filepath.Join(d.root, folder), 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("make folder of category: %w", err)
	}
	return syncFolder(d.root)
}

// look tells whether the record is under this name already, or whether the
// name is free.
func (d *Destination) look(name string, rec *spool.Record) (there, free bool, err error) {
	full := filepath.Join(d.root, filepath.FromSlash(name))
	info, err := os.Lstat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, true, nil
	case err != nil:
		return false, false, fmt.Errorf("look for %s: %w", name, err)
	case !info.Mode().IsRegular():
		return false, false, nil
	case strings.Contains(path.Base(name), rec.ID()) && rec.Kind == spool.KindWindow:
		return true, false, nil // its document may be dated or signed otherwise
	case info.Size() != rec.Body.Size():
		return false, false, nil
	}
	sum, err := fileSum(full)
	if err != nil {
		return false, false, fmt.Errorf("compare %s: %w", name, err)
	}
	return sum == rec.Body.SHA256(), false, nil
}

// write puts the bytes on the disk before the name.
func (d *Destination) write(name string, rec *spool.Record, p *press) (err error) {
	temp := filepath.Join(d.root, tempFolder, rec.ID())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temp)
		}
	}()
	n, err := d.copy(f, rec, p)
	if err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	if err = f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", name, err)
	}
	if err = os.Rename(temp, filepath.Join(d.root, filepath.FromSlash(name))); err != nil {
		return fmt.Errorf("name %s: %w", name, err)
	}
	d.written += n
	return nil
}

func (d *Destination) copy(f *os.File, rec *spool.Record, p *press) (int64, error) {
	if rec.Kind == spool.KindWindow {
		document, err := p.document(rec)
		if err != nil {
			return 0, err
		}
		n, err := f.Write(document)
		if err != nil {
			return 0, fmt.Errorf("write file: %w", err)
		}
		return int64(n), nil
	}
	body, err := rec.Body.Open()
	if err != nil {
		return 0, &sourceError{err}
	}
	defer body.Close()
	source := &sourceReader{r: body}
	n, err := io.Copy(f, source)
	switch {
	case source.err != nil:
		return n, &sourceError{source.err}
	case err != nil:
		return n, fmt.Errorf("write file: %w", err)
	case n != rec.Body.Size():
		return n, &sourceError{errLength}
	}
	return n, nil
}

// A sourceReader remembers whether it was the reading that failed.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func fileSum(full string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(full)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

func syncFolder(full string) error {
	f, err := os.Open(full)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// withID makes a name unique: recording.wav becomes recording.<id>.wav.
func withID(name, id string) string {
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if stem == "" || len(ext) > 16 {
		stem, ext = name, ""
	}
	return uploader.ShortenName(stem, uploader.MaxName-len(ext)-len(id)-1) + "." + id + ext
}

// folderName is a category as a folder; names of other datasets are tamed.
func folderName(dataset string) string {
	return uploader.ShortenName(uploader.TameName(dataset), uploader.MaxName)
}
