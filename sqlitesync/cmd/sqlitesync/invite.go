package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) inviteCommand() *cobra.Command {
	var role string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:     "invite DB",
		GroupID: groupSetUp,
		Short:   "Make a code with which one more device can join",
		Long: `Makes a code with which one more device can join, and on a terminal draws it as a QR code too. Whoever has the code and
the folder can enter until it is used or expires: treat it as a password.

The new device can use it once the file-sync service has carried the folder there.`,
		Example: "  sqlitesync invite notes.db\n  sqlitesync invite notes.db --expires 20m --role writer",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			parsed, err := parseRole(role)
			if err != nil {
				return err
			}
			if expires <= 0 {
				return usageErrorf("--expires must be above 0")
			}
			return a.invite(cmd.Context(), args[0], &sqlitesync.InviteOptions{Role: parsed, Expires: expires})
		},
	}
	a.folderFlag(cmd)
	alone(cmd)
	cmd.Flags().StringVar(&role, "role", "admin", "what the new device may do: `admin` (also decides who else may), writer or reader")
	cmd.Flags().DurationVar(&expires, "expires", 48*time.Hour, "how long the code works, such as 20m or 72h")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp)) // fails only if there is no such flag
	return cmd
}

func (a *app) invite(ctx context.Context, path string, opts *sqlitesync.InviteOptions) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	invite, err := s.Invite(ctx, opts)
	err = errors.Join(err, s.close())
	if invite.Code == "" {
		return err
	}
	// Whatever went wrong after it was made, the invite is open.
	if a.json {
		return errors.Join(err, a.printJSON(struct {
			ID      string  `json:"id"`
			Code    string  `json:"code"`
			Role    string  `json:"role"`
			Expires *string `json:"expires"`
		}{invite.ID.String(), invite.Code, invite.Role.String(), stamp(invite.Expires)}))
	}
	if err := errors.Join(err, a.printCode(invite.Code)); err != nil {
		return err
	}
	a.printf("It admits one device, as %s, until %s. On that device:", invite.Role, clock(invite.Expires))
	a.printf("    sqlitesync join DB FOLDER")
	return nil
}
