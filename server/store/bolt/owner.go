package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// Beside the file lies its owner file. It says which process has the store open, for those who find it locked, and that
// there is a store at all: if the file itself is missing or empty then, it was lost, and no new one takes its place.

func ownerPath(path string) string { return path + ".owner" }

// hasOwner says whether there was a store at a path.
func hasOwner(path string) (bool, error) {
	_, err := os.Stat(ownerPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// writeOwner says that this process has the store open.
func writeOwner(path string) error {
	name := filepath.Base(path)
	text := fmt.Sprintf("process %d has, or last had, %s open.\n\n"+
		"This file belongs to %s: keep both together. While it is here, a server does not begin anew if %s is missing.\n",
		os.Getpid(), name, name, name)
	return os.WriteFile(ownerPath(path), []byte(text), 0o600)
}

var ownerProcess = regexp.MustCompile(`^process \d+`)

// readOwner returns who has the store open, as far as the owner file says.
func readOwner(path string) string {
	text, err := os.ReadFile(ownerPath(path))
	if process := ownerProcess.Find(text); err == nil && process != nil {
		return string(process)
	}
	return "another process"
}

func hasItOpen(path string) error {
	return fmt.Errorf("%s has it open: a store can be open once at a time", readOwner(path))
}
