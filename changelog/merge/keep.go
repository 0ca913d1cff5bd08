package merge

import (
	"context"
	_ "embed" // schema.sql
	"fmt"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

//go:embed schema.sql
var schema string

// CreateTables makes the tables of this package in a database that has none.
func CreateTables(ctx context.Context, c *changelog.Conn) error { return c.Script(ctx, schema) }

// kept returns the changes that are kept of a row, newest first.
func (m *merger) kept(ctx context.Context, shape *changelog.Shape, row string) ([]changelog.Change, error) {
	return m.keptAs(ctx, shape.Rows(), row)
}

// keptAs is kept for the rows of a table of this name.
func (m *merger) keptAs(ctx context.Context, name, row string) ([]changelog.Change, error) {
	var changes []changelog.Change
	err := eachKept(ctx, m.db.Conn, func(c *changelog.Change) error {
		changes = append(changes, *c)
		return nil
	}, "WHERE tbl = ? AND row = ? ORDER BY n", name, []byte(row))
	return changes, err
}

// eachKept calls fn with kept changes, which a part of a query chooses.
func eachKept(ctx context.Context, c *changelog.Conn, fn func(*changelog.Change) error, which string, args ...any) error {
	rows, err := c.Query(ctx, "SELECT tbl, change FROM sqlitesync_kept "+which, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var encoded []byte
		if err := rows.Scan(&name, &encoded); err != nil {
			return err
		}
		change, err := changelog.ParseChange(encoded)
		if err != nil {
			return fmt.Errorf("kept row of table %s: %w", name, err)
		}
		if err := fn(change); err != nil {
			return err
		}
	}
	return rows.Err()
}

// keep replaces what is kept of a row. A row that does not exist is not held.
func (m *merger) keep(ctx context.Context, shape *changelog.Shape, row string, changes []changelog.Change, held hold) error {
	w := Combine(changes)
	if held.reason != "" && !w.Exists {
		held = hold{}
	}
	was, err := m.keptDigest(ctx, "WHERE tbl = ? AND row = ? AND n = 0", shape.Rows(), []byte(row))
	if err != nil {
		return err
	}
	if _, err := m.db.Conn.Exec(ctx, "DELETE FROM sqlitesync_kept WHERE tbl = ? AND row = ?", shape.Rows(), []byte(row)); err != nil {
		return err
	}
	is := digestOfAll(w.Needed)
	if err := m.db.Redigest(ctx, shape.Rows(), was, is); err != nil {
		return err
	}
	digest := is.Bytes()
	for n := range changes {
		_, err := m.db.Conn.Exec(ctx, "INSERT INTO sqlitesync_kept (tbl, row, n, change, digest, reason, rival, shown) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			shape.Rows(), []byte(row), n, changelog.AppendChange(nil, &changes[n]), digest, held.reason, held.rival, held.shown)
		if err != nil {
			return err
		}
		if held.reason != "" {
			if err := m.describe(ctx, shape.Rows(), row, &changes[0], w.Values); err != nil {
				return err
			}
		}
		held, digest = hold{}, nil
	}
	return nil
}

// holdOf returns why a row is held of which changes are kept.
func (m *merger) holdOf(ctx context.Context, rows, row string) (held hold, err error) {
	err = m.db.Conn.Get(ctx, "SELECT reason, rival, shown FROM sqlitesync_kept WHERE tbl = ? AND row = ? AND n = 0",
		[]any{rows, []byte(row)}, &held.reason, &held.rival, &held.shown)
	return held, err
}

// describe writes down what the view of held rows shows of one: its newest change,
// and what its changes amount to.
func (m *merger) describe(ctx context.Context, rows, row string, newest *changelog.Change, winner map[string]changelog.Value) error {
	columns := slices.Sorted(maps.Keys(winner))
	values := make([]changelog.Value, len(columns))
	for i, column := range columns {
		values[i] = winner[column]
	}
	_, err := m.db.Conn.Exec(ctx, `UPDATE sqlitesync_kept SET table_name = ?, row_key = ?, device = ?, time = ?, winner = ?
		WHERE tbl = ? AND row = ? AND n = 0`, newest.Shape.Table, readableKey(newest), readableDevice(newest), readableTime(newest),
		ReadableObject(columns, values), rows, []byte(row))
	return err
}

// Held is a row whose winner can't be shown here just now, or, if Shown is set,
// not with what it says of its parents.
type Held struct {
	Change changelog.Change // the newest of the row
	Reason string
	Shown  bool
}

// Cursor is the place after which a listing of held rows goes on; the zero
// Cursor is before the first.
type Cursor struct {
	Table string
	Row   []byte
}

// HeldRows returns up to limit held rows after the cursor, in the order of
// tables and keys, and moves the cursor behind them.
func HeldRows(ctx context.Context, c *changelog.Conn, after *Cursor, limit int) ([]Held, error) {
	if after.Row == nil {
		after.Row = []byte{} // a nil slice would be bound as NULL
	}
	rows, err := c.Query(ctx, `SELECT tbl, row, change, reason, shown FROM sqlitesync_kept
		WHERE reason <> '' AND (tbl, row) > (?, ?) ORDER BY tbl, row LIMIT ?`, after.Table, after.Row, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Held
	for rows.Next() {
		var held Held
		var encoded []byte
		if err := rows.Scan(&after.Table, &after.Row, &encoded, &held.Reason, &held.Shown); err != nil {
			return nil, err
		}
		change, err := changelog.ParseChange(encoded)
		if err != nil {
			return nil, fmt.Errorf("kept row of table %q: %w", after.Table, err)
		}
		held.Change = *change
		found = append(found, held)
	}
	return found, rows.Err()
}

// CountHeld returns how many rows are held, and not shown.
func CountHeld(ctx context.Context, c *changelog.Conn) (n int, err error) {
	err = c.Get(ctx, "SELECT count(*) FROM sqlitesync_kept WHERE reason <> '' AND NOT shown", nil, &n)
	return n, err
}

// KeptRows returns up to limit rows of a table of which changes are kept, as
// they are called there, in their order after the given one ("": from the first).
func KeptRows(ctx context.Context, db *changelog.Database, table *changelog.Table, after string, limit int) ([]string, error) {
	return newMerger(db).rowsOf(ctx, "SELECT row FROM sqlitesync_kept WHERE tbl = ? AND n = 0 AND row > ? ORDER BY row LIMIT ?",
		table.Put.Rows(), []byte(after), limit)
}

// rowsOf returns the rows that a query selects, as they are called in our tables.
func (m *merger) rowsOf(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := m.db.Conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var row []byte
		if err := rows.Scan(&row); err != nil {
			return nil, err
		}
		found = append(found, string(row))
	}
	return found, rows.Err()
}
