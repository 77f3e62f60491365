package agent

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/samplertest"
)

// call asks the agent's API and unpacks the answer.
func call(t *testing.T, h *house, method, path, body string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.Address()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d, %v", method, path, resp.StatusCode, err)
	}
}

// checkShown: what a detector found is in the detection history, and a program
// on site that asks for an anomaly score above 0.8 gets it from a stream.
func checkShown(t *testing.T, h *house) {
	t.Helper()
	var history struct {
		TotalCount int
		Data       []struct {
			Model      string
			Likelihood float64
			FileName   string
			Files      []struct{ URL string }
		}
	}
	samplertest.Until(t, "the shaking in the detection history", func() bool {
		call(t, h, "GET", "/v1/detection?minLikelihood=80&direction=asc", "", &history)
		return history.TotalCount >= 2
	}, nil)
	for _, d := range history.Data {
		if d.Model != "statistics" || d.Likelihood < 80 || !strings.HasSuffix(d.FileName, ".cbor") || len(d.Files) != 1 {
			t.Errorf("the history has %+v", d)
		}
	}

	owner := strings.Map(func(c rune) rune {
		if strings.ContainsRune("-_.", c) || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c
		}
		return '-'
	}, h.status().Device.Name)
	path := "/api/v1/datasets/" + url.PathEscape(owner) + "/anomaly/streams"
	var done struct{ Status string }
	call(t, h, "PUT", path, `{"stream": {"name": "alarms", "comment_filter": {"user_properties": {"number:Anomaly Score": {"minimum": 0.8}}},
		"model": {"version": 0, "label_thresholds": [{"name": ["Anomaly"], "threshold": 0.8}]}}}`, &done)
	call(t, h, "POST", path+"/alarms/reset", `{"to_comment_created_at": "1970-01-01T00:00:00Z"}`, &done)
	var batch struct {
		Filtered int
		Results  []struct {
			Comment struct {
				UserProperties map[string]any `json:"user_properties"`
			}
			Labels []struct {
				Name        []string
				Probability float64
			}
		}
	}
	call(t, h, "POST", path+"/alarms/fetch", `{"size": 16}`, &batch)
	if len(batch.Results) < 2 {
		t.Errorf("the stream gives %d alarms, the history has %d", len(batch.Results), history.TotalCount)
	}
	for _, r := range batch.Results {
		score, _ := r.Comment.UserProperties["number:Anomaly Score"].(float64)
		if score < 0.8 || len(r.Labels) != 1 || r.Labels[0].Name[0] != "Anomaly" || r.Labels[0].Probability <= 0.8 {
			t.Errorf("the stream gives %+v", r)
		}
	}
}
