//go:build !race

package sqlitesync

const raceFactor = 1
