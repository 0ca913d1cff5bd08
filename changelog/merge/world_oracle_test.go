package merge_test

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// A world is several tables that refer to one another, for the oracle: it says what they show, given every change that a
// device knows. It is the rest of FORMAT.md's chapter 10 read aloud, as naive as oracle_test.go.
type world struct {
	// components holds the tables, parents before children, those that refer to one another in a circle together.
	components [][]*model
	references []modelReference
}

type modelReference struct {
	child   string
	columns []string
	parent  string
	to      []string
	action  string
	same    func(child, parent any) bool // nil: alike
}

// A worldRow is a row of some table. now is how it shows, given the parents that show.
type worldRow struct {
	modelRow
	in     *model
	now    map[string]any
	absent []modelReference // SET NULL and SET DEFAULT have made now what it is
}

// A worldView is the oracle's answer, by table and the identity of keys.
type worldView struct {
	shown, held map[string]map[string]*worldRow
}

func (w *world) tables() []*model { return slices.Concat(w.components...) }

func (w *world) look(changes []changelog.Change) worldView {
	v := worldView{make(map[string]map[string]*worldRow), make(map[string]map[string]*worldRow)}
	for _, m := range w.tables() {
		v.shown[m.table], v.held[m.table] = make(map[string]*worldRow), make(map[string]*worldRow)
	}
	for _, component := range w.components {
		var rows []*worldRow
		for _, m := range component {
			for _, versions := range m.of(changes) {
				if row, exists := m.winner(versions); exists {
					rows = append(rows, &worldRow{modelRow: row, in: m})
				}
			}
		}
		slices.SortFunc(rows, newestRowFirst)
		for _, row := range rows {
			if w.first(v, component, row) {
				v.shown[row.in.table][row.in.identity(row.key)] = row
			} else {
				v.held[row.in.table][row.in.identity(row.key)] = row
			}
		}
		w.close(v, component, rows)
	}
	return v
}

func newestRowFirst(a, b *worldRow) int {
	return cmp.Or(
		cmp.Compare(b.newest.Stamp.Time, a.newest.Stamp.Time),
		bytes.Compare(b.newest.Stamp.Device[:], a.newest.Stamp.Device[:]),
		cmp.Compare(b.newest.Stamp.Batch, a.newest.Stamp.Batch),
		strings.Compare(b.in.table, a.in.table),
		strings.Compare(b.in.identity(b.key), a.in.identity(a.key)))
}

// first decides whether a row shows as far as references into its own component do not matter: uniqueness goes first.
func (w *world) first(v worldView, component []*model, row *worldRow) bool {
	if !w.derive(v, row, func(r modelReference) bool { return !inside(component, r) }) || !row.in.follows(modelRow{values: row.now}) {
		return false
	}
	for _, u := range row.in.unique {
		own := u.of(modelRow{values: row.now})
		for _, other := range v.shown[row.in.table] {
			if values := u.of(modelRow{values: other.now}); own != nil && values != nil && claim(own, u.noCase) == claim(values, u.noCase) {
				return false
			}
		}
	}
	return true
}

// inside tells whether a reference leads from a component into the same.
func inside(component []*model, r modelReference) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(component, func(m *model) bool { return m.table == name })
	}
	return has(r.child) && has(r.parent)
}

// close holds the rows, or shows them without parents, that refer to rows of their component that do not show, until nothing
// changes. What is freed stays free.
func (w *world) close(v worldView, component []*model, rows []*worldRow) {
	before := make(map[*worldRow]map[string]any)
	for _, row := range rows {
		before[row] = row.now
	}
	for changing := true; changing; {
		changing = false
		for _, row := range rows {
			identity := row.in.identity(row.key)
			if v.shown[row.in.table][identity] != row {
				continue
			}
			was := row.now
			fits := w.derive(v, row, func(modelReference) bool { return true })
			if maps.EqualFunc(was, row.now, func(a, b any) bool { return changelog.Equal(a, b) }) && fits {
				continue
			}
			changing = true
			if !fits || !w.bears(component, row, before[row]) {
				delete(v.shown[row.in.table], identity)
				v.held[row.in.table][identity] = row
			}
		}
	}
}

// derive makes row.now of the winner and the references that count, and tells whether all of them let the row show.
func (w *world) derive(v worldView, row *worldRow, counts func(modelReference) bool) bool {
	row.now, row.absent = maps.Clone(row.values), nil
	fits := true
	for _, r := range w.references {
		if r.child != row.in.table || !counts(r) || w.met(v, r, row.values) {
			continue
		}
		switch r.action {
		case "SET NULL", "SET DEFAULT":
			row.absent = append(row.absent, r)
			row.substitute(r, row.now)
		default:
			fits = false
		}
	}
	for _, r := range row.absent {
		fits = fits && (r.action == "SET NULL" || w.met(v, r, row.now))
	}
	return fits
}

func (row *worldRow) substitute(r modelReference, values map[string]any) {
	for _, name := range r.columns {
		values[name] = nil
		if r.action == "SET DEFAULT" {
			values[name] = row.in.column[slices.IndexFunc(row.in.column, func(c modelColumn) bool { return c.name == name })].constant
		}
	}
}

