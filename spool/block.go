package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// A block is the unit that the spool writes and believes: a chunk of records,
// a part of a large body, or a seal. It carries its own CRC-32C because
// Badger answers a damaged value with an empty one and no error, and it names
// itself in full, so that it can be found again in a value log whose database
// does not open any more. All integers are big-endian.
//
//	 0 magic "ESB1"    4 version   5 kind   6 flags (bit 0: zstd)   7 length of name
//	 8 epoch of the spool (so that a block inside somebody's payload is not ours)
//	16 first sequence, or number of the part     24 last sequence
//	32 records   36 length of body, plain   40 length of body, as stored
//	44 bytes of the records' bodies   52 created_at of the first record (ns)
//	60 CRC-32C of all the above, name and stored body   64 name   … body
//
// The name is the dataset of a chunk and the 8-byte id of a staged body.
type block struct {
	kind    byte
	epoch   uint64
	name    string
	first   uint64
	last    uint64
	count   uint32
	bytes   int64
	created int64
	raw     []byte // the body, plain
	split   int    // where a chunk's bodies begin in it
}

const (
	blockMagic   = 0x45534231
	blockVersion = 1
	blockHeader  = 64
	flagZstd     = 1

	kindChunk = 1
	kindPart  = 2
	kindSeal  = 3

	// maxRaw bounds what a block's header may make a reader allocate.
	maxRaw = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A codec writes and reads blocks. One encoder serves the one writer, and its
// arena has what one commit writes.
type codec struct {
	epoch uint64
	arena arena
	// anyEpoch: every spool's blocks are read, to find out which one's they are.
	anyEpoch bool

	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec(epoch uint64) (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxRaw))
	if err != nil {
		return nil, fmt.Errorf("make decompressor: %w", err)
	}
	return &codec{epoch: epoch, enc: enc, dec: dec}, nil
}

func (c *codec) close() {
	_ = c.enc.Close()
	c.dec.Close()
}

// encode returns the block's bytes in the arena. The body is compressed only
// where that saves a tenth of it. Only the writer calls it.
func (c *codec) encode(b *block) []byte {
	head := blockHeader + len(b.name)
	out := c.arena.take(head + len(b.raw))[:head]
	copy(out[blockHeader:], b.name)
	plain, flags := out, byte(0)
	if len(b.raw) >= 256 {
		out = c.compress(b, out)
	}
	if packed := len(out) - head; packed > 0 && packed <= worthIt(len(b.raw)) {
		flags = flagZstd
	} else {
		out = append(plain, b.raw...)
	}
	be := binary.BigEndian
	be.PutUint32(out[0:], blockMagic)
	out[4], out[5], out[6], out[7] = blockVersion, b.kind, flags, byte(len(b.name))
	be.PutUint64(out[8:], c.epoch)
	be.PutUint64(out[16:], b.first)
	be.PutUint64(out[24:], b.last)
	be.PutUint32(out[32:], b.count)
	be.PutUint32(out[36:], uint32(len(b.raw)))
	be.PutUint32(out[40:], uint32(len(out)-head))
	be.PutUint64(out[44:], uint64(b.bytes))
	be.PutUint64(out[52:], uint64(b.created))
	be.PutUint32(out[60:], blockSum(out))
	return out
}

// blockSum is the CRC-32C of a whole block without its own field.
func blockSum(whole []byte) uint32 {
	sum := crc32.Update(0, castagnoli, whole[:60])
	return crc32.Update(sum, castagnoli, whole[blockHeader:])
}

// header reads a block's header and checks the whole block's CRC, without
// unpacking its body. It returns the block's length in data.
func (c *codec) header(data []byte) (b block, size int, err error) {
	if len(data) < blockHeader || binary.BigEndian.Uint32(data) != blockMagic {
		return block{}, 0, fmt.Errorf("%w: no block where one should be", ErrDamaged)
	}
	be := binary.BigEndian
	stored, raw := be.Uint32(data[40:]), be.Uint32(data[36:])
	if stored > maxRaw || raw > maxRaw {
		return block{}, 0, fmt.Errorf("%w: a block of %d bytes cannot be", ErrDamaged, stored)
	}
	size = blockHeader + int(data[7]) + int(stored)
	if size > len(data) {
		return block{}, 0, fmt.Errorf("%w: block is cut short", ErrDamaged)
	}
	if be.Uint32(data[60:]) != blockSum(data[:size]) {
		return block{}, 0, fmt.Errorf("%w: block does not match its checksum", ErrDamaged)
	}
	if data[4] > blockVersion {
		return block{}, 0, fmt.Errorf("read block of version %d: %w", data[4], ErrNewer)
	}
	b = block{
		kind: data[5], epoch: be.Uint64(data[8:]), first: be.Uint64(data[16:]), last: be.Uint64(data[24:]),
		count: be.Uint32(data[32:]), bytes: int64(be.Uint64(data[44:])), created: int64(be.Uint64(data[52:])),
		name: string(data[blockHeader : blockHeader+int(data[7])]),
	}
	if b.epoch != c.epoch && !c.anyEpoch {
		return block{}, 0, fmt.Errorf("%w: block belongs to another spool", ErrDamaged)
	}
	return b, size, nil
}

// unpackHarmed unpacks a block whatever its checksum says, so that records which
// a flipped byte did not meet can be told by their own hashes.
func (c *codec) unpackHarmed(data []byte) (b block, err error) {
	if len(data) < blockHeader || len(data) < blockHeader+int(data[7]) || data[4] > blockVersion || data[5] != kindChunk {
		return block{}, fmt.Errorf("%w: no chunk", ErrDamaged)
	}
	b = block{kind: kindChunk, name: string(data[blockHeader : blockHeader+int(data[7])]), count: binary.BigEndian.Uint32(data[32:])}
	b.raw = data[blockHeader+len(b.name):]
	if data[6]&flagZstd != 0 {
		if b.raw, err = c.dec.DecodeAll(b.raw, nil); err != nil {
			return block{}, fmt.Errorf("%w: unpack block: %v", ErrDamaged, err)
		}
	}
	return b, nil
}

// decode checks and unpacks a block; its raw body is memory of its own.
func (c *codec) decode(data []byte) (block, error) {
	b, size, err := c.header(data)
	if err != nil {
		return block{}, err
	}
	if size != len(data) {
		return block{}, fmt.Errorf("%w: block has %d bytes too many", ErrDamaged, len(data)-size)
	}
	body := data[blockHeader+len(b.name) : size]
	want := int(binary.BigEndian.Uint32(data[36:]))
	if data[6]&flagZstd == 0 {
		b.raw = append([]byte(nil), body...)
	} else if b.raw, err = c.dec.DecodeAll(body, make([]byte, 0, want)); err != nil {
		return block{}, fmt.Errorf("%w: unpack block: %v", ErrDamaged, err)
	}
	if len(b.raw) != want {
		return block{}, fmt.Errorf("%w: block unpacks to %d bytes, not %d", ErrDamaged, len(b.raw), want)
	}
	return b, nil
}
