package changelog

import (
	"context"
	"fmt"
	"strings"
)

// Phase says how far the rows that stood in a table before it took part have
// come.
type Phase int

// The phases of a table.
const (
	PhaseNew     Phase = 0 // rows have no clocks yet
	PhaseUnsent  Phase = 1 // they have; those in state Unsent are to be published
	PhaseTracked Phase = 2 // they are published
)

// SetPhase records the phase of a table. It writes.
func (db *Database) SetPhase(ctx context.Context, table *Table, phase Phase) error {
	_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET phase = ? WHERE number = ?", int64(phase), table.Number)
	if err == nil {
		table.Phase = phase
	}
	return err
}

// Baseline gives clocks, with the zero stamp and state Unsent, to up to limit
// rows of the table that have none and whose key is above after (nil: from the
// first). It returns the last key that it dealt with, nil if there was none. It
// writes.
func (db *Database) Baseline(ctx context.Context, table *Table, after Key, limit int) (last Key, err error) {
	join := fmt.Sprintf("%s t LEFT JOIN sqlitesync_clock_%d c ON %s", Quote(table.Name), table.Number, matchKey(table, "t.", "c."))
	rows, err := db.page(ctx, table, join, "c.time IS NULL", qualified(table.Key, "t"), after, limit)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[len(rows)-1].Key, db.Record(ctx, table, rows, Unsent)
}

// Unsent returns up to limit rows in state Unsent whose key is above after
// (nil: from the first), as full puts with the stamp of a baseline.
func (db *Database) Unsent(ctx context.Context, table *Table, after Key, limit int) ([]Change, error) {
	join := fmt.Sprintf("sqlitesync_clock_%d c JOIN %s t ON %s", table.Number, Quote(table.Name), matchKey(table, "t.", "c."))
	return db.page(ctx, table, join, fmt.Sprintf("c.state = %d", Unsent), keyColumns("c.", table), after, limit)
}

// page returns the next rows of t, in the order of key, that meet the condition.
func (db *Database) page(ctx context.Context, table *Table, join, condition, key string, after Key, limit int) ([]Change, error) {
	for _, column := range table.Key {
		condition += " AND t." + Quote(column.Name) + " IS NOT NULL"
	}
	if after != nil {
		condition += fmt.Sprintf(" AND (%s) > %s", key, Placeholders(1, len(table.Key)))
	}
	query := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT %d",
		list(bare("t.", table.Key), bare("t.", table.Columns)), join, condition, key, limit)
	return db.puts(ctx, table, query, after...)
}

// puts returns the rows that query selects, key columns first.
func (db *Database) puts(ctx context.Context, table *Table, query string, args ...any) ([]Change, error) {
	rows, err := db.Conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var row []Value
	dest := pointers(&row, len(table.Key)+len(table.Columns))
	var changes []Change
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		values, err := scannedValues(row)
		if err != nil {
			return nil, err
		}
		changes = append(changes, Change{Shape: table.Put, Key: values[:len(table.Key)], Values: values[len(table.Key):]})
	}
	return changes, rows.Err()
}

// NullKeys reports whether the table has rows with a NULL in their key, which
// SQLite allows in ordinary tables and which stay on this device.
func (db *Database) NullKeys(ctx context.Context, table *Table) (bool, error) {
	terms := make([]string, len(table.Key))
	for i, column := range table.Key {
		terms[i] = Quote(column.Name) + " IS NULL"
	}
	var found bool
	err := db.Conn.Get(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE %s)",
		Quote(table.Name), strings.Join(terms, " OR ")), nil, &found)
	return found, err
}
