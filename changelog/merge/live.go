package merge

import (
	"context"
	"fmt"

	"github.com/sqlitesync/go/changelog"
)

// Live calls each with the changes of a device in batches first to last that still
// decide what a row is, and, if baseline is set, with the rows of a baseline that
// are kept, whoever has published them; or only with those that are wanted, unless
// that is nil. None comes twice: those that did are in memory. See
// [changelog.Database.Live].
func Live(ctx context.Context, db *changelog.Database, device changelog.DeviceID, first, last uint64, baseline bool,
	wanted func(*changelog.Change) (bool, error), each func(changelog.Change) error, altered func(*changelog.Table, changelog.Key) error,
) error {
	met := make(map[string]bool)
	once := func(c changelog.Change) error {
		if wanted != nil {
			if is, err := wanted(&c); err != nil || !is {
				return err
			}
		}
		row := fmt.Sprint(c.Shape.Rows(), c.Key.Identity(), c.Stamp)
		if met[row] {
			return nil
		}
		met[row] = true
		return each(c)
	}
	if err := db.Live(ctx, device, first, last, once, altered); err != nil {
		return err
	}
	return eachKept(ctx, db.Conn, func(c *changelog.Change) error {
		if c.Stamp.Device == device && first <= c.Stamp.Batch && c.Stamp.Batch <= last || baseline && c.Stamp.Baseline() {
			return once(*c)
		}
		return nil
	}, "ORDER BY tbl, row, n")
}

// Layers returns what Live calls each with in layers that have no row twice: a
// batch says one thing of a row. A row that was told of under two names of its key
// is one to a batch, though it is two here.
func Layers(ctx context.Context, db *changelog.Database, device changelog.DeviceID, first, last uint64, baseline bool,
	wanted func(*changelog.Change) (bool, error), altered func(*changelog.Table, changelog.Key) error,
) (layers [][]changelog.Change, err error) {
	met := make(map[string]int)
	err = Live(ctx, db, device, first, last, baseline, wanted, func(c changelog.Change) error {
		row := changelog.Quote(c.Shape.Table) + c.Key.Identity()
		n := met[row]
		met[row]++
		if n == len(layers) {
			layers = append(layers, nil)
		}
		layers[n] = append(layers[n], c)
		return nil
	}, altered)
	return layers, err
}

// Restamp gives changes of rows another stamp: was says for each of them the one
// by which it is known here. They are otherwise unaltered, and remain as new or old
// among the changes of their rows as they were, but for changes of the same time.
// It writes.
func Restamp(ctx context.Context, db *changelog.Database, changes []changelog.Change, was []changelog.Stamp) error {
	m := newMerger(db)
	for i := range changes {
		change := &changes[i]
		row := change.Key.Identity()
		if table := db.Table(change.Shape.Table); homeless(table, change) == "" {
			row = table.Identity(change.Key)
			clock, err := m.clock(ctx, table, change.Key)
			if err != nil {
				return err
			}
			before := clock.Digest()
			if clock != nil && clock.Restamp(was[i], change.Stamp) {
				if err := db.SetClocks(ctx, table, []changelog.Clock{*clock}, before); err != nil {
					return err
				}
			}
		}
		if err := m.restampKept(ctx, change, row, was[i]); err != nil {
			return err
		}
	}
	return nil
}

// restampKept is Restamp for what is kept of a row.
func (m *merger) restampKept(ctx context.Context, change *changelog.Change, row string, was changelog.Stamp) error {
	kept, err := m.kept(ctx, change.Shape, row)
	if err != nil {
		return err
	}
	before := digestOfAll(Combine(kept).Needed)
	for n := range kept {
		c := &kept[n]
		if !c.Restamp(was, change.Stamp) {
			continue
		}
		_, err := m.db.Conn.Exec(ctx, "UPDATE sqlitesync_kept SET change = ? WHERE tbl = ? AND row = ? AND n = ?",
			changelog.AppendChange(nil, c), change.Shape.Rows(), []byte(row), n)
		if err != nil {
			return err
		}
	}
	digest := digestOfAll(Combine(kept).Needed)
	_, err = m.db.Conn.Exec(ctx, "UPDATE sqlitesync_kept SET digest = ? WHERE tbl = ? AND row = ? AND n = 0",
		digest.Bytes(), change.Shape.Rows(), []byte(row))
	if err != nil {
		return err
	}
	return m.db.Redigest(ctx, change.Shape.Rows(), before, digest)
}
