package spool

import (
	"github.com/dgraph-io/badger/v4"
)

// full tells whether the generation can take nothing more. Until then one that
// is outgrown goes on where there is no room for the next: what is written to
// it may be the deletion that makes room.
func (m *metaStore) full() bool {
	return m.load.keys > m.shape.memTable-memTableBytes/4 || m.load.values > m.shape.log-metaLog/4
}

// A metaLoad is what pairs take in a generation's two logs.
type metaLoad struct {
	keys   int64 // of the memtable, at most
	values int64 // of the value log
}

func (l *metaLoad) add(p metaPair) {
	l.keys += int64(len(p.key)) + 160
	if len(p.value) > metaInline {
		l.values += int64(len(p.key)+len(p.value)) + 40
	} else {
		l.keys += int64(len(p.value))
	}
}

// metaShape is that of a generation which begins with so much: it has room
// for as much again, and for the smallest one's content.
func metaShape(begins metaLoad) storeShape {
	return storeShape{memTable: memTableBytes + 2*begins.keys, log: metaLog + 2*begins.values, inline: metaInline, synced: true}
}

// outgrown tells whether it is time for the next generation. The memtable and
// the value log have half of their smallest size left then.
func (m *metaStore) outgrown() bool {
	return m.load.keys-m.base.keys > max(m.base.keys, memTableBytes/2) ||
		m.load.values-m.base.values > max(m.base.values, metaLog/2) || m.full()
}

// measure finds what the next generation will begin with, at most.
func (m *metaStore) measure(old *badger.DB) (begins metaLoad, err error) {
	err = eachPair(old, nil, func(key, value []byte) error {
		begins.add(metaPair{key, value})
		return nil
	})
	return begins, err
}

// reserve notes what this generation takes of the disk, and the next one may.
func (m *metaStore) reserve() {
	m.next.Store(metaShape(m.load).disk())
	m.disk.Store(m.shape.disk() + metaShape(m.load).disk())
}
