package agent

import (
	"cmp"
	"os"
	"strings"

	"github.com/edgespool/edgespool/agent/config"
	"github.com/edgespool/edgespool/sampler/directory"
	"github.com/edgespool/edgespool/sampler/listener"
	"github.com/edgespool/edgespool/sampler/serial"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// Warnings says what of the source is not there on this board. A room that
// knows more has Warnings of its own.
func (s *SourceConfig) Warnings(warn func(field, problem, remedy string)) {
	if port, ok := s.Room.(*serial.Config); ok {
		findBoard(cmp.Or(s.root, "/")).warnOfPort(port, warn)
	}
	if _, ok := s.Room.(config.Warner); ok {
		return // asked as a section of the file
	}
	switch room := s.Room.(type) {
	case *directory.Config:
		warnFolder("path", room.Path, warn)
		if room.RequireMount {
			spool.WarnOfMount(room.Path, warn)
		}
		switch {
		case room.MoveTo == "":
		case room.After == directory.AfterMove:
			warnFolder("move_to", room.MoveTo, warn)
		default:
			warn("move_to", "counts only with after: move, so files stay where they are", "write after: move, or leave move_to out")
		}
	case *listener.Config:
		uploader.SecretConfig{File: room.APIKeyFile, Env: room.APIKeyEnv, Credential: room.APIKeyCredential}.Warnings("api_key", warn)
	}
}

func warnFolder(field, path string, warn func(field, problem, remedy string)) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		warn(field, bare(err), "make the folder or mount it; the source waits for it")
	case !info.IsDir():
		warn(field, path+" is not a folder", "name the folder that recordings fall into")
	}
}

// bare is an error of the file system without the name of the call.
func bare(err error) string { return strings.TrimPrefix(err.Error(), "stat ") }
