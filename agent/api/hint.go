package api

// WithHint gives an error the remedy that an operator has, to be printed on a
// line of its own. Whoever prints it asks for a method Hint() string.
func WithHint(err error, hint string) error { return &hinted{err, hint} }

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Hint is the remedy.
func (h *hinted) Hint() string { return h.hint }
