//go:build !386 && !arm

package spool

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	cutPage   = 4096
	cutSector = 512
	cutRoot   = 1
)

// A cutDisk is a file system in memory that knows, beside what it holds, what
// of that would outlive a power cut. The bytes of a file are safe when the
// file was synced after them; a change of names, when its folder was synced.
// An fsync of a file also makes the file's own name safe, as ext4 does: with
// strict only for the files that Badger makes, else for all of them and for
// the folders above them.
type cutDisk struct {
	nodes   map[uint64]*cutNode
	last    uint64
	renames []cutRename // changes of names that are not safe yet, in order
	strict  bool
	kind    bool // a cut takes nothing
	harsh   bool // a cut takes all data that is not safe
}

type cutNode struct {
	id        uint64
	folder    bool
	parent    uint64
	name      string
	names     map[string]uint64 // of a folder
	safeNames map[string]uint64
	safeAt    cutPlace // where it is after a cut; there are no second names
	now, safe cutBytes // of a file
	changes   []cutChange
	allocated int64
}

// A cutChange is a write, or a change of length if data is nil.
type cutChange struct {
	at   int64
	data []byte
}

// A cutRename takes a name away, gives one, or both at once.
type cutRename struct {
	node     uint64
	from, to cutPlace
}

type cutPlace struct {
	folder uint64
	name   string
}

func newCutDisk(strict bool) *cutDisk {
	d := &cutDisk{nodes: map[uint64]*cutNode{}, strict: strict}
	d.add(true, 0, "")
	return d
}

func (d *cutDisk) add(folder bool, parent uint64, name string) *cutNode {
	d.last++
	n := &cutNode{id: d.last, folder: folder, parent: parent, name: name}
	if folder {
		n.names, n.safeNames = map[string]uint64{}, map[string]uint64{}
	}
	d.nodes[n.id] = n
	return n
}

