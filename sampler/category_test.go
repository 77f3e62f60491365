package sampler

import "testing"

func TestSplitGoesByTheFirstDigitThatIsNotF(t *testing.T) {
	full := [32]byte{}
	for i := range full {
		full[i] = 0xff
	}
	for _, tt := range []struct {
		first []byte
		want  string
	}{
		{[]byte{0x00}, "training"}, {[]byte{0xb9}, "training"}, {[]byte{0xc0}, "testing"}, {[]byte{0xe0}, "testing"},
		{[]byte{0xfb}, "training"}, {[]byte{0xfc}, "testing"}, {[]byte{0xff, 0xfe}, "testing"}, {[]byte{0xff, 0x0c}, "training"},
		{nil, "training"},
	} {
		id := full
		copy(id[:], tt.first)
		if got := Resolve(CategorySplit, id); got != tt.want {
			t.Errorf("identity %x: got %s, want %s", id[:2], got, tt.want)
		}
		if got := Resolve("anomaly", id); got != "anomaly" {
			t.Errorf("anomaly becomes %s", got)
		}
	}
	if IsCategory(CategorySplit) || IsCategory("") || !IsCategory("post-processing") {
		t.Error("split and nothing are no categories, post-processing is one")
	}
}
