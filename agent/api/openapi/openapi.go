// Package openapi holds the OpenAPI descriptions of the APIs that the agent
// serves around its spool, and gives them out. The .yaml files are the source;
// what is in the program are the .yaml.gz beside them (go generate).
package openapi

import (
	"compress/gzip"
	_ "embed" // the descriptions are part of the program
	"io"
	"io/fs"
	"net/http"
	"strings"
)

// Prefix is where Serve is to be mounted.
const Prefix = "/openapi/"

//go:generate gzip -9 -n -k -f streams.yaml data.yaml detection.yaml

// An embed.FS would add 12 KB to the program.
var (
	//go:embed streams.yaml.gz
	streams string
	//go:embed data.yaml.gz
	data string
	//go:embed detection.yaml.gz
	detection string
)

// index is what Prefix itself answers.
const index = `{"descriptions":["/openapi/streams.yaml","/openapi/data.yaml","/openapi/detection.yaml"]}` + "\n"

// Names are those of the descriptions, such as streams.yaml.
func Names() []string { return []string{"streams.yaml", "data.yaml", "detection.yaml"} }

// File is the text of a description; fs.ErrNotExist if there is none.
func File(name string) ([]byte, error) {
	packed := ""
	switch name {
	case "streams.yaml":
		packed = streams
	case "data.yaml":
		packed = data
	case "detection.yaml":
		packed = detection
	default:
		return nil, fs.ErrNotExist
	}
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Serve answers with the list of the descriptions, or with one of them; false
// if there is nothing at the path. Who may read is the server's business.
func Serve(w http.ResponseWriter, r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, Prefix)
	kind, text, err := "application/yaml", []byte(index), error(nil)
	if name == "" {
		kind = "application/json"
	} else {
		text, err = File(name)
	}
	if err != nil {
		return false
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(text) // a client that went away is nobody's fault
	return true
}
