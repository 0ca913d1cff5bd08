package folder

import (
	"io/fs"
	"os"
)

// MayChange looks whether a file is marked as one that is only read.
func MayChange(file string) error {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o200 == 0 {
		err = &fs.PathError{Op: "access", Path: file, Err: fs.ErrPermission}
	}
	return err
}

// mayWrite only looks whether the directory is there: Windows tells who may write when something is written.
func mayWrite(directory string) error {
	_, err := os.Stat(directory)
	return err
}
