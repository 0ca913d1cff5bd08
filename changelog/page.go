package changelog

import "context"

// Logged reports whether the log holds anything.
func (db *Database) Logged(ctx context.Context) (bool, error) {
	var logged bool
	err := db.Conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_log)", nil, &logged)
	return logged, err
}

// LogPage is the first part of the log.
type LogPage struct {
	Last int64 // id of its last entry, 0 if the log is empty
	More bool  // there are entries after it
	Cut  bool  // the next entry bears another time, so it is of another statement, or none is one of the app
}

// Page returns the first entries of the log, up to limit. It writes.
func (db *Database) Page(ctx context.Context, limit int) (LogPage, error) {
	page, err := db.page(ctx, limit)
	if err != nil || page.Last == 0 {
		return page, err
	}
	if err := db.noteWritten(ctx, page); err != nil || page.More {
		return page, err
	}
	found, err := db.findVictims(ctx)
	if err != nil || !found {
		return page, err
	}
	return db.page(ctx, limit)
}

func (db *Database) page(ctx context.Context, limit int) (page LogPage, err error) {
	rows, err := db.Conn.Query(ctx, "SELECT id, ifnull(at, 0) FROM sqlitesync_log ORDER BY id LIMIT 2 OFFSET ?", limit-1)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	var ids []int64
	var times []float64
	for rows.Next() {
		var id int64
		var at float64
		if err := rows.Scan(&id, &at); err != nil {
			return page, err
		}
		ids, times = append(ids, id), append(times, at)
	}
	if err := rows.Err(); err != nil {
		return page, err
	}
	switch len(ids) {
	case 2:
		return LogPage{Last: ids[0], More: true, Cut: times[0] != times[1] || originOf(times[0]) != Noted}, nil
	case 1:
		return LogPage{Last: ids[0]}, nil
	}
	err = db.Conn.Get(ctx, "SELECT coalesce(max(id), 0) FROM sqlitesync_log", nil, &page.Last)
	return page, err
}

// noteWritten remembers that findVictims is to look at the tables that the page
// says were written to and that have an index that no trigger can look into.
func (db *Database) noteWritten(ctx context.Context, page LogPage) error {
	for _, table := range db.Tables {
		if !table.opaque() {
			continue
		}
		var written bool
		err := db.Conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_log WHERE tbl IN (?, ?) AND id <= ?)",
			[]any{table.Number, -table.Number, page.Last}, &written)
		if err == nil && written {
			err = db.setOpaque(ctx, table, opaqueWritten)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// findVictims notes the rows that a REPLACE may have removed without any
// trigger noting them. The cost is that of looking up the key of every row of a
// table that was written to.
func (db *Database) findVictims(ctx context.Context) (found bool, err error) {
	for _, table := range db.Tables {
		if !table.opaque() {
			continue
		}
		var written bool
		err := db.Conn.Get(ctx, "SELECT opaque = ? FROM sqlitesync_tables WHERE number = ?", []any{opaqueWritten, table.Number}, &written)
		if err != nil {
			return found, err
		}
		if !written {
			continue
		}
		if err := db.noteGone(ctx, table, "julianday('now')"); err != nil {
			return found, err
		}
		if err := db.setOpaque(ctx, table, opaque); err != nil {
			return found, err
		}
		found = true
	}
	return found, nil
}

func (db *Database) setOpaque(ctx context.Context, table *Table, state int) error {
	_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET opaque = ? WHERE number = ?", state, table.Number)
	return err
}

// ClearLog removes a page from the log.
func (db *Database) ClearLog(ctx context.Context, page LogPage) error {
	if !page.More { // SQLite empties a table at once, whatever its size
		_, err := db.Conn.Exec(ctx, "DELETE FROM sqlitesync_log")
		return err
	}
	_, err := db.Conn.Exec(ctx, "DELETE FROM sqlitesync_log WHERE id <= ?", page.Last)
	return err
}
