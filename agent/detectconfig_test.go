package agent

import (
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/detect"
)

const shaft = `sources:
  - name: shaft
    type: serial
    port: /dev/ttyACM0
    sensors: [{name: accX}, {name: accY}]
    frequency: 100
`

// All that can be wrong with judging is said at once, with its place.
func TestFaultsOfDetectors(t *testing.T) {
	got := faultsOf(t, shaft+`    detect:
      - {type: threshold}
      - {type: threshold, axes: {accX: {min: 3, max: 2}, accZ: {rate: 5}, accY: {}}}
      - {type: statistic}
      - {type: statistics, warm_up: 5}
      - {type: model, path: model.eim, timeout: 1ms, anomaly_at: -1}
      - {type: command, name: "-odd"}
      - {type: command, name: second, command: [judge]}
      - {type: model, path: /srv/a.eim, pth: 3}
    report_at: 1.5
    report_as: testing
    keep_normal: 5%
    before: -1s
    after: 2h
    on_detection: {command: [ring], webhook: "ftp://x", every: 48h}
`)
	for _, want := range []string{
		":8:9: axes: there are no limits", ":9:9: detect[1]: two detectors are called threshold",
		":9:40: accX: min 3 is not below max 2", ":9:64: accZ: there is no sensor of this name", ":9:81: accY has no limit",
		`:10:16: unknown type "statistic"`, `did you mean "statistics"?`, "warm_up: 5 is out of range",
		`path: "model.eim" is not a full path`, "timeout: 1ms is out of range", "anomaly_at: -1 is not a score", `name: "-odd" cannot be used`,
		"no command is given", `command: "judge" is not a full path`, `unknown field "pth"`, `did you mean "path"?`,
		"report_at: 1.5 is not a score", `report_as: "testing" is not known here`, `keep_normal: "5%" is not a share`, "write all, or one in so many such as 1/100",
		`before: "-1s" is not a length of time`, "after: 2h0m0s is out of range", `command: "ring" is not a full path`,
		"webhook is not an address", "every: 48h0m0s is out of range",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("got:\n%s", got)
	}
}

func TestDetectorsOfFiles(t *testing.T) {
	const folder = "sources:\n  - name: in\n    type: directory\n    path: /srv/in\n    after: delete\n    detect: [{type: statistics}]\n"
	got := faultsOf(t, folder+"    keep_normal: 1/10\n")
	if !strings.Contains(got, ":6:13: detect: files are judged once they are in their category") || !strings.Contains(got, "add report_as: both") ||
		!strings.Contains(got, ":7:18: keep_normal, before and after are for windows of readings") {
		t.Errorf("got %s", got)
	}
	if c, err := ParseConfig("x", []byte(folder+"    report_as: both\n")); err != nil || c.Sources[0].Detect.After != 0 {
		t.Errorf("a folder whose files are judged and deleted: %v", err)
	}
}

func TestDetectorsWhereThereIsNothingToJudge(t *testing.T) {
	got := faultsOf(t, shaft+"    report_at: 0.9\n    on_detection: {webhook: \"http://x/y\"}\n")
	if !strings.Contains(got, "report_at counts only where something judges") || !strings.Contains(got, "on_detection counts only") {
		t.Errorf("got %s", got)
	}
	if got := faultsOf(t, "sources:\n  - name: in\n    path: /srv/in\n"); strings.Contains(got, "report_at") {
		t.Errorf("a source without a type is blamed for more: %s", got)
	}
}

func TestDefaultsOfDetectors(t *testing.T) {
	c, err := ParseConfig("x", []byte(shaft+"    detect: [{type: statistics}, {type: model, path: /srv/no/model.eim}]\n    keep_normal: 1/100\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Sources[0].Detect
	if d.ReportAt != 0.8 || d.ReportAs != detect.ReportAnomaly || d.KeepNormal != 100 || len(d.Detectors) != 2 || d.Detectors[0].Room.(*detect.StatisticsConfig).WarmUp != 200 {
		t.Errorf("got %+v", d)
	}
	if w := c.Warnings(); w == nil || !strings.Contains(w.Error(), "/srv/no/model.eim cannot be found") {
		t.Errorf("warnings: got %v, want that the model is missing", w)
	}
}
