package detect

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
)

// TestMain lets the test binary be a model when it is called *.eim, and a
// program that judges when its first argument is judge.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case strings.HasSuffix(name, ".eim"):
		beModel(strings.TrimSuffix(name, ".eim"), os.Args[1])
		os.Exit(0)
	case len(os.Args) > 2 && os.Args[1] == "judge":
		beJudge(os.Args[2])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// modelFile is a model that behaves in this way.
func modelFile(t testing.TB, way string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), way+".eim")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func judgeCommand(t testing.TB, way string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, "judge", way}
}

const helloAnswer = `{"id":%d,"success":true,"model_parameters":{"axis_count":2,"frequency":10,"has_anomaly":1,"input_features_count":20,` +
	`"image_input_height":0,"image_input_width":0,"interval_ms":100,"label_count":2,"labels":["calm","wild"],"model_type":"classification","sensor":2,` +
	`"thresholds":[{"id":7,"type":"anomaly_kmeans","min_anomaly_score":0.5}]},"project":{"deploy_version":12,"id":1,"name":"pump","owner":"plant"}}`

// beModel speaks the protocol of a model, well or badly. Values of 5 crash,
// hang, or whatever else the way is; others are judged.
func beModel(way, socket string) {
	fmt.Println("what nobody reads", strings.Repeat("x", 1<<16))
	if way == "missing-library" {
		fmt.Fprintln(os.Stderr, "cannot open shared object file: libtensorflowlite_flex.so")
		os.Exit(127)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		panic(err)
	}
	conn, err := l.Accept()
	if err != nil {
		panic(err)
	}
	if way == "noisy" {
		go func() {
			for {
				fmt.Fprintln(os.Stderr, strings.Repeat("noise ", 100))
			}
		}()
	}
	requests := json.NewDecoder(conn)
	for asked := 0; ; asked++ {
		var r struct {
			ID       int64
			Hello    int
			Classify []float64
		}
		if requests.Decode(&r) != nil {
			return
		}
		answer := fmt.Sprintf(helloAnswer, r.ID)
		if r.Hello == 0 {
			answer = classify(way, asked, r.ID, r.Classify)
		}
		fmt.Fprintf(conn, "%s\n\x00", answer)
	}
}

// classify is what the model says of values: their largest one is the anomaly
// score, and 5 is where it misbehaves.
func classify(way string, asked int, id int64, values []float64) string {
	if len(values) != 20 {
		return fmt.Sprintf(`{"id":%d,"success":false,"error":"Invalid number of features in 'classify', expected 20 but got %d"}`, id, len(values))
	}
	largest := math.Inf(-1)
	for _, v := range values {
		largest = max(largest, v)
	}
	if largest == 5 {
		switch way {
		case "crash":
			fmt.Fprintln(os.Stderr, "segmentation fault, so to speak")
			os.Exit(3)
		case "hang":
			<-time.After(24 * time.Hour)
		case "flood":
			return strings.Repeat("[", 3<<20)
		case "nonsense":
			return "I feel fine"
		case "refuse":
			return fmt.Sprintf(`{"id":%d,"success":false,"error":"Classifying failed, error code was -5"}`, id)
		case "nothing":
			return fmt.Sprintf(`{"id":%d,"success":true,"result":{}}`, id)
		case "no-number":
			return fmt.Sprintf(`{"id":%d,"success":true,"result":{"classification":{"calm":null},"anomaly":null}}`, id)
		case "stale":
			return fmt.Sprintf(`{"id":%d,"success":true,"result":{"anomaly":9}}`+"\n\x00"+`{"id":%d,"success":true,"result":{"anomaly":0.25}}`, id-1, id)
		}
	}
	wild := min(max(largest/10, 0), 1)
	return fmt.Sprintf(`{"id":%d,"result":{"anomaly":%v,"classification":{"calm":%v,"wild":%v}},"success":true,"timing":{"anomaly":0,"classification":0,"dsp":0}}`,
		id, largest, 1-wild, wild)
}

// beJudge reads lines and answers them, well or badly.
func beJudge(way string) {
	if way == "leaves-a-child" { // which keeps what it inherited open
		c := exec.Command(os.Args[0], "judge", "sleep")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stderr, c.Process.Pid)
	}
	if way == "sleep" {
		<-time.After(24 * time.Hour)
	}
	if way == "slow-start" {
		<-time.After(700 * time.Millisecond)
	}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r struct {
			ID      uint64
			Source  string
			Sensors []sampler.Sensor
			Values  [][]float64
		}
		if err := json.Unmarshal(line, &r); err != nil || len(r.Sensors) != 2 || len(r.Values[0]) != 2 {
			fmt.Printf(`{"error":"cannot read it: %v"}`+"\n", err)
			continue
		}
		first := r.Values[0][0]
		if first == 5 {
			switch way {
			case "crash":
				os.Exit(3)
			case "hang", "leaves-a-child":
				<-time.After(24 * time.Hour)
			case "flood":
				fmt.Println(strings.Repeat("9", 3<<20))
			case "nonsense":
				fmt.Println("good")
				continue
			case "twice":
				fmt.Println(`{"score":0.1}`)
			case "beyond":
				fmt.Println(`{"score":17}`)
				continue
			case "deaf":
				_ = os.Stdin.Close()
				<-time.After(24 * time.Hour)
			}
		}
		fmt.Printf(`{"id":%d,"score":%v,"labels":{"loose":0.75,"fine":0.25},"reasons":["first is %v"],"version":"3"}`+"\n", r.ID, min(first/100, 1), first)
	}
}

// readings is a window of ten rows of two sensors whose values are these.
func readings(v float64) sampler.Case {
	c := sampler.Case{Source: "pump", Sensors: []sampler.Sensor{{Name: "accX"}, {Name: "accY"}}, Rows: 10, Hz: 10}
	for range 10 {
		c.Values = append(c.Values, v, v/2)
	}
	return c
}

// awaitOpinion asks until there is an answer, through the pauses after faults.
func awaitOpinion(t *testing.T, d detector, c sampler.Case) (o opinion) {
	t.Helper()
	samplertest.Until(t, "an answer", func() bool {
		var err error
		o, err = d.judge(t.Context(), c)
		return err == nil
	}, nil)
	return o
}

var quiet = slog.New(slog.DiscardHandler)

func TestTailKeepsTheEnd(t *testing.T) {
	var got tail
	for range 100 {
		if n, err := got.Write(bytes.Repeat([]byte("a"), 1000)); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = got.Write([]byte("the end\n"))
	if s := got.String(); len(s) != shownWords-1 || !strings.HasSuffix(s, "the end") {
		t.Errorf("got %d bytes: %q", len(s), s)
	}
}

// A child that lives on in its own child is ended with it.
func TestEndTakesTheWholeFamily(t *testing.T) {
	d := newCommand(&CommandConfig{Command: judgeCommand(t, "leaves-a-child"), Timeout: 500 * time.Millisecond})
	if o := awaitOpinion(t, d, readings(1)); o.score != 0.01 {
		t.Fatalf("got %+v", o)
	}
	var pid int
	said := d.process.child.said
	samplertest.Until(t, "the grandchild's number", func() bool {
		n, _ := fmt.Sscanf(said.String()+"\n", "%d\n", &pid)
		return n == 1
	}, nil)
	_, err := d.judge(t.Context(), readings(5))
	if err == nil || !strings.Contains(err.Error(), "nothing within 500ms") {
		t.Errorf("got %v, want a time-out", err)
	}
	samplertest.Until(t, "the grandchild's end", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z ")) // gone, or nobody reaps it here
	}, nil)
	d.close()
}
