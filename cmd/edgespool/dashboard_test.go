package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/creack/pty"
	"golang.org/x/term"
)

// hostile is a text that becomes a program where it is taken for markup.
const hostile = `<img src=x onerror="window.taken=1">`

// TestDashboardInABrowser looks at a running agent with a real browser and
// labels what it collects with the page's buttons.
func TestDashboardInABrowser(t *testing.T) {
	b := newBrowser(t)
	s := dashboardSite(t)
	call(b, chromedp.EmulateViewport(1280, 900))
	call(b, chromedp.Navigate(s.api+"/"))
	seesEverything(b, s)
	labelsByButton(b)
	b.quiet()
	showsTextAsText(b)
	fitsEveryReader(b)
	b.quiet()
	tellsThatTheAgentIsGone(b, s)
	if others, asked := b.strangers(s.api); len(others) > 0 || asked < 10 {
		t.Errorf("of %d requests, these went elsewhere: %q", asked, others)
	}
	arrivedAsLabelled(t, s)
}

// dashboardSite runs an agent with a sensor on a port, a folder, a folder that
// is not there, and a destination that is away besides the one that is not.
func dashboardSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, fmt.Sprintf(`
  - {name: vibration, type: serial, port: %s, format: csv, frequency: 50, window: 500ms, label: idle,
     sensors: [{name: accX, units: m/s2}, {name: accY, units: m/s2}, {name: accZ, units: m/s2}],
     detect: [{type: threshold, axes: {accX: {min: -1000, max: 1000}}}]}
  - {name: recordings, type: directory, path: $DIR/inbox, settle: 100ms, label: filename, category: folder, default_category: training}
  - {name: missing, type: directory, path: '$DIR/%s'}
`, sensorPort(t), hostile))
	if err := os.Mkdir(s.path("inbox"), 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	away := fmt.Sprintf("\n  - {name: away, type: edge-impulse, url: \"http://%s\", api_key_file: %s}\napi:", freeAddress(t), s.path("key"))
	s.write("agent.yaml", strings.Replace(string(text), "\napi:", away, 1))
	s.run()
	return s
}

// sensorPort is a pty on which a sensor prints three values 50 times a
// second, and sometimes nonsense, until the test ends.
func sensorPort(t *testing.T) string {
	t.Helper()
	wire, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	// A sensor does not wait for its reader; taking the descriptor out of a
	// file made it wait, and deadlines need one that does not.
	if err := syscall.SetNonblock(int(wire.Fd()), true); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		beat := time.NewTicker(20 * time.Millisecond)
		defer beat.Stop()
		for n := 0; ; n++ {
			select {
			case <-t.Context().Done():
				return
			case <-beat.C:
			}
			line := fmt.Sprintf("%d,%d.5,9.81\r\n", n%1000, n/1000)
			if n%200 == 199 {
				line = hostile + "\r\n"
			}
			_ = wire.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = wire.WriteString(line) // nobody may be reading
		}
	}()
	t.Cleanup(func() { <-stopped; tty.Close(); wire.Close() })
	return tty.Name()
}

// onCard is the text of a part of a card, rowOf the figure in one of its rows.
func onCard(card, part string) string {
	return fmt.Sprintf("document.querySelector('section[data-key=%q] %s').textContent", card, part)
}

func rowOf(card, name string) string {
	return fmt.Sprintf("([...document.querySelectorAll('section[data-key=%q] dt')].find((d) => d.textContent === %q)?.nextSibling.textContent ?? '')", card, name)
}

