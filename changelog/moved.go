package changelog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// findMoved looks for tables that were renamed, or given another name for their
// key, and made anew since the last Capture, or copied into a table of another name
// and dropped: they bear no trigger that tells. A table is taken for one that is
// gone if it could have its key, and has at least half of the rows that nobody
// deleted: as they are known to be, or, if it has most of their columns, as they
// were noted when they were changed.
func (db *Database) findMoved(ctx context.Context, present map[string]presentTrigger, before map[int64]string) error {
	gone, err := db.goneTables(ctx, present)
	if err != nil || len(gone) == 0 {
		return err
	}
	var moves []move
	for _, table := range db.Tables {
		var known bool
		err := db.Conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_tables WHERE name = ?)", []any{table.Put.Rows()}, &known)
		if err != nil {
			return err
		}
		if known || before[table.Number] != "" {
			continue
		}
		for _, number := range slices.Sorted(maps.Keys(gone)) {
			m := move{table: table, number: number}
			alike, err := db.alike(ctx, &m, gone[number])
			if err != nil {
				return err
			}
			if alike {
				moves = append(moves, m)
			}
		}
	}
	slices.SortStableFunc(moves, func(a, b move) int { return cmp.Or(cmp.Compare(b.same, a.same), cmp.Compare(b.noted, a.noted)) })
	for _, m := range moves {
		if gone[m.number] == "" || before[m.table.Number] != "" {
			continue // it was another one
		}
		if err := db.vacateName(ctx, m.table, m.number, gone[m.number], before); err != nil {
			return err
		}
		delete(gone, m.number)
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET rebuilt = 1 WHERE number = ?", m.number); err != nil {
			return err
		}
	}
	return nil
}

// move is a table that could be the one with this number, which is gone: how many
// of the rows that were looked at are as they are known to be, and how many could
// be what they were noted to have become.
type move struct {
	table       *Table
	number      int64
	same, noted int
}

// goneTables returns the names of the known tables that are not there, or have
// another key there, by number. One that takes part no longer is there: under its
// name, or, if it was renamed since it took part, with triggers of ours.
func (db *Database) goneTables(ctx context.Context, present map[string]presentTrigger) (map[int64]string, error) {
	entries, err := listTables(ctx, db.Conn)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool)
	for _, e := range entries {
		if e.kind == "table" { // a view can stand for one that was moved
			there[CanonicalName(e.name)] = true
		}
	}
	carried := make(map[int64]bool)
	for _, trigger := range present {
		carried[trigger.number] = true
	}
	rows, err := db.Conn.Query(ctx, `SELECT number, name FROM sqlitesync_tables t WHERE name GLOB '"*'
		AND 'sqlitesync_clock_' || t.number IN (SELECT name FROM sqlite_schema WHERE type = 'table')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	gone := make(map[int64]string)
	for rows.Next() {
		var number int64
		var name string
		if err := rows.Scan(&number, &name); err != nil {
			return nil, err
		}
		bare := quotedNames(name)[0]
		table := db.byName[bare]
		rekeyed := table != nil && table.tookName(name)
		if (!there[bare] || rekeyed) && !carried[number] {
			gone[number] = name
		}
	}
	return gone, rows.Err()
}

// sampleRows is how many rows tell whether a table is one that is gone.
const sampleRows = 200

// alike counts the rows that tell whether the table could be the one that is gone,
// and reports whether it could.
func (db *Database) alike(ctx context.Context, m *move, name string) (bool, error) {
	table := m.table
	if same, err := db.sameKey(ctx, table, m.number, name); err != nil || !same {
		return false, err
	}
	rows, err := db.Conn.Query(ctx, fmt.Sprintf(`SELECT c.shape, c.image, l.entry IS NOT NULL, %s
		FROM sqlitesync_clock_%d c LEFT JOIN %s t ON %s LEFT JOIN (%s) l ON %s
		WHERE c.state IN (%d, %d, %d) AND (l.entry IS NULL OR l.entry > 0) LIMIT %d`,
		list(Bare("t.", table.Key), Bare("t.", table.Columns)), m.number, Quote(table.Name), MatchKey(table, "t.", "c."),
		lastEntries(table, m.number), JoinKey(table, "c.", "l."), Shown, Combined, Unsent, sampleRows))
	if err != nil {
		return false, err
	}
	defer rows.Close()
	var shapeNumber int64
	var image []byte
	var noted bool
	var row []Value
	dest := append([]any{&shapeNumber, &image, &noted}, pointers(&row, len(table.Key)+len(table.Columns))...)
	known := 0
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return false, err
		}
		values, err := scannedValues(row)
		if err != nil || len(image) != len(Image{}) {
			return false, err
		}
		shape, err := db.Shape(ctx, shapeNumber)
		if err != nil {
			return false, err
		}
		known++
		there := table.fullPut(values)
		lost, gained := apart(shape.Columns, table.Put.Columns), apart(table.Put.Columns, shape.Columns)
		switch _, same := findRenamed(there, shape, Image(image)); {
		case containsNull(there.Key): // it is missing
		case same:
			m.same++
		case 2*len(lost) <= len(shape.Columns) && (noted || len(lost) > len(gained)): // of columns that are gone nothing can be verified
			m.noted++
		}
	}
	return known > 0 && 2*(m.same+m.noted) >= known, rows.Err()
}

// sameKey reports whether the key of the table could be that of the one that is
// gone, by the same name or by another one. A key that was an ordinary column is
// another, and so is one beside which the old key goes on as an ordinary column.
func (db *Database) sameKey(ctx context.Context, table *Table, number int64, name string) (bool, error) {
	bare, key := quotedNames(name)[0], quotedNames(name)[1:]
	if !table.tookName(name) || bare != table.Put.Table && db.byName[bare] != nil {
		return false, nil
	}
	var columns string
	if err := db.Conn.Get(ctx, "SELECT columns FROM sqlitesync_tables WHERE number = ?", []any{number}, &columns); err != nil {
		return false, err
	}
	before := tokenize(columns)
	for i, column := range table.Put.Key {
		if column != key[i] && (slices.Contains(before, Quote(column)) || slices.Contains(table.declared, Quote(key[i]))) {
			return false, nil
		}
	}
	return true, nil
}
