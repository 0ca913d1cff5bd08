package changelog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Capture reads the app's tables and makes sure that every write to those that
// take part is noted from now on: it makes clock tables and triggers that are
// missing or differ from what they should be. The rows of a table in PhaseNew
// are not known yet; [Database.Baseline] is next. Rows of tables in db.Stale
// may differ from what is known of them; [Database.Reconcile] is next, after
// the log has been folded.
//
// It writes, so it is called inside a transaction.
func (db *Database) Capture(ctx context.Context, selection Selection) error {
	if err := db.restore(ctx); err != nil { // a backup may have been copied over the database
		return err
	}
	if err := db.readTables(ctx, selection); err != nil {
		return err
	}
	present, err := db.triggers(ctx)
	if err != nil {
		return err
	}
	newest, err := db.newestTriggers(ctx)
	if err != nil {
		return err
	}
	before, err := db.vacate(ctx, present)
	if err != nil {
		return err
	}
	unseen, err := db.changedUnseen(ctx)
	if err != nil {
		return err
	}
	if err := db.noteRebuilt(ctx); err != nil {
		return err
	}
	db.Stale = nil
	for _, table := range db.Tables {
		stale, err := db.register(ctx, table, before)
		if err != nil {
			return fmt.Errorf("table %q: %w", table.Name, err)
		}
		stale.Removed = stale.Removed || unseen
		if err := db.arm(ctx, table, present, newest[table.Put.Table], &stale); err != nil {
			return fmt.Errorf("table %q: %w", table.Name, err)
		}
		if err := db.noteOpaque(ctx, table, &stale); err != nil {
			return err
		}
		if !stale.any() {
			if err := stale.forget(ctx, db.Conn); err != nil {
				return err
			}
			continue
		}
		if err := stale.remember(ctx, db.Conn); err != nil {
			return err
		}
		db.Stale = append(db.Stale, stale)
	}
	if err := db.disarm(ctx, present); err != nil {
		return err
	}
	if err := db.unsettleOthers(ctx); err != nil {
		return err
	}
	db.doubted = false
	return db.markVersion(ctx)
}

// arm makes the triggers of a table that are missing or out of date, takes them
// out of present, and notes in stale what they may have missed.
func (db *Database) arm(ctx context.Context, table *Table, present map[string]presentTrigger, theirs appTriggers, stale *Stale) error {
	table.Triggered = theirs.newest > 0
	wanted := triggers(table)
	// SQLite runs the newest trigger first. One of the app could end a
	// statement and leave the row (RAISE(FAIL), RAISE(IGNORE), OR FAIL).
	after := func(order int64) bool {
		return slices.ContainsFunc(wanted, func(trigger trigger) bool { return present[trigger.name].order < order })
	}
	late, unnoticed := after(theirs.newest), after(theirs.ending)
	isThere := func(trigger trigger) bool { return present[trigger.name].table == table.Put.Table }
	if table.Phase != PhaseNew && !slices.ContainsFunc(wanted, isThere) && !(stale.Written && stale.Removed) {
		stale.Rebuilt = true // they went with the table, whose name another one has taken, and not by disarm
	}
	var drop strings.Builder
	var remake []trigger
	for _, trigger := range wanted {
		missing := present[trigger.name].sql != trigger.sql
		stale.Written = stale.Written || unnoticed || stale.Rebuilt || missing && trigger.victims == nil
		stale.Removed = stale.Removed || unnoticed || missing
		if missing || late {
			fmt.Fprintf(&drop, "DROP TRIGGER IF EXISTS %s;\n", Quote(trigger.name))
			remake = append(remake, trigger)
		}
		delete(present, trigger.name)
	}
	if err := db.Conn.Script(ctx, drop.String()); err != nil {
		return err
	}
	for _, trigger := range remake {
		if err := db.makeTrigger(ctx, trigger); err != nil {
			return fmt.Errorf("trigger %s: %w", trigger.name, err)
		}
	}
	return nil
}

