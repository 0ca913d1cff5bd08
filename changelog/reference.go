package changelog

import (
	"cmp"
	"context"
	"database/sql"
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

// Component is a set of tables that refer to one another in a circle, or one
// table that is in none.
type Component struct {
	Tables []*Table
	Cyclic bool // also if its only table refers to itself
}

// ID names the reference among those of its child.
func (r *Reference) ID() string {
	return strings.Join(canonicalNames(r.Columns), ", ") + " " + r.Target()
}

// Target names what is referred to.
func (r *Reference) Target() string {
	return CanonicalName(r.ParentName) + " (" + strings.Join(canonicalNames(r.ParentColumns), ", ") + ")"
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

// RefersTo returns the condition that a row of the child refers to one of n rows
// of parameters, the values that parents had.
func (r *Reference) RefersTo(n int) string {
	match := make([]string, len(r.Columns))
	for i, column := range r.Columns {
		match[i] = r.equal(i, "+"+Quote(r.Name)+"."+Quote(column))
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
	return fmt.Sprintf("SELECT %s FROM %s WHERE false UNION ALL VALUES %s", strings.Join(named, ", "), Quote(r.ParentName), Placeholders(n, len(named)))
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

// foreignKey is a foreign key as SQLite lists it.
type foreignKey struct {
	child, parent string
	action        string
	from, to      []string // to: nil if the parent's key is meant
}

// readReferences finds the foreign keys of all tables, those that do not take
// part in sync too (others holds the names of these), and fills in
// db.Components.
func (db *Database) readReferences(ctx context.Context, others map[string]bool) error {
	db.Local, db.Unchecked = nil, nil
	if db.ForeignKeys {
		keys, err := db.foreignKeys(ctx)
		if err != nil {
			return err
		}
		for i := range keys {
			if err := db.readReference(ctx, &keys[i], others); err != nil {
				return fmt.Errorf("foreign key of table %q: %w", keys[i].child, err)
			}
		}
		for _, table := range db.Tables {
			slices.SortFunc(table.References, func(a, b *Reference) int { return cmp.Compare(a.ID(), b.ID()) })
			holdShared(table.References)
		}
	}
	db.Components = components(db.Tables)
	return nil
}

func (db *Database) foreignKeys(ctx context.Context) (keys []foreignKey, err error) {
	rows, err := db.Conn.Query(ctx, `SELECT l.name, f.seq, f."table", f."from", f."to", f.on_delete
		FROM pragma_table_list l, pragma_foreign_key_list(l.name, 'main') f
		WHERE l.schema = 'main' AND l.type = 'table' ORDER BY l.name, f.id, f.seq`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key foreignKey
		var place int
		var from string
		var to sql.NullString
		if err := rows.Scan(&key.child, &place, &key.parent, &from, &to, &key.action); err != nil {
			return nil, err
		}
		if place == 0 {
			keys = append(keys, key)
		}
		last := &keys[len(keys)-1]
		last.from = append(last.from, from)
		if to.Valid {
			last.to = append(last.to, to.String)
		}
	}
	return keys, rows.Err()
}

// readReference adds a foreign key to those of its tables.
func (db *Database) readReference(ctx context.Context, key *foreignKey, others map[string]bool) error {
	r := &Reference{
		Child: db.Table(CanonicalName(key.child)), Name: key.child, Columns: key.from,
		Parent: db.Table(CanonicalName(key.parent)), ParentName: key.parent, ParentColumns: key.to, Action: actions[key.action],
	}
	local := r.Parent == nil && others[CanonicalName(key.parent)]
	if r.ParentColumns == nil && (r.Parent != nil || local) {
		err := db.primaryKey(ctx, key.parent, &r.ParentColumns)
		if err != nil {
			return err
		}
	}
	if r.absent = r.Parent == nil && !local; r.absent && r.ParentColumns == nil {
		r.ParentColumns = slices.Clone(r.Columns)
	}
	const mismatch = "SQLite does not accept it, because what it refers to is not unique"
	switch {
	case r.Child == nil && len(r.ParentColumns) != len(r.Columns): // SQLite does not let anybody write to it
	case r.Child == nil && r.Parent != nil:
		r.unique() // looks whether the key is meant
		r.Parent.Local = append(r.Parent.Local, r)
	case r.Child == nil && local:
		db.Local = append(db.Local, r)
	case r.Child == nil: // the parent is not there
	case local:
		r.Obstacle = fmt.Sprintf("%q, which it refers to, is not synced", r.ParentName)
	case len(r.ParentColumns) != len(r.Columns):
		r.Obstacle = mismatch
	case !r.locate():
		r.Obstacle = "it has a generated column"
	case r.Parent != nil && !r.unique():
		r.Obstacle = mismatch
	default:
		r.Child.References = append(r.Child.References, r)
		if r.Parent != nil {
			r.Parent.Referrers = append(r.Parent.Referrers, r)
			return db.compareAlike(ctx, r)
		}
	}
	if r.Obstacle != "" {
		db.Unchecked = append(db.Unchecked, r)
	}
	return nil
}

// primaryKey appends the columns of a table's key, in its order.
func (db *Database) primaryKey(ctx context.Context, table string, names *[]string) error {
	rows, err := db.Conn.Query(ctx, "SELECT name FROM pragma_table_info(?, 'main') WHERE pk > 0 ORDER BY pk", table)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		*names = append(*names, name)
	}
	return rows.Err()
}

// locate finds the columns in the child's puts, where generated columns are
// not, and makes actions that would change the row's name, or write what each
// device computes for itself, ones that hold it.
func (r *Reference) locate() bool {
	for _, column := range canonicalNames(r.Columns) {
		if at, found := slices.BinarySearch(r.Child.Put.Columns, column); found {
			r.places = append(r.places, at)
			if r.Action == SetDefault && r.Child.Columns[at].computed {
				r.Action = Cascade
			}
			continue
		}
		at := slices.Index(r.Child.Put.Key, column)
		if at < 0 {
			return false
		}
		r.places = append(r.places, ^at)
		if r.Action == SetNull || r.Action == SetDefault {
			r.Action = Cascade
		}
	}
	return true
}

// unique reports whether the parent's columns are its key, or unique otherwise:
// SQLite demands it.
func (r *Reference) unique() bool {
	wanted := canonicalNames(r.ParentColumns)
	same := func(names []string) bool {
		return len(names) == len(wanted) && !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(wanted, name) })
	}
	if same(r.Parent.Put.Key) {
		for _, name := range r.Parent.Put.Key {
			r.key = append(r.key, slices.Index(wanted, name))
		}
		return true
	}
	return slices.ContainsFunc(r.Parent.Unique, func(u Unique) bool {
		var names []string
		for _, term := range u.Terms {
			if len(term.columns) == 0 || term.Expression != Quote(term.columns[0].Name) && term.plain {
				return false
			}
			names = append(names, CanonicalName(unquote(term.Expression)))
		}
		return u.Condition == "" && same(names)
	})
}

// holdShared makes SET DEFAULT of columns that another reference has too hold
// the row: what one of them refers to must not depend on the other's parent.
func holdShared(references []*Reference) {
	for _, r := range references {
		for _, other := range references {
			shared := slices.ContainsFunc(r.places, func(place int) bool { return slices.Contains(other.places, place) })
			if r != other && shared && r.Action == SetDefault {
				r.Action = Cascade
			}
		}
	}
}

// compareAlike finds out whether values compare in the child's columns as they
// do in the parent's.
func (db *Database) compareAlike(ctx context.Context, r *Reference) error {
	r.alike = true
	for i, name := range r.Columns {
		child, parent := r.Child.column(name), r.Parent.column(r.ParentColumns[i])
		if child == nil || parent == nil || child.Affinity != parent.Affinity {
			r.alike = false
			return nil
		}
		own, err := collationOf(ctx, db.Conn, r.Name, name)
		if err != nil {
			return err
		}
		wanted, err := collationOf(ctx, db.Conn, r.ParentName, r.ParentColumns[i])
		if err != nil {
			return err
		}
		r.alike = r.alike && own == wanted && own != "unknown"
	}
	return nil
}

// column returns the column with this name, nil if it is generated.
func (t *Table) column(name string) *Column {
	for _, columns := range [][]Column{t.Key, t.Columns} {
		for i := range columns {
			if CanonicalName(columns[i].Name) == CanonicalName(name) {
				return &columns[i]
			}
		}
	}
	return nil
}

// collationOf returns the collation of a column, as far as SQLite's own ones can
// be told apart by what they do: no pragma names it.
func collationOf(ctx context.Context, c *Conn, table, column string) (string, error) {
	var folds, trims bool
	err := c.Get(ctx, fmt.Sprintf("SELECT max(v = 'A'), max(v = 'a ') FROM (SELECT %s AS v FROM %s WHERE false UNION ALL SELECT 'a')",
		Quote(column), Quote(table)), nil, &folds, &trims)
	switch {
	case ErrorCode(err) == codeError:
		return "unknown", nil
	case folds:
		return "NOCASE", err
	case trims:
		return "RTRIM", err
	}
	return "BINARY", err
}

// components returns the tables so that each component comes after those that
// its rows refer to. This is Tarjan's algorithm ("Depth-first search and linear
// graph algorithms", 1972).
func components(tables []*Table) (list []Component) {
	order, low := make(map[*Table]int), make(map[*Table]int)
	var stack []*Table
	var visit func(table *Table)
	visit = func(table *Table) {
		order[table] = len(order) + 1
		low[table] = order[table]
		stack = append(stack, table)
		for _, r := range table.References {
			switch {
			case r.Parent == nil:
			case order[r.Parent] == 0:
				visit(r.Parent)
				low[table] = min(low[table], low[r.Parent])
			case slices.Contains(stack, r.Parent):
				low[table] = min(low[table], order[r.Parent])
			}
		}
		if low[table] != order[table] {
			return
		}
		at := slices.Index(stack, table)
		component := Component{Tables: slices.Clone(stack[at:])}
		stack = stack[:at]
		for _, member := range component.Tables {
			for _, r := range member.References {
				r.Inside = slices.Contains(component.Tables, r.Parent)
				component.Cyclic = component.Cyclic || r.Inside
			}
		}
		list = append(list, component)
	}
	for _, table := range tables {
		if order[table] == 0 {
			visit(table)
		}
	}
	return list
}
