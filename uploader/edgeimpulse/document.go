package edgeimpulse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

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

// size is the length of the document: what goes around a payload does not
// depend on it.
func (p *press) size(rec *spool.Record) (int64, error) {
	iat, uid := uploader.Stamp(rec, p.dated)
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
	iat, uid := uploader.Stamp(rec, p.dated)
	p.document, err = p.signer.AppendEnvelope(p.document[:0], p.payload.Bytes(), iat, uid)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return io.NopCloser(bytes.NewReader(p.document)), nil
}

// errUnusable marks a record that can never be sent.
var errUnusable = errors.New("record cannot be sent")
