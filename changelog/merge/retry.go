package merge

import (
	"context"

	"github.com/sqlitesync/go/changelog"
)

// What is kept of a table is looked at again after its definition has changed
// or it has begun to take part: first [Adopt] goes through all rows of which
// changes are kept, because showing one may displace another, then [Retry]
// does, then [Settle] ends it. What the log holds must be folded before, in each
// transaction: Retry writes over it.

// Adopt brings what was kept of rows while their table was not here together
// with what is known of them in the table, and holds them.
func Adopt(ctx context.Context, db *changelog.Database, table *changelog.Table, rows []string) (Result, error) {
	return each(ctx, db, table, rows, (*merger).adopt)
}

// Retry shows again what is kept of rows.
func Retry(ctx context.Context, db *changelog.Database, table *changelog.Table, rows []string) (Result, error) {
	return each(ctx, db, table, rows, (*merger).retryRow)
}

func each(ctx context.Context, db *changelog.Database, table *changelog.Table, rows []string,
	look func(*merger, context.Context, *changelog.Table, string) error,
) (Result, error) {
	m := newMerger(db)
	for _, row := range rows {
		if err := look(m, ctx, table, row); err != nil {
			return m.result, err
		}
	}
	return m.result, nil
}

// Settle shows held rows of a table whose unique values have become free, and
// looks at the references of all of its rows.
func Settle(ctx context.Context, db *changelog.Database, table *changelog.Table) (Result, error) {
	m := newMerger(db)
	rivals, err := m.rivalries(ctx, table)
	if err != nil {
		return m.result, err
	}
	table.Touched = make(map[string]bool) // all that are in the way of any
	for rival := range rivals {
		table.Touched[rival] = true
	}
	if m.whole[table] = len(table.References) > 0; !m.whole[table] { // it may have had some
		if _, err := db.Conn.Exec(ctx, "DELETE FROM sqlitesync_parents WHERE tbl = ?", table.Put.Rows()); err != nil {
			return m.result, err
		}
	}
	if err := m.settle(ctx); err != nil {
		return m.result, err
	}
	return m.result, m.followLocally(ctx)
}

// adopt brings the changes that were kept while their table was not here
// together with what is known of the row in the table, and holds the row.
func (m *merger) adopt(ctx context.Context, table *changelog.Table, row string) error {
	changes, err := m.kept(ctx, table.Put, row)
	if err != nil || len(changes) == 0 || homeless(table, &changes[0]) != "" {
		return err
	}
	before, err := m.clock(ctx, table, changes[0].Key)
	if err != nil {
		return err
	}
	identity, adopted := table.Identity(changes[0].Key), before != nil && (before.State == changelog.Held || before.State == changelog.Combined)
	if adopted && identity == row {
		return nil
	}
	known, err := m.versions(ctx, table, before)
	if err != nil {
		return err
	}
	if identity != row && !adopted { // the table holds keys equal that were told apart while it was not here
		others, err := m.kept(ctx, table.Put, identity)
		if err != nil {
			return err
		}
		changes = Combine(append(changes, others...)).Needed
		if err := m.keep(ctx, table.Put, identity, nil, hold{}); err != nil {
			return err
		}
	}
	if err := m.recordMeeting(ctx, changes, known); err != nil {
		return err
	}
	if before.Visible() { // Retry need not come to it any more
		m.result.Rows[table.Name]++
		touch(table, before.Key)
	}
	if err := m.hide(ctx, table, before); err != nil {
		return err
	}
	if err := m.keep(ctx, table.Put, row, nil, hold{}); err != nil {
		return err
	}
	return m.record(ctx, table, Combine(append(changes, known...)), before, false, view{})
}

// retryRow shows a row of which changes are kept.
func (m *merger) retryRow(ctx context.Context, table *changelog.Table, row string) error {
	changes, err := m.kept(ctx, table.Put, row)
	if err != nil || len(changes) == 0 || homeless(table, &changes[0]) != "" {
		return err
	}
	before, err := m.clock(ctx, table, changes[0].Key)
	if err != nil {
		return err
	}
	w := Combine(changes)
	if len(table.References) > 0 && w.Exists {
		v, err := m.view(ctx, table, &w, true)
		if err != nil || v.missing() { // that is for Settle, which looks at the parents too
			return err
		}
	}
	if before.Visible() && w.Exists { // most rows are as they should be, and need not be written
		row, err := m.db.Read(ctx, table, before.Key)
		if err != nil {
			return err
		}
		if row != nil && row.Image() == m.image(table, w).Image() {
			return m.record(ctx, table, w, before, true, view{})
		}
	}
	return m.show(ctx, table, w, before)
}

// recordMeeting records that the changes kept of a row, and those that are
// known of it here, met only when the table began to take part. Which of their
// authors had seen the other is no longer known.
func (m *merger) recordMeeting(ctx context.Context, kept, known []changelog.Change) error {
	if len(known) == 0 {
		return nil
	}
	winner, loser := &kept[0], &known[0]
	if loser.Compare(winner) > 0 {
		winner, loser = loser, winner
	}
	return m.recordConflict(ctx, winner, loser)
}
