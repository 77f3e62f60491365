package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// A run is the identities of a stretch of sequences in a file that never
// changes, seen/<first>-<last>.run (both %016x), sorted by hash:
//
//	 0 magic "ESR1"   4 version u32   8 epoch of the spool   16 first u64   24 last u64
//	32 identities u32   36 pages u32   40 bytes of filter u32   44 bytes of dataset names u32
//	48 CRC-32C of all that stands before the pages, without this field   52 zeros to 64
//	64 dataset names, each ended by a zero byte; the first 4 bytes of each page's first hash;
//	   filter; zeros up to a multiple of 4096; pages
//
// A page is 186 identities of 22 bytes (16 of the hash, sequence less the
// first u32, number of the dataset u16), the last page's rest filled with
// 0xff, and the page's CRC-32C. The filter is a Bloom filter of 16 bits an
// identity and 8 probes, so that 1 lookup in 1,700 of an unknown hash reads a
// page in vain. Only filter and page index are in memory: about 2 bytes an
// identity. A run can be made again from its segments while they live.
type run struct {
	path     string
	first    uint64
	last     uint64
	count    int
	datasets []string
	pages    []uint32
	filter   []byte
	offset   int64 // of the first page
}

const (
	runMagic     = "ESR1"
	runVersion   = 1
	runHeader    = 64
	runPage      = 4096
	runIdentity  = 22
	runPerPage   = (runPage - crc32.Size) / runIdentity
	filterBits   = 16
	filterProbes = 8
)

// An identityRef is one identity with its place.
type identityRef struct {
	hash     [16]byte
	sequence uint64
	dataset  string
}

// writeRun makes the run of the identities durable. They cover the sequences
// first to last.
func writeRun(dir string, epoch, first, last uint64, refs []identityRef) (*run, error) {
	slices.SortFunc(refs, func(a, b identityRef) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	r := &run{
		path: filepath.Join(dir, fmt.Sprintf("%016x-%016x.run", first, last)), first: first, last: last, count: len(refs),
		filter: make([]byte, len(refs)*filterBits/8+8),
	}
	numbers := map[string]uint16{}
	var pages []byte
	for i, ref := range refs {
		if _, known := numbers[ref.dataset]; !known {
			if len(r.datasets) > 1<<15 {
				return nil, fmt.Errorf("write run: more than %d datasets", 1<<15)
			}
			numbers[ref.dataset] = uint16(len(r.datasets))
			r.datasets = append(r.datasets, ref.dataset)
		}
		if i%runPerPage == 0 {
			pages = closePage(pages)
			r.pages = append(r.pages, binary.BigEndian.Uint32(ref.hash[:]))
		}
		pages = append(pages, ref.hash[:]...)
		pages = binary.BigEndian.AppendUint32(pages, uint32(ref.sequence-first))
		pages = binary.BigEndian.AppendUint16(pages, numbers[ref.dataset])
		r.probe(ref.hash, func(at uint64) bool { r.filter[at/8] |= 1 << (at % 8); return true })
	}
	pages = closePage(pages)
	data := append(r.head(epoch), pages...)
	if err := writeDurably(r.path, data); err != nil {
		return nil, err
	}
	return r, nil
}

// closePage fills up the last page and adds its checksum.
func closePage(pages []byte) []byte {
	used := len(pages) % runPage
	if used == 0 {
		return pages
	}
	for range runPage - crc32.Size - used {
		pages = append(pages, 0xff)
	}
	page := pages[len(pages)-(runPage-crc32.Size):]
	return binary.BigEndian.AppendUint32(pages, crc32.Checksum(page, castagnoli))
}

// head is everything before the pages; it sets their offset.
func (r *run) head(epoch uint64) []byte {
	names := strings.Join(r.datasets, "\x00") + "\x00"
	be := binary.BigEndian
	h := make([]byte, runHeader)
	copy(h, runMagic)
	be.PutUint32(h[4:], runVersion)
	be.PutUint64(h[8:], epoch)
	be.PutUint64(h[16:], r.first)
	be.PutUint64(h[24:], r.last)
	be.PutUint32(h[32:], uint32(r.count))
	be.PutUint32(h[36:], uint32(len(r.pages)))
	be.PutUint32(h[40:], uint32(len(r.filter)))
	be.PutUint32(h[44:], uint32(len(names)))
	h = append(h, names...)
	for _, p := range r.pages {
		h = be.AppendUint32(h, p)
	}
	h = append(h, r.filter...)
	be.PutUint32(h[48:], runSum(h))
	h = append(h, make([]byte, -len(h)&(runPage-1))...)
	r.offset = int64(len(h))
	return h
}

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
	r := &run{path: path, first: be.Uint64(h[16:]), last: be.Uint64(h[24:]), count: int(be.Uint32(h[32:]))}
	r.offset = (size + runPage - 1) &^ (runPage - 1)
	if fi.Size() != r.offset+pages*runPage || filter < 8 {
		return nil, bad("it has another length than it says")
	}
	head := make([]byte, size)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("open run: %w", err)
	}
	if be.Uint32(head[48:]) != runSum(head) {
		return nil, bad("it does not match its checksum")
	}
	rest := head[runHeader:]
	r.datasets = strings.Split(strings.TrimSuffix(string(rest[:names]), "\x00"), "\x00")
	for rest = rest[names:]; int64(len(r.pages)) < pages; rest = rest[4:] {
		r.pages = append(r.pages, be.Uint32(rest))
	}
	r.filter = bytes.Clone(rest)
	return r, nil
}

