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

// Predate dates what migrations made of rows just behind what these rows
// showed: what is known of a row and was not shown, because the table did not
// have its columns yet, or because the row is deleted, is an edit of a person
// that the migration has not seen. Of columns that nobody has set yet it says
// nothing; an edit that was noted does, for a REPLACE can have made the row anew. It is called after [changelog.Database.Pending], before the
// edits are encoded.
func Predate(ctx context.Context, db *changelog.Database, edits []changelog.Edit) error {
	m := newMerger(db)
	for i := range edits {
		edit := &edits[i]
		if edit.Table.Unwritable != "" || edit.Before == nil || edit.Change.Shape.Kind == changelog.Delete {
			continue
		}
		switch {
		case edit.Before.State == changelog.Deleted && edit.Origin == changelog.Migrated: // what people have deleted it does not bring back
			predate(edit, nil)
		case edit.Before.State == changelog.Combined && edit.Origin != changelog.Noted:
			versions, err := m.shownVersions(ctx, edit)
			if err != nil {
				return err
			}
			leaveOut(edit, Combine(versions))
			predate(edit, versions)
		}
	}
	return nil
}

// predate dates an edit just behind what the row showed. What it tells of
// renamed columns only is behind what these had.
func predate(edit *changelog.Edit, shown []changelog.Change) {
	c, time := &edit.Change, edit.Restored
	for i := range shown {
		source := func(column string) bool {
			former := edit.FormerName(column)
			return former == column || contains(shown[i].Shape, former)
		}
		if c.Shape.Kind != changelog.Partial || slices.ContainsFunc(c.Shape.Columns, source) {
			time = max(time, shown[i].Stamp.Time)
		}
	}
	if c.Stamp.Time = edit.After(time); c.Birth.Compare(c.Stamp) > 0 {
		c.Birth = c.Stamp
	}
}

// shownVersions returns those versions of a row that the table showed before
// the edit.
func (m *merger) shownVersions(ctx context.Context, edit *changelog.Edit) ([]changelog.Change, error) {
	versions, err := m.versions(ctx, edit.Table, edit.Before)
	if err != nil {
		return nil, err
	}
	had, err := m.db.Shape(ctx, edit.Before.Shape)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(versions, func(c changelog.Change) bool {
		// What came under the table's new name before it was renamed it did not show.
		return unforeseen(c.Shape, edit.Change.Shape, had) || foreign(c.Shape, had) || c.Stamp.Compare(edit.Before.Stamp) > 0
	}), nil
}

// leaveOut takes the columns from a put of a whole row that show their defaults
// because no version of the row contains them: what they hold may be on its way
// still, under the name that the column had. Or it has come under the new name of
// the table, and a row that is told again does not show it yet. But what a delete
// has ended a row that is told again must end too: by its new name nobody tells of
// the delete.
func leaveOut(edit *changelog.Edit, w Winner) {
	c, table := &edit.Change, edit.Table
	if c.Shape != table.Put {
		return
	}
	var columns []string
	var values []changelog.Value
	for i, column := range c.Shape.Columns {
		value, set := w.Values[column]
		switch {
		case set && edit.Again():
			set = changelog.Equal(value, c.Values[i])
		case edit.Again():
			set = w.ended(table)
		}
		if set || !changelog.Equal(c.Values[i], table.Columns[i].Default) {
			columns, values = append(columns, column), append(values, c.Values[i])
		}
	}
	if len(columns) < len(c.Shape.Columns) {
		c.Shape, c.Values = changelog.NewShape(changelog.Full, c.Shape.Table, c.Shape.Key, columns), values
	}
}

// unforeseen reports whether a version of a row and an edit contain a column that
// the table did not have before. Other columns of the version that it does not
// have it may have lost.
func unforeseen(version, edit, had *changelog.Shape) bool {
	return slices.ContainsFunc(version.Columns, func(column string) bool { return contains(edit, column) && !contains(had, column) })
}

// foreign reports whether a version of a row contains columns, and none that the
// table had.
func foreign(version, had *changelog.Shape) bool {
	return len(version.Columns) > 0 && !slices.ContainsFunc(version.Columns, func(column string) bool { return contains(had, column) })
}

func contains(s *changelog.Shape, column string) bool {
	_, found := slices.BinarySearch(s.Columns, column)
	return found
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
