package changelog

import (
	"fmt"
	"slices"
	"strings"
)

// Action is what a foreign key declares for rows whose parent is deleted.
type Action int

// The actions.
const (
	Restrict   Action = iota // NO ACTION too: the parent may not be deleted
	Cascade                  // the child goes with its parent
	SetNull                  // the child's columns become NULL
	SetDefault               // the child's columns become their defaults
)

var actions = map[string]Action{"CASCADE": Cascade, "SET NULL": SetNull, "SET DEFAULT": SetDefault}

// Reference is a foreign key. A row refers to its parent with the values of
// Columns, or to none if one of them is NULL (MATCH SIMPLE).
type Reference struct {
	// Child is the table that has the foreign key, nil if it does not take part
	// in sync; Name is its name as declared.
	Child *Table
	Name  string
	// Columns are those of the child as declared.
	Columns []string
	// Parent is the table referred to, nil if it does not take part in sync or
	// is not there; ParentName and ParentColumns are as declared.
	Parent        *Table
	ParentName    string
	ParentColumns []string
	Action        Action
	// Inside: parent and child are in one [Component].
	Inside bool
	// Obstacle says why nothing can be said about it, "" if something can.
	Obstacle string

	places []int // of Columns in a put: from 0 in its values, ^0, ^1 … in its key
	key    []int // which of Columns refer to the parent's key, in its order; nil if they do not
	absent bool  // the parent is not there
	alike  bool  // values compare in Columns as they do in ParentColumns
}

// ID names the reference among those of its child.
func (r *Reference) ID() string {
	return strings.Join(canonicalNames(r.Columns), ", ") + " " + r.Target()
}

// Target names what is referred to.
func (r *Reference) Target() string {
	return CanonicalName(r.ParentName) + " (" + strings.Join(canonicalNames(r.ParentColumns), ", ") + ")"
}

// FormerID returns what ID was before tables were renamed, or columns of their
// keys, by what [Stale.Was] says of these.
func (r *Reference) FormerID(was map[*Table]string) string {
	former := *r
	former.Columns = r.Child.former(r.Columns, was[r.Child])
	if before := was[r.Parent]; before != "" {
		former.ParentName = quotedNames(before)[0]
		former.ParentColumns = r.Parent.former(r.ParentColumns, before)
	}
	return former.ID()
}

// former returns what columns were called when the table was called was.
func (t *Table) former(columns []string, was string) []string {
	if was == "" {
		return columns
	}
	key, names := quotedNames(was)[1:], canonicalNames(columns)
	for i, name := range names {
		if at := slices.Index(t.Put.Key, name); at >= 0 {
			names[i] = key[at]
		}
	}
	return names
}

func canonicalNames(names []string) []string {
	canonical := make([]string, len(names))
	for i, name := range names {
		canonical[i] = CanonicalName(name)
	}
	return canonical
}

// Bound reports whether a row of the table can be a parent or a child.
func (t *Table) Bound() bool { return len(t.References)+len(t.Referrers)+len(t.Local) > 0 }

// ToKey reports whether the parent's key is referred to, not other columns.
func (r *Reference) ToKey() bool { return r.key != nil }

// Values returns the values with which a row refers to its parent, nil if it
// refers to none.
func (r *Reference) Values(row *Change) []Value {
	values := make([]Value, len(r.places))
	for i, place := range r.places {
		if place < 0 {
			values[i] = row.Key[^place]
		} else {
			values[i] = row.Values[place]
		}
		if values[i] == nil {
			return nil
		}
	}
	return values
}

// KeyValues returns the values with which rows refer to the row with this key.
func (r *Reference) KeyValues(key Key) []Value {
	values := make([]Value, len(key))
	for i, column := range r.key {
		values[column] = key[i]
	}
	return values
}

// ParentValues returns the values with which rows refer to a row of the parent,
// nil if that can't be: one of them is NULL, or is generated.
func (r *Reference) ParentValues(row *Change) []Value {
	values := make([]Value, len(r.ParentColumns))
	for i, column := range canonicalNames(r.ParentColumns) {
		if at, found := slices.BinarySearch(row.Shape.Columns, column); found {
			values[i] = row.Values[at]
		} else if at := slices.Index(row.Shape.Key, column); at >= 0 {
			values[i] = row.Key[at]
		}
		if values[i] == nil {
			return nil
		}
	}
	return values
}

