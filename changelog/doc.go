// Package changelog is the room of changes: what happened to the rows of one
// database, and how that is written down. Most programs never import it; they
// use package sqlitesync, which opens a database and calls what is here.
//
// What comes in: an app's own writes, noted by triggers (capture) in the table
// sqlitesync_log inside the app's own transactions.
//
// What goes out: a [Batch] of stamped [Change] values, read from the tables
// and the log in one transaction ([Database.Pending], [Database.Unsent]).
//
// Package changelog/segment turns batches into bytes and back, package
// changelog/merge applies batches of other devices to a database. Both, like
// this one, see a database only through a [Conn]. Nothing here knows of files,
// folders or keys.
//
// The API of this package and of the two below it may change between minor
// versions; the bytes may not (FORMAT.md, beside package sqlitesync).
package changelog
