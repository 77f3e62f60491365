package spool

import (
	"crypto/sha256"
	"encoding/hex"
)

func sha256Sum(b []byte) [32]byte { return sha256.Sum256(b) }

// hexPrefix writes the first 12 bytes of an identity: enough to be unique in
// a spool and short enough for a file name.
func hexPrefix(id [32]byte) string { return hex.EncodeToString(id[:12]) }
