package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Contains reports whether a file lies inside a folder, at any depth, once all links are followed; for a file that does
// not exist yet, whether the place where it would be made does. A database inside the shared folder would be carried
// away torn, in three files at three times. The error is ErrMissing if there is no folder.
func Contains(folder, file string) (bool, error) {
	outer, err := statFolder(folder)
	if err != nil {
		return false, fmt.Errorf("compare paths: %w", err)
	}
	inner, err := existing(file)
	if err != nil {
		return false, fmt.Errorf("compare paths: %w", err)
	}
	// Directories are compared by identity and not by spelling: file systems that fold case or normalise Unicode have
	// many spellings of one path, and a directory may be mounted in two places.
	for {
		info, err := os.Stat(inner)
		if err != nil {
			return false, fmt.Errorf("compare paths: %w", err)
		}
		if os.SameFile(outer, info) {
			return true, nil
		}
		parent := filepath.Dir(inner)
		if parent == inner {
			return false, nil
		}
		inner = parent
	}
}

// maxLinks is how many links to files not yet made are followed, one after the other. Systems allow 8 to 63.
const maxLinks = 40

// existing returns the real path of the file or, while there is no such file, of the nearest directory above it.
func existing(file string) (string, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	for links := 0; ; {
		resolved, err := filepath.EvalSymlinks(file)
		if !errors.Is(err, fs.ErrNotExist) {
			return resolved, err
		}
		parent := filepath.Dir(file)
		target, notLink := os.Readlink(file)
		switch {
		case notLink == nil: // a link that leads nowhere yet: opening the file would make it at the other end
			if links++; links > maxLinks {
				return "", fmt.Errorf("%s: too many links", file)
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(parent, target)
			}
			file = target
		case parent == file:
			return "", err // a drive that is not there
		default:
			file = parent
		}
	}
}
