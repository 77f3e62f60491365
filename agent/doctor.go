package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/agent/config"
	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/directory"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataset"
)

// The grades of a Finding.
const (
	FindingOK   = "ok"
	FindingWarn = "warn"
	FindingBad  = "bad"
)

// A Finding is what an examination found at one place.
type Finding struct {
	// Where is a part of the site: clock, spool, source NAME, and so on.
	Where string `json:"where"`
	// Grade is ok, warn or bad: what works, may not, or does not.
	Grade string `json:"grade"`
	// What was found there.
	What string `json:"what"`
	// Remedy says what to do about it; empty if nothing.
	Remedy string `json:"remedy,omitempty"`
}

// probeTime is how long a destination may take to answer an examination.
const probeTime = 20 * time.Second

// Examine looks at everything that the configuration needs on this board, as
// the user that asks: rights, places, room, clock, and whether destinations
// answer and take their keys. It stores nothing anywhere. An agent may run
// meanwhile; client asks it, and may be nil.
func Examine(ctx context.Context, c *Config, client *Client, version string) []Finding {
	e := &examination{}
	if os.Geteuid() == 0 {
		e.warn("user", "asked as root, who may do everything", "ask as the user that the service runs as: sudo -u edgespool edgespool doctor")
	}
	e.clock(sampler.NewClock())
	e.spool(&c.Spool)
	for i := range c.Sources {
		e.source(&c.Sources[i])
	}
	for i := range c.Destinations {
		e.destination(ctx, &c.Destinations[i], version)
	}
	if client != nil {
		e.agent(ctx, client)
	}
	return e.found
}

type examination struct{ found []Finding }

func (e *examination) add(where, grade, what, remedy string) {
	e.found = append(e.found, Finding{where, grade, what, remedy})
}

func (e *examination) ok(where, what string)           { e.add(where, FindingOK, what, "") }
func (e *examination) warn(where, what, remedy string) { e.add(where, FindingWarn, what, remedy) }
func (e *examination) bad(where, what, remedy string)  { e.add(where, FindingBad, what, remedy) }

func (e *examination) clock(c *sampler.Clock) {
	now := time.Now().UTC().Format(time.DateTime)
	if c.Synchronised() {
		e.ok("clock", now+" UTC, synchronised")
		return
	}
	e.warn("clock", now+" UTC, and nothing vouches for it", "let systemd-timesyncd or chrony reach a time server; "+
		"until then samples carry no time, and a clock that is wrong by years fails TLS")
}

func (e *examination) spool(c *spool.Config) {
	place := existing(c.Path)
	if err := usable(place); err != nil && spool.Held(c.Path) == nil {
		e.bad("spool", err.Error(), "give the folder to the user that edgespool runs as, or name another one as spool.path")
		return
	}
	var st unix.Statfs_t
	if err := unix.Statfs(place, &st); err != nil {
		e.bad("spool", fmt.Sprintf("look at the file system of %s: %v", place, err), "check the mount")
		return
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	want := int64(c.MaxBytes) + int64(c.MinFree) - folderBytes(c.Path)
	kind, weak := fileSystem(int64(st.Type))
	what := fmt.Sprintf("%s on %s, %d MiB free", c.Path, kind, free>>20)
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		e.bad("spool", what+", mounted read-only", "mount it for writing; dmesg says whether the card has failed")
	case weak:
		e.warn("spool", what, "put it on ext4 or f2fs: what is promised about power cuts was not tried on "+kind)
	case free < want:
		e.warn("spool", fmt.Sprintf("%s, max_bytes and min_free want %d MiB", what, want>>20), "make room, or lower max_bytes: old samples go earlier than it says")
	default:
		e.ok("spool", what)
	}
}

