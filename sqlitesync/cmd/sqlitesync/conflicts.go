package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) conflictsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "conflicts DB",
		GroupID: groupLook,
		Short:   "List changes that lost against one that their author had not seen; show, take and keep them",
		Long: `Lists what is kept of changes that lost: two devices had changed one row without having heard of each other, and the
later change won everywhere. show prints both versions. take writes the one that lost over the row, as a new change that
travels to all devices; keep forgets it.

A collision is two rows that were given one key, as happens with numbers that are counted up: take --as brings the other
row back under a key of its own.

Listing and showing work while something else syncs the database.`,
		Example: "  sqlitesync conflicts notes.db\n  sqlitesync conflicts show notes.db 7\n  sqlitesync conflicts take notes.db 7",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.conflicts(cmd.Context(), args[0]) },
	}
	show := &cobra.Command{
		Use:   "show DB ID",
		Short: "Print both versions of the row",
		Long: `Prints both versions of the row, the one that shows and the one that lost, with the device that wrote each and when, and
the columns in which they differ. ID is the number that the list has.`,
		Example: "  sqlitesync conflicts show notes.db 7",
		Args:    usage(cobra.ExactArgs(2)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.showConflict(cmd.Context(), args[0], args[1]) },
	}
	var as []string
	take := &cobra.Command{
		Use:   "take DB ID",
		Short: "Write the version that lost over the row",
		Long: `Writes the version that lost over the row, as an edit made now, which travels to all devices. The version that showed
until then is not kept. With --as, which is for rows that were given one key, the other row comes back under the key
given, and the one that shows stays.`,
		Example: "  sqlitesync conflicts take notes.db 7\n  sqlitesync conflicts take notes.db 7 --as 1042",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.resolve(cmd.Context(), args[0], args[1], func(c *sqlitesync.Conflict) (sqlitesync.Resolution, error) {
				if len(as) == 0 {
					return sqlitesync.TakeLoser, nil
				}
				key, err := parseKey(as, c.Key)
				return sqlitesync.BringBackAs(key...), err
			})
		},
	}
	take.Flags().StringArrayVar(&as, "as", nil, "make a row of it under this `KEY` instead; once for each column of the key")
	keep := &cobra.Command{
		Use:   "keep DB ID",
		Short: "Leave the row as it is, and forget the version that lost",
		Long: `Leaves the row as it is, and forgets the version that lost, on this device: others that list the conflict, too, go on
listing it.`,
		Example: "  sqlitesync conflicts keep notes.db 7",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.resolve(cmd.Context(), args[0], args[1], func(*sqlitesync.Conflict) (sqlitesync.Resolution, error) { return sqlitesync.KeepWinner, nil })
		},
	}
	alone(take)
	alone(keep)
	a.folderFlag(take)
	a.folderFlag(keep)
	cmd.AddCommand(show, take, keep)
	return cmd
}

type versionJSON struct {
	Device  *string         `json:"device"`
	Time    *string         `json:"time"`
	Deleted bool            `json:"deleted"`
	Values  json.RawMessage `json:"values"`
}

type conflictJSON struct {
	ID        int64             `json:"id"`
	Found     *string           `json:"found"`
	Table     string            `json:"table"`
	Key       []json.RawMessage `json:"key"`
	Columns   []string          `json:"columns"`
	Collision bool              `json:"collision"`
	Winner    versionJSON       `json:"winner"`
	Loser     versionJSON       `json:"loser"`
}

func conflictOf(c *sqlitesync.Conflict) conflictJSON {
	version := func(v sqlitesync.Version) versionJSON {
		device, _ := deviceOf(v.Device)
		return versionJSON{device, stamp(v.Time), v.Deleted, object(v.Values)}
	}
	return conflictJSON{int64(c.ID), stamp(c.Found), c.Table, array(c.Key), c.Columns, c.Collision, version(c.Winner), version(c.Loser)}
}

