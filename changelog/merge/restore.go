package merge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Restore gives edits what the winners say where the tables do not show it, and
// returns those that are left. It is called after [changelog.Database.Pending],
// before the edits are encoded.
func Restore(ctx context.Context, db *changelog.Database, edits []changelog.Edit) ([]changelog.Edit, error) {
	m := newMerger(db)
	left := edits[:0]
	for i := range edits {
		edit := &edits[i]
		told, err := true, error(nil)
		switch {
		case edit.Held:
			told, err = m.restoreHeld(ctx, edit)
		case edit.Again() && edit.Before.State == changelog.Combined:
			err = m.restoreAgain(ctx, edit)
		case len(edit.Table.References) > 0 && edit.Before != nil && edit.Before.State == changelog.Combined && edit.Change.Shape == edit.Table.Put:
			err = m.restoreReferences(ctx, edit)
		}
		if err == nil && edit.Origin == changelog.Noted && edit.Before != nil && edit.Before.State == changelog.Combined {
			err = m.leaveUnshown(ctx, edit)
		}
		if err != nil {
			return nil, err
		}
		if told {
			left = append(left, *edit)
		}
	}
	return left, nil
}

// restoreHeld gives the change what the winner of the row has, by the names of
// now. It reports whether others have to hear of it: those who have renamed the
// table before may have told all.
func (m *merger) restoreHeld(ctx context.Context, edit *changelog.Edit) (told bool, err error) {
	versions, err := m.versions(ctx, edit.Table, edit.Before)
	if err != nil || len(versions) == 0 {
		return false, err
	}
	w := Combine(versions)
	known := func(c changelog.Change) bool { return c.Stamp.Compare(edit.Before.Stamp) <= 0 }
	if !slices.ContainsFunc(w.Needed, known) {
		return false, nil
	}
	c := &edit.Change
	if !w.Exists {
		if !slices.ContainsFunc(w.Needed, func(c changelog.Change) bool { return c.Shape.Kind == changelog.Delete }) {
			return false, nil // all that came of it are parts
		}
		c.Shape, c.Birth, edit.Held = edit.Table.Gone, changelog.Stamp{}, false
		return true, nil
	}
	var columns []string
	ended := w.ended(edit.Table) // nobody tells of the delete by the new name
	for i, column := range edit.Table.Put.Columns {
		value, contained := w.Values[column]
		if former, source := formerly(edit, versions, column); source != nil {
			value, contained = former, true
		}
		if !contained {
			value, contained = w.Values[edit.Table.FormerName(column)]
		}
		if !contained && ended {
			value, contained = edit.Table.Columns[i].Default, true
		}
		if contained {
			columns, c.Values = append(columns, column), append(c.Values, value)
		}
	}
	c.Shape, c.Birth = changelog.NewShape(changelog.Full, c.Shape.Table, c.Shape.Key, columns), w.Birth()
	return true, nil
}

// restoreAgain gives the edit of a row that is told again what others, who have
// not renamed its columns yet, have written since under the former names of
// these. The edit is dated behind all that is known of the row: with the older
// values that show here it would beat what they wrote, also when they migrate.
func (m *merger) restoreAgain(ctx context.Context, edit *changelog.Edit) error {
	if len(edit.Table.References) > 0 {
		if err := m.restoreReferences(ctx, edit); err != nil {
			return err
		}
	}
	versions, err := m.versions(ctx, edit.Table, edit.Before)
	if err != nil {
		return err
	}
	values := slices.Clone(edit.Change.Values)
	for i, column := range edit.Table.Put.Columns {
		value, source := formerly(edit, versions, column)
		if source != nil && !changelog.Equal(value, values[i]) {
			values[i], edit.Unshown, edit.Restored = value, true, max(edit.Restored, source.Stamp.Time)
		}
	}
	edit.Change.Values = values
	return nil
}

