package merge

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// lostRow is a row that the batch deletes, as it is known.
type lostRow struct {
	changelog.Change
	computed map[string][]changelog.Value // with generated columns, by [changelog.Reference.ID]
}

// values returns the values with which rows refer to the row, nil if none do.
func (row *lostRow) values(r *changelog.Reference) []changelog.Value {
	if values := r.ParentValues(&row.Change); values != nil {
		return values
	}
	return row.computed[r.ID()]
}

// lose keeps in memory what is known of a row that the batch deletes: a child
// that was written here may need it again. That is at most a batch.
func (m *merger) lose(ctx context.Context, table *changelog.Table, key changelog.Key, before *changelog.Clock) error {
	restricts := func(r *changelog.Reference) bool { return r.Action == changelog.Restrict }
	if !m.fresh || !slices.ContainsFunc(table.Referrers, restricts) {
		return nil
	}
	row, err := m.db.Read(ctx, table, key)
	if err != nil || row == nil {
		return err
	}
	lost := &lostRow{Change: *row}
	if before != nil && before.State == changelog.Combined { // it may show less than is known
		versions, err := m.versions(ctx, table, before)
		if err != nil {
			return err
		}
		lost.Change = *m.image(table, Combine(versions))
	}
	m.lost[table] = append(m.lost[table], lost)
	if lost.Image() != row.Image() { // what it computes of what it did not show nobody knows
		return nil
	}
	for _, r := range table.Referrers {
		if restricts(r) && r.ParentValues(row) == nil {
			if err := m.compute(ctx, r, lost); err != nil {
				return err
			}
		}
	}
	return nil
}

// compute reads the values with which rows refer to a row that still stands there:
// some are NULL, or are those of generated columns, which no change contains.
func (m *merger) compute(ctx context.Context, r *changelog.Reference, row *lostRow) error {
	query := r.Parent.Statement("computed "+r.ID(), 1, func() string {
		terms := make([]string, len(r.ParentColumns))
		for i, column := range r.ParentColumns {
			terms[i] = "+" + changelog.Quote(column)
		}
		return fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(terms, ", "), changelog.Quote(r.Parent.Name), changelog.KeyParameters(r.Parent))
	})
	values, err := m.db.Values(ctx, len(r.ParentColumns), query, row.Key...)
	if err != nil || slices.Contains(values, nil) {
		return err
	}
	if row.computed == nil {
		row.computed = make(map[string][]changelog.Value)
	}
	row.computed[r.ID()] = values
	return nil
}

// lostParent returns the row with these values that the batch deletes, nil if it
// does not delete any.
func (m *merger) lostParent(ctx context.Context, r *changelog.Reference, values []changelog.Value) (*lostRow, error) {
	wanted := bucket(values)
	for _, parent := range m.lost[r.Parent] {
		has := parent.values(r)
		if has == nil || !bytes.Equal(bucket(has), wanted) {
			continue
		}
		var same bool
		query := r.Child.Statement("same parent "+r.ID(), 1, r.Same)
		err := m.db.Conn.Get(ctx, query, slices.Concat(has, values), &same)
		if err != nil || same {
			return parent, err
		}
	}
	return nil, nil
}