// disarm drops the triggers that are left, which belong to tables that no longer
// take part, and remembers that these must be compared should they do so again.
func (db *Database) disarm(ctx context.Context, left map[string]presentTrigger) error {
	for name, trigger := range left {
		if err := db.Conn.Script(ctx, "DROP TRIGGER "+Quote(name)); err != nil {
			return err
		}
		if slices.ContainsFunc(db.Tables, func(t *Table) bool { return t.Number == trigger.number }) {
			continue // it was for an index that is gone
		}
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET written = 1, removed = 1 WHERE number = ?", trigger.number); err != nil {
			return err
		}
	}
	return nil
}

// makeTrigger makes a trigger. One over an index is tried out: should SQLite not
// understand what we have made of the index, nobody but itself may compute it,
// rather than that the app's writes fail.
func (db *Database) makeTrigger(ctx context.Context, trigger trigger) error {
	understood, err := db.understands(ctx, trigger)
	if err != nil {
		return err
	}
	if !understood {
		trigger.victims.opaque = true
		return nil
	}
	return db.Conn.Script(ctx, trigger.sql)
}

// understands reports whether SQLite can compile what a trigger does.
func (db *Database) understands(ctx context.Context, trigger trigger) (bool, error) {
	for _, probe := range trigger.probes {
		err := db.Conn.compile(ctx, probe)
		if ErrorCode(err) == codeError {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// noteRebuilt finds the tables that are newer than the last Capture. One that
// is known and newer was dropped and made again; migrations that follow SQLite's
// documentation also make its triggers again, ours too, as if nothing had
// happened. The mark of a Capture is a table, because VACUUM leaves tables in
// their order.
func (db *Database) noteRebuilt(ctx context.Context) error {
	newer, err := db.newTables(ctx)
	if err != nil {
		return err
	}
	if newer == nil {
		return db.Conn.Script(ctx, "CREATE TABLE IF NOT EXISTS sqlitesync_captured (done)")
	}
	for _, name := range newer { // those that do not take part now are marked too
		_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET rebuilt = 1 WHERE substr(name, 1, length(?1)) = ?1", Quote(CanonicalName(name))+" (")
		if err != nil {
			return err
		}
	}
	return db.Conn.Script(ctx, "DROP TABLE IF EXISTS sqlitesync_captured; CREATE TABLE sqlitesync_captured (done)")
}

// changedUnseen reports whether the app's schema has changed more than once since
// the last Capture: a unique index can have been made and dropped again, so that
// a REPLACE has removed rows which no trigger has noted. Only the version tells.
func (db *Database) changedUnseen(ctx context.Context) (bool, error) {
	var marked bool
	err := db.Conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlitesync_captured')", nil, &marked)
	if err != nil || !marked {
		return false, err
	}
	var last sql.NullInt64
	if err := db.Conn.Get(ctx, "SELECT max(done) FROM sqlitesync_captured", nil, &last); err != nil {
		return false, err
	}
	version, err := db.schemaVersion(ctx)
	return last.Valid && version != last.Int64 && version != last.Int64+1, err
}

// markVersion remembers the version of the schema that Capture leaves.
func (db *Database) markVersion(ctx context.Context) (err error) {
	if db.version, err = db.schemaVersion(ctx); err != nil {
		return err
	}
	return db.Conn.Script(ctx, fmt.Sprintf(`DELETE FROM sqlitesync_captured WHERE done <> %[1]d;
		INSERT INTO sqlitesync_captured SELECT %[1]d WHERE NOT EXISTS (SELECT 1 FROM sqlitesync_captured)`, db.version))
}

// newTables returns the names of the app's tables that are newer than the mark.
func (db *Database) newTables(ctx context.Context) (names []string, err error) {
	rows, err := db.Conn.Query(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlitesync_*'
		AND rowid > coalesce((SELECT rowid FROM sqlite_schema WHERE type = 'table' AND name = 'sqlitesync_captured'), 0)`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Release drops the triggers that would stand in the way of a migration,
// because they name columns. [Database.Capture] makes them again, and looks for
// what they have missed.
//
// It writes, so it is called inside a transaction.
func (db *Database) Release(ctx context.Context) error {
	var script strings.Builder
	for _, table := range db.Tables {
		for _, trigger := range triggers(table) {
			if trigger.victims != nil {
				fmt.Fprintf(&script, "DROP TRIGGER IF EXISTS %s;\n", Quote(trigger.name))
			}
		}
	}
	db.version = 0
	return db.Conn.Script(ctx, script.String())
}

// Migrated takes the times from all that the log holds: a migration has done
// it. It writes.
func (db *Database) Migrated(ctx context.Context) error {
	_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_log SET at = ?", migratedTime)
	return err
}

// SchemaChanged reports whether Capture is to read the app's schema again: it
// differs from the one that Capture read last, or a rollback may have taken back
// what Capture wrote of it.
func (db *Database) SchemaChanged(ctx context.Context) (bool, error) {
	moved, err := db.SchemaMoved(ctx)
	return moved || db.doubted, err
}

// SchemaMoved reports whether the app's schema differs from the one that Capture
// read last: with the eyes of that one, values in new columns are not seen.
func (db *Database) SchemaMoved(ctx context.Context) (bool, error) {
	version, err := db.schemaVersion(ctx)
	return version != db.version, err
}

func (db *Database) schemaVersion(ctx context.Context) (version int64, err error) {
	err = db.Conn.Get(ctx, "PRAGMA schema_version", nil, &version)
	return version, err
}

// presentTrigger is a trigger of ours as it stands in the database.
type presentTrigger struct {
	table  string // canonical
	number int64  // of the table that it was made for
	order  int64  // a trigger with a greater one runs before it
	sql    string
}

// triggers returns our triggers, by name.
func (db *Database) triggers(ctx context.Context) (map[string]presentTrigger, error) {
	rows, err := db.Conn.Query(ctx, `SELECT name, tbl_name, rowid, sql FROM sqlite_schema
		WHERE type = 'trigger' AND name GLOB 'sqlitesync_[0-9]*'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	present := make(map[string]presentTrigger)
	for rows.Next() {
		var name string
		var t presentTrigger
		if err := rows.Scan(&name, &t.table, &t.order, &t.sql); err != nil {
			return nil, err
		}
		t.table = CanonicalName(t.table)
		digits, _, _ := strings.Cut(strings.TrimPrefix(name, reservedPrefix), "_")
		t.number, _ = strconv.ParseInt(digits, 10, 64) // 0 if it is none of ours in truth
		present[name] = t
	}
	return present, rows.Err()
}

// appTriggers says which of the app's triggers on a table is the newest, and
// which of those that can end a statement in the middle. 0: there is none.
type appTriggers struct{ newest, ending int64 }

// endings are words of triggers that can end the statement that fires them: with
// RAISE, or with a write that fails in a statement that is OR FAIL.
var endings = map[string]bool{"raise": true, "insert": true, "update": true, "replace": true}

// newestTriggers looks at the app's triggers on each table, by canonical name.
func (db *Database) newestTriggers(ctx context.Context) (map[string]appTriggers, error) {
	rows, err := db.Conn.Query(ctx, `SELECT tbl_name, rowid, sql FROM sqlite_schema
		WHERE type = 'trigger' AND name NOT GLOB 'sqlitesync_[0-9]*' ORDER BY rowid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	newest := make(map[string]appTriggers)
	for rows.Next() {
		var table, text string
		var order int64
		if err := rows.Scan(&table, &order, &text); err != nil {
			return nil, err
		}
		table = CanonicalName(table)
		of := newest[table]
		of.newest = order
		_, steps, _ := strings.Cut(strings.ToLower(text), "begin") // not AFTER INSERT
		if ends := func(token string) bool { return endings[token] }; slices.ContainsFunc(tokenize(steps), ends) {
			of.ending = order
		}
		newest[table] = of
	}
	return newest, rows.Err()
}

// numberOn returns the number in the names of our triggers on a table, 0 if it
// has none. The triggers stay at a table that is renamed.
func numberOn(present map[string]presentTrigger, table string) int64 {
	for _, t := range present {
		if t.table == CanonicalName(table) {
			return t.number
		}
	}
	return 0
}
