//go:build !linux && !darwin && !windows

package sqlitesync

// machineID returns "": this system has no id that we know how to read, so a
// copy of database and keys to another machine goes unnoticed here.
func machineID() string { return "" }
