package changelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Stale is a table that may show what capture has not noted.
type Stale struct {
	Table *Table
	// Was is [Shape.Rows] before the table or a column of its key was renamed,
	// since the last Capture; "" if none was.
	Was string
	// Gained holds the columns that the table did not have before. Lost: some
	// that it had are gone, so that those gained could be these by other names.
	Gained []Column
	Lost   bool
	// Written: rows could show other values without having been noted.
	Written bool
	// Removed: rows could have gone without having been noted.
	Removed bool
	// Rebuilt: the table was dropped and made again, by a migration.
	Rebuilt bool
	// Renamed: other devices must hear of all rows, held ones too, and of all
	// that were deleted, under the name of the table that they have now, or
	// under the keys, of another type.
	Renamed bool
}

// any reports whether there is anything for Reconcile to look at.
func (s *Stale) any() bool {
	return s.Was != "" || s.Table.Phase != PhaseNew && (s.Gained != nil || s.Written || s.Removed || s.Renamed)
}

// remember writes down what Reconcile is to look at, should something come in
// between.
func (s *Stale) remember(ctx context.Context, c *Conn) error {
	_, err := c.Exec(ctx, "UPDATE sqlitesync_tables SET written = ?, removed = ?, renamed = ? WHERE number = ?",
		s.Written, s.Removed, s.Renamed, s.Table.Number)
	return err
}

// forget writes down that there is nothing to look at any more.
func (s *Stale) forget(ctx context.Context, c *Conn) error {
	_, err := c.Exec(ctx, "UPDATE sqlitesync_tables SET columns = ?, rebuilt = 0, written = 0, removed = 0, renamed = 0 WHERE number = ?",
		strings.Join(s.Table.declared, ","), s.Table.Number)
	return err
}

// compare looks for what became of the columns that the table had before.
func (s *Stale) compare(before string) {
	var stayed []string
	for _, token := range tokenize(before) {
		switch {
		case slices.Contains(s.Table.declared, token):
			stayed = append(stayed, token)
		case token != ",":
			s.Lost = true
		}
	}
	if before == "" || slices.Equal(stayed, s.Table.declared) {
		return
	}
	now := slices.DeleteFunc(slices.Clone(s.Table.declared), func(name string) bool { return !slices.Contains(stayed, name) })
	if !slices.Equal(stayed, now) { // columns have exchanged their names
		s.Written = true
	}
	for _, column := range s.Table.Columns {
		if !slices.Contains(stayed, Quote(CanonicalName(column.Name))) {
			s.Gained = append(s.Gained, column)
		}
	}
}

// Log entries that do not come from an edit bear no time of day: as Julian days,
// 1970 and the day before. What they bring to light loses against every edit of
// another device that was made in the meantime.
const (
	foundTime    = 2440587.5 // noted by Reconcile
	migratedTime = 2440586.5 // noted while a migration ran
)

// Reconcile notes in the log what may differ, in the tables in db.Stale, from
// what is known: all rows and the known ones that are gone, or, if only columns
// came, the rows where those are not as in a new row. [Database.Pending] drops
// those that are as they are known to be. The cost is that of reading the table
// once. The log must be empty, after [Database.Forget], or edits in it would lose
// their times.
//
// It writes, so it is called inside a transaction. What Capture has found waits
// for it as long as need be, also while the database is closed.
func (db *Database) Reconcile(ctx context.Context) error {
	for i := range db.Stale {
		stale := &db.Stale[i]
		err := db.reconcile(ctx, stale)
		if err == nil {
			err = stale.forget(ctx, db.Conn)
		}
		if err != nil {
			return fmt.Errorf("table %q: find what was written without capture: %w", stale.Table.Name, err)
		}
	}
	db.Stale = nil
	return nil
}

func (db *Database) reconcile(ctx context.Context, stale *Stale) error {
	table := stale.Table
	if differs, defaults := stale.differs(); differs != "" {
		_, err := db.Conn.Exec(ctx, fmt.Sprintf("INSERT INTO sqlitesync_log (%s) SELECT %d, %v, %s FROM %s WHERE %s",
			logColumns(table), table.Number, foundTime, qualified(table.Key, ""), Quote(table.Name), differs), defaults...)
		if err != nil {
			return err
		}
	}
	var unseen []string // what the table does not show, and others may know by other names only
	if stale.Renamed {
		unseen = append(unseen, fmt.Sprint(Deleted))
	}
	if stale.Renamed || stale.Lost && stale.Gained != nil {
		unseen = append(unseen, fmt.Sprint(Held))
	}
	if unseen != nil {
		_, err := db.Conn.Exec(ctx, fmt.Sprintf("INSERT INTO sqlitesync_log (%s) SELECT %d, %v, %s FROM sqlitesync_clock_%d WHERE state IN (%s)",
			logColumns(table), table.Number, foundTime, KeyColumns("", table), table.Number, strings.Join(unseen, ", ")))
		if err != nil {
			return err
		}
	}
	if !stale.Removed {
		return nil
	}
	return db.noteGone(ctx, table, fmt.Sprint(foundTime))
}

