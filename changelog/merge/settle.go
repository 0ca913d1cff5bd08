package merge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// rows are rows of a table by Identity. A nil key is looked up in what is kept.
type rows map[string]changelog.Key

// queue holds rows that are to be looked at.
type queue map[*changelog.Table]rows

func (q queue) add(table *changelog.Table, row string, key changelog.Key) {
	if q[table] == nil {
		q[table] = make(rows)
	}
	if key != nil || q[table][row] == nil {
		q[table][row] = key
	}
}

// take empties the queue of a table.
func (q queue) take(table *changelog.Table) rows {
	taken := q[table]
	delete(q, table)
	return taken
}

// settle makes the tables show what they are to show after rows were written:
// rows with unique values that have become free, and rows whose parents came or
// went. Parents are settled before their children.
func (m *merger) settle(ctx context.Context) error {
	for i := range m.db.Components {
		component := &m.db.Components[i]
		if !slices.ContainsFunc(component.Tables, (*changelog.Table).Bound) {
			if err := m.settleUnique(ctx, component.Tables[0]); err != nil {
				return err
			}
			continue
		}
		if err := m.settleBound(ctx, component); err != nil {
			return err
		}
	}
	return nil
}

// settleUnique shows held rows whose unique values have become free.
func (m *merger) settleUnique(ctx context.Context, table *changelog.Table) error {
	for len(table.Touched) > 0 {
		touched := table.Touched
		table.Touched = nil // showing a row may take others out of sight, and so on
		if err := m.retry(ctx, table, touched); err != nil {
			return err
		}
	}
	return nil
}

// settleBound settles tables whose rows can be parents or children.
func (m *merger) settleBound(ctx context.Context, component *changelog.Component) error {
	for _, table := range component.Tables {
		if err := m.enqueueWritten(ctx, table); err != nil {
			return fmt.Errorf("table %q: find rows without parents: %w", table.Name, err)
		}
	}
	m.looked = make(queue)
	asked := make(queue) // whose children were looked for
	for working := true; working; {
		working = false
		for _, table := range component.Tables {
			worked, err := m.showAgain(ctx, component, table)
			if err != nil {
				return fmt.Errorf("table %q: %w", table.Name, err)
			}
			working = working || worked
		}
		if !component.Cyclic {
			break
		}
		for _, table := range component.Tables {
			if err := m.enqueueOrphans(ctx, table, asked); err != nil {
				return fmt.Errorf("table %q: find orphans: %w", table.Name, err)
			}
		}
		working = working || slices.ContainsFunc(component.Tables, func(t *changelog.Table) bool { return len(m.work[t]) > 0 })
	}
	if component.Cyclic {
		if err := m.closeCircle(ctx, component); err != nil {
			return err
		}
	}
	for _, table := range component.Tables {
		if err := m.passOn(ctx, table); err != nil {
			return fmt.Errorf("table %q: find children: %w", table.Name, err)
		}
	}
	return nil
}

// enqueueWritten finds the rows that were written and are not shown as they
// should be, as far as that can be their references' fault.
func (m *merger) enqueueWritten(ctx context.Context, table *changelog.Table) error {
	if len(table.References) == 0 || table.Unwritable != "" {
		return nil
	}
	unmet := make([]string, len(table.References))
	for i, r := range table.References {
		unmet[i] = r.Unmet("c.")
	}
	orphan := strings.Join(unmet, " OR ")
	if m.whole[table] || table.Flooded {
		delete(m.whole, table)
		query := fmt.Sprintf("SELECT %s FROM %s c WHERE %s", changelog.Bare("c.", table.Key), changelog.Quote(table.Name), orphan)
		if err := m.enqueue(ctx, m.work, table, query); err != nil {
			return err
		}
		for _, source := range []string{"kept WHERE tbl = ? AND reason <> ''", "parents WHERE tbl = ?"} {
			found, err := m.rowsOf(ctx, "SELECT DISTINCT row FROM sqlitesync_"+source, table.Put.Rows())
			if err != nil {
				return err
			}
			for _, row := range found {
				m.work.add(table, row, nil)
			}
		}
	}
	return changelog.Groups(keysOf(table.Written), len(table.Key), func(group []changelog.Key) error {
		query := table.Statement("written", len(group), func() string {
			return fmt.Sprintf(`WITH wanted (%[1]s) AS (VALUES %[2]s)
				SELECT %[1]s FROM wanted w WHERE EXISTS (SELECT 1 FROM sqlitesync_clock_%[3]d k WHERE %[4]s AND k.state IN (%[5]d, %[6]d))
				OR EXISTS (SELECT 1 FROM %[7]s c WHERE %[8]s AND (%[9]s))`,
				changelog.KeyColumns("", table), changelog.Placeholders(len(group), len(table.Key)), table.Number, changelog.JoinKey(table, "k.", "w."),
				changelog.Held, changelog.Combined, changelog.Quote(table.Name), changelog.MatchKey(table, "c.", "w."), orphan)
		})
		return m.enqueue(ctx, m.work, table, query, flat(group)...)
	})
}

