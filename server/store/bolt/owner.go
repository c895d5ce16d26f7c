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

// Lost returns an error that says what to do if there was a store at a path where there is none, nil if there never was.
func Lost(path string) error {
	_, err := os.Stat(ownerPath(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("it is missing, but %s says that there was a store: put the file or a backup back in its place, or remove that file to begin anew", ownerPath(path))
}

// writeOwner says that this process has the store open.
func writeOwner(path string) error {
	name := filepath.Base(path)
	text := fmt.Sprintf("process %d has, or last had, %s open.\n\n"+
		"This file belongs to %s: keep both together. While it is here, a server does not begin anew if %s is missing.\n",
		os.Getpid(), name, name, name)
	if err := os.WriteFile(ownerPath(path), []byte(text), 0o600); err != nil {
		return err
	}
	return giveToFolder(ownerPath(path))
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

// ErrOpen says that somebody has the store open.
var ErrOpen = errors.New("a store can be open once at a time")

func hasItOpen(path string) error { return fmt.Errorf("%s has it open: %w", readOwner(path), ErrOpen) }
