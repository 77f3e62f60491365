package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds what is read of an answer of the agent.
const maxAnswer = 4 << 20

// ask asks the agent's API and unpacks the answer, which must be 200.
func (s *site) ask(ctx context.Context, method, path, body string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.agentURL()+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// agentStatus is what the demo wants to know of the agent's status.
type agentStatus struct {
	Destinations []struct {
		Backlog int64
		Streams []struct {
			Name    string
			Backlog int
		}
	}
}

// anomalies is how many anomalies the agent says that wait for the service.
func (s *site) anomalies(ctx context.Context) (n int) {
	var status agentStatus
	if s.ask(ctx, http.MethodGet, "/api/status", "", &status) != nil {
		return 0
	}
	for _, d := range status.Destinations {
		for _, stream := range d.Streams {
			if stream.Name == "studio/anomaly" {
				n += stream.Backlog
			}
		}
	}
	return n
}

// backlog is how many records the agent says are not delivered; -1 if it
// does not answer.
func (s *site) backlog(ctx context.Context) (n int64) {
	var status agentStatus
	if s.ask(ctx, http.MethodGet, "/api/status", "", &status) != nil || len(status.Destinations) == 0 {
		return -1
	}
	for _, d := range status.Destinations {
		n += d.Backlog
	}
	return n
}
