package dataset

import (
	"bytes"
	"fmt"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// A press makes whole documents of the payloads of windows.
type press struct {
	dated   func(*spool.Record) (time.Time, bool)
	signer  *acquisition.Signer
	payload bytes.Buffer
	made    []byte
}

// press reads the key anew, since it may have changed.
func (d *Destination) press() (*press, error) {
	var key []byte
	if d.hmacKey != nil {
		text, err := d.hmacKey.Reveal()
		if err != nil {
			return nil, fmt.Errorf("HMAC key: %w", err)
		}
		key = []byte(text)
	}
	signer, err := acquisition.NewSigner(key)
	if err != nil {
		return nil, fmt.Errorf("HMAC key: %w", err)
	}
	return &press{dated: d.dated, signer: signer}, nil
}

// document is dated where the date is known, and carries the record's id
// where a date of whole seconds does not tell it from an equal one.
func (p *press) document(rec *spool.Record) ([]byte, error) {
	body, err := rec.Body.Open()
	if err != nil {
		return nil, &sourceError{err}
	}
	defer body.Close()
	p.payload.Reset()
	if _, err := p.payload.ReadFrom(body); err != nil {
		return nil, &sourceError{err}
	}
	iat, uid := uploader.Stamp(rec, p.dated)
	p.made, err = p.signer.AppendEnvelope(p.made[:0], p.payload.Bytes(), iat, uid)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return p.made, nil
}
