package api

import (
	"bufio"
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The page works on a board without a network: it refers to nothing outside.
func TestPageNeedsNothingFromOutside(t *testing.T) {
	page := string(newDashboard().page)
	for _, pattern := range []string{`https?://`, `(?i)\bsrc\s*=`, `(?i)@import`, `(?i)url\(`, `(?i)<link[^>]+href="(?:[^d]|d[^a])`, `(?i)<(?:iframe|object|embed|base)\b`} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
}

// Names and errors come from outside; nothing of them may become markup.
func TestPageEscapesEverything(t *testing.T) {
	page := string(newDashboard().page)
	for _, pattern := range []string{`innerHTML`, `outerHTML`, `insertAdjacentHTML`, `document\.write`, `\beval\b`, `new Function`, `(?i)\son[a-z]+\s*="`, `(?i)\sstyle="`, `javascript:`} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
}

func TestPagePolicyAllowsItsOwnScriptAndStyleOnly(t *testing.T) {
	_, header, _ := ask(t, "GET", "http://"+start(t, Config{}, &testAgent{}, nil)+"/", "")
	policy := header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("policy %q lacks %q", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q allows inline code", policy)
	}
	if got, want := strings.Count(policy, "sha256-"), strings.Count(string(newDashboard().page), "<script>")+strings.Count(string(newDashboard().page), "<style>"); got != want || got != 2 {
		t.Errorf("policy has %d hashes for %d inline parts", got, want)
	}
}

// Every line of the metrics must be one that Prometheus' parser takes.
func TestMetricsFollowTheFormat(t *testing.T) {
	_, header, text := ask(t, "GET", "http://"+start(t, Config{}, &testAgent{}, nil)+"/metrics", "")
	if got := header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type: got %q", got)
	}
	line := regexp.MustCompile(`^(edgespool_[a-z0-9_]+)(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z]+="(?:[^"\\\n]|\\["\\n])*")*\})? (\S+)$`)
	typed, seen := map[string]string{}, map[string]bool{}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			if typed[name] != "" {
				t.Errorf("%s is typed twice", name)
			}
			typed[name] = kind
			continue
		}
		if strings.HasPrefix(s.Text(), "# HELP ") {
			continue
		}
		m := line.FindStringSubmatch(s.Text())
		if m == nil {
			t.Errorf("not a metric: %q", s.Text())
			continue
		}
		if typed[m[1]] == "" || seen[m[1]+m[2]] {
			t.Errorf("untyped or repeated: %q", s.Text())
		}
		seen[m[1]+m[2]] = true
		if _, err := strconv.ParseFloat(m[3], 64); err != nil {
			t.Errorf("%q: %v", s.Text(), err)
		}
	}
	for _, want := range []string{
		`edgespool_source_samples_total{source="vibration",type="serial"} 3`,
		`edgespool_source_up{source="a\"b\\\n",type="directory"} 0`,
		`edgespool_source_detail_total{source="vibration",type="serial",counter="reopened"} 2`,
		`edgespool_destination_stored_total{destination="studio",type="edge-impulse"} 3`,
		`edgespool_spool_max_bytes 2.147483648e+09`,
		`edgespool_spool_written_bytes_total 5000`, `edgespool_spool_written_bytes_per_day 700`,
		`edgespool_card_days_left{device="mmcblk0"} 365`, `edgespool_card_life_used_ratio{device="mmcblk0"} 0.2`,
		`edgespool_stream_lost_total{destination="studio",stream="studio/training"} 2`,
		`edgespool_build_info{version="1.2.3",`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// Clients can make any number of streams; the metrics stay as many as they are.
func TestMetricsOfConsumersAreBounded(t *testing.T) {
	_, _, text := ask(t, "GET", "http://"+start(t, Config{}, &testAgent{}, nil)+"/metrics", "")
	for _, want := range []string{
		`edgespool_detector_up{source="vibration",detector="pump",type="model"} 0`, `edgespool_detector_judged_total{source="vibration",detector="pump",type="model"} 7`,
		`edgespool_source_last_score{source="vibration"} 0.25`, "edgespool_detections 1", "edgespool_detections_max_bytes 1.6777216e+07",
		"edgespool_api_streams 100", `edgespool_api_stream_backlog_records{stream="pi/anomaly/063"} 63`, `edgespool_api_stream_exceptions{stream="pi/anomaly/000"} 2`,
		`edgespool_data_backlog_objects{namespace="orders"} 4`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if n := strings.Count(text, "edgespool_api_stream_backlog_records{"); n != 64 {
		t.Errorf("%d streams have metrics of their own, want 64", n)
	}
}

func TestPackedPageIsCurrent(t *testing.T) {
	source, err := os.ReadFile("dashboard.html")
	if err != nil || !bytes.Equal(source, newDashboard().page) {
		t.Errorf("dashboard.html.gz is not dashboard.html (%v): run go generate ./agent/api", err)
	}
}
