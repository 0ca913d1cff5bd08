package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// RowHistory is what a database knows of one row: not all that was ever written to
// it, but what the row is made of, and what was kept of it in conflicts.
type RowHistory struct {
	Table string // in lower case
	Key   []any
	// Shown: the table shows the row.
	Shown bool
	// Held says why the row is held or, if it is shown, why it shows without its
	// parent; else it is empty.
	Held string
	// Edited: programs have written to the row here since the last pass. The
	// values of the newest change are those that they wrote.
	Edited bool
	// Changes holds what is known, the newest first.
	Changes []RowChange
}

// RowChange is one change in a [RowHistory].
type RowChange struct {
	Version
	// Winner: the row is made of it: of all changes of it, or of some columns.
	Winner bool
	// Conflict is the conflict in which it lost and is kept, 0 if there is none.
	Conflict ConflictID
}

// History returns what this database knows of a row: its winner, also one that is
// held, and what lost in conflicts, with the devices that wrote it and when. The
// key has a value for each column of the PRIMARY KEY, in its order: nil, int64,
// float64, string or []byte. Of a row that nothing is known of, Changes is empty.
func (s *Syncer) History(ctx context.Context, table string, key ...any) (history *RowHistory, err error) {
	err = s.turn(ctx, "history", func(ctx context.Context) error {
		history, err = s.history(ctx, table, key)
		return err
	})
	return history, err
}

// History is as [Syncer.History].
func (v *View) History(ctx context.Context, table string, key ...any) (history *RowHistory, err error) {
	err = v.s.turn(ctx, "history", func(ctx context.Context) error {
		if _, err := v.s.db.Look(ctx, v.s.selection()); err != nil {
			return err
		}
		history, err = v.s.history(ctx, table, key)
		return err
	})
	return history, err
}

func (s *Syncer) history(ctx context.Context, table string, key []any) (*RowHistory, error) {
	for i, value := range key {
		if _, err := changelog.Scanned(value); err != nil {
			return nil, fmt.Errorf("value %d of the key has the type %T", i+1, value)
		}
	}
	past, err := merge.History(ctx, s.db, table, slices.Clone(key))
	switch {
	case errors.Is(err, merge.ErrKey):
		return nil, fault("read a row", err, "Give a value for each column of it, in this order.")
	case err != nil:
		return nil, err
	}
	history := &RowHistory{Table: changelog.CanonicalName(table), Key: past.Key, Shown: past.Shown, Held: past.Reason, Edited: past.Edited}
	changes, lost := past.All()
	for i := range changes {
		winner := slices.ContainsFunc(past.Changes, func(c changelog.Change) bool { return c.Compare(&changes[i]) == 0 })
		history.Changes = append(history.Changes, RowChange{versionOf(&changes[i]), winner, ConflictID(lost[i])})
	}
	return history, nil
}
