package changelog

import (
	"context"
	"fmt"
	"slices"
)

// changed finds out which columns of a row differ from what is known of it.
// Saving a row as it was is told with no columns. What is known is a hash of the
// row's image, so columns that the table had before are told only if none of
// them changed; those that came since are compared with what is in a new row.
func (db *Database) changed(ctx context.Context, table *Table, edit *Edit) (columns []string, told bool, err error) {
	if !edit.Before.Visible() {
		return nil, false, nil
	}
	shape, err := db.Shape(ctx, edit.Before.Shape)
	if err != nil || shape.Rows() != table.Put.Rows() {
		return nil, false, err
	}
	row := &edit.Change
	lost, gained := apart(shape.Columns, table.Put.Columns), apart(table.Put.Columns, shape.Columns)
	if len(lost) > maxRenamed {
		return nil, false, nil
	}
	if !row.was(shape, edit.Before.Image, lost, gained, make(map[string]string, len(lost))) {
		return nil, false, nil
	}
	for _, column := range gained {
		i, _ := slices.BinarySearch(table.Put.Columns, column)
		if !Equal(row.Values[i], table.Columns[i].Default) {
			columns = append(columns, column)
		}
	}
	return columns, true, nil
}

// maxRenamed is how many renamed columns are looked for: of n lost columns each
// could be any of those gained, and no pragma tells which.
const maxRenamed = 3

// was reports whether the row had this image when its table had the columns of
// shape. Each of the lost columns is looked for among those gained: a column
// that was renamed has kept its value. renamed holds those found, by their old
// names.
func (c *Change) was(shape *Shape, image Image, lost, gained []string, renamed map[string]string) bool {
	if len(lost) == 0 {
		then := &Change{Shape: shape, Key: c.Key, Values: make([]Value, len(shape.Columns))}
		for i, column := range shape.Columns {
			if name, ok := renamed[column]; ok {
				column = name
			}
			at, _ := slices.BinarySearch(c.Shape.Columns, column)
			then.Values[i] = c.Values[at]
		}
		return then.Image() == image
	}
	for i, column := range gained {
		renamed[lost[0]] = column
		others := slices.Concat(gained[:i], gained[i+1:])
		if c.was(shape, image, lost[1:], others, renamed) {
			return true
		}
	}
	return false
}

// part returns what a full put of the table says of some of its columns.
func (t *Table) part(put *Change, columns []string) Change {
	name := fmt.Sprintf("%q", columns)
	shape, known := t.parts[name]
	if !known {
		shape = NewShape(Partial, t.Put.Table, t.Put.Key, columns)
		if t.parts == nil {
			t.parts = make(map[string]*Shape)
		}
		t.parts[name] = shape
	}
	part := Change{Shape: shape, Key: put.Key, Values: make([]Value, len(columns))}
	for i, column := range columns {
		at, _ := slices.BinarySearch(put.Shape.Columns, column)
		part.Values[i] = put.Values[at]
	}
	return part
}

// apart returns the names in list that are not in other. Both are sorted.
func apart(list, other []string) (names []string) {
	for _, name := range list {
		if _, found := slices.BinarySearch(other, name); !found {
			names = append(names, name)
		}
	}
	return names
}
