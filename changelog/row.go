package changelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// pointers returns pointers to the n values of a new *values, for Scan.
func pointers[T ~[]Value](values *T, n int) []any {
	*values = make(T, n)
	dest := make([]any, n)
	for i := range *values {
		dest[i] = &(*values)[i]
	}
	return dest
}

// scannedKey returns a copy of what Scan put into row.
func scannedKey(row Key) (Key, error) {
	values, err := scannedValues(row)
	return values, err
}

func scannedValues(row []Value) ([]Value, error) {
	values := make([]Value, len(row))
	for i, v := range row {
		var err error
		if values[i], err = Scanned(v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Bare lists columns of the app with a "+" before each. The driver turns text
// in a column declared DATE or TIMESTAMP into a time.Time, which would not
// come out again as it was; an expression has no declared type.
func Bare(alias string, columns []Column) string {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = "+" + alias + Quote(column.Name)
	}
	return strings.Join(names, ", ")
}

// MatchKey returns the condition that the app's row has the key in k0, k1 … of
// the row called alias.
func MatchKey(table *Table, app, alias string) string {
	terms := make([]string, len(table.Key))
	for i, column := range table.Key {
		terms[i] = fmt.Sprintf("%s%s = %s", app, Quote(column.Name), column.Compared(fmt.Sprintf("%sk%d", alias, i)))
	}
	return strings.Join(terms, " AND ")
}

// KeyParameters returns the condition that a row of the app has the key given
// by the next parameters.
func KeyParameters(table *Table) string {
	terms := make([]string, len(table.Key))
	for i, column := range table.Key {
		terms[i] = Quote(column.Name) + " = " + column.Compared("?")
	}
	return strings.Join(terms, " AND ")
}

// Values returns the first row of a query that selects n columns, nil if there
// is none.
func (db *Database) Values(ctx context.Context, n int, query string, args ...any) ([]Value, error) {
	var row []Value
	dest := pointers(&row, n)
	err := db.Conn.Get(ctx, query, args, dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return scannedValues(row)
}

// Rows returns all rows of a query that selects n columns.
func (db *Database) Rows(ctx context.Context, n int, query string, args ...any) (list [][]Value, err error) {
	rows, err := db.Conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var row []Value
	dest := pointers(&row, n)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		values, err := scannedValues(row)
		if err != nil {
			return nil, err
		}
		list = append(list, values)
	}
	return list, rows.Err()
}

// Read returns the row with this key as a full put without stamps, or nil if
// there is none.
func (db *Database) Read(ctx context.Context, table *Table, key Key) (*Change, error) {
	query := table.Statement("read", 1, func() string {
		return fmt.Sprintf("SELECT %s FROM %s WHERE %s",
			list(Bare("", table.Key), Bare("", table.Columns)), Quote(table.Name), KeyParameters(table))
	})
	values, err := db.Values(ctx, len(table.Key)+len(table.Columns), query, key...)
	if err != nil || values == nil {
		return nil, err
	}
	return table.fullPut(values), nil
}

// fullPut makes a put of the values of a row: those of its key, then the others.
func (t *Table) fullPut(values []Value) *Change {
	return &Change{Shape: t.Put, Key: values[:len(t.Key)], Values: values[len(t.Key):]}
}

// AsKnown returns what a change of the shape with this number says of a row
// that is given as a full put: columns that the table has gained since are no
// part of it, and of those that it has lost nothing is known.
func (db *Database) AsKnown(ctx context.Context, table *Table, row *Change, number int64) (*Change, error) {
	if number == table.PutNumber {
		return row, nil
	}
	shape, err := db.Shape(ctx, number)
	if err != nil {
		return nil, err
	}
	then := &Change{Key: row.Key, Stamp: row.Stamp, Birth: row.Birth}
	var columns []string
	for i, column := range table.Put.Columns {
		if shape.Contains(column) {
			columns, then.Values = append(columns, column), append(then.Values, row.Values[i])
		}
	}
	if len(columns) < len(shape.Columns) {
		shape = NewShape(shape.Kind, shape.Table, shape.Key, columns)
	}
	then.Shape = shape
	return then, nil
}

// Keys returns the keys that query selects.
func (db *Database) Keys(ctx context.Context, table *Table, query string, args ...any) ([]Key, error) {
	rows, err := db.Rows(ctx, len(table.Key), query, args...)
	keys := make([]Key, len(rows))
	for i, row := range rows {
		keys[i] = row
	}
	return keys, err
}
