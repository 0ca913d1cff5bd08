package changelog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Selection says which tables take part.
type Selection struct {
	Tables  []string // nil: every table that can
	Exclude []string
	Strict  bool // a table in Tables that can't take part is an error
}

// Takes reports whether the selection leaves a table of this name to sync.
func (s Selection) Takes(name string) bool {
	return !includes(s.Exclude, name) && (s.Tables == nil || includes(s.Tables, name))
}

func includes(names []string, name string) bool {
	name = CanonicalName(name)
	return slices.ContainsFunc(names, func(other string) bool { return CanonicalName(other) == name })
}

// ErrSchema is wrapped by errors about tables that can't take part.
var ErrSchema = errors.New("table can't be synced")

// tableEntry is a table, or what looks like one, as SQLite lists it.
type tableEntry struct {
	name, kind string
	strict     bool
}

// listTables lists the app's tables.
func listTables(ctx context.Context, c *Conn) (entries []tableEntry, err error) {
	rows, err := c.Query(ctx, `SELECT name, type, strict FROM pragma_table_list
		WHERE schema = 'main' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT GLOB 'sqlitesync_*' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e tableEntry
		if err := rows.Scan(&e.name, &e.kind, &e.strict); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// definitionTexts returns the texts of all tables and indexes, by canonical name.
// They are read at once: sqlite_schema has no index, so that looking for them one
// by one takes minutes with thousands of tables.
func definitionTexts(ctx context.Context, c *Conn) (map[string]string, error) {
	rows, err := c.Query(ctx, "SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	texts := make(map[string]string)
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		texts[CanonicalName(name)] = text
	}
	return texts, rows.Err()
}

// readRollsBack finds out whether a write that conflicts may roll back, as far as
// words tell.
func (db *Database) readRollsBack(ctx context.Context) error {
	rows, err := db.Conn.Query(ctx, "SELECT sql FROM sqlite_schema WHERE type IN ('table', 'trigger') AND instr(lower(sql), 'rollback') > 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	db.rollsBack = false
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		db.rollsBack = db.rollsBack || hasInARow(text, "or", "rollback") || hasInARow(text, "conflict", "rollback")
	}
	return rows.Err()
}

// read reads the table's definition. It says why, if nothing can be merged into
// it; the table is nil if it can't take part at all.
func (e tableEntry) read(ctx context.Context, c *Conn, texts map[string]string) (*Table, Unsynced, error) {
	switch e.kind {
	case "view":
		return nil, Unsynced{e.name, "it is a view", "sync the tables that it shows"}, nil
	case "virtual":
		return nil, Unsynced{e.name, "it is a virtual table", "sync the table that it indexes"}, nil
	case "shadow":
		return nil, Unsynced{e.name, "it belongs to a virtual table", "sync the table that the virtual table indexes"}, nil
	}
	table, unsynced, err := readTable(ctx, c, e.name, e.strict, texts)
	if err != nil {
		err = fmt.Errorf("table %q: %w", e.name, err)
	}
	return table, unsynced, err
}

// readTables reads the app's tables and decides which take part. Those that
// can't are listed in Unsynced.
func (db *Database) readTables(ctx context.Context, selection Selection) error {
	version, err := db.schemaVersion(ctx)
	if err != nil {
		return err
	}
	entries, err := listTables(ctx, db.Conn)
	if err != nil {
		return err
	}
	if db.texts, err = definitionTexts(ctx, db.Conn); err != nil {
		return err
	}
	if err := db.readRollsBack(ctx); err != nil {
		return err
	}
	if version != db.version { // the trigger may be another one
		db.silent = make(map[string]bool)
	}
	db.Tables, db.Unsynced, db.Refused, db.byName = nil, nil, nil, make(map[string]*Table)
	asked, others := make(map[string]bool), make(map[string]bool)
	for _, name := range selection.Tables {
		asked[CanonicalName(name)] = true
	}
	for _, e := range entries {
		canonical := CanonicalName(e.name)
		if includes(selection.Exclude, e.name) || selection.Tables != nil && !asked[canonical] {
			others[canonical] = true
			continue
		}
		table, unsynced, err := e.read(ctx, db.Conn, db.texts)
		if err != nil {
			return err
		}
		if unsynced.Reason != "" {
			db.Unsynced = append(db.Unsynced, unsynced)
		}
		if unsynced.Reason != "" && asked[canonical] {
			db.Refused = append(db.Refused, unsynced)
		}
		if table != nil {
			db.Tables = append(db.Tables, table)
			db.byName[canonical] = table
		} else {
			others[canonical] = true
		}
		delete(asked, canonical)
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		missing := Unsynced{name, "there is no such table, or it is excluded too", "make it, or do not name it"}
		db.Unsynced, db.Refused = append(db.Unsynced, missing), append(db.Refused, missing)
	}
	if selection.Strict && len(db.Refused) > 0 {
		return db.Refused[0].refusal()
	}
	return db.readReferences(ctx, others)
}

// RefusedErrors returns an error for each of db.Refused.
func (db *Database) RefusedErrors() (errs []error) {
	for _, u := range db.Refused {
		errs = append(errs, u.refusal())
	}
	return errs
}

func (u Unsynced) refusal() error {
	return fmt.Errorf("%w: %s: %s; %s", ErrSchema, u.Table, u.Reason, u.Hint)
}

// Preview returns the tables that would take part, in a database that may not
// be set up yet.
func Preview(ctx context.Context, c *Conn, selection Selection) ([]*Table, error) {
	db := &Database{Conn: c}
	err := db.readTables(ctx, selection)
	return db.Tables, err
}

// reservedPrefix begins the names of everything that we make in the database.
const reservedPrefix = "sqlitesync_"
