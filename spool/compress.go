package spool

import "encoding/binary"

// worthIt is the most that a compressed body may take instead of the plain one.
func worthIt(plain int) int { return plain - plain/10 }

// compress appends the block's body as one frame, or as two if it is a chunk.
// Bodies that are noise to a compressor, as pictures and sound files are, go
// into their frame as they are, or nowhere: it appends nothing where the rest
// alone cannot be worth it.
func (c *codec) compress(b *block, out []byte) []byte {
	head, bodies := len(out), b.raw[b.split:]
	if b.split > 0 {
		out = c.enc.EncodeAll(b.raw[:b.split], out)
	}
	switch {
	case len(bodies) == 0:
		return out
	case !noisy(bodies):
		return c.enc.EncodeAll(bodies, out)
	case len(out)-head+len(bodies) > worthIt(len(b.raw)):
		return out[:head]
	}
	return appendStored(out, bodies)
}

// noisy tells of a look at some 4 KiB, spread evenly, whether all byte values
// come about as often as each other: two bytes are the same hardly more often
// than once in 256 times. At one in 213 there are 7.7 bits in a byte at the
// least (its collision entropy), so that no code for single bytes saves more
// than a 25th. Repeats of long stretches are not looked for: records are not
// each other's duplicates.
func noisy(data []byte) bool {
	const piece, pieces = 64, 64
	if len(data) < piece*pieces {
		return false // it costs little to try
	}
	var seen [256]int
	step := len(data) / pieces
	for at := 0; at+piece <= len(data); at += step {
		for _, v := range data[at : at+piece] {
			seen[v]++
		}
	}
	total, same := 0, 0
	for _, n := range seen {
		total += n
		same += n * (n - 1)
	}
	return same*213 < total*(total-1)
}

// appendStored appends a zstd frame that holds the bytes as they are (RFC 8878,
// sections 3.1.1 and 3.1.1.2): one segment with its size, and raw blocks.
func appendStored(out, data []byte) []byte {
	const largest = 128 << 10 // Block_Maximum_Size
	le := binary.LittleEndian
	out = le.AppendUint32(out, 0xFD2FB528)
	out = le.AppendUint32(append(out, 2<<6|1<<5), uint32(len(data))) // a size of 4 bytes, and no window
	for last := 0; last == 0; {
		n := min(len(data), largest)
		if n == len(data) {
			last = 1
		}
		head := n<<3 | last
		out = append(append(out, byte(head), byte(head>>8), byte(head>>16)), data[:n]...)
		data = data[n:]
	}
	return out
}
