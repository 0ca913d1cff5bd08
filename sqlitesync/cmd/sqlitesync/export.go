package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "export DB",
		GroupID: groupLook,
		Short:   "Print all rows as SQL, or with --json as JSON lines",
		Long: `Prints the app's tables with all their rows as SQL that makes them in an empty database, or with --json one object a row:
{"table": …, "row": {…}}. Nothing of sqlitesync is in it: no triggers, no tables of its own. What is held, and what lost
in conflicts, no table shows: held and conflicts have it. Virtual tables are made without their content.`,
		Example: "  sqlitesync export notes.db > notes.sql\n  sqlitesync export notes.db --json | jq -r .row.title",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.export(cmd.Context(), args[0]) },
	}
}

func (a *app) export(ctx context.Context, path string) error {
	view, err := a.look(ctx, path) // leaves one that is in no space as it is
	if err != nil {
		return err
	}
	if err := view.Close(); err != nil {
		return err
	}
	db, err := sqlitesync.OpenDB(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.out)
	return errors.Join(exportAll(ctx, db, out, a.json), out.Flush(), db.Close())
}

// exportAll writes one state of the database.
func exportAll(ctx context.Context, db *sql.DB, out io.Writer, asJSON bool) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	tables, err := statements(ctx, tx, `SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlitesync_*'
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow') ORDER BY rowid`)
	if err != nil {
		return err
	}
	if !asJSON {
		fmt.Fprintln(out, "PRAGMA foreign_keys = OFF;\nBEGIN;")
	}
	for _, table := range tables {
		if !asJSON {
			fmt.Fprintf(out, "%s;\n", table.sql)
		}
		if strings.HasPrefix(strings.ToUpper(table.sql), "CREATE VIRTUAL") {
			continue
		}
		if err := exportTable(ctx, tx, out, table.name, asJSON); err != nil {
			return fmt.Errorf("export table %q: %w", table.name, err)
		}
	}
	if asJSON {
		return nil
	}
	// After the rows: triggers shall not run again.
	others, err := statements(ctx, tx, `SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL
		AND name NOT GLOB 'sqlitesync_*' AND tbl_name NOT GLOB 'sqlitesync_*' ORDER BY type = 'trigger', rowid`)
	if err != nil {
		return err
	}
	for _, other := range others {
		fmt.Fprintf(out, "%s;\n", other.sql)
	}
	fmt.Fprintln(out, "COMMIT;")
	return nil
}

type statement struct{ name, sql string }

func statements(ctx context.Context, tx *sql.Tx, query string) (found []statement, err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s statement
		if err := rows.Scan(&s.name, &s.sql); err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, rows.Err()
}

func exportTable(ctx context.Context, tx *sql.Tx, out io.Writer, table string, asJSON bool) error {
	// Not the generated ones.
	columns, err := statements(ctx, tx, "SELECT name, '+' || printf('\"%w\"', name) FROM pragma_table_xinfo("+literal(table)+") WHERE hidden = 0")
	if err != nil {
		return err
	}
	var names, quoted, selected []string
	for _, column := range columns {
		// The plus hides the declared type, by which the driver would make a time of a text.
		names, quoted, selected = append(names, column.name), append(quoted, changelog.Quote(column.name)), append(selected, column.sql)
	}
	rows, err := tx.QueryContext(ctx, "SELECT "+strings.Join(selected, ", ")+" FROM "+changelog.Quote(table))
	if err != nil {
		return err
	}
	defer rows.Close()
	values := make([]changelog.Value, len(names))
	pointers := make([]any, len(names))
	for i := range values {
		pointers[i] = &values[i]
	}
	insert := "INSERT INTO " + changelog.Quote(table) + " (" + strings.Join(quoted, ", ") + ") VALUES ("
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		if asJSON {
			fmt.Fprintf(out, "{\"table\":%s,\"row\":%s}\n", merge.ReadableValue(table), merge.ReadableObject(names, values))
			continue
		}
		literals := make([]string, len(values))
		for i, value := range values {
			literals[i] = literal(value)
		}
		fmt.Fprintf(out, "%s%s);\n", insert, strings.Join(literals, ", "))
	}
	return rows.Err()
}

// literal returns a value as SQL that yields it bit for bit.
func literal(value changelog.Value) string {
	switch value := value.(type) {
	case nil:
		return "NULL"
	case []byte:
		return "x'" + hex.EncodeToString(value) + "'"
	case string:
		if strings.ContainsRune(value, 0) { // where many a reader ends
			return "CAST(x'" + hex.EncodeToString([]byte(value)) + "' AS TEXT)"
		}
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return merge.ReadableValue(value)
}