// Forget forgets the rows that are not in the rebuilt tables of db.Stale any
// more and that nobody deleted, and marks these tables for the logs of all
// devices to be read again: a migration that drops a table must not delete its
// rows everywhere. It is called in the transaction of Capture: before the log is
// folded, which may speak of such rows, and before triggers note what else goes.
// It writes.
func (db *Database) Forget(ctx context.Context) error {
	for _, stale := range db.Stale {
		if !stale.Rebuilt {
			continue
		}
		table := stale.Table
		result, err := db.Conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s AND (%s) NOT IN (SELECT %s FROM (%s) WHERE entry < 0)",
			gone(table), KeyColumns("c.", table), KeyColumns("", table), lastEntries(table, table.Number)))
		if err != nil {
			return err
		}
		forgotten, err := result.RowsAffected()
		if err == nil && forgotten > 0 {
			err = errors.Join(db.SetIncomplete(ctx, table, true), db.DoubtDigest(ctx, table.Put.Rows()))
		}
		if err == nil { // should Reconcile be broken off, rows that go from now on were not lost by the migration
			_, err = db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET rebuilt = 0 WHERE number = ?", table.Number)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lastEntries selects, as entry, the last entry of each row in the log of the table
// with this number, which has the key of table: it is below 0 if the row was deleted.
func lastEntries(table *Table, number int64) string {
	var named []string
	for i := range table.Key {
		named = append(named, fmt.Sprintf("k%d IS NOT NULL", i)) // NOT IN is never true beside a NULL
	}
	return fmt.Sprintf("SELECT max(id), tbl AS entry, %s FROM sqlitesync_log WHERE tbl IN (%d, %d) AND %s GROUP BY %s",
		KeyColumns("", table), number, -number, strings.Join(named, " AND "), groupKey(table))
}

// gone selects the clocks, as c, of the rows that are known and not there.
func gone(table *Table) string {
	return fmt.Sprintf("sqlitesync_clock_%d AS c WHERE c.state NOT IN (%d, %d) AND NOT EXISTS (SELECT 1 FROM %s t WHERE %s)",
		table.Number, Deleted, Held, Quote(table.Name), MatchKey(table, "t.", "c."))
}

// noteGone notes the rows that are known and not there. It writes.
func (db *Database) noteGone(ctx context.Context, table *Table, at string) error {
	_, err := db.Conn.Exec(ctx, fmt.Sprintf("INSERT INTO sqlitesync_log (%s) SELECT %d, %s, %s FROM %s",
		logColumns(table), table.Number, at, KeyColumns("c.", table), gone(table)))
	return err
}

// maxGained is for how many columns a condition is no deeper than SQLite allows.
const maxGained = 200

// Note notes in the log that a row was written now. It writes.
func (db *Database) Note(ctx context.Context, table *Table, key Key) error {
	return db.noteAt(ctx, table, "julianday('now')", key)
}

// NoteFound notes in the log that a row is not as it is known to be, as Reconcile
// does. It writes.
func (db *Database) NoteFound(ctx context.Context, table *Table, key Key) error {
	return db.noteAt(ctx, table, fmt.Sprint(foundTime), key)
}

func (db *Database) noteAt(ctx context.Context, table *Table, at string, key Key) error {
	query := table.Statement("note at "+at, 1, func() string {
		return fmt.Sprintf("INSERT INTO sqlitesync_log (%s) VALUES (%d, %s%s)",
			logColumns(table), table.Number, at, strings.Repeat(", ?", len(table.Key)))
	})
	_, err := db.Conn.Exec(ctx, query, key...)
	return err
}

// differs returns the condition that a row may differ from what is known, and
// its parameters.
func (s *Stale) differs() (condition string, defaults []any) {
	if s.Written || s.Renamed || len(s.Gained) > maxGained {
		return "1", nil // a column can be called true
	}
	var terms []string
	for _, column := range s.Gained {
		terms = append(terms, fmt.Sprintf("%[1]s COLLATE BINARY IS NOT ? OR typeof(%[1]s) <> typeof(?)", Quote(column.Name)))
		defaults = append(defaults, column.Default, column.Default)
	}
	return strings.Join(terms, " OR "), defaults
}

// SetIncomplete marks a table whose rows are not all known, or takes the mark
// away. It writes.
func (db *Database) SetIncomplete(ctx context.Context, table *Table, incomplete bool) error {
	if incomplete {
		db.Losses++
	}
	_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET incomplete = ? WHERE number = ?", incomplete, table.Number)
	if err == nil {
		table.Incomplete, table.Reread = incomplete, false
	}
	return err
}
