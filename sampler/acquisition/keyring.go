package acquisition

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// shortKey is how many characters of a key the vendor's C SDK uses.
const shortKey = 32

// A keyring computes what the signature would be with the key, and with what
// faulty clients make of it, so that a mismatch can be explained.
type keyring struct {
	macs []hash.Hash
	how  []keyUse // of each of macs
}

// A keyUse is a way to use a key.
type keyUse struct {
	holds  bool
	remark string
}

func newKeyring(key []byte) (*keyring, error) {
	k := &keyring{}
	if key == nil {
		return k, nil
	}
	if len(key) == 0 {
		return nil, errEmptyKey
	}
	k.add(key, keyUse{holds: true})
	if len(key) > shortKey {
		k.add(key[:shortKey], keyUse{holds: true, remark: "the signature holds with the first 32 characters of the key, which is how the vendor's C SDK signs"})
	}
	if decoded, err := hex.DecodeString(string(key)); err == nil {
		k.add(decoded, keyUse{remark: "the signer decoded the key from hexadecimal, as linux-sdk-go does; the key is meant as text"})
	}
	return k, nil
}

func (k *keyring) add(key []byte, use keyUse) {
	k.macs = append(k.macs, hmac.New(sha256.New, key))
	k.how = append(k.how, use)
}

// judge decides on the signature once the whole document is hashed.
func (k *keyring) judge(s *Summary) {
	switch {
	case s.Algorithm == algorithmNone:
		s.Signature = Unsigned
		return
	case s.SignatureText == zeroSignature:
		s.Signature = Invalid
		s.Warnings = append(s.Warnings, "the signature is all zeros: the signer never filled it in")
		return
	case !isSignature([]byte(s.SignatureText)):
		s.Signature = Invalid
		s.Warnings = append(s.Warnings, "the signature is not 64 lower-case hexadecimal digits")
		return
	case len(k.macs) == 0:
		s.Signature = Unchecked
		return
	}
	s.Signature = Invalid
	for i, m := range k.macs {
		if !hmac.Equal([]byte(hex.EncodeToString(m.Sum(nil))), []byte(s.SignatureText)) {
			continue
		}
		if k.how[i].holds {
			s.Signature = Valid
		}
		if k.how[i].remark != "" {
			s.Warnings = append(s.Warnings, k.how[i].remark)
		}
		return
	}
}

// isSignature tells whether text is 64 lower-case hexadecimal digits.
func isSignature(text []byte) bool {
	if len(text) != signatureLength {
		return false
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
