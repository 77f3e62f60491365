// Package boards holds what is known about boards: how to recognise each one,
// its serial ports, its memory, card and clock. A board is one strict YAML
// file in this folder; the files are carried in the program, compressed.
package boards

import (
	"bytes"
	"compress/gzip"
	_ "embed" // for the packed files
	"io"
	"strings"
	"sync"

	"github.com/edgespool/edgespool/agent/config"
)

// A Board is one file of this folder. Unverified says which of its fields
// nobody has found in a public source or seen on a board.
type Board struct {
	Name   string `yaml:"name" json:"name"` // that of the file
	Title  string `yaml:"title" json:"title"`
	Match  Match  `yaml:"match" json:"-"`
	GOARCH string `yaml:"goarch" json:"goarch"`
	GOARM  int    `yaml:"goarm" json:"goarm,omitempty"` // 5, 6 or 7; 0 where it means nothing
	// Also are further builds that run on the board, as scripts/build calls
	// them: armv6 on a 64-bit board with a 32-bit system.
	Also []string `yaml:"also" json:"also,omitempty"`
	// Memory is the spool's class for the least memory that the board is sold
	// with: small, medium or large (spool.Class).
	Memory  string `yaml:"memory" json:"memory"`
	Storage string `yaml:"storage" json:"storage"` // sd, emmc, sd-emmc or disk
	Advice  string `yaml:"advice" json:"advice"`   // which storage to take or avoid
	// RTC is none, soc (forgets without power), cell (keeps time once a cell
	// is fitted) or battery.
	RTC        string   `yaml:"rtc" json:"rtc"`
	Serial     []Port   `yaml:"serial" json:"-"`
	Notes      []string `yaml:"notes" json:"notes,omitempty"`
	Sources    []string `yaml:"sources" json:"sources"`
	Unverified []string `yaml:"unverified" json:"unverified,omitempty"`

	// Text is the file as it is in this folder, comments and all.
	Text string `yaml:"-" json:"-"`
}

// Match says by what a board is known: any one pattern of these suffices. In
// a pattern * stands for any characters and ? for one, as in path.Match.
type Match struct {
	// Compatible fits a name in the device tree's root node, Model its model.
	Compatible []string `yaml:"compatible"`
	Model      []string `yaml:"model"`
	// DMI fits "MAKER: PRODUCT" as the BIOS has them, product or mainboard.
	DMI []string `yaml:"dmi"`
	// Generic is what a machine of this GOARCH is that nothing else fits.
	Generic bool `yaml:"generic"`
}

// A Port is one serial port of a board.
type Port struct {
	Label string `yaml:"label" json:"label"` // as the case or the manual has it
	// Paths are its names, the best one first: the kernel's differ between
	// releases. The first that is there counts.
	Paths []string `yaml:"paths" json:"paths"`
	Mode  string   `yaml:"mode" json:"mode"` // ttl, rs232, rs485, or multi for one that can be switched
	// Direction says who switches RS-485 between sending and receiving:
	// kernel (set by the device tree), ioctl (once asked by TIOCSRS485), auto
	// (the hardware) or tool (the board's own, see Tool).
	Direction string `yaml:"direction" json:"direction,omitempty"`
	Tool      string `yaml:"tool" json:"tool,omitempty"` // command that sets RS-485; shown, never run
	// MaxBaud is the highest speed to advise; 0 says nothing.
	MaxBaud int    `yaml:"max_baud" json:"max_baud,omitempty"`
	Console bool   `yaml:"console" json:"-"`                 // the system's console as it is delivered
	UsedBy  string `yaml:"used_by" json:"used_by,omitempty"` // what else has it as it is delivered
	Free    string `yaml:"free" json:"free,omitempty"`       // how to take it from the console or UsedBy
	Note    string `yaml:"note" json:"note,omitempty"`
}

//go:generate go test . -run TestPackedFilesAreCurrent -update

// packed holds the files of this folder, one after the other in the order of
// their names and with separator between them.
//
//go:embed boards.gz
var packed []byte

const separator = "---\n"

// unpack reads the files out of packed.
func unpack() ([]string, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(r)
	return strings.Split(string(all), separator), err
}

// parse reads one board's file.
func parse(file, text string) (*Board, error) {
	b := &Board{Text: text}
	_, err := config.Decode(b, config.File{Name: file, Text: []byte(text)})
	return b, err
}

// The boards, read once.
var (
	reading sync.Once
	list    []*Board
)

// All lists the boards by name. They are shared: change none.
func All() []*Board {
	reading.Do(func() {
		texts, err := unpack()
		for _, text := range texts {
			b, fault := parse("board", text)
			if err != nil || fault != nil {
				return // a test has seen that this cannot be
			}
			list = append(list, b)
		}
	})
	return list
}
