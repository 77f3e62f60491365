package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/edgespool/edgespool"

// A room is a folder of the house with the other rooms its packages may
// import. "sampler/*" stands for every package below sampler that has no row
// of its own; packages below one star do not import each other.
type room struct {
	path string
	may  []string
	why  string
}

// house is the table of rooms. The first row that fits a package counts.
var house = []room{
	{"cmd/edgespool", []string{"agent", "agent/demo", "spool", "sampler/acquisition"},
		"the door turns words into calls and errors into exit codes; only the agent knows everybody"},
	{"agent/api/streams", []string{"spool", "sampler/acquisition"},
		"the streams API is a view of the spool; the agent tells it the rest"},
	{"agent/api/openapi", nil,
		"the descriptions are texts; a test kit holds the rooms against them from outside"},
	{"agent/api/history", []string{"spool", "sampler/acquisition"},
		"the history shows detections and records; who scores and who may look is told to it"},
	{"agent/api", []string{"agent/api/openapi", "spool", "sampler", "sampler/acquisition"},
		"the API shows the spool and hands samples in; sources and destinations are built by the agent"},
	{"agent/demo", []string{"spool", "sampler/acquisition"},
		"the demo looks at the agent from outside, as its child processes, or it would prove nothing"},
	{"agent", []string{"agent/*", "board-configs", "spool", "sampler", "sampler/*", "uploader", "uploader/*"},
		"the agent knows everybody but the door"},
	{"sampler/acquisition", nil,
		"the document format is a leaf that anyone may import"},
	{"sampler/detect", []string{"sampler", "spool"},
		"a detector knows windows, not how their readings arrive or how records leave"},
	{"sampler/*", []string{"sampler", "sampler/acquisition", "spool"},
		"a source knows how its bytes arrive, no other source and nothing of where records go"},
	{"sampler", []string{"sampler/acquisition", "spool"},
		"what sources share must not depend on any one source or on where records go"},
	{"spool", nil,
		"the ground has heard of nobody"},
	{"uploader/*", []string{"uploader", "sampler/acquisition", "spool"},
		"a destination knows how its bytes leave, no other destination and nothing of sensors"},
	{"uploader", []string{"spool"},
		"the worker loop must not depend on any one destination or on sensors"},
	{"board-configs", []string{"agent/config"},
		"board files are data; the agent says what they mean for a configuration"},
}

// testKits are packages for tests: any test may import the ones of its wing,
// no product code may.
var testKits = []string{"sampler/samplertest", "uploader/uploadertest", "agent/api/openapi/openapitest"}

// libraries says which rooms may import a library; one that is not listed
// may be used anywhere. The reason stands behind the last room.
var libraries = []struct {
	prefix string
	rooms  []string
	why    string
}{
	{"github.com/dgraph-io/", []string{"spool"}, "only the spool knows Badger"},
	{"go.bug.st/serial", []string{"sampler/serial"}, "the library needs the strict wrapper of sampler/serial"},
	{"github.com/fsnotify/", []string{"sampler/directory"}, "only the directory source watches folders"},
	{"github.com/spf13/", []string{"cmd/edgespool"}, "only the door reads arguments"},
	{"go.yaml.in/", []string{"agent"}, "configuration is decoded in one place, with every fault at once"},
	{"html/template", nil, "it costs 2 MB of binary"},
	{"text/template", nil, "it costs 2 MB of binary"},
	{"net/http/pprof", nil, "it brings html/template and registers itself"},
	{"expvar", nil, "it registers itself with the default mux"},
	{"testing", []string{"sampler/samplertest", "uploader/uploadertest", "agent/api/openapi/openapitest"}, "product code does not carry the test framework"},
	{"github.com/getkin/", []string{"agent/api/openapi/openapitest"}, "a library for tests"},
	{"github.com/chromedp/", nil, "a library for tests"},
	{"github.com/hanwen/", nil, "a library for tests"},
	{"github.com/rogpeppe/go-internal", nil, "a library for tests"},
	{"github.com/standard-webhooks/", nil, "a library for tests"},
	{"github.com/creack/pty", []string{"sampler/samplertest"}, "a library for tests"},
	{"go.uber.org/goleak", []string{"sampler/samplertest", "uploader/uploadertest"}, "a library for tests"},
	{"pgregory.net/rapid", []string{"sampler/samplertest", "uploader/uploadertest"}, "a library for tests"},
}

