package sqlitesync

import "github.com/google/uuid"

// NewKey returns a key for a new row: a UUID of version 7 (RFC 9562) as 36
// characters of text. No two devices make the same one, and keys made later
// sort later, which keeps inserts at the end of the table's index.
//
// Keys that are counted up (INTEGER PRIMARY KEY, AUTOINCREMENT) are handed out
// twice by two devices that have not heard of each other.
func NewKey() string { return uuid.Must(uuid.NewV7()).String() }
