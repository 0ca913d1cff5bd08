//go:build !linux

package sqlitesync

// memoryDirectory returns "": where files can be kept in memory is not known.
func memoryDirectory() string { return "" }
