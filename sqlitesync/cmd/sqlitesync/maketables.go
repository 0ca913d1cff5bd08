package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) makeTablesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "make-tables DB",
		GroupID: groupSetUp,
		Short:   "Make tables that the other devices have and this database lacks",
		Long: `Makes the tables that the space has and this database lacks, with their indexes, as the other devices have declared them,
and shows what was held of their rows. It is for a database that no app uses here: an app makes its own tables, and is
to be updated instead. Tables that are here stay as they are; triggers, views and virtual tables are not made.`,
		Example: "  sqlitesync make-tables notes.db",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.makeTables(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	alone(cmd)
	return cmd
}

func (a *app) makeTables(ctx context.Context, path string) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	made, err := s.MakeTables(ctx)
	if err != nil {
		if errors.Is(err, sqlitesync.ErrSchema) {
			text, _, _ := strings.Cut(sentence(err), ";")
			err = &failure{errors.New(text), "Make the table yourself; its rows are kept until it is there.", exitFailed}
		}
		return errors.Join(err, s.close())
	}
	return a.finish(ctx, s, func(t tally) error {
		if a.json {
			return a.printJSON(struct {
				passJSON
				Made []string `json:"made"`
			}{passReport(t, s.Status()), append([]string{}, made...)})
		}
		if len(made) == 0 {
			a.printf("No table is lacking that the other devices tell of.")
			return nil
		}
		a.printf("Made %s: %s.", plural(len(made), "table"), strings.Join(made, ", "))
		return nil
	})
}
