package acquisition_test

import (
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

func TestInferLabel(t *testing.T) {
	for name, want := range map[string]string{
		"idle.01.cbor":         "idle",
		"idle":                 "idle",
		"wave motion.1.wav":    "wave motion",
		"left-turn.3.json":     "left-turn",
		"_x.1.csv":             "_x",
		"noise12.wav":          "noise12",
		"0.5.csv":              "0",
		"späce.1.json":         "sp",
		"温度.1.json":            "",
		".hidden.json":         "",
		"a(b).1.csv":           "a",
		"a+b":                  "a",
		"a,b":                  "a",
		"a%20b":                "a",
		" lead.csv":            " lead",
		"a\u00a0b\u3000c.csv":  "a\u00a0b\u3000c", // white space in JavaScript
		"a\ufeffb.csv":         "a\ufeffb",
		"a\u0085b.csv":         "a", // none there, though one for Go
		"a\u200bb.csv":         "a",
		"a\xffb.csv":           "a",
		"":                     "",
		"folder/idle.1.csv":    "idle",
		`C:\folder\idle.1.csv`: "C",
	} {
		if got := acquisition.InferLabel(name); got != want {
			t.Errorf("InferLabel(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestContentType(t *testing.T) {
	for name, want := range map[string]string{
		"a.cbor": "application/cbor", "a.json": "application/json", "a.1.WAV": "audio/wav", "a.jpg": "image/jpeg",
		"a.jpeg": "image/jpeg", "a.png": "image/png", "a.csv": "text/csv", "a.txt": "text/plain", "a.mp4": "video/mp4",
		"a.avi": "video/avi", "a.parquet": "application/vnd.apache.parquet", "info.labels": "application/json",
		"a.bin": "application/octet-stream", "a": "application/octet-stream", "": "application/octet-stream",
	} {
		if got := acquisition.ContentType(name); got != want {
			t.Errorf("ContentType(%q) = %q, want %q", name, got, want)
		}
	}
}
