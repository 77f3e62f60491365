package directory

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A stamp tells one version of a file from every other. The change time is
// in it because nobody can set it: cp -p brings old modification times along.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns
}

// lstat stamps what lies at path; regular is false for all but plain files.
func lstat(path string) (s stamp, regular bool, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return stamp{}, false, &fs.PathError{Op: "look at", Path: path, Err: err}
	}
	return stampOf(&st), st.Mode&unix.S_IFMT == unix.S_IFREG, nil
}

// gone tells that nothing lies at path any more.
func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// fstat stamps an open file.
func fstat(f *os.File) (s stamp, regular bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return stamp{}, false, &fs.PathError{Op: "look at", Path: f.Name(), Err: err}
	}
	return stampOf(&st), st.Mode&unix.S_IFMT == unix.S_IFREG, nil
}

func stampOf(st *unix.Stat_t) stamp {
	// The fields differ in width between the architectures.
	return stamp{
		dev: uint64(st.Dev), ino: uint64(st.Ino), size: int64(st.Size), //nolint:unconvert
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}

// sameBytes tells whether nothing was written between the two stamps; a
// rename in between is allowed, and changes the change time.
func (s stamp) sameBytes(o stamp) bool {
	s.ctime = o.ctime
	return s == o
}

// key is how Memory knows this version of the file.
func (s stamp) key() [16]byte {
	var b [32]byte
	for i, v := range [4]uint64{s.dev, s.ino, uint64(s.size), uint64(s.ctime)} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	sum := sha256.Sum256(b[:])
	return [16]byte(sum[:16])
}

// A whereabouts tells a folder from another one at the same path: replaced
// (the inode number may be used again, the time of birth is not), or hidden
// by a file system mounted over it. Kernels before 5.8 do not tell the mount;
// the device number does for all but bind mounts.
type whereabouts struct {
	dev, ino, mount uint64
	born            unix.StatxTimestamp
}

func locate(path string) (whereabouts, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return whereabouts{}, &fs.PathError{Op: "open folder", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return whereabouts{}, &fs.PathError{Op: "open folder", Path: path, Err: unix.ENOTDIR}
	}
	s := stampOf(&st)
	w := whereabouts{dev: s.dev, ino: s.ino}
	var x unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID|unix.STATX_BTIME, &x) == nil {
		if x.Mask&unix.STATX_MNT_ID != 0 {
			w.mount = x.Mnt_id
		}
		if x.Mask&unix.STATX_BTIME != 0 {
			w.born = x.Btime
		}
	}
	return w, nil
}

// sameMount tells whether a rename between the two folders can work.
func (w whereabouts) sameMount(o whereabouts) bool { return w.dev == o.dev && w.mount == o.mount }

// mayWrite tells whether files can be renamed out of a folder, as far as
// that can be known without trying.
func mayWrite(path string) bool { return unix.Access(path, unix.W_OK|unix.X_OK) == nil }

// forbidden tells errors of a folder that we may not change.
func forbidden(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}