// topLevel are the names that may stand at the root of the repository.
var topLevel = []string{
	"cmd", "agent", "sampler", "spool", "uploader", "board-configs", "scripts", "go.mod", "go.sum", "README.md",
	"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", ".gitignore", ".gitattributes", ".golangci.yml", ".ci",
}

// A goPackage is what `go list -json` says of a package of ours.
type goPackage struct {
	Dir, ImportPath, Name, Doc         string
	GoFiles, TestGoFiles, XTestGoFiles []string
	IgnoredGoFiles                     []string
	Imports, TestImports, XTestImports []string
}

// path is the package's folder inside the repository.
func (p goPackage) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// files are all Go files of the package, those of other platforms included.
func (p goPackage) files() []string {
	return slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles)
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// repository is the folder that holds go.mod.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-json", "./...")
	list.Dir, list.Stderr = repository(t), os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

// tracked lists the files git knows, or skips outside a git checkout.
func tracked(t *testing.T) []string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = repository(t)
	out, err := list.Output()
	if err != nil {
		t.Skipf("git ls-files does not work here (%v): install git and run from a clone", err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
}

// fits tells whether a package's path is meant by a room's.
func fits(pkg, room string) bool {
	above, star := strings.CutSuffix(room, "/*")
	if star {
		return strings.HasPrefix(pkg, above+"/")
	}
	return pkg == room
}

// roomOf finds a package's row; a package below a room without a star row of
// its own, such as spool/x, lives in that room.
func roomOf(pkg string) (room, bool) {
	for p := pkg; p != "."; p = path.Dir(p) {
		for _, r := range house {
			if fits(p, r.path) {
				return r, true
			}
		}
	}
	return room{}, false
}

func TestImportsFollowTheArrows(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			if why := forbidden(p.path(), imported, false); why != "" {
				t.Errorf("%s imports %s: %s", p.path(), imported, why)
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if why := forbidden(p.path(), imported, true); why != "" {
				t.Errorf("%s imports %s in a test: %s", p.path(), imported, why)
			}
		}
	}
}

// forbidden says why a package may not import another one; "" if it may.
func forbidden(pkg, imported string, test bool) (why string) {
	r, ok := roomOf(pkg)
	if !ok {
		return "no room of the house has this package"
	}
	other, ours := strings.CutPrefix(imported, module+"/")
	if !ours || other == pkg {
		return ""
	}
	if slices.Contains(testKits, other) {
		if test {
			return ""
		}
		return "a test kit is for tests"
	}
	if to, ok := roomOf(other); ok && to.path == r.path && !strings.HasSuffix(r.path, "*") {
		return "" // a package below the same room
	}
	if slices.ContainsFunc(r.may, func(may string) bool { return fits(other, may) }) {
		return ""
	}
	return r.why
}

