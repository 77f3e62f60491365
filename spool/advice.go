package spool

import (
	"cmp"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The magic numbers of file systems without a journal (linux/magic.h).
const (
	magicFAT   = 0x4d44
	magicExFAT = 0x2011bab0
)

// Warnings says what is against the disk that the spool is to be on. A folder
// that is not there yet is taken to be on the disk of the one above it.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	path := c.Path
	if c.RequireMount {
		WarnOfMount(path, warn)
	}
	var st unix.Statfs_t
	for unix.Statfs(path, &st) != nil {
		if path == filepath.Dir(path) {
			return // opening it says more
		}
		path = filepath.Dir(path)
	}
	adviseOn(c.Path, uint32(st.Type), findCard(cmp.Or(c.root, "/"), path), warn)
}

// adviseOn warns of a kind of file system and of a card.
func adviseOn(path string, magic uint32, card Card, warn func(field, problem, remedy string)) {
	switch magic {
	case magicFAT, magicExFAT:
		warn("path", path+" is on a FAT file system, such as a boot partition has: it has no journal, and a power cut can cost the whole spool",
			"choose a folder on ext4")
	}
	if card.Speed == "none" {
		warn("path", path+" is on an SD card ("+card.Name+") without an application class: small writes are slow on it, and nothing is promised of its life",
			"take a high-endurance or industrial card of class A1 or A2, eMMC or an SSD")
	}
}
