package streams

import (
	"encoding/json"
	"unicode/utf8"
)

// The bounds of a comment, by the vendor's definitions.
const (
	maxTexts       = 2048 // of its messages
	maxText        = 65536
	maxAddress     = 512
	maxAttachments = 128
)

// An incoming is a comment that was handed in, as it is kept.
type incoming struct {
	id   string
	body []byte
}

// A givenComment is what is checked of a comment. What else it has is kept as
// it is.
type givenComment struct {
	ID         *string    `json:"id"`
	Timestamp  *string    `json:"timestamp"`
	Texts      []sentText `json:"messages"`
	Properties properties `json:"user_properties"`
	ThreadID   *string    `json:"thread_id"`
	TextFormat *string    `json:"text_format"`
	Files      []struct {
		Name        string  `json:"name"`
		Size        float64 `json:"size"`
		ContentType string  `json:"content_type"`
	} `json:"attachments"`
}

// A sentText is one text of a comment, with who sent it.
type sentText struct {
	Body struct {
		Text *string `json:"text"`
	} `json:"body"`
	From     *string `json:"from"`
	SentAt   *string `json:"sent_at"`
	Language *string `json:"language"`
}

// parseComment checks a comment and makes what is kept of it: all of it, but
// for what the server gives and blank properties.
func parseComment(text []byte) (incoming, error) {
	var given givenComment
	if err := json.Unmarshal(text, &given); err != nil {
		return incoming{}, bad("%s", jsonFault(err))
	}
	if err := given.check(); err != nil {
		return incoming{}, err
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return incoming{}, bad("%s", jsonFault(err))
	}
	for _, ours := range []string{"uid", "source_id", "created_at", "last_modified", "context", "user_properties"} {
		delete(whole, ours)
	}
	for name, value := range given.Properties {
		if !value.isNumber && value.text == "" {
			delete(given.Properties, name)
		}
	}
	if given.Properties == nil {
		given.Properties = properties{}
	}
	kept, err := json.Marshal(given.Properties)
	if err != nil {
		return incoming{}, bad("user_properties: %v", err)
	}
	whole["user_properties"] = kept
	if given.TextFormat == nil {
		whole["text_format"] = json.RawMessage(`"plain"`)
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return incoming{}, bad("%v", err)
	}
	return incoming{id: *given.ID, body: body}, nil
}

func (c *givenComment) check() error {
	switch {
	case c.ID == nil:
		return bad("id is missing")
	case !isCommentID(*c.ID):
		return bad("id: %.80q has more than %d characters, or some that are not printable ASCII, or a blank or slash", *c.ID, maxCommentID)
	case c.Timestamp == nil:
		return bad("timestamp is missing")
	case c.Texts == nil:
		return bad("messages is missing")
	case len(c.Texts) > maxTexts:
		return bad("messages: more than %d", maxTexts)
	case len(c.Files) > maxAttachments:
		return bad("attachments: more than %d", maxAttachments)
	case c.TextFormat != nil && *c.TextFormat != "plain" && *c.TextFormat != "markdown":
		return bad("text_format: %.20q is neither plain nor markdown", *c.TextFormat)
	}
	if _, err := parseTime(*c.Timestamp); err != nil {
		return bad("timestamp: %v", err)
	}
	for i, t := range c.Texts {
		if err := t.check(); err != nil {
			return bad("messages[%d].%v", i, err)
		}
	}
	for name, value := range c.Properties {
		if err := checkProperty(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (t *sentText) check() error {
	switch {
	case t.Body.Text == nil:
		return bad("body.text is missing")
	case utf8.RuneCountInString(*t.Body.Text) > maxText:
		return bad("body.text: more than %d characters", maxText)
	case t.From != nil && len(*t.From) > maxAddress:
		return bad("from: more than %d bytes", maxAddress)
	case t.Language != nil && len(*t.Language) > 8:
		return bad("language: more than 8 bytes")
	}
	if t.SentAt != nil {
		if _, err := parseTime(*t.SentAt); err != nil {
			return bad("sent_at: %v", err)
		}
	}
	return nil
}
