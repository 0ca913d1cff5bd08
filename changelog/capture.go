package changelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
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
	if err := db.noteRebuilt(ctx); err != nil {
		return err
	}
	db.Stale = nil
	before, err := db.vacate(ctx, present)
	if err != nil {
		return err
	}
	for _, table := range db.Tables {
		stale, err := db.register(ctx, table, before)
		if err != nil {
			return fmt.Errorf("table %q: %w", table.Name, err)
		}
		theirs := newest[table.Put.Table]
		table.Triggered = theirs.newest > 0
		wanted := triggers(table)
		// SQLite runs the newest trigger first. One of the app could end a
		// statement and leave the row (RAISE(FAIL), RAISE(IGNORE), OR FAIL).
		after := func(order int64) bool {
			return slices.ContainsFunc(wanted, func(trigger trigger) bool { return present[trigger.name].order < order })
		}
		late, unnoticed := after(theirs.newest), after(theirs.ending)
		for _, trigger := range wanted {
			missing := present[trigger.name].sql != trigger.sql
			stale.Written = stale.Written || unnoticed || stale.Rebuilt || missing && !trigger.victims
			stale.Removed = stale.Removed || unnoticed || missing
			if missing || late {
				script := "DROP TRIGGER IF EXISTS " + Quote(trigger.name) + ";\n" + trigger.sql
				if err := db.Conn.Script(ctx, script); err != nil {
					return fmt.Errorf("table %q: trigger %s: %w", table.Name, trigger.name, err)
				}
			}
			delete(present, trigger.name)
		}
		if stale.Was != "" || table.Phase != PhaseNew && (stale.Written || stale.Removed || stale.Gained != nil) {
			db.Stale = append(db.Stale, stale)
		}
	}
	// What is left belongs to tables that no longer take part.
	for name := range present {
		if err := db.Conn.Script(ctx, "DROP TRIGGER "+Quote(name)); err != nil {
			return err
		}
	}
	if err := db.unsettleOthers(ctx); err != nil {
		return err
	}
	db.version, err = db.schemaVersion(ctx)
	return err
}

// unsettleOthers notes that changes of the tables that do not take part may be
// kept from now on.
func (db *Database) unsettleOthers(ctx context.Context) error {
	var numbers []string
	for _, table := range db.Tables {
		if table.Unwritable == "" {
			numbers = append(numbers, strconv.FormatInt(table.Number, 10))
		}
	}
	return db.Conn.Script(ctx, "UPDATE sqlitesync_tables SET definition = '' WHERE number NOT IN ("+strings.Join(numbers, ", ")+")")
}

