// Package acquisition holds the data acquisition format of Edge Impulse: the
// signed document around a sample (CBOR or JSON), encoded, signed, decoded
// and verified, and the label files that lie beside samples. Same input, same
// bytes. It imports nothing of ours, so that anyone may import it.
package acquisition
