package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// oracleDatabase is one of the databases that TestOracle compares, used
// through one connection so that transactions and pragmas hold.
type oracleDatabase struct {
	conn *sql.Conn
}

// oracleColumn is a column as SQLite reports it.
type oracleColumn struct {
	name, declared string
	notNull        bool
	key            int // position in the PRIMARY KEY, from 1
	hidden         int // 2, 3: generated
}

func (c oracleColumn) generated() bool { return c.hidden != 0 }

// oracleTable is a table as SQLite reports it.
type oracleTable struct {
	name, sql    string
	withoutRowid bool
	columns      []oracleColumn
	key          []string        // columns of the PRIMARY KEY, in its order
	targets      []string        // conflict targets of UPSERT, parentheses and WHERE included
	indexed      map[string]bool // columns that a unique index names
	rowid        string          // a name of the rowid that no column has, "" if there is none
	integerKey   bool            // the key is the rowid
	nulls        bool            // one of its foreign keys has SET NULL
	referenced   bool            // by another table
	indexes      []string        // that DROP INDEX takes
	triggers     []string
	scripts      []string // that make its indexes and triggers
}

// names returns the names of the columns that can be written.
func (t *oracleTable) names() (names []string) {
	for _, column := range t.columns {
		if !column.generated() {
			names = append(names, column.name)
		}
	}
	return names
}

func (t *oracleTable) column(name string) oracleColumn {
	i := slices.IndexFunc(t.columns, func(c oracleColumn) bool { return c.name == name })
	return t.columns[i]
}

func openOracleDatabase(ctx context.Context, db *sql.DB) (*oracleDatabase, error) {
	conn, err := db.Conn(ctx)
	return &oracleDatabase{conn: conn}, err
}

// outcome runs a statement and returns all that an app can see of it.
func (d *oracleDatabase) outcome(ctx context.Context, statement oracleStatement) (outcome string, err error) {
	var rows []string
	if statement.returns {
		rows, err = d.query(ctx, statement.text)
	} else {
		_, err = d.conn.ExecContext(ctx, statement.text)
	}
	if statement.private {
		rows = nil
	}
	query := "SELECT changes(), last_insert_rowid()"
	if lastRowidUnreliable(statement, err) {
		query = "SELECT changes()"
	}
	counts, failure := d.query(ctx, query)
	if failure != nil {
		counts = []string{failure.Error()}
	}
	slices.Sort(rows)
	return fmt.Sprintf("error %v\nchanges and last_insert_rowid %s\n%s", err, counts, strings.Join(rows, "\n")), err
}

// lastRowidUnreliable reports whether SQLite leaves last_insert_rowid in a
// state that depends on what else stands in the file: VACUUM sets it to what it
// copied last, and a foreign key that refuses a single row does so before the
// row is inserted, but after it if the table has any trigger.
func lastRowidUnreliable(s oracleStatement, err error) bool {
	return s.text == "VACUUM" || err != nil && strings.Contains(err.Error(), "FOREIGN KEY constraint failed")
}

// resetLastRowid makes last_insert_rowid 1.
func (d *oracleDatabase) resetLastRowid(ctx context.Context) error {
	_, err := d.conn.ExecContext(ctx, "CREATE TEMP TABLE oracle (n); INSERT INTO temp.oracle VALUES (1); DROP TABLE temp.oracle")
	return err
}

// query returns the rows of a query, each value with its storage class, bit
// for bit.
func (d *oracleDatabase) query(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := d.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, dest := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		dest[i] = &values[i]
	}
	var lines []string
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return lines, err
		}
		line := make([]string, len(values))
		for i, v := range values {
			line[i] = oracleText(v)
		}
		lines = append(lines, strings.Join(line, " | "))
	}
	return lines, rows.Err()
}

func oracleText(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case int64:
		return fmt.Sprint(v)
	case float64:
		return fmt.Sprintf("%v(%x)", v, math.Float64bits(v))
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	case string:
		return fmt.Sprintf("%+q", v)
	}
	return fmt.Sprintf("%T %v", v, v)
}

// inTransaction reports whether a transaction is open. Any failed statement
// may have ended it.
func (d *oracleDatabase) inTransaction(ctx context.Context) bool {
	if _, err := d.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return true
	}
	_, _ = d.conn.ExecContext(ctx, "ROLLBACK")
	return false
}

// oracleOthers excludes SQLite's tables and ours.
const oracleOthers = `name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE 'sqlitesync\_%' ESCAPE '\'
	AND tbl_name NOT LIKE 'sqlitesync\_%' ESCAPE '\'`

