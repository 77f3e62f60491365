package data

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// maxImports is how many uploads are known at a time; the oldest are
// forgotten for new ones.
const maxImports = 512

// An importRow is what the spool's settings keep of an upload.
type importRow struct {
	ID        string    `json:"id"`
	Namespace string    `json:"namespace"`
	Expires   time.Time `json:"expires"`
	// Uploaded tells that the file came whole; its objects lie from First to
	// Last, among those of others.
	Uploaded    bool   `json:"uploaded,omitempty"`
	First, Last uint64 `json:",omitempty"`
	Objects     int64  `json:"objects,omitempty"`
	// Refused lines were no objects; Reason says why the first was not.
	Refused int64  `json:"refused,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// An importStore keeps the rows in a ring of small settings, so that a change
// writes one row only.
type importStore struct {
	spool *spool.Spool

	mu    sync.Mutex
	slots [maxImports]importRow
	next  int
	busy  map[string]bool // whose file is coming in
}

func importSetting(slot int) string { return fmt.Sprintf("data/import/%d", slot) }

func newImportStore(s *spool.Spool) *importStore {
	st := &importStore{spool: s, busy: map[string]bool{}}
	for i := range st.slots {
		text, ok := s.Setting(importSetting(i))
		if !ok || json.Unmarshal(text, &st.slots[i]) != nil {
			st.slots[i] = importRow{}
			continue
		}
		if at := st.slots[i].Expires; at.After(st.slots[st.next].Expires) {
			st.next = i
		}
	}
	st.next = (st.next + 1) % maxImports // behind the youngest
	return st
}

// find returns an upload's row.
func (st *importStore) find(id string) (importRow, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	i := st.slot(id)
	if i < 0 {
		return importRow{}, false
	}
	return st.slots[i], true
}

// slot is where an upload's row is, -1 if nowhere; st.mu is held.
func (st *importStore) slot(id string) int {
	for i := range st.slots {
		if id != "" && st.slots[i].ID == id {
			return i
		}
	}
	return -1
}

// put makes a row durable.
func (st *importStore) put(row importRow) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	i := st.slot(row.ID)
	if i < 0 {
		i = st.next
		for range maxImports { // one whose file is coming in keeps its place
			if !st.busy[st.slots[i].ID] {
				break
			}
			i = (i + 1) % maxImports
		}
		st.next = (i + 1) % maxImports
	}
	text, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("keep upload: %w", err)
	}
	if err := st.spool.SetSetting(importSetting(i), text); err != nil {
		return fmt.Errorf("keep upload: %w", err)
	}
	st.slots[i] = row
	return nil
}

// begin lets one client at a time send an upload's file.
func (st *importStore) begin(id string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.busy[id] {
		return false
	}
	st.busy[id] = true
	return true
}

func (st *importStore) end(id string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.busy, id)
}