func (e *examination) source(c *SourceConfig) {
	where := "source " + c.Name
	before := len(e.found)
	warn := func(_, problem, remedy string) { e.warn(where, problem, remedy) }
	c.Warnings(warn)
	c.Detect.Warnings(warn)
	if room, ok := c.Room.(config.Warner); ok {
		room.Warnings(warn)
	}
	if room, ok := c.Room.(*directory.Config); ok {
		if _, err := os.Stat(room.Path); err == nil && unix.Access(room.Path, unix.R_OK|unix.X_OK) != nil {
			e.bad(where, room.Path+" may not be read", "give the user that edgespool runs as the right to read it")
		} else if err == nil && room.After != directory.AfterKeep {
			if err := usable(room.Path); err != nil {
				e.bad(where, err.Error()+", so that files cannot be taken out of it", "give the user the right to write there, or write after: keep")
			}
		}
	}
	if len(e.found) == before {
		e.ok(where, "is there")
	}
}

func (e *examination) destination(ctx context.Context, c *DestinationConfig, version string) {
	where := "destination " + c.Name
	if room, ok := c.Room.(*dataset.Config); ok {
		if err := usable(existing(room.Path)); err != nil {
			e.bad(where, err.Error(), "give the user that edgespool runs as the right to write there, or mount it")
			return
		}
		e.ok(where, room.Path+" can be written")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	built, err := destinationKinds()[c.Type].build(c.Room, &Agent{version: version, clock: sampler.NewClock()})
	if err != nil {
		e.bad(where, err.Error(), "edgespool check says more")
		return
	}
	prober, ok := built.(uploader.Prober)
	if !ok {
		return
	}
	if err := prober.Probe(ctx); err != nil {
		e.bad(where, err.Error(), "check the network, the url and the key; samples wait in the spool meanwhile")
		return
	}
	e.ok(where, "answers, and does not refuse the key")
}

// agent asks the one that runs.
func (e *examination) agent(ctx context.Context, client *Client) {
	s, err := client.Status(ctx)
	if err != nil {
		e.warn("agent", err.Error(), "sudo systemctl start edgespool starts it, and journalctl -u edgespool says why it does not")
		return
	}
	e.ok("agent", fmt.Sprintf("%s runs for %v", s.Version, time.Duration(s.UptimeS)*time.Second))
	if s.Spool.Error != "" {
		e.bad("agent", "takes no samples: "+s.Spool.Error, "edgespool status says more")
	}
	for _, src := range s.Sources {
		if src.Error != "" {
			e.warn("agent", "source "+src.Name+": "+src.Error, "")
		}
	}
	for _, d := range s.Destinations {
		if d.Error != "" {
			e.warn("agent", "destination "+d.Name+": "+d.Error, "")
		}
	}
	if card := s.Spool.Card; card != nil && card.DaysLeft > 0 {
		what := fmt.Sprintf("%s lasts for %d days more at %d MiB a day", card.Name, int64(card.DaysLeft), s.Spool.WrittenPerDay>>20)
		if card.DaysLeft < 365 {
			e.warn("card", what, "raise spool.commit.interval, or take a larger or an industrial card")
		} else {
			e.ok("card", what)
		}
	}
}

// existing is the path, or the nearest folder above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

// usable says why files cannot be made in a folder.
func usable(folder string) error {
	if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s may not be written: %w", folder, err)
	}
	return nil
}

// folderBytes is what the files of a folder take.
func folderBytes(folder string) (total int64) {
	_ = filepath.WalkDir(folder, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // what may not be seen counts as nothing
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// fileSystem names a file system by its magic number (statfs(2)), and tells
// whether it is one that forgets, or that has no journal.
func fileSystem(magic int64) (name string, weak bool) {
	switch uint32(magic) {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", false
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs", false
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", false
	case unix.XFS_SUPER_MAGIC:
		return "xfs", false
	case unix.TMPFS_MAGIC:
		return "memory (tmpfs)", true
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "an overlay", true
	case unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC:
		return "FAT", true
	case unix.NFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC:
		return "a network or FUSE file system", true
	}
	return fmt.Sprintf("a file system of type %#x", uint32(magic)), false
}
