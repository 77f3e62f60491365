package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Salvage visits every record that can still be read, body and all, of a whole
// spool and its quarantine, or of one store or file of those: a segment, a
// store that was set aside, a damaged chunk. It needs nothing of the folder but
// value logs with whole blocks, changes nothing, and works beside an agent. A
// record that is there more than once is visited once. Bodies stay readable
// until Salvage returns.
func Salvage(ctx context.Context, path string, visit func(Record) error) error {
	known := map[[32]byte]bool{}
	once := func(r Record) error {
		if known[r.Identity] {
			return nil
		}
		known[r.Identity] = true
		return visit(r)
	}
	whole, err := isSpool(path)
	if err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	root := path
	if !whole { // a part of a spool finds the rest of its large bodies there
		root = filepath.Dir(filepath.Dir(path))
	}
	v, err := openView(root, true)
	if err != nil && whole {
		return err
	}
	if err != nil {
		if v, err = viewAlone(path); err != nil {
			return err
		}
	}
	defer v.close()
	if !whole {
		return v.salvageStore(ctx, path, once)
	}
	for _, st := range v.stores {
		if err := v.salvageRecords(ctx, st, once); err != nil {
			return err
		}
	}
	names, _ := os.ReadDir(filepath.Join(path, "quarantine"))
	for _, d := range names {
		if err := v.salvageStore(ctx, filepath.Join(path, "quarantine", d.Name()), once); err != nil {
			return err
		}
	}
	return nil
}

// isSpool tells a spool's folder from a store's or a file.
func isSpool(path string) (bool, error) {
	if _, err := os.Stat(path); err != nil {
		return false, err
	}
	_, err := os.Stat(filepath.Join(path, "seg"))
	return err == nil, nil
}

// viewAlone is for a store that was taken out of its spool.
func viewAlone(path string) (*view, error) {
	logs, err := filepath.Glob(filepath.Join(path, "*.vlog"))
	if err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	for _, log := range logs {
		epoch, known, err := firstEpoch(log)
		if errors.Is(err, ErrNewer) {
			return nil, err
		}
		if known {
			v := &view{path: path, parts: map[string]blockPlace{}, spool: newSpool(Config{Path: path}.withDefaults())}
			v.spool.codec, err = newCodec(epoch)
			return v, err
		}
	}
	return nil, fmt.Errorf("salvage %s: %w: no whole block of a spool is in it", path, ErrDamaged)
}

// salvageStore visits the records of a store anywhere, or of a damaged chunk
// that was set aside.
func (v *view) salvageStore(ctx context.Context, path string, visit func(Record) error) error {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // an agent let it go meanwhile
	case err != nil:
		return fmt.Errorf("salvage: %w", err)
	case !fi.IsDir():
		return v.salvageChunk(path, visit)
	}
	st := &viewedStore{dir: path}
	if err := v.look(st, math.MaxUint64); err != nil {
		return fmt.Errorf("salvage %s: %w", path, err)
	}
	return v.salvageRecords(ctx, st, visit)
}

func (v *view) salvageRecords(ctx context.Context, st *viewedStore, visit func(Record) error) error {
	buf := make([]byte, 32<<10)
	return v.walkStore(ctx, st, func(rec *stored) error {
		if err := v.readWhole(ctx, rec, buf); err != nil {
			return ctx.Err() // it is not readable
		}
		r, err := v.record(rec)
		if err != nil {
			return nil
		}
		return visit(r)
	}, nil)
}

// salvageChunk visits the records of a damaged chunk whose bodies match the
// hashes in their envelopes: those that the damage did not meet.
func (v *view) salvageChunk(path string, visit func(Record) error) error {
	if !strings.Contains(filepath.Base(path), ".chunk-") {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	b, err := v.spool.codec.unpackHarmed(data)
	if err != nil {
		return nil
	}
	recs, _ := readRecords(&b)
	for i := range recs {
		r, err := v.record(&recs[i])
		if err != nil || recs[i].parts.id != "" || sha256Sum(recs[i].inline) != r.SHA256 {
			continue
		}
		if err := visit(r); err != nil {
			return err
		}
	}
	return nil
}
