package agent

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgespool/edgespool/sampler/directory"
)

// CountUpload counts the files of an upload and their bytes, for a progress
// bar; what cannot be read is left for Upload to complain about.
func CountUpload(c UploadConfig) (files, bytes int64) {
	rules := directory.DefaultConfig()
	for _, p := range c.Paths {
		_ = filepath.WalkDir(p, func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil
			case e.IsDir():
				if hidden(e.Name()) && name != p {
					return fs.SkipDir
				}
				return nil
			}
			if info, err := e.Info(); err == nil && (name == p || included(rules, e.Name())) {
				files, bytes = files+1, bytes+info.Size()
			}
			return nil
		})
	}
	return files, bytes
}

// included tells whether a file in a folder is of a kind that is taken.
func included(rules directory.Config, name string) bool {
	return slices.ContainsFunc(rules.Include, func(pattern string) bool {
		ok, err := path.Match(pattern, strings.ToLower(name))
		return ok && err == nil
	})
}

// hidden tells whether a folder or file is not meant to be seen.
func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// eachIn calls take for what is in a folder, a few hundred names at a time.
func eachIn(dir string, take func(fs.DirEntry) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("read folder: %w", err)
	}
	defer f.Close()
	for {
		some, err := f.ReadDir(256)
		for _, e := range some {
			if err := take(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read folder: %w", err)
		}
	}
}
