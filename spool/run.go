package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
)

// A run is the identities of a stretch of sequences in a file that never
// changes, seen/<first>-<last>.run (both %016x), sorted by hash; until it is
// durable it is called <first>-<last>.new.run, and a start looks through it:
//
//	 0 magic "ESR1"   4 version u32   8 epoch of the spool   16 first u64   24 last u64
//	32 identities u32   36 pages u32   40 bytes of filter u32   44 bytes of dataset names u32
//	48 CRC-32C of all that stands before the pages, without this field   52 zeros to 64
//	64 dataset names, each with its length in a byte before it; the first 4 bytes of each
//	   page's first hash; filter; zeros up to a multiple of 4096; pages
//
// A page is 227 identities of 18 bytes (12 of the hash, sequence less the
// first u32, number of the dataset u16), the last page's rest filled with
// 0xff, and the page's CRC-32C. The filter is a Bloom filter of 16 bits an
// identity and 8 probes, so that 1 lookup in 1,700 of an unknown hash reads a
// page in vain. Only filter and page index are in memory. A run can be made
// again from its segments while they live.
//
// Why files of this kind: a Badger with a row for each of a million identities
// wrote 200 to 474 device bytes for each and kept 12 to 100 MB in memory,
// because random keys are compacted again and again. Here it is 24 device
// bytes at 8192 identities a segment, 28 at 4096, 35 at 2048 and 56 at 768 (55
// at 2048 where runs are merged), with blocks of 4 KiB and all written back
// before the next segment (TestIndexWear), 2.1 bytes of memory and 20.3 of
// the disk (TestIndexOfAMillion). A million in 88 runs answer for an unknown
// identity in 5 µs, 1 in 20 of them with a page read in vain, and for a known
// one in 8 µs (BenchmarkIndex).
//
// Why they are made durable late: a sync of its own for each run had the file
// system's journal write 82 device bytes an identity at 768 a segment.
type run struct {
	path     string
	first    uint64
	last     uint64
	count    int
	datasets []string
	pages    []uint32
	filter   []byte
	offset   int64       // of the first page
	bad      atomic.Bool // a page of it could not be read
}

const (
	runMagic     = "ESR1"
	runVersion   = 3 // 1 ended the names of datasets by zeros, 2 had 16 bytes of a hash
	runHeader    = 64
	runPage      = 4096
	runIdentity  = hashSize + 4 + 2
	runPerPage   = (runPage - crc32.Size) / runIdentity
	filterBits   = 16
	filterProbes = 8
)

// An identityRef is one identity with its place.
type identityRef struct {
	hash     [hashSize]byte
	sequence uint64
	dataset  string
}

// head is everything before the pages.
func (r *run) head(epoch uint64) []byte {
	be := binary.BigEndian
	h := make([]byte, runHeader, r.offset)
	copy(h, runMagic)
	be.PutUint32(h[4:], runVersion)
	be.PutUint64(h[8:], epoch)
	be.PutUint64(h[16:], r.first)
	be.PutUint64(h[24:], r.last)
	be.PutUint32(h[32:], uint32(r.count))
	be.PutUint32(h[36:], uint32(len(r.pages)))
	be.PutUint32(h[40:], uint32(len(r.filter)))
	be.PutUint32(h[44:], uint32(namesSize(r.datasets)))
	for _, name := range r.datasets {
		h = append(append(h, byte(len(name))), name...)
	}
	for _, p := range r.pages {
		h = be.AppendUint32(h, p)
	}
	h = append(h, r.filter...)
	be.PutUint32(h[48:], runSum(h))
	return h
}

func namesSize(names []string) int {
	size := 0
	for _, name := range names {
		size += 1 + len(name)
	}
	return size
}

// pagesAt is where the pages begin behind so much of a head.
func pagesAt(size int64) int64 { return (size + runPage - 1) &^ (runPage - 1) }

func runSum(head []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, head[:48]), castagnoli, head[52:])
}

