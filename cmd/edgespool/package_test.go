package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent"
)

// TestBillOfMaterials: the bill of this very program names the modules that
// the program says it was built from, and is the same twice.
func TestBillOfMaterials(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	program, err := os.Executable()
	if !ok || err != nil {
		t.Fatalf("no build information: %v", err)
	}
	bill := func() []byte {
		out, err := exec.Command(filepath.Join(repository(t), "scripts/packaging/sbom"), program, "edgespool", "1.0").Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var got struct {
		BomFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Name, Version, PURL string }
		}
		Components []struct {
			Type, Name, Version, PURL string
			Ref                       string `json:"bom-ref"`
		}
	}
	text := bill()
	if string(text) != string(bill()) {
		t.Error("two runs differ")
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if got.BomFormat != "CycloneDX" || got.SpecVersion != "1.5" || got.Metadata.Component.PURL != "pkg:golang/"+module+"@1.0" {
		t.Errorf("got %+v", got.Metadata)
	}
	found := map[string]bool{}
	for _, c := range got.Components {
		if c.Ref != c.PURL || c.Type != "library" || found[c.Ref] {
			t.Errorf("got %+v", c)
		}
		found[c.Ref], found[c.Name+" "+c.Version] = true, true
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		if !found[d.Path+" "+d.Version] {
			t.Errorf("no %s %s in it", d.Path, d.Version)
		}
	}
	if want := "std " + strings.TrimPrefix(info.GoVersion, "go"); !found[want] {
		t.Errorf("no %s in it", want)
	}
}

// TestPackagedConfiguration: what the package installs is good as it is, and
// as good with all that is commented out in it.
func TestPackagedConfiguration(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository(t), "scripts/packaging/edgespool.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.ParseConfig("edgespool.yaml", text); err != nil {
		t.Error(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		bare := strings.TrimLeft(line, " ")
		for _, example := range []string{"# - name:", "#   ", "# destinations:"} {
			if strings.HasPrefix(bare, example) && !strings.Contains(line, "edgespool check") && !strings.Contains(line, "systemctl") {
				line = strings.Replace(line, "# ", "", 1)
				break
			}
		}
		all = append(all, line)
	}
	c, err := agent.ParseConfig("edgespool.yaml", []byte(strings.Join(all, "")))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sources) != 2 || len(c.Destinations) != 1 {
		t.Errorf("got %d sources and %d destinations, want 2 and 1: %s", len(c.Sources), len(c.Destinations), all)
	}
}
