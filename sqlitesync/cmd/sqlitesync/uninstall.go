package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) uninstallCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "uninstall DB",
		GroupID: groupSetUp,
		Short:   "Take sync out of a database, and leave its rows",
		Long: `Takes sync out of a database: the triggers and all tables whose names begin with sqlitesync_. The rows stay, and so does
WAL mode. What other devices have stays there. Conflicts and held rows, which no table shows, go.

This device's keys stay in their file, because a backup that is restored later needs them. Remove it before you give the
machine away: who has the file and the folder can read the space.`,
		Example: "  sqlitesync uninstall notes.db",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.uninstall(cmd.Context(), args[0], force) },
	}
	alone(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also if changes were not published, or rows are held")
	return cmd
}

func (a *app) uninstall(ctx context.Context, path string, force bool) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	device := view.Device()
	examined, err := view.Examine(ctx)
	if err = errors.Join(err, view.Close()); err != nil && !force {
		return err
	}
	if s := examined.Status; !force && s.Pending+s.Held > 0 {
		return &failure{fmt.Errorf("%s has %s that the other devices have not got, and %s that no table shows", path, plural(s.Pending, "change"), plural(s.Held, "row")),
			fmt.Sprintf("Run 'sqlitesync sync %s' and 'sqlitesync held %s' first, or say --force.", word(path), word(path)), exitFailed}
	}
	db, err := sqlitesync.OpenDB(path)
	if err != nil {
		return err
	}
	if err := errors.Join(sqlitesync.Uninstall(ctx, db), db.Close()); err != nil {
		return err
	}
	keys := filepath.Join(a.keyDirectory(), device.String()+".key")
	if a.json {
		return a.printJSON(struct {
			Device string `json:"device"`
			Keys   string `json:"keys"`
		}{device.String(), keys})
	}
	a.printf("Took sync out of %s. Its rows stay.", path)
	if _, err := os.Stat(keys); err == nil { // with keys that are lost there is nothing to keep
		a.printf("The keys of this device stay in %s.", keys)
	}
	return nil
}
