//go:build unix

package synctest

import "golang.org/x/sys/unix"

// makePipe makes a FIFO, which a careless reader would wait at for ever.
func makePipe(path string) error { return unix.Mkfifo(path, 0o600) }
