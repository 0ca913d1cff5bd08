package changelog

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Alteration says how a row is not as it was last written or merged: something
// has written to it, or to our tables, without the triggers.
type Alteration string

// The alterations.
const (
	Altered Alteration = "altered" // it has other values
	Added   Alteration = "added"   // it stands there, and nobody knows of it
	Gone    Alteration = "gone"    // it does not stand there, and nobody has deleted it
)

// Scrub compares up to limit rows of a table, those whose key is above after (nil:
// from the first), with what is known of them, and calls each with the keys of
// those that are not so. It returns the last key that it dealt with, nil at the
// end of the table, and how many rows there were. The log must be empty: what is in it is not known yet.
func (db *Database) Scrub(ctx context.Context, table *Table, after Key, limit int, each func(Key, Alteration)) (last Key, n int, err error) {
	if last, n, err = db.scrubRows(ctx, table, after, limit, each); err != nil {
		return nil, 0, err
	}
	return last, n, db.scrubClocks(ctx, table, after, last, each)
}

// scrubRows is Scrub for the rows that are there.
func (db *Database) scrubRows(ctx context.Context, table *Table, after Key, limit int, each func(Key, Alteration)) (last Key, n int, err error) {
	order := make([]string, len(table.Key))
	var conditions []string
	for i, column := range table.Key {
		order[i] = column.Compared("t." + Quote(column.Name))
		conditions = append(conditions, "t."+Quote(column.Name)+" IS NOT NULL") // the others stay here
	}
	if after != nil {
		conditions = append(conditions, fmt.Sprintf("(%s) > %s", strings.Join(order, ", "), Placeholders(1, len(table.Key))))
	}
	rows, err := db.Conn.Query(ctx, fmt.Sprintf("SELECT %s FROM %s t LEFT JOIN sqlitesync_clock_%d c ON %s WHERE %s ORDER BY %s LIMIT %d",
		list(KeyColumns("c.", table), clockList("c."), Bare("t.", table.Key), Bare("t.", table.Columns)), Quote(table.Name), table.Number,
		MatchKey(table, "t.", "c."), strings.Join(conditions, " AND "), strings.Join(order, ", "), limit), after...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var found clockRow
	var row []Value
	dest := slices.Concat(found.dest(table), pointers(&row, len(table.Key)+len(table.Columns)))
	for ; rows.Next(); n++ {
		if err := rows.Scan(dest...); err != nil {
			return nil, 0, err
		}
		values, err := scannedValues(row)
		if err != nil {
			return nil, 0, err
		}
		put := table.fullPut(values)
		last = put.Key
		if !found.time.Valid {
			each(put.Key, Added)
			continue
		}
		clock, err := found.clock(db)
		if err != nil {
			return nil, 0, err
		}
		is, err := db.compare(ctx, table, put, &clock)
		if err != nil {
			return nil, 0, err
		}
		if is != "" {
			each(put.Key, is)
		}
	}
	if n < limit {
		last = nil
	}
	return last, n, rows.Err()
}

// compare compares a row with its clock.
func (db *Database) compare(ctx context.Context, table *Table, row *Change, clock *Clock) (Alteration, error) {
	if !clock.Visible() {
		return Added, nil
	}
	shape, err := db.Shape(ctx, clock.Shape)
	if err != nil {
		return "", err
	}
	for _, column := range shape.Columns {
		if !table.Put.Contains(column) {
			return "", nil // what the column had is part of the image
		}
	}
	then, err := db.AsKnown(ctx, table, row, clock.Shape)
	if err != nil || then.Image() == clock.Image {
		return "", err
	}
	return Altered, nil
}

// scrubClocks is Scrub for the rows that are known above after and up to last
// (nil: all), and that are not there.
func (db *Database) scrubClocks(ctx context.Context, table *Table, after, last Key, each func(Key, Alteration)) error {
	condition, args := "", []any(nil)
	for _, bound := range []struct {
		key        Key
		comparison string
	}{{after, ">"}, {last, "<="}} {
		if bound.key != nil {
			condition += fmt.Sprintf(" AND (%s) %s %s", KeyColumns("c.", table), bound.comparison, Placeholders(1, len(table.Key)))
			args = append(args, bound.key...)
		}
	}
	keys, err := db.Keys(ctx, table, fmt.Sprintf("SELECT %s FROM %s%s", KeyColumns("c.", table), gone(table), condition), args...)
	for _, key := range keys {
		each(key, Gone)
	}
	return err
}
