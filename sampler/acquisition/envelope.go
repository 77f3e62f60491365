package acquisition

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"unicode/utf8"
)

// signatureLength is that of an HMAC-SHA256 in hexadecimal.
const signatureLength = 64

// noSignature is what the C SDK writes where alg is none.
const noSignature = "00"

// zeroSignature holds the place of the signature while it is computed.
const zeroSignature = "0000000000000000000000000000000000000000000000000000000000000000"

// An Envelope is what a document says around its payload.
type Envelope struct {
	// IAT is when the sample was taken, in whole seconds since 1970; 0
	// leaves it out, as is right while the clock cannot be trusted.
	IAT int64
	// UID, if not empty, goes into payload.metadata.uid, so that equal
	// samples without a date are not taken for duplicates.
	UID string
	// Key is the HMAC key as text, never decoded from hexadecimal. nil
	// leaves the document unsigned (alg none); an empty one is refused.
	Key []byte
}

// AppendEnvelope appends the whole document around payload, which must be one
// that this package has encoded. Who makes many documents with one key uses a
// Signer. On an error dst comes back as it was.
func AppendEnvelope(dst, payload []byte, e Envelope) ([]byte, error) {
	s, err := NewSigner(e.Key)
	if err != nil {
		return dst, err
	}
	return s.AppendEnvelope(dst, payload, e.IAT, e.UID)
}

// A Signer makes documents of payloads with one key, without allocating. It
// must not be used concurrently.
type Signer struct {
	mac hash.Hash // nil without a key
	sum []byte
}

// NewSigner keeps the key's state; see Envelope.Key.
func NewSigner(key []byte) (*Signer, error) {
	if key == nil {
		return &Signer{}, nil
	}
	if len(key) == 0 {
		return nil, errEmptyKey
	}
	return &Signer{mac: hmac.New(sha256.New, key), sum: make([]byte, 0, sha256.Size)}, nil
}

var errEmptyKey = errors.New("sign document: the HMAC key is empty")

// AppendEnvelope is AppendEnvelope with the signer's key; see Envelope for
// iat and uid.
func (s *Signer) AppendEnvelope(dst, payload []byte, iat int64, uid string) ([]byte, error) {
	head, err := payloadHead(payload)
	if err != nil {
		return dst, fmt.Errorf("sign document: %w", err)
	}
	if !utf8.ValidString(uid) {
		return dst, errors.New("sign document: uid is not UTF-8")
	}
	start := len(dst)
	out, place := s.appendFront(dst, iat)
	if uid == "" {
		out = append(out, payload...)
	} else {
		out = append(append(out, payload[0]+1), payload[1:head]...)
		out = append(appendUID(out, uid), payload[head:]...)
	}
	s.sign(out[start:], place-start)
	return out, nil
}

// appendFront appends what stands before the payload; place is the offset of
// the signature in out.
func (s *Signer) appendFront(dst []byte, iat int64) (out []byte, place int) {
	algorithm, signature, pairs := algorithmNone, noSignature, uint64(2)
	if s.mac != nil {
		algorithm, signature = algorithmHS256, zeroSignature
	}
	if iat != 0 {
		pairs++
	}
	out = appendText(appendHead(dst, cborMap, 3), keyProtected)
	out = appendText(appendText(appendHead(out, cborMap, pairs), keyVersion), version1)
	out = appendText(appendText(out, keyAlgorithm), algorithm)
	if iat != 0 {
		out = appendInt(appendText(out, keyIssuedAt), iat)
	}
	out = appendText(appendText(out, keySignature), signature)
	return appendText(out, keyPayload), len(out) - len(signature)
}

func appendUID(dst []byte, uid string) []byte {
	dst = appendHead(appendText(dst, keyMetadata), cborMap, 1)
	return appendText(appendText(dst, "uid"), uid)
}

// sign writes the signature over the zeros at place.
func (s *Signer) sign(document []byte, place int) {
	if s.mac == nil {
		return
	}
	s.mac.Reset()
	s.mac.Write(document)
	s.sum = s.mac.Sum(s.sum[:0])
	hex.Encode(document[place:place+signatureLength], s.sum)
}

var errForeignPayload = errors.New("the payload is not in the layout that this program writes")

// payloadHead returns the offset of the key "values" in a payload that
// AppendPayload has written. It follows the layout key by key, so that no
// name of a device or sensor can be mistaken for a key.
func payloadHead(payload []byte) (int, error) {
	p := layout{rest: payload, ok: true}
	pairs := p.head(cborMap)
	if pairs == 5 {
		p.key(keyDeviceName)
		p.text()
	}
	p.key(keyDeviceType)
	p.text()
	p.key(keyInterval)
	p.float()
	p.key(keySensors)
	for sensors := p.head(cborArray); sensors > 0 && p.ok; sensors-- {
		p.ok = p.head(cborMap) == 2 && p.ok
		p.key(keyName)
		p.text()
		p.key(keyUnits)
		p.text()
	}
	head := len(payload) - len(p.rest)
	p.key(keyValues)
	if !p.ok || pairs != 4 && pairs != 5 || len(p.rest) < 2 || p.rest[0] != cborArray|cborIndefinite || payload[len(payload)-1] != cborBreak {
		return 0, errForeignPayload
	}
	return head, nil
}

// layout walks bytes that must be as this package writes them.
type layout struct {
	rest []byte
	ok   bool
}

// skip drops n bytes and returns them, or gives up.
func (p *layout) skip(n uint64) []byte {
	if !p.ok || n > uint64(len(p.rest)) {
		p.ok = false
		return nil
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *layout) head(major byte) uint64 {
	first := p.skip(1)
	if !p.ok || first[0]&^31 != major {
		p.ok = false
		return 0
	}
	arg := uint64(first[0] & 31)
	if arg < 24 {
		return arg
	}
	if arg > 27 {
		p.ok = false
		return 0
	}
	size := p.skip(1 << (arg - 24))
	arg = 0
	for _, b := range size {
		arg = arg<<8 | uint64(b)
	}
	return arg
}

func (p *layout) text() []byte { return p.skip(p.head(cborText)) }

func (p *layout) key(want string) {
	if !bytes.Equal(p.text(), []byte(want)) {
		p.ok = false
	}
}

func (p *layout) float() {
	first := p.skip(1)
	if !p.ok || first[0] < cborHalf || first[0] > cborDouble {
		p.ok = false
		return
	}
	p.skip(2 << (first[0] - cborHalf))
}