// met tells whether the parent shows to which a row with these values refers.
func (w *world) met(v worldView, r modelReference, values map[string]any) bool {
	for _, name := range r.columns {
		if values[name] == nil {
			return true
		}
	}
	for _, parent := range v.shown[r.parent] {
		all := true
		for i, name := range r.columns {
			same := r.same
			if same == nil {
				same = func(a, b any) bool { return changelog.Key{a}.Identity() == changelog.Key{b}.Identity() }
			}
			all = all && parent.now[r.to[i]] != nil && same(values[name], parent.now[r.to[i]])
		}
		if all {
			return true
		}
	}
	return false
}

// bears tells whether a row of a circle can show without the parents that it lacks there: without some or all of them it must
// follow its own rules, and claim nothing that it did not claim before.
func (w *world) bears(component []*model, row *worldRow, before map[string]any) bool {
	var lacking []modelReference
	for _, r := range row.absent {
		if inside(component, r) {
			lacking = append(lacking, r)
		}
	}
	if len(lacking) > 4 {
		return false
	}
	for some := 1; some < 1<<len(lacking); some++ {
		values := maps.Clone(before)
		for i, r := range lacking {
			if some&(1<<i) != 0 {
				row.substitute(r, values)
			}
		}
		if !row.in.follows(modelRow{values: values}) {
			return false
		}
		for _, u := range row.in.unique {
			own, was := u.of(modelRow{values: values}), u.of(modelRow{values: before})
			if own != nil && (was == nil || claim(own, false) != claim(was, false)) {
				return false
			}
		}
	}
	return true
}

// again says which rows a device puts again that has merged changes, by table and key: rows that showed and are deleted now, if
// one that it has written itself can show with them, and could not without. It may do so, too, if the row then does not show for
// another that has waited for the same parent, and claims a value of it: nobody looks at what waits before the parent is there.
func (w *world) again(self changelog.DeviceID, before, after []changelog.Change) (puts map[string]string, may map[string]bool) {
	lost := make(map[string]map[string]*worldRow)
	v := w.look(after)
	for table, rows := range w.look(before).shown {
		lost[table] = make(map[string]*worldRow)
		for identity, row := range rows {
			if v.shown[table][identity] == nil && v.held[table][identity] == nil {
				row.now = row.values
				lost[table][identity] = row
			}
		}
	}
	puts, may = make(map[string]string), make(map[string]bool)
	for _, table := range w.tables() {
		held := v.held[table.table]
		for _, identity := range slices.Sorted(maps.Keys(held)) {
			child := held[identity]
			if child.newest.Stamp.Device != self {
				continue
			}
			var parents []*worldRow
			if !w.support(v, lost, child, &parents) {
				continue
			}
			for _, parent := range parents {
				v.shown[parent.in.table][parent.in.identity(parent.key)] = parent
			}
			fits := w.derive(v, child, func(modelReference) bool { return true }) && child.in.follows(modelRow{values: child.now}) && !w.overtaken(v, child)
			shows := fits && w.look(with(after, parents, self)).shown[table.table][identity] != nil
			for _, parent := range parents {
				name := parent.in.identity(parent.key)
				if shows {
					puts[parent.in.table+" "+name] = parent.in.line(parent.modelRow)
				} else {
					delete(v.shown[parent.in.table], name)
				}
				may[parent.in.table+" "+name] = may[parent.in.table+" "+name] || fits
			}
		}
	}
	return puts, may
}

// with returns the changes and, newer than all, puts of rows by a device.
func with(changes []changelog.Change, rows []*worldRow, by changelog.DeviceID) []changelog.Change {
	changes = slices.Clone(changes)
	for _, row := range rows {
		put := asBaseline(row.in, row.values)
		put.Stamp = changelog.Stamp{Time: 1 << 46, Device: by}
		changes = append(changes, put)
	}
	return changes
}

// support adds the lost rows that a row needs to show to those that are to be put again, and tells whether that is possible.
func (w *world) support(v worldView, lost map[string]map[string]*worldRow, row *worldRow, puts *[]*worldRow) bool {
	for _, r := range w.references {
		if r.child != row.in.table || r.action == "SET NULL" || r.action == "SET DEFAULT" || w.met(v, r, row.values) {
			continue
		}
		var parent *worldRow
		for _, candidate := range lost[r.parent] {
			one := worldView{shown: map[string]map[string]*worldRow{r.parent: {"": candidate}}}
			if w.met(one, r, row.values) {
				parent = candidate
			}
		}
		if parent == nil || r.action == "CASCADE" {
			return false
		}
		if slices.Contains(*puts, parent) {
			continue
		}
		*puts = append(*puts, parent)
		if !w.support(v, lost, parent, puts) || w.taken(v, parent, func(*worldRow) bool { return true }) {
			return false
		}
	}
	return true
}

// overtaken tells whether a newer row shows a unique value of a row.
func (w *world) overtaken(v worldView, row *worldRow) bool {
	return w.taken(v, row, func(other *worldRow) bool { return newestRowFirst(other, row) < 0 })
}

// taken tells whether one of the other rows that count shows a unique value of a row.
func (w *world) taken(v worldView, row *worldRow, counts func(*worldRow) bool) bool {
	for _, u := range row.in.unique {
		own := u.of(modelRow{values: row.now})
		for _, other := range v.shown[row.in.table] {
			values := u.of(modelRow{values: other.now})
			if other != row && counts(other) && own != nil && values != nil && claim(own, u.noCase) == claim(values, u.noCase) {
				return true
			}
		}
	}
	return false
}
