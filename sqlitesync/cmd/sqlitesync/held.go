package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) heldCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "held DB",
		GroupID: groupLook,
		Short:   "List rows that this database can't show just now",
		Long: `Lists rows of other devices that this database can't show just now, because of a constraint, a parent that is missing, or
a table that is not there yet. They are kept, count as part of the space, and show when they can. It works while
something else syncs the database.`,
		Example: "  sqlitesync held notes.db",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.held(cmd.Context(), args[0]) },
	}
}

type heldJSON struct {
	Table  string            `json:"table"`
	Key    []json.RawMessage `json:"key"`
	Reason string            `json:"reason"`
	Device *string           `json:"device"`
	Time   *string           `json:"time"`
	Shown  bool              `json:"shown"` // but without its parent
}

func (a *app) held(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	list := []heldJSON{}
	var rows [][]string
	for h, failed := range view.Held(ctx) {
		if failed != nil {
			return errors.Join(failed, view.Close())
		}
		device, author := deviceOf(h.Device)
		list = append(list, heldJSON{h.Table, array(h.Key), h.Reason, device, stamp(h.Time), h.Shown})
		reason := h.Reason
		if h.Shown {
			reason += " (it shows, without its parent)"
		}
		rows = append(rows, []string{h.Table, keyText(h.Key), author, clock(h.Time), reason})
	}
	if err := view.Close(); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			Held []heldJSON `json:"held"`
		}{list})
	}
	return a.printTable([]string{"TABLE", "KEY", "BY", "WRITTEN", "REASON"}, rows, "No row is held.")
}

// deviceOf returns the id of an author, for programs and for people: none for a
// row that stood there before its database entered the space.
func deviceOf(id sqlitesync.DeviceID) (*string, string) {
	if id == (sqlitesync.DeviceID{}) {
		return nil, "-"
	}
	text := id.String()
	return &text, id.Short()
}
