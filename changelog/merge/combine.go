package merge

import (
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Winner is what the changes of one row amount to.
type Winner struct {
	// Exists: the newest among the deletes and full puts is a put.
	Exists bool
	// Values holds, per canonical column name, the value in the newest change
	// that contains the column. A column that is not there shows its default.
	Values map[string]changelog.Value
	// Needed holds the changes that decide any of this, newest first, and
	// those that may decide it together with a change still to come. The rest
	// may be forgotten.
	Needed []changelog.Change
}

// Newest returns the newest change of the row.
func (w *Winner) Newest() *changelog.Change { return &w.Needed[0] }

// Birth returns the birth of the row: that of its newest full put.
func (w *Winner) Birth() changelog.Stamp {
	for i := range w.Needed {
		if w.Needed[i].Shape.Kind == changelog.Full {
			return w.Needed[i].Birth
		}
	}
	return changelog.Stamp{}
}

// deleted reports whether a delete is among the changes that are needed.
func (w *Winner) deleted() bool {
	return slices.ContainsFunc(w.Needed, func(c changelog.Change) bool { return c.Shape.Kind == changelog.Delete })
}

// ended reports whether a delete has ended all that older changes said of the
// columns which the winner lacks. It is in doubt if the winner has one that the
// table does not: that may be the same column by the name that it had.
func (w *Winner) ended(table *changelog.Table) bool {
	for column := range w.Values {
		if !contains(table.Put, column) {
			return false
		}
	}
	return w.deleted()
}

// Combine applies the one rule of merging to the changes of one row, given in
// any order, with any repetition: for each column the newest change that
// contains it wins. A delete contains every column, as absent; whether the row
// exists is one more column, which deletes and full puts contain.
//
// A change is needed unless newer ones together contain all that it contains.
// The newest delete is always needed: no put contains the columns that only
// some other device's schema has, and an old put of such a column, arriving
// late, must find the delete that ended it.
func Combine(changes []changelog.Change) Winner {
	changes = slices.Clone(changes)
	slices.SortFunc(changes, func(a, b changelog.Change) int { return b.Compare(&a) })

	w := Winner{Values: make(map[string]changelog.Value)}
	contained := make(map[string]bool)
	existence, deleted := false, false
	for i := range changes {
		c := &changes[i]
		if deleted || i > 0 && c.Compare(&changes[i-1]) == 0 {
			continue
		}
		needed := false
		if c.Shape.Kind != changelog.Partial && !existence {
			existence, needed = true, true
			w.Exists = c.Shape.Kind == changelog.Full
		}
		if c.Shape.Kind == changelog.Delete {
			deleted, needed = true, true
		}
		for k, column := range c.Shape.Columns {
			if !contained[column] {
				contained[column], needed = true, true
				w.Values[column] = c.Values[k]
			}
		}
		if needed {
			w.Needed = append(w.Needed, *c)
		}
	}
	return w
}
