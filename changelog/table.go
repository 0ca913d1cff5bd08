package changelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Table is one table of the app that takes part in sync.
type Table struct {
	// Number stands for the table in the log and in the names of its clock
	// table and triggers. It never changes.
	Number int64
	// Name is as the app declared it.
	Name string
	// Key holds the columns of the PRIMARY KEY in its order, Columns the other
	// columns that travel, in the order of Put.Columns.
	Key, Columns []Column
	// Unique holds the UNIQUE constraints and indexes other than the key.
	Unique []Unique
	// References holds the foreign keys of this table, Referrers those that
	// refer to it, Local those of tables that do not take part in sync. All are
	// empty in a space that does not enforce foreign keys.
	References, Referrers, Local []*Reference
	// Put and Gone are the shapes of a full put and of a delete.
	Put, Gone *Shape

	// PutNumber is the number of Put in sqlitesync_shapes.
	PutNumber int64
	// Phase is how far its baseline has come.
	Phase Phase
	// Unwritable says why nothing can be merged into the table here, although
	// what is written to it is noted and sent; "" if it can.
	Unwritable string
	// Incomplete: the logs have rows that are missing here.
	Incomplete bool
	// Reread: it is Incomplete, and all that the logs still have of it was read: what
	// is missing is lost.
	Reread bool
	// NullKeys: rows with NULL in their key were written.
	NullKeys bool
	// Triggered: the app has triggers on it.
	Triggered bool
	// Touched holds the rows, by Identity, whose unique values edits may have
	// made free. Package merge looks which held rows can show.
	Touched map[string]bool
	// Written holds the rows, by Identity, whose references, or whose children,
	// have not been looked at since they were written. Only tables that are
	// Bound have any. Flooded: there were too many to remember, it can be any row.
	Written map[string]Key
	Flooded bool
	// Guarded: triggers of the app would delete its rows in a merge. Package
	// merge sees to it.
	Guarded bool

	definition string   // as Unsettled has read it
	unsettled  *string  // the one for which it was settled before Unsettle
	declared   []string // the names of Columns, quoted, in the order of the declaration
	statements map[string]string
	parts      map[string]*Shape
	// What is known of renamed columns: their new names by the old ones, and
	// how many rows no renaming explained.
	renamed     map[string]string
	unexplained int
	// What its columns were called before, by the old names (sqlitesync_columns),
	// and whether that is more than is written down.
	formers map[string]string
	proven  bool
}

// Unsynced is a table, or rows of one, that stay on this device.
type Unsynced struct {
	Table  string
	Reason string
	Hint   string // what to do about it
}

// columnRow is a row of PRAGMA table_xinfo, and the column that it amounts to.
type columnRow struct {
	column Column

	name, declared string
	notNull        bool
	constant       *string
	key            int      // position in the PRIMARY KEY, from 1
	hidden         int      // 2, 3: generated
	generation     []string // what a generated column is made of, in SQL
}

// readTable reads the definition of the table name, given those that
// definitionTexts has read. A reason that is not empty
// says why the table, which is nil then, can't be synced, or why nothing can be
// merged into it.
func readTable(ctx context.Context, c *Conn, name string, strict bool, texts map[string]string) (*Table, Unsynced, error) {
	refuse := func(reason, hint string) (*Table, Unsynced, error) {
		return nil, Unsynced{Table: name, Reason: reason, Hint: hint}, nil
	}
	columns, err := readColumns(ctx, c, name, texts)
	if err != nil {
		return nil, Unsynced{}, err
	}
	if reason, hint := beyond(name, columns); reason != "" {
		return refuse(reason, hint)
	}
	table := &Table{Name: name}
	var keyNames, columnNames []string
	keys := make(map[int]Column)
	for i := range columns {
		row, column := &columns[i], &columns[i].column
		column.Name, column.Affinity = row.name, affinity(row.declared, strict)
		if row.constant != nil {
			if err := column.readDefault(ctx, c, defaultText(withoutComments(*row.constant)), row.notNull); err != nil {
				return nil, Unsynced{}, fmt.Errorf("default of column %q: %w", row.name, err)
			}
		}
		switch {
		case row.hidden != 0: // generated: computed on each device
		case row.key > 0:
			keys[row.key] = *column
		default:
			table.Columns = append(table.Columns, *column)
			table.declared = append(table.declared, Quote(CanonicalName(row.name)))
			columnNames = append(columnNames, row.name)
		}
	}
	for i := 1; i <= len(keys); i++ {
		table.Key = append(table.Key, keys[i])
		keyNames = append(keyNames, keys[i].Name)
	}
	if reason, hint, err := readIndexes(ctx, c, table, columns, texts); err != nil || reason != "" {
		if err != nil {
			return nil, Unsynced{}, err
		}
		return refuse(reason, hint)
	}
	err = tryWrites(ctx, c, table)
	var unwritable Unsynced
	if ErrorCode(err) == codeError {
		table.Unwritable = fmt.Sprintf("SQLite can't write to it here (%v)", err)
		unwritable = Unsynced{Table: name, Reason: table.Unwritable,
			Hint: "let this program register the functions and collations that it needs, mend its triggers, or exclude the table"}
	} else if err != nil {
		return nil, Unsynced{}, err
	}
	table.Put = NewShape(Full, name, keyNames, columnNames)
	table.Gone = NewShape(Delete, name, keyNames, nil)
	slices.SortFunc(table.Columns, func(a, b Column) int {
		return strings.Compare(CanonicalName(a.Name), CanonicalName(b.Name))
	})
	return table, unwritable, nil
}

