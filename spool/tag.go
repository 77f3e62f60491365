package spool

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// A Tag is what a reader of a stream says of something that it read there: an
// exception that is somebody's to look at. It settles nothing, and goes with
// the history's oldest store.
type Tag struct {
	// UID is the reader's name for what is meant, at most 2 KiB.
	UID string `cbor:"1,keyasint"`
	// Type says what is the matter with it, at most 1 KiB.
	Type string `cbor:"2,keyasint,omitempty"`
	// At is when it was tagged; set by Tag.
	At time.Time `cbor:"3,keyasint"`
	// Gone: the tag was taken off. The history only adds, so that is written
	// down as well.
	Gone bool `cbor:"4,keyasint,omitempty"`
}

const (
	tagUIDLimit  = 2 << 10
	tagTypeLimit = 1 << 10
)

func tagKey(stream, uid string) []byte {
	sum := sha256.Sum256([]byte(uid))
	return append(streamHistoryPrefix(histTag, stream), sum[:16]...)
}

// Tag keeps tags, durable before it returns. A UID that has one gets the new
// one in its place.
func (st *Stream) Tag(ctx context.Context, tags ...Tag) error {
	now := time.Now()
	pairs := make([]metaPair, 0, len(tags))
	for _, tag := range tags {
		if tag.UID == "" || len(tag.UID) > tagUIDLimit || len(tag.Type) > tagTypeLimit {
			return fmt.Errorf("tag on stream %s: a uid has 1 to %d bytes and a type at most %d", st.name, tagUIDLimit, tagTypeLimit)
		}
		tag.At = now
		data, err := cbor.Marshal(tag)
		if err != nil {
			return fmt.Errorf("pack tag: %w", err)
		}
		pairs = append(pairs, metaPair{tagKey(st.history, tag.UID), data})
	}
	if st.spool.isClosed() {
		return ErrClosed
	}
	for part := range slices.Chunk(pairs, 128) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := st.spool.hist.put(part...); err != nil {
			return fmt.Errorf("tag on stream %s: %w", st.name, err)
		}
	}
	return nil
}

// Untag takes tags off again, durably. One that is not there changes nothing.
func (st *Stream) Untag(ctx context.Context, uids ...string) error {
	there, err := st.Tags(ctx)
	if err != nil {
		return err
	}
	var gone []Tag
	for _, tag := range there {
		if slices.Contains(uids, tag.UID) {
			gone = append(gone, Tag{UID: tag.UID, Gone: true})
		}
	}
	return st.Tag(ctx, gone...)
}

// Tags lists the stream's tags, the oldest first.
func (st *Stream) Tags(ctx context.Context) ([]Tag, error) {
	if st.spool.isClosed() {
		return nil, ErrClosed
	}
	found := map[string]Tag{}
	err := st.spool.hist.each(streamHistoryPrefix(histTag, st.history), nil, func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var tag Tag
		if envelopeDec.Unmarshal(value, &tag) != nil || len(key) != 18+len(st.history) {
			return nil
		}
		if delete(found, tag.UID); !tag.Gone { // a later store knows better
			found[tag.UID] = tag
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tags of stream %s: %w", st.name, err)
	}
	tags := make([]Tag, 0, len(found))
	for _, tag := range found {
		tags = append(tags, tag)
	}
	sort.Slice(tags, func(i, j int) bool {
		a, b := &tags[i], &tags[j]
		return a.At.Before(b.At) || a.At.Equal(b.At) && a.UID < b.UID
	})
	return tags, nil
}

// Tagged counts the tags of all streams, by the streams' names, in one reading
// of the history. Streams without one may be missing.
func (s *Spool) Tagged() (map[string]int, error) {
	if s.isClosed() {
		return nil, ErrClosed
	}
	there := map[string]bool{}
	err := s.hist.each([]byte{histTag}, nil, func(key, value []byte) error {
		var tag Tag
		if envelopeDec.Unmarshal(value, &tag) == nil && len(key) > 18 && len(key) == 18+int(key[1]) {
			there[string(key)] = !tag.Gone // a later store knows better
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count tags: %w", err)
	}
	counts, named := map[string]int{}, map[string]int{}
	for key, is := range there {
		if is {
			counts[key[2:len(key)-16]]++
		}
	}
	for _, st := range s.streamList() {
		named[st.name] = counts[st.history]
	}
	return named, nil
}
