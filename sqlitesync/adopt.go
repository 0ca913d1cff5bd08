package sqlitesync

import (
	"context"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A copy of this database that goes on as the same device, or this one before it
// was restored, can have written the log anew and removed what the range took the
// place of; and a sync client can bring back what was removed long ago. The log
// reads the same through all of these files.

// adopt takes the segments of this device's log into account that stand in the
// folder and that this database has not made, up to the newest batch that it has.
// Where one gives a batch another tail than it has here, a copy has written that
// batch too, and whoever reads both logs as one loses the end of one of them.
func (s *Syncer) adopt(ctx context.Context, f *folder.Folder, listing folder.Listing) error {
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	known, err := s.ownSegments(ctx, "true")
	if err != nil {
		return err
	}
	tails := map[uint64]crypto.Tail{0: {}}
	expected := make(map[folder.SegmentName]bool, len(known))
	for _, own := range known {
		tails[own.name.Last] = own.tail
		expected[own.name] = own.name.Generation == 0 || own.state != segmentPending
	}
	for _, name := range listing.Segments {
		if name.Last > position || expected[name] {
			continue
		}
		peeked, err := s.peekNamed(f, s.ownReading(), name)
		if err != nil {
			continue // it is junk, or not there yet, and needed by nobody
		}
		before, begins := tails[name.First-1]
		after, ends := tails[name.Last]
		whole := slices.ContainsFunc(known, func(own ownSegment) bool { return own.takesPlaceOf(name) })
		if ends && after != peeked.Tail() {
			return s.madeOtherwise(name)
		}
		if begins && before != peeked.Header().Prev || !whole && !(begins && ends) {
			continue // of another branch, or across ranges of this one
		}
		if err := s.adoptSegment(ctx, f, name, whole); err != nil {
			return err
		}
	}
	return nil
}

// takesPlaceOf reports whether a segment stands in the folder that says all that
// the one with this name does.
func (own *ownSegment) takesPlaceOf(name folder.SegmentName) bool {
	return own.state == segmentFound && own.replaced == 0 && own.covers(name)
}

// covers reports whether a segment says all that another one with this name does.
func (own *ownSegment) covers(name folder.SegmentName) bool {
	return own.name != name && own.name.First <= name.First && name.Last <= own.name.Last && name.Generation <= own.name.Generation
}

// adoptSegment notes a segment as one of this device's, which has the place of what
// it covers, or, if another one takes its place, goes when its time has come.
func (s *Syncer) adoptSegment(ctx context.Context, f *folder.Folder, name folder.SegmentName, replaced bool) error {
	r := s.ownReading()
	data, err := f.ReadSegment(s.identity.device.String(), name, maxSegment)
	if err != nil {
		return nil //nolint:nilerr // see adopt
	}
	file, err := s.verify(r, data)
	if err != nil {
		return nil //nolint:nilerr // see adopt
	}
	decoded, err := s.decode(file, name.First, file.Header().Prev)
	if err != nil {
		return nil //nolint:nilerr // see adopt
	}
	s.log.Info("a segment of this device's log was written by a copy of this database, or is back", "segment", name)
	own := ownSegment{name: name, tail: file.Tail(), rows: len(decoded.Changes), baseline: baselineRowsIn(decoded.Changes),
		continued: decoded.Batches[len(decoded.Batches)-1].Continued, sealed: data}
	return s.handle.conn.Transact(ctx, changelog.Ordinary, func() error {
		_, err := s.handle.conn.Exec(ctx, fmt.Sprintf("DELETE FROM sqlitesync_segments WHERE name = ? AND state = %d", segmentPending), name.String())
		if err != nil {
			return err
		}
		if err := s.addSegment(ctx, own); err != nil {
			return err
		}
		if err := s.setState(ctx, name, segmentFound); err != nil {
			return err
		}
		if !replaced {
			return s.replace(ctx, name)
		}
		_, err = s.handle.conn.Exec(ctx, "UPDATE sqlitesync_segments SET replaced = ? WHERE name = ?", s.environment.Now().UnixMilli(), name.String())
		return err
	})
}
