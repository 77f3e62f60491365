package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/detect"
)

// TestREADME: its configurations are good, and together they name every field
// there is.
func TestREADME(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 2 {
		t.Fatalf("got %d configurations, want the first one and the reference", len(blocks))
	}
	var all strings.Builder
	for _, b := range blocks {
		if _, err := ParseConfig("README.md", b[1]); err != nil {
			t.Error(err)
		}
		all.Write(b[1])
	}
	fields := map[string]bool{}
	addFields(reflect.TypeFor[Config](), fields)
	for _, k := range sourceKinds() {
		addFields(reflect.TypeOf(k.defaults()), fields)
	}
	for _, k := range destinationKinds() {
		addFields(reflect.TypeOf(k.defaults()), fields)
	}
	for _, kind := range new(detect.DetectorConfig).Kinds() {
		var d detect.DetectorConfig
		d.Choose(kind)
		addFields(reflect.TypeOf(d.Room), fields)
	}
	for name := range fields {
		if strings.HasSuffix(name, "_env") || strings.HasSuffix(name, "_credential") {
			continue // said once for all keys
		}
		if !regexp.MustCompile(`\b` + name + `:`).MatchString(all.String()) {
			t.Errorf("the reference leaves out %s", name)
		}
	}
}

// addFields collects the names that a section of the file may have.
func addFields(t reflect.Type, fields map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		name, _, tagged := strings.Cut(f.Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = true
		}
		if name != "-" && (tagged || name != "") {
			addFields(f.Type, fields)
		}
	}
}
