package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

// entry holds the flags of create and join.
type entry struct {
	only, exclude []string
	name          string
}

func (e *entry) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&e.only, "only", nil, "the `TABLES` that take part (default: every table that can)")
	flags.StringSliceVar(&e.exclude, "exclude", nil, "`TABLES` that stay on this device")
	flags.StringVar(&e.name, "name", "", "what this device is called on the others (default: the host name)")
}

func (a *app) options(e *entry) *sqlitesync.Options {
	return &sqlitesync.Options{Tables: e.only, Exclude: e.exclude, DeviceName: e.name, Keys: a.keyStore(), Logger: a.logger(), Manual: true}
}

func (a *app) createCommand() *cobra.Command {
	var e entry
	var noForeignKeys bool
	cmd := &cobra.Command{
		Use:     "create DB FOLDER",
		GroupID: groupSetUp,
		Short:   "Found a space: this database is its first content",
		Long: `Founds a space in a folder that holds none yet, and publishes the rows of the database there, encrypted. The other
devices enter with codes from invite.

The database is switched to WAL mode for good. Its schema stays as it is but for triggers and for tables whose names
begin with sqlitesync_. Tables without a primary key stay on this device, and are listed by status.

In the space, foreign keys are looked at when rows of several devices meet, unless --no-foreign-keys says that the
programs that use the database do not enforce them. That is said once, for ever.`,
		Example: "  sqlitesync create notes.db ~/Dropbox/notes\n  sqlitesync create notes.db /media/stick/notes --exclude cache,search_history",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := a.options(&e)
			opts.ForeignKeys = sqlitesync.ForeignKeysOn
			if noForeignKeys {
				opts.ForeignKeys = sqlitesync.ForeignKeysOff
			}
			return a.create(cmd.Context(), args[0], args[1], opts)
		},
	}
	e.flags(cmd)
	cmd.Flags().BoolVar(&noForeignKeys, "no-foreign-keys", false, "the programs that use the database do not enforce foreign keys")
	return cmd
}

func (a *app) create(ctx context.Context, path, folder string, opts *sqlitesync.Options) error {
	if err := a.mustBeNew(ctx, path); err != nil {
		return err
	}
	if err := mustExist(path, "Let the app make it, with its tables."); err != nil {
		return err
	}
	if err := folderMustExist(folder, fmt.Sprintf("If it is to be a new one, make it: mkdir %s. Else connect the drive, or start the file-sync service.", word(folder))); err != nil {
		return err
	}
	s, err := a.start(path, folder, "creating", func(db *sql.DB) (*sqlitesync.Syncer, error) {
		if err := enforceLike(ctx, db, opts); err != nil {
			return nil, err
		}
		return sqlitesync.Create(ctx, db, folder, opts)
	})
	if err != nil {
		return err
	}
	return a.finish(ctx, s, func(t tally) error {
		if a.json {
			return a.printJSON(passReport(t, s.Status()))
		}
		var tables int
		if err := s.db.QueryRowContext(ctx, "SELECT count(*) "+fromAppTables).Scan(&tables); err != nil {
			return err
		}
		a.printf("Created a space for %s in %s: published %s.", path, folder, plural(t.published, "change"))
		a.printRemarks(s.Status())
		if tables == 0 { // perhaps the path is that of another database than was meant
			a.printf("Note: the database has no tables yet; those that the app makes take part from the next pass on.")
		}
		a.printf("Next: 'sqlitesync invite %s' for each other device, and 'sqlitesync watch %s' here.", word(path), word(path))
		return nil
	})
}

// mustBeNew makes sure that a database is in no space.
func (a *app) mustBeNew(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return nil //nolint:nilerr // it is in none, or what is wrong with it shows when it is opened
	}
	return errors.Join(&failure{fmt.Errorf("%s is in a space already", path),
		fmt.Sprintf("Go on with 'sqlitesync sync %s', or take sync out first with 'sqlitesync uninstall %s'.", word(path), word(path)), exitAlreadySetUp}, view.Close())
}

// printRemarks says what stays on this device, and what else one should know.
func (a *app) printRemarks(status sqlitesync.Status) {
	for _, u := range status.Unsynced {
		a.printf("Stays on this device: %s: %s; %s.", u.Table, u.Reason, u.Hint)
	}
	a.printWarnings(status)
}

func (a *app) printWarnings(status sqlitesync.Status) {
	for _, warning := range status.Warnings {
		a.printf("Note: %s.", warning)
	}
}
