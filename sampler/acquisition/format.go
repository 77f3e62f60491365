package acquisition

// A kind is what stands next in a document.
type kind uint8

const (
	kindOther kind = iota
	kindNumber
	kindText
	kindNull
	kindArray
	kindObject
)

// A format reads the elements of one encoding from a tape. open, more and
// key walk arrays and objects; more closes them at their end.
type format interface {
	kind() kind
	open()
	more() bool
	key() []byte
	text() []byte
	number() float64
	null()
	skip()
	signature() []byte
	end()
}

// Limits of what documents may hold, so that a hostile one costs bounded
// memory. The C SDK stops at 20 axes, Edge Impulse itself names no limit.
const (
	maxDepth    = 16
	maxText     = 16 << 10
	maxTexts    = 1 << 20
	maxSensors  = 4096
	maxMetadata = 1024
)
