package merge

import (
	"context"

	"github.com/sqlitesync/go/changelog"
)

// maxUndone is how many edits that were undone are listed, the newest.
const maxUndone = 1000

// Undo takes back the edits that Pending found in the database of a device that
// may not write: its tables show the winners again. What was written is listed in
// the view sqlitesync_undone. All pages of the log but the last have more set.
//
// A row that the tables alone had is forgotten; its table is incomplete then,
// and the caller reads the logs for it again.
func Undo(ctx context.Context, db *changelog.Database, edits []changelog.Edit, more bool) (Result, error) {
	m := newMerger(db)
	for i := range edits {
		if err := m.undo(ctx, &edits[i]); err != nil {
			return m.result, err
		}
	}
	_, err := db.Conn.Exec(ctx, "DELETE FROM sqlitesync_edits WHERE id <= (SELECT max(id) FROM sqlitesync_edits) - ?", maxUndone)
	if err != nil {
		return m.result, err
	}
	if more {
		return m.result, m.unsettle(ctx)
	}
	if err := m.settle(ctx); err != nil {
		return m.result, err
	}
	if err := m.followLocally(ctx); err != nil {
		return m.result, err
	}
	return m.result, db.Resettle(ctx)
}

// undo takes back one edit.
func (m *merger) undo(ctx context.Context, edit *changelog.Edit) error {
	table, before := edit.Table, edit.Before
	_, err := m.db.Conn.Exec(ctx, `INSERT INTO sqlitesync_edits (table_name, row_key, "values", time) VALUES (?, ?, ?, ?)`,
		table.Name, readableKey(&edit.Change), readableValues(&edit.Change), edit.Change.Stamp.Time)
	if err != nil {
		return err
	}
	m.result.Rows[table.Name]++
	touch(table, edit.Change.Key)
	if err := m.remove(ctx, table, edit.Change.Key); err != nil {
		return err
	}
	switch {
	case !before.Visible():
		return nil
	case before.State == changelog.Combined:
		versions, err := m.versions(ctx, table, before)
		if err != nil {
			return err
		}
		w := Combine(versions)
		held, err := m.place(ctx, table, &w, m.image(table, w))
		if err != nil {
			return err
		}
		return m.record(ctx, table, w, before, held.reason == "", view{held: held})
	}
	if err := m.db.ForgetRow(ctx, table, before); err != nil {
		return err
	}
	return m.db.SetIncomplete(ctx, table, true)
}

// CountUndone returns how many edits are listed that were undone.
func CountUndone(ctx context.Context, c *changelog.Conn) (n int, err error) {
	err = c.Get(ctx, "SELECT count(*) FROM sqlitesync_edits", nil, &n)
	return n, err
}
