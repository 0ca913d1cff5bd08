package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// maxUnknown is how many kept changes Unknown looks at.
const maxUnknown = 10_000

// Unknown returns the columns, by the names of their tables, that changes have
// of which this database keeps the values, because its tables do not have them:
// mostly because its app is older than that of other devices. The tables of db
// must have been read. It writes nothing.
func Unknown(ctx context.Context, db *changelog.Database) (map[string][]string, error) {
	unknown := make(map[string][]string)
	err := eachKept(ctx, db.Conn, func(change *changelog.Change) error {
		table := db.Table(change.Shape.Table)
		if table == nil || change.Shape.Kind == changelog.Delete {
			return nil
		}
		for _, column := range change.Shape.Columns {
			if !table.Put.Contains(column) && !slices.Contains(unknown[table.Name], column) {
				unknown[table.Name] = append(unknown[table.Name], column)
			}
		}
		return nil
	}, "LIMIT ?", maxUnknown)
	for _, columns := range unknown {
		slices.Sort(columns)
	}
	return unknown, err
}

// CountHeldByTable returns, by the names of tables in lower case, how many rows
// are held, and not shown.
func CountHeldByTable(ctx context.Context, c *changelog.Conn) (map[string]int, error) {
	rows, err := c.Query(ctx, "SELECT table_name, count(*) FROM sqlitesync_kept WHERE reason <> '' AND NOT shown GROUP BY table_name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := make(map[string]int)
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return nil, err
		}
		held[name] = n
	}
	return held, rows.Err()
}
