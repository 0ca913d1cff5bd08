// Package merge is the room in which the changes of other devices meet those
// of this one. Most programs never import it; they use package sqlitesync.
//
// What comes in: batches of other devices ([Apply]) and the local edits that
// package changelog found in the log ([Local]).
//
// What goes out: rows in the app's tables, clocks, kept changes, and conflicts,
// all inside the caller's transaction; and a [Result] that says what changed.
//
// What the tables show is a pure function of the changes and the schema
// (FORMAT.md, chapter 10). [Combine] is that function for one row. Nearly every
// change is newer than all that is known of its row and contains the columns
// that the table has; such changes are written in groups (write.go). All others
// go through Combine, one row at a time (row.go). Afterwards the rows are looked
// at whose unique values became free, or whose parents came or went, parents
// before children (settle.go).
package merge
