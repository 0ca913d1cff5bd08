package sqlitesync

import "os"

// makeFIFO makes a directory: Windows has no FIFOs among files.
func makeFIFO(path string) error { return os.Mkdir(path, 0o700) }
