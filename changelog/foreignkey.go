package changelog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
)

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

// LocalReferences returns the foreign keys of all tables that do not take part.
func (db *Database) LocalReferences() []*Reference {
	references := slices.Clone(db.Local)
	for _, table := range db.Tables {
		references = append(references, table.Local...)
	}
	return references
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

// maxReferences keeps the search for a table's rows without parents, an expression
// with a part for each reference, within the depth that SQLite allows.
const maxReferences = 200

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
	case len(r.Child.References) == maxReferences:
		r.Obstacle = fmt.Sprintf("the table has more than %d of them", maxReferences)
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
		r.alike = r.alike && own == wanted && own != unknownCollation
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