// seesEverything wants each source, the spool and each destination with its
// state in words, and figures that change without a reload.
func seesEverything(b *browser, s *site) {
	b.t.Helper()
	b.see("the cards", "document.querySelectorAll('section.card').length === 6")
	b.see("no readers", "document.querySelector('#consumers').hidden")
	s.start("streams", "streams", "create", "training/lamp", "--url", s.api)
	b.see("the reader's stream", "/\\d+ samples/.test(document.querySelector('#streams').textContent)")
	b.see("who judges", "/^ready, \\d+ window/.test("+rowOf("vibration", "detector threshold")+")")
	b.see("no anomalies", rowOf("vibration", "anomalies")+" === 'none'")
	for card, state := range map[string]string{"vibration": "running", "recordings": "running", "missing": "waiting", "on this disk": "well", "away": "waiting"} {
		b.see(card+" "+state, onCard(card, ".state")+".includes('"+state+"')")
	}
	b.see("what is wrong", onCard("away", ".fault")+".includes('refused')")
	b.see("what is at risk", onCard("on this disk", ".kind")+".includes('the 1 s before it')")
	b.see("the sum of it", "document.querySelector('#sum').textContent.includes('2 things need a look')")
	ask[bool](b, "window.loadedOnce = true")
	before := ask[string](b, rowOf("vibration", "readings"))
	b.see("more readings", rowOf("vibration", "readings")+" !== "+fmt.Sprintf("%q", before))
	if err := os.WriteFile(s.path("inbox", "wave.one.csv"), []byte("timestamp,x\n0,1\n10,2\n20,3\n"), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.see("the file", rowOf("recordings", "samples")+" === '1'")
	b.see("samples stored", "Number("+rowOf("studio", "stored there")+") > 3")
	b.see("the rate of readings", "/ \\(\\d+\\/s\\)$/.test("+rowOf("vibration", "readings")+")")
	b.see("the same page as before", "window.loadedOnce")
}

// labelsByButton labels for a time, for good, with markup, and pauses.
func labelsByButton(b *browser) {
	b.t.Helper()
	const form = "section[data-key=vibration] "
	now, category, samples := rowOf("vibration", "label now"), rowOf("vibration", "category now"), rowOf("vibration", "samples")
	more := func() { // samples as they are labelled now
		b.t.Helper()
		n := ask[string](b, samples)
		b.see("another sample", samples+" !== '"+n+"'")
		n = ask[string](b, samples)
		b.see("another sample", samples+" !== '"+n+"'")
	}
	b.enter(form+"[name=label]", "shake")
	more() // whoever types is not disturbed by news
	if got := ask[string](b, "document.activeElement.value"); got != "shake" {
		b.t.Errorf("the field has %q after news, want shake and the focus", got)
	}
	b.enter(form+"[name=seconds]", "5")
	b.press(form + "[name=start]")
	b.see("the label for a time", now+".startsWith('shake, ') && "+now+".endsWith('\u00a0s left')")
	b.see("a way to end it", "!document.querySelector('"+form+"[name=end]').hidden")
	b.see("the former label again", now+" === 'idle'")
	more()
	b.enter(form+"[name=label]", "still")
	call(b, chromedp.SetValue(chromedp.CSS(form+"[name=category]"), "testing"))
	b.press(form + "[name=set]")
	b.see("the label for good", now+" === 'still' && "+category+" === 'testing'")
	more()
	b.enter(form+"[name=label]", hostile)
	b.press(form + "[name=set]")
	b.see("markup as a label", now+".startsWith('<img src=x')")
	more()
	b.press(form + "[name=pause]")
	b.see("the pause", onCard("vibration", ".state")+".includes('paused')")
	b.see("a way on", onCard("vibration", "[name=pause]")+" === 'Resume'")
	b.press(form + "[name=pause]")
	b.see("it going on", onCard("vibration", ".state")+".includes('running')")
	more()
}

// showsTextAsText wants markup in errors, bad lines, labels and even names to
// be shown letter by letter.
func showsTextAsText(b *browser) {
	b.t.Helper()
	b.see("the folder's name", onCard("missing", ".fault")+".includes('<img src=x onerror')")
	b.see("the bad line", onCard("vibration", ".note")+".includes('<img src=x onerror')")
	text := fmt.Sprintf("%q", hostile)
	ask[bool](b, `(() => { // the agent refuses such names; another version might not
		const odd = (x) => ({ ...x, name: `+text+` + x.name, state: `+text+`, type: `+text+`, error: `+text+`, label: `+text+`, category: `+text+`, last_bad: `+text+` });
		last = { ...last, version: `+text+`, device: { name: `+text+`, type: `+text+` }, sources: last.sources.map(odd), destinations: last.destinations.map(odd) };
		show();
		return true;
	})()`)
	if n := ask[int](b, "document.images.length"); n != 0 {
		b.t.Errorf("%d texts became images", n)
	}
	b.see("ordinary names again", "document.querySelector('section[data-key=vibration]')")
	if ask[bool](b, "window.taken === 1") {
		b.t.Error("a text from outside ran as a program")
	}
}

// unreadable lists texts with too little contrast (WCAG 2: 4.5 to 1).
const unreadable = `(() => {
	const light = (c) => { const v = c.match(/[\d.]+/g).slice(0, 3).map((x) => x / 255).map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
	return [...document.querySelectorAll('body *')].filter((e) => e.getClientRects().length && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
		.map((e) => { const a = light(getComputedStyle(e).color), b = light(behind(e)); return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + ' ' + e.textContent.slice(0, 40)]; })
		.filter(([r]) => r < 4.5).map(([r, what]) => what + ' ' + r.toFixed(1));
})()`

func (b *browser) readable(when string) {
	b.t.Helper()
	if got := ask[[]string](b, unreadable); len(got) > 0 {
		b.t.Errorf("%s: too little contrast: %q", when, got)
	}
}

// fitsEveryReader tries dark and light, a wide screen and a small phone, and
// looks for fields without a name.
func fitsEveryReader(b *browser) {
	b.t.Helper()
	for _, screen := range []struct {
		name          string
		width, height int64
	}{{"phone", 360, 740}, {"desktop", 1280, 900}} {
		call(b, chromedp.EmulateViewport(screen.width, screen.height))
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			b.readable(screen.name + ", " + scheme)
			b.picture(screen.name + "-" + scheme)
		}
		if got := ask[int64](b, "document.documentElement.scrollWidth"); got > screen.width {
			b.t.Errorf("%s: the page is %d wide", screen.name, got)
		}
		if got := ask[[]string](b, `[...document.querySelectorAll('button, input, select')].filter((e) => e.getClientRects().length).filter((e) => {
			const r = e.getBoundingClientRect(); return r.height < 44 || r.width < 44 || r.left < 0 || r.right > innerWidth; }).map((e) => e.name)`); len(got) > 0 {
			b.t.Errorf("%s: cannot be hit by a thumb: %q", screen.name, got)
		}
	}
	if got := ask[[]string](b, "[...document.querySelectorAll('input, select')].filter((e) => !e.labels.length).map((e) => e.name)"); len(got) > 0 {
		b.t.Errorf("fields without a label: %q", got)
	}
}

