package boards

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// An Identity is what the kernel says of the machine: names by kind, those
// that say more before. A kind that it does not know is empty.
type Identity [kinds][]string

// The kinds of names: the device tree's compatible names, the most exact one
// first; its model, which firmware may write anew; and MAKER: PRODUCT by DMI.
const (
	compatible = iota
	model
	dmi
	kinds
)

var kindWords = [kinds]string{"compatible with ", "the model ", "by DMI "}

// Identify reads the device tree and DMI below root, "/" for this machine.
func Identify(root string) (id Identity) {
	add := func(kind int, prefix, names string) {
		if names != "" {
			for _, name := range strings.Split(names, "\x00") {
				id[kind] = append(id[kind], prefix+name)
			}
		}
	}
	add(compatible, "", text(root, "proc/device-tree/compatible"))
	add(model, "", text(root, "proc/device-tree/model"))
	maker := text(root, "sys/class/dmi/id/sys_vendor") + ": "
	add(dmi, maker, text(root, "sys/class/dmi/id/product_name"))
	add(dmi, maker, text(root, "sys/class/dmi/id/board_name"))
	return id
}

// text is a small file below root without the NULs and blanks around it.
func text(root, name string) string {
	t, _ := os.ReadFile(filepath.Join(root, name)) // what is not there says nothing
	return strings.Trim(string(t), "\x00 \t\r\n")
}

// Detect finds the board with that identity, and says by what. If none fits
// it is the generic one of the GOARCH, and known is false; a GOARCH without a
// generic board gets an empty one.
func Detect(id Identity, goarch string) (b *Board, because string, known bool) {
	for kind, names := range id {
		for _, name := range names {
			for _, b := range All() {
				if b.Match.fits(kind, name) {
					return b, "it is " + kindWords[kind] + strconv.Quote(name), true
				}
			}
		}
	}
	because = id.unknown()
	for _, b := range All() {
		if b.Match.Generic && b.GOARCH == goarch {
			return b, because, false
		}
	}
	return &Board{Name: "generic", Title: "unknown board", GOARCH: goarch}, because, false
}

// unknown says by what no board is known.
func (id Identity) unknown() string {
	var said []string
	for kind, names := range id {
		for _, name := range names {
			said = append(said, kindWords[kind]+strconv.Quote(name))
		}
	}
	if len(said) == 0 {
		return "this machine says nothing of itself: it has neither a device tree nor DMI"
	}
	return "no known board is " + strings.Join(said, ", ")
}

// fits tells whether any pattern is meant for a name of that kind.
func (m *Match) fits(kind int, name string) bool {
	for _, p := range [kinds][]string{m.Compatible, m.Model, m.DMI}[kind] {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return false
}
