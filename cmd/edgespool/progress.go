package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A progressBar is one line on a terminal that is written over and over. A
// nil bar, which is what everything but a terminal gets, shows nothing.
type progressBar struct {
	w     io.Writer
	width int
	start time.Time
	last  time.Time
}

func newProgressBar(w io.Writer) *progressBar {
	if !isTerminal(w) {
		return nil
	}
	return &progressBar{w: w, width: width(w), start: time.Now()}
}

// show draws the bar, at most ten times a second.
func (b *progressBar) show(done, files, sent, bytes int64) {
	if b == nil || time.Since(b.last) < 100*time.Millisecond && done < files {
		return
	}
	b.last = time.Now()
	text := fmt.Sprintf(" %d of %d files, %s of %s, %.0f/s", done, files, size(sent), size(bytes),
		float64(done)/max(time.Since(b.start).Seconds(), 0.001))
	room := min(b.width-len(text)-3, 40)
	if room > 4 && files > 0 {
		full := int(int64(room) * min(done, files) / files)
		text = "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]" + text
	}
	fmt.Fprintf(b.w, "\r%s\x1b[K", text[:min(len(text), b.width-1)])
}

// clear takes the bar away, so that something else can be written.
func (b *progressBar) clear() {
	if b != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", bytes)
}
