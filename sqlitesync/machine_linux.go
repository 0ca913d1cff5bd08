package sqlitesync

import (
	"os"
	"strings"
)

// machineID returns what the operating system calls this machine; see
// machine-id(5). It is hashed with the device id before it is stored.
func machineID() string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if id, err := os.ReadFile(path); err == nil && len(id) > 0 {
			return strings.TrimSpace(string(id))
		}
	}
	return "" // a container; it is as good as any other then
}
