package agent

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/sampler/serial"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// A First is what a first configuration is made of.
type First struct {
	// Root is "/", or a copy of a machine's /proc, /sys and /dev.
	Root string
	// Port is the only port to describe; empty: everything that is plugged in.
	Port string
	// Source is the YAML of sources that Try has found, in place of both.
	Source string
	// Spool and Inbox are folders; Inbox is watched where there is no port.
	Spool, Inbox string
	// KeyFile holds the project's API key, HMACKeyFile its HMAC key; without
	// the one nothing is sent, without the other nothing signed.
	KeyFile, HMACKeyFile string
	// URL is that of the ingestion service; empty is Edge Impulse's.
	URL string
}

// Write makes the text of a configuration for this machine: its board, what is
// plugged in, and where samples go. A key file that cannot be used is an error.
func (f First) Write() (string, error) {
	var b strings.Builder
	r := findBoard(f.Root)
	fmt.Fprintf(&b, "# %s: %s.\n# Check a change with: edgespool check --config FILE\n\nspool:\n  path: %s\n  max_bytes: 2GiB\n\n", r.Board.Title, r.Because, quoted(f.Spool))
	if f.Source != "" {
		b.WriteString(f.Source)
	} else if err := f.sources(&b, r); err != nil {
		return "", err
	}
	if err := f.destination(&b); err != nil {
		return "", err
	}
	_, err := ParseConfig("first configuration", []byte(b.String()))
	return b.String(), err
}

// sources describes what is plugged in, and what the board has besides.
func (f First) sources(b *strings.Builder, r *BoardReport) error {
	ports, err := Ports(f.Root)
	if err != nil {
		return err
	}
	if f.Port != "" {
		ports = []serial.PortInfo{{Path: f.Port, VendorID: "given"}}
	}
	b.WriteString("# \"edgespool try --port PORT\" finds speed, columns and rate of a device.\nsources:\n")
	n := 0
	for _, p := range ports {
		if p.VendorID == "" || p.Console {
			continue
		}
		n++
		if what := strings.Join(strings.Fields(p.Describe()), " "); what != "" {
			fmt.Fprintf(b, "  # %s\n", strings.Map(letters, what))
		}
		fmt.Fprintf(b, "  - name: sensor%d\n    type: serial\n    port: %s\n    baud: 115200\n    format: csv\n    frequency: auto\n    window: 2s\n", n, quoted(p.Stable()))
	}
	if n == 0 {
		fmt.Fprintf(b, "  - name: inbox\n    type: directory\n    path: %s\n", quoted(f.Inbox))
	}
	for _, p := range r.Ports {
		if p.Path == "" {
			continue
		}
		state := "free"
		if p.Console {
			state = "the console"
		} else if p.UsedBy != "" {
			state = "used by " + p.UsedBy
		}
		fmt.Fprintf(b, "  # The board's %s is %s (%s, %s).\n", p.Label, p.Path, p.Mode, state)
	}
	b.WriteByte('\n')
	return nil
}

// letters keeps what a device says of itself within its comment.
func letters(c rune) rune {
	if c < ' ' || c == 0x7f || c >= 0x80 {
		return '?'
	}
	return c
}

func (f First) destination(b *strings.Builder) error {
	if f.KeyFile == "" {
		b.WriteString("# Without a destination samples stay in the spool:\n# destinations:\n#   - {name: studio, type: edge-impulse, api_key_file: FILE}\n")
		return nil
	}
	b.WriteString("destinations:\n  - name: studio\n    type: edge-impulse\n")
	if f.URL != "" {
		fmt.Fprintf(b, "    url: %s\n", quoted(f.URL))
	}
	for _, key := range [][2]string{{"api_key_file", f.KeyFile}, {"hmac_key_file", f.HMACKeyFile}} {
		if key[1] == "" {
			continue
		}
		path, err := filepath.Abs(key[1])
		if err == nil {
			_, err = uploader.NewSecret(path, "", "").Reveal()
		}
		if err != nil {
			return fmt.Errorf("write first configuration: %w", err)
		}
		fmt.Fprintf(b, "    %s: %s\n", key[0], quoted(path))
	}
	return nil
}

// NewFirst has the defaults.
func NewFirst() First {
	return First{Root: "/", Spool: spool.DefaultConfig().Path, Inbox: "/var/spool/edgespool/inbox"}
}
