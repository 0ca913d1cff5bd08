package merge

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// view is what a table is to show of a winner, given which parents show.
type view struct {
	row     *changelog.Change // nil: as the winner says
	derived bool              // row says otherwise, for want of a parent
	lacks   string            // the reason, then
	held    hold              // with a reason if it can't be shown
	links   []link
}

// link says which parent a row refers to.
type link struct {
	reference *changelog.Reference
	values    []changelog.Value
	missing   bool // the parent does not show
}

// view judges each reference of a winner by the winner's own values. Those
// inside a component of tables count as met unless inside is set.
//
// That no reference is judged by what another one has made of the row keeps the
// answer independent of any order, and lets it only become worse while parents
// go (see closeCircle).
func (m *merger) view(ctx context.Context, table *changelog.Table, w *Winner, inside bool) (view, error) {
	v := view{row: m.image(table, *w)}
	own := *v.row
	own.Values = slices.Clone(own.Values)
	var defaults []*changelog.Reference
	for _, r := range table.References {
		values := r.Values(&own)
		if values == nil {
			continue
		}
		// While rows of the parent are missing that others know, nobody is an orphan.
		met := r.Inside && !inside || r.Parent != nil && r.Parent.Incomplete && !r.Parent.Reread
		if !met {
			var err error
			if met, err = m.shows(ctx, r, values); err != nil {
				return v, err
			}
		}
		v.links = append(v.links, link{r, values, !met})
		if met {
			continue
		}
		switch r.Action {
		case changelog.SetDefault:
			defaults = append(defaults, r)
			fallthrough
		case changelog.SetNull:
			r.Set(v.row, r.Substitute())
			v.derived, v.lacks = true, cmp.Or(v.lacks, missingParent(r))
		default:
			v.hold(r)
		}
	}
	for _, r := range defaults { // a default refers to a parent like any other value
		values := r.Values(v.row)
		if values == nil {
			continue
		}
		met, err := m.shows(ctx, r, values)
		if err != nil {
			return v, err
		}
		v.links = append(v.links, link{r, values, !met})
		if !met {
			v.hold(r)
		}
	}
	return v, nil
}

// hold holds the row because of a reference. Of several reasons the first is told.
func (v *view) hold(r *changelog.Reference) {
	v.held.reason = cmp.Or(v.held.reason, missingParent(r))
}

// missingParent is the reason why a row is held, or shows otherwise than it says.
func missingParent(r *changelog.Reference) string {
	return fmt.Sprintf("FOREIGN KEY (%s): the row of %s that it refers to is not shown", strings.Join(r.Columns, ", "), r.ParentName)
}

// missing reports whether a parent does not show.
func (v *view) missing() bool {
	return slices.ContainsFunc(v.links, func(l link) bool { return l.missing })
}

// shows reports whether the parent with these values shows.
func (m *merger) shows(ctx context.Context, r *changelog.Reference, values []changelog.Value) (shows bool, err error) {
	if r.Parent == nil {
		return false, nil
	}
	query := r.Child.Statement("shows "+r.ID(), 1, func() string {
		terms := make([]string, len(values))
		for i, column := range r.ParentColumns {
			terms[i] = changelog.Quote(column) + " = ?"
		}
		return fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE %s)", changelog.Quote(r.Parent.Name), strings.Join(terms, " AND "))
	})
	err = m.db.Conn.Get(ctx, query, values, &shows)
	return shows, err
}

// bucket returns what values have in common with all that SQLite could hold
// equal to them, whatever the types and collations of the columns are. It need
// not tell apart what is different.
func bucket(values []changelog.Value) []byte {
	var b []byte
	for _, v := range values {
		text := ""
		switch v := v.(type) {
		case int64:
			text = numberBucket(float64(v))
		case float64:
			text = numberBucket(v)
		case string:
			v, _, _ = strings.Cut(v, "\x00")
			text = changelog.CanonicalName(strings.TrimRight(v, " "))
			if number, err := strconv.ParseFloat(strings.Trim(text, " \t\n\v\f\r"), 64); err == nil || math.IsInf(number, 0) {
				text = numberBucket(number)
			}
		case []byte:
			text = string(v)
		}
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

// numberBucket puts all numbers together that could lose digits when they
// become text, or text that becomes a number.
func numberBucket(number float64) string {
	if number != math.Trunc(number) || math.Abs(number) >= 1e15 {
		return "number"
	}
	return strconv.FormatInt(int64(number), 10)
}

// worthKeeping returns the links by which a row is found when its parents come
// or go. Of rows that show as they are, the table itself tells.
func (m *merger) worthKeeping(table *changelog.Table, w Winner, state changelog.State, v view) []link {
	switch {
	case len(table.References) == 0 || !w.Exists:
		return nil
	case state == changelog.Held && v.links == nil:
		for _, r := range table.References {
			if values := r.Values(m.image(table, w)); values != nil {
				v.links = append(v.links, link{r, values, false})
			}
		}
		return v.links
	case state == changelog.Held || v.missing():
		return v.links
	}
	return nil
}

// keepLinks replaces the links that are kept of a row.
func (m *merger) keepLinks(ctx context.Context, table *changelog.Table, row string, links []link) error {
	if len(table.References) == 0 {
		return nil
	}
	_, err := m.db.Conn.Exec(ctx, "DELETE FROM sqlitesync_parents WHERE tbl = ? AND row = ?", table.Put.Rows(), []byte(row))
	if err != nil {
		return err
	}
	for n, l := range links {
		_, err := m.db.Conn.Exec(ctx, "INSERT INTO sqlitesync_parents (tbl, row, n, reference, parent, value, missing) VALUES (?, ?, ?, ?, ?, ?, ?)",
			table.Put.Rows(), []byte(row), n, l.reference.ID(), l.reference.Target(), bucket(l.values), l.missing)
		if err != nil {
			return err
		}
	}
	return nil
}

// linked returns the rows of a table whose kept links meet the condition.
func (m *merger) linked(ctx context.Context, table *changelog.Table, condition string, args ...any) ([]string, error) {
	return m.rowsOf(ctx, "SELECT DISTINCT row FROM sqlitesync_parents WHERE tbl = ? AND "+condition, slices.Concat([]any{table.Put.Rows()}, args)...)
}
