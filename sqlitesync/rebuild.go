package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// rebuild reads the logs of all devices again, its own too, for the tables that
// rows are missing from, and ends in what they are to show; or for all tables, if a
// revoked device may have shown something to this one only (misled.go). Whatever is
// known already changes nothing, so that a rebuild that is broken off begins again.
//
// Logs that are lost for good are not waited for longer than it takes admin devices
// to relay them: then what is there is read, and all of it again when there is more.
// It calls meanwhile after each step.
func (s *Syncer) rebuild(ctx context.Context, f *folder.Folder, p *problems, meanwhile func()) (err error) {
	misled, err := s.lookForMisleading(ctx)
	if err != nil {
		return err
	}
	tables := slices.DeleteFunc(slices.Clone(s.db.Tables), func(table *changelog.Table) bool { return !table.Incomplete })
	if len(tables) == 0 && !misled {
		return nil
	}
	readings, err := s.readings(ctx, f, new(problems)) // what they are was told when they were pulled
	if err != nil {
		return err
	}
	gaps, err := s.gaps(ctx, f, readings)
	if err != nil {
		return err
	}
	if _, own := gaps[s.identity.device]; own {
		if pending, err := s.pendingSegments(ctx); err != nil || pending {
			return err // what this pass has folded goes out first
		}
	}
	unread := func(table *changelog.Table) bool { return !table.Reread }
	if len(gaps) > 0 && maps.Equal(gaps, s.reread) && !slices.ContainsFunc(tables, unread) && !misled {
		return nil // there is no more than at the last time, and no more is missing
	}
	for _, device := range inOrder(gaps) {
		if !s.givenUp(device) {
			p.add(s.gapFault(device, tables))
			return nil
		}
	}
	losses := s.db.Losses
	again := rereading{tables: tables, gaps: gaps}
	if misled {
		defer func() {
			if ctx.Err() == nil && !errors.Is(err, errMigrated) { // what keeps a log from being read may last
				s.readAgainLast = s.environment.Beat()
			}
		}()
		if again.met, err = newDigestSet(ctx, s.handle.conn); err != nil {
			return err
		}
		defer again.met.drop(ctx)
	}
	if whole, err := s.readAgain(ctx, f, readings, &again, p, meanwhile); err != nil || !whole {
		return err
	}
	if misled {
		if err := s.relayUnmet(ctx, again.met); err != nil {
			return err
		}
	}
	return s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil {
			return err
		}
		if s.db.Losses != losses {
			return nil // rows went that had been read already: the next pass begins again
		}
		if misled {
			if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = 'read again'"); err != nil {
				return err
			}
		}
		s.reread = gaps
		return s.endRebuild(ctx, tables)
	})
}

// rereading says what logs are read again for.
type rereading struct {
	tables []*changelog.Table  // that rows are missing from
	gaps   map[DeviceID]uint64 // the logs that are not whole, and how far they reach
	met    *digestSet          // takes what stands in the logs, of all tables; or nil
}

// meet notes what stands in a group that was merged, if anybody asks.
func (again *rereading) meet(ctx context.Context, merged *group) error {
	if again.met == nil {
		return nil
	}
	for _, part := range merged.segments {
		if err := again.met.add(ctx, part.Changes); err != nil {
			return err
		}
	}
	return nil
}

