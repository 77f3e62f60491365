package spool

import (
	"encoding/binary"
	"fmt"
)

// Facts are the keys that sources remember. In memory they are sets; in meta
// they are a log of keys added and removed, which a new generation begins
// anew with blocks of the keys that still count.

// factBlock is how many keys one row of the log holds at most.
const factBlock = 200

// A factSource is what one source remembers.
type factSource struct {
	keys    map[[16]byte]struct{}
	changes []factChange // not durable yet
	next    uint64       // number of its next row
}

type factChange struct {
	key     [16]byte
	removed bool
}

// Remember keeps small facts of a source over restarts, such as which
// versions of which files it has dealt with. Keys are 16-byte hashes made by
// the source. They become durable with the next commit, and at Close.
func (s *Spool) Remember(source string, key [16]byte) error {
	if len(source) > 200 {
		return fmt.Errorf("remember for source %.20q…: its name has more than 200 bytes", source)
	}
	if s.isClosed() {
		return ErrClosed
	}
	s.factMu.Lock()
	f := s.factsOf(source)
	_, known := f.keys[key]
	if !known {
		f.keys[key] = struct{}{}
		f.changes = append(f.changes, factChange{key: key})
	}
	s.factMu.Unlock()
	if !known {
		s.choresSoon()
	}
	return nil
}

// Remembered tells whether Remember(source, key) was called and not forgotten.
func (s *Spool) Remembered(source string, key [16]byte) bool {
	s.factMu.Lock()
	defer s.factMu.Unlock()
	_, known := s.factsOf(source).keys[key]
	return known
}

// Retain forgets every key of source for which keep says false.
func (s *Spool) Retain(source string, keep func(key [16]byte) bool) error {
	if s.isClosed() {
		return ErrClosed
	}
	s.factMu.Lock()
	f := s.factsOf(source)
	for key := range f.keys {
		if !keep(key) {
			delete(f.keys, key)
			f.changes = append(f.changes, factChange{key: key, removed: true})
		}
	}
	changed := len(f.changes) > 0
	s.factMu.Unlock()
	if changed {
		s.choresSoon()
	}
	return nil
}

func (s *Spool) factsOf(source string) *factSource {
	f := s.facts[source]
	if f == nil {
		f = &factSource{keys: map[[16]byte]struct{}{}}
		s.facts[source] = f
	}
	return f
}

// saveFacts makes what changed durable.
func (s *Spool) saveFacts() error {
	s.factMu.Lock()
	var pairs []metaPair
	taken := map[*factSource]int{}
	for source, f := range s.facts {
		taken[f] = len(f.changes)
		pairs = append(pairs, f.log(source)...)
	}
	s.factMu.Unlock()
	for len(pairs) > 0 {
		n := min(len(pairs), 8)
		if err := s.meta.put(pairs[:n]...); err != nil {
			return err
		}
		pairs = pairs[n:]
	}
	s.factMu.Lock()
	defer s.factMu.Unlock()
	for f, n := range taken {
		if f.changes = f.changes[n:]; len(f.changes) == 0 {
			f.changes = nil
		}
	}
	return nil
}

// log makes rows of the changes: stretches of keys added, or removed.
func (f *factSource) log(source string) []metaPair {
	var pairs []metaPair
	for i := 0; i < len(f.changes); {
		value := []byte{1}
		if f.changes[i].removed {
			value[0] = 0
		}
		j := i
		for j < len(f.changes) && j-i < factBlock && f.changes[j].removed == f.changes[i].removed {
			value = append(value, f.changes[j].key[:]...)
			j++
		}
		pairs = append(pairs, metaPair{factKey(source, f.next), value})
		f.next++
		i = j
	}
	return pairs
}

func factKey(source string, number uint64) []byte {
	k := append(append(make([]byte, 0, 10+len(source)), metaFact, byte(len(source))), source...)
	return binary.BigEndian.AppendUint64(k, number)
}

// loadFacts plays the log of keys.
func (s *Spool) loadFacts() error {
	return s.meta.each([]byte{metaFact}, func(key, value []byte) error {
		if len(key) < 10 || len(key) != 10+int(key[1]) || len(value)%16 != 1 {
			return nil
		}
		source := string(key[2 : 2+int(key[1])])
		f := s.factsOf(source)
		f.next = binary.BigEndian.Uint64(key[2+len(source):]) + 1
		for rest := value[1:]; len(rest) > 0; rest = rest[16:] {
			if value[0] == 1 {
				f.keys[[16]byte(rest)] = struct{}{}
			} else {
				delete(f.keys, [16]byte(rest))
			}
		}
		return nil
	})
}

// copyFacts writes the keys that count to a new generation of meta. Their
// numbers go on from the last ones, because rows with earlier numbers may be
// on their way.
func (s *Spool) copyFacts(put func(key, value []byte) error) error {
	s.factMu.Lock()
	defer s.factMu.Unlock()
	for source, f := range s.facts {
		value := []byte{1}
		flush := func() error {
			if len(value) == 1 {
				return nil
			}
			err := put(factKey(source, f.next), append([]byte(nil), value...))
			f.next++
			value = value[:1]
			return err
		}
		for key := range f.keys {
			value = append(value, key[:]...)
			if len(value) > factBlock*16 {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// Setting and SetSetting keep a few small values of the agent over restarts
// (device name, a source's label); SetSetting returns when durable.
func (s *Spool) Setting(name string) (value []byte, ok bool) {
	return s.meta.get(append([]byte{metaSetting}, name...))
}

// Settings are the values whose names begin with prefix, by name.
func (s *Spool) Settings(prefix string) (map[string][]byte, error) {
	values := map[string][]byte{}
	err := s.meta.each(append([]byte{metaSetting}, prefix...), func(key, value []byte) error {
		values[string(key[1:])] = value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list settings %s: %w", prefix, err)
	}
	return values, nil
}

// SetSetting keeps a value; nil forgets it.
func (s *Spool) SetSetting(name string, value []byte) error {
	if len(name) == 0 || len(name) > 200 || len(value) > 64<<10 {
		return fmt.Errorf("keep setting %.20q: a name has 1 to 200 bytes and a value at most 64 KiB", name)
	}
	return s.meta.put(metaPair{append([]byte{metaSetting}, name...), value})
}
