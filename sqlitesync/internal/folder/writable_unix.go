//go:build unix

package folder

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// MayChange asks the system whether a file may be written, without opening it: to close a database that this process
// also has open would end its locks.
func MayChange(file string) error {
	if err := unix.Access(file, unix.W_OK); err != nil {
		return &fs.PathError{Op: "access", Path: file, Err: err}
	}
	return nil
}

// mayWrite asks the system whether files may be made in a directory; see access(2).
func mayWrite(directory string) error {
	if err := unix.Access(directory, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "access", Path: directory, Err: err}
	}
	return nil
}
