package spool

import "golang.org/x/sys/unix"

// limits are the sizes that follow from the board's memory and the cap.
type limits struct {
	segment    int64 // payload of a segment
	queue      int64 // bytes waiting for the writer before Append blocks
	openSealed int   // sealed segments mapped at a time
	remembered int   // identities in the duplicate index
	ballast    int64
	hist       int64 // payload of one history store
	detections int64 // and of one store of detections
}

// The payload of a segment by class of board.
const (
	smallBoard  = 8 << 20
	mediumBoard = 16 << 20
	largeBoard  = 32 << 20
)

// The memory that a board of these classes has at least.
const (
	mediumMemory = 384 << 20
	largeMemory  = 768 << 20
)

// minMaxBytes is the smallest cap: four segments of the smallest class and
// 16 MiB for everything else.
const minMaxBytes = 4*smallBoard + 16<<20

// Class is the class of a board with that memory, in bytes, which the spool's
// limits follow: small, medium or large.
func Class(memory int64) string {
	switch {
	case memory < mediumMemory:
		return "small"
	case memory < largeMemory:
		return "medium"
	}
	return "large"
}

// boardLimits finds the limits for a board with that memory and cap.
func boardLimits(memory, maxBytes int64) limits {
	l := limits{segment: largeBoard, queue: 4 << 20, openSealed: 4, remembered: 2_000_000}
	switch {
	case memory < mediumMemory:
		l = limits{segment: smallBoard, queue: 1 << 20, openSealed: 2, remembered: 300_000}
	case memory < largeMemory:
		l = limits{segment: mediumBoard, queue: 2 << 20, openSealed: 2, remembered: 1_000_000}
	}
	l.segment = min(l.segment, max(maxBytes/16, 1<<20))
	l.ballast = min(2*mapMargin, maxBytes/16) // what opening meta takes, and the margin
	l.hist = min(2<<20, max(maxBytes/32, 1<<20))
	l.detections = detectionsLimit(memory, maxBytes)
	return l
}

// boardMemory is the machine's memory in bytes; a small board's if unknown.
func boardMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 256 << 20
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit))
}

// The shapes of the three kinds of store. A segment takes no more keys than
// its memtable holds, so that Badger never flushes one while it is written.
const (
	memTableBytes = 1 << 20
	inlineValue   = 32
	metaInline    = 1 << 10
	metaLog       = 2 << 20
	// txnBytes bounds what one transaction writes to the value log.
	txnBytes = 1 << 20
	// keysPerSegment is how many keys of up to keyBytes a segment takes, so
	// that they fit into its memtable; longer ones count as more (keyUnits).
	keysPerSegment = 4800
	keyBytes       = 72
	// recordsPerSegment bounds the identities held in memory for the active
	// segment.
	recordsPerSegment = 32768
)

// segmentShape leaves room in the log for the one transaction that passes the
// limit: the largest chunk is a slice with one envelope at its limit.
func segmentShape(payload int64) storeShape {
	return storeShape{memTable: memTableBytes, log: max(payload, 1<<20) + 2*txnBytes, inline: inlineValue}
}

// historyShape is that of a segment, but for the syncs: what a history holds
// cannot be found again without its keys.
func historyShape(payload int64) storeShape {
	shape := segmentShape(payload)
	shape.synced = true
	return shape
}

// keyUnits is what a key of that length counts for. In the memtable it takes,
// with Badger's number of its commit, pointer, node and end of transaction, at
// most 126 bytes more than its length (badger v4, skl and memtable.go).
func keyUnits(length int) int { return (length + 127 + keyBytes + 128 - 1) / (keyBytes + 128) }

// storeOverhead is what a store takes beside its logs (manifest, discard
// statistics, key registry, the table made at Close).
const storeOverhead = 1 << 20

// disk is the most that a store of this shape takes.
func (s storeShape) disk() int64 { return s.log + s.memTable + storeOverhead }
