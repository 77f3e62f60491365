package edgeimpulse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/edgespool/edgespool/uploader"
)

// known is how the service begins its refusal of a duplicate, the ids of the
// first one behind it (seen on the live service; the word duplicate does not
// occur).
const known = "an item with this hash already exists"

// maxShown bounds what is shown of an answer.
const maxShown = 300

// verdicts says what an answer means for the n records of its request, in
// order. Behind them attached further files were sent; whether the service
// lists those is not documented.
func verdicts(a uploader.Answer, n, attached int) []uploader.Verdict {
	all := func(v uploader.Verdict) []uploader.Verdict {
		v.Status = a.Status
		list := make([]uploader.Verdict, n)
		for i := range list {
			list[i] = v
		}
		return list
	}
	if a.Status >= 200 && a.Status < 300 {
		list, err := accepted(a, n, attached)
		if err != nil {
			return all(uploader.Verdict{Err: err})
		}
		for i := range list {
			list[i].Status = a.Status
		}
		return list
	}
	return all(refused(a, n))
}

// An answerFile is what the service says of one file.
type answerFile struct {
	Success  *bool           `json:"success"`
	SampleID json.RawMessage `json:"sampleId"`
	FileName string          `json:"fileName"`
	Error    string          `json:"error"`
}

// accepted reads an answer with a status of success. The request was
// processed; only the list says what became of each file. For a single record
// the service may answer with the stored name alone.
func accepted(a uploader.Answer, n, attached int) ([]uploader.Verdict, error) {
	plain := n == 1
	var answer struct {
		Success *bool         `json:"success"`
		Error   string        `json:"error"`
		Files   *[]answerFile `json:"files"`
	}
	text := bytes.TrimSpace(a.Body)
	err := json.Unmarshal(text, &answer)
	switch {
	case a.Cut:
		return nil, errors.New("the answer is larger than any the service gives; is something between here and there?")
	case err != nil && plain && storedName(text):
		return []uploader.Verdict{{Kind: uploader.Stored, RemoteID: string(text)}}, nil
	case err != nil:
		return nil, fmt.Errorf("the answer is not one of an ingestion service (%s); is a login page or proxy in between?", excerpt(text))
	case answer.Files == nil && plain && isKnown(answer.Error):
		return []uploader.Verdict{{Kind: uploader.AlreadyThere, RemoteID: knownID(answer.Error)}}, nil
	case answer.Files == nil && plain && answer.Success != nil && *answer.Success:
		return []uploader.Verdict{{Kind: uploader.Stored}}, nil
	case answer.Files == nil:
		return nil, fmt.Errorf("the answer says nothing of the files (%s)", excerpt(text))
	case len(*answer.Files) != n && len(*answer.Files) != n+attached:
		return nil, fmt.Errorf("the answer speaks of %d files, %d were sent; which is which is not known", len(*answer.Files), n)
	}
	list := make([]uploader.Verdict, n)
	for i, f := range (*answer.Files)[:n] {
		list[i] = f.verdict()
	}
	return list, nil
}

func (f answerFile) verdict() uploader.Verdict {
	switch {
	case f.Success == nil:
		return uploader.Verdict{Err: errors.New("the answer does not say whether the file was stored")}
	case *f.Success:
		id := strings.Trim(string(f.SampleID), `"`)
		if id == "" || id == "null" {
			id = f.FileName
		}
		return uploader.Verdict{Kind: uploader.Stored, RemoteID: id}
	case isKnown(f.Error):
		return uploader.Verdict{Kind: uploader.AlreadyThere, RemoteID: knownID(f.Error)}
	}
	return uploader.Verdict{Kind: uploader.Rejected, Err: fmt.Errorf("the service refuses the file: %s", excerpt([]byte(f.Error)))}
}

// refused reads an answer with a status other than success.
func refused(a uploader.Answer, n int) uploader.Verdict {
	said := reason(a.Body)
	later := func(format string, args ...any) uploader.Verdict {
		return uploader.Verdict{RetryAfter: a.RetryAfter, Err: fmt.Errorf(format, args...)}
	}
	switch s := a.Status; {
	case s == 401 || s == 403:
		return uploader.Verdict{Kind: uploader.Stop, Err: fmt.Errorf("the API key is not accepted (%d: %s); check the key and its project", s, said)}
	case s == 404 || s == 405 || s == 410:
		return later("no ingestion service under this address (%d: %s); check url", s, said)
	case s == 407 || s == 511:
		return later("%w: the network wants a login first (%d: %s)", uploader.ErrUnavailable, s, said)
	case s >= 300 && s < 400:
		return later("the service has moved to %s; the key is not sent there, set url to it if that is right", location(a))
	case n == 1 && s >= 400 && s < 500 && isKnown(said):
		return uploader.Verdict{Kind: uploader.AlreadyThere, RemoteID: knownID(said)}
	case s == 413:
		return uploader.Verdict{Kind: uploader.Rejected, Batch: n > 1, Err: fmt.Errorf("the request is too large for the service (413: %s)", said)}
	case final(s) && !isPage(a.Body):
		return uploader.Verdict{Kind: uploader.Rejected, Batch: n > 1, Err: fmt.Errorf("the service refuses it (%d: %s)", s, said)}
	}
	return later("the service cannot take it now (%d: %s)", a.Status, said)
}

// final tells which refusals speak of what was sent: bad content (400, 415,
// 422), a missing header (421 by the documentation, 422 as seen), a header or
// length that is refused (409, 411, 414, 431).
func final(status int) bool {
	switch status {
	case 400, 409, 411, 414, 415, 421, 422, 431:
		return true
	}
	return false
}

// storedName tells whether text can be the name under which a sample was
// stored: one short line that is no page.
func storedName(text []byte) bool {
	return len(text) > 0 && len(text) <= 1024 && !isPage(text) && text[0] != '{' &&
		bytes.IndexFunc(text, unicode.IsControl) < 0
}

// isPage tells whether something that shows pages has answered.
func isPage(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) }

func isKnown(text string) bool {
	return len(text) >= len(known) && strings.EqualFold(text[:len(known)], known)
}

// knownID takes the first id out of "… (ids: 12345, 12346)".
func knownID(text string) string {
	_, ids, ok := strings.Cut(text, "(ids: ")
	if !ok {
		return ""
	}
	end := strings.IndexAny(ids, ",) ")
	if end < 0 {
		return ""
	}
	return ids[:end]
}

// reason is what the service says in words: the error of a JSON answer, or
// the text.
func reason(body []byte) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		return excerpt([]byte(answer.Error))
	}
	return excerpt(body)
}

// excerpt makes a short single line of text from outside.
func excerpt(text []byte) string {
	text = bytes.TrimSpace(text)
	cut := len(text) > maxShown
	if cut {
		text = text[:maxShown]
	}
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text), "?"), func(r rune) bool {
		return unicode.IsControl(r) || r == ' '
	}), " ")
	switch {
	case line == "":
		return "no words"
	case cut:
		return line + "…"
	}
	return line
}

// location is the host that a redirect names.
func location(a uploader.Answer) string {
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return "another path"
	}
	return to.Scheme + "://" + to.Host
}
