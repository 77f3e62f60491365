package edgeimpulse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// shortest is how long a window lasts at least whose date alone tells it from
// an equal one: dates have whole seconds.
const shortest = time.Second

// A press makes the documents of one request from the payloads of windows:
// dated and signed now, with the same bytes every time. It keeps two buffers
// and serves one reader at a time.
type press struct {
	dated    func(*spool.Record) (time.Time, bool)
	signer   *acquisition.Signer
	smallest []byte // a payload, to measure what goes around one
	payload  bytes.Buffer
	document []byte
}

func newPress(dated func(*spool.Record) (time.Time, bool), key []byte) (*press, error) {
	signer, err := acquisition.NewSigner(key)
	if err != nil {
		return nil, err
	}
	smallest, err := acquisition.AppendPayload(nil, acquisition.PayloadHeader{
		DeviceType: "X", Sensors: []acquisition.Sensor{{Name: "x", Units: "x"}},
	}, nil)
	if err != nil {
		return nil, err
	}
	return &press{dated: dated, signer: signer, smallest: smallest}, nil
}

// marks are the date and the uid of a record's document. A record without a
// date, or one so short that the next may have the same, carries its id, so
// that a machine at rest is not taken to repeat itself.
func (p *press) marks(rec *spool.Record) (iat int64, uid string) {
	at, ok := p.dated(rec)
	if ok {
		iat = at.Unix()
	}
	if iat <= 0 || rec.Length < shortest {
		uid = rec.ID()
	}
	return max(iat, 0), uid
}

// size is the length of the document: what goes around a payload does not
// depend on it.
func (p *press) size(rec *spool.Record) (int64, error) {
	iat, uid := p.marks(rec)
	document, err := p.signer.AppendEnvelope(p.document[:0], p.smallest, iat, uid)
	if err != nil {
		return 0, err
	}
	return int64(len(document)-len(p.smallest)) + rec.Body.Size(), nil
}

// open returns the document; it is valid until the next call.
func (p *press) open(rec *spool.Record) (io.ReadCloser, error) {
	body, err := rec.Body.Open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	p.payload.Reset()
	if _, err := p.payload.ReadFrom(body); err != nil {
		return nil, err
	}
	iat, uid := p.marks(rec)
	p.document, err = p.signer.AppendEnvelope(p.document[:0], p.payload.Bytes(), iat, uid)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return io.NopCloser(bytes.NewReader(p.document)), nil
}

// errUnusable marks a record that can never be sent.
var errUnusable = errors.New("record cannot be sent")
