package history

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// serveRange writes a file or one range of it (RFC 9110, sections 13 and 14). It
// stands in for ServeContent of net/http, which takes 30 KB of the binary:
// requests for several ranges at once are answered with the whole, as the RFC
// allows.
func serveRange(w http.ResponseWriter, r *http.Request, etag string, size int64, file io.ReadSeeker) {
	head := w.Header()
	head.Set("ETag", etag)
	head.Set("Accept-Ranges", "bytes")
	if matches(r.Header.Get("If-None-Match"), etag) {
		head.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	asked := r.Header.Get("Range")
	if is := r.Header.Get("If-Range"); is != "" && is != etag {
		asked = "" // of another file
	}
	from, length, code := parseRange(asked, size)
	if code == http.StatusRequestedRangeNotSatisfiable {
		head.Del("Content-Disposition")
		head.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		Refuse(w, code, fmt.Sprintf("the file has %d bytes and none in that range", size))
		return
	}
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		refuseError(w, err)
		return
	}
	if code == http.StatusPartialContent {
		head.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+length-1, size))
	}
	head.Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = io.CopyN(w, file, length) // what is missing shows by the length
	}
}

// matches tells whether the list of tags names the file.
func matches(list, etag string) bool {
	return list == "*" || slices.ContainsFunc(strings.Split(list, ","), func(one string) bool {
		return strings.TrimPrefix(strings.TrimSpace(one), "W/") == etag
	})
}

// parseRange finds out what is asked for: 200 for the whole, also where the
// header is none that we know, 206 for a part, 416 for one that is not there.
func parseRange(header string, size int64) (from, length int64, code int) {
	whole := func() (int64, int64, int) { return 0, size, http.StatusOK }
	first, last, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	if !ok || !strings.HasPrefix(header, "bytes=") {
		return whole()
	}
	from, errFirst := strconv.ParseInt(first, 10, 64)
	to, errLast := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && errLast == nil && to >= 0: // the last so many
		from, to = max(size-to, 0), size-1
	case errFirst == nil && last == "" && from >= 0:
		to = size - 1
	case errFirst == nil && errLast == nil && from >= 0 && from <= to:
		to = min(to, size-1)
	default:
		return whole()
	}
	if from >= size || from > to {
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	return from, to - from + 1, http.StatusPartialContent
}
