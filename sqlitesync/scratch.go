package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
)

// A scratch is an empty database in memory, in which definitions of tables that
// other devices have sent are tried out. SQLite itself says what they are: while
// one runs, nothing is allowed but what a table and its indexes need, and
// afterwards the schema must be just what was asked for, word for word.
type scratch struct {
	db      *sql.DB
	conn    *sql.Conn
	allowed map[string]bool // the table and its indexes; nil between two definitions
	refused string          // the first thing that was not allowed
}

func newScratch(ctx context.Context) (*scratch, error) {
	connector, err := sqlite.NewConnector(":memory:")
	if err != nil {
		return nil, err
	}
	c := &scratch{db: sql.OpenDB(connector)}
	if c.conn, err = c.db.Conn(ctx); err != nil {
		return nil, errors.Join(err, c.db.Close())
	}
	err = c.conn.Raw(func(driverConn any) error {
		if err := unhook(driverConn); err != nil {
			return err
		}
		return driverConn.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(c.authorize)
	})
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *scratch) close() error { return errors.Join(c.conn.Close(), c.db.Close()) }

// safeFunctions are those of SQLite that definitions may use: they yield a value
// and do nothing else. What an app has registered is not among them, unless it
// has given it one of these names.
var safeFunctions = wordSet(`-> ->> abs char coalesce concat concat_ws current_date current_time current_timestamp date datetime
	format glob hex if ifnull iif instr json json_array json_array_length json_extract json_object json_quote json_type
	json_valid julianday length like likelihood likely lower ltrim max min nullif octet_length printf quote random randomblob
	replace round rtrim sign strftime substr substring time timediff trim typeof unicode unixepoch unlikely upper`)

func wordSet(words string) map[string]bool {
	set := make(map[string]bool)
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// authorize says what SQLite may do while a definition is tried out.
func (c *scratch) authorize(action sqlite.AuthorizerActionCode, name, other, database, trigger string) sqlite.AuthorizerReturnCode {
	if c.allowed == nil {
		return sqlite.AuthorizerOK
	}
	var what string
	switch named := changelog.CanonicalName(name); action {
	case sqlite.AuthCreateTable:
		what = "makes " + name
		if named == "sqlite_sequence" || c.allowed[named] {
			what = ""
		}
	case sqlite.AuthCreateIndex:
		what = "makes " + name
		if strings.HasPrefix(named, "sqlite_autoindex_") || c.allowed[named] {
			what = ""
		}
	case sqlite.AuthInsert, sqlite.AuthUpdate, sqlite.AuthRead: // SQLite writes the schema down, and reads it again
		what = "reads or writes " + name
		if named == "sqlite_master" || action == sqlite.AuthRead && c.allowed[named] {
			what = ""
		}
	case sqlite.AuthReindex: // which is how an index is filled
		what = "fills " + name
		if c.allowed[named] {
			what = ""
		}
	case sqlite.AuthFunction:
		what = "uses the function " + other
		if safeFunctions[changelog.CanonicalName(other)] {
			what = ""
		}
	default:
		what = fmt.Sprintf("does what no definition does (%d)", action)
	}
	if what == "" && trigger == "" && (database == "" || database == "main") {
		return sqlite.AuthorizerOK
	}
	if c.refused == "" {
		c.refused = what
	}
	return sqlite.AuthorizerDeny
}

// try makes a table and its indexes, and returns how many columns the table has.
// Nothing of it stays. An error says why the definition is doubtful, or that ctx
// has ended.
func (c *scratch) try(ctx context.Context, d *changelog.Definition) (columns int, err error) {
	if err := d.Check(); err != nil {
		return 0, err
	}
	names := map[string]bool{d.Table: true}
	for _, index := range d.Indexes {
		names[changelog.CanonicalName(changelog.DefinedName(index))] = true
	}
	if len(names) != 1+len(d.Indexes) {
		return 0, errors.New("two of its statements make one thing")
	}
	for name := range names {
		if changelog.Reserved(name) {
			return 0, errors.New("the name of an index is reserved")
		}
	}
	tx, err := c.conn.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // so that the database is empty again
	if err := c.run(ctx, tx, d, names); err != nil {
		return 0, err
	}
	if err := compareSchema(ctx, tx, d); err != nil {
		return 0, err
	}
	if err := checkLinks(ctx, tx, d.Table); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_xinfo(?)", d.Table).Scan(&columns)
	return columns, err
}

// checkLinks bounds the indexes of constraints and the foreign keys of a table, and
// refuses it if SQLite's tables or ours are among its parents: it could make writes
// to them fail.
func checkLinks(ctx context.Context, tx *sql.Tx, table string) error {
	var indexes, keys int
	var parents string
	err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM pragma_index_list(?1)), count(DISTINCT id), coalesce(group_concat("table", char(10)), '')
		FROM pragma_foreign_key_list(?1)`, table).Scan(&indexes, &keys, &parents)
	switch {
	case err != nil:
		return err
	case indexes > changelog.MaxIndexes:
		return fmt.Errorf("it has more than %d indexes, those of constraints included", changelog.MaxIndexes)
	case keys > changelog.MaxForeignKeys:
		return fmt.Errorf("it has more than %d foreign keys", changelog.MaxForeignKeys)
	case slices.ContainsFunc(strings.Split(changelog.CanonicalName(parents), "\n"), changelog.Reserved):
		return errors.New("it refers to a table whose name is reserved")
	}
	return nil
}

// run runs the statements of a definition, with the gate closed.
func (c *scratch) run(ctx context.Context, tx *sql.Tx, d *changelog.Definition, names map[string]bool) error {
	c.allowed, c.refused = names, ""
	defer func() { c.allowed = nil }()
	for _, statement := range append([]string{d.SQL}, d.Indexes...) {
		_, err := tx.ExecContext(ctx, statement)
		switch {
		case c.refused != "":
			return errors.New("it " + c.refused)
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // which quotes the statement
			return errors.New("SQLite does not take it")
		}
	}
	return nil
}

// compareSchema makes sure that the schema consists of a definition, and of what
// SQLite adds to it.
func compareSchema(ctx context.Context, tx *sql.Tx, d *changelog.Definition) error {
	rows, err := tx.QueryContext(ctx, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE name <> 'sqlite_sequence'")
	if err != nil {
		return err
	}
	defer rows.Close()
	wanted := make(map[string]int) // statement to how often
	for _, statement := range append([]string{d.SQL}, d.Indexes...) {
		wanted[strings.TrimSpace(statement)]++
	}
	for rows.Next() {
		var kind, name, table, text string
		if err := rows.Scan(&kind, &name, &table, &text); err != nil {
			return err
		}
		name, table = changelog.CanonicalName(name), changelog.CanonicalName(table)
		isTable := kind == "table" && name == d.Table
		isIndex := kind == "index" && table == d.Table
		if !isTable && !isIndex {
			return errors.New("it makes something else")
		}
		if text = strings.TrimSpace(text); text != "" {
			wanted[text]--
		} else if isTable || !strings.HasPrefix(name, "sqlite_autoindex_") {
			return errors.New("it makes something else")
		}
	}
	for _, left := range wanted {
		if left != 0 {
			return errors.New("SQLite does not keep it as it was sent")
		}
	}
	return rows.Err()
}
