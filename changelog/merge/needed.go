package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Needed returns those of the changes, in their order, that newer ones known here
// do not together contain: what a compaction must carry on. In doubt a change is
// needed: a row of which nothing is known here may have been forgotten only here
// (its table was dropped, renamed or excluded).
//
// It only reads, and what is in the log makes it no less right: an edit that is
// not folded yet overrules nothing.
func Needed(ctx context.Context, db *changelog.Database, changes []changelog.Change) ([]changelog.Change, error) {
	m := newMerger(db)
	needed := make([]changelog.Change, 0, len(changes))
	for part := range slices.Chunk(changes, lookUp) {
		clocks, err := m.clocksOf(ctx, part)
		if err != nil {
			return nil, err
		}
		for i := range part {
			overruled, err := m.contained(ctx, &part[i], clocks[i])
			if err != nil {
				return nil, err
			}
			if !overruled {
				needed = append(needed, part[i])
			}
		}
	}
	return needed, nil
}

// clocksOf returns what is known of the rows of changes, nil where that is
// nothing.
func (m *merger) clocksOf(ctx context.Context, changes []changelog.Change) ([]*changelog.Clock, error) {
	found := make([]*changelog.Clock, len(changes))
	byTable := make(map[*changelog.Table][]int)
	for i := range changes {
		if table := m.db.Table(changes[i].Shape.Table); homeless(table, &changes[i]) == "" {
			byTable[table] = append(byTable[table], i)
		}
	}
	for table, indices := range byTable {
		keys := make([]changelog.Key, len(indices))
		for k, i := range indices {
			keys[k] = changes[i].Key
		}
		clocks, err := m.db.Clocks(ctx, table, keys)
		if err != nil {
			return nil, err
		}
		for _, i := range indices {
			if clock, known := clocks[table.Identity(changes[i].Key)]; known {
				found[i] = &clock
			}
		}
	}
	return found, nil
}

// contained reports whether newer changes contain all that a change contains.
func (m *merger) contained(ctx context.Context, change *changelog.Change, clock *changelog.Clock) (bool, error) {
	switch {
	case clock == nil:
		return m.containedInKept(ctx, change, change.Key.Identity())
	case clock.State == changelog.Held || clock.State == changelog.Combined:
		return m.containedInKept(ctx, change, m.db.Table(change.Shape.Table).Identity(change.Key))
	case clock.CompareChange(change) <= 0:
		return false, nil
	case clock.State == changelog.Deleted:
		return true, nil
	}
	shape, err := m.db.Shape(ctx, clock.Shape)
	if err != nil {
		return false, err
	}
	// The newest delete of a row is kept beside a put that came after it, see Combine.
	return change.Shape.Kind != changelog.Delete && shape.Kind == changelog.Full && within(change.Shape, shape), nil
}

// containedInKept is contained for a row of which several changes are kept, or
// which no table here has.
func (m *merger) containedInKept(ctx context.Context, change *changelog.Change, row string) (bool, error) {
	kept, err := m.kept(ctx, change.Shape, row)
	if err != nil || len(kept) == 0 {
		return false, err
	}
	needed := Combine(append(kept, *change)).Needed
	return !slices.ContainsFunc(needed, func(c changelog.Change) bool { return c.Compare(change) == 0 }), nil
}