// openRun reads what of a run is kept in memory.
func openRun(path string, epoch uint64) (*run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open run: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open run: %w", err)
	}
	bad := func(what string) error { return fmt.Errorf("open run %s: %w: %s", path, ErrDamaged, what) }
	h := make([]byte, runHeader)
	if _, err := f.ReadAt(h, 0); err != nil {
		return nil, bad("it is cut short")
	}
	be := binary.BigEndian
	if string(h[:4]) != runMagic || be.Uint32(h[4:]) != runVersion || be.Uint64(h[8:]) != epoch {
		return nil, bad("it is of another version or spool")
	}
	pages, filter, names := int64(be.Uint32(h[36:])), int64(be.Uint32(h[40:])), int64(be.Uint32(h[44:]))
	size := runHeader + names + 4*pages + filter
	r := &run{path: path, first: be.Uint64(h[16:]), last: be.Uint64(h[24:]), count: int(be.Uint32(h[32:])), offset: pagesAt(size)}
	if fi.Size() != r.offset+pages*runPage || filter < 8 || pages != (int64(r.count)+runPerPage-1)/runPerPage {
		return nil, bad("it has another length than it says")
	}
	head := make([]byte, size)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("open run: %w", err)
	}
	if be.Uint32(head[48:]) != runSum(head) {
		return nil, bad("it does not match its checksum")
	}
	for rest := head[runHeader : runHeader+names]; len(rest) > 0; {
		n := 1 + int(rest[0])
		if n > len(rest) {
			return nil, bad("its names do not fit")
		}
		r.datasets = append(r.datasets, string(rest[1:n]))
		rest = rest[n:]
	}
	rest := head[runHeader+names:]
	for r.pages = make([]uint32, 0, pages); int64(len(r.pages)) < pages; rest = rest[4:] {
		r.pages = append(r.pages, be.Uint32(rest))
	}
	r.filter = slices.Clone(rest)
	return r, nil
}

// probe visits the filter's bits for a hash until visit says stop. It needs no
// division, which 32-bit boards do in software.
func (r *run) probe(h [hashSize]byte, visit func(at uint32) bool) bool {
	a, b := binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])|1
	bits := uint64(len(r.filter)) * 8
	for range filterProbes {
		if !visit(uint32(uint64(a) * bits >> 32)) {
			return false
		}
		a += b
	}
	return true
}

// maybe tells whether the filter lets the hash pass.
func (r *run) maybe(h [hashSize]byte) bool {
	return r.probe(h, func(at uint32) bool { return r.filter[at/8]&(1<<(at%8)) != 0 })
}

// find returns every identity with that hash; mostly none, without a read.
// page is memory for one page.
func (r *run) find(h [hashSize]byte, page []byte) ([]identityRef, error) {
	if !r.maybe(h) {
		return nil, nil
	}
	key := binary.BigEndian.Uint32(h[:])
	from := sort.Search(len(r.pages), func(i int) bool { return r.pages[i] >= key })
	to := sort.Search(len(r.pages), func(i int) bool { return r.pages[i] > key })
	f, err := os.Open(r.path)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	defer f.Close()
	var found []identityRef
	var damage error
	for n := max(from-1, 0); n < to; n++ {
		if err := r.read(f, n, page); err != nil {
			damage = err // what another page says still counts
			continue
		}
		in := r.in(n)
		for i := sort.Search(in, func(i int) bool { return string(page[i*runIdentity:][:hashSize]) >= string(h[:]) }); i < in; i++ {
			ref := r.identity(page, i)
			if ref.hash != h {
				break
			}
			found = append(found, ref)
		}
	}
	return found, damage
}

// in is the number of identities in a page.
func (r *run) in(page int) int { return min(runPerPage, r.count-page*runPerPage) }

// read reads and checks one page.
func (r *run) read(f io.ReaderAt, n int, page []byte) error {
	if _, err := f.ReadAt(page, r.offset+int64(n)*runPage); err != nil {
		return fmt.Errorf("read run %s: %w", r.path, err)
	}
	if body := page[:runPage-crc32.Size]; crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(page[len(body):]) {
		return fmt.Errorf("read run %s: %w: page %d does not match its checksum", r.path, ErrDamaged, n)
	}
	return nil
}

// identity takes one identity out of a page.
func (r *run) identity(page []byte, i int) identityRef {
	e := page[i*runIdentity:]
	ref := identityRef{hash: [hashSize]byte(e), sequence: r.first + uint64(binary.BigEndian.Uint32(e[hashSize:]))}
	if k := int(binary.BigEndian.Uint16(e[hashSize+4:])); k < len(r.datasets) {
		ref.dataset = r.datasets[k]
	}
	return ref
}

// loose tells whether a power cut can spoil the run.
func (r *run) loose() bool { return strings.HasSuffix(r.path, looseRun) }

// check reads all pages.
func (r *run) check() error {
	f, err := os.Open(r.path)
	if err != nil {
		return fmt.Errorf("read run: %w", err)
	}
	defer f.Close()
	page := make([]byte, runPage)
	for n := range r.pages {
		if err := r.read(f, n, page); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) covers(first, last uint64) bool { return r.first <= first && last <= r.last }

// disk is what the file takes.
func (r *run) disk() int64 { return r.offset + int64(len(r.pages))*runPage }