// tellsThatTheAgentIsGone stops the agent and starts it again, with a token.
func tellsThatTheAgentIsGone(b *browser, s *site) {
	b.t.Helper()
	s.agent.signal(syscall.SIGTERM)
	b.see("that nobody answers", "document.querySelector('#sum').textContent.includes('No answer from the agent')")
	b.see("old figures marked as old", "document.querySelectorAll('.state').length === 7 && [...document.querySelectorAll('.state')].every((e) => e.textContent.startsWith('was '))")
	b.see("buttons that do nothing now", "[...document.querySelectorAll('section button')].every((e) => e.disabled)")
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.readable("gone, " + scheme)
		b.picture("gone-" + scheme)
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		b.t.Fatal(err)
	}
	const token = "a token that is long enough"
	file := s.write("token", token+"\n")
	s.write("agent.yaml", strings.Replace(string(text), "\napi: {", "\napi: {token_file: "+file+", ", 1))
	s.agent = s.start("agent", "run", "--config", s.config)
	b.see("that a token is needed", "document.querySelector('#sum').textContent.includes('A token is needed') && document.querySelector('#figures').hidden")
	b.enter("#token", token+" but")
	b.press("#door button")
	b.see("that it is the wrong one", "document.querySelector('#sum').textContent.includes('not accepted')")
	b.picture("token")
	b.enter("#token", token)
	b.press("#door button")
	b.see("life again", "document.querySelector('#link').textContent.startsWith('live') && !document.querySelector('#figures').hidden && window.loadedOnce")
	b.see("the label that was to stay", rowOf("vibration", "label now")+".startsWith('<img src=x')")
	b.quiet("ERR_CONNECTION_REFUSED", "401 (Unauthorized)")
}

// arrivedAsLabelled wants the samples at the ingestion service to carry what
// the buttons said.
func arrivedAsLabelled(t *testing.T, s *site) {
	t.Helper()
	s.until("every label has arrived", func() error {
		all, err := received(s.path("received"))
		if err != nil {
			return err
		}
		labels := map[string]int{}
		for _, a := range all {
			labels[a.category+"/"+a.label]++
			if strings.HasSuffix(a.name, ".csv") && a.label != "wave" {
				return fmt.Errorf("%s has the label %q", filepath.Base(a.path), a.label)
			}
		}
		for _, want := range []string{"training/wave", "training/idle", "training/shake", "testing/still", "testing/" + hostile} {
			if labels[want] == 0 {
				return fmt.Errorf("no sample %s among %v", want, labels)
			}
			delete(labels, want)
		}
		if len(labels) > 0 {
			return fmt.Errorf("nobody asked for %v", labels)
		}
		return nil
	})
}