// definitions returns the app's schema, which sync must leave as it is.
func (d *oracleDatabase) definitions(ctx context.Context) ([]string, error) {
	return d.query(ctx, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE "+oracleOthers+" ORDER BY type, name")
}

// tables reads the app's tables.
func (d *oracleDatabase) tables(ctx context.Context) ([]*oracleTable, error) {
	rows, err := d.conn.QueryContext(ctx, `SELECT name, sql, (SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = s.name),
		EXISTS (SELECT 1 FROM pragma_foreign_key_list(s.name) WHERE on_delete = 'SET NULL' OR on_update = 'SET NULL' OR lower("table") = lower(s.name)),
		EXISTS (SELECT 1 FROM sqlite_schema c JOIN pragma_foreign_key_list(c.name) f WHERE c.type = 'table' AND lower(f."table") = lower(s.name))
		FROM sqlite_schema s WHERE type = 'table' AND `+oracleOthers+` ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []*oracleTable
	for rows.Next() {
		table := &oracleTable{indexed: make(map[string]bool)}
		if err := rows.Scan(&table.name, &table.sql, &table.withoutRowid, &table.nulls, &table.referenced); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, table := range tables {
		if err := d.readColumns(ctx, table); err != nil {
			return nil, err
		}
		if err := d.readIndexes(ctx, table); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

func (d *oracleDatabase) readColumns(ctx context.Context, table *oracleTable) error {
	rows, err := d.conn.QueryContext(ctx, `SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid`, table.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	keys := make(map[int]string)
	for rows.Next() {
		var c oracleColumn
		if err := rows.Scan(&c.name, &c.declared, &c.notNull, &c.key, &c.hidden); err != nil {
			return err
		}
		table.columns = append(table.columns, c)
		if c.key > 0 {
			keys[c.key] = c.name
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i := range len(keys) {
		table.key = append(table.key, keys[i+1])
	}
	if !table.withoutRowid {
		for _, name := range []string{"rowid", "oid", "_rowid_"} {
			taken := func(c oracleColumn) bool { return strings.EqualFold(c.name, name) }
			if !slices.ContainsFunc(table.columns, taken) {
				table.rowid = name
				break
			}
		}
	}
	return nil
}

func (d *oracleDatabase) readIndexes(ctx context.Context, table *oracleTable) error {
	rows, err := d.conn.QueryContext(ctx, `SELECT l.name, l.origin, x.name, (SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = l.name)
		FROM pragma_index_list(?) l JOIN pragma_index_xinfo(l.name) x WHERE l."unique" AND x.key ORDER BY l.seq, x.seqno`, table.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	table.integerKey = len(table.key) == 1 && !table.withoutRowid
	columns := make(map[string][]string)
	for rows.Next() {
		var index, origin string
		var column, text *string
		if err := rows.Scan(&index, &origin, &column, &text); err != nil {
			return err
		}
		if origin == "pk" {
			table.integerKey = false
		}
		if text != nil {
			_, target, _ := strings.Cut(*text, " ON "+changelog.Quote(table.name)+" ")
			if target != "" && !slices.Contains(table.targets, target) {
				table.targets = append(table.targets, target)
			}
			for _, c := range table.columns { // an expression may name any
				if strings.Contains(target, changelog.Quote(c.name)) {
					table.indexed[c.name] = true
				}
			}
		}
		if column != nil {
			columns[index] = append(columns[index], *column)
			table.indexed[*column] = true
		}
	}
	for _, names := range columns {
		table.targets = append(table.targets, "("+quoted(names)+")")
	}
	table.targets = append(table.targets, "("+quoted(table.key)+")")
	slices.Sort(table.targets)
	table.targets = slices.Compact(table.targets)
	if err := rows.Err(); err != nil {
		return err
	}
	return d.readScripts(ctx, table)
}

// readScripts reads what belongs to a table, in the order in which it was made.
func (d *oracleDatabase) readScripts(ctx context.Context, table *oracleTable) error {
	rows, err := d.conn.QueryContext(ctx, `SELECT type, name, sql FROM sqlite_schema WHERE lower(tbl_name) = lower(?)
		AND type IN ('index', 'trigger') AND sql IS NOT NULL AND name NOT LIKE 'sqlitesync\_%' ESCAPE '\' ORDER BY rowid`, table.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, name, script string
		if err := rows.Scan(&kind, &name, &script); err != nil {
			return err
		}
		if kind == "index" {
			table.indexes = append(table.indexes, name)
		} else {
			table.triggers = append(table.triggers, name)
		}
		table.scripts = append(table.scripts, script)
	}
	return rows.Err()
}

// dump returns all rows of a table, sorted. What is left out of a comparison
// with the replica (shared): rowids that are no key, and rows with a NULL in
// the key, which have no identity that the replica could find them by.
func (d *oracleDatabase) dump(ctx context.Context, table *oracleTable, shared bool) ([]string, error) {
	var list, whole []string
	if table.rowid != "" && !shared {
		list = append(list, table.rowid)
	}
	for _, column := range table.columns {
		// The driver turns values of columns that are declared as dates into time.Time, those of expressions not.
		list = append(list, "+"+changelog.Quote(column.name))
	}
	for _, name := range table.key {
		whole = append(whole, changelog.Quote(name)+" IS NOT NULL")
	}
	query := "SELECT " + strings.Join(list, ", ") + " FROM " + changelog.Quote(table.name)
	if shared {
		query += " WHERE " + strings.Join(whole, " AND ")
	}
	lines, err := d.query(ctx, query)
	slices.Sort(lines)
	return lines, err
}

// difference lists the lines that only one of two sorted lists has.
func difference(a, b []string) string {
	var text strings.Builder
	for len(a)+len(b) > 0 {
		switch {
		case len(a) > 0 && len(b) > 0 && a[0] == b[0]:
			a, b = a[1:], b[1:]
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			fmt.Fprintf(&text, "  - %.400s\n", a[0])
			a = a[1:]
		default:
			fmt.Fprintf(&text, "  + %.400s\n", b[0])
			b = b[1:]
		}
	}
	return text.String()
}

// quoted lists identifiers.
func quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = changelog.Quote(name)
	}
	return strings.Join(list, ", ")
}

// empty reports whether a table has no rows.
func (d *oracleDatabase) empty(ctx context.Context, table string) bool {
	rows, err := d.query(ctx, "SELECT 1 FROM "+changelog.Quote(table)+" LIMIT 1")
	return err == nil && len(rows) == 0
}