// TestTheWallsStand tries one arrow through each wall.
func TestTheWallsStand(t *testing.T) {
	for _, arrow := range []struct {
		from, to string
		test, ok bool
	}{
		{"cmd/edgespool", "agent", false, true},
		{"cmd/edgespool", "sampler", false, false},
		{"cmd/edgespool", "uploader/edgeimpulse", false, false},
		{"agent", "agent/api", false, true},
		{"agent", "cmd/edgespool", false, false},
		{"agent", "sampler/serial", false, true},
		{"agent", "board-configs", false, true},
		{"board-configs", "agent", true, false},
		{"cmd/edgespool", "board-configs", false, false},
		{"agent", "sampler/samplertest", false, false},
		{"agent", "sampler/samplertest", true, true},
		{"agent/api", "uploader", false, false},
		{"agent/api", "agent/api/streams", false, false},
		{"agent/api/streams", "sampler", false, false},
		{"agent/api", "sampler/listener", false, false},
		{"agent/demo", "agent", false, false},
		{"sampler", "uploader", true, false},
		{"sampler", "sampler/serial", false, false},
		{"sampler/serial", "sampler", false, true},
		{"sampler/serial", "sampler/directory", false, false},
		{"sampler/serial", "sampler/detect", false, false},
		{"sampler/detect", "sampler", false, true},
		{"sampler/detect", "sampler/serial", false, false},
		{"sampler/listener", "uploader/edgeimpulse", true, false},
		{"sampler/acquisition", "spool", false, false},
		{"spool", "sampler", true, false},
		{"spool/anything", "spool", false, true},
		{"uploader", "sampler/acquisition", false, false},
		{"uploader/dataset", "sampler/acquisition", false, true},
		{"uploader/dataset", "uploader/edgeimpulse", false, false},
		{"uploader/edgeimpulse", "sampler/listener", true, false},
		{"elsewhere", "spool", false, false},
	} {
		why := forbidden(arrow.from, module+"/"+arrow.to, arrow.test)
		if (why == "") != arrow.ok {
			t.Errorf("%s to %s (test %v): got %q, want allowed %v", arrow.from, arrow.to, arrow.test, why, arrow.ok)
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for _, l := range libraries {
				if !underneath(imported, l.prefix) || slices.ContainsFunc(l.rooms, func(r string) bool { return underneath(p.path(), r) }) {
					continue
				}
				t.Errorf("%s imports %s: %s", p.path(), imported, l.why)
			}
			if p.path() == "sampler/acquisition" && isLibrary(imported) && !strings.HasPrefix(imported, "github.com/fxamacker/cbor/") {
				t.Errorf("%s imports %s: the document format needs the CBOR library and no other", p.path(), imported)
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if strings.HasPrefix(imported, "github.com/dgraph-io/") && !underneath(p.path(), "spool") {
				t.Errorf("%s imports %s in a test: only the spool knows Badger", p.path(), imported)
			}
		}
	}
}

// isLibrary tells whether a package is neither Go's own nor ours.
func isLibrary(imported string) bool {
	host, _, _ := strings.Cut(imported, "/")
	return strings.Contains(host, ".") && !underneath(imported, module)
}

// underneath tells whether an import path or folder is root or below it.
func underneath(p, root string) bool {
	return p == root || strings.HasPrefix(p, strings.TrimSuffix(root, "/")+"/")
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s: no package comment", p.path())
		}
		if slices.Contains([]string{"util", "utils", "common", "types", "helper", "helpers", "manager", "models"}, p.Name) {
			t.Errorf("%s: the name %s says nothing of what is inside", p.path(), p.Name)
		}
	}
}

// eachFile parses every Go file of the house.
func eachFile(t *testing.T, look func(pkg, name string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	for _, p := range packages(t) {
		for _, name := range p.files() {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			look(p.path(), path.Join(p.path(), name), fset, f)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	eachFile(t, func(pkg, name string, fset *token.FileSet, f *ast.File) {
		if isTest(name) {
			return
		}
		bare := func(n *ast.Ident, docs ...*ast.CommentGroup) {
			said := slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return strings.TrimSpace(d.Text()) != "" })
			if n.IsExported() && !said {
				t.Errorf("%s:%d: %s has no doc comment", name, fset.Position(n.Pos()).Line, n.Name)
			}
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil || ast.IsExported(receiver(d)) {
					bare(d.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						bare(s.Name, d.Doc, s.Doc, s.Comment)
					case *ast.ValueSpec:
						for _, n := range s.Names {
							bare(n, d.Doc, s.Doc, s.Comment)
						}
					}
				}
			}
		}
	})
}

