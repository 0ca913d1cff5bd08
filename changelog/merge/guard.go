package merge

import (
	"context"
	"fmt"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// Guard sees to it that on this connection nothing but a merge itself deletes
// rows of the named tables (by canonical name) or changes their keys: the
// app's triggers would, and what they did where a change was made arrives as
// rows. An authorizer can't prevent it, SQLITE_IGNORE means nothing to a DELETE
// or to a new key. A temporary trigger can: RAISE(IGNORE) ends the one step
// of the app's trigger and lets its other steps run.
//
// It is called inside a transaction, after [changelog.Database.Capture].
func Guard(ctx context.Context, db *changelog.Database, names map[string]bool) error {
	var guards int
	if err := db.Conn.Get(ctx, "SELECT coalesce(max(rowid), 0) FROM sqlite_temp_schema", nil, &guards); err != nil {
		return err
	}
	var script strings.Builder
	for _, table := range db.Tables {
		if table.Guarded = names[table.Put.Table] && table.Unwritable == ""; !table.Guarded {
			continue
		}
		var same []string
		for _, column := range table.Key {
			same = append(same, fmt.Sprintf("OLD.%[1]s = %s", changelog.Quote(column.Name), column.Compared("NEW."+changelog.Quote(column.Name))))
		}
		on := "main." + changelog.Quote(table.Name)
		fmt.Fprintf(&script, "DROP TABLE IF EXISTS temp.%s;\nCREATE TEMP TABLE %[1]s (%s);\n", removing(table), changelog.KeyColumns("", table))
		// SQLite can forget a temporary trigger and keep its name, if its table goes.
		guards++
		fmt.Fprintf(&script, "CREATE TEMP TRIGGER sqlitesync_guard_%d_delete BEFORE DELETE ON %s WHEN NOT EXISTS (SELECT 1 FROM %s WHERE %s) BEGIN SELECT RAISE(IGNORE); END;\n",
			guards, on, removing(table), changelog.MatchKey(table, "OLD.", ""))
		fmt.Fprintf(&script, "CREATE TEMP TRIGGER sqlitesync_guard_%d_update BEFORE UPDATE ON %s WHEN NOT (%s) BEGIN SELECT RAISE(IGNORE); END;\n",
			guards, on, strings.Join(same, " AND "))
	}
	if script.Len() == 0 {
		return nil
	}
	return db.Conn.Script(ctx, script.String())
}

// Unguard ends what Guard did: afterwards the app's triggers can be looked at
// as they are.
func Unguard(ctx context.Context, c *changelog.Conn) error {
	var script string
	err := c.Get(ctx, `SELECT coalesce(group_concat('DROP TRIGGER IF EXISTS temp.' || name, ';'), '') FROM sqlite_temp_schema
		WHERE type = 'trigger' AND name LIKE 'sqlitesync\_guard\_%' ESCAPE '\'`, nil, &script)
	if err != nil || script == "" {
		return err
	}
	return c.Script(ctx, script)
}

// removing names the temporary table with the key of the row that a merge is
// deleting, which the guard lets pass.
func removing(table *changelog.Table) string {
	return fmt.Sprintf("sqlitesync_removing_%d", table.Number)
}

// removeGuarded deletes a row from a table that is guarded.
func (m *merger) removeGuarded(ctx context.Context, table *changelog.Table, key changelog.Key, query string) error {
	pass := table.Statement("pass", 1, func() string {
		return fmt.Sprintf("INSERT INTO temp.%s VALUES %s", removing(table), changelog.Placeholders(1, len(table.Key)))
	})
	if _, err := m.db.Conn.Exec(ctx, pass, key...); err != nil {
		return err
	}
	if err := m.exec(ctx, table, query, key); err != nil {
		return err
	}
	_, err := m.db.Conn.Exec(ctx, "DELETE FROM temp."+removing(table))
	return err
}
