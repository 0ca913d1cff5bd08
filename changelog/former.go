package changelog

import (
	"context"
	"maps"
	"slices"
)

// FormerNames returns what a column was called before, the latest first, as far
// as values have proven it. Devices that have not renamed it yet go on to write
// under these names. One that the table has for another column now is none.
func (t *Table) FormerNames(column string) (names []string) {
	for {
		former := formerName(t.formers, column)
		if former == column || t.Put.Contains(former) || slices.Contains(names, former) {
			return names
		}
		names, column = append(names, former), former
	}
}

// prove notes which of the columns that were renamed have a value in a row that is
// as it was when its columns were those of shape. That both are NULL, or as in a
// new row, does not tell a renamed column from one that was dropped beside one
// that was added.
func (t *Table) prove(row *Change, shape *Shape) {
	for former, name := range t.renamed {
		i, found := slices.BinarySearch(t.Put.Columns, name)
		if !found || !shape.Contains(former) || t.formers[former] == name || row.Values[i] == nil || Equal(row.Values[i], t.Columns[i].Default) {
			continue
		}
		maps.DeleteFunc(t.formers, func(f, n string) bool { return f == former || n == name })
		t.formers[former], t.proven = name, true
	}
}

// loadFormers reads what the columns of a table were called before.
func (db *Database) loadFormers(ctx context.Context, table *Table) error {
	rows, err := db.Conn.Query(ctx, "SELECT former, name FROM sqlitesync_columns WHERE number = ?", table.Number)
	if err != nil {
		return err
	}
	defer rows.Close()
	table.formers = make(map[string]string)
	for rows.Next() {
		var former, name string
		if err := rows.Scan(&former, &name); err != nil {
			return err
		}
		table.formers[former] = name
	}
	return rows.Err()
}

// saveFormers writes down what was proven since. It writes.
func (db *Database) saveFormers(ctx context.Context, table *Table) error {
	if !table.proven {
		return nil
	}
	table.proven = false
	if _, err := db.Conn.Exec(ctx, "DELETE FROM sqlitesync_columns WHERE number = ?", table.Number); err != nil {
		return err
	}
	for former, name := range table.formers {
		_, err := db.Conn.Exec(ctx, "INSERT INTO sqlitesync_columns (number, former, name) VALUES (?, ?, ?)", table.Number, former, name)
		if err != nil {
			return err
		}
	}
	return nil
}
