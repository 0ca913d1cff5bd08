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
	triggers, err := guards(ctx, db.Conn)
	if err != nil {
		return err
	}
	var script strings.Builder
	for _, name := range triggers {
		fmt.Fprintf(&script, "DROP TRIGGER temp.%s;\n", changelog.Quote(name))
	}
	for _, table := range db.Tables {
		if table.Guarded = names[table.Put.Table]; !table.Guarded {
			continue
		}
		var columns, match, same []string
		for i, column := range table.Key {
			columns = append(columns, fmt.Sprintf("k%d", i))
			match = append(match, fmt.Sprintf("OLD.%s = %s", changelog.Quote(column.Name), column.Compared(fmt.Sprintf("k%d", i))))
			same = append(same, fmt.Sprintf("OLD.%[1]s = %s", changelog.Quote(column.Name), column.Compared("NEW."+changelog.Quote(column.Name))))
		}
		list, on := strings.Join(columns, ", "), "main."+changelog.Quote(table.Name)
		fmt.Fprintf(&script, "DROP TABLE IF EXISTS temp.%s;\nCREATE TEMP TABLE %[1]s (%s);\n", removing(table), list)
		fmt.Fprintf(&script, "CREATE TEMP TRIGGER sqlitesync_guard_%d_delete BEFORE DELETE ON %s WHEN NOT EXISTS (SELECT 1 FROM %s WHERE %s) BEGIN SELECT RAISE(IGNORE); END;\n",
			table.Number, on, removing(table), strings.Join(match, " AND "))
		fmt.Fprintf(&script, "CREATE TEMP TRIGGER sqlitesync_guard_%d_update BEFORE UPDATE ON %s WHEN NOT (%s) BEGIN SELECT RAISE(IGNORE); END;\n",
			table.Number, on, strings.Join(same, " AND "))
	}
	if script.Len() == 0 {
		return nil
	}
	return db.Conn.Script(ctx, script.String())
}

func guards(ctx context.Context, c *changelog.Conn) (names []string, err error) {
	rows, err := c.Query(ctx, `SELECT name FROM sqlite_temp_schema WHERE type = 'trigger' AND name LIKE 'sqlitesync\_guard\_%' ESCAPE '\'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
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
	if _, err := m.db.Conn.Exec(ctx, query, key...); err != nil {
		return err
	}
	_, err := m.db.Conn.Exec(ctx, "DELETE FROM temp."+removing(table))
	return err
}
