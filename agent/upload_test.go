package agent

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// recordingService answers like the ingestion service and lists the names of
// the files it took.
func recordingService(t *testing.T, before func(request int) (status int)) (url string, names func() []string) {
	var mu sync.Mutex
	var got []string
	requests := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests++
		if status := before(requests); status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
		}
		var files, answers []string
		for form := multipart.NewReader(r.Body, params["boundary"]); ; {
			part, err := form.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				return // the client broke off
			}
			files = append(files, part.FileName())
			answers = append(answers, `{"success":true,"projectId":1,"sampleId":1,"fileName":"x"}`)
		}
		got = append(got, files...)
		fmt.Fprintf(w, `{"success":true,"files":[%s]}`, strings.Join(answers, ","))
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(got)
		return got
	}
}

func layFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func uploadTo(t *testing.T, url string, paths ...string) UploadConfig {
	c := NewUploadConfig()
	c.Paths, c.State, c.Destination.URL = paths, t.TempDir(), url
	c.Destination.APIKeyFile = filepath.Join(t.TempDir(), "key")
	layFile(t, c.Destination.APIKeyFile, "ei_test")
	return c
}

// TestUploadFileThatChanges: a file that is written to between its check and
// its sending is rejected alone, the others go on.
func TestUploadFileThatChanges(t *testing.T) {
	dir := t.TempDir()
	layFile(t, dir+"/a.wav", "RIFF one")
	layFile(t, dir+"/b.wav", "RIFF two")
	url, names := recordingService(t, func(request int) int {
		if request > 1 {
			return http.StatusOK
		}
		layFile(t, dir+"/a.wav", "RIFF one, and more")
		return http.StatusBadGateway
	})
	c := uploadTo(t, url, dir)
	c.Destination.Concurrency = 1 // each file is a request of its own, having its own label
	var refused []string
	c.Refused = func(path, reason string) { refused = append(refused, filepath.Base(path)+": "+reason) }
	r, err := Upload(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if want := (UploadResult{Files: 2, Bytes: 16, Stored: 1, Rejected: 1}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if len(refused) != 1 || !strings.HasPrefix(refused[0], "a.wav: ") || !strings.Contains(refused[0], errChanged.Error()) {
		t.Errorf("got %q", refused)
	}
	if got := names(); !slices.Equal(got, []string{"b.wav"}) {
		t.Errorf("got %q, want b.wav", got)
	}
}

// TestUploadNearestManifestWins: a file that two manifests list is sent once,
// as the nearer one says, and files that are gone are rejected.
func TestUploadNearestManifestWins(t *testing.T) {
	dir := t.TempDir()
	layFile(t, dir+"/training/a.wav", "RIFF one")
	layFile(t, dir+"/b.wav", "RIFF two")
	layFile(t, dir+"/training/info.labels", `{"version":1,"files":[{"path":"a.wav","name":"near","category":"training","label":{"type":"unlabeled"}}]}`)
	layFile(t, dir+"/info.labels", `{"version":1,"files":[
		{"path":"training/a.wav","name":"far","category":"training","label":{"type":"unlabeled"}},
		{"path":"gone.wav","category":"training","label":{"type":"unlabeled"}}]}`)
	url, names := recordingService(t, func(int) int { return http.StatusOK })
	r, err := Upload(t.Context(), uploadTo(t, url, dir))
	if err != nil {
		t.Fatal(err)
	}
	if want := (UploadResult{Files: 3, Bytes: 16, Stored: 2, Rejected: 1}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if got := names(); !slices.Equal(got, []string{"b.wav", "near.wav"}) {
		t.Errorf("got %q", got)
	}
	// The manifest alone means what it lists.
	if r, err = Upload(t.Context(), uploadTo(t, url, dir+"/training/info.labels")); err != nil || r.Files != 1 || r.Stored != 1 {
		t.Errorf("manifest alone: got %+v, %v", r, err)
	}
}

// TestUploadLargestFile: the largest file that Edge Impulse takes is sent, and
// one of a byte more is refused before that. Both are all holes.
func TestUploadLargestFile(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int64{"/fits.wav": 100<<20 - 1, "/huge.wav": 100 << 20} {
		layFile(t, dir+name, "")
		if err := os.Truncate(dir+name, size); err != nil {
			t.Fatal(err)
		}
	}
	url, names := recordingService(t, func(int) int { return http.StatusOK })
	c := uploadTo(t, url, dir)
	var refused string
	c.Refused = func(path, reason string) { refused = filepath.Base(path) + ": " + reason }
	r, err := Upload(t.Context(), c)
	if want := (UploadResult{Files: 2, Bytes: 100<<20 - 1, Stored: 1, Rejected: 1}); err != nil || r != want {
		t.Errorf("got %+v, %v, want %+v", r, err, want)
	}
	if got := names(); !slices.Equal(got, []string{"fits.wav"}) || !strings.Contains(refused, "huge.wav: it has 104857600 bytes") {
		t.Errorf("got %q, refused %q", got, refused)
	}
}

func TestUploadIntoSpool(t *testing.T) {
	dir := t.TempDir()
	layFile(t, dir+"/idle.1.wav", "RIFF one")
	layFile(t, dir+"/idle.2.wav", "RIFF one")
	layFile(t, dir+"/noise.csv", "timestamp,a\n0,1\n16,2\n")
	c := NewUploadConfig()
	c.Paths, c.Spool = []string{dir}, filepath.Join(t.TempDir(), "spool")
	for i, want := range []UploadResult{
		{Files: 3, Bytes: 37, Stored: 2, AlreadyThere: 1},
		{Files: 3, Bytes: 37, AlreadyThere: 3},
	} {
		if r, err := Upload(t.Context(), c); err != nil || r != want {
			t.Errorf("run %d: got %+v, %v, want %+v", i+1, r, err, want)
		}
	}
	sc := spool.DefaultConfig()
	sc.Path, sc.AllowVolatile = c.Spool, true
	s, err := spool.Open(sc)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Stats().Records; got != 2 {
		t.Errorf("got %d records in the spool, want 2", got)
	}
	if _, err := Upload(t.Context(), c); err == nil {
		t.Error("a spool that is held was opened")
	}
}

func TestFits(t *testing.T) {
	recs := []spool.Record{{Size: 10}, {Size: 10}, {Size: 30}, {Size: 1}}
	for _, tc := range []struct {
		limit spool.Limit
		want  int
	}{
		{spool.Limit{Records: 9, Bytes: 100}, 4},
		{spool.Limit{Records: 2, Bytes: 100}, 2},
		{spool.Limit{Records: 9, Bytes: 20}, 2},
		{spool.Limit{Records: 9, Bytes: 49}, 2},
		{spool.Limit{Records: 9, Bytes: 5}, 1},
	} {
		if got := fits(recs, tc.limit); got != tc.want {
			t.Errorf("%+v: got %d, want %d", tc.limit, got, tc.want)
		}
	}
}

func TestFileBodyEndsWhereItBegan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	layFile(t, path, "0123456789")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b := &fileBody{path: path, size: 20, changed: info.ModTime()}
	if _, err := b.Open(); err == nil {
		t.Error("a file of another length was opened")
	}
	b.size = 10
	r, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(path, 4); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	if f, ok := err.(fileFault); !ok || f.error != errChanged || !f.Is(spool.ErrDamaged) {
		t.Errorf("got %v, want %v", err, errChanged)
	}
	b.changed = info.ModTime().Add(-time.Second)
	b.size = 4
	if _, err := b.Open(); err == nil {
		t.Error("a file of another age was opened")
	}
}
