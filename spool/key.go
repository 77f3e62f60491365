package spool

import (
	"encoding/binary"
	"fmt"
)

// The keys of a segment's database:
//
//	's' · length of dataset · dataset · last u64 · first u64 · records u32 · bytes u64 · created i64   a chunk
//	'p' · staged id (8 bytes) · number u32                                                             a part
//	'z'                                                                                                the seal
//
// The dataset stands before the sequences, so that a stream never meets
// another dataset's chunks, and the last sequence before the first, so that
// one forward seek finds the chunk that holds a sequence. Counting and
// locating need the keys alone.
const (
	prefixChunk = 's'
	prefixPart  = 'p'
	prefixSeal  = 'z'
	chunkTail   = 8 + 8 + 4 + 8 + 8
)

// key is where the block belongs in its segment's database.
func (b *block) key() []byte {
	be := binary.BigEndian
	switch b.kind {
	case kindChunk:
		k := datasetPrefix(b.name)
		k = be.AppendUint64(k, b.last)
		k = be.AppendUint64(k, b.first)
		k = be.AppendUint32(k, b.count)
		k = be.AppendUint64(k, uint64(b.bytes))
		return be.AppendUint64(k, uint64(b.created))
	case kindPart:
		return partKey(b.name, uint32(b.first))
	}
	return []byte{prefixSeal}
}

func datasetPrefix(dataset string) []byte {
	k := make([]byte, 0, 2+len(dataset)+chunkTail)
	return append(append(k, prefixChunk, byte(len(dataset))), dataset...)
}

func partKey(id string, number uint32) []byte {
	k := append(make([]byte, 0, 1+len(id)+4), prefixPart)
	return binary.BigEndian.AppendUint32(append(k, id...), number)
}

// seekKey is the place from which a forward scan meets every chunk of the
// dataset that has records from the sequence on.
func seekKey(dataset string, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(datasetPrefix(dataset), sequence)
}

// parseChunkKey gives back the header that a chunk's key repeats.
func parseChunkKey(k []byte) (block, error) {
	if len(k) < 2+chunkTail || k[0] != prefixChunk || len(k) != 2+int(k[1])+chunkTail {
		return block{}, fmt.Errorf("%w: %x is no chunk's key", ErrDamaged, k)
	}
	be, t := binary.BigEndian, k[2+int(k[1]):]
	return block{
		kind: kindChunk, name: string(k[2 : 2+int(k[1])]), last: be.Uint64(t), first: be.Uint64(t[8:]),
		count: be.Uint32(t[16:]), bytes: int64(be.Uint64(t[20:])), created: int64(be.Uint64(t[28:])),
	}, nil
}