// formerly returns the value that the newest of the versions, newest first, that
// were known of the row before the edit gives a column, and that version, if it
// does so by a former name of the column.
func formerly(edit *changelog.Edit, versions []changelog.Change, column string) (changelog.Value, *changelog.Change) {
	names := edit.Table.FormerNames(column)
	if names == nil {
		return nil, nil
	}
	for i := range versions {
		c := &versions[i]
		if c.Stamp.Compare(edit.Before.Stamp) > 0 {
			continue // it came under the name that the row has now
		}
		if c.Shape.Kind == changelog.Delete || contains(c.Shape, column) {
			return nil, nil
		}
		for _, name := range names {
			if at, found := slices.BinarySearch(c.Shape.Columns, name); found {
				return c.Values[at], c
			}
		}
	}
	return nil, nil
}

// restoreReferences gives the edit of a row that shows no parent, or a default
// one, for want of its own, what the winner says of these columns: what the app
// has found there and left alone is not what a person wrote.
//
// A reference is left alone if all of its columns are as they were.
func (m *merger) restoreReferences(ctx context.Context, edit *changelog.Edit) error {
	lacking, err := m.lacking(ctx, edit.Table, edit.Before.Key)
	if err != nil || len(lacking) == 0 {
		return err
	}
	versions, err := m.versions(ctx, edit.Table, edit.Before)
	if err != nil {
		return err
	}
	winner, was := m.image(edit.Table, Combine(versions)), edit.Change
	edit.Change.Values = slices.Clone(edit.Change.Values)
	for _, r := range lacking {
		if slices.EqualFunc(r.Get(&was), r.Substitute(), changelog.Equal) {
			r.Set(&edit.Change, r.Get(winner))
		}
	}
	return nil
}

// leaveUnshown takes the columns from a put of a whole row that have come to the
// table since it showed the row, and that the app has left as they came, if more is
// known of them than it showed.
func (m *merger) leaveUnshown(ctx context.Context, edit *changelog.Edit) error {
	c, table := &edit.Change, edit.Table
	if c.Shape != table.Put || edit.Before.Shape == table.PutNumber {
		return nil
	}
	had, err := m.db.Shape(ctx, edit.Before.Shape)
	if err != nil {
		return err
	}
	versions, err := m.versions(ctx, table, edit.Before)
	if err != nil {
		return err
	}
	var columns []string
	var values []changelog.Value
	for i, column := range c.Shape.Columns {
		known := newestWith(versions, column)
		if !contains(had, column) && known != nil && known.Stamp.Compare(cameFrom(edit, had, versions, i)) > 0 {
			edit.Unshown = true
			continue
		}
		columns, values = append(columns, column), append(values, c.Values[i])
	}
	if len(columns) < len(c.Shape.Columns) {
		c.Shape, c.Values = changelog.NewShape(changelog.Full, c.Shape.Table, c.Shape.Key, columns), values
	}
	return nil
}

// cameFrom returns the stamp of what a column that the table did not have before
// showed when it came: the value of one that is gone, if it has that, or its default,
// if all that are gone were as empty. If it has another value, that is the stamp of
// the edit.
func cameFrom(edit *changelog.Edit, had *changelog.Shape, versions []changelog.Change, i int) (stamp changelog.Stamp) {
	value, renamed := edit.Change.Values[i], false
	added := changelog.Equal(value, edit.Table.Columns[i].Default)
	for _, former := range had.Columns {
		c := newestWith(versions, former)
		if c == nil || contains(edit.Table.Put, former) {
			continue
		}
		at, _ := slices.BinarySearch(c.Shape.Columns, former)
		if !changelog.Equal(value, c.Values[at]) {
			added = false
			continue
		}
		renamed = true
		if c.Stamp.Compare(stamp) > 0 {
			stamp = c.Stamp
		}
	}
	if !renamed && !added {
		return edit.Change.Stamp
	}
	return stamp
}

// newestWith returns the newest of the versions, newest first, that contains a
// column, nil if none does.
func newestWith(versions []changelog.Change, column string) *changelog.Change {
	at := slices.IndexFunc(versions, func(c changelog.Change) bool { return contains(c.Shape, column) })
	if at < 0 {
		return nil
	}
	return &versions[at]
}

