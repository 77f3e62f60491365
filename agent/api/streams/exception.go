package streams

import (
	"net/http"
	"strings"

	"github.com/edgespool/edgespool/spool"
)

// maxExceptions is how many exceptions one request names at most.
const maxExceptions = 1024

// putExceptions tags comments as exceptions of a stream. A comment that the
// spool does not have (any more) may be one as well.
func (a *API) putExceptions(w http.ResponseWriter, r *http.Request, args []string) error {
	var body struct {
		Exceptions []struct {
			UID      string `json:"uid"`
			Metadata *struct {
				Type *string `json:"type"`
			} `json:"metadata"`
		} `json:"exceptions"`
	}
	st, err := a.find(args)
	if err == nil {
		err = readJSON(w, r, &body)
	}
	if err != nil {
		return err
	}
	if body.Exceptions == nil || len(body.Exceptions) > maxExceptions {
		return bad("exceptions: it needs a list of at most %d", maxExceptions)
	}
	var tags []spool.Tag
	for i, e := range body.Exceptions {
		switch {
		case !isUID(e.UID):
			return bad("exceptions[%d].uid: %.60q is no uid of a comment", i, e.UID)
		case e.Metadata == nil || e.Metadata.Type == nil:
			return bad("exceptions[%d].metadata.type: it is missing; say what the matter is in a few words", i)
		case len(*e.Metadata.Type) > maxTitle*4:
			return bad("exceptions[%d].metadata.type: it has more than %d bytes", i, maxTitle*4)
		}
		tags = append(tags, spool.Tag{UID: e.UID, Type: *e.Metadata.Type})
	}
	if err := st.cursors[0].Tag(r.Context(), tags...); err != nil {
		return err
	}
	a.tagged()
	return ok(w, nil)
}

// isUID tells whether a text is the id of a source and that of a comment.
func isUID(text string) bool {
	source, id, cut := strings.Cut(text, ".")
	return cut && isName(source) && isCommentID(id)
}

// deleteExceptions takes tags off. Those that are not there are no fault.
func (a *API) deleteExceptions(w http.ResponseWriter, r *http.Request, args []string) error {
	st, err := a.find(args)
	if err != nil {
		return err
	}
	uids := r.URL.Query()["uid"]
	if len(uids) == 0 || len(uids) > maxExceptions {
		return bad("uid: name 1 to %d comments, each as ?uid=…", maxExceptions)
	}
	for _, uid := range uids {
		if !isUID(uid) {
			return bad("uid: %.60q is no uid of a comment", uid)
		}
	}
	if err := st.cursors[0].Untag(r.Context(), uids...); err != nil {
		return err
	}
	a.tagged()
	return ok(w, nil)
}

// listExceptions is ours: what was tagged, the oldest first.
func (a *API) listExceptions(w http.ResponseWriter, r *http.Request, args []string) error {
	st, err := a.find(args)
	if err != nil {
		return err
	}
	tags, err := st.cursors[0].Tags(r.Context())
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, t := range tags {
		list = append(list, map[string]any{"uid": t.UID, "metadata": map[string]string{"type": t.Type}, "tagged_at": stamp(t.At)})
	}
	return ok(w, map[string]any{"exceptions": list})
}
