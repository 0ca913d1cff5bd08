package merge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// write puts changes of one shape, table.Put or a delete, into the table, over
// what is there, and writes their clocks over those given. A row that the schema
// refuses goes through Combine, which holds it.
func (m *merger) write(ctx context.Context, table *changelog.Table, changes []changelog.Change, clocks map[string]changelog.Clock) error {
	if len(changes) == 0 {
		return nil
	}
	for i := range changes {
		touch(table, changes[i].Key)
	}
	accepted, refused := changes, []changelog.Change(nil)
	var err error
	if changes[0].Shape.Kind == changelog.Delete {
		for i := range changes {
			if err := m.lose(ctx, table, changes[i].Key, nil); err != nil {
				return err
			}
			if err := m.remove(ctx, table, changes[i].Key); err != nil {
				return err
			}
		}
	} else if accepted, refused, err = m.writePuts(ctx, table, changes); err != nil {
		return err
	}
	m.result.Rows[table.Name] += len(accepted)
	if err := m.db.Record(ctx, table, accepted, changelog.Shown, digestOf(table, clocks, accepted)); err != nil {
		return err
	}
	for i := range refused {
		if err := m.refused(ctx, table, &refused[i]); err != nil {
			return err
		}
	}
	return nil
}

// writePuts writes puts in groups. A statement that fails undoes itself; its
// rows are then written one by one, to find out which the schema refuses.
func (m *merger) writePuts(ctx context.Context, table *changelog.Table, puts []changelog.Change) (accepted, refused []changelog.Change, err error) {
	err = changelog.Groups(puts, len(table.Key)+len(table.Columns), func(group []changelog.Change) error {
		err := m.upsert(ctx, table, group)
		if err == nil {
			accepted = append(accepted, group...)
		}
		if !changelog.Refused(err) {
			return err
		}
		for i := range group {
			switch err := m.upsert(ctx, table, group[i:i+1]); {
			case err == nil:
				accepted = append(accepted, group[i])
			case changelog.Refused(err):
				refused = append(refused, group[i])
			default:
				return err
			}
		}
		return nil
	})
	return accepted, refused, err
}

// refused deals with a change that would have been written simply, had the
// schema not refused it.
func (m *merger) refused(ctx context.Context, table *changelog.Table, change *changelog.Change) error {
	before, err := m.clock(ctx, table, change.Key)
	if err != nil {
		return err
	}
	return m.show(ctx, table, Combine([]changelog.Change{*change}), before)
}

// upsert writes full puts of the table's columns.
func (m *merger) upsert(ctx context.Context, table *changelog.Table, changes []changelog.Change) error {
	width := len(table.Key) + len(table.Columns)
	query := table.Statement("upsert", len(changes), func() string { return upsertText(table, len(changes), width) })
	args := make([]any, 0, len(changes)*width)
	for i := range changes {
		args = append(args, changes[i].Key...)
		args = append(args, changes[i].Values...)
	}
	if len(changes) == 1 || m.db.Silent(table.Name) {
		return m.exec(ctx, table, query, args)
	}
	result, err := m.db.Conn.Exec(ctx, query, args...)
	if changelog.Refused(err) {
		if lost := m.db.Conn.CheckTransaction(ctx); lost != nil {
			return lost
		}
	}
	if err != nil || table.Triggered {
		return err // a trigger may pass over a row
	}
	return changelog.CheckCount(result, len(changes))
}

// exec runs a statement for one row. What the app's triggers keep of their own,
// and fail with, must not decide whether the row shows.
func (m *merger) exec(ctx context.Context, table *changelog.Table, query string, args []any) error {
	if m.db.Silent(table.Name) {
		return m.db.Conn.ExecQuietly(ctx, query, args...)
	}
	_, err := m.db.Conn.Exec(ctx, query, args...)
	broken := table.Triggered && changelog.ErrorCode(err) == 11 // say, an index for full-text search that was never filled
	if !changelog.Refused(err) && !broken {
		return err
	}
	if lost := m.db.Conn.CheckTransaction(ctx); lost != nil {
		m.db.Silence(table.Name)
		return lost
	}
	if table.Triggered && m.db.Conn.ExecQuietly(ctx, query, args...) == nil {
		if !slices.Contains(m.result.Silenced, table.Name) {
			m.result.Silenced = append(m.result.Silenced, table.Name)
		}
		return nil
	}
	return err
}

// upsertText is never a REPLACE: that would remove other rows, change rowids
// and fire cascades. OR ABORT overrides what the table's constraints declare
// (UNIQUE … ON CONFLICT REPLACE, IGNORE or ROLLBACK). The alias keeps the name
// excluded free, should the table itself be called so.
func upsertText(table *changelog.Table, rows, width int) string {
	var all, set []string
	assign := func(name string) { set = append(set, name+" = excluded."+name) }
	for _, column := range table.Key {
		name := changelog.Quote(column.Name)
		all = append(all, name)
		if column.Loose() {
			assign(name)
		}
	}
	for _, column := range table.Columns {
		name := changelog.Quote(column.Name)
		all = append(all, name)
		assign(name)
	}
	action := "NOTHING"
	if len(set) > 0 {
		action = "UPDATE SET " + strings.Join(set, ", ")
	}
	return fmt.Sprintf("INSERT OR ABORT INTO %s AS sqlitesync_row (%s) VALUES %s ON CONFLICT %s DO %s", changelog.Quote(table.Name),
		strings.Join(all, ", "), changelog.Placeholders(rows, width), table.ConflictTarget(), action)
}

// forceText writes a row over all rows that are in its way. It is always taken
// back.
func forceText(table *changelog.Table, width int) string {
	var all []string
	for _, column := range slices.Concat(table.Key, table.Columns) {
		all = append(all, changelog.Quote(column.Name))
	}
	return fmt.Sprintf("INSERT OR REPLACE INTO %s (%s) VALUES %s", changelog.Quote(table.Name),
		strings.Join(all, ", "), changelog.Placeholders(1, width))
}

// remove deletes a row from the app's table.
func (m *merger) remove(ctx context.Context, table *changelog.Table, key changelog.Key) error {
	query := table.Statement("remove", 1, func() string {
		return fmt.Sprintf("DELETE FROM %s WHERE %s", changelog.Quote(table.Name), changelog.KeyParameters(table))
	})
	if table.Guarded {
		return m.removeGuarded(ctx, table, key, query)
	}
	return m.exec(ctx, table, query, key)
}
