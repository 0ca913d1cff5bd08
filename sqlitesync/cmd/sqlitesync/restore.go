package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) restoreCommand() *cobra.Command {
	var e entry
	cmd := &cobra.Command{
		Use:     "restore FOLDER NEWDB [CODE]",
		GroupID: groupSetUp,
		Short:   "Rebuild a database from the folder and the recovery code alone",
		Long: `Makes a new database from what stands in the folder, for the day on which all devices are lost: the tables with their
indexes, as the devices had declared them, and all rows. It needs the recovery code; without CODE it asks for it, or
reads it from the standard input. A code on the command line can be seen by other users of this machine, and stays in
the shell's history.

The new database is a device of the space like any other, as an admin: it can go on syncing, invite others, and revoke
those that were lost. Triggers, views and virtual tables are not made: if there is an app that makes its own tables, let
it do so, and enter with join and the recovery code instead.`,
		Example: "  sqlitesync restore ~/Dropbox/notes notes.db\n  sqlitesync restore /media/stick/notes notes.db < code.txt",
		Args:    usage(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := a.options(&e)
			opts.MakeTables = true
			return a.restore(cmd.Context(), args, opts)
		},
	}
	e.flags(cmd)
	return cmd
}

// restoredTable is a table that restore has made.
type restoredTable struct {
	Table string `json:"table"`
	Rows  int    `json:"rows"`
}

func (a *app) restore(ctx context.Context, args []string, opts *sqlitesync.Options) error {
	folder, path := args[0], args[1]
	if _, err := os.Lstat(path); err == nil {
		return &failure{fmt.Errorf("%s is there already", path),
			"restore makes a new database: name one that is not there, or enter with this one by 'sqlitesync join DB FOLDER'.", exitFailed}
	}
	if err := folderMustExist(folder, hintNoFolder); err != nil {
		return err
	}
	code, err := a.code(ctx, args[2:], "Recovery code", "restore needs the recovery code, which 'sqlitesync recovery DB' has shown on a device that was in")
	if err != nil {
		return err
	}
	s, err := a.enter(ctx, path, folder, code, "restoring", opts)
	var mistyped *crypto.CodeError
	if errors.Is(err, sqlitesync.ErrCode) && !errors.As(err, &mistyped) {
		return &failure{err, "Type the newest recovery code, and let the file-sync service finish downloading the folder.", exitCode}
	}
	if err != nil {
		return err
	}
	return a.finish(ctx, s, func(t tally) error {
		tables, err := countRows(ctx, s.db)
		if err != nil {
			return err
		}
		status := s.Status()
		if a.json {
			return a.printJSON(struct {
				passJSON
				Tables []restoredTable `json:"tables"`
			}{passReport(t, status), tables})
		}
		rows := 0
		for _, table := range tables {
			rows += table.Rows
		}
		a.printf("Restored %s from %s: %s in %s.", path, folder, plural(rows, "row"), plural(len(tables), "table"))
		if status.Held > 0 {
			a.printf("%s can't be shown, see 'sqlitesync held %s'.", plural(status.Held, "row"), word(path))
		}
		a.printRemarks(status)
		a.printf("Next: 'sqlitesync devices %s', to revoke those that are lost, and 'sqlitesync watch %s'.", word(path), word(path))
		return nil
	})
}

// fromAppTables is the part of a query that names the app's tables.
const fromAppTables = `FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlitesync_*' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`

// countRows counts the rows of the app's tables.
func countRows(ctx context.Context, db *sql.DB) ([]restoredTable, error) {
	tables := []restoredTable{}
	rows, err := db.QueryContext(ctx, "SELECT name "+fromAppTables+" ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var table restoredTable
		if err := rows.Scan(&table.Table); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range tables {
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+changelog.Quote(tables[i].Table)).Scan(&tables[i].Rows)
		if err != nil {
			return nil, err
		}
	}
	return tables, nil
}
