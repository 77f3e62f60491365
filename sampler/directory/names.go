package directory

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// ownFolder is where we keep what is ours below a watched folder.
const ownFolder = ".edgespool"

// partial are the endings that programs give files they have not finished.
var partial = []string{"~", ".tmp", ".part", ".partial", ".crdownload", ".filepart", ".swp"}

// passedOver tells names that are never a sample: hidden ones (rsync's
// .name.XXXXXX among them), unfinished ones, label files and read-me files.
func passedOver(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(name, ".") || isLabelFile(name) ||
		lower == "readme" || strings.HasPrefix(lower, "readme.") ||
		slices.ContainsFunc(partial, func(end string) bool { return strings.HasSuffix(lower, end) })
}

// isLabelFile tells info.labels and its like, the kinds we do not read
// included.
func isLabelFile(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".labels") }

// included tells whether a pattern fits the file at rel below the folder.
func included(patterns []string, rel string) bool {
	rel = strings.ToLower(filepath.ToSlash(rel))
	return slices.ContainsFunc(patterns, func(p string) bool {
		held := rel
		if !strings.Contains(p, "/") {
			held = path.Base(rel)
		}
		fits, _ := path.Match(strings.ToLower(p), held)
		return fits
	})
}

// accepted tells whether Edge Impulse takes files with this extension.
func accepted(name string) bool {
	return acquisition.ContentType(name) != "application/octet-stream"
}

// withTag puts a tag before the extension, for a name that is not free. The
// label that Edge Impulse reads from the name stays the same.
func withTag(name, tag string) string {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if stem == "" {
		stem, ext = name, ""
	}
	return stem + "." + tag + ext
}
