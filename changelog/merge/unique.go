package merge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// place writes the row of a winner into the table. Of rows that claim one
// unique value the newest shows: older ones that are in the way are held, and
// if a newer one is in the way, place returns why this one must be held. A hold
// with a reason leaves the table as it was.
//
// Because held rows claim nothing, a row shows if and only if no newer shown
// row has a value that it claims. Going through the rows from the newest to
// the oldest shows that only one set of shown rows meets this, so it does not
// matter in which order changes arrive.
func (m *merger) place(ctx context.Context, table *changelog.Table, w *Winner, row *changelog.Change) (hold, error) {
	refusal := m.put(ctx, table, row)
	if !changelog.Refused(refusal) {
		return hold{}, refusal
	}
	reason := refusalReason(refusal)
	rivals, err := m.rivals(ctx, table, row)
	if err != nil || len(rivals) == 0 {
		held := hold{reason: reason}
		if changelog.Taken(refusal) { // by a row that is not known, say one without a key
			held.rival = []byte{}
		}
		return held, err
	}
	for i := range rivals {
		if newer(table, &rivals[i], w.Newest()) {
			return hold{reason: reason, rival: []byte(table.Identity(rivals[i].Key))}, nil
		}
	}
	unsent := len(m.result.Unsent)
	err = m.db.Conn.Attempt(ctx, func() error {
		for i := range rivals {
			if err := m.displace(ctx, table, &rivals[i], hold{reason: reason, rival: []byte(table.Identity(row.Key))}); err != nil {
				return err
			}
		}
		return m.put(ctx, table, row)
	})
	if changelog.Refused(err) { // by another rule: the row claims nothing, and its rivals stay
		m.result.Unsent = m.result.Unsent[:unsent]
		return hold{reason: refusalReason(err)}, nil
	}
	return hold{}, err
}

// newer orders rows of one table: by stamp, then by key, since the rows of one
// batch may share a stamp.
func newer(table *changelog.Table, rival *changelog.Clock, change *changelog.Change) bool {
	if c := rival.Stamp.Compare(change.Stamp); c != 0 {
		return c > 0
	}
	return table.Identity(rival.Key) > table.Identity(change.Key)
}

// displace holds a row that the table shows.
func (m *merger) displace(ctx context.Context, table *changelog.Table, rival *changelog.Clock, held hold) error {
	versions, err := m.versions(ctx, table, rival)
	if err != nil {
		return err
	}
	if err := m.hide(ctx, table, rival); err != nil {
		return err
	}
	m.result.Rows[table.Name]++
	touch(table, rival.Key)
	return m.record(ctx, table, Combine(versions), rival, false, view{held: held})
}

// rivals returns the clocks of the rows other than row that have one of the
// unique values that it claims.
func (m *merger) rivals(ctx context.Context, table *changelog.Table, row *changelog.Change) ([]changelog.Clock, error) {
	claims, _, err := m.claims(ctx, table, row)
	if err != nil {
		return nil, err
	}
	self := table.Identity(row.Key)
	found := make(map[string]bool)
	var keys []changelog.Key
	for u, unique := range table.Unique {
		query := table.Statement(fmt.Sprint("rivals ", u), 1, func() string {
			parameters := slices.Repeat([]string{"?"}, len(unique.Terms))
			return fmt.Sprintf("SELECT %s FROM %s WHERE %s", changelog.Bare("", table.Key), changelog.Quote(table.Name), unique.Match(parameters))
		})
		if claims[u] == nil {
			continue
		}
		rivals, err := m.db.Keys(ctx, table, query, claims[u]...)
		if err != nil {
			return nil, err
		}
		for _, key := range rivals {
			if identity := table.Identity(key); identity != self && !found[identity] {
				found[identity] = true
				keys = append(keys, key)
			}
		}
	}
	clocks, err := m.db.Clocks(ctx, table, keys)
	if err != nil {
		return nil, err
	}
	rivals := make([]changelog.Clock, 0, len(clocks))
	for _, key := range keys {
		if clock, known := clocks[table.Identity(key)]; known {
			rivals = append(rivals, clock)
		}
	}
	return rivals, nil
}

// errProbed takes back what claims has written.
var errProbed = errors.New("probed")

