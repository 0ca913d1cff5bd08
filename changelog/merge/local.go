package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Local records the edits that Pending found in this database, whose tables
// show them already, and settles what they touch just as after a merge:
// deleting a shown row brings back the one that it held off.
//
// All pages of the log but the last go to [LocalPart].
func Local(ctx context.Context, db *changelog.Database, edits []changelog.Edit) (Result, error) {
	m := newMerger(db)
	if err := m.local(ctx, edits); err != nil {
		return m.result, err
	}
	if err := m.settle(ctx); err != nil {
		return m.result, err
	}
	if err := m.followLocally(ctx); err != nil {
		return m.result, err
	}
	return m.result, db.Resettle(ctx)
}

// LocalPart records edits while the log has further pages. It settles nothing:
// a row that must give way could be one that the app has written to since, and
// what it wrote is not recorded yet.
func LocalPart(ctx context.Context, db *changelog.Database, edits []changelog.Edit) (Result, error) {
	m := newMerger(db)
	if err := m.local(ctx, edits); err != nil {
		return m.result, err
	}
	return m.result, m.unsettle(ctx)
}

// unsettle notes what the last page is to settle: the process could end before
// it, or the tables be read anew.
func (m *merger) unsettle(ctx context.Context) error {
	for _, table := range m.db.Tables {
		if len(table.Touched) > 0 {
			rivals, err := m.rivalries(ctx, table)
			if err == nil && len(rivals) > 0 {
				err = m.db.Unsettle(ctx, table)
			}
			if err != nil {
				return err
			}
		}
		if len(table.Written) == 0 && !table.Flooded {
			continue
		}
		if len(table.References) > 0 {
			if err := m.db.Unsettle(ctx, table); err != nil {
				return err
			}
		}
		for _, r := range table.Referrers {
			if err := m.db.Unsettle(ctx, r.Child); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *merger) local(ctx context.Context, edits []changelog.Edit) error {
	if err := m.recordEdits(ctx, edits); err != nil {
		return err
	}
	for _, o := range m.overruled { // at last: a row that has to give way must be known as it is
		if err := m.overrule(ctx, o.table, o.winner); err != nil {
			return err
		}
	}
	return nil
}

// overruled is what a row amounts to that a migration has made something else of.
type overruled struct {
	table  *changelog.Table
	winner Winner
}

func (m *merger) recordEdits(ctx context.Context, edits []changelog.Edit) error {
	for len(edits) > 0 {
		// Edits of one table stand together.
		table := edits[0].Table
		var simple []changelog.Change
		var was changelog.Digest
		n := 0
		for ; n < len(edits) && edits[n].Table == table; n++ {
			edit := &edits[n]
			touch(table, edit.Change.Key)
			before := edit.Before
			if edit.Held {
				if err := m.tellAgain(ctx, edit); err != nil {
					return err
				}
				continue
			}
			whole := edit.Change.Shape.Kind != changelog.Partial
			if whole && (before == nil || before.State == changelog.Shown || before.State == changelog.Unsent) {
				simple, was = append(simple, edit.Change), was.Plus(before.Digest())
				continue
			}
			if err := m.edit(ctx, edit); err != nil {
				return err
			}
		}
		if err := m.db.Record(ctx, table, simple, changelog.Shown, was); err != nil {
			return err
		}
		edits = edits[n:]
	}
	return nil
}

// tellAgain records that a held row goes out under the new name of its table. It
// stays held until settle looks at it, or Retry.
func (m *merger) tellAgain(ctx context.Context, edit *changelog.Edit) error {
	versions, err := m.versions(ctx, edit.Table, edit.Before)
	if err != nil {
		return err
	}
	held, err := m.holdOf(ctx, edit.Table.Put.Rows(), edit.Table.Identity(edit.Before.Key))
	if err != nil {
		return err
	}
	return m.record(ctx, edit.Table, Combine(append(versions, edit.Change)), edit.Before, false, view{held: held})
}

// edit records an edit of a row of which more is known than the table shows, or
// notes that it is overruled.
func (m *merger) edit(ctx context.Context, edit *changelog.Edit) error {
	versions, err := m.versions(ctx, edit.Table, edit.Before)
	if err != nil {
		return err
	}
	w := Combine(append(versions, edit.Change))
	if w.Newest().Compare(&edit.Change) != 0 || edit.Unshown && edit.Origin != changelog.Noted {
		m.overruled = append(m.overruled, overruled{edit.Table, w})
		return nil
	}
	unseen, err := m.unseen(ctx, edit, versions)
	if err != nil {
		return err
	}
	for i := range unseen {
		if err := m.recordConflict(ctx, &edit.Change, &unseen[i]); err != nil {
			return err
		}
	}
	if edit.Unshown {
		m.overruled = append(m.overruled, overruled{edit.Table, w})
		return nil
	}
	v, err := m.asShown(ctx, edit, w)
	if err != nil {
		return err
	}
	return m.record(ctx, edit.Table, w, edit.Before, w.Exists, v)
}

// asShown returns the view of a row as the table shows it after an edit, which
// can be without a parent still, until settle looks at it, and, after an edit
// that tells of some columns only, without what is kept of new ones, until Retry
// shows that.
func (m *merger) asShown(ctx context.Context, edit *changelog.Edit, w Winner) (v view, err error) {
	table := edit.Table
	if !w.Exists || len(table.References) == 0 && edit.Change.Shape == table.Put {
		return v, nil
	}
	if v.row, err = m.db.Read(ctx, table, w.Newest().Key); err != nil || v.row == nil || len(table.References) == 0 {
		return v, err
	}
	own := m.image(table, w)
	if v.derived = v.row.Image() != own.Image(); !v.derived {
		return v, nil
	}
	lacking, err := m.lacking(ctx, table, w.Newest().Key)
	for _, r := range lacking {
		if values := r.Values(own); values != nil {
			v.links, v.lacks = append(v.links, link{r, values, true}), missingParent(r)
		}
	}
	return v, err
}

// overrule shows the winner in the place of what a migration made of a row, or
// left of it.
func (m *merger) overrule(ctx context.Context, table *changelog.Table, w Winner) error {
	m.result.Rows[table.Name]++
	before, err := m.clock(ctx, table, w.Newest().Key)
	if err != nil {
		return err
	}
	if !w.Exists {
		if err := m.remove(ctx, table, w.Newest().Key); err != nil {
			return err
		}
		return m.record(ctx, table, w, before, false, view{})
	}
	held, err := m.place(ctx, table, &w, m.image(table, w))
	if err != nil {
		return err
	}
	if held.reason != "" {
		if err := m.remove(ctx, table, w.Newest().Key); err != nil {
			return err
		}
	}
	return m.record(ctx, table, w, before, held.reason == "", view{held: held})
}

// unseen returns those versions of a row that the author of an edit could not
// see and overrules all the same.
func (m *merger) unseen(ctx context.Context, edit *changelog.Edit, versions []changelog.Change) ([]changelog.Change, error) {
	lost := contradicted(&edit.Change, versions)
	switch {
	case edit.Before.State == changelog.Held && Combine(versions).Exists:
		return lost, nil
	case edit.Before.State == changelog.Combined && edit.Before.Shape != edit.Table.PutNumber:
		// The table has gained columns, but does not show yet what was kept of them.
		then, err := m.db.Shape(ctx, edit.Before.Shape)
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(lost, func(c changelog.Change) bool { return !unforeseen(c.Shape, edit.Change.Shape, then) }), nil
	}
	return nil, nil
}
