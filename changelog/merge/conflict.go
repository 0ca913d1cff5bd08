package merge

import (
	"context"
	"fmt"
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

// recordConflict keeps the loser's image. Equal images are no conflict: both
// sides wrote the same.
func (m *merger) recordConflict(ctx context.Context, winner, loser *changelog.Change) error {
	if winner.Image() == loser.Image() {
		return nil
	}
	_, err := m.db.Conn.Exec(ctx, "INSERT INTO sqlitesync_conflicts (tbl, winner, loser, found) VALUES (?, ?, ?, ?)",
		winner.Shape.Table,
		changelog.AppendChange(nil, winner), changelog.AppendChange(nil, loser), time.Now().UnixMilli())
	m.result.Conflicts++
	return err
}

// concurrent reports whether the author of the batch that is being merged had
// not seen what is known of a row here.
func (m *merger) concurrent(change *changelog.Change, before *changelog.Clock) bool {
	switch {
	case before == nil || !m.witness || change.Stamp.Device != m.author && !change.Stamp.Baseline():
		return false
	case before.State == changelog.Unsent:
		return true // nobody has seen it
	case change.Stamp.Baseline() && before.Stamp.Baseline():
		return true // two databases had the row before they met
	case change.Stamp.Baseline() && before.Stamp.Baseline():
		return true // both stood in their databases before anything was seen
	default:
		return before.Stamp.Device != m.author && !m.seen.Covers(before.Stamp)
	}
}

// Conflicts returns up to limit conflicts whose id is above after.
func Conflicts(ctx context.Context, c *changelog.Conn, after int64, limit int) ([]Conflict, error) {
	rows, err := c.Query(ctx, "SELECT id, winner, loser, found FROM sqlitesync_conflicts WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var conflicts []Conflict
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