// Substitute returns what the row has in Columns without its parent, where that
// is SET NULL or SET DEFAULT.
func (r *Reference) Substitute() []Value {
	values := make([]Value, len(r.places))
	if r.Action == SetDefault {
		for i, place := range r.places {
			values[i] = r.Child.Columns[place].Default
		}
	}
	return values
}

// Get returns what a row has in Columns, none of which is of its key.
func (r *Reference) Get(row *Change) []Value {
	values := make([]Value, len(r.places))
	for i, place := range r.places {
		values[i] = row.Values[place]
	}
	return values
}

// Set gives a row these values in Columns, none of which is of its key.
func (r *Reference) Set(row *Change, values []Value) {
	for i, place := range r.places {
		row.Values[place] = values[i]
	}
}

// Unmet returns the condition that the row of the child called alias refers to
// a parent that the database does not have.
func (r *Reference) Unmet(alias string) string {
	var terms, match []string
	for i, column := range r.Columns {
		terms = append(terms, alias+Quote(column)+" IS NOT NULL")
		// The plus takes the child's affinity away, so that the value compares
		// as the parent's own would: that is what SQLite does.
		match = append(match, "p."+Quote(r.ParentColumns[i])+" = +"+alias+Quote(column))
	}
	if !r.absent {
		terms = append(terms, fmt.Sprintf("NOT EXISTS (SELECT 1 FROM %s p WHERE %s)", Quote(r.ParentName), strings.Join(match, " AND ")))
	}
	return "(" + strings.Join(terms, " AND ") + ")"
}

// Children returns a join of n rows of parameters, the values that parents have
// or had in ParentColumns, with the rows c of the child that refer to them.
func (r *Reference) Children(n int) string {
	match := make([]string, len(r.Columns))
	for i, column := range r.Columns {
		if match[i] = r.equal(i, "+c."+Quote(column)); r.alike { // an index of the child's can be used
			match[i] = fmt.Sprintf("g.v%d = c.%s", i, Quote(column))
		}
	}
	return fmt.Sprintf("(%s) g CROSS JOIN %s c ON %s", r.parents(n), Quote(r.Name), strings.Join(match, " AND "))
}

// Same returns a query whether the first parameters, the values of a parent, are
// what the others refer to.
func (r *Reference) Same() string {
	match := make([]string, len(r.Columns))
	for i := range r.Columns {
		match[i] = r.equal(i, fmt.Sprintf("?%d", len(r.Columns)+i+1))
	}
	return fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM (%s) g WHERE %s)", r.parents(1), strings.Join(match, " AND "))
}

// RefersTo returns the condition that the row of the child called c refers to one
// of n rows of parameters, the values that parents had.
func (r *Reference) RefersTo(n int) string {
	match := make([]string, len(r.Columns))
	for i, column := range r.Columns {
		match[i] = r.equal(i, "+c."+Quote(column))
	}
	return fmt.Sprintf("EXISTS (SELECT 1 FROM (%s) g WHERE %s)", r.parents(n), strings.Join(match, " AND "))
}

// parents returns a query of n rows of parameters, as columns v0, v1 … with the
// collations of ParentColumns: those of a compound SELECT are the first part's.
func (r *Reference) parents(n int) string {
	named := make([]string, len(r.ParentColumns))
	for i, column := range r.ParentColumns {
		named[i] = fmt.Sprintf("%s AS v%d", Quote(column), i)
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE 0 UNION ALL VALUES %s", strings.Join(named, ", "), Quote(r.ParentName), Placeholders(n, len(named)))
}

// equal returns the condition that a value of the child, without affinity,
// refers to the parent's value g.v<i>. That has no affinity either any more: it
// gets that of its column back by a CAST to the type that it is of.
func (r *Reference) equal(i int, child string) string {
	affinity := ""
	if r.Parent != nil {
		if column := r.Parent.column(r.ParentColumns[i]); column != nil {
			affinity = column.Affinity
		}
	}
	switch affinity {
	case "":
		return fmt.Sprintf("g.v%d = %s", i, child)
	case "TEXT":
		return fmt.Sprintf("iif(typeof(g.v%[1]d) = 'text', CAST(g.v%[1]d AS TEXT) = %[2]s, g.v%[1]d = %[2]s)", i, child)
	default:
		return fmt.Sprintf("iif(typeof(g.v%[1]d) IN ('integer', 'real'), CAST(g.v%[1]d AS NUMERIC) = %[2]s, g.v%[1]d = %[2]s)", i, child)
	}
}
