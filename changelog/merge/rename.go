package merge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// Rename goes on with what is kept of tables, and with their conflicts, when
// their names, or those of columns of their keys, were changed. Tables may have
// exchanged their names, so all give theirs up first.
func Rename(ctx context.Context, db *changelog.Database, stale []changelog.Stale) error {
	renamed := slices.DeleteFunc(slices.Clone(stale), func(s changelog.Stale) bool { return s.Was == "" })
	between := func(table *changelog.Table) string { return fmt.Sprint("renamed ", table.Number) }
	for _, s := range renamed {
		for _, name := range []string{"sqlitesync_kept", "sqlitesync_parents", "sqlitesync_inbox"} {
			if _, err := db.Conn.Exec(ctx, "UPDATE "+name+" SET tbl = ? WHERE tbl = ?", between(s.Table), s.Was); err != nil {
				return err
			}
		}
	}
	for _, s := range renamed {
		for _, rows := range []string{s.Was, s.Table.Put.Rows()} {
			if err := db.DoubtDigest(ctx, rows); err != nil {
				return err
			}
		}
	}
	m := newMerger(db)
	for _, s := range renamed {
		if err := m.renameKept(ctx, s.Table, between(s.Table)); err != nil {
			return err
		}
		if err := m.renameConflicts(ctx, s.Table, between(s.Table)); err != nil {
			return err
		}
	}
	return m.renameLinks(ctx, renamed)
}

// renameKept brings what is kept of a table under the name was together with
// what other devices have sent under its new one.
func (m *merger) renameKept(ctx context.Context, table *changelog.Table, was string) error {
	_, err := m.db.Conn.Exec(ctx, "UPDATE OR REPLACE sqlitesync_parents SET tbl = ? WHERE tbl = ?", table.Put.Rows(), was)
	if err != nil {
		return err
	}
	found, err := m.rowsOf(ctx, "SELECT row FROM sqlitesync_kept WHERE tbl = ? AND n = 0", was)
	if err != nil {
		return err
	}
	for _, row := range found {
		changes, err := m.keptAs(ctx, was, row)
		if err != nil {
			return err
		}
		for n := range changes { // the key is what it was, but for its name
			c := &changes[n]
			c.Shape = changelog.NewShape(c.Shape.Kind, table.Put.Table, table.Put.Key, c.Shape.Columns)
		}
		others, err := m.kept(ctx, table.Put, row)
		if err != nil {
			return err
		}
		held, err := m.holdOf(ctx, was, row)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			theirs, err := m.holdOf(ctx, table.Put.Rows(), row)
			if err != nil {
				return err
			}
			// All of it: that what the row showed is older than what came under the new name must not hide when it was written.
			changes = append(changes, others...)
			slices.SortFunc(changes, func(a, b changelog.Change) int { return b.Compare(&a) })
			w := Combine(changes)
			switch {
			case !w.Exists: // it waits for nothing but Retry, which takes it away
				held = hold{}
			case held.reason == "":
				held = theirs
			}
		}
		if err := m.keep(ctx, table.Put, row, changes, held); err != nil {
			return err
		}
	}
	_, err = m.db.Conn.Exec(ctx, "DELETE FROM sqlitesync_kept WHERE tbl = ?", was)
	return err
}

// renameLinks lets the links of rows speak of tables by the names that these
// have now. Without it, what a row shows for want of its parent would be taken
// for what a person wrote.
func (m *merger) renameLinks(ctx context.Context, renamed []changelog.Stale) error {
	was := make(map[*changelog.Table]string, len(renamed))
	for _, s := range renamed {
		was[s.Table] = s.Was
	}
	for _, table := range m.db.Tables {
		var cases strings.Builder
		var ids, targets []any
		for _, r := range table.References {
			if former := r.FormerID(was); former != r.ID() {
				cases.WriteString(" WHEN ? THEN ?")
				ids, targets = append(ids, former, r.ID()), append(targets, former, r.Target())
			}
		}
		if ids == nil {
			continue
		}
		// All at once: tables may have exchanged their names.
		query := fmt.Sprintf("UPDATE sqlitesync_parents SET reference = CASE reference%[1]s ELSE reference END, parent = CASE reference%[1]s ELSE parent END WHERE tbl = ?", &cases)
		if _, err := m.db.Conn.Exec(ctx, query, slices.Concat(ids, targets, []any{table.Put.Rows()})...); err != nil {
			return err
		}
	}
	return nil
}
