package merge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// place writes the row of a winner into the table. Of rows that claim one
// unique value the newest shows: older ones that are in the way are held, and
// if a newer one is in the way, place returns the reason why this one must be
// held. A reason that is not empty leaves the table as it was.
//
// Because held rows claim nothing, a row shows if and only if no newer shown
// row has a value that it claims. Going through the rows from the newest to
// the oldest shows that only one set of shown rows meets this, so it does not
// matter in which order changes arrive.
func (m *merger) place(ctx context.Context, table *changelog.Table, w *Winner, row *changelog.Change) (reason string, err error) {
	one := []changelog.Change{*row}
	err = m.upsert(ctx, table, one)
	if !refusal(err) {
		return "", err
	}
	reason = refusalReason(err)
	rivals, err := m.rivals(ctx, table, row)
	if err != nil || len(rivals) == 0 {
		return reason, err
	}
	for i := range rivals {
		if newer(&rivals[i], w.Newest()) {
			return reason, nil
		}
	}
	unsent := len(m.result.Unsent)
	err = m.db.Conn.Attempt(ctx, func() error {
		for i := range rivals {
			if err := m.displace(ctx, table, &rivals[i], reason); err != nil {
				return err
			}
		}
		return m.upsert(ctx, table, one)
	})
	if refusal(err) { // by another rule: the row claims nothing, and its rivals stay
		m.result.Unsent = m.result.Unsent[:unsent]
		return refusalReason(err), nil
	}
	return "", err
}

// newer orders rows of one table: by stamp, then by key, since the rows of one
// batch may share a stamp.
func newer(rival *changelog.Clock, change *changelog.Change) bool {
	if c := rival.Stamp.Compare(change.Stamp); c != 0 {
		return c > 0
	}
	return rival.Key.Identity() > change.Key.Identity()
}

// displace holds a row that the table shows.
func (m *merger) displace(ctx context.Context, table *changelog.Table, rival *changelog.Clock, reason string) error {
	versions, err := m.versions(ctx, table, rival)
	if err != nil {
		return err
	}
	if err := m.hide(ctx, table, rival); err != nil {
		return err
	}
	m.result.Rows[table.Name]++
	return m.record(ctx, table, Combine(versions), rival, false, reason)
}

// rivals returns the clocks of the rows other than row that have one of the
// unique values that it claims.
func (m *merger) rivals(ctx context.Context, table *changelog.Table, row *changelog.Change) ([]changelog.Clock, error) {
	self := row.Key.Identity()
	var keys []changelog.Key
	for u, unique := range table.Unique {
		query := table.Statement(fmt.Sprint("rivals ", u), 1, func() string {
			var key, match []string
			for _, column := range table.Key {
				key = append(key, "+"+changelog.Quote(column.Name))
			}
			for i, column := range unique.Columns {
				match = append(match, fmt.Sprintf("%s = ? COLLATE %s", changelog.Quote(column), unique.Collations[i]))
			}
			return fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(key, ", "),
				changelog.Quote(table.Name), strings.Join(match, " AND "))
		})
		found, err := m.db.Keys(ctx, table, query, claims(table, unique, row)...)
		if err != nil {
			return nil, err
		}
		for _, key := range found {
			if key.Identity() != self {
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
		if clock, known := clocks[key.Identity()]; known {
			rivals = append(rivals, clock)
			delete(clocks, key.Identity())
		}
	}
	return rivals, nil
}

// claims returns the values that row has in the columns of a unique index.
func claims(table *changelog.Table, unique changelog.Unique, row *changelog.Change) []any {
	var values []any
	for _, name := range unique.Columns {
		canonical := changelog.CanonicalName(name)
		if i, found := slices.BinarySearch(table.Put.Columns, canonical); found {
			values = append(values, row.Values[i])
		} else {
			values = append(values, row.Key[slices.Index(table.Put.Key, canonical)])
		}
	}
	return values
}

// settle shows held rows whose unique values have become free.
func (m *merger) settle(ctx context.Context) error {
	for _, table := range m.db.Tables {
		if !m.loosened[table] {
			continue
		}
		if err := m.retry(ctx, table); err != nil {
			return err
		}
	}
	return nil
}

// retry looks at the held rows of a table once, newest first. Once is enough:
// what makes room for a row was in the way of a newer one, and what a row
// displaces can't come back while that row shows.
func (m *merger) retry(ctx context.Context, table *changelog.Table) error {
	held, err := m.heldWinners(ctx, table)
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
		reason, err := m.place(ctx, table, &held[i], m.image(table, held[i]))
		if err != nil {
			return err
		}
		if reason != "" {
			continue
		}
		m.result.Rows[table.Name]++
		if err := m.record(ctx, table, held[i], before, true, ""); err != nil {
			return err
		}
	}
	return nil
}

// heldWinners returns the winners of the table that are held although they
// exist, newest first.
func (m *merger) heldWinners(ctx context.Context, table *changelog.Table) ([]Winner, error) {
	rows, err := m.keptRows(ctx, table, "AND reason <> ''")
	if err != nil {
		return nil, err
	}
	var held []Winner
	for _, row := range rows {
		versions, err := m.kept(ctx, table.Put, row)
		if err != nil {
			return nil, err
		}
		if homeless(table, &versions[0]) == "" {
			held = append(held, Combine(versions))
		}
	}
	slices.SortFunc(held, func(a, b Winner) int {
		if c := b.Newest().Stamp.Compare(a.Newest().Stamp); c != 0 {
			return c
		}
		return strings.Compare(b.Newest().Key.Identity(), a.Newest().Key.Identity())
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