// probe visits the filter's bits for a hash until visit says stop.
func (r *run) probe(h [16]byte, visit func(at uint64) bool) bool {
	a, b := binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])|1
	bits := uint64(len(r.filter)) * 8
	for range filterProbes {
		if !visit(a % bits) {
			return false
		}
		a += b
	}
	return true
}

// find returns every identity with that hash; mostly none, without a read.
func (r *run) find(h [16]byte) ([]identityRef, error) {
	maybe := r.probe(h, func(at uint64) bool { return r.filter[at/8]&(1<<(at%8)) != 0 })
	if !maybe || len(r.pages) == 0 {
		return nil, nil
	}
	key := binary.BigEndian.Uint32(h[:])
	from := sort.Search(len(r.pages), func(i int) bool { return r.pages[i] >= key })
	to := sort.Search(len(r.pages), func(i int) bool { return r.pages[i] > key })
	var found []identityRef
	err := r.each(max(from-1, 0), to, func(ref identityRef) {
		if ref.hash == h {
			found = append(found, ref)
		}
	})
	return found, err
}

// each visits the identities of the pages from one up to another.
func (r *run) each(from, to int, visit func(ref identityRef)) error {
	f, err := os.Open(r.path)
	if err != nil {
		return fmt.Errorf("read run: %w", err)
	}
	defer f.Close()
	page := make([]byte, runPage)
	for n := from; n < to; n++ {
		if _, err := f.ReadAt(page, r.offset+int64(n)*runPage); err != nil {
			return fmt.Errorf("read run %s: %w", r.path, err)
		}
		body := page[:runPage-crc32.Size]
		if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(page[len(body):]) {
			return fmt.Errorf("read run %s: %w: page %d does not match its checksum", r.path, ErrDamaged, n)
		}
		for i := 0; i < runPerPage && n*runPerPage+i < r.count; i++ {
			e := body[i*runIdentity:]
			ref := identityRef{hash: [16]byte(e[:16]), sequence: r.first + uint64(binary.BigEndian.Uint32(e[16:]))}
			if k := int(binary.BigEndian.Uint16(e[20:])); k < len(r.datasets) {
				ref.dataset = r.datasets[k]
			}
			visit(ref)
		}
	}
	return nil
}

func (r *run) covers(first, last uint64) bool { return r.first <= first && last <= r.last }
