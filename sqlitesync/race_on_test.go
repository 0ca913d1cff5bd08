//go:build race

package sqlitesync

// raceFactor is how much slower the race detector makes things.
const raceFactor = 10
