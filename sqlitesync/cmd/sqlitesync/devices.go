package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) devicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "devices DB",
		GroupID: groupLook,
		Short:   "List the devices of the space; rename, revoke them, and give them roles",
		Long: `Lists the members of the space: what each calls itself, what it may do, when it was last heard of, how much of it
stands in this database, and how much of this one it said that it has. It works while something else syncs the database.`,
		Example: "  sqlitesync devices notes.db",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.devices(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	cmd.AddCommand(a.deviceVerbs()...)
	return cmd
}

type deviceJSON struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Role     string  `json:"role"`
	Self     bool    `json:"self"`
	Admitted *string `json:"admitted"`
	LastSeen *string `json:"last_seen"`
	Merged   uint64  `json:"merged"` // batches of it that stand here
	Has      uint64  `json:"has"`    // batches of this device that it has
	Error    string  `json:"error,omitempty"`
}

func (a *app) devices(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	devices, err := view.Devices(ctx)
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	list := []deviceJSON{}
	var rows [][]string
	for _, d := range devices {
		entry := deviceJSON{ID: d.ID.String(), Name: d.Name, Role: d.Role.String(), Self: d.Self, Admitted: stamp(d.Admitted), Merged: d.Merged, Has: d.Has}
		seen, name := clock(d.LastSeen), nameOf(&d)
		switch {
		case d.Self:
			seen = "this device"
		case d.Err != nil:
			entry.Error = sentence(d.Err)
			seen = "its head can't be read"
		default:
			entry.LastSeen = stamp(d.LastSeen)
		}
		list = append(list, entry)
		rows = append(rows, []string{d.ID.Short(), name, d.Role.String(), clock(d.Admitted), seen, fmt.Sprint(d.Merged), fmt.Sprint(d.Has)})
	}
	if a.json {
		return a.printJSON(struct {
			Devices []deviceJSON `json:"devices"`
		}{list})
	}
	return a.printTable([]string{"ID", "NAME", "ROLE", "ADMITTED", "LAST SEEN", "MERGED", "HAS"}, rows, "")
}
