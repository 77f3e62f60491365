package boards

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An Identity is what the kernel says of the machine; what it does not say is
// empty.
type Identity struct {
	Compatible []string `json:"compatible,omitempty"` // of the device tree's root, the most exact first
	Model      string   `json:"model,omitempty"`      // of the device tree
	Vendor     string   `json:"vendor,omitempty"`     // by DMI, as are the next two
	Product    string   `json:"product,omitempty"`
	Mainboard  string   `json:"mainboard,omitempty"`
}

// Identify reads the device tree and DMI below root, "/" for this machine.
func Identify(root string) Identity {
	dmi := func(name string) string { return text(root, "sys/class/dmi/id/"+name) }
	id := Identity{Model: text(root, "proc/device-tree/model"), Vendor: dmi("sys_vendor"), Product: dmi("product_name"), Mainboard: dmi("board_name")}
	for name := range strings.SplitSeq(text(root, "proc/device-tree/compatible"), "\x00") {
		if name != "" {
			id.Compatible = append(id.Compatible, name)
		}
	}
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
func Detect(id Identity, goarch string) (b *Board, because string, known bool, err error) {
	list, err := All()
	if err != nil {
		return nil, "", false, err
	}
	// A name in the device tree says more than its model, which firmware may
	// write anew, and that more than a BIOS.
	for _, fit := range []func(*Match, *Identity) string{(*Match).byCompatible, (*Match).byModel, (*Match).byDMI} {
		for _, b := range list {
			if because := fit(&b.Match, &id); because != "" {
				return b, because, true, nil
			}
		}
	}
	because = "no board is known by what the kernel says: " + id.String()
	i := slices.IndexFunc(list, func(b *Board) bool { return b.Match.Generic && b.GOARCH == goarch })
	if i < 0 {
		return &Board{Name: "generic", Title: "board of GOARCH " + goarch, GOARCH: goarch}, because, false, nil
	}
	return list[i], because, false, nil
}

func (m *Match) byCompatible(id *Identity) string {
	for _, name := range id.Compatible {
		if fits(m.Compatible, name) {
			return fmt.Sprintf("the device tree is compatible with %q", name)
		}
	}
	return ""
}

func (m *Match) byModel(id *Identity) string {
	if !fits(m.Model, id.Model) {
		return ""
	}
	return fmt.Sprintf("the device tree's model is %q", id.Model)
}

func (m *Match) byDMI(id *Identity) string {
	for _, d := range m.DMI {
		for _, product := range []string{id.Product, id.Mainboard} {
			if fits([]string{d.Vendor}, id.Vendor) && fits([]string{d.Product}, product) {
				return fmt.Sprintf("DMI names the product %q of %q", product, id.Vendor)
			}
		}
	}
	return ""
}

// fits tells whether any pattern is meant for the name.
func fits(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}

// String is the identity for people, quoted.
func (id Identity) String() string {
	switch {
	case len(id.Compatible) > 0 || id.Model != "":
		return fmt.Sprintf("device tree %q, compatible %q", id.Model, id.Compatible)
	case id.Product != "" || id.Mainboard != "":
		return fmt.Sprintf("DMI product %q, board %q, of %q", id.Product, id.Mainboard, id.Vendor)
	}
	return "neither a device tree nor DMI"
}
