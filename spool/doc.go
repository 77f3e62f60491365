// Package spool keeps records safe between now and later: a crash-safe log of
// records, a duplicate index, named streams over it, and what became of each
// record. It knows nothing of sensors or of networks, and it alone knows
// Badger.
//
// The folder, version 1 (everything in it carries a version of its own):
//
//	FORMAT                    version and epoch, with their checksum; the epoch marks the spool's own blocks
//	LOCK                      flock of the one agent; see feedNobody for its time
//	ballast                   allocated reserve, given up when the disk fills
//	meta/<generation>/        cursors, segment rows, boots, settings, remembered keys; see metaStore
//	seg/<first sequence>/     one small Badger for each segment; see segment, key.go, block, chunk.go
//	hist/<n>/                 exceptions and outcomes, rotated; see history
//	det/<n>/                  detections, rotated; see detections
//	….del, ….new of these     a deletion, a store built anew; ended at the next start
//	seen/<first>-<last>.run   identities of sealed segments; see run
//	quarantine/               stores that could not be opened, as they were, and damaged chunks
//
// What is acknowledged is in a segment whose value log was synced without a
// fault; see Spool.put. Only a block's own checksum is believed when it is
// read. A record's sequence is given by Append and is in its chunk; a segment
// is believed from its name up to the next segment's.
//
// The duplicate index is sorted files with filters in memory, and no Badger:
// that would wear the card ten times as much; run has the figures. It answers
// exactly, and forgets the oldest beyond its bound rather than grow.
//
// The order of the mutexes: a stream's, the spool's offerMu, mu and factMu,
// the segment table's, those of the detections, a store's. Whoever holds a later
// one takes no earlier.
package spool
