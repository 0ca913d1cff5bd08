package changelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
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
		table.Number = number
		if name == table.Put.Rows() {
			continue
		}
		before[number] = name
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET name = number WHERE number = ?", number); err != nil {
			return nil, err
		}
	}
	return before, nil
}

// register gives the table its number, shape, log columns and clock table.
func (db *Database) register(ctx context.Context, table *Table, before map[int64]string) (stale Stale, err error) {
	stale.Table, stale.Was = table, before[table.Number]
	rows, declared := table.Put.Rows(), strings.Join(table.declared, ",")
	if table.PutNumber, err = db.ShapeNumber(ctx, table.Put); err != nil {
		return stale, err
	}
	if stale.Was != "" { // a table of this name that is gone has left its number behind
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET name = -number WHERE name = ?", rows); err != nil {
			return stale, err
		}
		if _, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET name = ? WHERE number = ?", rows, table.Number); err != nil {
			return stale, err
		}
	}
	var columns string
	err = db.Conn.Get(ctx, "SELECT number, phase, incomplete, rebuilt, columns FROM sqlitesync_tables WHERE name = ?", []any{rows},
		&table.Number, &table.Phase, &table.Incomplete, &stale.Rebuilt, &columns)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = db.Conn.Get(ctx, "INSERT INTO sqlitesync_tables (name, columns) VALUES (?, ?) RETURNING number", []any{rows, declared}, &table.Number)
	case err == nil:
		stale.compare(columns)
		_, err = db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET columns = ?, rebuilt = 0 WHERE number = ?", declared, table.Number)
	}
	if err != nil {
		return stale, err
	}
	return stale, db.makeClocks(ctx, table)
}

// makeClocks makes the clock table, and the columns of the log that the key of
// the table needs.
func (db *Database) makeClocks(ctx context.Context, table *Table) error {
	var columns int
	var clocks *string
	err := db.Conn.Get(ctx, `SELECT (SELECT count(*) FROM pragma_table_info('sqlitesync_log') WHERE name GLOB 'k[0-9]*'),
		(SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?)`,
		[]any{fmt.Sprintf("sqlitesync_clock_%d", table.Number)}, &columns, &clocks)
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
	case clocks != nil && *clocks == definition:
		return nil
	case clocks != nil && keyTypes.ReplaceAllString(*clocks, "") == keyTypes.ReplaceAllString(definition, ""):
		// Keys that are equal now are one row, whose newest change the logs know.
		script := fmt.Sprintf(`ALTER TABLE sqlitesync_clock_%[1]d RENAME TO sqlitesync_clocks_before;
			%[2]s;
			INSERT OR IGNORE INTO sqlitesync_clock_%[1]d SELECT * FROM sqlitesync_clocks_before ORDER BY time DESC;
			DROP TABLE sqlitesync_clocks_before`, table.Number, definition)
		if err := db.Conn.Script(ctx, script); err != nil {
			return err
		}
		return db.SetIncomplete(ctx, table, true)
	}
	// None yet, or of an earlier table that had a key of more or fewer columns.
	script := fmt.Sprintf("DROP TABLE IF EXISTS sqlitesync_clock_%d;\n%s", table.Number, definition)
	if err := db.Conn.Script(ctx, script); err != nil {
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
