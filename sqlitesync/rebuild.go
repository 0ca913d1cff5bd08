package sqlitesync

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// rebuild reads the logs of all devices again, its own too, for the tables that
// rows are missing from, and ends in what they are to show. Whatever is known
// already changes nothing, so that a rebuild that is broken off begins again.
func (s *Syncer) rebuild(ctx context.Context, f *folder.Folder, p *problems) error {
	tables := slices.DeleteFunc(slices.Clone(s.db.Tables), func(table *changelog.Table) bool { return !table.Incomplete })
	if len(tables) == 0 {
		return nil
	}
	s.log.Info("reading all logs again", "tables", len(tables))
	readings, err := s.readings(ctx, f, p)
	if err != nil {
		return err
	}
	if there, err := s.reachable(ctx, readings); err != nil || !there {
		return err // the next pass looks again
	}
	s.pulling = time.Now()
	for _, r := range readings {
		known := r.position
		r.position, r.tail = 0, crypto.Tail{}
		for r.position < known {
			next := s.readGroup(f, r, r.position, r.tail)
			if next.fault != nil {
				return next.fault
			}
			if next.segments == nil {
				break // it is missing, which the reading of what is new reports
			}
			if err := s.mergeGroup(ctx, next, false, tables, func() error { return s.noteRange(ctx, r, next) }); err != nil {
				return err
			}
			r.position, r.tail = next.last, next.tail
		}
		if r.position < known {
			return nil // not all is there yet: the next pass begins again
		}
	}
	return s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil {
			return err
		}
		for _, table := range tables {
			if err := s.db.SetIncomplete(ctx, table, false); err != nil {
				return err
			}
		}
		for _, table := range tables {
			for _, r := range table.Referrers { // whose parents may not have come back
				result, err := merge.Settle(ctx, s.db, r.Child)
				s.merged(s.identity.device, result)
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// reachable reports whether the folder has, by their names, all segments that
// were merged here, and those of this device.
func (s *Syncer) reachable(ctx context.Context, readings []*reading) (bool, error) {
	missing := maps.Clone(s.seen)
	own, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return false, err
	}
	if own > 0 { // a directory that can't be listed has no reading
		missing[s.self()] = own
	}
	for _, r := range readings {
		delete(missing, changelog.DeviceID(r.device))
		if r.reaches() < r.position && !r.strays {
			return false, nil
		}
	}
	return len(missing) == 0, nil
}
