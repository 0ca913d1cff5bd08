package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// row merges one change the general way.
func (m *merger) row(ctx context.Context, table *changelog.Table, change *changelog.Change, before *changelog.Clock) error {
	versions, err := m.versions(ctx, table, before)
	if err != nil {
		return err
	}
	for i := range versions {
		if versions[i].Compare(change) != 0 {
			continue
		}
		if before.State == changelog.Unsent { // another device has published the same baseline row
			return m.db.Record(ctx, table, versions, changelog.Shown, before.Digest())
		}
		return nil
	}
	if err := m.recordUnseen(ctx, change, versions, before); err != nil {
		return err
	}
	w := Combine(append(versions, *change))
	if !slices.ContainsFunc(w.Needed, func(c changelog.Change) bool { return c.Compare(change) == 0 }) {
		return nil
	}
	return m.show(ctx, table, w, before)
}

// versions returns the changes that are known of a row, newest first.
func (m *merger) versions(ctx context.Context, table *changelog.Table, before *changelog.Clock) ([]changelog.Change, error) {
	switch {
	case before == nil:
		return nil, nil
	case before.State == changelog.Deleted:
		return []changelog.Change{{Shape: table.Gone, Key: before.Key, Stamp: before.Stamp}}, nil
	case before.State == changelog.Held || before.State == changelog.Combined:
		return m.kept(ctx, table.Put, table.Identity(before.Key))
	default:
		change, err := m.shown(ctx, table, before)
		if err != nil || change == nil {
			return nil, err
		}
		return []changelog.Change{*change}, nil
	}
}

// show makes the table show the winner, or holds it. References are for settle
// to look at, when all parents are there.
func (m *merger) show(ctx context.Context, table *changelog.Table, w Winner, before *changelog.Clock) error {
	if !w.Exists {
		m.result.Rows[table.Name]++
		touch(table, w.Newest().Key)
		if err := m.lose(ctx, table, w.Newest().Key, before); err != nil {
			return err
		}
		if err := m.hide(ctx, table, before); err != nil {
			return err
		}
		return m.record(ctx, table, w, before, false, view{})
	}
	row := m.image(table, w)
	if before.Visible() && before.Shape == table.PutNumber && before.Image == row.Image() {
		if len(table.References) > 0 { // it may have shown so for want of a parent
			touch(table, row.Key)
		}
		return m.record(ctx, table, w, before, true, view{}) // nobody's trigger needs to hear of it
	}
	m.result.Rows[table.Name]++
	touch(table, row.Key)
	held, err := m.place(ctx, table, &w, row)
	if err != nil {
		return err
	}
	if held.reason != "" {
		if err := m.hide(ctx, table, before); err != nil {
			return err
		}
	}
	return m.record(ctx, table, w, before, held.reason == "", view{held: held})
}

// image returns the row that a winner amounts to in this table. A column that
// no change contains shows its default if that is a literal, else NULL.
func (m *merger) image(table *changelog.Table, w Winner) *changelog.Change {
	row := &changelog.Change{Shape: table.Put, Key: w.Newest().Key, Values: make([]changelog.Value, len(table.Columns))}
	for i, column := range table.Put.Columns {
		value, contained := w.Values[column]
		if !contained {
			value = table.Columns[i].Default
		}
		row.Values[i] = value
	}
	return row
}

// hide removes the row from the table if it is there.
func (m *merger) hide(ctx context.Context, table *changelog.Table, before *changelog.Clock) error {
	if !before.Visible() {
		return nil
	}
	return m.remove(ctx, table, before.Key)
}

// record writes down what is known of a row from now on: its clock, and the
// changes that the table and the clock can't hold.
func (m *merger) record(ctx context.Context, table *changelog.Table, w Winner, before *changelog.Clock, visible bool, v view) error {
	newest := w.Newest()
	clock := changelog.Clock{Key: newest.Key, Stamp: newest.Stamp, Birth: w.Birth()}
	kept := w.Needed
	if v.row == nil {
		v.row = m.image(table, w)
	}
	switch {
	case visible && len(kept) == 1 && within(newest.Shape, table.Put) && !v.derived:
		number, err := m.db.ShapeNumber(ctx, newest.Shape)
		if err != nil {
			return err
		}
		clock.State, clock.Shape, clock.Image = changelog.Shown, number, newest.Image()
		kept = nil
	case visible:
		if v.derived {
			v.held = hold{reason: v.lacks, shown: true}
		}
		clock.State, clock.Shape, clock.Image = changelog.Combined, table.PutNumber, v.row.Image()
	case newest.Shape.Kind == changelog.Delete:
		clock.State, clock.Image = changelog.Deleted, newest.Image()
		kept = nil
	default:
		clock.State, clock.Image = changelog.Held, newest.Image()
	}
	if before != nil && before.State == changelog.Unsent {
		m.noteUnsent(w, before)
	}
	own := before != nil && (before.State == changelog.Held || before.State == changelog.Combined)
	if kept != nil && !own {
		// What came while the table bore another name, and Adopt has not come to yet.
		others, err := m.kept(ctx, table.Put, table.Identity(newest.Key))
		if err != nil {
			return err
		}
		if len(others) > 0 {
			kept = Combine(append(slices.Clone(kept), others...)).Needed
		}
	}
	if kept != nil || own {
		row := table.Identity(newest.Key)
		if err := m.keep(ctx, table.Put, row, kept, v.held); err != nil {
			return err
		}
		if err := m.keepLinks(ctx, table, row, m.worthKeeping(table, w, clock.State, v)); err != nil {
			return err
		}
	}
	return m.db.SetClocks(ctx, table, []changelog.Clock{clock}, before.Digest())
}

// noteUnsent hands a baseline row on to be published if it is still needed: its
// clock is about to forget that no other device has it.
func (m *merger) noteUnsent(w Winner, before *changelog.Clock) {
	for i := range w.Needed {
		if c := &w.Needed[i]; c.Stamp.Baseline() && c.Image() == before.Image {
			m.result.Unsent = append(m.result.Unsent, *c)
		}
	}
}

// within reports whether a table of shape all has every column that s contains.
func within(s, all *changelog.Shape) bool {
	return !slices.ContainsFunc(s.Columns, func(column string) bool { return !contains(all, column) })
}
