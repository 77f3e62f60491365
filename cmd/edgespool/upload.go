package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
	"github.com/edgespool/edgespool/spool"
)

// uploadFlags are the flags of `edgespool upload` as they were written.
type uploadFlags struct {
	agent.UploadConfig
	metadata []string
	asJSON   bool
}

func newUploadCommand() *cobra.Command {
	f := &uploadFlags{UploadConfig: agent.NewUploadConfig()}
	c := &cobra.Command{
		Use:   "upload [flags] PATH…",
		Short: "Upload files, folders and info.labels exports once",
		Long: `Uploads files, folders (with everything below them) and info.labels exports.
What was taken is remembered: another run of the same command sends nothing
twice and goes on where the last one stopped. The label of a file is what
info.labels says of it, or else the beginning of its name.

The API key is read from --api-key-file or from EI_API_KEY.`,
		Example: `  edgespool upload --api-key-file key recordings/
  EI_API_KEY=ei_… edgespool upload --category testing --label idle idle/*.wav
  edgespool upload --url http://127.0.0.1:4810 --api-key-file dataset/.edgespool/api-key export/info.labels`,
		Args: cobra.MinimumNArgs(1),
		PreRunE: func(c *cobra.Command, args []string) error {
			f.Paths = args
			return f.finish(c)
		},
		RunE: func(c *cobra.Command, _ []string) error { return runUpload(c, f) },
	}
	fs := c.Flags()
	fs.StringVar(&f.Destination.URL, "url", f.Destination.URL, "ingestion service")
	fs.StringVar(&f.Category, "category", "", "training, testing, anomaly, validation, post-processing or split (default: what info.labels says, else training)")
	fs.StringVar(&f.Label, "label", "", "label for all files (default: what info.labels says, else from the file name)")
	fs.BoolVar(&f.NoLabel, "no-label", false, "upload without labels")
	fs.StringArrayVar(&f.metadata, "metadata", nil, "key=value that goes with every file; may be repeated")
	fs.StringVar(&f.Destination.APIKeyFile, "api-key-file", "", "file with the API key (default: the key in EI_API_KEY)")
	fs.IntVar(&f.Destination.Concurrency, "concurrency", f.Destination.Concurrency, "requests under way at a time, at most 4")
	fs.DurationVar(&f.Patience, "patience", f.Patience, "give up after the service has taken nothing for this long")
	fs.StringVar(&f.Spool, "spool", "", "put the files into this spool folder, which no agent may hold, instead of uploading them")
	fs.BoolVar(&f.asJSON, "json", false, "print the result as one JSON object")
	c.MarkFlagsMutuallyExclusive("label", "no-label")
	c.MarkFlagsMutuallyExclusive("url", "spool")
	return c
}

// finish completes the flags and finds what is wrong with them.
func (f *uploadFlags) finish(c *cobra.Command) error {
	f.Metadata = make(map[string]string, len(f.metadata))
	for _, pair := range f.metadata {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return fmt.Errorf("--metadata %q is not of the form key=value", pair)
		}
		f.Metadata[key] = value
	}
	if f.Spool == "" && f.Destination.APIKeyFile == "" {
		if os.Getenv("EI_API_KEY") == "" {
			return errors.New("no API key: name a file with --api-key-file, or set EI_API_KEY")
		}
		f.Destination.APIKeyEnv = "EI_API_KEY"
	}
	var err error
	f.State, err = stateFolder()
	return errors.Join(err, f.Validate())
}

// stateFolder is where the user's programs keep what they must not forget, by
// the XDG Base Directory Specification.
func stateFolder() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "edgespool"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find state folder: %w; set XDG_STATE_HOME to a folder of yours", err)
	}
	return filepath.Join(home, ".local", "state", "edgespool"), nil
}

func runUpload(c *cobra.Command, f *uploadFlags) error {
	stderr := c.ErrOrStderr()
	f.Log, f.Version = newLogger(stderr, slog.LevelWarn, "text"), thisBuild().Version
	bar := newProgressBar(stderr)
	f.Refused = func(path, reason string) {
		bar.clear()
		fmt.Fprintf(stderr, "rejected %s: %s\n", path, reason)
	}
	if bar != nil {
		files, bytes := agent.CountUpload(f.UploadConfig)
		f.Progress = func(r agent.UploadResult) { bar.show(r.Done(), files, r.Bytes, bytes) }
	}
	start := time.Now()
	result, err := agent.Upload(c.Context(), f.UploadConfig)
	bar.clear()
	if f.asJSON {
		if err := json.NewEncoder(c.OutOrStdout()).Encode(result); err != nil {
			return err
		}
	} else if err == nil || result.Done() > 0 {
		printUpload(c.OutOrStdout(), result, time.Since(start))
	}
	return uploadEnd(result, err)
}

func printUpload(w io.Writer, r agent.UploadResult, took time.Duration) {
	fmt.Fprintf(w, "%8d files, %s, in %.1f s\n", r.Files, size(r.Bytes), took.Seconds())
	for _, line := range []struct {
		count int64
		what  string
	}{
		{r.Stored, "stored"},
		{r.AlreadyThere, "were there already"},
		{r.Skipped, "sent before, or the same as another one: not sent"},
		{r.Rejected, "rejected"},
		{r.Files - r.Done(), "not finished"},
	} {
		if line.count > 0 {
			fmt.Fprintf(w, "%8d %s\n", line.count, line.what)
		}
	}
}

// uploadEnd makes an exit code of how it went.
func uploadEnd(r agent.UploadResult, err error) error {
	switch {
	case errors.Is(err, spool.ErrLocked):
		return withHint(err, "upload to the agent's own ingestion address with --url, drop the files into a folder it watches, or stop it")
	case agent.IsUnfinished(err):
		return withHint(err, "run the same command again: what was taken is remembered and not sent twice")
	case agent.IsRefusedKey(err):
		return withHint(err, "check the key in --api-key-file or EI_API_KEY and that it belongs to this project")
	case err != nil:
		return err
	case r.Rejected > 0:
		return &exitError{code: exitRejected}
	}
	return nil
}