// receiver is the name of the type a method belongs to.
func receiver(f *ast.FuncDecl) (name string) {
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

// reserved are calls and values that only some places may use, by package
// and name; a name that ends in * stands for all that begin so.
var reserved = []struct{ pkg, name, why string }{
	{"os", "Exit", "only the door ends the process"},
	{"log", "Fatal*", "only the door ends the process"},
	{"log/slog", "New*", "loggers are injected"},
	{"log/slog", "Default", "loggers are injected"},
	{"context", "Background", "a context comes from the caller; context.WithoutCancel serves what must outlive it"},
	{"context", "TODO", "a context comes from the caller"},
}

// processWide are values of net/http that nobody may use: any package can
// change them, and they have no time-outs.
var processWide = []string{"DefaultClient", "DefaultServeMux", "Get", "Head", "Post", "PostForm", "Handle", "HandleFunc", "ListenAndServe"}

func TestReservedCallsStayAtTheDoor(t *testing.T) {
	eachFile(t, func(pkg, name string, fset *token.FileSet, f *ast.File) {
		inTest := isTest(name)
		if !inTest && pkg != "cmd/edgespool" {
			for _, d := range f.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s:%d: func init: constructors start nothing and nothing registers itself", name, fset.Position(d.Pos()).Line)
				}
			}
		}
		uses(f, func(pkgPath string, sel *ast.SelectorExpr) {
			at := fset.Position(sel.Pos()).Line
			if pkgPath == "net/http" && slices.Contains(processWide, sel.Sel.Name) {
				t.Errorf("%s:%d: http.%s: make a client or server with limits of its own", name, at, sel.Sel.Name)
			}
			for _, r := range reserved {
				if !inTest && pkg != "cmd/edgespool" && pkgPath == r.pkg && matches(sel.Sel.Name, r.name) {
					t.Errorf("%s:%d: %s.%s: %s", name, at, r.pkg, sel.Sel.Name, r.why)
				}
			}
		})
	})
}

func matches(name, pattern string) bool {
	if start, star := strings.CutSuffix(pattern, "*"); star {
		return strings.HasPrefix(name, start)
	}
	return name == pattern
}

// uses calls found for every pkg.Name of the file, with the import path.
func uses(f *ast.File, found func(pkgPath string, sel *ast.SelectorExpr)) {
	imported := map[string]string{}
	for _, i := range f.Imports {
		p := strings.Trim(i.Path.Value, `"`)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		imported[name] = p
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && imported[id.Name] != "" {
				found(imported[id.Name], sel)
			}
		}
		return true
	})
}

// TestNobodySleeps finds time.Sleep outside the call of synctest.Test: a
// sleep outside a bubble waits for real time, and is too long or too short.
func TestNobodySleeps(t *testing.T) {
	eachFile(t, func(pkg, name string, fset *token.FileSet, f *ast.File) {
		var bubbles []*ast.CallExpr
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isTest(name) {
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
					if id, ok := sel.X.(*ast.Ident); ok && id.Name == "synctest" && sel.Sel.Name == "Test" {
						bubbles = append(bubbles, call)
					}
				}
			}
			return true
		})
		uses(f, func(pkgPath string, sel *ast.SelectorExpr) {
			inBubble := slices.ContainsFunc(bubbles, func(b *ast.CallExpr) bool { return b.Pos() <= sel.Pos() && sel.End() <= b.End() })
			if pkgPath == "time" && sel.Sel.Name == "Sleep" && !inBubble {
				t.Errorf("%s:%d: time.Sleep outside a synctest bubble: wait for the thing itself", name, fset.Position(sel.Pos()).Line)
			}
		})
	})
}

// unsaid are words that say nothing of this field; the dictionary in
// CONTRIBUTING.md has the ones to use.
var unsaid = []string{
	"message", "messages", "event", "events", "item", "items", "entry", "entries", "job", "jobs", "task", "tasks",
	"manager", "managers", "util", "utils", "common", "helper", "helpers",
}

