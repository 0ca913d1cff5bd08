package changelog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
)

// findMoved looks for tables that were renamed, or given another name for their
// key, and made anew since the last Capture, or copied into a table of another name
// and dropped: they bear no trigger that tells. A table is taken for one that is
// gone if it could have its key, and has at least half of the rows that nobody
// deleted: as they are known to be, or, if it has most of the columns that the other
// one had last, where what is known of them tells nothing.
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
	slices.SortStableFunc(moves, func(a, b move) int { return cmp.Or(cmp.Compare(b.same, a.same), cmp.Compare(b.possible, a.possible)) })
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

// move is a table that could be the one with this number, which is gone and had
// these columns: how many of the rows that were looked at are as they are known to
// be, and how many could be what became of them.
type move struct {
	table          *Table
	number         int64
	columns        []string
	same, possible int
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
	if same, err := db.sameKey(ctx, m, name); err != nil || !same {
		return false, err
	}
	rows, err := db.Conn.Query(ctx, m.sample())
	if err != nil {
		return false, err
	}
	defer rows.Close()
	var shape sql.NullInt64
	var image []byte
	var noted bool
	var row []Value
	dest := append([]any{&shape, &image, &noted}, pointers(&row, len(table.Key)+len(table.Columns))...)
	looked := 0
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return false, err
		}
		values, err := scannedValues(row)
		if err != nil {
			return false, err
		}
		looked++
		there := table.fullPut(values)
		if containsNull(there.Key) {
			continue // it is missing
		}
		var known *Shape
		if shape.Valid {
			if known, err = db.Shape(ctx, shape.Int64); err != nil || len(image) != len(Image{}) {
				return false, err
			}
		}
		m.count(there, known, image, noted)
	}
	return looked > 0 && 2*(m.same+m.possible) >= looked, rows.Err()
}

// sample selects rows of the table that is gone and that nobody deleted, as they are
// in the other: those that are known, and, should all of these be deleted, those that
// were made since.
func (m *move) sample() string {
	table, log := m.table, lastEntries(m.table, m.number)
	clocks := fmt.Sprintf("sqlitesync_clock_%d c", m.number)
	known := fmt.Sprintf("c.state IN (%d, %d, %d)", Shown, Combined, Unsent)
	return fmt.Sprintf(`SELECT r.shape, r.image, r.entry IS NOT NULL, %s FROM (
			SELECT c.shape, c.image, l.entry, %s FROM %s LEFT JOIN (%s) l ON %s WHERE %s AND (l.entry IS NULL OR l.entry > 0)
			UNION ALL
			SELECT NULL, NULL, l.entry, %s FROM (%s) l WHERE l.entry > 0 AND NOT EXISTS (SELECT 1 FROM %s WHERE %s AND %s)
		) r LEFT JOIN %s t ON %s LIMIT %d`,
		list(Bare("t.", table.Key), Bare("t.", table.Columns)),
		KeyColumns("c.", table), clocks, log, JoinKey(table, "c.", "l."), known,
		KeyColumns("l.", table), log, clocks, JoinKey(table, "c.", "l."), known,
		Quote(table.Name), MatchKey(table, "t.", "r."), sampleRows)
}

// count looks at a row that has the key of one of the table that is gone, whose
// image was that of this shape (nil: it is not known), and which was noted since or not.
func (m *move) count(there *Change, shape *Shape, image []byte, noted bool) {
	if shape != nil {
		if _, same := findRenamed(there, shape, Image(image)); same {
			m.same++
			return
		}
		came := apart(there.Shape.Columns, shape.Columns)
		came = slices.DeleteFunc(came, func(column string) bool { // it may have been added
			i, _ := slices.BinarySearch(there.Shape.Columns, column)
			return Equal(there.Values[i], m.table.Columns[i].Default)
		})
		// Of a column that is gone nothing can be verified. Some may have gone before: images stay as they are then.
		dropped := len(apart(shape.Columns, there.Shape.Columns)) > len(came)
		before := slices.ContainsFunc(shape.Columns, func(column string) bool { return !slices.Contains(m.columns, column) })
		noted = noted || dropped || before
	}
	if lost := apart(m.columns, there.Shape.Columns); noted && 2*len(lost) <= len(m.columns) {
		m.possible++
	}
}

// sameKey reads which columns the table had that is gone, and reports whether its
// key could be that of the other one, by the same name or by another one. A key
// that was an ordinary column is another, and so is one beside which the old key
// goes on as an ordinary column.
func (db *Database) sameKey(ctx context.Context, m *move, name string) (bool, error) {
	table := m.table
	bare, key := quotedNames(name)[0], quotedNames(name)[1:]
	if !table.tookName(name) || bare != table.Put.Table && db.byName[bare] != nil {
		return false, nil
	}
	var columns string
	if err := db.Conn.Get(ctx, "SELECT columns FROM sqlitesync_tables WHERE number = ?", []any{m.number}, &columns); err != nil {
		return false, err
	}
	m.columns = quotedNames(columns)
	for i, column := range table.Put.Key {
		if column != key[i] && (slices.Contains(m.columns, column) || slices.Contains(table.declared, Quote(key[i]))) {
			return false, nil
		}
	}
	return true, nil
}
