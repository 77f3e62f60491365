package data

import (
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/edgespool/edgespool/spool"
)

// A requestID names a request and says where in the spool it is, so that
// nothing needs to be kept for it. In text it is req_ and 26 characters; for
// clients it means nothing.
type requestID struct {
	// at is the sequence of an add's first object, 48 bits; of an upload it
	// is when it was issued, in milliseconds since 1970.
	at uint64
	// count is the number of an add's objects; 0 marks an upload.
	count uint16
	nonce [8]byte
}

const requestPrefix = "req_"

var requestCode = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func (r requestID) String() string {
	b := binary.BigEndian.AppendUint64(nil, r.at<<16|uint64(r.count))
	return requestPrefix + requestCode.EncodeToString(append(b, r.nonce[:]...))
}

// upload tells whether the request's objects came, or are to come, as a file.
func (r requestID) upload() bool { return r.count == 0 }

func (r requestID) last() uint64 { return r.at + uint64(r.count) - 1 }

// parseRequestID reads what String has written, and nothing else.
func parseRequestID(text string) (r requestID, ok bool) {
	code, ok := strings.CutPrefix(text, requestPrefix)
	if !ok || len(code) != 26 {
		return requestID{}, false
	}
	b, err := requestCode.DecodeString(code)
	if err != nil || len(b) != 16 {
		return requestID{}, false
	}
	head := binary.BigEndian.Uint64(b)
	r = requestID{at: head >> 16, count: uint16(head), nonce: [8]byte(b[8:])}
	return r, r.String() == text
}

// The metadata of objects and results.
const (
	metaRequest = "request" // an object's: the nonce of its add, or the id of its upload; a result's: the id
	metaPlace   = "place"   // of an object in its add: index/count
	metaObject  = "object"  // of a result: its object's sequence
	metaFailed  = "failed"  // of a result: the object could not be judged
)

func (r requestID) nonceText() string { return hex.EncodeToString(r.nonce[:]) }

// requestOf finds the request that brought an object; empty if none did.
func requestOf(rec *spool.Record) string {
	place := rec.Metadata[metaPlace]
	if place == "" {
		return rec.Metadata[metaRequest]
	}
	var index uint64
	var r requestID
	if n, err := fmt.Sscanf(place, "%d/%d", &index, &r.count); n != 2 || err != nil || index > rec.Sequence {
		return ""
	}
	nonce, err := hex.DecodeString(rec.Metadata[metaRequest])
	if err != nil || len(nonce) != len(r.nonce) {
		return ""
	}
	r.nonce = [8]byte(nonce)
	r.at = rec.Sequence - index
	return r.String()
}