// beyond says why a table of such columns can't be synced, whatever else it has.
func beyond(name string, columns []columnRow) (reason, hint string) {
	keys := 0
	for _, text := range append([]string{name}, names(columns)...) {
		if text == "" || len(text) > maxName {
			return fmt.Sprintf("a name is empty or longer than %d bytes", maxName), "use a shorter name"
		}
	}
	for i := range columns {
		if columns[i].key > 0 {
			keys++
		}
	}
	switch {
	case keys == 0:
		return "it has no declared PRIMARY KEY", "declare one, best a TEXT or BLOB column with a UUID"
	case len(columns)+3*keys > maxColumns:
		return fmt.Sprintf("it has more than %d columns", maxColumns), "use several tables"
	case keys > maxKeyColumns:
		return fmt.Sprintf("its key has more than %d columns", maxKeyColumns), "use a key of fewer columns"
	}
	return "", ""
}

// Writes returns statements that fire every trigger of the table. They are to
// be compiled, not run. Defaults are not in them: a merge computes none, and they
// can need a function that this process does not have.
func (t *Table) Writes() []string {
	name := Quote(t.Name)
	var names, values, set []string
	for _, column := range slices.Concat(t.Key, t.Columns) {
		names, values = append(names, Quote(column.Name)), append(values, "NULL")
		set = append(set, Quote(column.Name)+" = NULL")
	}
	return []string{fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", name, strings.Join(names, ", "), strings.Join(values, ", ")),
		"UPDATE " + name + " SET " + strings.Join(set, ", "), "DELETE FROM " + name}
}

// tryWrites lets SQLite compile what a merge does to a table. That fails if a
// trigger makes no sense, or needs a function that this process does not have.
func tryWrites(ctx context.Context, c *Conn, table *Table) error {
	var errs []error
	for _, statement := range table.Writes() {
		errs = append(errs, c.compile(ctx, statement))
	}
	return errors.Join(errs...)
}

func readColumns(ctx context.Context, c *Conn, table string, texts map[string]string) ([]columnRow, error) {
	rows, err := c.Query(ctx, `SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []columnRow
	for rows.Next() {
		var column columnRow
		if err := rows.Scan(&column.name, &column.declared, &column.notNull, &column.constant, &column.key, &column.hidden); err != nil {
			return nil, err
		}
		columns = append(columns, column)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	definitions, _ := parseList(texts[CanonicalName(table)])
	for i := range columns {
		if columns[i].hidden == 0 {
			continue
		}
		isIts := func(definition []string) bool {
			return len(definition) > 0 && CanonicalName(declaredName(definition[0])) == CanonicalName(columns[i].name)
		}
		if at := slices.IndexFunc(definitions, isIts); at >= 0 {
			columns[i].generation = definitions[at][1:]
		}
	}
	return columns, nil
}

// maxName is FORMAT.md's limit for the name of a table or column.
const maxName = 1024

func names(columns []columnRow) []string {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = columns[i].name
	}
	return list
}

// maxColumns leaves room beside a row for its key and clock in the result of a
// query, which SQLite limits to 2,000 columns.
const maxColumns = 1900

// maxKeyColumns is FORMAT.md's limit for the columns of a key.
const maxKeyColumns = 64

// Statement returns the SQL text of this name for n rows, and builds it the
// first time.
func (t *Table) Statement(name string, n int, build func() string) string {
	key := fmt.Sprint(name, " ", n)
	text, ok := t.statements[key]
	if !ok {
		text = build()
		if t.statements == nil {
			t.statements = make(map[string]string)
		}
		t.statements[key] = text
	}
	return text
}

// Quote quotes an identifier.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
