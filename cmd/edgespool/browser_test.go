package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	browserlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A browser is a headless chromium with one tab that remembers where it went
// and what its console said.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	went     []string // every address it asked for
	console  []string // complaints: errors, warnings, exceptions
	pictures string   // folder for screenshots; empty for none
}

// newBrowser starts chromium with a new and empty profile, or skips.
// EDGESPOOL_SCREENSHOTS names a folder for pictures of what it sees.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser; leave out -short to run it")
	}
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("chromium is not here; on Debian: apt-get install chromium")
	}
	started, stop := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, closeTab := chromedp.NewContext(started)
	t.Cleanup(func() { closeTab(); stop() })
	b := &browser{t: t, ctx: ctx, pictures: os.Getenv("EDGESPOOL_SCREENSHOTS")}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	call(b, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		return err
	}))
	return b
}

// hear notes what the tab asks for and what its console says.
func (b *browser) hear(said any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s := said.(type) {
	case *network.EventRequestWillBeSent:
		b.went = append(b.went, s.Request.URL)
	case *network.EventWebSocketCreated:
		b.went = append(b.went, s.URL)
	case *browserlog.EventEntryAdded:
		if s.Entry.Level == browserlog.EntryLevelVerbose {
			return // advice
		}
		b.console = append(b.console, fmt.Sprintf("%s %s: %s %s", s.Entry.Source, s.Entry.Level, s.Entry.Text, s.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		b.console = append(b.console, fmt.Sprintf("console.%s", s.Type))
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, fmt.Sprintf("exception: %s %s", s.ExceptionDetails.Text, s.ExceptionDetails.Exception.Description))
	}
}

// complaints are the console's lines since the last call.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.console
	b.console = nil
	return said
}

// strangers are the addresses it asked for that are not the page's origin.
func (b *browser) strangers(origin string) (all []string, asked int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, address := range b.went {
		if u, err := url.Parse(address); err != nil || u.Scheme != "data" && u.Scheme+"://"+u.Host != origin {
			all = append(all, address)
		}
	}
	return slices.Compact(all), len(b.went)
}

// call does one thing in the tab, within a minute.
func call[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	got, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
	return got
}

// ask evaluates an expression in the page.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	return call(b, chromedp.Evaluate[T](expression))
}

// see waits until an expression is true.
func (b *browser) see(what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if ask[bool](b, "!!("+expression+")") {
			return
		}
	}
	b.picture("failed")
	b.t.Fatalf("waited in vain to see %s; the page says\n%s", what, ask[string](b, "document.body.innerText"))
}

// press clicks with the mouse.
func (b *browser) press(selector string) {
	b.t.Helper()
	call(b, chromedp.Click(chromedp.CSS(selector)))
}

// enter replaces a field's text, key by key.
func (b *browser) enter(selector, text string) {
	b.t.Helper()
	ask[bool](b, fmt.Sprintf("document.querySelector(%q).select() === undefined", selector))
	call(b, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// scheme is how the reader likes pages: light or dark.
func (b *browser) scheme(name string) {
	b.t.Helper()
	call(b, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
		return err
	}))
}

// picture keeps a screenshot of the whole page for people.
func (b *browser) picture(name string) {
	b.t.Helper()
	if b.pictures == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(b.pictures, name+".png"), call(b, chromedp.FullScreenshot(100)), 0o644); err != nil {
		b.t.Error(err)
	}
}

// quiet wants nothing new in the console but lines that hold one of the texts.
func (b *browser) quiet(except ...string) {
	b.t.Helper()
	for _, line := range b.complaints() {
		if !slices.ContainsFunc(except, func(text string) bool { return strings.Contains(line, text) }) {
			b.t.Errorf("the console says %s", line)
		}
	}
}