func (a *app) conflicts(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	list := []conflictJSON{}
	var rows [][]string
	for c, failed := range view.Conflicts(ctx) {
		if failed != nil {
			return errors.Join(failed, view.Close())
		}
		list = append(list, conflictOf(&c))
		_, winner := deviceOf(c.Winner.Device)
		_, loser := deviceOf(c.Loser.Device)
		rows = append(rows, []string{fmt.Sprint(c.ID), c.Table, keyText(c.Key), differs(&c), clock(c.Found), winner, loser})
	}
	if err := view.Close(); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			Conflicts []conflictJSON `json:"conflicts"`
		}{list})
	}
	return a.printTable([]string{"ID", "TABLE", "KEY", "DIFFERS", "FOUND", "WON", "LOST"}, rows, "There are no conflicts.")
}

// differs says in what the two versions differ.
func differs(c *sqlitesync.Conflict) string {
	switch {
	case c.Collision:
		return "two rows of one key"
	case c.Winner.Deleted:
		return "deleted by the winner"
	case c.Loser.Deleted:
		return "deleted by the loser"
	}
	return strings.Join(c.Columns, ", ")
}

func (a *app) showConflict(ctx context.Context, path, number string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	c, err := find(ctx, view.Conflicts, number)
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(conflictOf(c))
	}
	a.printf("Conflict %d: table %s, key %s, %s", c.ID, c.Table, keyText(c.Key), differs(c))
	for _, side := range []struct {
		name    string
		version sqlitesync.Version
	}{{"won", c.Winner}, {"lost", c.Loser}} {
		_, author := deviceOf(side.version.Device)
		text := "the row is deleted"
		if !side.version.Deleted {
			text = string(object(side.version.Values))
		}
		a.printf("  %-5s by %s, written %s: %s", side.name, author, clock(side.version.Time), text)
	}
	if c.Hint != "" {
		a.printf("To bring the other row back: 'sqlitesync conflicts take %s %d --as KEY'.", word(path), c.ID)
	}
	return nil
}

// resolve decides a conflict, and publishes what that writes.
func (a *app) resolve(ctx context.Context, path, number string, choose func(*sqlitesync.Conflict) (sqlitesync.Resolution, error)) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	c, err := find(ctx, s.Conflicts, number)
	if err != nil {
		return errors.Join(err, s.close())
	}
	resolution, err := choose(c)
	if err == nil {
		err = s.Resolve(ctx, c.ID, resolution)
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	return a.finish(ctx, s, func(t tally) error {
		if a.json {
			return a.printJSON(passReport(t, s.Status()))
		}
		a.printf("Resolved conflict %d. %s", c.ID, plural(s.Status().Conflicts, "conflict")+" left.")
		return nil
	})
}

// find returns the conflict with a number.
func find(ctx context.Context, all func(context.Context) iter.Seq2[sqlitesync.Conflict, error], number string) (*sqlitesync.Conflict, error) {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil, usageErrorf("%q is not the number of a conflict", number)
	}
	for c, err := range all(ctx) {
		if err != nil {
			return nil, err
		}
		if int64(c.ID) == id {
			return &c, nil
		}
	}
	return nil, &failure{fmt.Errorf("there is no conflict %d", id), "List them with 'sqlitesync conflicts DB'.", exitFailed}
}

// parseKey reads a key, whose values have the storage classes of another key of
// the same table.
func parseKey(texts []string, like []any) (key []any, err error) {
	if len(texts) != len(like) {
		return nil, usageErrorf("the key has %s: say --as %d times", plural(len(like), "column"), len(like))
	}
	for i, text := range texts {
		var value any = text
		switch like[i].(type) {
		case int64:
			value, err = strconv.ParseInt(text, 10, 64)
		case float64:
			value, err = strconv.ParseFloat(text, 64)
		case []byte:
			value, err = hex.DecodeString(text)
		}
		if err != nil {
			return nil, usageErrorf("%q is not a key like %s", text, keyText(like[i:i+1]))
		}
		key = append(key, value)
	}
	return key, nil
}