func (d *cutDisk) path(n *cutNode) string {
	var parts []string
	for ; n != nil && n.id != cutRoot; n = d.nodes[n.parent] {
		parts = append(parts, n.name)
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

// create makes a file or folder under a name that is free.
func (d *cutDisk) create(folder bool, parent *cutNode, name string) *cutNode {
	n := d.add(folder, parent.id, name)
	d.rename(cutRename{node: n.id, to: cutPlace{parent.id, name}})
	return n
}

// rename changes names now and, one day, on the disk.
func (d *cutDisk) rename(r cutRename) {
	if r.from.folder != 0 {
		delete(d.nodes[r.from.folder].names, r.from.name)
	}
	if r.to.folder != 0 {
		d.nodes[r.to.folder].names[r.to.name] = r.node
		n := d.nodes[r.node]
		n.parent, n.name = r.to.folder, r.to.name
	}
	d.renames = append(d.renames, r)
}

func (d *cutDisk) change(n *cutNode, c cutChange) {
	n.now.apply(c)
	n.changes = append(n.changes, c)
}

// sync makes a file safe.
func (d *cutDisk) sync(n *cutNode) {
	for _, c := range n.changes {
		n.safe.apply(c)
	}
	n.changes = nil
	own := map[uint64]bool{n.id: !d.strict || madeByBadger(n.name)}
	for p := d.nodes[n.parent]; p != nil && !d.strict; p = d.nodes[p.parent] {
		own[p.id] = true
	}
	d.settle(func(r cutRename) bool { return own[r.node] })
}

// lose has the data of a file's changes never reach the disk, as after a sync
// that failed: the kernel has told of it once, and takes its pages for clean.
func (d *cutDisk) lose(n *cutNode) {
	for _, c := range n.changes {
		if end := c.at + int64(len(c.data)); c.data == nil || end > n.safe.size {
			n.safe.apply(cutChange{at: end})
		}
	}
	n.changes = nil
}

func madeByBadger(name string) bool {
	switch filepath.Ext(name) {
	case ".vlog", ".mem", ".sst":
		return true
	}
	return strings.HasPrefix(name, "MANIFEST") || strings.HasPrefix(name, "KEYREGISTRY") || name == "DISCARD"
}

// syncFolder makes a folder's names safe.
func (d *cutDisk) syncFolder(n *cutNode) {
	d.settle(func(r cutRename) bool { return r.from.folder == n.id || r.to.folder == n.id })
}

// settle makes some changes of names safe, and with each those before it that
// are about the same names.
func (d *cutDisk) settle(which func(r cutRename) bool) {
	chosen, places := make([]bool, len(d.renames)), map[cutPlace]bool{}
	for i, r := range slices.Backward(d.renames) {
		if chosen[i] = which(r) || places[r.from] || places[r.to]; chosen[i] {
			places[r.from], places[r.to] = r.from.folder != 0, r.to.folder != 0
		}
	}
	var rest []cutRename
	for i, r := range d.renames {
		if chosen[i] {
			d.keep(r)
		} else {
			rest = append(rest, r)
		}
	}
	d.renames = rest
}

// keep makes a change of names safe, whichever earlier ones were lost.
func (d *cutDisk) keep(r cutRename) {
	n := d.nodes[r.node]
	if r.to.folder == 0 && n.safeAt != r.from {
		return // it is not lost under a name that it had before
	}
	if was := d.nodes[n.safeAt.folder]; was != nil && was.safeNames[n.safeAt.name] == n.id {
		delete(was.safeNames, n.safeAt.name)
	}
	if n.safeAt = r.to; r.to.folder != 0 {
		d.nodes[r.to.folder].safeNames[r.to.name] = n.id
	}
}

// cut cuts the power: of what is not safe, chance decides. It tells how.
func (d *cutDisk) cut(random *rand.Rand) string {
	names := random.IntN(4)
	upTo := random.IntN(len(d.renames) + 1)
	style, changed := random.IntN(5), 0
	switch {
	case d.kind:
		names, style = 1, 1
	case d.harsh:
		names, style = 1, 0
	}
	for i, r := range d.renames {
		if names == 1 || names == 2 && i < upTo || names == 3 && random.IntN(2) == 0 {
			d.keep(r)
		}
	}
	told := fmt.Sprintf("%d changes of names: %s", len(d.renames), []string{"none", "all", "a first part", "some"}[names])
	for _, id := range slices.Sorted(maps.Keys(d.nodes)) {
		if n := d.nodes[id]; len(n.changes) > 0 {
			changed++
			n.cut(random, style)
		}
	}
	d.renames = nil
	return fmt.Sprintf("%s; %d changed files: %s", told, changed,
		[]string{"nothing", "everything", "a first part", "some sectors", "some pages"}[style])
}

// cut applies what of a file's changes the disk had come to. Changes of length
// come in order; sectors and pages in any order, whole, up to the length.
func (n *cutNode) cut(random *rand.Rand, style int) {
	upTo := random.IntN(len(n.changes) + 1)
	grain := int64(cutSector)
	if style == 4 {
		grain = cutPage
	}
	for i, c := range n.changes {
		switch {
		case style == 0:
		case style == 1 || style == 2 && i < upTo || c.data == nil && i < upTo:
			n.safe.apply(c)
		case style == 2 && i == upTo && c.data != nil: // torn at a sector
			end := (c.at + random.Int64N(int64(len(c.data))+1)) / cutSector * cutSector
			n.safe.apply(cutChange{c.at, c.data[:max(0, end-c.at)]})
		case style >= 3 && c.data != nil:
			size := n.safe.size
			for at := c.at; at < c.at+int64(len(c.data)); {
				end := min(c.at+int64(len(c.data)), (at/grain+1)*grain)
				if random.IntN(2) == 0 {
					n.safe.apply(cutChange{at, c.data[at-c.at : end-c.at]})
				}
				at = end
			}
			if i >= upTo && n.safe.size > size { // the length had not come yet
				n.safe.apply(cutChange{at: size})
			}
		}
	}
	n.changes = nil
}

// load fills the disk from a folder; everything in it is safe.
func (d *cutDisk) load(dir string) error { return d.loadInto(d.nodes[cutRoot], dir) }

func (d *cutDisk) loadInto(n *cutNode, dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range names {
		child := d.add(e.IsDir(), n.id, e.Name())
		n.names[e.Name()], n.safeNames[e.Name()] = child.id, child.id
		child.safeAt = cutPlace{n.id, e.Name()}
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = d.loadInto(child, path)
		} else if err = child.safe.load(path); err == nil {
			child.now = child.safe.clone()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// save writes what is safe to a folder.
func (d *cutDisk) save(n *cutNode, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, id := range n.safeNames {
		var err error
		if child := d.nodes[id]; child.folder {
			err = d.save(child, filepath.Join(dir, name))
		} else {
			err = child.safe.save(filepath.Join(dir, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cutBytes are a file's bytes, without its pages of zeros.
type cutBytes struct {
	size  int64
	pages map[int64]*[cutPage]byte
}

func (b *cutBytes) apply(c cutChange) {
	if c.data == nil {
		b.resize(c.at)
		return
	}
	if len(c.data) == 0 {
		return
	}
	if b.pages == nil {
		b.pages = map[int64]*[cutPage]byte{}
	}
	b.size = max(b.size, c.at+int64(len(c.data)))
	for at, rest := c.at, c.data; len(rest) > 0; {
		page := b.pages[at/cutPage]
		if page == nil {
			page = new([cutPage]byte)
			b.pages[at/cutPage] = page
		}
		n := copy(page[at%cutPage:], rest)
		at, rest = at+int64(n), rest[n:]
	}
}

func (b *cutBytes) resize(size int64) {
	if size < b.size {
		maps.DeleteFunc(b.pages, func(number int64, page *[cutPage]byte) bool {
			if start := number * cutPage; start < size && size < start+cutPage {
				clear(page[size-start:])
			}
			return number*cutPage >= size
		})
	}
	b.size = size
}

// ReadAt makes cutBytes an io.ReaderAt.
func (b *cutBytes) ReadAt(buf []byte, at int64) (int, error) {
	n := int(max(0, min(int64(len(buf)), b.size-at)))
	for done := 0; done < n; {
		offset := at + int64(done)
		part := buf[done:min(n, done+int(cutPage-offset%cutPage))]
		if page := b.pages[offset/cutPage]; page != nil {
			copy(part, page[offset%cutPage:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	if n < len(buf) {
		return n, io.EOF
	}
	return n, nil
}

func (b *cutBytes) clone() cutBytes {
	c := cutBytes{size: b.size, pages: make(map[int64]*[cutPage]byte, len(b.pages))}
	for number, page := range b.pages {
		copied := *page
		c.pages[number] = &copied
	}
	return c
}

func (b *cutBytes) load(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	zeros := string(make([]byte, cutPage))
	for at := 0; at < len(data); at += cutPage {
		if part := data[at:min(len(data), at+cutPage)]; string(part) != zeros[:len(part)] {
			b.apply(cutChange{int64(at), part})
		}
	}
	b.size = int64(len(data))
	return nil
}

func (b *cutBytes) save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for number, page := range b.pages {
		if _, err := f.WriteAt(page[:], number*cutPage); err != nil {
			return err
		}
	}
	return f.Truncate(b.size)
}
