package sqlitesync

import "syscall"

// memoryDirectory returns a directory that is in memory, or "" if there is none with room for the files of tests.
func memoryDirectory() string {
	const dir, room = "/dev/shm", 4 << 30
	var system syscall.Statfs_t
	if err := syscall.Statfs(dir, &system); err != nil || system.Bavail*uint64(system.Bsize) < room {
		return ""
	}
	return dir
}
