package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// kills is how often the agent dies. The issue of the first release asks for 20.
const kills = 20

// TestKilledInTheMiddleOfEverything kills the agent with SIGKILL again and
// again while files fall into a watched folder (which deletes what it took),
// samples are posted to it, and a board writes lines. Every sample that was
// acknowledged must arrive, and none twice.
func TestKilledInTheMiddleOfEverything(t *testing.T) {
	wire, tty := openPTY(t)
	s := newSite(t, `
  - {name: inbox, type: directory, path: $DIR/inbox, settle: 50ms, after: delete, label: filename, category: split}
  - {name: lan, type: ingestion, api_key_file: $DIR/key}
  - {name: board, type: serial, port: `+tty.Name()+`, format: csv, frequency: 100, window: 500ms, label: hum, category: training,
     sensors: [{name: x, units: V}, {name: y, units: V}]}
`)
	if err := os.MkdirAll(s.path("inbox"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { chatter(ctx, wire) })
	var dropped, posted acknowledged
	work.Go(func() { dropFiles(ctx, t, s.path("inbox"), &dropped) })
	work.Go(func() { postSamples(ctx, s, &posted) })

	dice := rand.New(rand.NewPCG(1, 2))
	for range kills {
		s.run()
		<-time.After(time.Duration(200+dice.IntN(1500)) * time.Millisecond)
		s.agent.signal(syscall.SIGKILL)
		// A real port is exclusive until it is closed, by a death too. This one
		// stays open here, and would be closed to the next agent unless that
		// is root.
		if err := unix.IoctlSetInt(int(tty.Fd()), unix.TIOCNXCL, 0); err != nil {
			t.Fatal(err)
		}
	}
	s.run()
	s.until("the port is read in the last life as in the first", func() error {
		st, err := s.status()
		if err == nil && (len(st.Sources) != 3 || st.Sources[2].Readings == 0) {
			err = fmt.Errorf("got %+v", st.Sources)
		}
		return err
	})
	stop()
	work.Wait()

	s.until("the inbox is empty", func() error {
		left, err := filepath.Glob(s.path("inbox", "[^.]*"))
		if len(left) > 0 {
			return fmt.Errorf("%d files are still there", len(left))
		}
		return err
	})
	s.until("everything is delivered", s.drained)
	want := append(dropped.list(), posted.list()...)
	t.Logf("%d files dropped and %d posts acknowledged over %d kills", len(dropped.list()), len(posted.list()), kills)
	if len(dropped.list()) < 2*kills || len(posted.list()) < kills {
		t.Fatal("too little was going on for the kills to mean anything")
	}
	s.until("every acknowledged sample has arrived, once", func() error {
		got, err := received(s.path("received")) // fails if any sample is there twice
		if err != nil {
			return err
		}
		arrived := map[string]bool{}
		for _, a := range got {
			arrived[a.sha] = true
		}
		for _, sha := range want {
			if !arrived[sha] {
				return fmt.Errorf("a sample with SHA-256 %s is missing among %d", sha, len(got))
			}
		}
		return nil
	})
}

// openPTY returns the board's end and the port.
func openPTY(t *testing.T) (wire, tty *os.File) {
	t.Helper()
	wire, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close(); wire.Close() })
	return wire, tty
}

// chatter writes 100 readings a second until ctx ends; nobody may be
// listening, as on a real wire, so a full buffer drops them.
func chatter(ctx context.Context, wire *os.File) {
	beat := time.NewTicker(10 * time.Millisecond)
	defer beat.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			_ = wire.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
			_, _ = fmt.Fprintf(wire, "%d,%d.5\n", n%1000, n%77)
		}
	}
}

// acknowledged is a list of SHA-256 sums that somebody was promised.
type acknowledged struct {
	mu   sync.Mutex
	sums []string
}

func (a *acknowledged) add(body []byte) {
	sum := sha256.Sum256(body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sums = append(a.sums, hex.EncodeToString(sum[:]))
}

func (a *acknowledged) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sums
}

// dropFiles renames CSV files into the inbox; the folder is durable already,
// so each one that is complete there counts as acknowledged.
func dropFiles(ctx context.Context, t *testing.T, inbox string, done *acknowledged) {
	outside := t.TempDir()
	beat := time.NewTicker(60 * time.Millisecond)
	defer beat.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		body := fmt.Appendf(nil, "timestamp,x\n0,%d\n10,%d\n20,%d\n", n, n+1, n+2)
		name := fmt.Sprintf("drop.%d.csv", n)
		if err := os.WriteFile(filepath.Join(outside, name), body, 0o644); err != nil {
			t.Error(err)
			return
		}
		if err := os.Rename(filepath.Join(outside, name), filepath.Join(inbox, name)); err != nil {
			t.Error(err)
			return
		}
		done.add(body)
	}
}

// postSamples posts to the agent 50 times a second, the same sample again
// while the agent is away; only an answer of 200 with success counts.
func postSamples(ctx context.Context, s *site, done *acknowledged) {
	client := &http.Client{Timeout: 5 * time.Second}
	beat := time.NewTicker(20 * time.Millisecond)
	defer beat.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		body := fmt.Appendf(nil, "timestamp,y\n0,%d\n5,%d\n", n, -n)
		if err := post(ctx, client, s, fmt.Sprintf("post.%d.csv", n), body); err == nil {
			done.add(body)
			n++
		}
	}
}

func post(ctx context.Context, client *http.Client, s *site, name string, body []byte) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("data", name)
	if err != nil {
		return err
	}
	if _, err := part.Write(body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.api+"/api/testing/files", &form)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	req.Header.Set("X-Api-Key", s.key)
	req.Header.Set("X-Label", "post")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Files []struct {
			Success bool   `json:"success"`
			Error   string `json:"error"`
		} `json:"files"`
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode != http.StatusOK || len(answer.Files) != 1 || !answer.Files[0].Success {
		return fmt.Errorf("post %s: %s: %s", name, resp.Status, text)
	}
	return nil
}
