package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// formatVersion is the version of the folder.
const formatVersion = 1

// errFormat: the FORMAT file does not say what it should.
var errFormat = fmt.Errorf("%w: FORMAT cannot be read", ErrDamaged)

// formatText is the FORMAT file: three lines, and their CRC-32C in a fourth,
// so that a flipped digit is neither another spool nor a newer version.
func formatText(epoch uint64) []byte {
	text := fmt.Appendf(nil, "edgespool spool\nversion %d\nepoch %016x\n", formatVersion, epoch)
	return fmt.Appendf(text, "crc32c %08x\n", crc32.Checksum(text, castagnoli))
}

// parseFormat reads a FORMAT file. One of a newer version counts as such only
// if its checksum is right.
func parseFormat(text []byte) (epoch uint64, err error) {
	var version int
	var sum uint32
	n, _ := fmt.Sscanf(string(text), "edgespool spool\nversion %d\nepoch %x\ncrc32c %x\n", &version, &epoch, &sum)
	const last = len("crc32c 00000000\n")
	if n != 3 || len(text) < last || crc32.Checksum(text[:len(text)-last], castagnoli) != sum {
		return 0, errFormat
	}
	if version > formatVersion {
		return 0, fmt.Errorf("version %d: %w", version, ErrNewer)
	}
	return epoch, nil
}

// readFormat gives the spool's epoch, which marks its own blocks; see block.
// Where FORMAT is gone or damaged the blocks themselves say what it is.
// found: FORMAT did not have to be asked twice.
func readFormat(path string) (epoch uint64, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(path, "FORMAT"))
	if err != nil && isDiskFault(err) {
		return 0, false, fmt.Errorf("read format: %w", err)
	}
	if err == nil {
		epoch, err = parseFormat(text)
		if err == nil || errors.Is(err, ErrNewer) {
			return epoch, true, wrapFormat(path, err)
		}
	}
	missing := errors.Is(err, fs.ErrNotExist)
	epoch, known, err := epochOfBlocks(path)
	switch {
	case err != nil:
		return 0, false, wrapFormat(path, err)
	case known:
		return epoch, false, nil
	case missing:
		return 0, false, fs.ErrNotExist
	}
	return 0, false, wrapFormat(path, errFormat)
}

func wrapFormat(path string, err error) error {
	if err != nil {
		err = fmt.Errorf("read format of %s: %w", path, err)
	}
	return err
}

// epochOfBlocks asks the first whole block of the oldest segment that has one.
// It stands where the value log has it, so that a block inside of somebody's
// payload is not asked.
func epochOfBlocks(path string) (epoch uint64, known bool, err error) {
	logs, err := filepath.Glob(filepath.Join(path, "seg", "*", "*.vlog"))
	if err != nil {
		return 0, false, err
	}
	for _, log := range logs {
		epoch, known, err := firstEpoch(log)
		if known || errors.Is(err, ErrNewer) {
			return epoch, known, err
		}
	}
	return 0, false, nil
}

// firstEpoch is the epoch of the first whole block of a value log.
func firstEpoch(path string) (epoch uint64, known bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	any := &codec{anyEpoch: true}
	stop := errors.New("found")
	_, err = placeBlocks(f, any, logKind{}, func(b block, _ []byte, _ int64) error {
		epoch, known = b.epoch, true
		return stop
	})
	if known {
		err = nil
	}
	return epoch, known, err
}

// loadFormat brings back the epoch, or makes one for a new spool, and leaves a
// whole FORMAT behind.
func (s *Spool) loadFormat() (epoch uint64, err error) {
	epoch, found, err := readFormat(s.conf.Path)
	path := filepath.Join(s.conf.Path, "FORMAT")
	switch {
	case err == nil && found:
		return epoch, nil
	case errors.Is(err, fs.ErrNotExist):
		epoch = newEpoch()
		return epoch, writeDurably(path, formatText(epoch))
	case errors.Is(err, errFormat): // and no block can be read either
		epoch = newEpoch()
	case err != nil:
		return 0, err
	}
	if _, serr := os.Lstat(path); serr == nil {
		if err := s.setAside(path, errFormat); err != nil {
			return 0, err
		}
	}
	s.log.Warn("FORMAT was written anew", "epoch", fmt.Sprintf("%016x", epoch))
	return epoch, writeDurably(path, formatText(epoch))
}

func newEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint64(b[:])
}
