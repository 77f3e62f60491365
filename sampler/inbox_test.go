package sampler

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestInboxKeepsOrderAndMarks(t *testing.T) {
	b := NewInbox(1 << 10)
	put := []Line{
		{Text: []byte("1"), At: 1, First: true}, {Text: nil, At: 2, Broken: true},
		{Text: []byte("22"), At: 3 * time.Hour, Long: true}, {Text: []byte("333"), At: 4},
	}
	for round := range 3 {
		for _, l := range put {
			b.Put(l)
		}
		for _, want := range put {
			got, ok := b.Take()
			if !ok || fmt.Sprintf("%q%+v", got.Text, got.At) != fmt.Sprintf("%q%+v", want.Text, want.At) ||
				got.First != want.First || got.Broken != want.Broken || got.Long != want.Long {
				t.Fatalf("round %d: got %+v (%v), want %+v", round, got, ok, want)
			}
		}
		if l, ok := b.Take(); ok {
			t.Fatalf("an empty inbox gives %+v", l)
		}
	}
}

func TestInboxIsBoundedAndCounts(t *testing.T) {
	b := NewInbox(1 << 10)
	text := []byte(strings.Repeat("x", 87)) // 100 bytes each with what goes before
	for range 15 {
		b.Put(Line{Text: text})
	}
	if b.Lost() != 5 {
		t.Errorf("lost: got %d lines, want 5 of 15", b.Lost())
	}
	for i := range 10 {
		if l, ok := b.Take(); !ok || l.Broken {
			t.Fatalf("line %d: %v, broken %v", i, ok, l.Broken)
		}
	}
	b.Put(Line{Text: text})
	b.Put(Line{Text: text})
	if l, _ := b.Take(); !l.Broken {
		t.Error("the line behind the lost ones seems to follow on the one before")
	}
	if l, _ := b.Take(); l.Broken {
		t.Error("only one line stands behind the lost ones")
	}
	if cap(b.lines)+cap(b.taken) > 4<<10 {
		t.Errorf("the inbox has grown to %d bytes", cap(b.lines)+cap(b.taken))
	}
}

func TestInboxEnds(t *testing.T) {
	b := NewInbox(1 << 10)
	b.Put(Line{Text: []byte("1")})
	b.Close()
	if b.Done() {
		t.Error("done with a line left")
	}
	<-b.Arrived()
	if _, ok := b.Take(); !ok || !b.Done() {
		t.Errorf("after the last line: taken %v, done %v", ok, b.Done())
	}
}

func TestInboxAllocatesNothing(t *testing.T) {
	b := NewInbox(1 << 12)
	l := Line{Text: []byte("-0.32,-1.95,-7.4")}
	move := func() {
		b.Put(l)
		if _, ok := b.Take(); !ok {
			t.Fatal("the line is lost")
		}
	}
	move()
	move()
	if n := testing.AllocsPerRun(100, move); n != 0 {
		t.Errorf("%v allocations for one line", n)
	}
}
