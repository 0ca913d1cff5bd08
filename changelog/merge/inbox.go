package merge

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
)

// Conflict is a change that lost against one that its author had not seen, and
// the change that won.
type Conflict struct {
	ID            int64
	Found         time.Time
	Winner, Loser changelog.Change
}

// Collision reports whether the two are not edits of one row but two rows that
// were given one key: each has a birth of its own.
func (c *Conflict) Collision() bool {
	return c.Winner.Shape.Kind != changelog.Delete && c.Loser.Shape.Kind != changelog.Delete && c.Winner.Birth != c.Loser.Birth
}

// Columns returns the columns that the two do not say the same of, sorted: nil
// if one is a delete.
func (c *Conflict) Columns() (columns []string) {
	if c.Winner.Shape.Kind == changelog.Delete || c.Loser.Shape.Kind == changelog.Delete {
		return nil
	}
	for i, column := range c.Winner.Shape.Columns {
		j, found := slices.BinarySearch(c.Loser.Shape.Columns, column)
		if !found || !changelog.Equal(c.Winner.Values[i], c.Loser.Values[j]) {
			columns = append(columns, column)
		}
	}
	for _, column := range c.Loser.Shape.Columns {
		if !c.Winner.Shape.Contains(column) {
			columns = append(columns, column)
		}
	}
	slices.Sort(columns)
	return columns
}

