package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/sampler/directory"
	"github.com/edgespool/edgespool/spool"
)

// A found file is ready to be sent: read once, checked and labelled.
type found struct {
	record spool.Record
	body   *fileBody
}

// A gathering finds the files of an upload, in a goroutine of its own that
// runs a little ahead of who takes them.
type gathering struct {
	config  UploadConfig
	rules   directory.Config
	clock   *sampler.Clock
	tally   *tally
	files   chan found
	failure error // why it ended early; read after files is closed

	beside *besideFile
	listed map[uint64]struct{} // hashes of the paths that manifests spoke of
	seed   maphash.Seed
}

// gather starts to look for files; ahead is how many may be waiting.
func gather(ctx context.Context, c UploadConfig, ahead int, t *tally) *gathering {
	g := &gathering{
		config: c, rules: directory.DefaultConfig(), clock: sampler.NewClock(), tally: t,
		files: make(chan found, ahead), listed: make(map[uint64]struct{}), seed: maphash.MakeSeed(),
	}
	g.rules.Category = g.rules.DefaultCategory
	if c.NoLabel {
		g.rules.Label = directory.LabelNone
	}
	go func() {
		defer close(g.files)
		for _, p := range c.Paths {
			if g.failure = g.path(ctx, p); g.failure != nil {
				return
			}
		}
	}()
	return g
}

// next waits for the next file; ok is false when there are no more.
func (g *gathering) next(ctx context.Context) (f found, ok bool) {
	select {
	case f, ok = <-g.files:
		return f, ok
	case <-ctx.Done():
		return found{}, false
	}
}

// wait returns once the goroutine has ended, which it does when all is taken
// or its context is cancelled.
func (g *gathering) wait() {
	for range g.files {
	}
}

// err is why the gathering ended early. It waits for its end.
func (g *gathering) err() error {
	g.wait()
	return g.failure
}

// path takes one of the paths that were named.
func (g *gathering) path(ctx context.Context, p string) error {
	info, err := os.Stat(p)
	switch {
	case err != nil:
		return fmt.Errorf("find files: %w", err)
	case info.IsDir():
		if err := g.manifests(ctx, p); err != nil {
			return err
		}
		return g.folder(ctx, p)
	case filepath.Base(p) == acquisition.ManifestName:
		return g.manifest(ctx, p)
	case strings.HasSuffix(p, ".labels"):
		return nil // speaks of the files beside it
	}
	return g.file(ctx, p, nil)
}

// manifests takes what the info.labels in and below a folder list, deeper
// ones first: the nearest manifest that lists a file wins.
func (g *gathering) manifests(ctx context.Context, dir string) error {
	has := false
	err := eachIn(dir, func(e fs.DirEntry) error {
		switch {
		case e.IsDir() && !hidden(e.Name()):
			return g.manifests(ctx, filepath.Join(dir, e.Name()))
		case e.Name() == acquisition.ManifestName:
			has = true
		}
		return nil
	})
	if err != nil || !has {
		return err
	}
	return g.manifest(ctx, filepath.Join(dir, acquisition.ManifestName))
}

// manifest takes the files of one info.labels, one after another: even a
// large one is never whole in memory.
func (g *gathering) manifest(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read label file: %w", err)
	}
	defer f.Close()
	err = acquisition.ReadManifest(f, func(m acquisition.ManifestFile) error {
		file := filepath.Join(filepath.Dir(name), filepath.FromSlash(path.Clean(m.Path)))
		key := maphash.String(g.seed, file)
		if _, known := g.listed[key]; known {
			return nil
		}
		g.listed[key] = struct{}{}
		return g.file(ctx, file, &m)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// folder takes the files of a folder that no manifest lists, if their kind is
// one that Edge Impulse takes.
func (g *gathering) folder(ctx context.Context, dir string) error {
	return eachIn(dir, func(e fs.DirEntry) error {
		p := filepath.Join(dir, e.Name())
		if _, listed := g.listed[maphash.String(g.seed, p)]; listed || hidden(e.Name()) {
			return nil
		}
		if e.IsDir() {
			return g.folder(ctx, p)
		}
		if !included(g.rules, e.Name()) {
			return nil
		}
		return g.file(ctx, p, nil)
	})
}

// file reads, checks and labels one file. What is wrong with the file alone
// is its rejection; an error ends the gathering.
func (g *gathering) file(ctx context.Context, p string, listed *acquisition.ManifestFile) error {
	g.tally.add(func(r *UploadResult) { r.Files++ })
	f, err := g.read(p, listed)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err // the file is named already
		}
		g.tally.refuse(p, err.Error())
		return ctx.Err()
	}
	g.tally.add(func(r *UploadResult) { r.Bytes += f.body.size })
	select {
	case g.files <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gathering) read(p string, listed *acquisition.ManifestFile) (found, error) {
	f, err := os.Open(p)
	if err != nil {
		return found{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return found{}, err
	}
	if !info.Mode().IsRegular() {
		return found{}, errors.New("it is not a file")
	}
	said, err := g.said(p, listed)
	if err != nil {
		return found{}, err
	}
	if listed != nil && len(listed.Attachments) > 0 {
		return found{}, errors.New("its attachments would be left behind: take them out of info.labels, or upload it by other means")
	}
	hash := sha256.New()
	if err := directory.Check(p, info.Size(), io.TeeReader(f, hash), said.Segments); err != nil {
		return found{}, err
	}
	if _, err := io.Copy(hash, f); err != nil { // what the check did not read
		return found{}, fmt.Errorf("read file: %w", err)
	}
	b := &fileBody{path: p, size: info.Size(), sum: [32]byte(hash.Sum(nil)), changed: info.ModTime()}
	rec := spool.Record{
		Kind: spool.KindFile, Identity: b.sum, SHA256: b.sum, Source: "upload", Size: b.size,
		Time: g.clock.Now(), Metadata: g.config.Metadata,
	}
	choice := sampler.Choice{Label: g.config.Label, Category: g.config.Category}
	if err := directory.Describe(&rec, p, g.rules, said, choice); err != nil {
		return found{}, err
	}
	if g.config.NoLabel {
		rec.Label.Text = ""
	}
	return found{record: rec, body: b}, nil
}
