package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// fragmentFolder lies beside a configuration file. Its files NAME.yaml add to
// it in the order of their names.
const fragmentFolder = "conf.d"

// ConfigFiles lists the files of a configuration: the one at path, and its
// fragments. Since a configuration names programs to be run, fragments are
// only taken from whom the file belongs to, root, or the user that asks.
func ConfigFiles(path string) (files []string, err error) {
	files = []string{path}
	folder := filepath.Join(filepath.Dir(path), fragmentFolder)
	found, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return files, nil
	}
	if err != nil {
		return files, err
	}
	owners := []uint32{0, uint32(os.Geteuid())}
	if owner, _ := ownerOf(path); owner >= 0 {
		owners = append(owners, uint32(owner))
	}
	if err := trusted(folder, owners); err != nil {
		return files, err
	}
	for _, f := range found {
		name := filepath.Join(folder, f.Name())
		if f.IsDir() || strings.HasPrefix(f.Name(), ".") || filepath.Ext(f.Name()) != ".yaml" {
			continue
		}
		if err := trusted(name, owners); err != nil {
			return files, err
		}
		files = append(files, name)
	}
	return files, nil
}

// trusted says why a fragment could be somebody else's.
func trusted(path string, owners []uint32) error {
	owner, mode := ownerOf(path)
	switch {
	case owner < 0:
		return nil // gone meanwhile; reading it tells
	case !slices.Contains(owners, uint32(owner)):
		return WithHint(fmt.Errorf("%s belongs to user %d, who could have any program run", path, owner), "chown it to root, or move it away")
	case mode&0o002 != 0:
		return WithHint(fmt.Errorf("%s may be written by everybody, who could have any program run", path), "chmod o-w it")
	}
	return nil
}

// ownerOf is the user that a file belongs to, or -1.
func ownerOf(path string) (owner int64, mode fs.FileMode) {
	info, err := os.Stat(path)
	if err != nil {
		return -1, 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Uid), info.Mode()
	}
	return -1, 0
}
