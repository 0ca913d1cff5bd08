package changelog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
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
	var clocks []Clock
	err = db.rows(ctx, table, "NULL", join, "c.time IS NULL", strings.Join(key, ", "), after, limit, func(row *Change) bool {
		clocks = append(clocks, Clock{Key: slices.Clone(row.Key), Shape: table.PutNumber, Image: row.Image(), State: Unsent})
		return true
	})
	if err != nil || len(clocks) == 0 {
		return nil, err
	}
	return clocks[len(clocks)-1].Key, db.SetClocks(ctx, table, clocks, Digest{})
}

// Unsent returns up to limit rows in state Unsent whose key is above after
// (nil: from the first), or as many as are good to have in memory, as puts with
// the stamp of a baseline. They contain the columns that the table had when
// they got their clocks.
func (db *Database) Unsent(ctx context.Context, table *Table, after Key, limit int) (found []Change, err error) {
	join := fmt.Sprintf("sqlitesync_clock_%d c JOIN %s t ON %s", table.Number, Quote(table.Name), MatchKey(table, "t.", "c."))
	bytes := 0
	err = db.rows(ctx, table, "c.shape", join, fmt.Sprintf("c.state = %d", Unsent), KeyColumns("c.", table), after, limit, func(row *Change) bool {
		found = append(found, *row)
		bytes += row.Size()
		return bytes < maxPage
	})
	return found, err
}

// rows calls each with the next rows of t, in the order of key, that meet the
// condition, as puts of the shape whose number is selected (NULL: that of the
// table), until it returns false.
func (db *Database) rows(ctx context.Context, table *Table, shape, join, condition, key string, after Key, limit int,
	each func(*Change) bool,
) error {
	for _, column := range table.Key {
		condition += " AND t." + Quote(column.Name) + " IS NOT NULL"
	}
	if after != nil {
		condition += fmt.Sprintf(" AND (%s) > %s", key, Placeholders(1, len(table.Key)))
	}
	query := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT %d",
		list(shape, Bare("t.", table.Key), Bare("t.", table.Columns)), join, condition, key, limit)
	rows, err := db.Conn.Query(ctx, query, after...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var row []Value
	var number sql.NullInt64
	dest := append([]any{&number}, pointers(&row, len(table.Key)+len(table.Columns))...)
	for more := true; more && rows.Next(); {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		values, err := scannedValues(row)
		if err != nil {
			return err
		}
		put := table.fullPut(values)
		if number.Valid {
			if put, err = db.AsKnown(ctx, table, put, number.Int64); err != nil {
				return err
			}
		}
		more = each(put)
	}
	return rows.Err()
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