func TestOurNamesUseTheFieldsWords(t *testing.T) {
	eachFile(t, func(pkg, name string, fset *token.FileSet, f *ast.File) {
		for id := range declared(f) {
			for _, word := range words(id.Name) {
				if slices.Contains(unsaid, word) {
					t.Errorf("%s:%d: %s: the word %q is not one of ours", name, fset.Position(id.Pos()).Line, id.Name, word)
				}
			}
		}
	})
}

// declared are the names that a file makes: types, functions, methods,
// fields, parameters, constants and declared variables. Short-lived variables
// (:=) and parameters of a library's type may be called as the library calls
// what they hold.
func declared(f *ast.File) map[*ast.Ident]bool {
	ids := map[*ast.Ident]bool{f.Name: true}
	add := func(names ...*ast.Ident) {
		for _, n := range names {
			ids[n] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			add(n.Names...)
		case *ast.Field:
			if !foreign(n.Type) {
				add(n.Names...)
			}
		}
		return true
	})
	return ids
}

// foreign tells whether a type is another package's, whose word for it may be
// the name of a parameter or field.
func foreign(e ast.Expr) bool {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	_, ok := e.(*ast.SelectorExpr)
	return ok
}

// words splits a name like lastURLOf or last_url into lower-case words.
func words(name string) (all []string) {
	runes, start := []rune(name), 0
	cut := func(end int) {
		if w := strings.Trim(string(runes[start:end]), "_0123456789"); w != "" {
			all = append(all, strings.ToLower(w))
		}
		start = end
	}
	upper := func(i int) bool { return i < len(runes) && runes[i] >= 'A' && runes[i] <= 'Z' }
	for i := 1; i < len(runes); i++ {
		lowerNext := i+1 < len(runes) && runes[i+1] >= 'a' && runes[i+1] <= 'z'
		if runes[i] == '_' || upper(i) && (!upper(i-1) || lowerNext) {
			cut(i)
		}
	}
	cut(len(runes))
	return all
}

func TestWords(t *testing.T) {
	for name, want := range map[string][]string{
		"commonPrefix": {"common", "prefix"}, "HTTPMessage": {"http", "message"}, "uncommon": {"uncommon"},
		"dir_entry2": {"dir", "entry"}, "lastURLOf": {"last", "url", "of"}, "_": nil, "eventually": {"eventually"},
	} {
		if got := words(name); !slices.Equal(got, want) {
			t.Errorf("words(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestTopLevel(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range tracked(t) {
		first, rest, folder := strings.Cut(f, "/")
		seen[first] = true
		if folder && slices.Contains([]string{"internal", "pkg"}, strings.Split(rest, "/")[0]) {
			t.Errorf("%s: rooms have no internal or pkg", f)
		}
		if !folder && strings.HasSuffix(f, ".go") {
			t.Errorf("%s: no Go at the root", f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if !slices.Contains(topLevel, name) {
			t.Errorf("%s: not a name of the top level", name)
		}
	}
}

// TestNothingNamesThisMachine looks for what only holds where a file was
// written: home folders, the checkout's own path, and the hosts that this
// machine gets its packages from.
func TestNothingNamesThisMachine(t *testing.T) {
	root := repository(t)
	places := append(registries(root), root+"/", "/ro"+"ot/", "/ho"+"me/")
	for _, name := range tracked(t) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not yet committed
		} else if err != nil {
			t.Fatal(err)
		}
		for _, place := range places {
			if strings.Contains(string(text), place) {
				t.Errorf("%s: names %s, which holds on one machine only", name, place)
			}
		}
	}
}

// registries are the hosts in the settings of Go and of the package system.
func registries(root string) (hosts []string) {
	env := exec.Command("go", "env", "GOPROXY")
	env.Dir = root
	text, _ := env.Output()
	lists, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, list := range append(lists, "/etc/apt/sources.list") {
		more, _ := os.ReadFile(list)
		text = append(append(text, '\n'), more...)
	}
	for _, field := range strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune(" \t\n,|", r) }) {
		if _, rest, ok := strings.Cut(field, "://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			hosts = append(hosts, host[strings.LastIndex(host, "@")+1:])
		}
	}
	return hosts
}
