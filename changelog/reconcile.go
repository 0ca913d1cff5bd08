package changelog

import (
	"context"
	"fmt"
)

// mostlyGone is the share of a table's known rows, one in so many, that may be
// gone after a time without capture and still count as deleted.
const mostlyGone = 2

// reconcile notes in the log what may have been written to a table while its
// triggers were missing, because a migration had rebuilt the table or because
// the table was excluded: all rows, and the known ones that are gone.
// [Database.Pending] drops those that are as they are known to be. The cost is
// that of reading the table once.
//
// The entries bear no time, so what is found loses against every edit of
// another device that was made in the meantime.
//
// A table that was dropped and made again is not a table whose rows were
// deleted one by one. If more than half of the known rows are gone, none counts
// as deleted; reconcile returns how many there are.
func (db *Database) reconcile(ctx context.Context, table *Table) (forsaken int, err error) {
	const never = 2440587.5 // 1970 as a Julian day: no time of day at all
	note := fmt.Sprintf("INSERT INTO sqlitesync_log (%s) SELECT %d, %v, ", logColumns(table), table.Number, never)
	_, err = db.Conn.Exec(ctx, note+fmt.Sprintf("%s FROM %s", qualified(table.Key, ""), Quote(table.Name)))
	if err != nil {
		return 0, err
	}
	visible := fmt.Sprintf("c.state NOT IN (%d, %d)", Deleted, Held)
	gone := fmt.Sprintf("%s AND NOT EXISTS (SELECT 1 FROM %s t WHERE %s)", visible, Quote(table.Name), matchKey(table, "t.", "c."))
	clocks := fmt.Sprintf("sqlitesync_clock_%d c", table.Number)
	var known, missing int
	err = db.Conn.Get(ctx, fmt.Sprintf("SELECT count(*) FILTER (WHERE %s), count(*) FILTER (WHERE %s) FROM %s", visible, gone, clocks),
		nil, &known, &missing)
	if err != nil {
		return 0, err
	}
	if missing > known/mostlyGone {
		return missing, nil
	}
	_, err = db.Conn.Exec(ctx, note+fmt.Sprintf("%s FROM %s WHERE %s", keyColumns("c.", table), clocks, gone))
	return 0, err
}
