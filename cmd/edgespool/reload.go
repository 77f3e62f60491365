package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/edgespool/edgespool/agent"
)

// fileCheck is how often the configuration file is looked at. A change counts
// once the file has been the same twice, since some editors write in place.
const fileCheck = 2 * time.Second

// A reloadable takes a new configuration; see agent.Agent.
type reloadable interface {
	Reload(c *agent.Config) error
}

// reloadOf has the configuration read again on SIGHUP and when its file has
// changed. The returned function ends that.
func reloadOf(path string, a reloadable, log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(fileCheck)
		defer tick.Stop()
		r := reloader{path: path, agent: a, log: log}
		r.read, r.seen = fileStamp(path), fileStamp(path)
		for {
			select {
			case <-end:
				return
			case <-hangups:
				r.reload(fileStamp(path))
			case <-tick.C:
				r.look()
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		close(end)
		done.Wait()
	}
}

// reloader knows which version of the file counts.
type reloader struct {
	path       string
	agent      reloadable
	log        *slog.Logger
	read, seen stamp
}

// stamp tells versions of the file and its fragments apart; empty if the
// file is not there.
type stamp string

func fileStamp(path string) stamp {
	files, err := agent.ConfigFiles(path)
	all := ""
	for _, name := range files {
		info, err := os.Stat(name) // follows the links of mounted configurations
		if err != nil && name == path {
			return ""
		} else if err != nil {
			continue
		}
		inode := uint64(0)
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = st.Ino
		}
		all += fmt.Sprintln(name, info.ModTime().UnixNano(), info.Size(), inode)
	}
	return stamp(fmt.Sprint(all, err)) // a folder that may be read again is a change
}

// look reads the file if it has changed and rests. One that is gone, as
// between the two steps of an editor, is no change.
func (r *reloader) look() {
	now := fileStamp(r.path)
	rests := now == r.seen
	r.seen = now
	if rests && now != r.read && now != "" {
		r.reload(now)
	}
}

func (r *reloader) reload(now stamp) {
	r.read, r.seen = now, now
	cfg, err := loadConfig(r.path)
	if err == nil {
		if w := cfg.Warnings(); w != nil {
			r.log.Warn("configuration takes something for granted", "file", r.path, "warnings", w.Error())
		}
		err = r.agent.Reload(cfg)
	}
	if err != nil {
		r.log.Error("configuration was not read again, the agent goes on as before", "file", r.path, "error", err)
	}
}
