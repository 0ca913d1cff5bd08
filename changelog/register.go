package changelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// vacate takes their names from the tables that were renamed, so that others
// can take these, and returns what the names were, by number. A table that
// carries triggers of ours goes on with the number in them, whatever it and its
// key are called now.
func (db *Database) vacate(ctx context.Context, present map[string]presentTrigger) (before map[int64]string, err error) {
	before = make(map[int64]string)
	for _, table := range db.Tables {
		number := numberOn(present, table.Name)
		if number == 0 {
			continue
		}
		var name string
		err := db.Conn.Get(ctx, "SELECT name FROM sqlitesync_tables WHERE number = ?", []any{number}, &name)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !table.tookName(name) {
			continue // it has another key, or its own name
		}
		if err := db.vacateName(ctx, table, number, name, before); err != nil {
			return nil, err
		}
	}
	if err := db.findMoved(ctx, present, before); err != nil {
		return nil, err
	}
	return before, nil
}

// vacateName lets a table go on with this number, and takes the name from it
// that it had.
func (db *Database) vacateName(ctx context.Context, table *Table, number int64, name string, before map[int64]string) error {
	table.Number, before[number] = number, name
	if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET name = number WHERE number = ?", number); err != nil {
		return err
	}
	_, err := db.Conn.Exec(ctx, "INSERT OR REPLACE INTO sqlitesync_names (name, number) VALUES (?, ?)", name, number)
	return err
}

// tookName reports whether the table is the one that was called name, and that it,
// or columns of its key, are called otherwise now. With the key's columns in
// another order, or with more of them, it would be another table.
func (t *Table) tookName(name string) bool {
	if name == t.Put.Rows() {
		return false
	}
	key, now := quotedNames(name)[1:], t.Put.Key
	if len(key) != len(now) {
		return false
	}
	for i := range key {
		if key[i] != now[i] && (slices.Contains(now, key[i]) || slices.Contains(key, now[i])) {
			return false
		}
	}
	return true
}

// register gives the table its number, shape, log columns and clock table.
func (db *Database) register(ctx context.Context, table *Table, before map[int64]string) (stale Stale, err error) {
	stale.Table, stale.Was = table, before[table.Number]
	rows := table.Put.Rows()
	if table.PutNumber, err = db.ShapeNumber(ctx, table.Put); err != nil {
		return stale, err
	}
	if stale.Was != "" {
		if err := db.rename(ctx, table.Number, rows); err != nil {
			return stale, err
		}
		if err := db.SetApart(ctx, stale.Was, rows); err != nil { // a table of the former name, too, can come
			return stale, err
		}
	}
	var columns string
	err = db.Conn.Get(ctx, "SELECT number, phase, incomplete, rebuilt, written, removed, renamed, columns FROM sqlitesync_tables WHERE name = ?", []any{rows},
		&table.Number, &table.Phase, &table.Incomplete, &stale.Rebuilt, &stale.Written, &stale.Removed, &stale.Renamed, &columns)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = db.Conn.Get(ctx, "INSERT INTO sqlitesync_tables (name, columns) VALUES (?, ?) RETURNING number",
			[]any{rows, strings.Join(table.declared, ",")}, &table.Number)
	case err == nil:
		if stale.compare(columns); stale.Lost {
			err = db.SetApart(ctx, rows)
		}
		stale.Renamed = stale.Renamed || stale.Was != ""
	}
	if err != nil {
		return stale, err
	}
	if err := db.makeClocks(ctx, table, &stale); err != nil {
		return stale, err
	}
	if err := db.loadFormers(ctx, table); err != nil {
		return stale, err
	}
	return stale, db.succeed(ctx, table, &stale, before)
}

// rename gives a table that is known the name that it has now.
func (db *Database) rename(ctx context.Context, number int64, rows string) error {
	for _, statement := range []string{
		// One of this name that is gone has left its number behind.
		"INSERT OR REPLACE INTO sqlitesync_names (name, number) SELECT name, number FROM sqlitesync_tables WHERE name = ?1",
		"UPDATE sqlitesync_tables SET name = -number WHERE name = ?1",
		"UPDATE sqlitesync_tables SET name = ?1 WHERE number = ?2",
	} {
		if _, err := db.Conn.Exec(ctx, statement, rows, number); err != nil {
			return err
		}
	}
	return nil
}

// succeed looks whether another table had this one's name before. If so, it is
// taken for that one, dropped and made again: the logs know rows of this name, so
// that its rows are new edits of these, and those that it does not have are
// missing.
func (db *Database) succeed(ctx context.Context, table *Table, stale *Stale, before map[int64]string) error {
	var namesake int64
	err := db.Conn.Get(ctx, "DELETE FROM sqlitesync_names WHERE name = ? RETURNING number", []any{table.Put.Rows()}, &namesake)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil || namesake == table.Number || stale.Was != "" && db.exchanged(stale.Was, namesake, before) {
		return err // it has its old name again, or tables have exchanged theirs
	}
	if err := db.copyClocks(ctx, table, namesake, before[namesake] == table.Put.Rows()); err != nil {
		return err
	}
	stale.Rebuilt, stale.Written, stale.Removed = true, true, true
	if err := db.SetIncomplete(ctx, table, true); err != nil {
		return err
	}
	return db.SetPhase(ctx, table, PhaseTracked)
}

