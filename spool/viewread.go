package spool

import (
	"fmt"
	"os"
)

// namedChunks are the chunks that a segment's keys name. Of a store that was
// not closed, those of the last commit do not count: it may not have ended. But
// the sequences up to reach, its own included, may have been acknowledged.
func namedChunks(dir string) (named map[string]block, reach uint64, damaged bool, err error) {
	newest := map[string]storedPair{}
	last, open := uint64(0), hasKeyLog(dir)
	damaged, err = scanFiles(dir, func(p storedPair) {
		last = max(last, p.version)
		if have, known := newest[string(p.key)]; !known || have.version < p.version {
			newest[string(p.key)] = storedPair{flags: p.flags, version: p.version}
		}
	}, ".sst", ".mem")
	named = map[string]block{}
	for key, p := range newest {
		head, kerr := parseChunkKey([]byte(key))
		if kerr != nil || p.flags&pairDeleted != 0 {
			continue
		}
		reach = max(reach, head.last)
		if !open || p.version != last {
			named[key] = head
		}
	}
	return named, reach, damaged, err
}

// read reads a block where it stands.
func (v *view) read(p blockPlace) (block, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return block{}, fmt.Errorf("read block: %w", err)
	}
	defer f.Close()
	data := make([]byte, p.size)
	if _, err := f.ReadAt(data, p.at); err != nil {
		return block{}, fmt.Errorf("read block: %w: %w", ErrDamaged, err)
	}
	return v.spool.codec.decode(data)
}

// holds tells whether every part of a body is there.
func (v *view) holds(p partList) bool {
	for _, run := range p.runs {
		for n := run.from; n < run.from+run.count; n++ {
			if _, ok := v.parts[string(partKey(p.id, n))]; !ok {
				return false
			}
		}
	}
	return true
}

// part reads one part of a body.
func (v *view) part(id string, number uint32) ([]byte, error) {
	place, ok := v.parts[string(partKey(id, number))]
	if !ok {
		return nil, fmt.Errorf("read part %d: %w: no segment has it", number, ErrDamaged)
	}
	b, err := v.read(place)
	return b.raw, err
}
