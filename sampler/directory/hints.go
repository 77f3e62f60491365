package directory

import (
	"errors"
	"log/slog"
	"time"

	"github.com/fsnotify/fsnotify"
)

// hints turn what fsnotify reports into "look sooner". Nothing depends on
// them: they miss mapped writes, what a mount hides, network file systems
// and whatever an overflowing queue drops.
type hints struct {
	root    string
	watcher *fsnotify.Watcher // nil: no hints here
	watched map[string]whereabouts
	wake    chan struct{} // holds one hint
	done    chan struct{}
	log     *slog.Logger
	warned  bool
}

func newHints(root string, watcher func() (*fsnotify.Watcher, error), log *slog.Logger) *hints {
	h := &hints{root: root, watched: make(map[string]whereabouts), wake: make(chan struct{}, 1), done: make(chan struct{}), log: log}
	w, err := watcher()
	if err != nil {
		close(h.done)
		h.warn(err)
		return h
	}
	h.watcher = w
	go h.listen()
	return h
}

// every is the time between two looks without a hint.
func (h *hints) every() time.Duration {
	if h.watcher == nil {
		return deafEvery
	}
	return lookEvery
}

// listen ends when the watcher is closed.
func (h *hints) listen() {
	defer close(h.done)
	for {
		select {
		case e, ok := <-h.watcher.Events:
			if !ok {
				return
			}
			// What leaves the folder needs no look, least of all what we
			// claim; but the folder itself may go.
			if !e.Has(fsnotify.Create) && !e.Has(fsnotify.Write) && e.Name != h.root {
				continue
			}
		case _, ok := <-h.watcher.Errors: // an overflow among them
			if !ok {
				return
			}
		}
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// watch makes sure that the folder now at path is the one being watched.
func (h *hints) watch(path string, at whereabouts) {
	if h.watcher == nil || h.watched[path] == at {
		return
	}
	if _, stale := h.watched[path]; stale {
		h.forget(path)
	}
	if err := h.watcher.Add(path); err != nil {
		if !forbidden(err) && !gone(path) { // then looking into it tells more
			h.warn(err)
		}
		return
	}
	h.watched[path] = at
}

// keep forgets the folders that are gone.
func (h *hints) keep(present func(path string) bool) {
	for path := range h.watched {
		if !present(path) {
			h.forget(path)
		}
	}
}

func (h *hints) forget(path string) {
	delete(h.watched, path)
	if err := h.watcher.Remove(path); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
		return // the kernel dropped the watch with the folder
	}
}

// warn says once that files are found by looking alone.
func (h *hints) warn(err error) {
	if !h.warned {
		h.warned = true
		h.log.Warn("folder cannot be watched, files are found by looking every few seconds",
			"error", err, "hint", "raise fs.inotify.max_user_watches or max_user_instances")
	}
}

func (h *hints) close() {
	if h.watcher != nil {
		_ = h.watcher.Close()
	}
	<-h.done
}
