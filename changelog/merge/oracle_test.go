package merge_test

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// The oracle says what a table must show, given every change that a device knows. It is FORMAT.md's chapter 10 read aloud:
// naive, without SQL, without memory, and without anything of package merge.

// A model is what the oracle knows of a table's definition.
type model struct {
	table  string
	key    []string // canonical, in the order of the PRIMARY KEY
	column []modelColumn
	unique []modelUnique
	check  func(row map[string]any) bool // CHECK constraints; nil: none
	fold   func(text string) string      // of what the collation of the key holds equal; nil: BINARY
}

// identity names a row of the table.
func (m *model) identity(key changelog.Key) string {
	key = slices.Clone(key)
	for i := range key {
		if text, isText := key[i].(string); isText && m.fold != nil {
			key[i] = m.fold(text)
		}
	}
	return key.Identity()
}

type modelColumn struct {
	name     string
	constant any // the default
	notNull  bool
}

type modelUnique struct {
	columns []string
	noCase  bool
	// values computes what an index on expressions has of a row, instead of columns; in says whether a partial index has it.
	values func(row map[string]any) []any
	in     func(row map[string]any) bool
}

// A modelRow is one row as the oracle sees it.
type modelRow struct {
	key    changelog.Key
	values map[string]any // the key columns too
	newest changelog.Change
}

// A view is the oracle's answer, by the identity of keys.
type view struct {
	shown map[string]modelRow
	held  map[string]modelRow
}

// newerFirst orders the changes of one row.
func newerFirst(a, b changelog.Change) int {
	ai, bi := a.Image(), b.Image()
	return cmp.Or(
		cmp.Compare(b.Stamp.Time, a.Stamp.Time),
		bytes.Compare(b.Stamp.Device[:], a.Stamp.Device[:]),
		cmp.Compare(b.Stamp.Batch, a.Stamp.Batch),
		bytes.Compare(bi[:], ai[:]))
}

// of returns the changes of the model's rows, by row, newest first.
func (m *model) of(changes []changelog.Change) map[string][]changelog.Change {
	rows := make(map[string][]changelog.Change)
	for _, c := range changes {
		if c.Shape.Table == m.table && slices.Equal(c.Shape.Key, m.key) {
			rows[m.identity(c.Key)] = append(rows[m.identity(c.Key)], c)
		}
	}
	for _, row := range rows {
		slices.SortFunc(row, newerFirst)
	}
	return rows
}

// look answers what the table shows of these changes, and which rows are held.
func (m *model) look(changes []changelog.Change) view {
	var rows []modelRow
	for _, versions := range m.of(changes) {
		if row, exists := m.winner(versions); exists {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b modelRow) int {
		return cmp.Or(
			cmp.Compare(b.newest.Stamp.Time, a.newest.Stamp.Time),
			bytes.Compare(b.newest.Stamp.Device[:], a.newest.Stamp.Device[:]),
			cmp.Compare(b.newest.Stamp.Batch, a.newest.Stamp.Batch),
			strings.Compare(m.identity(b.key), m.identity(a.key)))
	})
	v := view{make(map[string]modelRow), make(map[string]modelRow)}
	for _, row := range rows {
		free := func(u modelUnique) bool {
			own := u.of(row)
			for _, other := range v.shown {
				if values := u.of(other); own != nil && values != nil && claim(own, u.noCase) == claim(values, u.noCase) {
					return false
				}
			}
			return true
		}
		fits := m.follows(row)
		for _, u := range m.unique {
			fits = fits && free(u)
		}
		if fits {
			v.shown[m.identity(row.key)] = row
		} else {
			v.held[m.identity(row.key)] = row
		}
	}
	return v
}

// winner returns the row that its versions, newest first, amount to.
func (m *model) winner(versions []changelog.Change) (row modelRow, exists bool) {
	for _, c := range versions {
		if c.Shape.Kind != changelog.Partial {
			exists = c.Shape.Kind == changelog.Full
			break
		}
	}
	row = modelRow{key: versions[0].Key, values: make(map[string]any), newest: versions[0]}
	for i, name := range m.key {
		row.values[name] = row.key[i]
	}
	for _, column := range m.column {
		row.values[column.name] = column.constant
		for _, c := range versions {
			if c.Shape.Kind == changelog.Delete {
				break
			}
			if i := slices.Index(c.Shape.Columns, column.name); i >= 0 {
				row.values[column.name] = c.Values[i]
				break
			}
		}
	}
	return row, exists
}

// follows tells whether the row's own values meet the table's rules.
func (m *model) follows(row modelRow) bool {
	for _, column := range m.column {
		if column.notNull && row.values[column.name] == nil {
			return false
		}
	}
	return m.check == nil || m.check(row.values)
}

// of returns what the index has of a row, nil if the row claims nothing in it.
func (u modelUnique) of(row modelRow) (values []any) {
	switch {
	case u.in != nil && !u.in(row.values):
		return nil
	case u.values != nil:
		values = u.values(row.values)
	default:
		for _, name := range u.columns {
			values = append(values, row.values[name])
		}
	}
	if slices.Contains(values, nil) {
		return nil
	}
	return values
}

func claim(values []any, noCase bool) string {
	var b strings.Builder
	for _, value := range values {
		if text, isText := value.(string); isText && noCase {
			value = strings.ToLower(text)
		}
		b.WriteString(changelog.Key{value}.Identity())
		b.WriteByte(0)
	}
	return b.String()
}

// print returns the rows that are shown as device.rows returns them, by identity of the key.
func (m *model) print(v view) map[string]string {
	lines := make(map[string]string)
	for identity, row := range v.shown {
		lines[identity] = m.line(row)
	}
	return lines
}

func (m *model) line(row modelRow) string {
	var parts []string
	for i := range m.key {
		parts = append(parts, printed(row.key[i]))
	}
	for _, column := range m.column {
		parts = append(parts, printed(row.values[column.name]))
	}
	return strings.Join(parts, " ")
}
