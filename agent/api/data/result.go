package data

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/edgespool/edgespool/spool"
)

// An Output is what a Judge says of an object.
type Output struct {
	// Actions are what is to be done, such as inspect.
	Actions []string `json:"actions"`
	Labels  []Label  `json:"labels"`
	// Fields are further findings; risk_score, from 0 to 1, is how sure the
	// judge is that something is wrong.
	Fields map[string]any `json:"fields"`
}

// A Label is one finding. Confidence is low, medium or high, or empty.
type Label struct {
	Label       string `json:"label"`
	Explanation string `json:"explanation,omitempty"`
	Confidence  string `json:"confidence,omitempty"`
}

// riskScore is the field of an output with the score.
const riskScore = "risk_score"

// A result is what became of one object, as the spool keeps it and as the
// wire shows it; URL is added on the way out.
type result struct {
	ID       string          `json:"id"`
	Output   json.RawMessage `json:"output,omitempty"`
	URL      string          `json:"url,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	// Error says why the object could not be judged; then there is no output.
	Error string `json:"error,omitempty"`
}

// resultRecord is the result of an object as a record. Its identity comes from
// the object's, so that an object has one result however often it is judged.
func (s *Service) resultRecord(n *namespace, rec *spool.Record, res result) (spool.Record, error) {
	text, err := json.Marshal(res)
	if err != nil {
		return spool.Record{}, fmt.Errorf("write result: %w", err)
	}
	out := spool.Record{
		Kind: spool.KindFile, Identity: sha256.Sum256(append([]byte("data result\x00"), rec.Identity[:]...)), Name: rec.Name,
		Dataset: resultsDataset + n.name, ContentType: "application/json", Source: rec.Source,
		DeviceName: rec.DeviceName, DeviceType: rec.DeviceType, Body: spool.Bytes(text),
		Metadata: map[string]string{metaRequest: requestOf(rec), metaObject: strconv.FormatUint(rec.Sequence, 10)},
	}
	if res.Error != "" {
		out.Metadata[metaFailed] = "true"
	}
	if s.deps.Now != nil {
		out.Time = s.deps.Now()
	}
	return out, nil
}

// readResult reads a result's record; a foreign one is an error.
func readResult(rec *spool.Record) (res result, err error) {
	text, err := readBody(rec)
	if err == nil {
		err = json.Unmarshal(text, &res)
	}
	if err != nil {
		return result{}, fmt.Errorf("read result: %w", err)
	}
	return res, nil
}

func readBody(rec *spool.Record) ([]byte, error) {
	r, err := rec.Body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// resultPage is how many results are read at a time.
var resultPage = spool.Limit{Records: 256, Bytes: 1 << 20}

// eachResult visits the results of a request in the order of its objects.
func (s *Service) eachResult(ctx context.Context, n *namespace, q request, visit func(rec *spool.Record) error) error {
	from := n.resultsFrom(q.first)
	for {
		recs, err := s.deps.Spool.ReadFrom(ctx, resultsDataset+n.name, from, resultPage)
		if err != nil || len(recs) == 0 {
			return err
		}
		for i := range recs {
			from = recs[i].Sequence + 1
			object, err := strconv.ParseUint(recs[i].Metadata[metaObject], 10, 64)
			switch {
			case err != nil:
				continue
			case object > q.last:
				return nil
			case recs[i].Metadata[metaRequest] != q.id:
				continue
			}
			if err := visit(&recs[i]); err != nil {
				return err
			}
		}
	}
}