// noteRebuilt finds the tables that are newer than the last Capture. One that
// is known and newer was dropped and made again; migrations that follow SQLite's
// documentation also make its triggers again, ours too, as if nothing had
// happened. The mark of a Capture is a table, because VACUUM leaves tables in
// their order.
func (db *Database) noteRebuilt(ctx context.Context) error {
	rows, err := db.Conn.Query(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlitesync_*'
		AND rowid > coalesce((SELECT rowid FROM sqlite_schema WHERE type = 'table' AND name = 'sqlitesync_captured'), 0)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, CanonicalName(name)+" (")
	}
	if err := rows.Err(); err != nil || len(names) == 0 {
		return err
	}
	rows.Close()
	for _, name := range names { // of those that do not take part now, too
		_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET rebuilt = 1 WHERE substr(name, 1, length(?)) = ?", name, name)
		if err != nil {
			return err
		}
	}
	return db.Conn.Script(ctx, "DROP TABLE IF EXISTS sqlitesync_captured; CREATE TABLE sqlitesync_captured (done)")
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
			if trigger.victims {
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

// SchemaChanged reports whether the app's schema differs from the one that
// Capture read last.
func (db *Database) SchemaChanged(ctx context.Context) (bool, error) {
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

// vacate takes their names from the tables that were renamed, so that others
// can take these, and returns what the names were, by number. A table that
// carries triggers of ours goes on with the number in them, whatever it and its
// key are called now.
func (db *Database) vacate(ctx context.Context, present map[string]presentTrigger) (before map[int64]string, err error) {
	before = make(map[int64]string)
	for _, table := range db.Tables {
		number := numberOn(present, table.Name)
		if number == 0 {
			continue
		}
		var name string
		err := db.Conn.Get(ctx, "SELECT name FROM sqlitesync_tables WHERE number = ?", []any{number}, &name)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		table.Number = number
		if name == table.Put.Rows() {
			continue
		}
		before[number] = name
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET name = number WHERE number = ?", number); err != nil {
			return nil, err
		}
	}
	return before, nil
}

// register gives the table its number, shape, log columns and clock table.
func (db *Database) register(ctx context.Context, table *Table, before map[int64]string) (stale Stale, err error) {
	stale.Table, stale.Was = table, before[table.Number]
	rows, declared := table.Put.Rows(), strings.Join(table.declared, ",")
	if table.PutNumber, err = db.ShapeNumber(ctx, table.Put); err != nil {
		return stale, err
	}
	if stale.Was != "" { // a table of this name that is gone has left its number behind
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET name = -number WHERE name = ?", rows); err != nil {
			return stale, err
		}
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET name = ? WHERE number = ?", rows, table.Number); err != nil {
			return stale, err
		}
	}
	var columns string
	err = db.Conn.Get(ctx, "SELECT number, phase, incomplete, rebuilt, columns FROM sqlitesync_tables WHERE name = ?", []any{rows},
		&table.Number, &table.Phase, &table.Incomplete, &stale.Rebuilt, &columns)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = db.Conn.Get(ctx, "INSERT INTO sqlitesync_tables (name, columns) VALUES (?, ?) RETURNING number", []any{rows, declared}, &table.Number)
	case err == nil:
		stale.compare(columns)
		_, err = db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET columns = ?, rebuilt = 0 WHERE number = ?", declared, table.Number)
	}
	if err != nil {
		return stale, err
	}
	return stale, db.makeClocks(ctx, table)
}

// makeClocks makes the clock table, and the columns of the log that the key of
// the table needs.
func (db *Database) makeClocks(ctx context.Context, table *Table) error {
	var columns int
	var clocks *string
	err := db.Conn.Get(ctx, `SELECT (SELECT count(*) FROM pragma_table_info('sqlitesync_log') WHERE name GLOB 'k[0-9]*'),
		(SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?)`,
		[]any{fmt.Sprintf("sqlitesync_clock_%d", table.Number)}, &columns, &clocks)
	if err != nil {
		return err
	}
	for ; columns < len(table.Key); columns++ {
		if err := db.Conn.Script(ctx, fmt.Sprintf("ALTER TABLE sqlitesync_log ADD COLUMN k%d", columns)); err != nil {
			return err
		}
	}
	definition := clockDefinition(table)
	switch {
	case clocks != nil && *clocks == definition:
		return nil
	case clocks != nil && keyTypes.ReplaceAllString(*clocks, "") == keyTypes.ReplaceAllString(definition, ""):
		// Keys that are equal now are one row, whose newest change the logs know.
		script := fmt.Sprintf(`ALTER TABLE sqlitesync_clock_%[1]d RENAME TO sqlitesync_clocks_before;
			%[2]s;
			INSERT OR IGNORE INTO sqlitesync_clock_%[1]d SELECT * FROM sqlitesync_clocks_before ORDER BY time DESC;
			DROP TABLE sqlitesync_clocks_before`, table.Number, definition)
		if err := db.Conn.Script(ctx, script); err != nil {
			return err
		}
		return db.SetIncomplete(ctx, table, true)
	}
	// None yet, or of an earlier table that had a key of more or fewer columns.
	script := fmt.Sprintf("DROP TABLE IF EXISTS sqlitesync_clock_%d;\n%s", table.Number, definition)
	if err := db.Conn.Script(ctx, script); err != nil {
		return err
	}
	return db.SetPhase(ctx, table, PhaseNew)
}

