package directory

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// describe fills in what a record is called and what it shows. What label
// files say goes before the configured rules, and what an operator chose just
// now before both; but nobody's one text replaces boxes, labelled stretches or
// pairs, which speak of parts of the sample.
func (s *Source) describe(rec *spool.Record, file string, what Said, choice sampler.Choice) error {
	rel, err := filepath.Rel(s.config.Path, file)
	if err != nil {
		return fmt.Errorf("find file below folder: %w", err)
	}
	rel = filepath.ToSlash(rel)
	rec.Name = fileName(rel, what.Listed)
	rec.ContentType = acquisition.ContentType(file)
	rec.Metadata = s.setup.Metadata
	label := spool.Label{Text: s.labelText(rel)}
	category := s.category(rel)
	if listed := what.Listed; listed != nil {
		label = labelOf(listed.Label)
		if listed.Category != "" {
			category = listed.Category
		}
		if len(listed.Metadata) > 0 {
			rec.Metadata = maps.Clone(s.setup.Metadata)
			if rec.Metadata == nil {
				rec.Metadata = make(map[string]string, len(listed.Metadata))
			}
			maps.Copy(rec.Metadata, listed.Metadata)
		}
	}
	if len(what.Segments) > 0 {
		label = spool.Label{Segments: segmentsOf(what.Segments)}
	}
	if what.Boxes != nil {
		label = spool.Label{Boxes: boxesOf(what.Boxes)}
		if len(what.Boxes) == 0 {
			if rec.Companions, err = background(rec.Name); err != nil {
				return err
			}
		}
	}
	structured := what.Boxes != nil || len(label.Segments) > 0 || len(label.Pairs) > 0
	if choice.Label != "" && !structured {
		label = spool.Label{Text: choice.Label}
	}
	if choice.Category != "" {
		category = choice.Category
	}
	rec.Label, rec.Dataset = label, sampler.Resolve(category, rec.Identity)
	if !sampler.IsCategory(rec.Dataset) {
		return refuse("its category %q is none of %s or split", category, strings.Join(sampler.Categories, ", "))
	}
	return nil
}

// fileName is the record's name: the manifest's, to which Edge Impulse's
// uploader adds the extension of the path, or the file's own.
func fileName(rel string, listed *acquisition.ManifestFile) string {
	name := rel[strings.LastIndexByte(rel, '/')+1:]
	if listed != nil && listed.Name != "" {
		name = listed.Name[strings.LastIndexByte(listed.Name, '/')+1:] + filepath.Ext(name)
	}
	return strings.ToValidUTF8(name, "_")
}

// labelText is the label by the configured rule; "" is none.
func (s *Source) labelText(rel string) string {
	if text, fixed := strings.CutPrefix(s.config.Label, "="); fixed {
		return text
	}
	switch s.config.Label {
	case LabelFilename:
		return acquisition.InferLabel(rel)
	case LabelFolder:
		folder, _ := nearestFolder(rel, func(name string) bool { return !isCategoryFolder(name) })
		return strings.ToValidUTF8(folder, "_")
	}
	return ""
}

// category is the category by the configured rule, which may be split.
func (s *Source) category(rel string) string {
	if s.config.Category != CategoryFolder {
		return s.config.Category
	}
	if folder, ok := nearestFolder(rel, isCategoryFolder); ok {
		return folder
	}
	return s.config.DefaultCategory
}

func isCategoryFolder(name string) bool {
	return sampler.IsCategory(name) || name == sampler.CategorySplit
}

// nearestFolder is the innermost folder of a path that fits.
func nearestFolder(rel string, fits func(name string) bool) (string, bool) {
	folders := strings.Split(rel, "/")
	for i := len(folders) - 2; i >= 0; i-- {
		if fits(folders[i]) {
			return folders[i], true
		}
	}
	return "", false
}

// background is the companion that says that an image shows nothing: an empty
// list of boxes does not survive in a record's label.
func background(name string) ([]spool.Companion, error) {
	text, err := acquisition.BoundingBoxes(name, nil)
	if err != nil {
		return nil, err
	}
	return []spool.Companion{{Name: acquisition.BoundingBoxesName, ContentType: "application/json", Bytes: text}}, nil
}

func labelOf(l acquisition.Label) spool.Label {
	return spool.Label{Text: l.Text, Pairs: l.Pairs, Segments: segmentsOf(l.Segments)}
}

func segmentsOf(segments []acquisition.Segment) []spool.Segment {
	var out []spool.Segment
	for _, s := range segments {
		out = append(out, spool.Segment{Start: s.Start, End: s.End, Text: s.Text, Map: s.Map})
	}
	return out
}

func boxesOf(boxes []acquisition.Box) []spool.Box {
	out := make([]spool.Box, len(boxes))
	for i, b := range boxes {
		out[i] = spool.Box{Label: b.Label, X: b.X, Y: b.Y, Width: b.Width, Height: b.Height}
	}
	return out
}
