package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManualAndCompletion makes the manual page and the completions of shells
// from the commands themselves, and sees that no command and no flag is missing.
// scripts/package has them written to EDGESPOOL_PAGES, with VERSION and
// SOURCE_DATE_EPOCH in the page. They are made by a test so that the program on
// the board does not carry what makes them.
func TestManualAndCompletion(t *testing.T) {
	dir := os.Getenv("EDGESPOOL_PAGES")
	if dir == "" {
		dir = t.TempDir()
	}
	page := manual(newRootCommand(), os.Getenv("VERSION"), pageDate(t))
	for _, c := range commandsBelow(newRootCommand()) {
		if name := c.CommandPath(); !strings.Contains(page, roff(name)) {
			t.Errorf("the page does not have %q", name)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(page, roff("--"+f.Name)) {
				t.Errorf("the page does not have --%s of %s", f.Name, c.CommandPath())
			}
		})
	}
	writePage(t, filepath.Join(dir, "edgespool.1"), page)
	checkManual(t, filepath.Join(dir, "edgespool.1"))
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script bytes.Buffer
		root := newRootCommand()
		root.SetOut(&script)
		root.SetArgs([]string{"completion", shell})
		if err := root.Execute(); err != nil || !strings.Contains(script.String(), "edgespool") {
			t.Errorf("completion %s: %v, %d bytes", shell, err, script.Len())
		}
		writePage(t, filepath.Join(dir, "completion."+shell), script.String())
	}
}

func writePage(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func pageDate(t *testing.T) time.Time {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Now()
	}
	s, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		t.Fatalf("SOURCE_DATE_EPOCH: %v", err)
	}
	return time.Unix(s, 0)
}

// checkManual has groff look at the page, where there is one.
func checkManual(t *testing.T, path string) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		return // the form is simple, and .ci/run has it looked at
	}
	out, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v: %s", err, out)
	}
}

// manual is one page for all commands, as man(7) has it.
func manual(root *cobra.Command, version string, date time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH EDGESPOOL 1 %q %q %q\n", date.UTC().Format(time.DateOnly), strings.TrimSpace("edgespool "+version), "User Commands")
	fmt.Fprintf(&b, ".SH NAME\nedgespool \\- %s\n", roff(strings.ToLower(root.Short[:1])+root.Short[1:]))
	b.WriteString(".SH SYNOPSIS\n.B edgespool\n.I command\n[\\fIflags\\fR] [\\fIarguments\\fR]\n.SH DESCRIPTION\n")
	paragraphs(&b, root.Long)
	b.WriteString(".SH COMMANDS\n")
	for _, c := range commandsBelow(root)[1:] {
		if c.Runnable() && !c.Hidden {
			command(&b, c)
		}
	}
	b.WriteString(`.SH FILES
.TP
.I /etc/edgespool/edgespool.yaml
The configuration of the service.
.TP
.I /etc/edgespool/credentials/
The keys of the service: the file \fINAME\fR is its credential key_\fINAME\fR.
.TP
.I /var/lib/edgespool/
The spool.
.TP
.I /var/spool/edgespool/inbox/
The folder from which the service takes files unless it is told otherwise.
.SH ENVIRONMENT
.TP
.B EI_API_KEY
The API key for edgespool upload.
.TP
.B CREDENTIALS_DIRECTORY, NOTIFY_SOCKET
As systemd.exec(5) and sd_notify(3) say.
.TP
.B GOMEMLIMIT
How much memory the agent may use, instead of what fits the board.
.SH SEE ALSO
systemctl(1), journalctl(1), /usr/share/doc/edgespool/README.md.gz
`)
	return b.String()
}

func command(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, ".SS %s\n", roff(c.UseLine()))
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	paragraphs(b, text)
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(b, ".TP\n.B %s\n%s", roff(strings.TrimSpace(name+" "+value)), roff(usage))
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
			fmt.Fprintf(b, " (default %s)", roff(f.DefValue))
		}
		b.WriteString("\n")
	})
	if c.Example != "" {
		fmt.Fprintf(b, ".PP\nFor example:\n.PP\n.nf\n%s\n.fi\n", roff(c.Example))
	}
}

// paragraphs writes text whose paragraphs are parted by empty lines; one with
// indented lines is left as it is.
func paragraphs(b *strings.Builder, text string) {
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		switch {
		case strings.HasPrefix(p, " "), strings.Contains(p, "\n "):
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(p))
		default:
			fmt.Fprintf(b, ".PP\n%s\n", roff(p))
		}
	}
}

// roff protects what troff would take for its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "×", `\(mu`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
