package listener

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// encodeURIComponent is the JavaScript function: it leaves A-Z a-z 0-9 and
// -_.!~*'() as they are (ECMA-262).
func encodeURIComponent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.!~*'()", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// escapeASCII writes JSON with every character above ASCII as \u.
func escapeASCII(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func TestPercentEncodingComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		if got := decodePercent(encodeURIComponent(s)); got != s {
			t.Fatalf("got %q, want %q", got, s)
		}
		if got := decodePercent(url.PathEscape(s)); got != s {
			t.Fatalf("with other escapes: got %q, want %q", got, s)
		}
	})
}

// TestAnyHeaderIsText: whatever a header holds, the label is UTF-8.
func TestAnyHeaderIsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.Byte()).Draw(t, "raw"))
		if got := decodePercent(raw); !utf8.ValidString(got) {
			t.Fatalf("decodePercent(%q) = %q", raw, got)
		}
		if !strings.Contains(raw, "%") && utf8.ValidString(raw) && decodePercent(raw) != raw {
			t.Fatalf("%q was changed to %q", raw, decodePercent(raw))
		}
	})
}

// TestLatin1 is what Node.js makes of characters up to U+00FF in a header.
func TestLatin1(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runes := rapid.SliceOf(rapid.RuneFrom([]rune("abc äöüßéÿ%"))).Draw(t, "runes")
		var raw []byte
		for _, r := range runes {
			raw = append(raw, byte(r))
		}
		if utf8.Valid(raw) {
			return // it may as well be UTF-8
		}
		if got := plainText(string(raw)); got != string(runes) {
			t.Fatalf("got %q, want %q", got, string(runes))
		}
	})
}

// TestMetadataComesBack in each of the forms in which clients send it.
func TestMetadataComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "pairs")
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		for form, sent := range map[string]string{
			"as it is": text, "with \\u escapes": escapeASCII(text), "percent-encoded": encodeURIComponent(text), "blanks around": " " + text + " ",
		} {
			got, err := decodeMetadata(sent)
			if err != nil || !maps.Equal(got, want) {
				t.Fatalf("%s: got %v, %v; want %v", form, got, err, want)
			}
		}
	})
}

func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"wave%20motion", "%", "%ff", "{}", `{"a":"b"}`, "%7B%22a%22%3A%22b%22%7D", "[]", `{"a":1}`, "null", "h\xf6t", `{"a":"\ud800"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !utf8.ValidString(decodePercent(raw)) {
			t.Errorf("decodePercent(%q) is not UTF-8", raw)
		}
		pairs, err := decodeMetadata(raw)
		if err == nil && pairs == nil {
			t.Errorf("decodeMetadata(%q) is nil without an error", raw)
		}
		for k, v := range pairs {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				t.Errorf("decodeMetadata(%q) has %q: %q", raw, k, v)
			}
		}
		if boxes, err := decodeBoxes(raw); err == nil && boxes == nil {
			t.Errorf("decodeBoxes(%q) is nil without an error", raw)
		}
		if name, err := baseName(raw); err == nil && (name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\n\x00") || !utf8.ValidString(name)) {
			t.Errorf("baseName(%q) = %q", raw, name)
		}
	})
}
