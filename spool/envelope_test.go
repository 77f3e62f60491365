package spool

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestEnvelopeIsWhatTheTagsSay: the encoder that is written out and the
// library's agree byte by byte, as long as maps have one key, whose order
// nobody can mistake; and the library reads back what was written.
func TestEnvelopeIsWhatTheTagsSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		word := rapid.StringN(0, 300, 400)
		number := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-300, 300), rapid.Int64Range(-1<<33, 1<<33))
		texts := rapid.MapOfN(word, word, 0, 1)
		bytes32 := func(name string) [32]byte { return sha256.Sum256([]byte(word.Draw(rt, name))) }
		r := Record{
			Kind: Kind(rapid.Uint8().Draw(rt, "kind")), Identity: bytes32("identity"), SHA256: bytes32("sha256"),
			Name: word.Draw(rt, "name"), Dataset: word.Draw(rt, "dataset"), ContentType: word.Draw(rt, "type"), Source: word.Draw(rt, "source"),
			Metadata: texts.Draw(rt, "metadata"), Size: number.Draw(rt, "size"),
			DeviceName: word.Draw(rt, "device"), DeviceType: word.Draw(rt, "deviceType"), Length: time.Duration(number.Draw(rt, "length")),
			Time: Instant{Since: time.Duration(number.Draw(rt, "since")), Wall: number.Draw(rt, "wall"), State: ClockState(rapid.Uint8Range(0, 1).Draw(rt, "state"))},
		}
		switch rapid.IntRange(0, 4).Draw(rt, "label") {
		case 1:
			r.Label.Text = word.Draw(rt, "text")
		case 2:
			r.Label.Segments = []Segment{{Start: 1, End: 2, Text: word.Draw(rt, "text")}}
		case 3:
			r.Label.Pairs = texts.Draw(rt, "pairs")
		case 4:
			r.Label.Boxes = []Box{{Label: word.Draw(rt, "text"), X: 1.5, Y: 2, Width: 3, Height: 4}}
		}
		for range rapid.IntRange(0, 30).Draw(rt, "companions") {
			data := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "bytes")
			r.Companions = append(r.Companions, Companion{Name: word.Draw(rt, "name"), ContentType: word.Draw(rt, "type"), Bytes: data})
		}
		want, err := envelopeEnc.Marshal(&r)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := appendEnvelope(nil, &r)
		if err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("%v, got\n% x\nwant\n% x", err, got, want)
		}
	})
}

// TestEnvelopeOrdersMetadata: the same record is the same bytes.
func TestEnvelopeOrdersMetadata(t *testing.T) {
	r := Record{Metadata: map[string]string{"b": "2", "a": "1", "c": "3", "": "0"}}
	first, err := appendEnvelope(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := appendEnvelope(nil, &r); !bytes.Equal(again, first) {
			t.Fatalf("got % x and % x", first, again)
		}
	}
	var back Record
	if err := envelopeDec.Unmarshal(first, &back); err != nil || len(back.Metadata) != 4 || back.Metadata["c"] != "3" {
		t.Fatalf("read back as %v, %v", back.Metadata, err)
	}
}
