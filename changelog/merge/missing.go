package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Missing returns those of the changes, which stand in logs that were read, that
// are not known here although no newer ones contain them. Changes of tables that
// do not take part here are left out: what is known of them may have been
// forgotten. It only reads.
func Missing(ctx context.Context, db *changelog.Database, changes []changelog.Change) (missing []changelog.Change, err error) {
	m := newMerger(db)
	for part := range slices.Chunk(changes, lookUp) {
		clocks, err := m.clocksOf(ctx, part)
		if err != nil {
			return nil, err
		}
		for i := range part {
			change := &part[i]
			if homeless(db.Table(change.Shape.Table), change) != "" {
				continue
			}
			known, err := m.knows(ctx, change, clocks[i])
			if err == nil && !known {
				known, err = m.contained(ctx, change, clocks[i])
			}
			if err != nil {
				return nil, err
			}
			if !known {
				missing = append(missing, *change)
			}
		}
	}
	return missing, nil
}

// knows reports whether a change counts, as it travelled, for what is known of its row.
func (m *merger) knows(ctx context.Context, change *changelog.Change, clock *changelog.Clock) (bool, error) {
	if clock == nil {
		return false, nil
	}
	if clock.State != changelog.Held && clock.State != changelog.Combined {
		return clock.Stamp == change.Stamp && clock.Image == change.Image(), nil
	}
	kept, err := m.kept(ctx, change.Shape, m.db.Table(change.Shape.Table).Identity(change.Key))
	return slices.ContainsFunc(kept, func(c changelog.Change) bool { return c.Compare(change) == 0 }), err
}

// EachKnown calls each with the key of each row of a table and the digest of each
// change that counts for what is known of it, but for rows that no other device
// has heard of.
func EachKnown(ctx context.Context, db *changelog.Database, table *changelog.Table, each func(changelog.Key, changelog.Digest) error) error {
	err := db.EachClock(ctx, table, func(clock *changelog.Clock) error {
		if digest := clock.Digest(); digest != (changelog.Digest{}) {
			return each(clock.Key, digest)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var row []changelog.Change
	tell := func() error {
		for _, c := range Combine(row).Needed {
			if err := each(c.Key, c.Digest()); err != nil {
				return err
			}
		}
		row = row[:0]
		return nil
	}
	err = eachKept(ctx, db.Conn, func(c *changelog.Change) error {
		if len(row) > 0 && table.Identity(row[0].Key) != table.Identity(c.Key) {
			if err := tell(); err != nil {
				return err
			}
		}
		row = append(row, *c)
		return nil
	}, "WHERE tbl = ? ORDER BY row, n", table.Put.Rows())
	if err != nil {
		return err
	}
	return tell()
}