// lacking returns the references whose parents a row shows without.
func (m *merger) lacking(ctx context.Context, table *changelog.Table, key changelog.Key) (lacking []*changelog.Reference, err error) {
	rows, err := m.db.Conn.Query(ctx, "SELECT reference FROM sqlitesync_parents WHERE tbl = ? AND row = ? AND missing",
		table.Put.Rows(), []byte(table.Identity(key)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(table.References, func(r *changelog.Reference) bool { return r.ID() == id })
		if at >= 0 && (table.References[at].Action == changelog.SetNull || table.References[at].Action == changelog.SetDefault) {
			lacking = append(lacking, table.References[at])
		}
	}
	return lacking, rows.Err()
}

// putAgain writes the rows that the batch has deleted although children that
// this device wrote refer to them, with RESTRICT or NO ACTION: had the author
// of the batch known the children, it could not have deleted the parents. They
// are ordinary new writes, for the caller to fold in the same transaction; so
// the device that wrote a child does it, once, and no other does.
func (m *merger) putAgain(ctx context.Context) error {
	for _, table := range m.db.Tables {
		for _, parent := range m.lost[table] {
			for _, r := range table.Referrers {
				if r.Action != changelog.Restrict {
					continue
				}
				if err := m.putParentAgain(ctx, r, parent); err != nil {
					return fmt.Errorf("table %q: put a row again: %w", table.Name, err)
				}
			}
		}
	}
	return nil
}

// errUnsupported takes back what support has written.
var errUnsupported = errors.New("unsupported")

// putParentAgain puts a row again for a child that this device wrote, if the
// child shows then.
func (m *merger) putParentAgain(ctx context.Context, r *changelog.Reference, parent *lostRow) error {
	values := parent.values(r)
	if values == nil {
		return nil
	}
	found, err := m.linked(ctx, r.Child, "parent = ? AND value = ? AND missing", r.Target(), bucket(values))
	if err != nil {
		return err
	}
	for _, row := range found {
		before, w, err := m.winner(ctx, r.Child, row, nil)
		if err != nil {
			return err
		}
		if before == nil || before.State != changelog.Held || before.Stamp.Device != m.db.Self {
			continue
		}
		put := m.result.PutAgain
		err = m.db.Conn.Attempt(ctx, func() error {
			if err := m.support(ctx, r.Child, m.image(r.Child, *w), nil); err != nil {
				return err
			}
			return m.couldShow(ctx, r.Child, w)
		})
		if errors.Is(err, errUnsupported) || changelog.Refused(err) {
			m.result.PutAgain = put
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// couldShow fails with errUnsupported if parents are not all that a row lacks.
func (m *merger) couldShow(ctx context.Context, table *changelog.Table, w *Winner) error {
	v, err := m.view(ctx, table, w, true)
	if err != nil {
		return err
	}
	_, possible, err := m.claims(ctx, table, v.row)
	if err != nil {
		return err
	}
	if v.held.reason != "" || !possible {
		return errUnsupported
	}
	rivals, err := m.rivals(ctx, table, v.row)
	if slices.ContainsFunc(rivals, func(rival changelog.Clock) bool { return newer(table, &rival, w.Newest()) }) {
		return errUnsupported
	}
	return err
}

// support puts the rows again that a row needs to be shown, and those that they
// need. It fails with errUnsupported if that can't be done.
func (m *merger) support(ctx context.Context, table *changelog.Table, row *changelog.Change, needing []*lostRow) error {
	for _, r := range table.References {
		values := r.Values(row)
		if values == nil || r.Action == changelog.SetNull || r.Action == changelog.SetDefault {
			continue
		}
		met, err := m.shows(ctx, r, values)
		if err != nil {
			return err
		}
		if met {
			continue
		}
		parent, err := m.lostParent(ctx, r, values)
		switch {
		case err != nil:
			return err
		case parent == nil || r.Action != changelog.Restrict:
			return errUnsupported
		case slices.Contains(needing, parent): // a circle, of which each row comes back
			continue
		}
		if err := m.support(ctx, r.Parent, &parent.Change, append(needing, parent)); err != nil {
			return err
		}
		if err := m.putRowAgain(ctx, r.Parent, &parent.Change); err != nil {
			return err
		}
	}
	return nil
}

// putRowAgain writes a row and notes it in the log as if the app had.
func (m *merger) putRowAgain(ctx context.Context, table *changelog.Table, row *changelog.Change) error {
	if err := m.put(ctx, table, row); err != nil {
		return err
	}
	m.result.PutAgain++
	return m.db.Note(ctx, table, row.Key)
}
