package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// isTerminal tells whether a person is looking: progress, colours and what is
// written over in place are for them only.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
