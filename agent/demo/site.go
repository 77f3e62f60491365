package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What the configuration says.
const (
	windowLabel = "turning"
	deviceOwner = "02-00-00-00-00-01" // the device as an owner of datasets
)

// A site is where the demo plays: a folder with keys, a configuration, a
// watched folder, the agent's spool and what the service received.
type site struct {
	dir     string
	program string // this program's own file
	service string // address of the ingestion service
	agent   string // address of the agent's API
	hmacKey []byte
	sensor  *accelerometer
}

func (s *site) watched() string       { return filepath.Join(s.dir, "recordings") }
func (s *site) received() string      { return filepath.Join(s.dir, "received") }
func (s *site) spool() string         { return filepath.Join(s.dir, "spool") }
func (s *site) receivedSpool() string { return filepath.Join(s.received(), ".edgespool") }
func (s *site) config() string        { return filepath.Join(s.dir, "edgespool.yaml") }
func (s *site) port() string          { return filepath.Join(s.dir, "accelerometer") }
func (s *site) apiKey() string        { return filepath.Join(s.dir, "api-key") }
func (s *site) hmac() string          { return filepath.Join(s.dir, "hmac-key") }
func (s *site) serviceURL() string    { return "http://" + s.service }
func (s *site) agentURL() string      { return "http://" + s.agent }

// newSite lays out the folder, which must be empty or not there.
func newSite(c Config) (*site, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return nil, fmt.Errorf("use folder %s: it is not empty; name another one with --dir", dir)
	}
	s := &site{dir: dir, program: c.Program, hmacKey: []byte(randomHex(16))}
	for _, category := range []string{"training", "testing", "anomaly"} {
		if err := os.MkdirAll(filepath.Join(s.watched(), category), 0o755); err != nil {
			return nil, fmt.Errorf("lay out demo: %w", err)
		}
	}
	for path, text := range map[string]string{s.apiKey(): "ei_" + randomHex(32), s.hmac(): string(s.hmacKey)} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("lay out demo: %w", err)
		}
	}
	if s.service, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.agent, err = freeAddress(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.config(), []byte(s.configuration()), 0o644); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	s.sensor = newAccelerometer(s.port())
	return s, s.sensor.Plug()
}

// configuration is what a person would write for this site.
func (s *site) configuration() string {
	return strings.NewReplacer("$SPOOL", s.spool(), "$PORT", s.port(), "$RECORDINGS", s.watched(),
		"$SERVICE", s.serviceURL(), "$APIKEY", s.apiKey(), "$HMACKEY", s.hmac(), "$AGENT", s.agent).Replace(`device:
  name: "02:00:00:00:00:01"
  type: EDGESPOOL_DEMO
spool:
  path: $SPOOL
  max_bytes: 256MiB
  min_free: 16MiB
  allow_volatile: true
sources:
  - name: accelerometer
    type: serial
    port: $PORT
    baud: 115200
    format: csv
    sensors: [{name: accX, units: m/s2}, {name: accY, units: m/s2}, {name: accZ, units: m/s2}]
    frequency: 100
    window: 1s
    label: turning
    category: split
    detect:
      - {type: threshold, axes: {accX: {min: -6, max: 6}}}
    report_at: 0.8
  - name: recordings
    type: directory
    path: $RECORDINGS
    settle: 1s
    after: delete
    label: filename
    category: folder
destinations:
  - name: studio
    type: edge-impulse
    url: $SERVICE
    api_key_file: $APIKEY
    hmac_key_file: $HMACKEY
api:
  listen: $AGENT
`)
}

// receive starts the ingestion service.
func (s *site) receive(ctx context.Context) (*child, error) {
	c, err := spawn(s.program, s.dir, "receive", "receive", "--dir", s.received(), "--listen", s.service, "--api-key-file", s.apiKey())
	if err != nil {
		return nil, err
	}
	return c, c.ready(ctx, s.serviceURL())
}

// run starts the agent.
func (s *site) run(ctx context.Context) (*child, error) {
	c, err := spawn(s.program, s.dir, "agent", "run", "--config", s.config())
	if err != nil {
		return nil, err
	}
	return c, c.ready(ctx, s.agentURL()+"/readyz")
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, says its documentation
	return hex.EncodeToString(b)
}
