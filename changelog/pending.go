package changelog

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Edit is a local write that Pending found: the change that it makes, and what
// was known of the row before.
type Edit struct {
	Table  *Table
	Change Change
	Before *Clock // nil if the row was not known
}

// Logged reports whether the log holds anything.
func (db *Database) Logged(ctx context.Context) (bool, error) {
	var logged bool
	err := db.Conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_log)", nil, &logged)
	return logged, err
}

// Pending reads the log, keeps the last entry of each row, reads the row (there:
// a put, gone: a delete), drops what is no change, and stamps the rest as
// changes of the batch with this number. Rows are read now and not when they
// were written, so a row updated a hundred times travels once, and as the
// app's own triggers left it.
//
// Pending is followed by [Database.Record] in the same transaction, or else
// the log must not be cleared.
func (db *Database) Pending(ctx context.Context, batch uint64) ([]Edit, error) {
	var edits []Edit
	for _, table := range db.Tables {
		found, err := db.pending(ctx, table, batch)
		if err != nil {
			return nil, fmt.Errorf("table %q: %w", table.Name, err)
		}
		edits = append(edits, found...)
	}
	return edits, nil
}

func (db *Database) pending(ctx context.Context, table *Table, batch uint64) ([]Edit, error) {
	query := table.Statement("pending", 1, func() string {
		key := keyColumns("", table)
		return fmt.Sprintf(`SELECT %s
			FROM (SELECT max(id), at, %s FROM sqlitesync_log WHERE tbl = ? GROUP BY %s) l
			LEFT JOIN %s t ON %s
			LEFT JOIN sqlitesync_clock_%d c ON %s`,
			list(keyColumns("l.", table), "l.at", bare("t.", table.Key), bare("t.", table.Columns), keyColumns("c.", table), clockList("c.")),
			key, key, Quote(table.Name), matchKey(table, "t.", "l."), table.Number, joinKey(table, "c.", "l."))
	})
	rows, err := db.Conn.Query(ctx, query, table.Number)
	if err != nil {
		return nil, err
	}
	defer rows.Close()

	var logged, key Key
	var values []Value
	var at float64
	var before clockRow
	dest := pointers(&logged, len(table.Key))
	dest = append(dest, &at)
	dest = append(dest, pointers(&key, len(table.Key))...)
	dest = append(dest, pointers(&values, len(table.Columns))...)
	dest = append(dest, before.dest(table)...)

	var edits []Edit
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		if containsNull(logged) {
			continue // such a row has no identity that another device could find it by
		}
		edit, err := db.edit(ctx, table, logged, key, values, &before)
		if err != nil {
			return nil, err
		}
		if edit == nil {
			continue
		}
		known := int64(0)
		if edit.Before != nil {
			known = edit.Before.Stamp.Time
		}
		edit.Change.Stamp = Stamp{max(1, milliseconds(at), known+1), db.Self, batch}
		if edit.Change.Shape.Kind != Delete {
			edit.Change.Birth = edit.Change.Stamp
			if edit.Before.Visible() {
				edit.Change.Birth = edit.Before.Birth
			}
		}
		edits = append(edits, *edit)
	}
	return edits, rows.Err()
}

// edit decides what became of a logged row; nil means that nothing did.
func (db *Database) edit(ctx context.Context, table *Table, logged, key Key, values []Value, before *clockRow) (*Edit, error) {
	edit := &Edit{Table: table}
	var err error
	if before.time.Valid {
		known, err := before.clock(db)
		if err != nil {
			return nil, err
		}
		edit.Before = &known
	}
	switch {
	case !containsNull(key): // the row is there
		edit.Change = Change{Shape: table.Put}
		if edit.Change.Key, err = scannedKey(key); err != nil {
			return nil, err
		}
		if edit.Change.Values, err = scannedValues(values); err != nil {
			return nil, err
		}
		same, err := db.unchanged(ctx, table, edit)
		if err != nil || same {
			return nil, err
		}
	case edit.Before.Visible() || edit.Before == nil && table.Phase == PhaseNew: // it was, or may have been, and is gone
		edit.Change = Change{Shape: table.Gone}
		if edit.Change.Key, err = scannedKey(logged); err != nil {
			return nil, err
		}
	default: // made and gone again, or known to be gone
		return nil, nil
	}
	return edit, nil
}

// unchanged reports whether the row is as it is known to be, so that saving a
// row as it was overrules nobody.
func (db *Database) unchanged(ctx context.Context, table *Table, edit *Edit) (bool, error) {
	if !edit.Before.Visible() {
		return false, nil
	}
	if edit.Before.Shape == table.PutNumber {
		return edit.Before.Image == edit.Change.Image(), nil
	}
	// The table has other columns than when the row was last known. Those of
	// that time must be as they were, the others as they are in every row.
	known, err := db.Shape(ctx, edit.Before.Shape)
	if err != nil {
		return false, err
	}
	then := Change{Shape: known, Key: edit.Change.Key}
	for i, column := range table.Put.Columns {
		switch {
		case known.Contains(column):
			then.Values = append(then.Values, edit.Change.Values[i])
		case !Equal(edit.Change.Values[i], table.Columns[i].Default):
			return false, nil
		}
	}
	return len(then.Values) == len(known.Columns) && then.Image() == edit.Before.Image, nil
}

// Equal reports whether a and b are the same value, bit for bit.
func Equal(a, b Value) bool { return string(AppendValue(nil, a)) == string(AppendValue(nil, b)) }

// ClearLog empties the log.
func (db *Database) ClearLog(ctx context.Context) error {
	_, err := db.Conn.Exec(ctx, "DELETE FROM sqlitesync_log")
	return err
}

// Record writes the clocks of changes that the tables show, or do not show
// because they are deletes.
func (db *Database) Record(ctx context.Context, table *Table, changes []Change, state State) error {
	clocks := make([]Clock, len(changes))
	for i := range changes {
		clocks[i] = changes[i].clock(table, state)
	}
	return db.SetClocks(ctx, table, clocks)
}

func (c *Change) clock(table *Table, state State) Clock {
	clock := Clock{Key: c.Key, Stamp: c.Stamp, Birth: c.Birth, Shape: table.PutNumber, Image: c.Image(), State: state}
	if c.Shape.Kind == Delete {
		clock.Shape, clock.State = 0, Deleted
	}
	return clock
}

// milliseconds turns a Julian day into milliseconds since 1970.
func milliseconds(julianDay float64) int64 {
	ms := math.Round((julianDay - 2440587.5) * 86400000)
	if !(ms > 0 && ms < maxTime) {
		return 0 // a clock before 1970, or not a time at all
	}
	return int64(ms)
}

// maxTime is FORMAT.md's limit for the time of a stamp.
const maxTime = 1 << 62

func containsNull(key Key) bool {
	for _, v := range key {
		if v == nil {
			return true
		}
	}
	return false
}

func joinKey(table *Table, a, b string) string {
	terms := make([]string, len(table.Key))
	for i := range table.Key {
		terms[i] = fmt.Sprintf("%sk%d = %sk%d", a, i, b, i)
	}
	return strings.Join(terms, " AND ")
}

// list joins those of the parts that are not empty.
func list(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}
