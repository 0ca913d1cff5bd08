package folder

import (
	"errors"
	"os"
	"path/filepath"
)

// SyncDirectory makes the names in a directory of this machine durable, where the system has a way to do so.
func SyncDirectory(directory string) error {
	if !syncsDirectories {
		return nil
	}
	return syncNow(directory, os.O_RDONLY)
}

// SyncFile makes a file of this machine durable, and its name.
func SyncFile(name string) error {
	if err := syncNow(name, os.O_RDWR); err != nil {
		return err
	}
	return SyncDirectory(filepath.Dir(name))
}

func syncNow(name string, flag int) error {
	opened, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return err
	}
	err = opened.Sync()
	if cannotSync(err) {
		err = nil
	}
	return errors.Join(err, opened.Close())
}
