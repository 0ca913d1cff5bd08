package changelog

import (
	"context"
	"database/sql"
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
	join := fmt.Sprintf("%s t LEFT JOIN sqlitesync_clock_%d c ON %s", Quote(table.Name), table.Number, MatchKey(table, "t.", "c."))
	key := make([]string, len(table.Key))
	for i := range table.Key {
		key[i] = table.Key[i].Compared("t." + Quote(table.Key[i].Name))
	}
	rows, err := db.rows(ctx, table, "NULL", join, "c.time IS NULL", strings.Join(key, ", "), after, limit)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[len(rows)-1].Key, db.Record(ctx, table, rows, Unsent)
}

// Unsent returns up to limit rows in state Unsent whose key is above after
// (nil: from the first), as puts with the stamp of a baseline. They contain the
// columns that the table had when they got their clocks.
func (db *Database) Unsent(ctx context.Context, table *Table, after Key, limit int) ([]Change, error) {
	join := fmt.Sprintf("sqlitesync_clock_%d c JOIN %s t ON %s", table.Number, Quote(table.Name), MatchKey(table, "t.", "c."))
	return db.rows(ctx, table, "c.shape", join, fmt.Sprintf("c.state = %d", Unsent), keyColumns("c.", table), after, limit)
}

// rows returns the next rows of t, in the order of key, that meet the condition,
// as puts of the shape whose number is selected (NULL: that of the table).
func (db *Database) rows(ctx context.Context, table *Table, shape, join, condition, key string, after Key, limit int) ([]Change, error) {
	for _, column := range table.Key {
		condition += " AND t." + Quote(column.Name) + " IS NOT NULL"
	}
	if after != nil {
		condition += fmt.Sprintf(" AND (%s) > %s", key, Placeholders(1, len(table.Key)))
	}
	query := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT %d",
		list(shape, bare("t.", table.Key), bare("t.", table.Columns)), join, condition, key, limit)
	return db.puts(ctx, table, query, after...)
}

// puts returns the rows that query selects: shape, key columns, other columns.
func (db *Database) puts(ctx context.Context, table *Table, query string, args ...any) ([]Change, error) {
	rows, err := db.Conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var row []Value
	var shape sql.NullInt64
	dest := append([]any{&shape}, pointers(&row, len(table.Key)+len(table.Columns))...)
	var changes []Change
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		values, err := scannedValues(row)
		if err != nil {
			return nil, err
		}
		put := &Change{Shape: table.Put, Key: values[:len(table.Key)], Values: values[len(table.Key):]}
		if shape.Valid {
			if put, err = db.AsKnown(ctx, table, put, shape.Int64); err != nil {
				return nil, err
			}
		}
		changes = append(changes, *put)
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
