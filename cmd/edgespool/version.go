package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// Set by scripts/build with -ldflags -X; without it the Go toolchain's own
// record of the build is shown.
var (
	version = ""
	commit  = ""
	built   = "" // seconds since 1970
)

// build says which program this is.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Built is the time of the commit, zero if it is not known.
	Built time.Time `json:"built,omitzero"`
	Go      string `json:"go"`
	OS      string `json:"goos"`
	Arch    string `json:"goarch"`
	ARM     string `json:"goarm,omitempty"`
}

func thisBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if s, err := strconv.ParseInt(built, 10, 64); err == nil {
		b.Built = time.Unix(s, 0).UTC()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.time" && b.Built.IsZero():
			b.Built, _ = time.Parse(time.RFC3339, s.Value)
		case s.Key == "GOARM":
			b.ARM = s.Value
		}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Show the version, commit and platform of this program",
		Example: "  edgespool version\n  edgespool version --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b := thisBuild()
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(b)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "edgespool %s\ncommit %s\n%s %s/%s%s\n",
				b.Version, b.Commit, b.Go, b.OS, b.Arch, armSuffix(b.ARM))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func armSuffix(arm string) string {
	if arm == "" {
		return ""
	}
	return " GOARM=" + arm
}
