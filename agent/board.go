package agent

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	boards "github.com/edgespool/edgespool/board-configs"
	"github.com/edgespool/edgespool/sampler/serial"
	"github.com/edgespool/edgespool/spool"
)

// Board is what is known of one board.
type Board = boards.Board

// Boards lists the boards that are known.
func Boards() []*Board { return boards.All() }

// A BoardReport says which board a machine is, and what follows from that.
type BoardReport struct {
	Board   *Board         `json:"board"`
	Known   bool           `json:"known"` // false: the board is the generic one of this GOARCH
	Because string         `json:"because"`
	Ports   []boards.Place `json:"ports"`
	// MemoryBytes is what this process may use, MemoryClass the class of the
	// spool's limits that follows.
	MemoryBytes int64         `json:"memory_bytes"`
	MemoryClass string        `json:"memory_class"`
	Warnings    []BoardAdvice `json:"warnings"`

	root     string
	consoles []string // devices that the kernel uses as its console
}

// BoardAdvice is something to mind, and what to do about it.
type BoardAdvice struct {
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// findBoard looks at the machine below root.
func findBoard(root string) *BoardReport {
	r := &BoardReport{root: root, Warnings: []BoardAdvice{}}
	r.Board, r.Because, r.Known = boards.Detect(boards.Identify(root), runtime.GOARCH)
	r.Ports, r.consoles = r.Board.Places(root)
	return r
}

// DescribeBoard looks at the machine below root: "/" for this one, or a copy
// of its /proc, /sys and /dev. It opens no port.
func DescribeBoard(root string) *BoardReport {
	r := findBoard(root)
	r.MemoryBytes = allowedMemory(root)
	r.MemoryClass = spool.Class(r.MemoryBytes)
	warn := func(_, problem, remedy string) { r.Warnings = append(r.Warnings, BoardAdvice{problem, remedy}) }
	for _, p := range r.Ports {
		if p.Console {
			r.warnOfUse(p.Device, warn)
		}
	}
	classes := []string{"small", "medium", "large"}
	if slices.Index(classes, r.MemoryClass) < slices.Index(classes, r.Board.Memory) {
		warn("", "edgespool may use less memory than this board has: the limits of a "+r.MemoryClass+" board apply",
			"raise the service's MemoryMax, or give the graphics less, if that is not meant so")
	}
	if root == "/" {
		c := spool.DefaultConfig()
		c.Warnings(warn)
	}
	return r
}

// warnOfUse says who else has a device.
func (r *BoardReport) warnOfUse(device string, warn func(field, problem, remedy string)) {
	name, p := filepath.Base(device), boards.PlaceOf(r.Ports, device)
	if p == nil {
		p = &boards.Place{Console: slices.Contains(r.consoles, device)}
	}
	switch {
	case p.Console:
		free := p.Free
		if free == "" {
			free = strings.ReplaceAll("remove console=TTY from the kernel's command line and stop serial-getty@TTY", "TTY", name)
		}
		warn("port", name+" is the console on this board ("+r.Board.Title+"): the kernel writes to it and a login may read from it", free)
	case p.UsedBy != "":
		warn("port", name+" is in use by "+p.UsedBy+" as this board is delivered", "if it still is: "+p.Free)
	}
}

// warnOfPort says what is against a configured port on this board; usb: and
// tcp: are none of it.
func (r *BoardReport) warnOfPort(c *serial.Config, warn func(field, problem, remedy string)) {
	device := boards.DeviceOf(r.root, c.Port)
	if device == "" {
		return
	}
	r.warnOfUse(device, warn)
	if p := boards.PlaceOf(r.Ports, device); p != nil && p.MaxBaud > 0 && c.Baud > p.MaxBaud {
		warn("baud", fmt.Sprintf("%d baud is more than the %d that are advised for %s of this board (%s)", c.Baud, p.MaxBaud, p.Label, r.Board.Title),
			"lower the speed if the device can, or mind the count of rejected lines")
	}
}

// tellBoard puts into the log which board this is and what of the
// configuration is against it.
func tellBoard(c *Config, root string, log *slog.Logger) {
	r := findBoard(root)
	log.Info("board", "board", r.Board.Name, "because", r.Because)
	for _, s := range c.Sources {
		if port, ok := s.Room.(*serial.Config); ok {
			r.warnOfPort(port, func(_, problem, remedy string) { log.Warn(problem, "source", s.Name, "remedy", remedy) })
		}
	}
	c.Spool.Warnings(func(_, problem, remedy string) { log.Warn(problem, "remedy", remedy) })
}
