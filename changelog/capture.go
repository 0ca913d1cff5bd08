package changelog

import (
	"context"
	"fmt"
	"strings"
)

// Capture reads the app's tables and makes sure that every write to those that
// take part is noted from now on: it makes clock tables and triggers that are
// missing or differ from what they should be. The rows of a table in PhaseNew
// are not known yet; [Database.Baseline] is next.
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
	for _, table := range db.Tables {
		if err := db.register(ctx, table); err != nil {
			return fmt.Errorf("table %q: %w", table.Name, err)
		}
		whole := true
		for _, trigger := range triggers(table) {
			if present[trigger.name] != trigger.sql {
				whole = false
				script := "DROP TRIGGER IF EXISTS " + Quote(trigger.name) + ";\n" + trigger.sql
				if err := db.Conn.Script(ctx, script); err != nil {
					return fmt.Errorf("table %q: trigger %s: %w", table.Name, trigger.name, err)
				}
			}
			delete(present, trigger.name)
		}
		if whole || table.Phase == PhaseNew {
			continue
		}
		forsaken, err := db.reconcile(ctx, table)
		if err != nil {
			return fmt.Errorf("table %q: find what was written without capture: %w", table.Name, err)
		}
		if forsaken > 0 {
			db.Unsynced = append(db.Unsynced, Unsynced{
				Table:  table.Name,
				Reason: fmt.Sprintf("%d of its rows went while capture was off, most of the table, as when it is dropped and made again", forsaken),
				Hint:   "the other devices keep these rows; Uninstall and Join again to have them back, or delete them on another device",
			})
		}
	}
	// What is left belongs to tables that no longer take part.
	for name := range present {
		if err := db.Conn.Script(ctx, "DROP TRIGGER "+Quote(name)); err != nil {
			return err
		}
	}
	db.version, err = db.schemaVersion(ctx)
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

// triggers returns the text of our triggers, by name, as SQLite stores it.
func (db *Database) triggers(ctx context.Context) (map[string]string, error) {
	rows, err := db.Conn.Query(ctx, `SELECT name, sql FROM sqlite_schema
		WHERE type = 'trigger' AND name LIKE 'sqlitesync\_%' ESCAPE '\'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	present := make(map[string]string)
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		present[name] = text
	}
	return present, rows.Err()
}

// register gives the table its number, shape, log columns and clock table.
func (db *Database) register(ctx context.Context, table *Table) error {
	_, err := db.Conn.Exec(ctx, "INSERT INTO sqlitesync_tables (name) VALUES (?) ON CONFLICT DO NOTHING", table.Put.Rows())
	if err != nil {
		return err
	}
	err = db.Conn.Get(ctx, "SELECT number, phase FROM sqlitesync_tables WHERE name = ?", []any{table.Put.Rows()}, &table.Number, &table.Phase)
	if err != nil {
		return err
	}
	if table.PutNumber, err = db.ShapeNumber(ctx, table.Put); err != nil {
		return err
	}
	var columns int
	var clocks *string
	err = db.Conn.Get(ctx, `SELECT (SELECT count(*) FROM pragma_table_info('sqlitesync_log') WHERE name GLOB 'k[0-9]*'),
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
	if clocks != nil && *clocks == definition {
		return nil
	}
	// None yet, or the app has made the table anew with a key of another type,
	// and what is known is about other rows.
	script := fmt.Sprintf("DROP TABLE IF EXISTS sqlitesync_clock_%d;\n%s", table.Number, definition)
	if err := db.Conn.Script(ctx, script); err != nil {
		return err
	}
	return db.SetPhase(ctx, table, PhaseNew)
}

type trigger struct{ name, sql string }

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
		list = append(list, trigger{name, text})
	}
	columns := logColumns(table)
	note := func(row string) string {
		return fmt.Sprintf("INSERT INTO sqlitesync_log (%s) VALUES (%d, julianday('now'), %s)",
			columns, table.Number, qualified(table.Key, row))
	}
	add("insert", "AFTER INSERT", "", note("NEW"))
	add("update", "AFTER UPDATE", "", note("NEW"))
	// Not "UPDATE OF key": that is matched by name, and UPDATE t SET rowid = …
	// changes an INTEGER PRIMARY KEY under another name.
	add("rekey", "AFTER UPDATE", " WHEN "+rekeyed(table), note("OLD"))
	add("delete", "AFTER DELETE", "", note("OLD"))
	for i, unique := range table.Unique {
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