// keyTypes matches what the clock table says of the types of the key.
var keyTypes = regexp.MustCompile(`(?m)^\tk\d+ .*$`)

type trigger struct {
	name, sql string
	victims   bool // it notes the rows that a REPLACE may remove
}

// triggers returns the triggers that capture writes to the table. Each is one
// append to the log and nothing else, in SQL that SQLite 3.24 knows, so that
// any program in any language can write to the table with nothing loaded.
//
// They name no columns but those of the key, because a trigger that names a
// column stands in the way of dropping it. The one exception are the columns
// of unique indexes: a REPLACE removes the rows that are in its way without
// firing their delete triggers, so a BEFORE trigger notes those rows. Noting
// too many is harmless: [Database.Pending] looks at what became of a row.
func triggers(table *Table) []trigger {
	on := Quote(table.Name)
	var list []trigger
	add := func(suffix, event, condition, body string) {
		name := fmt.Sprintf("%s%d_%s", reservedPrefix, table.Number, suffix)
		text := fmt.Sprintf("CREATE TRIGGER %s %s ON %s%s BEGIN %s; END", Quote(name), event, on, condition, body)
		list = append(list, trigger{name, text, strings.HasPrefix(suffix, "replace")})
	}
	columns := logColumns(table)
	note := func(row string, number int64) string {
		return fmt.Sprintf("INSERT INTO sqlitesync_log (%s) VALUES (%d, julianday('now'), %s)",
			columns, number, qualified(table.Key, row))
	}
	add("insert", "AFTER INSERT", "", note("NEW", table.Number))
	add("update", "AFTER UPDATE", "", note("NEW", table.Number))
	// Not "UPDATE OF key": that is matched by name, and UPDATE t SET rowid = …
	// changes an INTEGER PRIMARY KEY under another name.
	add("rekey", "AFTER UPDATE", " WHEN "+rekeyed(table), note("OLD", -table.Number))
	add("delete", "AFTER DELETE", "", note("OLD", -table.Number))
	for i, unique := range table.Unique {
		if unique.opaque { // see [Database.Page]
			continue
		}
		var victims []string
		for _, claims := range unique.claims(table) {
			victims = append(victims, fmt.Sprintf("INSERT INTO sqlitesync_log (%s) SELECT %d, julianday('now'), %s FROM %s WHERE %s",
				columns, table.Number, qualified(table.Key, ""), on, unique.Match(claims)))
		}
		body := strings.Join(victims, "; ")
		update := "BEFORE UPDATE"
		if names := unique.updated(); names != nil {
			update += " OF " + strings.Join(names, ", ")
		}
		add(fmt.Sprintf("replace_insert_%d", i), "BEFORE INSERT", "", body)
		add(fmt.Sprintf("replace_update_%d", i), update, "", body)
	}
	return list
}

func logColumns(table *Table) string { return "tbl, at, " + keyColumns("", table) }

// keyColumns lists the columns that hold the table's key in tables of ours.
func keyColumns(alias string, table *Table) string {
	names := make([]string, len(table.Key))
	for i := range table.Key {
		names[i] = fmt.Sprintf("%sk%d", alias, i)
	}
	return strings.Join(names, ", ")
}

func qualified(columns []Column, row string) string {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = Quote(column.Name)
		if row != "" {
			names[i] = row + "." + names[i]
		}
	}
	return strings.Join(names, ", ")
}

func rekeyed(table *Table) string {
	differs := make([]string, len(table.Key))
	for i, column := range table.Key {
		name := Quote(column.Name)
		differs[i] = fmt.Sprintf("OLD.%s IS NOT %s", name, column.Compared("NEW."+name))
	}
	return strings.Join(differs, " OR ")
}
