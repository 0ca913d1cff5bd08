package merge

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// enqueueLinked finds the rows of which changes are kept that refer to rows that
// were written; nil: to any row.
func (m *merger) enqueueLinked(ctx context.Context, r *changelog.Reference, written rows) error {
	var waiting bool
	err := m.db.Conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_parents WHERE parent = ?)", []any{r.Target()}, &waiting)
	if err != nil || !waiting {
		return err
	}
	if !r.ToKey() || written == nil { // what the rows had in other columns before nobody knows
		found, err := m.linked(ctx, r.Child, "parent = ?", r.Target())
		for _, row := range found {
			m.work.add(r.Child, row, nil)
		}
		return err
	}
	for _, key := range written {
		found, err := m.linked(ctx, r.Child, "parent = ? AND value = ?", r.Target(), bucket(r.KeyValues(key)))
		if err != nil {
			return err
		}
		for _, row := range found {
			m.work.add(r.Child, row, nil)
		}
	}
	return nil
}

// enqueueChildren finds the rows that show and refer to rows that do not, and
// were written; nil: to any row.
func (m *merger) enqueueChildren(ctx context.Context, to queue, r *changelog.Reference, written rows) error {
	if !r.ToKey() || written == nil {
		query := r.Child.Statement("orphans "+r.ID(), 1, func() string {
			return fmt.Sprintf("SELECT %s FROM %s c WHERE %s", changelog.Bare("c.", r.Child.Key), changelog.Quote(r.Child.Name), r.Unmet("c."))
		})
		return m.enqueue(ctx, to, r.Child, query)
	}
	gone, err := m.gone(ctx, r.Parent, written)
	if err != nil {
		return err
	}
	return changelog.Groups(gone, len(r.Columns), func(group []changelog.Key) error {
		query := r.Child.Statement("children "+r.ID(), len(group), func() string {
			return fmt.Sprintf("SELECT %s FROM %s", changelog.Bare("c.", r.Child.Key), r.Children(len(group)))
		})
		args := make([]any, 0, len(group)*len(r.Columns))
		for _, key := range group {
			args = append(args, r.KeyValues(key)...)
		}
		return m.enqueue(ctx, to, r.Child, query, args...)
	})
}

// gone returns the keys of the rows that the table does not show.
func (m *merger) gone(ctx context.Context, table *changelog.Table, written rows) (gone []changelog.Key, err error) {
	err = changelog.Groups(keysOf(written), len(table.Key), func(group []changelog.Key) error {
		query := table.Statement("gone", len(group), func() string {
			return fmt.Sprintf("WITH wanted (%[1]s) AS (VALUES %[2]s) SELECT %[1]s FROM wanted w WHERE NOT EXISTS (SELECT 1 FROM %[3]s t WHERE %[4]s)",
				changelog.KeyColumns("", table), changelog.Placeholders(len(group), len(table.Key)), changelog.Quote(table.Name), changelog.MatchKey(table, "t.", "w."))
		})
		found, err := m.db.Keys(ctx, table, query, flat(group)...)
		gone = append(gone, found...)
		return err
	})
	return gone, err
}

// keysOf returns the keys of rows, in the order of their identities.
func keysOf(written rows) []changelog.Key {
	keys := make([]changelog.Key, 0, len(written))
	for _, row := range slices.Sorted(maps.Keys(written)) {
		keys = append(keys, written[row])
	}
	return keys
}

// flat returns the values of keys one after the other.
func flat(keys []changelog.Key) (args []any) {
	for _, key := range keys {
		args = append(args, key...)
	}
	return args
}