// readAgain merges the logs from the start, as far as they were merged, and reports
// whether all could be read that is there. What is wrong with one of them is a
// problem, and does not keep the others from being read.
func (s *Syncer) readAgain(ctx context.Context, f *folder.Folder, readings []*reading, again *rereading, p *problems, meanwhile func()) (whole bool, err error) {
	s.log.Info("reading all logs again", "tables", len(again.tables))
	tables := again.tables
	if again.met != nil {
		tables = nil
	}
	s.pulling = time.Now()
	for _, r := range readings {
		r.startOver()
		s.skipRefused(f, r)
	}
	s.beginWork(PhaseMerging, behind(readings))
	defer s.endWork()
	defer awaitAhead(readings)
	whole = true
	for _, r := range readings {
		_, gap := again.gaps[r.device]
		faults := p
		if gap && !r.log.Writes || len(again.tables) == 0 {
			faults = new(problems) // nobody makes the file again, or no row is missing for it
		}
		for r.position < r.known {
			next := s.usable(f, r, faults)
			if next == nil || next.segments == nil {
				break
			}
			if next.last < r.known {
				s.readAhead(f, r, next)
			}
			err := s.mergeGroup(ctx, next, false, tables, func() error { return s.noteRanges(ctx, r, next) }, nothing)
			if goesOn, err := s.goesOn(ctx, r, next, p, err); err != nil {
				return false, err
			} else if !goesOn {
				break
			}
			if err := again.meet(ctx, next); err != nil {
				return false, err
			}
			r.pass(next)
			s.worked(next.bytes, 0)
			s.tell(func() int { return behind(readings) })
			meanwhile()
		}
		switch {
		case r.position >= r.known || r.ended || gap && !(r.failed && r.log.Writes):
		case r.failed:
			whole = false
		default: // the next pass begins again
			p.add(s.gapFault(r.device, again.tables))
			whole = false
		}
	}
	return whole, nil
}

// endRebuild notes that all was read that the logs have of tables, and settles those
// that may lack parents. It writes.
func (s *Syncer) endRebuild(ctx context.Context, tables []*changelog.Table) error {
	for _, table := range tables {
		if table.Reread = len(s.reread) > 0; table.Reread {
			continue
		}
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
}

// gaps returns the devices, this one too, of whose logs the folder has not all that
// was merged here, and how far each reaches by the names of its files.
func (s *Syncer) gaps(ctx context.Context, f *folder.Folder, readings []*reading) (map[DeviceID]uint64, error) {
	gaps := make(map[DeviceID]uint64)
	for device := range s.seen {
		gaps[DeviceID(device)] = 0
	}
	own, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return nil, err
	}
	if own > 0 { // a directory that can't be listed has no reading
		gaps[s.identity.device] = 0
	}
	for _, r := range readings {
		// A log that has forked ends where the other branch begins: nobody need wait for more.
		gaps[r.device] = r.reaches()
		whole := r.log.Writes && gaps[r.device] >= r.known
		if !whole {
			if whole, err = s.stands(ctx, f, r); err != nil {
				return nil, err
			}
		}
		if whole {
			delete(gaps, r.device)
		}
	}
	return gaps, nil
}

// gapFault is the error about files without which tables stay without rows, nil if
// none do.
func (s *Syncer) gapFault(device DeviceID, tables []*changelog.Table) error {
	if len(tables) == 0 {
		return nil
	}
	e := &Error{Op: "read all logs again", Device: device, Path: "devices/" + device.String(),
		Err:  fmt.Errorf("%w: files are missing without which rows of table %q do not come back", ErrFolder, tables[0].Name),
		Hint: "The table was made anew, and its rows are read from the logs of all devices. Let the file-sync service fetch the files, or restore them from its history."}
	if device != s.identity.device { // one's own log is read for what was never relayed
		e.Hint += " Files that are lost are not waited for once an admin's device has relayed them, after about a week."
	}
	return e
}

// givenUp reports whether a log has been lost for so long that all admin devices have
// had their turn to relay it.
func (s *Syncer) givenUp(device DeviceID) bool {
	lost, known := s.lost[device]
	return known && s.environment.Now().Sub(lost.since) >= s.allTurns()
}

// allTurns is how long it takes until all admin devices have had their turn to relay what is lost.
func (s *Syncer) allTurns() time.Duration {
	wait := lostTime + relayTurn
	for _, member := range s.roster.Members() {
		if member.Role == crypto.Admin {
			wait += relayTurn
		}
	}
	return wait
}
