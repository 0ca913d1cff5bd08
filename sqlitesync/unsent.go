package sqlitesync

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// What the folder does not have of a device's changes, and can't have as they were, goes out again in new batches: as another
// device's, if the database goes on as one (succession.go), or as its own (relay.go).

// sendAgain puts what the device old has made in its unsent batches into the
// outbox, as changes that this one has made. Rows that are not as they were written
// then, for want of a column say, it notes in the log as they are now. It writes.
func (s *Syncer) sendAgain(ctx context.Context, old changelog.DeviceID, unsent []ownSegment) error {
	if len(unsent) > 0 {
		// Who has read a copy's batches of these numbers knows both. And of edits of one moment devices decide: what
		// these changes have beaten, and the database has forgotten, can win against this device.
		if err := errors.Join(s.db.SetAllApart(ctx), s.readAllAgain(ctx)); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(unsent, func(own ownSegment) bool { return own.baseline > 0 }) {
		if err := s.unpublish(ctx); err != nil {
			return err
		}
	}
	for len(unsent) > 0 {
		n, rows, size := 0, 0, 0
		for n < len(unsent) && (n == 0 || rows < maxRun.changes && size < maxBody) {
			rows, size, n = rows+unsent[n].rows, size+unsent[n].size, n+1
		}
		if err := s.sendBatchesAgain(ctx, old, unsent[:n], s.noteFound(ctx)); err != nil {
			return err
		}
		unsent = unsent[n:]
	}
	return nil
}

// noteFound returns what notes that a row is not as it was written.
func (s *Syncer) noteFound(ctx context.Context) (altered func(*changelog.Table, changelog.Key) error) {
	return func(table *changelog.Table, key changelog.Key) error {
		if table == nil { // its rows are gone here
			return nil
		}
		return s.db.NoteFound(ctx, table, key)
	}
}

// sendBatchesAgain puts what the device old has made in batches that follow one
// another into the outbox, as changes of new batches. They are as many as are good
// to have in memory. Rows that are not as they were written then are for altered.
// It writes.
func (s *Syncer) sendBatchesAgain(ctx context.Context, old changelog.DeviceID, batches []ownSegment,
	altered func(*changelog.Table, changelog.Key) error,
) error {
	layers, err := merge.Layers(ctx, s.db, old, batches[0].name.First, batches[len(batches)-1].name.Last, math.MaxInt, nil, altered)
	if err != nil {
		return err
	}
	if err := s.fold(ctx); err != nil { // what can't be sent as it was must be known as it is before others are decided anew
		return err
	}
	for _, changes := range layers {
		if err := s.sendChangesAgain(ctx, changes); err != nil {
			return err
		}
	}
	return nil
}

// sendChangesAgain puts changes into the outbox as those of this device's next batch, by
// whose stamp they are known here from then on. It writes.
func (s *Syncer) sendChangesAgain(ctx context.Context, changes []changelog.Change) error {
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	was := make([]changelog.Stamp, len(changes))
	for i := range changes {
		c := &changes[i]
		was[i] = c.Stamp
		if !c.Stamp.Baseline() {
			c.Restamp(c.Stamp, changelog.Stamp{Time: c.Stamp.Time, Device: s.self(), Batch: position + 1})
		}
	}
	segments, err := s.split(ctx, position+1, &changes, func(i int) { was = slices.Delete(was, i, i+1) })
	if err != nil {
		return err
	}
	return s.enqueue(ctx, segments, func() error {
		result, err := merge.Restamp(ctx, s.db, changes, was)
		s.merged(s.identity.device, result)
		return err
	})
}
