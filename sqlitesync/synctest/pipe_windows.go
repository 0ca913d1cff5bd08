package synctest

import "os"

// makePipe makes a directory: Windows has no FIFOs in folders.
func makePipe(path string) error { return os.Mkdir(path, 0o700) }
