package acquisition

import "fmt"

// ParsePayloadHeader reads the header of a payload that AppendPayload has
// written, without its values. Others fail with ErrMalformed.
func ParsePayloadHeader(payload []byte) (PayloadHeader, error) {
	head, err := payloadHead(payload)
	if err != nil {
		return PayloadHeader{}, fmt.Errorf("read payload: %w: %w", ErrMalformed, err)
	}
	// The values are left out and an empty list stands for them.
	short := appendHead(appendText(append([]byte(nil), payload[:head]...), keyValues), cborArray, 0)
	t := tapeOf(short, nil)
	p := &parser{t: t, in: &cborFormat{tape: t}}
	if p.payload(); t.err != nil {
		return PayloadHeader{}, fmt.Errorf("read payload: %w", t.err)
	}
	return p.sum.PayloadHeader, nil
}
