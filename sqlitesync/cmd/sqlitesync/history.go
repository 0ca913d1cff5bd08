package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "history DB TABLE KEY…",
		GroupID: groupLook,
		Short:   "Print what is known of a row: what it is made of, and what lost",
		Long: `Prints what this database knows of one row: the changes that it is made of, whether they show or are held, and those that
lost in conflicts, with the device that wrote each, and when. That is not all that was ever written: what a change made
after seeing another one overrules is not kept.

Give a KEY for each column of the primary key, in its order; a BLOB in hexadecimal. It works while something else syncs
the database.`,
		Example: "  sqlitesync history notes.db note 01890a5d-ac96-774b-bcce-b302099a8057\n  sqlitesync history orders.db line 17 3",
		Args:    usage(cobra.MinimumNArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.history(cmd.Context(), args[0], args[1], args[2:])
		},
	}
}

type rowChangeJSON struct {
	versionJSON
	Name     string `json:"name"` // of the device
	Winner   bool   `json:"winner"`
	Conflict int64  `json:"conflict,omitempty"` // in which it lost
}

type historyJSON struct {
	Table   string            `json:"table"`
	Key     []json.RawMessage `json:"key"`
	Shown   bool              `json:"shown"`
	Held    string            `json:"held"` // why it is, or ""
	Edited  bool              `json:"edited"`
	Changes []rowChangeJSON   `json:"changes"`
}

func (a *app) history(ctx context.Context, path, table string, texts []string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	history, err := findRow(ctx, view, table, texts)
	if err != nil {
		return errors.Join(err, view.Close())
	}
	devices, err := view.Devices(ctx)
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	names := make(map[sqlitesync.DeviceID]string)
	for i := range devices {
		names[devices[i].ID] = devices[i].Name
	}
	report := historyJSON{history.Table, array(history.Key), history.Shown, history.Held, history.Edited, []rowChangeJSON{}}
	var rows [][]string
	for i := range history.Changes {
		c := &history.Changes[i]
		id, author := deviceOf(c.Device)
		report.Changes = append(report.Changes, rowChangeJSON{versionJSON{id, stamp(c.Time), c.Deleted, object(c.Values)}, names[c.Device], c.Winner, int64(c.Conflict)})
		values := string(object(c.Values))
		if c.Deleted {
			values = "deleted"
		}
		written := clock(c.Time)
		if c.Time.IsZero() {
			written = "before the space"
		}
		rows = append(rows, []string{written, author, names[c.Device], fate(c), values})
	}
	if a.json {
		return a.printJSON(report)
	}
	a.printf("Table %s, key %s: %s", history.Table, keyText(history.Key), standing(history))
	return a.printTable([]string{"WRITTEN", "BY", "NAME", "", "VALUES"}, rows, "")
}

// fate says what became of a change.
func fate(c *sqlitesync.RowChange) string {
	switch {
	case c.Winner && c.Conflict != 0:
		return fmt.Sprintf("wins, lost in conflict %d", c.Conflict)
	case c.Winner:
		return "wins"
	case c.Conflict != 0:
		return fmt.Sprintf("lost, conflict %d", c.Conflict)
	}
	return "overruled"
}

// standing says how a row stands.
func standing(h *sqlitesync.RowHistory) (text string) {
	switch {
	case h.Shown && h.Held != "":
		text = "shown, but without its parent: " + h.Held
	case h.Held != "":
		text = "held: " + h.Held
	case h.Shown:
		text = "shown"
	case len(h.Changes) == 0:
		text = "new"
	default:
		text = "deleted"
	}
	if h.Edited {
		text += "; a program has written to it since the last pass"
	}
	return text
}

// maxReadings bounds in how many ways a key is read that was typed.
const maxReadings = 256

// findRow returns what is known of the row with a key that was typed. Only the
// row tells of which storage classes the values are. Texts are tried first, which
// SQLite takes for numbers where the column has such a type.
func findRow(ctx context.Context, view *sqlitesync.View, table string, texts []string) (*sqlitesync.RowHistory, error) {
	keys := [][]any{nil}
	for _, text := range texts {
		var longer [][]any
		for _, key := range keys {
			for _, value := range readings(text) {
				longer = append(longer, append(slices.Clone(key), value))
			}
		}
		keys = longer[:min(len(longer), maxReadings)]
	}
	for _, key := range keys {
		history, err := view.History(ctx, table, key...)
		if err != nil || len(history.Changes) > 0 || history.Edited {
			return history, err
		}
	}
	return nil, &failure{fmt.Errorf("nothing is known of such a row of table %s", table),
		"Give the name of a table that takes part, and the values of its primary key, in the order of the columns; a BLOB in hexadecimal.", exitFailed}
}

// readings returns the values that a text can stand for.
func readings(text string) []any {
	values := []any{text}
	if number, err := strconv.ParseInt(text, 10, 64); err == nil {
		values = append(values, number)
	} else if number, err := strconv.ParseFloat(text, 64); err == nil {
		values = append(values, number)
	}
	if blob, err := hex.DecodeString(text); err == nil {
		values = append(values, blob)
	}
	return values
}
