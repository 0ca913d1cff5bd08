package merge

import (
	"context"

	"github.com/sqlitesync/go/changelog"
)

// Local records the edits that Pending found in this database, whose tables
// show them already, and settles what they touch just as after a merge:
// deleting a shown row brings back the one that it held off.
func Local(ctx context.Context, db *changelog.Database, edits []changelog.Edit) (Result, error) {
	m := newMerger(db)
	for len(edits) > 0 {
		// Edits of one table stand together.
		table := edits[0].Table
		var simple []changelog.Change
		n := 0
		for ; n < len(edits) && edits[n].Table == table; n++ {
			edit := &edits[n]
			if before := edit.Before; before == nil || before.State == changelog.Shown || before.State == changelog.Unsent {
				simple = append(simple, edit.Change)
				continue
			}
			if err := m.edit(ctx, edit); err != nil {
				return m.result, err
			}
		}
		if err := db.Record(ctx, table, simple, changelog.Shown); err != nil {
			return m.result, err
		}
		if len(table.Unique) > 0 {
			m.loosened[table] = true
		}
		edits = edits[n:]
	}
	return m.result, m.settle(ctx)
}

// edit records an edit of a row of which more is known than the table shows.
func (m *merger) edit(ctx context.Context, edit *changelog.Edit) error {
	versions, err := m.versions(ctx, edit.Table, edit.Before)
	if err != nil {
		return err
	}
	if edit.Before.State == changelog.Held && Combine(versions).Exists {
		// The author could not see the winner that this overrules.
		if err := m.recordConflict(ctx, &edit.Change, &versions[0]); err != nil {
			return err
		}
	}
	w := Combine(append(versions, edit.Change))
	return m.record(ctx, edit.Table, w, edit.Before, w.Exists, "")
}

// Retry shows again whatever is kept of these tables, after their definitions
// changed or they began to take part.
func Retry(ctx context.Context, db *changelog.Database, tables []*changelog.Table) (Result, error) {
	m := newMerger(db)
	for _, table := range tables {
		rows, err := m.keptRows(ctx, table.Put.Table, "")
		if err != nil {
			return m.result, err
		}
		for _, row := range rows {
			if err := m.retryRow(ctx, table, row); err != nil {
				return m.result, err
			}
		}
	}
	return m.result, m.settle(ctx)
}

func (m *merger) retryRow(ctx context.Context, table *changelog.Table, row string) error {
	changes, err := m.kept(ctx, table.Put.Table, row)
	if err != nil || len(changes[0].Key) != len(table.Key) {
		return err
	}
	before, err := m.clock(ctx, table, changes[0].Key)
	if err != nil {
		return err
	}
	if before == nil || before.State != changelog.Held && before.State != changelog.Combined {
		// The table was not here when these arrived; the row may have come since.
		known, err := m.versions(ctx, table, before)
		if err != nil {
			return err
		}
		changes = append(changes, known...)
		if err := m.keep(ctx, table.Put.Table, row, nil, ""); err != nil {
			return err
		}
	}
	return m.show(ctx, table, Combine(changes), before)
}
