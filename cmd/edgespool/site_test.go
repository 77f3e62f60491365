package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A site is a place as a user has it: an ingestion service (`edgespool
// receive`) and an agent (`edgespool run`), each a process of the real
// program, in a folder of their own.
type site struct {
	t      *testing.T
	dir    string // everything lives below
	url    string // of the ingestion service
	api    string // of the agent
	key    string // the service's key
	config string // path of the agent's configuration
	agent  *process
}

// siteHMACKey signs what the site's agent sends.
const siteHMACKey = "fed53116f20684c067774ebf9e7bcbdc"

// program is where the real program is: TestMain has put this test binary
// into PATH under its name.
func program() (string, error) { return exec.LookPath("edgespool") }

// newSite starts the ingestion service and writes the agent's configuration:
// sources is the YAML of its `sources:` list, in which $DIR is the
// site's folder.
func newSite(t *testing.T, sources string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("runs whole processes for a while; leave out -short to run it")
	}
	s := &site{t: t, dir: t.TempDir(), key: "ei_" + strings.Repeat("7", 64)}
	s.write("key", s.key+"\n")
	s.write("hmac-key", siteHMACKey+"\n")
	service, agent := freeAddress(t), freeAddress(t)
	s.url, s.api = "http://"+service, "http://"+agent
	s.start("service", "receive", "--dir", s.path("received"), "--listen", service, "--api-key-file", s.path("key"))
	s.until("the ingestion service answers", func() error {
		var health struct{}
		return getJSON(s.url+"/healthz", &health)
	})
	s.config = s.write("agent.yaml", fmt.Sprintf(`
device: {name: "b8:27:eb:12:34:56", type: RASPBERRY_PI}
spool: {path: %q, max_bytes: 600MiB, min_free: 16MiB, allow_volatile: true}
sources:
%s
destinations:
  - name: studio
    type: edge-impulse
    url: %s
    api_key_file: %s
    hmac_key_file: %s
    categories: [training, testing, anomaly]
api: {listen: %s}
`, s.path("spool"), strings.ReplaceAll(sources, "$DIR", s.dir), s.url, s.path("key"), s.path("hmac-key"), agent))
	return s
}

func (s *site) path(elem ...string) string { return filepath.Join(append([]string{s.dir}, elem...)...) }

func (s *site) write(name, text string) string {
	s.t.Helper()
	path := s.path(name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// run starts the agent and waits until its API answers.
func (s *site) run() {
	s.t.Helper()
	s.agent = s.start("agent", "run", "--config", s.config)
	s.until("the agent answers", func() error { _, err := s.status(); return err })
}

// status asks the agent how it is.
func (s *site) status() (agentStatus, error) {
	var st agentStatus
	err := getJSON(s.api+"/api/status", &st)
	return st, err
}

// agentStatus is what the tests read of GET /api/status.
type agentStatus struct {
	Spool struct {
		Records      int64  `json:"records"`
		NextSequence uint64 `json:"next_sequence"`
		Duplicates   uint64 `json:"duplicates"`
		Lost         uint64 `json:"lost"`
		Damaged      uint64 `json:"damaged"`
	} `json:"spool"`
	Sources []struct {
		Name     string `json:"name"`
		State    string `json:"state"`
		Samples  uint64 `json:"samples"`
		Readings uint64 `json:"readings"`
		Rejected uint64 `json:"rejected"`
		Dropped  uint64 `json:"dropped"`
		Error    string `json:"error"`
	} `json:"sources"`
	Destinations []struct {
		Name         string `json:"name"`
		State        string `json:"state"`
		Backlog      int64  `json:"backlog"`
		Stored       uint64 `json:"stored"`
		AlreadyThere uint64 `json:"already_there"`
		Rejected     uint64 `json:"rejected"`
		Error        string `json:"error"`
	} `json:"destinations"`
}

// drained is nil once nothing waits to be delivered.
func (s *site) drained() error {
	st, err := s.status()
	if err != nil {
		return err
	}
	for _, d := range st.Destinations {
		if d.Backlog > 0 || d.State == "sending" {
			return fmt.Errorf("%s is %s with a backlog of %d: %s", d.Name, d.State, d.Backlog, d.Error)
		}
	}
	return nil
}

// until asks again and again until check is content.
func (s *site) until(what string, check func() error) {
	s.t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	s.t.Fatalf("waited in vain until %s: %v", what, err)
}

// A process is one run of the program.
type process struct {
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan struct{}
}

// start runs the program; at the end of the test it is stopped, and if the
// test failed its log is shown.
func (s *site) start(name string, args ...string) *process {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.startProgram(name, path, args...)
}

// startProgram does that with the program at path.
func (s *site) startProgram(name, path string, args ...string) *process {
	s.t.Helper()
	p := &process{cmd: exec.Command(path, args...), log: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	s.t.Cleanup(func() {
		p.signal(syscall.SIGTERM)
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", name, tail(p.log.String(), 6000))
		}
	})
	return p
}

// signal sends sig and waits for the end; SIGKILL follows if that takes long.
func (p *process) signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// lastPort is the port that freeAddress gave last. It begins anywhere, so that
// two test runs on one machine hardly meet.
var lastPort atomic.Uint32

// freeAddress finds a loopback port that nobody has, each time another one,
// and below those that the kernel gives to whoever asks for any (32768 and
// up), so that it stays free until it is used.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, ports = 20000, 12000
	lastPort.CompareAndSwap(0, 1+rand.Uint32N(ports))
	for range ports {
		address := fmt.Sprintf("127.0.0.1:%d", first+lastPort.Add(1)%ports)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no loopback port is free")
	return ""
}

func getJSON(url string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("get %s: %s: %s", url, resp.Status, body)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
