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
	if err != nil {
		return nil, false, err
	}
	row := &edit.Change
	lost, gained := apart(shape.Columns, table.Put.Columns), apart(table.Put.Columns, shape.Columns)
	if !row.was(shape, edit.Before.Image, table.renamed) {
		if len(lost) == 0 || table.unexplained > maxUnexplained {
			return nil, false, nil
		}
		renamed, found := findRenamed(row, shape, edit.Before.Image)
		if !found {
			table.unexplained++
			return nil, false, nil
		}
		table.renamed = renamed
	}
	table.prove(row, shape)
	edit.again, edit.renamed = true, table.renamed
	if shape.Rows() != table.Put.Rows() { // the others must hear of all of it, by its new name
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

// FormerName returns what a column was called before, as far as rows that
// Pending has read show it: the same if they do not.
func (t *Table) FormerName(column string) string { return formerName(t.renamed, column) }

func formerName(renamed map[string]string, column string) string {
	for former, name := range renamed {
		if name == column {
			return former
		}
	}
	return column
}

// Limits of the search for renamed columns: of the columns that are gone each
// could be any of those that came, and no pragma tells which.
const (
	maxTries       = 64  // ways that are tried for a row
	maxUnexplained = 100 // rows without one, after which none is looked for any more
)

// renaming is a search for what became of the columns of a shape: a column
// that was renamed has kept its value.
type renaming struct {
	shape   *Shape
	image   Image
	tries   int
	renamed map[string]string // from their old names to their new ones
}

// findRenamed looks for what became of the columns of shape that a row does not
// have any more, such that it is still as it was.
func findRenamed(row *Change, shape *Shape, image Image) (renamed map[string]string, found bool) {
	search := renaming{shape: shape, image: image, tries: maxTries, renamed: make(map[string]string)}
	found = search.find(row, apart(shape.Columns, row.Shape.Columns), apart(row.Shape.Columns, shape.Columns))
	return search.renamed, found
}

// find looks for each of the lost columns among those gained.
func (r *renaming) find(row *Change, lost, gained []string) bool {
	if len(lost) > len(gained) { // none of the ways ends, so none would count as a try
		return false
	}
	if len(lost) == 0 {
		r.tries--
		return row.was(r.shape, r.image, r.renamed)
	}
	for i, column := range gained {
		if r.tries == 0 {
			break
		}
		r.renamed[lost[0]] = column
		if r.find(row, lost[1:], slices.Concat(gained[:i], gained[i+1:])) {
			return true
		}
	}
	return false
}

// was reports whether the row had this image when its table had the columns of
// shape, given which of these have other names now.
func (c *Change) was(shape *Shape, image Image, renamed map[string]string) bool {
	then := c.as(shape, renamed)
	return then != nil && then.Image() == image
}

// as returns what the row says in columns of shape, given which of these have other
// names now; nil if it does not have all of them.
func (c *Change) as(shape *Shape, renamed map[string]string) *Change {
	then := &Change{Shape: shape, Key: c.Key, Values: make([]Value, len(shape.Columns))}
	for i, column := range shape.Columns {
		if name, ok := renamed[column]; ok {
			column = name
		}
		at, found := slices.BinarySearch(c.Shape.Columns, column)
		if !found {
			return nil
		}
		then.Values[i] = c.Values[at]
	}
	return then
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
