package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) invitesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "invites DB",
		GroupID: groupLook,
		Short:   "List the invites that are open, and withdraw them",
		Long: `Lists the invites whose codes were not used yet, without the codes. withdraw ends one: its code admits nobody any more, and
opens nothing that is written from then on. Listing works while something else syncs the database.`,
		Example: "  sqlitesync invites notes.db\n  sqlitesync invites withdraw notes.db 91d35e2f",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.invites(cmd.Context(), args[0]) },
	}
	withdraw := &cobra.Command{
		Use:   "withdraw DB INVITE",
		Short: "End an invite that is open",
		Long: `Ends an invite, named by its id or the beginning of it: its code admits nobody any more. Whoever has it could read what
the folder held until now; what is written from then on it does not open. Only an admin can do it.`,
		Example: "  sqlitesync invites withdraw notes.db 91d35e2f",
		Args:    usage(cobra.ExactArgs(2)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.withdraw(cmd.Context(), args[0], args[1]) },
	}
	a.folderFlag(withdraw)
	alone(withdraw)
	cmd.AddCommand(withdraw)
	return cmd
}

type inviteJSON struct {
	ID      string  `json:"id"`
	Role    string  `json:"role"`
	Expires *string `json:"expires"`
}

func (a *app) invites(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	invites, err := view.Invites(ctx)
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	list := []inviteJSON{}
	var rows [][]string
	for _, invite := range invites {
		list = append(list, inviteJSON{invite.ID.String(), invite.Role.String(), stamp(invite.Expires)})
		rows = append(rows, []string{invite.ID.String()[:shortInvite], invite.Role.String(), clock(invite.Expires)})
	}
	if a.json {
		return a.printJSON(struct {
			Invites []inviteJSON `json:"invites"`
		}{list})
	}
	return a.printTable([]string{"ID", "ROLE", "UNTIL"}, rows, "No invite is open.")
}

// shortInvite is how much of an invite's id is shown to people.
const shortInvite = 8

func (a *app) withdraw(ctx context.Context, path, id string) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	invites, err := s.Invites(ctx)
	if err != nil {
		return errors.Join(err, s.close())
	}
	var found []sqlitesync.Invite
	for _, invite := range invites {
		if id != "" && strings.HasPrefix(invite.ID.String(), id) {
			found = append(found, invite)
		}
	}
	if len(found) != 1 {
		return errors.Join(usageErrorf("%s begin with %q: list them with 'sqlitesync invites %s'", plural(len(found), "open invite"), id, word(path)), s.close())
	}
	if err := s.Withdraw(ctx, found[0].ID); err != nil {
		return errors.Join(err, s.close())
	}
	return a.finish(ctx, s, func(t tally) error {
		if a.json {
			return a.printJSON(passReport(t, s.Status()))
		}
		a.printf("Withdrew the %s.", found[0])
		return nil
	})
}
