package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A Folder is an open shared folder. Its methods may be called from several goroutines at once; where that is not so,
// the method says it.
//
// Open one for a pass over the folder and close it afterwards. While it is open, every access goes to the directory
// that was opened, even if another takes its place under the same path, so what the marker said at the beginning of a
// pass holds to its end. An open directory also keeps a USB stick from being ejected.
type Folder struct {
	path string
	disk disk
	slow *SlowReads

	mu       sync.Mutex
	patience time.Duration // with reads that stand still
}

// Open opens the folder at path. The error is ErrMissing if there is no directory, and ErrSlow if the drive that it is on
// does not answer.
func Open(path string) (*Folder, error) { return new(SlowReads).Open(path) }

// Open is [Open] of a folder that knows of reads that earlier ones left to themselves, and lets these know of its own.
func (s *SlowReads) Open(path string) (*Folder, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	f := &Folder{path: absolute}
	f.remember(s)
	if err := f.open(openRoot); err != nil {
		return nil, err
	}
	return f, nil
}

// open opens the disk. What an opening that was left to itself opens in the end, the garbage collector closes.
func (f *Folder) open(opener func(path string) (disk, error)) (err error) {
	f.disk, err = inTime(f, f.path, func(func()) (disk, error) { return opener(f.path) })
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	return nil
}

func openRoot(path string) (disk, error) {
	if _, err := statFolder(path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || unreachable(err) { // it went since it was looked at
			err = fmt.Errorf("%w: %v", ErrMissing, err)
		}
		return nil, err
	}
	return rootDisk{Root: root, path: path}, nil
}

// statFolder looks at a shared folder. The error is ErrMissing, and never fs.ErrNotExist, if there is no directory.
func statFolder(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || unreachable(err):
		return nil, fmt.Errorf("%w: %v", ErrMissing, err)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is not a directory", ErrMissing, path)
	}
	return info, nil
}

// Close releases the directory. The Folder cannot be used afterwards.
func (f *Folder) Close() error { return f.disk.Close() }

// Path returns the absolute path of the folder.
func (f *Folder) Path() string { return f.path }

// maxEntries bounds a directory listing, so that a folder stuffed with junk costs an error and not the memory. In
// honest life a directory of ours holds a few hundred names.
const maxEntries = 1 << 16

// names returns the names in a directory, in no order. What they stand for shows when they are opened.
func (f *Folder) names(directory string) ([]string, error) {
	return listDirectory(f, directory, readNames)
}

// readNames is Readdirnames, which names what a file stands in for: a file that was not fetched yet is not absent.
func readNames(directory file, n int) ([]string, error) {
	names, err := directory.Readdirnames(n)
	for i, name := range names {
		names[i] = standsInFor(name)
	}
	return names, err
}

// entries returns the names in a directory and what they stand for, in no order. It costs a system call per name,
// because a directory that was opened through an os.Root looks each one up.
func (f *Folder) entries(directory string) ([]fs.DirEntry, error) {
	return listDirectory(f, directory, file.ReadDir)
}

func listDirectory[T any](f *Folder, directory string, some func(file, int) ([]T, error)) ([]T, error) {
	return inTime(f, directory, func(alive func()) ([]T, error) { return listNow(f, directory, some, alive) })
}

func listNow[T any](f *Folder, directory string, some func(file, int) ([]T, error), alive func()) ([]T, error) {
	if err := f.checkDirectory(directory); err != nil {
		return nil, err
	}
	opened, err := f.disk.OpenFile(directory, readFlags, 0)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	var all []T
	for {
		next, err := some(opened, 256)
		alive()
		all = append(all, next...)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err // half a listing would make absences out of an error
		}
		if len(all) > maxEntries {
			return nil, fmt.Errorf("%s holds more than %d names: %w", directory, maxEntries, ErrTooLarge)
		}
	}
}

// read returns the bytes of a plain file of at most limit bytes.
func (f *Folder) read(name string, limit int64) ([]byte, error) {
	return inTime(f, name, func(alive func()) ([]byte, error) { return f.readNow(name, limit, alive) })
}

func (f *Folder) readNow(name string, limit int64, alive func()) ([]byte, error) {
	opened, size, err := f.openPlain(name, limit)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	// The file may still grow under a sync client's hands, or be one that lies about its size: the limit holds while
	// reading, too.
	var data bytes.Buffer
	data.Grow(int(size) + bytes.MinRead)
	if _, err := data.ReadFrom(livelyReader{io.LimitReader(opened, limit+1), alive}); err != nil {
		return nil, err
	}
	if int64(data.Len()) > limit {
		return nil, fmt.Errorf("%s grows past %d bytes: %w", name, limit, ErrTooLarge)
	}
	return data.Bytes(), nil
}

// peek returns the first bytes of a plain file of at most limit bytes, as many as headers need, and its size. A sparse
// file of many megabytes costs nothing to plant; what its beginning shows to be worthless need not be read.
func (f *Folder) peek(name string, limit int64) (start []byte, size int64, err error) {
	type beginning struct {
		data []byte
		size int64
	}
	seen, err := inTime(f, name, func(func()) (seen beginning, err error) {
		opened, size, err := f.openPlain(name, limit)
		if err != nil {
			return seen, err
		}
		defer opened.Close()
		data, err := io.ReadAll(io.LimitReader(opened, peekSize))
		return beginning{data, size}, err
	})
	return seen.data, seen.size, err
}

// peekSize is how much of a file is read to see what it is.
const peekSize = 512

// openPlain opens a plain file of at most limit bytes, and returns its size.
func (f *Folder) openPlain(name string, limit int64) (file, int64, error) {
	if err := f.checkDirectory(path.Dir(name)); err != nil {
		return nil, 0, err
	}
	// Before the open, because opening may itself do harm (wake the writer of a FIFO, rewind a tape) …
	info, err := f.lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if err := checkFile(name, info, limit); err != nil {
		return nil, 0, err
	}
	opened, err := f.disk.OpenFile(name, readFlags, 0)
	if err != nil {
		return nil, 0, err
	}
	// … and after it, because another file may have taken the name meanwhile.
	if info, err = opened.Stat(); err == nil {
		err = checkFile(name, info, limit)
	}
	if err != nil {
		_ = opened.Close()
		return nil, 0, err
	}
	return opened, info.Size(), nil
}

// lstat is Lstat for a file that something may stand in for: then it is ErrSlow, and not absent.
func (f *Folder) lstat(name string) (fs.FileInfo, error) {
	info, err := f.disk.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if other, failed := f.disk.Lstat(standIn(name)); failed == nil && plain(other.Mode()) {
			return nil, fmt.Errorf("%s: %w", name, errStandIn)
		}
	}
	return info, err
}

func checkFile(name string, info fs.FileInfo, limit int64) error {
	if !plain(info.Mode()) {
		return fmt.Errorf("%s: %w", name, ErrNotRegular)
	}
	if info.Size() > limit {
		return fmt.Errorf("%s has %d bytes, the limit is %d: %w", name, info.Size(), limit, ErrTooLarge)
	}
	return nil
}

// checkDirectory makes sure that every step of a path inside the folder is a real directory. The os.Root keeps links
// from leading out of the folder; this keeps them from leading into the directory of another device.
func (f *Folder) checkDirectory(directory string) error {
	if directory == "." {
		return nil
	}
	if err := f.checkDirectory(path.Dir(directory)); err != nil {
		return err
	}
	info, err := f.disk.Lstat(directory)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: %w", directory, ErrNotRegular)
	}
	return nil
}
