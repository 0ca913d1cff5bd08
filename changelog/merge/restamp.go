package merge

import (
	"context"

	"github.com/sqlitesync/go/changelog"
)

// Restamp gives changes of rows another stamp: was says for each of them the one
// by which it is known here. They are otherwise unaltered, and remain as new or old
// among all changes as they were, but for those of the same time. So what a row is,
// and which of two rows has a unique value, is decided anew.
//
// It is called inside a transaction, when what the log held was folded.
func Restamp(ctx context.Context, db *changelog.Database, changes []changelog.Change, was []changelog.Stamp) (Result, error) {
	m := newMerger(db)
	for i := range changes {
		if err := m.restamp(ctx, &changes[i], was[i]); err != nil {
			return m.result, err
		}
	}
	if err := m.settle(ctx); err != nil {
		return m.result, err
	}
	return m.result, m.followLocally(ctx)
}

func (m *merger) restamp(ctx context.Context, change *changelog.Change, was changelog.Stamp) error {
	table, row := m.db.Table(change.Shape.Table), change.Key.Identity()
	home := homeless(table, change) == ""
	if home {
		row = table.Identity(change.Key)
	}
	kept, err := m.restampKept(ctx, change, row, was)
	if err != nil || !home {
		return err
	}
	clock, err := m.clock(ctx, table, change.Key)
	if err != nil || clock == nil {
		return err
	}
	touch(table, clock.Key)
	if kept.held.rival != nil && table.Touched != nil { // the row can be newer now than the one in its way
		table.Touched[string(kept.held.rival)] = true
	}
	if kept.turned && (clock.State == changelog.Held || clock.State == changelog.Combined) { // else it is for Adopt
		return m.show(ctx, table, kept.winner, clock)
	}
	before := clock.Digest()
	if !clock.Restamp(was, change.Stamp) {
		return nil
	}
	return m.db.SetClocks(ctx, table, []changelog.Clock{*clock}, before)
}

// restamped is what is kept of a row after Restamp.
type restamped struct {
	winner Winner
	held   hold
	turned bool // the order of its changes is another one
}

// restampKept is restamp for what is kept of a row. Of changes that it turns around the
// authors had not seen each other's: they are of one moment.
func (m *merger) restampKept(ctx context.Context, change *changelog.Change, row string, was changelog.Stamp) (r restamped, err error) {
	kept, err := m.kept(ctx, change.Shape, row)
	if err != nil {
		return r, err
	}
	found := false
	for i := range kept {
		found = kept[i].Restamp(was, change.Stamp) || found
	}
	if !found {
		return r, nil
	}
	for i := range kept {
		winner, loser := &kept[i], change
		if winner.Stamp == change.Stamp || (winner.Stamp.Compare(was) > 0) == (winner.Stamp.Compare(change.Stamp) > 0) {
			continue
		}
		if r.turned = true; loser.Compare(winner) > 0 {
			winner, loser = loser, winner
		}
		if err := m.recordConflict(ctx, winner, loser); err != nil {
			return r, err
		}
	}
	if r.held, err = m.holdOf(ctx, change.Shape.Rows(), row); err != nil {
		return r, err
	}
	r.winner = Combine(kept)
	return r, m.keep(ctx, change.Shape, row, r.winner.Needed, r.held)
}
