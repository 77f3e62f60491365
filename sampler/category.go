package sampler

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Categories are the categories of Edge Impulse that a record can have.
// "split" is a rule, resolved by Split before a record is made.
var Categories = []string{"training", "testing", "anomaly", "validation", "post-processing"}

// CategorySplit is the configuration's word for the stable 80/20 split.
const CategorySplit = "split"

// IsCategory tells whether a record can have this category.
func IsCategory(name string) bool { return slices.Contains(Categories, name) }

// Split resolves the category "split" by content: the first hex digit of the
// identity that is not f decides, 0 to b training, c to e testing. The rule
// is that of Edge Impulse's linux-sdk-go (ingest/collect.go), on SHA-256.
func Split(identity [32]byte) string {
	for _, b := range identity {
		for _, digit := range [2]byte{b >> 4, b & 15} {
			switch {
			case digit <= 0xb:
				return "training"
			case digit <= 0xe:
				return "testing"
			}
		}
	}
	return "training"
}

// Resolve returns the category itself, or what "split" makes of identity.
func Resolve(category string, identity [32]byte) string {
	if category == CategorySplit {
		return Split(identity)
	}
	return category
}

// ValidateChoice calls fault for what is wrong with the label and category
// that a source of readings gives its samples.
func ValidateChoice(label, category string, fault func(field, problem, remedy string)) {
	if len(label) > maxLabel || strings.ContainsFunc(label, unicode.IsControl) {
		fault("label", "it is too long, or has characters that are no text", "use a short text")
	}
	if category != CategorySplit && !IsCategory(category) {
		fault("category", fmt.Sprintf("%q is not known here", category), "write one of "+strings.Join(Categories, ", ")+", "+CategorySplit)
	}
}
