package directory

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A taken file is on its way into the spool.
type taken struct {
	candidate
	lies  string // where it lies now: its path, or claimed
	stamp stamp  // as it lies there
	stuck error  // why it could not be claimed and stays
	// repeat: the spool has it, and nothing is to be appended.
	repeat bool
	rec    spool.Record
}

// claimed tells whether the file was taken away from its path.
func (t *taken) claimed() bool { return t.lies != t.path }

// smallRepeat is the length in bytes up to which handing over a file again
// costs the spool no write.
const smallRepeat = 64 << 10

// errSpool marks errors that are the spool's and not a file's.
var errSpool = errors.New("hand file to the spool")

// take opens, claims, reads and stages one file. Whatever the error, the file
// is back at its path; errBusy means that it was not finished after all.
func (sc *scan) take(sink sampler.Sink, c candidate) (*taken, error) {
	what, err := sc.said(c.path)
	if err != nil {
		return nil, err
	}
	f, err := sc.openSettled(c.path, c.known)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &taken{candidate: c, lies: c.path, stamp: c.stamp}
	if err := sc.claim(f, t); err != nil {
		return nil, err
	}
	err = sc.read(sink, f, t, what)
	if err == nil {
		return t, nil
	}
	var refused *refusal
	if errors.As(err, &refused) && sc.quiet(f, t) == nil {
		return nil, sc.setAside(t, refused)
	} else if refused != nil {
		err = errBusy // it may be good when it is finished
	}
	sc.putBack(t)
	return nil, err
}

// quiet tells that the file is as it was and that nobody writes to it, as
// far as can be known.
func (sc *scan) quiet(f *os.File, t *taken) error {
	if err := sc.unwritten(f, t.stamp); err != nil && !errors.Is(err, errNoLease) {
		return err
	}
	return nil
}

// claim renames the file out of everybody's reach, if it may be renamed at
// all, and makes sure that it is the one that was opened.
func (sc *scan) claim(f *os.File, t *taken) error {
	if t.stays {
		return nil
	}
	lies, err := t.mount.claim(t.path)
	if forbidden(err) {
		// It cannot be deleted or moved either: take it and leave it there.
		if sc.setup.Memory.Remembered(sc.setup.Name, t.stamp.key()) {
			return err
		}
		t.stays, t.stuck = true, err
		return nil
	}
	if err != nil {
		return err
	}
	t.lies = lies
	at, _, err := lstat(lies)
	if err == nil && !at.sameBytes(t.stamp) {
		err = errBusy
	}
	if err == nil {
		t.stamp = at
		err = sc.quiet(f, t) // asked again: now nobody new can open it
	}
	if err != nil {
		sc.putBack(t)
	}
	return err
}

// read hashes, checks and stages the file, and makes sure that nobody wrote
// to it meanwhile.
func (sc *scan) read(sink sampler.Sink, f *os.File, t *taken, what Said) error {
	if err := checkOutside(t.path, t.stamp.size); err != nil {
		return err
	}
	sum, err := sc.hash(f)
	if err != nil {
		return err
	}
	rec := spool.Record{
		Kind: spool.KindFile, Identity: sum, SHA256: sum, Source: sc.setup.Name, Size: t.stamp.size,
		Time: sc.setup.Clock.Now(), DeviceName: sc.setup.Device.Name, DeviceType: sc.setup.Device.Type,
	}
	choice, _, _ := sc.setup.Labelling.Now()
	if err := sc.describe(&rec, t.path, what, choice); err != nil {
		return err
	}
	if sequence, known := sink.Seen(sum); known {
		// The receipt of a repeat tells when the first one is durable, which
		// must be before the file goes. One that stays can do without, so a
		// large one is not handed over again.
		if t.repeat = t.stays && t.stamp.size > smallRepeat; t.repeat {
			rec.Sequence = sequence
		}
		rec.Body = knownBody{path: t.lies, size: t.stamp.size, sum: sum}
	} else if rec.Body, err = sc.stage(sink, f, t, what); err != nil {
		return err
	}
	if rec.Body.SHA256() != sum || rec.Body.Size() != t.stamp.size {
		return errBusy
	}
	t.rec = rec
	return sc.quiet(f, t)
}

func (sc *scan) hash(f *os.File) (sum [32]byte, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, sc.reader(f)); err != nil {
		return sum, fmt.Errorf("read file: %w", err)
	}
	return [32]byte(h.Sum(nil)), nil
}

// stage checks a file that the spool does not know and hands over its bytes.
func (sc *scan) stage(sink sampler.Sink, f *os.File, t *taken, what Said) (spool.Body, error) {
	if err := checkInside(t.path, t.stamp.size, sc.reader(f), what.Segments); err != nil {
		return nil, err
	}
	r := sc.reader(f)
	body, err := sink.Stage(sc.ctx, &sizedReader{r, t.stamp.size}, sampler.MaxBody)
	if err != nil && r.err == nil && !errors.Is(err, spool.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", errSpool, err)
	}
	return body, err
}

// reader reads the file from its first byte, until ctx ends.
func (sc *scan) reader(f *os.File) *fileReader {
	return &fileReader{ctx: sc.ctx, r: io.NewSectionReader(f, 0, sampler.MaxBody), beat: sc.setup.Progress.Beat}
}

// A sizedReader tells the sink how much will come, so that nothing of a file is
// written that would be refused in the end.
type sizedReader struct {
	*fileReader
	size int64
}

// Size is the length of the file.
func (r *sizedReader) Size() int64 { return r.size }

// A fileReader remembers its error, to tell a file that cannot be read from a
// spool that cannot be written.
type fileReader struct {
	ctx  context.Context
	r    io.Reader
	beat func() // a large file may take minutes
	err  error
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.beat()
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// A knownBody is a file whose bytes the spool has already: it is appended so
// that the receipt tells its sequence and whether its label is another one.
type knownBody struct {
	path string
	size int64
	sum  [32]byte
}

func (b knownBody) Size() int64                  { return b.size }
func (b knownBody) SHA256() [32]byte             { return b.sum }
func (b knownBody) Open() (io.ReadCloser, error) { return os.Open(b.path) }