// claims returns the values that row has in each unique index, nil for a
// partial index that it is not in. The row is not possible if a rule that is
// not about other rows refuses it. Only SQLite can tell, since an index can be
// on expressions and generated columns: the row takes its place by force, is
// looked at, and leaves it again.
func (m *merger) claims(ctx context.Context, table *changelog.Table, row *changelog.Change) (claims [][]any, possible bool, err error) {
	force := table.Statement("force", 1, func() string { return forceText(table) })
	claims = make([][]any, len(table.Unique))
	err = m.db.Conn.Attempt(ctx, func() error {
		if err := m.exec(ctx, table, force, slices.Concat(row.Key, row.Values)); err != nil {
			return err
		}
		for u, unique := range table.Unique {
			query := table.Statement(fmt.Sprint("claims ", u), 1, func() string {
				terms := make([]string, len(unique.Terms))
				for i, term := range unique.Terms {
					terms[i] = "+" + term.Expression
				}
				condition := ""
				if unique.Condition != "" {
					condition = " AND (" + unique.Condition + ")"
				}
				return fmt.Sprintf("SELECT %s FROM %s WHERE %s%s", strings.Join(terms, ", "),
					changelog.Quote(table.Name), changelog.KeyParameters(table), condition)
			})
			if claims[u], err = m.db.Values(ctx, len(unique.Terms), query, row.Key...); err != nil {
				return err
			}
		}
		return errProbed
	})
	switch {
	case errors.Is(err, errProbed):
		return claims, true, nil
	case changelog.Refused(err):
		return make([][]any, len(table.Unique)), false, nil
	}
	return nil, false, err
}

// retry looks at the held rows of a table in whose way one of these rows was,
// newest first. In each round rows that take others out of sight are newer than
// these, so there are not many.
func (m *merger) retry(ctx context.Context, table *changelog.Table, touched map[string]bool) error {
	held, err := m.heldBehind(ctx, table, touched)
	if err != nil {
		return err
	}
	for i := range held {
		before, err := m.clock(ctx, table, held[i].Newest().Key)
		if err != nil {
			return err
		}
		if before == nil || before.State != changelog.Held {
			continue // shown meanwhile, or waiting for Retry
		}
		if _, err := m.present(ctx, table, &held[i], before); err != nil {
			return err
		}
	}
	return nil
}

// rivalries returns the held rows of a table by the rows that are in their way.
func (m *merger) rivalries(ctx context.Context, table *changelog.Table) (map[string][]string, error) {
	rows, err := m.db.Conn.Query(ctx, "SELECT rival, row FROM sqlitesync_kept WHERE tbl = ? AND n = 0 AND rival IS NOT NULL", table.Put.Rows())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[string][]string)
	for rows.Next() {
		var rival, row []byte
		if err := rows.Scan(&rival, &row); err != nil {
			return nil, err
		}
		found[string(rival)] = append(found[string(rival)], string(row))
	}
	return found, rows.Err()
}

// heldBehind returns the winners of the table that are held although they
// exist, and that one of these rows, or nobody knows which, was in the way of,
// newest first.
func (m *merger) heldBehind(ctx context.Context, table *changelog.Table, touched map[string]bool) ([]Winner, error) {
	rivals, err := m.rivalries(ctx, table)
	if err != nil {
		return nil, err
	}
	var held []Winner
	for rival, rows := range rivals {
		if rival != "" && !touched[rival] {
			continue
		}
		for _, row := range rows {
			versions, err := m.kept(ctx, table.Put, row)
			if err != nil {
				return nil, err
			}
			if homeless(table, &versions[0]) == "" {
				held = append(held, Combine(versions))
			}
		}
	}
	slices.SortFunc(held, func(a, b Winner) int {
		if c := b.Newest().Stamp.Compare(a.Newest().Stamp); c != 0 {
			return c
		}
		return strings.Compare(table.Identity(b.Newest().Key), table.Identity(a.Newest().Key))
	})
	return held, nil
}

// refusalReason turns SQLite's message, which names tables and columns but no
// values, into the reason that is kept with a held row.
func refusalReason(err error) string {
	text := err.Error()
	if _, rest, found := strings.Cut(text, "constraint failed: "); found {
		text = rest
	}
	if cut := strings.LastIndex(text, " ("); cut > 0 {
		text = text[:cut] // the result code
	}
	return text
}
