package uploadertest

import (
	"fmt"
	"io"

	"github.com/edgespool/edgespool/spool"
)

// File makes a record of a whole file, as the spool hands it out.
func File(sequence uint64, dataset, name, label string, content []byte) spool.Record {
	body := spool.Bytes(content)
	return spool.Record{
		Sequence: sequence, Kind: spool.KindFile, Identity: body.SHA256(), SHA256: body.SHA256(),
		Name: name, Dataset: dataset, Label: spool.Label{Text: label},
		Source: "test", Size: body.Size(), Body: body,
	}
}

// Files makes n records of small CSV files, sequences from first on, all
// different.
func Files(first uint64, n int, dataset, label string) []spool.Record {
	records := make([]spool.Record, 0, n)
	for i := range uint64(n) {
		name := fmt.Sprintf("%s.%d.csv", dataset, first+i)
		records = append(records, File(first+i, dataset, name, label, fmt.Appendf(nil, "x\n%s %d\n", dataset, first+i)))
	}
	return records
}

// Damaged makes the record's body fail half way, as bytes do that the card
// has lost.
func Damaged(rec spool.Record) spool.Record {
	rec.Body = failingBody{rec.Body, spool.ErrDamaged}
	return rec
}

// Failing makes the record's body fail half way with err.
func Failing(rec spool.Record, err error) spool.Record {
	rec.Body = failingBody{rec.Body, err}
	return rec
}

type failingBody struct {
	spool.Body
	err error
}

func (b failingBody) Open() (io.ReadCloser, error) {
	r, err := b.Body.Open()
	if err != nil {
		return nil, err
	}
	half := io.LimitReader(r, b.Size()/2)
	return io.NopCloser(io.MultiReader(half, failingReader{b.err})), nil
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
