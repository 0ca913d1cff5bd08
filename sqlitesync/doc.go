// Package sqlitesync keeps the SQLite databases of one person's, or one team's,
// devices the same, through a folder that Dropbox, Syncthing, iCloud Drive,
// Google Drive, OneDrive or a USB stick carries between them. There is no
// server, and the folder's host sees only encrypted files.
//
// # In short
//
// An app opens its database with database/sql as always, and hands the handle
// to sqlitesync together with the folder:
//
//	db, err := sqlitesync.OpenDB("app.db") // or your own handle of modernc.org/sqlite
//
//	s, err := sqlitesync.Open(ctx, db, folder, nil)
//	if errors.Is(err, sqlitesync.ErrNotSetUp) {
//		if firstDevice { // the person says so: an empty folder may not be downloaded yet
//			s, err = sqlitesync.Create(ctx, db, folder, nil)
//		} else {
//			s, err = sqlitesync.Join(ctx, db, folder, code, nil) // a code from a device that is in: s.Invite
//		}
//	}
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//
// From then on every device has the same rows. Writes need nothing: triggers
// note which rows change, whatever program in whatever language writes them.
// [Syncer.Events] tells when rows of other devices came in.
//
// # Step by step
//
// One: tables that can be synced. Each has a declared key that no two devices
// hand out for two things:
//
//	CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL)
//
//	db.Exec("INSERT INTO note VALUES (?, ?)", sqlitesync.NewKey(), "Buy bread")
//
// That is the one thing to decide well; SCHEMA.md beside this file says how, also
// for unique columns, foreign keys, counters and lists.
//
// Two: the app makes its tables, or migrates them, and then opens sync, at each
// start. Each device does so by itself: rows travel, changes of the schema do not. The
// table in which a migration tool notes how far it has come must stay at home, or
// one device would take another's migrations for its own:
//
//	options := &sqlitesync.Options{Exclude: []string{"goose_db_version"}}
//	s, err := sqlitesync.Open(ctx, db, folder, options)
//
// Three: the person says where the folder is, any that Dropbox, Syncthing or
// their like carries (FOLDERS.md says what to set in each), and whether it is
// the first device. On the first one [Create]; on the others [Join], with a code
// that [Syncer.Invite] makes on a device that is in, and that the person types:
//
//	invite, err := s.Invite(ctx, nil) // there: show invite.Code
//
//	s, err := sqlitesync.Join(ctx, db, folder, code, options) // here
//	switch {
//	case errors.Is(err, sqlitesync.ErrCode): // mistyped, used or too old: ask again
//	case errors.Is(err, sqlitesync.ErrFolder): // not there (yet)
//	case errors.Is(err, sqlitesync.ErrNotEmpty): // it has rows of its own: ask what to do
//	}
//
// Never create a space because a folder is empty: it may not be downloaded yet.
// Create refuses a folder in which it sees a space, and that is all it can see.
//
// Four: the app runs. It goes on using db. When rows of others come in, it reads
// again what it shows:
//
//	for event := range s.Events(ctx) {
//		switch {
//		case event.Kind == sqlitesync.EventApplied, event.Missed > 0:
//			ui.Reload(event.Tables)
//		default:
//			ui.ShowState(s.Status())
//		}
//	}
//
// A form that a person has open is not written back whole when it is saved, but
// only what they changed: else it overrules what came in meanwhile.
//
// Five: something is overruled. Two devices wrote one row before they heard of
// each other; the later edit shows, and the other one is kept. Show it:
//
//	for conflict, err := range s.Conflicts(ctx) {
//		// conflict.Winner.Values and conflict.Loser.Values
//		err = s.Resolve(ctx, conflict.ID, sqlitesync.TakeLoser) // or KeepWinner, TakeValues(…)
//	}
//
// Six: a new version of the app. Migrations run on each device when it is updated,
// and devices of both versions go on with each other meanwhile. If a migration
// fills rows, run it through [Syncer.Migrate].
//
// Seven: the day after. [Syncer.Recovery] makes a code for the safe, [Syncer.Revoke]
// ends a device that was stolen, [Syncer.Devices] says which has read what, and
// [Syncer.History] who wrote a row; [Syncer.Verify] compares tables and logs.
//
// Eight: tests of the app. Two databases and one temporary directory for a folder
// are two devices; with [Options].Manual data moves only in [Syncer.Sync], so that
// nothing has to be waited for. See the example of the package.
//
// Whole programs stand in the directory examples: quickstart, notes (goose, sqlc,
// two versions of a schema), dashboard (a page that refreshes itself).
//
// # Words
//
// A space is a group of devices that share one database's content through one
// folder. A device is one database file on one machine, with its own keys. A
// change is news about one row, with a stamp that says when and by whom. A
// batch is what one device committed between two looks; a segment is the file
// that carries it. A conflict is a pair of changes to one row whose authors had
// not seen each other.
//
// # What wins
//
// Per row the last writer wins. A change that was made after its author had
// seen another one always beats it, whatever the clocks say. What loses without
// having been seen is kept: see [Syncer.Conflicts] and [Syncer.Resolve]. A row
// that this database can't show, because of a constraint or because its table
// is not there yet, is held until it can: see [Syncer.Held].
//
// When two devices give one key to two rows, as happens with numbers that are
// counted up, that is a conflict with [Conflict].Collision set: the newer row
// shows, and [BringBackAs] brings the other one back under a key of its own.
//
// No clock has to be right for this. One that is off decides wrongly between
// edits whose authors had not seen each other, and nothing else; [Status].Clocks
// names its device.
//
// A limit: a form that is loaded before a merge and saved after it counts as
// having seen what the merge brought.
//
// In a space that enforces foreign keys ([Options].ForeignKeys) a merge leaves
// no row without its parent. If one device deletes a row while another writes a
// child of it, the child shows with NULL or its default where the foreign key
// says so (SET NULL, SET DEFAULT). With CASCADE it is held. With RESTRICT or NO
// ACTION the device that wrote the child puts the parent again, and both show.
//
// # Conflicts and held rows in SQL
//
// Any program can read them from two views, with nothing but SQLite:
//
//	sqlitesync_conflicts: id, table_name, row_key, differs, collision,
//		winner_device, winner_time, winner_values, loser_device, loser_time, loser_values, found_time
//	sqlitesync_held: table_name, row_key, reason, device, time, "values", shown
//
// shown is 1 for a row that shows, but without its parent (see Foreign keys in
// LIMITS.md). row_key and values are JSON objects of columns in lower case, differs is a
// JSON array of columns, and NULL if one side is a delete, as are the values of
// that side. An INTEGER has no point and no exponent and a REAL has one, infinity
// is 9e999, a BLOB is {"blob": "00ff"} in hexadecimal, and TEXT that is not UTF-8
// {"text": "ff"}. Times are UTC, as SQLite's functions write them; device and time
// are NULL for a row that stood there before its database entered the space. So
//
//	SELECT json_extract(loser_values, '$.title') FROM sqlitesync_conflicts WHERE id = 7
//
// yields what was lost, to be written back with an ordinary UPDATE. The views are
// part of the API; the tables below them, like all others whose names begin with
// sqlitesync_, are not.
//
// # What can be synced
//
// Tables with a declared PRIMARY KEY of one or more columns. A key is what the
// row is called on all devices, so it should not be counted up: two devices
// would give one number to two rows (such collisions are told apart in the
// conflicts, but better avoided). UUIDs in a TEXT or BLOB column are right;
// [NewKey] makes them. SCHEMA.md beside this file has more on keys, constraints and
// what wins.
// Tables that can't be synced, and why, are listed in [Status].Unsynced: those
// without a declared key, views, virtual tables, tables whose unique index has
// a collation of the app's own, and tables with triggers that SQLite can't
// compile here. The app's triggers are welcome. In a merge, what they write into
// synced tables is left out, because it arrives as rows; what they write into
// local tables, a full-text index or a cache, is written; and those that RAISE
// do not run, because they guard the app's own writes.
//
// LIMITS.md beside this file lists what does not go, and the way out.
//
// # Changes of the schema
//
// The app changes its schema as it always did, in plain SQL or with a migration
// tool, on every device in its own time; the next pass follows. Columns that a
// device does not have yet are kept for it, and so are rows of tables that it
// does not have. A renamed column, key or table goes on under its new name.
// Where there is no app that makes tables, [Syncer.MakeTables] and
// [Options.MakeTables] make them as other devices have declared them.
// [Syncer.Migrate] runs a migration so that what it writes loses against every
// edit of a person that its device had not seen.
//
// # Who is in
//
// Every device has a role. An admin decides who else is in: [Syncer.Invite] and
// [Syncer.Withdraw], [Syncer.SetRole], and [Syncer.Revoke] for a device that was
// lost or stolen. There is no key that admins share, so a stolen one signs
// nothing that counts after its revocation. Of admins that decide against each
// other at the same time, the one that has been admin for longer prevails. Each
// revocation begins a new epoch, with a key that only those who are left get.
// [Syncer.Recovery] makes a code for the day on which all devices are lost.
//
// A device that was invited as a reader publishes nothing. What the app writes
// there is undone by the next pass, so that it shows what all others show, and
// is listed in the view
//
//	sqlitesync_undone: table_name, row_key, time, "values"
//
// whose columns are as those of the views above; values are NULL for a delete.
//
// # What may happen to the folder, and to a database
//
// Nothing that becomes of the folder deletes a row. What a device has published
// and somebody deletes it publishes again; what a lost device has written an
// admin's device relays, after a week or when it is told to ([Syncer.Relay]). Each
// device writes its own log anew from time to time, without what newer changes
// overrule, so that the folder stays about as large as the rows.
//
// A database that was restored from a backup, or copied with its keys, goes on as a
// new device by itself: [EventSucceeded]. One that was away for long reads what it
// has missed while the app goes on, and tells how far it has come: [Progress].
//
// # Handles
//
// The engine uses its own handle on the same file and holds none of the app's
// connections. The app's handle must be one of modernc.org/sqlite: two builds
// of SQLite in one process break each other's file locks. go.mod must pin the
// version of modernc.org/libc that modernc.org/sqlite itself requires.
//
// Of several processes on one database one syncs; the others get [ErrInUse], or
// stand by until it ends ([Options].StandBy). Writes of all are captured.
//
// # Looking, and programs in other languages
//
// [Look] opens a [View] of a database beside whatever syncs it, which takes no
// lock and writes nothing: for showing how things stand, and for finding out why
// they stand still ([View.Examine]). The command cmd/sqlitesync does so, and
// syncs databases of programs that are not written in Go.
//
// # Compatibility
//
// The format of the folder is specified in FORMAT.md beside this file. Every
// later version of this package reads folders and databases of this one.
package sqlitesync
