package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// A notifier is the operating system's way to tell about changes. Tests put their own in its place.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Events() <-chan fsnotify.Event // closed by Close
	Errors() <-chan error          // closed by Close
	Close() error
}

type systemNotifier struct{ *fsnotify.Watcher }

func openSystem() (notifier, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return systemNotifier{watcher}, nil
}

func (n systemNotifier) Events() <-chan fsnotify.Event { return n.Watcher.Events }
func (n systemNotifier) Errors() <-chan error          { return n.Watcher.Errors }

type deafNotifier struct{ notifier }

func openDeaf() (notifier, error) {
	system, err := openSystem()
	return deafNotifier{system}, err
}

func (deafNotifier) Add(string) error    { return nil }
func (deafNotifier) Remove(string) error { return nil }

// explain puts a limit of the system into words, where its own would send a person to look for disk space.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the system's limit of watched directories is reached (fs.inotify.max_user_watches): %w", err)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("the system's limit of open files or watchers is reached: %w", err)
	}
	return err
}

// Try reports why changes in some of the directories would be noticed only by polling, or nil. A missing directory is
// no reason.
func Try(dirs []string) error { return try(dirs, openSystem) }

func try(dirs []string, open func() (notifier, error)) error {
	system, err := open()
	if err != nil {
		return explain(err)
	}
	defer system.Close()
	for _, dir := range dirs {
		if err := system.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain(err)
		}
	}
	return nil
}
