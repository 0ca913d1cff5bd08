package sqlitesync

import "golang.org/x/sys/unix"

// machineID returns what the operating system calls this machine. It is hashed
// with the device id before it is stored.
func machineID() string {
	id, err := unix.Sysctl("kern.uuid")
	if err != nil {
		return ""
	}
	return id
}
