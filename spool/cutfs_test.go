//go:build !386 && !arm

package spool

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A cutFS serves a cutDisk to the kernel, until it freezes: from then on no
// request is answered, as on a board without power. It can also be told to
// answer some requests with an I/O error.
type cutFS struct {
	fuse.RawFileSystem
	mu     sync.Mutex
	disk   *cutDisk
	plan   cutPlan
	count  int // requests that the plan is about
	frozen bool
	told   func(what string) // that it froze
	faults []*cutFault
	space  int64
	server *fuse.Server
}

// The kinds of requests that plans and faults choose from.
const (
	opRead  = "read"
	opWrite = "write"
	opSync  = "sync"
	opName  = "name" // create, rename, remove
)

// A cutPlan says when the power goes: at a request of that kind (any that
// changes something, if empty) on a path with that in it, before or after
// it has had its effect.
type cutPlan struct {
	Op, Path string
	Nth      int // from 1; 0 means never
	After    bool
}

// A cutFault answers requests of a kind on paths of a pattern, and on bytes
// from At on up to To if that is not zero, with an I/O error. What cannot be
// read stays bad under other names.
type cutFault struct {
	Op, Path string // Path is a regular expression
	At, To   int64
	Times    int // 0 means always
	pattern  *regexp.Regexp
	bad      map[uint64]bool
	seen     int
}

func newCutFS(d *cutDisk, plan cutPlan, told func(what string)) *cutFS {
	return &cutFS{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: d, plan: plan, told: told, space: 1 << 30}
}

// freeze stops serving; when it returns, nothing has an effect any more.
func (f *cutFS) freeze(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.frozen {
		f.frozen = true
		f.told(what)
	}
}

// serve runs one request under the mutex. A request that comes in or ends
// without power is never answered.
func (f *cutFS) serve(op string, id uint64, path string, at, size int64, do func() fuse.Status) fuse.Status {
	f.mu.Lock()
	f.cutAt(op, path, false)
	status := fuse.EIO
	switch {
	case f.frozen:
	case !f.faulty(op, id, path, at, size):
		status = do()
		f.cutAt(op, path, true)
	case op == opSync:
		f.disk.lose(f.disk.nodes[id])
	}
	frozen := f.frozen
	f.mu.Unlock()
	if frozen {
		select {}
	}
	return status
}

// cutAt counts a request for the plan and cuts the power at the right one.
func (f *cutFS) cutAt(op, path string, after bool) {
	p := f.plan
	if f.frozen || op == "" || op == opRead || p.Op != "" && p.Op != op || !strings.Contains(path, p.Path) || p.After != after {
		return
	}
	if f.count++; f.count == p.Nth {
		f.frozen = true
		f.told(op + " " + path)
	}
}

// setFaults takes other faults than before, and returns how many requests had
// failed. The kernel forgets what it has of files that became bad.
func (f *cutFS) setFaults(faults []*cutFault) (hits int, err error) {
	f.mu.Lock()
	var bad []uint64
	for _, x := range faults {
		if x.pattern, err = regexp.Compile(x.Path); err != nil {
			break
		}
		x.bad = map[uint64]bool{}
		for id, n := range f.disk.nodes {
			if x.Op == opRead && !n.folder && x.pattern.MatchString(f.disk.path(n)) {
				x.bad[id] = true
				bad = append(bad, id)
			}
		}
	}
	hits = f.failed()
	f.faults = faults
	f.mu.Unlock()
	for _, id := range bad {
		if f.server != nil {
			f.server.InodeNotify(id, 0, 0)
		}
	}
	return hits, err
}

// failed counts the requests that failed; f.mu is held.
func (f *cutFS) failed() (hits int) {
	for _, x := range f.faults {
		hits += x.seen
	}
	return hits
}

func (f *cutFS) hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed()
}

func (f *cutFS) faulty(op string, id uint64, path string, at, size int64) bool {
	for _, x := range f.faults {
		hit := x.Op == op && (x.bad[id] || op != opRead && x.pattern.MatchString(path)) && (x.To == 0 || at < x.To && x.At < at+size)
		if hit && (x.Times == 0 || x.seen < x.Times) {
			x.seen++
			return true
		}
	}
	return false
}

// node finds an inode and its path; it locks for itself.
func (f *cutFS) node(id uint64) (*cutNode, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.disk.nodes[id]
	if n == nil {
		return nil, ""
	}
	return n, f.disk.path(n)
}

const cutValid = 3600 // seconds that the kernel may remember names and lengths

func (n *cutNode) attr(a *fuse.Attr) {
	a.Ino, a.Nlink, a.Mode, a.Blksize = n.id, 1, syscall.S_IFREG|0o644, cutPage
	if n.folder {
		a.Mode = syscall.S_IFDIR | 0o755
		return
	}
	a.Size = uint64(n.now.size)
	a.Blocks = uint64(max(int64(len(n.now.pages))*cutPage, n.allocated) / 512)
}

func (n *cutNode) describe(out *fuse.EntryOut) {
	out.NodeId, out.EntryValid, out.AttrValid = n.id, cutValid, cutValid
	n.attr(&out.Attr)
}

// Lookup and the other methods are a fuse.RawFileSystem's.
func (f *cutFS) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return f.serve("", 0, "", 0, 0, func() fuse.Status {
		id, ok := f.disk.nodes[in.NodeId].names[name]
		if !ok {
			return fuse.ENOENT
		}
		f.disk.nodes[id].describe(out)
		return fuse.OK
	})
}

func (f *cutFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.serve("", 0, "", 0, 0, func() fuse.Status {
		f.disk.nodes[in.NodeId].attr(&out.Attr)
		out.AttrValid = cutValid
		return fuse.OK
	})
}

