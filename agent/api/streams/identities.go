package streams

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/edgespool/edgespool/spool"
)

// maxKnown bounds how many comments are known by their ids, at some 60 bytes
// each. Of others it is not known whether they are new: they are taken as such,
// and looking for one reads all of its owner's.
const maxKnown = 1 << 16

// A commentKey stands for a comment's source and id.
type commentKey [16]byte

func keyOf(source, id string) commentKey {
	sum := sha256.Sum256([]byte(source + "\x00" + id))
	return commentKey(sum[:16])
}

// A version is what is known of a comment's newest version.
type version struct {
	sequence uint64
	content  [8]byte
}

// identities knows where the newest versions of comments are. It is made of
// the records when an owner is asked for, and kept up from then on.
type identities struct {
	spool *spool.Spool

	mu     sync.Mutex
	known  map[commentKey]version
	loaded map[string]bool // datasets of the spool
	full   bool            // some were let go
	last   spool.Receipt   // of what was appended last
}

func newIdentities(s *spool.Spool) *identities {
	return &identities{spool: s, known: map[commentKey]version{}, loaded: map[string]bool{}}
}

// load makes what is known of a dataset; x.mu is held.
func (x *identities) load(ctx context.Context, set string) error {
	if x.loaded[set] {
		return nil
	}
	err := x.spool.Scan(ctx, set, 1, func(r *spool.Record) bool {
		if id, content, ok := identify(r); ok {
			x.learn(keyOf(r.Source, id), version{r.Sequence, content})
		}
		return true
	})
	x.loaded[set] = err == nil
	return err
}

// learn notes a version; x.mu is held.
func (x *identities) learn(key commentKey, v version) {
	if _, there := x.known[key]; !there && len(x.known) >= maxKnown {
		for other := range x.known { // any one
			delete(x.known, other)
			break
		}
		x.full = true
	}
	x.known[key] = v
}

// identify finds the id of a comment's record, and what stands for its content.
func identify(r *spool.Record) (id string, content [8]byte, ok bool) {
	if r.ContentType != commentType {
		return "", content, false
	}
	return r.Name, contentOf(r.SHA256), true
}

func contentOf(sum [32]byte) [8]byte { return [8]byte(sum[:8]) }

// find gives the newest version of a comment, if the spool has it.
func (x *identities) find(ctx context.Context, set, source, id string) (found spool.Record, ok bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.load(ctx, set); err != nil {
		return found, false, err
	}
	if v, known := x.known[keyOf(source, id)]; known {
		r, err := x.spool.Record(ctx, v.sequence)
		return r, err == nil, nil // the spool may have let it go
	}
	if !x.full {
		return found, false, nil
	}
	err = x.spool.Scan(ctx, set, 1, func(r *spool.Record) bool {
		if r.Source == source && r.Name == id {
			found, ok = *r, true
		}
		return true
	})
	return found, ok, err
}

// A synced counts what became of comments.
type synced struct{ fresh, updated, unchanged int }

// put appends the comments that are new or changed. A repeat of a request that
// was answered, or not, changes nothing.
func (x *identities) put(ctx context.Context, set, source string, comments []incoming, now spool.Instant) (n synced, err error) {
	x.mu.Lock()
	receipt, n, err := x.place(ctx, set, source, comments, now)
	x.mu.Unlock()
	if err != nil {
		return n, err
	}
	return n, receipt.Wait(ctx)
}

// place gives comments their order; x.mu is held.
func (x *identities) place(ctx context.Context, set, source string, comments []incoming, now spool.Instant) (receipt spool.Receipt, n synced, err error) {
	if err := x.load(ctx, set); err != nil {
		return receipt, n, err
	}
	type latest struct {
		version
		revision uint64 // within this request
	}
	oldest := x.spool.Stats().FirstSequence
	here := map[commentKey]latest{}
	var recs []spool.Record
	var keys []commentKey
	for _, c := range comments {
		key := keyOf(source, c.id)
		last, again := here[key]
		if v, known := x.known[key]; !again && known && v.sequence >= oldest {
			last.version, again = v, true
		}
		r := recordOf(set, source, c, now)
		switch {
		case again && last.content == contentOf(r.SHA256):
			n.unchanged++
			continue
		case again:
			n.updated++
		default:
			n.fresh++
		}
		r.Identity = identityOf(key, r.SHA256, last.sequence, last.revision)
		here[key] = latest{version{last.sequence, contentOf(r.SHA256)}, last.revision + 1}
		recs, keys = append(recs, r), append(keys, key)
	}
	if len(recs) == 0 {
		// All were here already, but perhaps not on the disk yet.
		return x.last, n, nil
	}
	if receipt, err = x.spool.Append(ctx, recs...); err != nil {
		return receipt, n, err
	}
	for i, result := range receipt.Results {
		x.learn(keys[i], version{result.Sequence, contentOf(recs[i].SHA256)})
	}
	x.last = receipt
	return receipt, n, nil
}

// recordOf makes the record of a comment.
func recordOf(set, source string, c incoming, now spool.Instant) spool.Record {
	body := spool.Bytes(c.body)
	return spool.Record{
		Kind: spool.KindFile, SHA256: body.SHA256(), Name: c.id, Dataset: set, ContentType: commentType, Source: source,
		Time: now, Size: body.Size(), Body: body,
	}
}

// identityOf makes a version its own: a comment may change back to what it was.
func identityOf(key commentKey, content [32]byte, before, revision uint64) [32]byte {
	text := append(key[:], content[:]...)
	text = binary.BigEndian.AppendUint64(text, before)
	return sha256.Sum256(binary.BigEndian.AppendUint64(text, revision))
}
