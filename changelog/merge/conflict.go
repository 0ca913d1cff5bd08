package merge

import (
	"context"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
)

// recordConflict keeps the loser's image, unless nothing of it is lost.
func (m *merger) recordConflict(ctx context.Context, winner, loser *changelog.Change) error {
	if !contradict(winner, loser, winner.Shape.Columns) {
		return nil
	}
	conflict := &Conflict{Found: time.Now(), Winner: *winner, Loser: *loser}
	entered, err := enter(ctx, m.db.Conn, conflict)
	if err != nil || !entered {
		return err
	}
	m.result.Conflicts++
	if conflict.Collision() {
		m.result.Collisions[winner.Shape.Table]++
	}
	return nil
}

// recordUnseen records which of a row's versions, newest first, the author of
// a change had not seen and contradicts.
func (m *merger) recordUnseen(ctx context.Context, change *changelog.Change, versions []changelog.Change, before *changelog.Clock) error {
	lost := false // a change loses once, to the newest
	for _, version := range contradicted(change, versions) {
		winner, loser := change, &version
		if loser.Compare(winner) > 0 {
			winner, loser = loser, winner
		}
		if !m.concurrent(change, version.Stamp, before) || loser == change && lost {
			continue
		}
		if loser == change {
			lost = true
			if err := m.supersede(ctx, change); err != nil {
				return err
			}
		}
		if err := m.recordConflict(ctx, winner, loser); err != nil {
			return err
		}
	}
	return nil
}

// supersede takes those conflicts out of the inbox that earlier edits of the same
// author lost against a winner that the author has still not seen: with this
// change, which has lost too, the author has overruled them. A program that saves
// as people type makes dozens of them while its device is offline.
func (m *merger) supersede(ctx context.Context, change *changelog.Change) error {
	earlier, err := lostBy(ctx, m.db.Conn, change)
	if err != nil {
		return err
	}
	seen, _ := m.saw(change)
	for i := range earlier {
		winner, loser := &earlier[i].Winner, &earlier[i].Loser
		if seen.Covers(winner.Stamp) || loser.Compare(change) >= 0 || !within(loser.Shape, change.Shape) {
			continue
		}
		if err := Forget(ctx, m.db.Conn.Exec, earlier[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// contradicted returns those of a row's versions, newest first, that a change
// contradicts in what they decide of the row: what newer versions say has been
// lost before.
func contradicted(change *changelog.Change, versions []changelog.Change) (found []changelog.Change) {
	decided := make(map[string]bool)
	existence := false
	for i := range versions {
		version := &versions[i]
		decides := version.Shape.Kind != changelog.Partial && !existence
		existence = existence || decides
		var columns []string
		for _, column := range version.Shape.Columns {
			if !decided[column] {
				decided[column] = true
				columns = append(columns, column)
			}
		}
		if (decides || columns != nil) && contradict(change, version, columns) {
			found = append(found, *version)
		}
	}
	return found
}

// contradict reports whether two changes of one row can't both hold, as far as
// these columns go: one deletes it and the other is an edit of a person, or they
// give a column, or the key, different values. What only one of them speaks of
// shows whichever of them is newer. A migration's change says nothing about
// whether the row exists.
func contradict(a, b *changelog.Change, columns []string) bool {
	if a.Shape.Kind == changelog.Delete || b.Shape.Kind == changelog.Delete {
		return a.Shape.Kind != b.Shape.Kind && a.Shape.Kind != changelog.Partial && b.Shape.Kind != changelog.Partial
	}
	for i := range a.Key { // equal, but perhaps not alike: 'a' and 'A'
		if !changelog.Equal(a.Key[i], b.Key[i]) {
			return true
		}
	}
	return slices.ContainsFunc(columns, func(column string) bool {
		i, inA := slices.BinarySearch(a.Shape.Columns, column)
		j, inB := slices.BinarySearch(b.Shape.Columns, column)
		return inA && inB && !changelog.Equal(a.Values[i], b.Values[j])
	})
}

// saw returns the seen vector of the author of what is being merged, when it made a
// change, and whether that tells of conflicts: those of what was merged before are
// recorded already.
func (m *merger) saw(change *changelog.Change) (seen changelog.Vector, witness bool) {
	if m.vectors == nil {
		return m.seen, m.witness
	}
	seen, known := m.vectors[change.Stamp.Batch]
	return seen, known && m.witness && (change.Stamp.Baseline() || change.Stamp.Batch > m.merged)
}

// concurrent reports whether the author of the batch that is being merged had
// not seen the version of the row with this stamp.
func (m *merger) concurrent(change *changelog.Change, stamp changelog.Stamp, before *changelog.Clock) bool {
	seen, witness := m.saw(change)
	switch {
	case !m.fresh && stamp.Device == m.db.Self && change.Stamp.Time == stamp.Time && change.Stamp.Compare(stamp) > 0:
		return true // of edits of one moment devices decide: this one won as another device, see [Restamp]
	case !witness || change.Stamp.Device != m.author && !change.Stamp.Baseline():
		return false
	case before.State == changelog.Unsent:
		return true // nobody has seen it
	case change.Stamp.Baseline() && stamp.Baseline():
		return true // two databases had the row before they met
	case m.vectors != nil && (stamp.Device != m.db.Self || change.Stamp.Baseline()):
		return false // ranges wait for nobody: who made the version may have seen the change, and has noticed if not
	default:
		return stamp.Device != m.author && !seen.Covers(stamp)
	}
}