func (f *cutFS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, path := f.node(in.NodeId)
	return f.serve(opWrite, in.NodeId, path, 0, 0, func() fuse.Status {
		if size, ok := in.GetSize(); ok {
			f.disk.change(n, cutChange{at: int64(size)})
			n.allocated = min(n.allocated, int64(size))
		}
		n.attr(&out.Attr)
		out.AttrValid = cutValid
		return fuse.OK
	})
}

func (f *cutFS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.create(in.NodeId, name, true, out)
}

func (f *cutFS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return f.create(in.NodeId, name, false, &out.EntryOut)
}

func (f *cutFS) create(parent uint64, name string, folder bool, out *fuse.EntryOut) fuse.Status {
	p, path := f.node(parent)
	return f.serve(opName, parent, path+"/"+name, 0, 0, func() fuse.Status {
		if _, there := p.names[name]; there {
			return fuse.Status(syscall.EEXIST)
		}
		f.disk.create(folder, p, name).describe(out)
		return fuse.OK
	})
}

func (f *cutFS) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return f.remove(in.NodeId, name)
}

func (f *cutFS) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return f.remove(in.NodeId, name)
}

func (f *cutFS) remove(parent uint64, name string) fuse.Status {
	p, path := f.node(parent)
	return f.serve(opName, parent, path+"/"+name, 0, 0, func() fuse.Status {
		id, ok := p.names[name]
		if !ok {
			return fuse.ENOENT
		}
		if len(f.disk.nodes[id].names) > 0 {
			return fuse.Status(syscall.ENOTEMPTY)
		}
		f.disk.rename(cutRename{node: id, from: cutPlace{parent, name}})
		return fuse.OK
	})
}

func (f *cutFS) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	p, path := f.node(in.NodeId)
	return f.serve(opName, in.NodeId, path+"/"+from, 0, 0, func() fuse.Status {
		id, ok := p.names[from]
		if !ok {
			return fuse.ENOENT
		}
		f.disk.rename(cutRename{node: id, from: cutPlace{in.NodeId, from}, to: cutPlace{in.Newdir, to}})
		return fuse.OK
	})
}

func (f *cutFS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return f.serve("", 0, "", 0, 0, func() fuse.Status { return fuse.OK })
}

func (f *cutFS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (result fuse.ReadResult, status fuse.Status) {
	n, path := f.node(in.NodeId)
	status = f.serve(opRead, in.NodeId, path, int64(in.Offset), int64(in.Size), func() fuse.Status {
		got, _ := n.now.ReadAt(buf[:min(len(buf), int(in.Size))], int64(in.Offset))
		result = fuse.ReadResultData(buf[:got])
		return fuse.OK
	})
	return result, status
}

func (f *cutFS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (written uint32, status fuse.Status) {
	n, path := f.node(in.NodeId)
	status = f.serve(opWrite, in.NodeId, path, int64(in.Offset), int64(len(data)), func() fuse.Status {
		f.disk.change(n, cutChange{int64(in.Offset), slices.Clone(data)})
		return fuse.OK
	})
	return uint32(len(data)), status
}

func (f *cutFS) Flush(_ <-chan struct{}, _ *fuse.FlushIn) fuse.Status { return fuse.OK }

func (f *cutFS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, path := f.node(in.NodeId)
	return f.serve(opSync, in.NodeId, path, 0, 0, func() fuse.Status { f.disk.sync(n); return fuse.OK })
}

func (f *cutFS) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, path := f.node(in.NodeId)
	return f.serve(opSync, in.NodeId, path, 0, 0, func() fuse.Status { f.disk.syncFolder(n); return fuse.OK })
}

func (f *cutFS) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	n, path := f.node(in.NodeId)
	const keepSize = 1 // FALLOC_FL_KEEP_SIZE
	if in.Mode != keepSize {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return f.serve(opWrite, in.NodeId, path, 0, 0, func() fuse.Status {
		n.allocated = max(n.allocated, int64(in.Offset+in.Length))
		return fuse.OK
	})
}

func (f *cutFS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return f.serve("", 0, "", 0, 0, func() fuse.Status { return fuse.OK })
}

func (f *cutFS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.serve("", 0, "", 0, 0, func() fuse.Status {
		n := f.disk.nodes[in.NodeId]
		for _, id := range slices.Sorted(maps.Values(n.names)) { // by number, so that removing does not move others
			if id <= in.Offset {
				continue
			}
			var a fuse.Attr
			f.disk.nodes[id].attr(&a)
			if !out.AddDirEntry(fuse.DirEntry{Mode: a.Mode, Name: f.disk.nodes[id].name, Ino: id, Off: id}) {
				break
			}
		}
		return fuse.OK
	})
}

func (f *cutFS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return f.serve("", 0, "", 0, 0, func() fuse.Status {
		out.Bsize, out.Frsize, out.NameLen = cutPage, cutPage, 255
		out.Blocks, out.Bfree, out.Bavail = uint64(2*f.space)/cutPage, uint64(f.space)/cutPage, uint64(f.space)/cutPage
		return fuse.OK
	})
}

// mountCutFS mounts the file system; it is served until the process ends.
func mountCutFS(f *cutFS, at string) error {
	server, err := fuse.NewServer(f, at, &fuse.MountOptions{
		DirectMountStrict: true, FsName: "cutfs", Name: "cutfs", MaxWrite: 1 << 20, DisableXAttrs: true,
		DisableReadDirPlus: true, ExplicitDataCacheControl: true,
	})
	if err != nil {
		return err
	}
	f.server = server
	go server.Serve()
	done := make(chan error, 1)
	go func() { done <- server.WaitMount() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		return syscall.ETIMEDOUT
	}
}
