package merge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// ErrKey says that a key has too few values, or too many.
var ErrKey = errors.New("the key")

// Past is what a database knows of one row.
type Past struct {
	// Key is as the row is known, Changes what it is made of, newest first.
	Key     changelog.Key
	Changes []changelog.Change
	Shown   bool       // the table shows the row
	Reason  string     // why it is held, or shows without its parent; or ""
	Edited  bool       // writes to it are noted that were not looked at yet
	Lost    []Conflict // in which it was overruled, newest first
}

// History returns what is known of a row. The table may be missing here; if it
// takes part, [changelog.Database.Capture] or Look has read it. It only reads.
func History(ctx context.Context, db *changelog.Database, name string, key changelog.Key) (*Past, error) {
	m, past := newMerger(db), &Past{Key: key}
	name = changelog.CanonicalName(name)
	rows, row := "", key.Identity()
	if table := db.Table(name); table != nil && table.Number != 0 {
		if len(key) != len(table.Key) {
			return nil, fmt.Errorf("%w of table %q is: %s", ErrKey, table.Name, strings.Join(table.Put.Key, ", "))
		}
		if err := m.pastOf(ctx, table, past); err != nil {
			return nil, err
		}
		rows, row = table.Put.Rows(), table.Identity(past.Key)
	}
	if len(past.Changes) == 0 && !past.Edited { // it can be held for want of the table, or of its key
		err := eachKept(ctx, db.Conn, func(c *changelog.Change) error {
			past.Changes, rows = append(past.Changes, *c), c.Shape.Rows()
			return nil
		}, "WHERE tbl >= ? AND tbl < ? AND row = ? ORDER BY tbl, n", changelog.Quote(name)+" (", changelog.Quote(name)+" )", []byte(row))
		if err != nil {
			return nil, err
		}
	}
	if len(past.Changes) == 0 {
		return past, nil
	}
	err := db.Conn.Get(ctx, "SELECT coalesce(max(reason), '') FROM sqlitesync_kept WHERE tbl = ? AND row = ? AND n = 0", []any{rows, []byte(row)}, &past.Reason)
	if err != nil {
		return nil, err
	}
	past.Lost, err = conflictsOf(ctx, db.Conn, &past.Changes[0])
	return past, err
}

// pastOf fills in what the clock of a row, and the log, say.
func (m *merger) pastOf(ctx context.Context, table *changelog.Table, past *Past) error {
	clocks, err := m.db.Clocks(ctx, table, []changelog.Key{past.Key})
	if err != nil {
		return err
	}
	for _, clock := range clocks { // of one key there is one at most
		past.Key, past.Shown = clock.Key, clock.Visible()
		if past.Changes, err = m.versions(ctx, table, &clock); err != nil {
			return err
		}
	}
	terms := make([]string, len(past.Key))
	for i := range terms {
		terms[i] = fmt.Sprintf("k%d = ?", i)
	}
	return m.db.Conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_log WHERE abs(tbl) = ? AND "+strings.Join(terms, " AND ")+")",
		append([]any{table.Number}, past.Key...), &past.Edited)
}

// conflictsOf returns the conflicts about the row of a change, newest first.
func conflictsOf(ctx context.Context, c *changelog.Conn, change *changelog.Change) ([]Conflict, error) {
	rows, err := c.Query(ctx, "SELECT id, winner, loser, found FROM sqlitesync_inbox WHERE tbl = ? AND row_key = ? ORDER BY id DESC",
		change.Shape.Rows(), readableKey(change))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return scanConflicts(rows)
}

// All returns every change that is known of the row, newest first, each once, with
// the number of the conflict in which it lost, or 0.
func (p *Past) All() (changes []changelog.Change, lost []int64) {
	type known struct {
		change   changelog.Change
		conflict int64
	}
	var list []known
	add := func(c *changelog.Change, conflict int64) {
		if !slices.ContainsFunc(list, func(k known) bool { return k.change.Compare(c) == 0 }) {
			list = append(list, known{*c, conflict})
		}
	}
	for i := range p.Changes {
		add(&p.Changes[i], 0)
	}
	for i := range p.Lost {
		add(&p.Lost[i].Loser, p.Lost[i].ID)
	}
	for i := range p.Lost { // what has won there may have been overruled since
		add(&p.Lost[i].Winner, 0)
	}
	slices.SortStableFunc(list, func(a, b known) int { return b.change.Compare(&a.change) })
	for i := range list {
		changes, lost = append(changes, list[i].change), append(lost, list[i].conflict)
	}
	return changes, lost
}
