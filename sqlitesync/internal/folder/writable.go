package folder

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
)

// Writable reports, without writing anything, why the device could publish nothing in the folder: an error that
// [Reason] knows, or nil. Some systems and network drives tell only when something is written.
func (f *Folder) Writable(device string) error {
	directory, err := deviceDirectory(device)
	if err != nil {
		return f.failure("look whether the folder can be written", err)
	}
	err = fs.ErrNotExist
	for ; errors.Is(err, fs.ErrNotExist); directory = path.Dir(directory) {
		err = mayWrite(filepath.Join(f.path, filepath.FromSlash(directory)))
		if directory == "." {
			break
		}
	}
	return f.failure("look whether the folder can be written", err)
}
