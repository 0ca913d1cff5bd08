//go:build unix

package folder

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// mayWrite asks the system whether files may be made in a directory; see access(2).
func mayWrite(directory string) error {
	if err := unix.Access(directory, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "access", Path: directory, Err: err}
	}
	return nil
}
