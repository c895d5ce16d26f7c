//go:build unix

package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// giveToFolder gives a file that root made to who owns its folder: as that user the server runs, and it must open the file.
func giveToFolder(path string) error {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner := folder.Sys().(*syscall.Stat_t)
	if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("%w: do this as user %d, who owns the folder", err, owner.Uid)
	}
	return nil
}