// enqueue adds the rows whose keys a query selects.
func (m *merger) enqueue(ctx context.Context, to queue, table *changelog.Table, query string, args ...any) error {
	keys, err := m.db.Keys(ctx, table, query, args...)
	for _, key := range keys {
		if !slices.Contains(key, nil) {
			to.add(table, table.Identity(key), key)
		}
	}
	return err
}

// showAgain looks at the rows of a table that wait for it, without regard to
// references inside the component, and reports whether there were any.
//
// Where tables refer to one another in a circle, a row that shows no value, or
// does not show at all, for want of a parent inside, claims its unique values
// all the same. So these rows are shown for a moment: what they keep from being
// shown stays so.
func (m *merger) showAgain(ctx context.Context, component *changelog.Component, table *changelog.Table) (bool, error) {
	if table.Unwritable != "" {
		m.work.take(table)
		table.Touched = nil
		return false, nil
	}
	waiting := m.work.take(table)
	worked := len(waiting) > 0 || len(table.Touched) > 0
	if worked && component.Cyclic && len(table.Unique) > 0 {
		orphans, err := m.linked(ctx, table, "missing")
		if err != nil {
			return false, err
		}
		work := queue{table: waiting}
		for _, row := range orphans {
			work.add(table, row, nil)
		}
		waiting = work[table]
	}
	for _, row := range slices.Sorted(maps.Keys(waiting)) {
		if _, looked := m.looked[table][row]; looked {
			continue
		}
		before, w, err := m.winner(ctx, table, row, waiting[row])
		if err != nil {
			return false, err
		}
		m.looked.add(table, row, waiting[row])
		if before == nil {
			continue
		}
		shown, err := m.present(ctx, table, w, before)
		if err != nil {
			return false, err
		}
		if !shown && component.Cyclic { // it may have claimed values until now, be it unseen
			touch(table, before.Key)
		}
	}
	return worked, m.settleUnique(ctx, table)
}

// winner returns what is known of a row that exists, nil if it does not.
func (m *merger) winner(ctx context.Context, table *changelog.Table, row string, key changelog.Key) (*changelog.Clock, *Winner, error) {
	if key == nil {
		kept, err := m.kept(ctx, table.Put, row)
		if err != nil || len(kept) == 0 || homeless(table, &kept[0]) != "" {
			return nil, nil, err
		}
		key = kept[0].Key
	}
	before, err := m.clock(ctx, table, key)
	if err != nil || before == nil {
		return nil, nil, err
	}
	versions, err := m.versions(ctx, table, before)
	if err != nil || len(versions) == 0 {
		return nil, nil, err
	}
	w := Combine(versions)
	if !w.Exists {
		return nil, nil, nil
	}
	return before, &w, nil
}

// present shows a winner as its parents let it, those outside its component, or
// holds it.
func (m *merger) present(ctx context.Context, table *changelog.Table, w *Winner, before *changelog.Clock) (shown bool, err error) {
	v, err := m.view(ctx, table, w, false)
	if err != nil {
		return false, err
	}
	if len(table.References) > 0 {
		m.looked.add(table, table.Identity(before.Key), before.Key)
	}
	if v.held.reason == "" {
		if before.Visible() && before.Shape == table.PutNumber && before.Image == v.row.Image() {
			if before.State != changelog.Combined { // the table says it all
				return true, nil
			}
			return true, m.record(ctx, table, *w, before, true, v)
		}
		if v.held, err = m.place(ctx, table, w, v.row); err != nil {
			return false, err
		}
	}
	if shown = v.held.reason == ""; !shown {
		if err := m.hide(ctx, table, before); err != nil {
			return false, err
		}
	}
	if before.Visible() {
		touch(table, before.Key)
	}
	if before.Visible() || shown {
		m.result.Rows[table.Name]++
		wrote(table, before.Key)
	}
	return shown, m.record(ctx, table, *w, before, shown, v)
}

// enqueueOrphans finds the rows that wait for rows of the table inside its
// component, which may have come.
func (m *merger) enqueueOrphans(ctx context.Context, table *changelog.Table, asked queue) error {
	fresh := make(rows)
	for row, key := range table.Written {
		if _, done := asked[table][row]; !done {
			fresh[row] = key
			asked.add(table, row, key)
		}
	}
	if table.Flooded && asked[table][""] == nil {
		fresh = nil
		asked.add(table, "", changelog.Key{})
	}
	for _, r := range table.Referrers {
		if !r.Inside || fresh != nil && len(fresh) == 0 {
			continue
		}
		if err := m.enqueueLinked(ctx, r, fresh); err != nil {
			return err
		}
	}
	return nil
}

// passOn finds the rows of other components that have to be looked at because
// their parents were written.
func (m *merger) passOn(ctx context.Context, table *changelog.Table) error {
	written := rows(table.Written)
	if len(written) == 0 && !table.Flooded {
		return nil
	}
	if table.Flooded {
		written = nil
	}
	table.Written, table.Flooded = nil, false
	if len(table.Local) > 0 {
		m.seenLocally[table] = written
	}
	for _, r := range table.Referrers {
		if r.Inside || r.Child.Unwritable != "" {
			continue
		}
		if err := m.enqueueLinked(ctx, r, written); err != nil {
			return err
		}
		if err := m.enqueueChildren(ctx, m.work, r, written); err != nil {
			return err
		}
	}
	return nil
}
