package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Predate dates what migrations made of rows just behind what these rows
// showed: what is known of a row and was not shown, because the table did not
// have its columns yet, or because the row is deleted, is an edit of a person
// that the migration has not seen. Of columns that nobody has set yet it says
// nothing; an edit that was noted does, for a REPLACE can have made the row anew.
// It is called after [changelog.Database.Pending], before the edits are encoded.
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
			versions, err := m.versions(ctx, edit.Table, edit.Before)
			if err != nil {
				return err
			}
			had, err := m.db.Shape(ctx, edit.Before.Shape)
			if err != nil {
				return err
			}
			shown := shownVersions(edit, versions, had)
			leaveOut(edit, Combine(shown))
			predate(edit, beforePeople(edit, versions, shown, had))
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
// the edit, when it had other columns.
func shownVersions(edit *changelog.Edit, versions []changelog.Change, had *changelog.Shape) []changelog.Change {
	return slices.DeleteFunc(slices.Clone(versions), func(c changelog.Change) bool {
		// What came under the table's new name before it was renamed it did not show.
		return unforeseen(c.Shape, edit.Change.Shape, had) || foreign(c.Shape, had) || c.Stamp.Compare(edit.Before.Stamp) > 0
	})
}

// beforePeople keeps what a migration says of new columns behind what people have
// written there, although the row was edited since by an app that did not know these
// columns: of the versions that the table showed it returns those that are older. A
// put of a whole row, which has to be behind all of them, leaves such columns out.
func beforePeople(edit *changelog.Edit, versions, shown []changelog.Change, had *changelog.Shape) []changelog.Change {
	c := &edit.Change
	written := func(column string) *changelog.Change {
		if edit.FormerName(column) != column || contains(had, column) {
			return nil
		}
		at := slices.IndexFunc(versions, func(v changelog.Change) bool { return v.Shape.Kind == changelog.Full && contains(v.Shape, column) })
		if at < 0 {
			return nil
		}
		return &versions[at]
	}
	if c.Shape.Kind == changelog.Partial {
		for _, column := range c.Shape.Columns {
			if by := written(column); by != nil {
				shown = slices.DeleteFunc(shown, func(v changelog.Change) bool { return v.Compare(by) > 0 })
			}
		}
		return shown
	}
	if c.Shape != edit.Table.Put || !within(had, c.Shape) { // a column that is gone could be one of those by another name
		return shown
	}
	var columns []string
	var values []changelog.Value
	for i, column := range c.Shape.Columns {
		if written(column) != nil {
			edit.Unshown = true
			continue
		}
		columns, values = append(columns, column), append(values, c.Values[i])
	}
	if len(columns) < len(c.Shape.Columns) {
		c.Shape, c.Values = changelog.NewShape(changelog.Full, c.Shape.Table, c.Shape.Key, columns), values
	}
	return shown
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
