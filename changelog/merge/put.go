package merge

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// put writes a full put of the table's columns. Where the app has triggers, this is an
// UPDATE, and an INSERT if the row is not there, without OR: what a statement says after
// OR, and what an upsert does where it conflicts, SQLite does in the triggers too,
// whatever these say after OR themselves. An INSERT OR REPLACE into a local table would fail.
func (m *merger) put(ctx context.Context, table *changelog.Table, change *changelog.Change) error {
	if !table.Triggered {
		return m.upsert(ctx, table, []changelog.Change{*change})
	}
	set := updated(table)
	update := table.Statement("update", 1, func() string { return updateText(table, set, m.orAbort(table)) })
	insert := table.Statement("insert", 1, func() string { return insertText(table, m.orAbort(table)) })
	row := slices.Concat(change.Key, change.Values)
	args := make([]any, 0, len(set)+len(change.Key))
	for _, i := range set {
		args = append(args, row[i])
	}
	args = append(args, change.Key...)
	return m.writeRow(ctx, table, func(exec execute) error {
		if len(set) > 0 {
			result, err := exec(ctx, update, args...)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n > 0 {
				return err
			}
		}
		_, err := exec(ctx, insert, row...)
		return err
	})
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
	if err != nil {
		return err
	}
	return changelog.CheckCount(result, len(changes))
}

// exec runs a statement for one row.
func (m *merger) exec(ctx context.Context, table *changelog.Table, query string, args []any) error {
	return m.writeRow(ctx, table, func(exec execute) error {
		_, err := exec(ctx, query, args...)
		return err
	})
}

// execute runs a statement.
type execute func(ctx context.Context, query string, args ...any) (sql.Result, error)

// writeRow runs the statements of fn, which write one row, and can run twice. What the
// app's triggers keep of their own, and fail with, must not decide whether the row
// shows.
func (m *merger) writeRow(ctx context.Context, table *changelog.Table, fn func(execute) error) error {
	if m.db.Silent(table.Name) {
		return fn(m.db.Conn.ExecQuietly)
	}
	err := fn(m.db.Conn.Exec)
	broken := table.Triggered && changelog.ErrorCode(err) == 11 // say, an index for full-text search that was never filled
	if !changelog.Refused(err) && !broken {
		return err
	}
	if lost := m.db.Conn.CheckTransaction(ctx); lost != nil {
		m.db.Silence(table.Name)
		return lost
	}
	if table.Triggered && fn(m.db.Conn.ExecQuietly) == nil {
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

// updated returns which of the values of a row, its key's first, an UPDATE sets.
func updated(table *changelog.Table) (set []int) {
	for i, column := range slices.Concat(table.Key, table.Columns) {
		if i >= len(table.Key) || column.Loose() {
			set = append(set, i)
		}
	}
	return set
}

// updateText sets these values of a row.
func updateText(table *changelog.Table, set []int, or string) string {
	all := slices.Concat(table.Key, table.Columns)
	terms := make([]string, len(set))
	for i, at := range set {
		terms[i] = changelog.Quote(all[at].Name) + " = ?"
	}
	return fmt.Sprintf("UPDATE %s%s SET %s WHERE %s", or, changelog.Quote(table.Name), strings.Join(terms, ", "), changelog.KeyParameters(table))
}

// insertText writes a row that is not there. One that is nothing but its key can be.
func insertText(table *changelog.Table, or string) string {
	text := insertInto(table, or)
	if len(updated(table)) == 0 {
		text += " ON CONFLICT " + table.ConflictTarget() + " DO NOTHING"
	}
	return text
}

// orAbort returns what a statement that fires triggers says after its first word: only
// where it must is it OR ABORT, as upsertText is.
func (m *merger) orAbort(table *changelog.Table) string {
	if m.db.Lenient(table.Name) {
		return "OR ABORT "
	}
	return ""
}

// forceText writes a row over all rows that are in its way. It is always taken
// back.
func forceText(table *changelog.Table) string { return insertInto(table, "OR REPLACE ") }

func insertInto(table *changelog.Table, or string) string {
	var all []string
	for _, column := range slices.Concat(table.Key, table.Columns) {
		all = append(all, changelog.Quote(column.Name))
	}
	return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES %s", or, changelog.Quote(table.Name), strings.Join(all, ", "), changelog.Placeholders(1, len(all)))
}
