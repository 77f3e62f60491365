package spool

import (
	"os"
	"testing"
)

// soak tells whether the long forms of the harnesses are asked for; see
// scripts/soak.
func soak() bool { return os.Getenv("EDGESPOOL_SOAK") != "" }

// rounds is how often a harness goes round: long in scripts/soak, short in
// scripts/test, and a quarter of that under go test -short.
func rounds(short, long int) int {
	switch {
	case soak():
		return long
	case testing.Short():
		return max(short/4, 1)
	}
	return short
}
