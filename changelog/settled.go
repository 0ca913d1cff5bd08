package changelog

import (
	"context"
	"fmt"
)

// Unsettled returns the tables whose definition is not the one for which
// [Database.SetSettled] was called last. Indexes count that can refuse a row:
// unique ones, and those that compute something. So does whether the parents
// of its foreign keys take part. Parents come before their children.
func (db *Database) Unsettled(ctx context.Context) (tables []*Table, err error) {
	definitions, err := db.definitions(ctx)
	if err != nil {
		return nil, err
	}
	for _, table := range db.parentsFirst() {
		var settled string
		table.definition = definitions[CanonicalName(table.Name)]
		for _, r := range table.References {
			table.definition += fmt.Sprintf(";%s %t", r.ID(), r.Parent != nil)
		}
		err = db.Conn.Get(ctx, "SELECT definition FROM sqlitesync_tables WHERE number = ?", []any{table.Number}, &settled)
		if err != nil {
			return nil, err
		}
		if settled != table.definition && table.Unwritable == "" {
			tables = append(tables, table)
		}
	}
	return tables, nil
}

// parentsFirst returns the tables in the order of their components.
func (db *Database) parentsFirst() (tables []*Table) {
	for i := range db.Components {
		tables = append(tables, db.Components[i].Tables...)
	}
	return tables
}

// definitions returns the texts of the app's tables, and of their indexes that
// count, by the canonical name of the table.
func (db *Database) definitions(ctx context.Context) (map[string]string, error) {
	rows, err := db.Conn.Query(ctx, `SELECT tbl_name, sql FROM sqlite_schema WHERE type = 'table' OR type = 'index' AND
		(sql LIKE 'CREATE UNIQUE%' OR sql LIKE '%(%(%' OR sql LIKE '%)%WHERE%' OR sql LIKE '%->%' OR sql LIKE '%||%') ORDER BY type, name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	definitions := make(map[string]string)
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		if name = CanonicalName(name); definitions[name] != "" {
			text = definitions[name] + ";" + text
		}
		definitions[name] = text
	}
	return definitions, rows.Err()
}

// SetSettled notes that all that is kept of a table was looked at with the
// definition that Unsettled has read. It writes.
func (db *Database) SetSettled(ctx context.Context, table *Table) error {
	_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET definition = ? WHERE number = ?", table.definition, table.Number)
	return err
}

// Unsettle notes, until Resettle, that what is kept of a table, and its
// references, are to be looked at again. It writes.
func (db *Database) Unsettle(ctx context.Context, table *Table) error {
	if table.unsettled != nil {
		return nil
	}
	var settled string
	err := db.Conn.Get(ctx, "SELECT definition FROM sqlitesync_tables WHERE number = ?", []any{table.Number}, &settled)
	if err != nil {
		return err
	}
	table.unsettled = &settled
	_, err = db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET definition = '' WHERE number = ?", table.Number)
	return err
}

// Resettle takes back what Unsettle has noted. It writes.
func (db *Database) Resettle(ctx context.Context) error {
	for _, table := range db.Tables {
		if table.unsettled == nil {
			continue
		}
		_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET definition = ? WHERE number = ?", *table.unsettled, table.Number)
		if err != nil {
			return err
		}
		table.unsettled = nil
	}
	return nil
}