// enter puts a conflict into the inbox, under an id that no other has had, and reports
// whether it was not there yet: a compacted range is merged in steps, and from the
// start again if that is broken off.
func enter(ctx context.Context, c *changelog.Conn, conflict *Conflict) (entered bool, err error) {
	winner, loser := &conflict.Winner, &conflict.Loser
	result, err := c.Exec(ctx, `INSERT INTO sqlitesync_inbox (id, tbl, winner, loser, found, table_name, row_key, differs, collision,
			winner_device, winner_time, winner_values, loser_device, loser_time, loser_values)
		SELECT 1 + max(coalesce((SELECT max(id) FROM sqlitesync_inbox), 0), coalesce((SELECT max(conflict) FROM sqlitesync_days), 0)),
			?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
		WHERE NOT EXISTS (SELECT 1 FROM sqlitesync_inbox WHERE tbl = ?1 AND row_key = ?6 AND winner = ?2 AND loser = ?3)`,
		winner.Shape.Rows(), changelog.AppendChange(nil, winner), changelog.AppendChange(nil, loser), conflict.Found.UnixMilli(),
		winner.Shape.Table, readableKey(winner), readableNames(conflict.Columns()), conflict.Collision(),
		readableDevice(winner), readableTime(winner), readableValues(winner),
		readableDevice(loser), readableTime(loser), readableValues(loser))
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// Conflicts returns up to limit conflicts whose id is above after.
func Conflicts(ctx context.Context, c *changelog.Conn, after int64, limit int) ([]Conflict, error) {
	rows, err := c.Query(ctx, "SELECT id, winner, loser, found FROM sqlitesync_inbox WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return scanConflicts(rows)
}

func scanConflicts(rows *sql.Rows) (conflicts []Conflict, err error) {
	for rows.Next() {
		var conflict Conflict
		var winner, loser []byte
		var found int64
		if err := rows.Scan(&conflict.ID, &winner, &loser, &found); err != nil {
			return nil, err
		}
		w, err := changelog.ParseChange(winner)
		if err != nil {
			return nil, fmt.Errorf("conflict %d: %w", conflict.ID, err)
		}
		l, err := changelog.ParseChange(loser)
		if err != nil {
			return nil, fmt.Errorf("conflict %d: %w", conflict.ID, err)
		}
		conflict.Winner, conflict.Loser, conflict.Found = *w, *l, time.UnixMilli(found)
		conflicts = append(conflicts, conflict)
	}
	return conflicts, rows.Err()
}

// lostBy returns the conflicts that the author of a change has lost about its row.
func lostBy(ctx context.Context, c *changelog.Conn, change *changelog.Change) ([]Conflict, error) {
	rows, err := c.Query(ctx, "SELECT id, winner, loser, found FROM sqlitesync_inbox WHERE tbl = ? AND row_key = ? AND loser_device = ?",
		change.Shape.Rows(), readableKey(change), change.Stamp.Device.String())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return scanConflicts(rows)
}

// CountConflicts returns how many conflicts the inbox holds, and how many of
// them are collisions.
func CountConflicts(ctx context.Context, c *changelog.Conn) (conflicts, collisions int, err error) {
	err = c.Get(ctx, "SELECT count(*), coalesce(sum(collision), 0) FROM sqlitesync_inbox", nil, &conflicts, &collisions)
	return conflicts, collisions, err
}

// Forget takes a conflict out of the inbox, and sees to it that its id is not
// handed out again. It writes, with the Exec of a [changelog.Conn] or an [sql.Tx].
func Forget(ctx context.Context, exec func(context.Context, string, ...any) (sql.Result, error), id int64) error {
	_, err := exec(ctx, "UPDATE sqlitesync_days SET conflict = max(conflict, ?) WHERE number = (SELECT max(number) FROM sqlitesync_days)", id)
	if err != nil {
		return err
	}
	_, err = exec(ctx, "DELETE FROM sqlitesync_inbox WHERE id = ?", id)
	return err
}

// Prune takes conflicts out of the inbox that were found before the last days,
// or that are not among the newest. It counts the days on which it was called
// (date names one) and not those that passed: neither a clock that jumps by a
// century nor a device that lies in a drawer for a year empties an inbox that
// nobody could look into. It writes.
func Prune(ctx context.Context, c *changelog.Conn, date string, days, newest int) error {
	_, err := c.Exec(ctx, `INSERT OR IGNORE INTO sqlitesync_days (date, conflict)
		VALUES (?, coalesce((SELECT max(id) FROM sqlitesync_inbox), (SELECT max(conflict) FROM sqlitesync_days), 0))`, date)
	if err != nil {
		return err
	}
	var expired, surplus int64
	err = c.Get(ctx, `SELECT coalesce((SELECT conflict FROM sqlitesync_days ORDER BY number DESC LIMIT 1 OFFSET ?), 0),
		coalesce((SELECT id FROM sqlitesync_inbox ORDER BY id DESC LIMIT 1 OFFSET ?), 0)`, []any{days, newest}, &expired, &surplus)
	if err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "DELETE FROM sqlitesync_inbox WHERE id <= ?", max(expired, surplus)); err != nil {
		return err
	}
	_, err = c.Exec(ctx, "DELETE FROM sqlitesync_days WHERE number < (SELECT max(number) FROM sqlitesync_days) - ?", days)
	return err
}

// renameConflicts goes on with conflicts of a table whose name, or a column of
// whose key, was changed from what it was.
func (m *merger) renameConflicts(ctx context.Context, table *changelog.Table, was string) error {
	rows, err := m.db.Conn.Query(ctx, "SELECT id, winner, loser, found FROM sqlitesync_inbox WHERE tbl = ?", was)
	if err != nil {
		return err
	}
	defer rows.Close()
	conflicts, err := scanConflicts(rows)
	if err != nil {
		return err
	}
	rows.Close()
	for i := range conflicts {
		winner, loser := &conflicts[i].Winner, &conflicts[i].Loser
		for _, c := range []*changelog.Change{winner, loser} {
			c.Shape = changelog.NewShape(c.Shape.Kind, table.Put.Table, table.Put.Key, c.Shape.Columns)
		}
		_, err := m.db.Conn.Exec(ctx, "UPDATE sqlitesync_inbox SET tbl = ?, winner = ?, loser = ?, table_name = ?, row_key = ? WHERE id = ?",
			table.Put.Rows(), changelog.AppendChange(nil, winner), changelog.AppendChange(nil, loser), table.Put.Table, readableKey(winner), conflicts[i].ID)
		if err != nil {
			return err
		}
	}
	return nil
}
