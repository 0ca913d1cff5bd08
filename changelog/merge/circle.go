package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// closeCircle takes the rows out of sight, or shows them without their parents,
// that refer to rows inside the component that do not show, until nothing
// changes. What rows claimed until then stays claimed.
//
// Since rows can only lose parents here, and no reference is judged by what
// another has made of a row, the order does not matter.
func (m *merger) closeCircle(ctx context.Context, component *changelog.Component) error {
	next := m.looked
	for _, table := range component.Tables {
		written := rows(table.Written)
		if written == nil && !table.Flooded {
			continue
		}
		if err := m.enqueueInside(ctx, next, table, written); err != nil {
			return err
		}
	}
	for len(next) > 0 {
		changed := make(queue)
		for table, waiting := range next {
			for row, key := range waiting {
				did, err := m.closeRow(ctx, table, row, key)
				if err != nil {
					return fmt.Errorf("table %q: %w", table.Name, err)
				}
				if did != nil {
					changed.add(table, row, did)
				}
			}
		}
		next = make(queue)
		for table, written := range changed {
			if err := m.enqueueInside(ctx, next, table, written); err != nil {
				return err
			}
		}
	}
	return nil
}

// enqueueInside finds the rows inside the component that show and refer to rows
// that do not, and were written; nil: to any row.
func (m *merger) enqueueInside(ctx context.Context, to queue, table *changelog.Table, written rows) error {
	for _, r := range table.Referrers {
		if !r.Inside || r.Child.Unwritable != "" {
			continue
		}
		if err := m.enqueueChildren(ctx, to, r, written); err != nil {
			return fmt.Errorf("table %q: find children: %w", table.Name, err)
		}
	}
	return nil
}

// closeRow shows a row as all of its parents let it, and returns its key if
// that is another way than before.
func (m *merger) closeRow(ctx context.Context, table *changelog.Table, row string, key changelog.Key) (changelog.Key, error) {
	before, w, err := m.winner(ctx, table, row, key)
	if err != nil || !before.Visible() {
		return nil, err
	}
	v, err := m.view(ctx, table, w, true)
	if err != nil {
		return nil, err
	}
	if v.held.reason == "" {
		if before.Image == v.row.Image() {
			return nil, nil
		}
		if err := m.substitute(ctx, table, w, &v); err != nil {
			return nil, err
		}
	}
	if v.held.reason != "" {
		if err := m.hide(ctx, table, before); err != nil {
			return nil, err
		}
	}
	m.result.Rows[table.Name]++
	wrote(table, before.Key)
	return before.Key, m.record(ctx, table, *w, before, v.held.reason == "", v)
}

// maxMissing is how many parents a row may lack inside a component and still
// show. FORMAT.md says so, too.
const maxMissing = 4

// substitute shows a row without the parents that it lacks inside its
// component. It is held if it could not be shown without some of them, be it
// that others are there, or if it would then claim a unique value that it did
// not claim before: who else may claim that depends on who came first.
func (m *merger) substitute(ctx context.Context, table *changelog.Table, w *Winner, v *view) error {
	whole, err := m.view(ctx, table, w, false)
	if err != nil {
		return err
	}
	claimed, _, err := m.claims(ctx, table, whole.row)
	if err != nil {
		return err
	}
	var lacking []*changelog.Reference
	for _, l := range v.links {
		if l.missing && l.reference.Inside && !slices.Contains(lacking, l.reference) {
			lacking = append(lacking, l.reference)
		}
	}
	if len(lacking) > maxMissing {
		v.hold(lacking[0])
		return nil
	}
	for some := 1; some < 1<<len(lacking); some++ {
		row := *whole.row
		row.Values = slices.Clone(row.Values)
		for i, r := range lacking {
			if some&(1<<i) != 0 {
				r.Set(&row, r.Substitute())
			}
		}
		claims, possible, err := m.claims(ctx, table, &row)
		if err != nil {
			return err
		}
		if !possible || claimsMore(claims, claimed) {
			v.hold(lacking[0])
			return nil
		}
	}
	refusal := m.put(ctx, table, v.row)
	if changelog.Refused(refusal) {
		v.held.reason = refusalReason(refusal)
		return nil
	}
	return refusal
}

// claimsMore reports whether a row with the first values in the unique indexes
// of its table claims anything that it did not claim with the second.
func claimsMore(claims, before [][]any) bool {
	for u, values := range claims {
		if values != nil && !slices.Contains(values, nil) && !slices.EqualFunc(values, before[u], changelog.Equal) {
			return true
		}
	}
	return false
}
