package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) recoveryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "recovery DB",
		GroupID: groupSetUp,
		Short:   "Make the recovery code, for the day on which all devices are lost",
		Long: `Makes the space's recovery code, in place of one made before, which works no longer. With the folder and this code, given
to restore, or to join where the app makes its tables itself, a new device enters as an admin when all others are lost.
It works for ever.

Whoever has it and the folder can read everything: write it on paper, and keep that where you keep such things. It is
shown once.`,
		Example: "  sqlitesync recovery notes.db",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.recovery(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	alone(cmd)
	return cmd
}

func (a *app) recovery(ctx context.Context, path string) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	code, err := s.Recovery(ctx)
	err = errors.Join(err, s.close())
	if code == "" {
		return err
	}
	// Whatever went wrong after it was made, the one before works no longer.
	if a.json {
		return errors.Join(err, a.printJSON(struct {
			Code string `json:"code"`
		}{code}))
	}
	if err := errors.Join(err, a.printCode(code)); err != nil {
		return err
	}
	a.printf("Write it down: it is shown once. A recovery code made before works no longer.")
	a.printf("To get everything back with it, on a new device:")
	a.printf("    sqlitesync restore FOLDER NEWDB")
	return nil
}
