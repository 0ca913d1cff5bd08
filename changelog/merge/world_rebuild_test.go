package merge_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// rebuild makes the tables of m anew, as a migration does that gives them rules, or takes them away. Rows that break the new
// rules it leaves out; they must come back from the logs, held. Before it, what the app wrote may be folded.
func (h *worldRun) rebuild(m *worldMember, fold bool) {
	h.t.Helper()
	if m.lacks != "" || m.kind != h.loose && m.kind != h.kind {
		return
	}
	to := h.kind
	if m.kind == h.kind {
		to = h.loose
	}
	if fold {
		h.fold(m)
	}
	h.baseline(m) // what nobody else has is in no log
	m.rebuilt++
	script := to.rebuilding(fmt.Sprint("made", m.rebuilt, "_"))
	h.logf("%s makes its tables anew: %s", m.name(), script)
	m.exec("PRAGMA foreign_keys = 0; BEGIN;" + script + "COMMIT")
	m.exec(fmt.Sprintf("PRAGMA foreign_keys = %t", m.appForeignKeys))
	m.kind = to
	made := len(m.made)
	m.schemaChanged()
	h.readAgain(m)
	h.compare(m.device, "edits of a migration", m.edits(made), nil) // what it left out nobody has deleted
	h.publish(m)
	h.verify(m)
}

// rebuilding returns the statements that make all tables anew, first under names with a prefix.
func (k *worldKind) rebuilding(prefix string) string {
	var script strings.Builder
	for _, table := range k.world.tables() {
		names := slices.Clone(table.key)
		for _, column := range table.column {
			names = append(names, column.name)
		}
		made := prefix + table.table
		for statement := range strings.SplitSeq(k.creating(table.table), ";") {
			statement = strings.Replace(statement, "CREATE TABLE "+table.table+" (", "CREATE TABLE "+made+" (", 1)
			statement = strings.Replace(statement, " ON "+table.table+" (", " ON "+made+" (", 1)
			script.WriteString(strings.Replace(statement, "INDEX ", "INDEX "+prefix, 1) + ";")
		}
		list := strings.Join(names, ", ")
		fmt.Fprintf(&script, "INSERT OR IGNORE INTO %s (%s) SELECT %s FROM %s;", made, list, list, table.table)
		fmt.Fprintf(&script, "DROP TABLE %s; ALTER TABLE %s RENAME TO %s;", table.table, made, table.table)
	}
	return script.String()
}

// readAgain merges the logs once more into the tables that lack rows, as package sqlitesync does.
func (h *worldRun) readAgain(m *worldMember) {
	h.t.Helper()
	incomplete := slices.DeleteFunc(slices.Clone(m.db.Tables), func(t *changelog.Table) bool { return !t.Incomplete })
	if len(incomplete) == 0 {
		return
	}
	h.mark("read again")
	for _, author := range slices.SortedFunc(maps.Keys(h.logs), func(a, b changelog.DeviceID) int { return bytes.Compare(a[:], b[:]) }) {
		for _, batch := range h.logs[author] {
			if author != m.id && batch.Number > m.seen[author] {
				break
			}
			part := transport(h.t, batch)
			part.Changes = slices.DeleteFunc(part.Changes, func(c changelog.Change) bool { return !slices.Contains(incomplete, m.db.Table(c.Shape.Table)) })
			m.transact(func(ctx context.Context) error {
				result, err := merge.Apply(ctx, m.db, part, false)
				if err == nil && (result.PutAgain > 0 || len(result.Unsent) > 0) {
					h.t.Errorf("%s, reading what it had merged, has to tell of it: %+v", m.name(), result)
				}
				return err
			})
		}
	}
	m.transact(func(ctx context.Context) error {
		for _, table := range incomplete {
			if err := m.db.SetIncomplete(ctx, table, false); err != nil {
				return err
			}
		}
		for _, table := range incomplete {
			for _, r := range table.Referrers {
				if _, err := merge.Settle(ctx, m.db, r.Child); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
