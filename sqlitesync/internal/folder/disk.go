package folder

import (
	"io"
	"io/fs"
	"os"
)

// disk is everything that this package asks of the operating system about an open folder. Names are slash-separated
// and relative to the folder. Tests stand in for it to fail single steps.
type disk interface {
	Lstat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (file, error)
	Mkdir(name string, perm fs.FileMode) error
	Link(oldname, newname string) error
	Rename(oldname, newname string) error
	Remove(name string) error
	Here() bool // whether the folder's path still leads to this very directory
	Close() error
}

// file is an open file or directory of a disk.
type file interface {
	io.Reader
	io.Writer
	io.Closer
	Stat() (fs.FileInfo, error)
	ReadDir(n int) ([]fs.DirEntry, error)
	Readdirnames(n int) ([]string, error)
	Sync() error
}

// rootDisk is the disk of real life. The os.Root keeps every name inside the folder, whatever links stand in it.
type rootDisk struct {
	*os.Root
	path string // absolute
}

func (d rootDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	opened, err := d.Root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // not the nil *os.File, which would make a file that is not nil
	}
	return opened, nil
}

func (d rootDisk) Here() bool {
	named, err := os.Stat(d.path)
	if err != nil {
		return false
	}
	opened, err := d.Root.Stat(".")
	return err == nil && os.SameFile(named, opened)
}