// exchanged reports whether tables that were renamed at once have exchanged
// their names in a circle: that whose name was taken, or the one whose name it
// took, and so on, bears the name was now.
func (db *Database) exchanged(was string, taken int64, before map[int64]string) bool {
	numbers := make(map[string]int64, len(before)) // by the names that they had
	for number, name := range before {
		numbers[name] = number
	}
	for range before {
		at := slices.IndexFunc(db.Tables, func(t *Table) bool { return t.Number == taken })
		if before[taken] == "" || at < 0 {
			return false
		}
		now := db.Tables[at].Put.Rows()
		if now == was {
			return true
		}
		taken = numbers[now]
	}
	return false
}

// copyClocks gives a table the clocks of the one that had its name before. If
// that bears another since an earlier Capture, its rows have been edited, and
// their images say nothing about this table.
func (db *Database) copyClocks(ctx context.Context, table *Table, namesake int64, fresh bool) error {
	var alike bool
	err := db.Conn.Get(ctx, "SELECT count(*) = ? FROM pragma_table_info(?) WHERE name GLOB 'k[0-9]*'",
		[]any{len(table.Key), fmt.Sprintf("sqlitesync_clock_%d", namesake)}, &alike)
	if err != nil || !alike {
		return err
	}
	_, err = db.Conn.Exec(ctx, fmt.Sprintf(`INSERT INTO sqlitesync_clock_%[1]d (%[2]s, time, device, batch, birth_time, birth_device, birth_batch, shape, image, state)
		SELECT %[2]s, time, device, batch, birth_time, birth_device, birth_batch,
			CASE WHEN state = %[4]d THEN 0 WHEN ?1 THEN shape ELSE %[7]d END, iif(?1 AND state <> %[6]d, image, zeroblob(%[8]d)), iif(state = %[4]d, %[4]d, %[5]d)
		FROM sqlitesync_clock_%[3]d WHERE state IN (%[4]d, %[5]d, %[6]d)
		ON CONFLICT DO UPDATE SET time = excluded.time, device = excluded.device, batch = excluded.batch WHERE excluded.time >= time`,
		table.Number, KeyColumns("", table), namesake, Deleted, Shown, Combined, table.PutNumber, len(Image{})), fresh)
	if err != nil {
		return err
	}
	return db.DoubtDigest(ctx, table.Put.Rows())
}

// makeClocks makes the clock table, and the columns of the log that the key of
// the table needs.
func (db *Database) makeClocks(ctx context.Context, table *Table, stale *Stale) error {
	var columns int
	clocks := db.texts[fmt.Sprintf("sqlitesync_clock_%d", table.Number)]
	err := db.Conn.Get(ctx, "SELECT count(*) FROM pragma_table_info('sqlitesync_log') WHERE name GLOB 'k[0-9]*'", nil, &columns)
	if err != nil {
		return err
	}
	for ; columns < len(table.Key); columns++ {
		if err := db.Conn.Script(ctx, fmt.Sprintf("ALTER TABLE sqlitesync_log ADD COLUMN k%d", columns)); err != nil {
			return err
		}
	}
	definition := clockDefinition(table)
	switch {
	case clocks == definition:
		return nil
	case clocks != "" && keyTypes.ReplaceAllString(clocks, "") == keyTypes.ReplaceAllString(definition, ""):
		// Keys that are equal now are one row, whose newest change the logs know.
		stale.Renamed = true
		script := fmt.Sprintf(`ALTER TABLE sqlitesync_clock_%[1]d RENAME TO sqlitesync_clocks_before;
			%[2]s;
			INSERT OR IGNORE INTO sqlitesync_clock_%[1]d SELECT * FROM sqlitesync_clocks_before ORDER BY time DESC;
			DROP TABLE sqlitesync_clocks_before`, table.Number, definition)
		if err := db.Conn.Script(ctx, script); err != nil {
			return err
		}
		if err := db.DoubtDigest(ctx, table.Put.Rows()); err != nil {
			return err
		}
		return db.SetIncomplete(ctx, table, true)
	}
	// None yet, or of an earlier table that had a key of more or fewer columns.
	script := fmt.Sprintf("DROP TABLE IF EXISTS sqlitesync_clock_%d;\n%s", table.Number, definition)
	if err := db.Conn.Script(ctx, script); err != nil {
		return err
	}
	if err := db.DoubtDigest(ctx, table.Put.Rows()); err != nil { // changes of it may be kept already
		return err
	}
	return db.SetPhase(ctx, table, PhaseNew)
}

// keyTypes matches what the clock table says of the types of the key.
var keyTypes = regexp.MustCompile(`(?m)^\tk\d+ .*$`)

// unsettleOthers notes that changes of the tables that do not take part may be
// kept from now on.
func (db *Database) unsettleOthers(ctx context.Context) error {
	var numbers []string
	for _, table := range db.Tables {
		if table.Unwritable == "" {
			numbers = append(numbers, strconv.FormatInt(table.Number, 10))
		}
	}
	return db.Conn.Script(ctx, "UPDATE sqlitesync_tables SET definition = '' WHERE number NOT IN ("+strings.Join(numbers, ", ")+")")
}
