// Package watch is the room of sqlitesync that says when to look at the shared folder again. Most programs never import
// it.
//
// In come the directories that matter and a poll interval; out goes a hint that something may have changed. A hint says
// neither what nor where, and may be wrong. File system events make hints fast; they are missing on network drives and
// many FUSE mounts, and are lost when too many come at once, so polling gives hints all the same. Only a scan of the
// folder says what is so.
package watch
