package sqlitesync

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

const (
	// vanishedTime is how long a segment is waited for that is gone from the
	// folder: a sync client that moves files about is soon done.
	vanishedTime = time.Minute
	// maxLost is how often a segment is made again that somebody deletes. What has
	// stood for amendTime since counts anew: three mishaps of three years are no habit.
	maxLost   = 3
	amendTime = 24 * time.Hour
	// maxRefills bounds what one pass makes again.
	maxRefills = 16
	// alteredTime is how long nobody tries again what can't be made again because rows
	// are not as they were written: to find that out takes reading all clocks, with
	// values in pieces under the write lock.
	alteredTime = 10 * time.Minute
)

// An alteration is why segments can't be made again, and when that was found.
type alteration struct {
	err   error
	found time.Time // by the steady clock
}

// checkVanished tells of segments that stood in the folder and are gone or spoilt, and
// makes them again, as the next generation, if they do not come back. Devices
// that have not read them would wait for them.
func (s *Syncer) checkVanished(ctx context.Context, vanished []ownSegment, p *problems) error {
	s.vanished = len(vanished) > 0
	var stay []ownSegment
	var reason error
	made, waiting := 0, false
	outcomes := make(map[uint64]error) // by first batch: what shares values in pieces is made again together
	for _, own := range vanished {
		unit := own.unit
		if unit == 0 {
			unit = own.name.First
		}
		err, tried := outcomes[unit]
		if tried && err == nil {
			continue
		}
		if own.vanished == 0 {
			if err := s.noteVanished(ctx, &own); err != nil {
				return err
			}
		}
		if !tried {
			err = s.whyNot(&own, unit, made)
		}
		if err == nil {
			if err = s.refill(ctx, own); ctx.Err() != nil {
				return ctx.Err()
			}
			outcomes[unit] = err
			s.noteAltered(unit, err)
		}
		switch {
		case err == nil:
			made++
		case errors.Is(err, errNotNow):
			stay, waiting = append(stay, own), true
		default:
			stay, reason = append(stay, own), err
		}
	}
	s.vanished = waiting
	if len(stay) > 0 {
		p.add(s.vanishedFault(stay, reason))
	}
	return nil
}

// errNotNow: a segment that vanished is not made again yet.
var errNotNow = errors.New("it may come back")

// whyNot returns why a segment that vanished is not to be made again in a pass that
// has made so many, nil if it is.
func (s *Syncer) whyNot(own *ownSegment, unit uint64, made int) error {
	gone := s.environment.Now().Sub(time.UnixMilli(own.vanished))
	altered, found := s.altered[unit]
	switch {
	case own.lost >= maxLost:
		return errors.New("they were made again, and deleted again")
	case 0 <= gone && gone < vanishedTime || made >= maxRefills:
		return errNotNow
	case found && s.environment.Since(altered.found) < alteredTime:
		return altered.err
	}
	return nil
}

// noteVanished notes that a segment is gone from the folder since now. That is
// written down, for the program may end before it is made again. What was made again
// in the future, by a clock that was put back since, counts anew, too: it would not
// be made again until then.
func (s *Syncer) noteVanished(ctx context.Context, own *ownSegment) error {
	now := s.environment.Now()
	own.vanished = now.UnixMilli()
	if stood := now.Sub(time.UnixMilli(own.remade)); stood < 0 || stood >= amendTime {
		own.lost = 0
	}
	_, err := s.handle.conn.Exec(ctx, "UPDATE sqlitesync_segments SET vanished = ?, lost = ? WHERE name = ?", own.vanished, own.lost, own.name.String())
	return err
}

// noteBack notes that a segment is not gone from the folder any more.
func (s *Syncer) noteBack(ctx context.Context, name folder.SegmentName) error {
	_, err := s.handle.conn.Exec(ctx, "UPDATE sqlitesync_segments SET vanished = NULL WHERE name = ?", name.String())
	return err
}

// noteAltered keeps in mind that rows are not as they were written, if that is why a
// unit can't be made again.
func (s *Syncer) noteAltered(unit uint64, err error) {
	if !errors.Is(err, changelog.ErrAltered) {
		return
	}
	if s.altered == nil {
		s.altered = make(map[uint64]alteration)
	}
	s.altered[unit] = alteration{err: err, found: s.environment.Beat()}
}

func (s *Syncer) vanishedFault(vanished []ownSegment, reason error) *Error {
	e := &Error{
		Op: "check published segments", Device: s.identity.device,
		Path: "devices/" + s.identity.device.String() + "/" + vanished[0].name.String(),
		Err:  fmt.Errorf("%w: segments that this device has published are gone or damaged: %d", ErrFolder, len(vanished)),
		Hint: "Nothing of this database is lost. If they do not come back within a minute, they are made again.",
	}
	switch {
	case changelog.ErrorCode(reason) != 0:
		e.Err = fmt.Errorf("%w, and could not be made again now: %w", e.Err, reason)
		e.Hint = "The next pass tries again. No row of this database is lost."
	case reason != nil:
		e.Err = fmt.Errorf("%w, and are not made again: %w", e.Err, reason)
		e.Hint = "Find out which program deletes files in the folder, and restore them from the file-sync service's history: " +
			"devices that have not read them wait for them. No row of this database is lost."
	}
	return e
}

// refill makes a segment again, from what the database knows, as the next
// generation of its range. Rows of a baseline may stand in any batch: they are
// published once more.
func (s *Syncer) refill(ctx context.Context, own ownSegment) error {
	if own.unit > 0 {
		return s.refillUnit(ctx, own)
	}
	r, lacking, err := s.collectRange(ctx, &own)
	if through := r.crowded(); err == nil && through > 0 {
		if err = s.sendStepsAgain(ctx, r.first, through); err != nil {
			return err
		}
		r, lacking, err = s.collectRange(ctx, &own)
	}
	if err != nil {
		return err
	}
	made, err := s.sealRange(&r, ownSegment{lost: own.lost + 1})
	if err != nil {
		return err
	}
	return s.transact(ctx, func() error {
		if err := s.tellLacking(ctx, r.first, r.last, lacking); err != nil {
			return err
		}
		if err := s.noteRemade(ctx); err != nil {
			return err
		}
		if err := s.relayAgain(ctx, made.lost); err != nil {
			return err
		}
		if own.baseline > 0 {
			if err := s.publishAgain(ctx, made.lost); err != nil {
				return err
			}
		}
		if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_segments WHERE name = ?", own.name.String()); err != nil {
			return err
		}
		return s.addSegment(ctx, *made)
	})
}

// publishAgain lets all rows of a baseline go out once more. Their segments count
// as made again so many times. It writes.
func (s *Syncer) publishAgain(ctx context.Context, lost int) error {
	if err := s.unpublish(ctx); err != nil {
		return err
	}
	return saveNumber(ctx, s.handle.conn, "baseline_lost", uint64(lost))
}

// refillUnit makes segments again that share large values, of which one is gone:
// how the values would be cut now nobody knows, for some may not count any more.
// So an empty range takes the place of all, and what counts goes out in new
// batches, under their stamps. It is as new among the changes of its rows as it was.
func (s *Syncer) refillUnit(ctx context.Context, gone ownSegment) error {
	return s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil {
			return err
		}
		if err := s.allRead(); err != nil {
			return err
		}
		unit, err := s.ownSegments(ctx, fmt.Sprintf("unit = %d AND replaced IS NULL", int64(gone.unit)))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(unit, func(own ownSegment) bool { return own.state == segmentPending }) {
			return errors.New("what shares values with them was not published yet, and may be sealed anew")
		}
		newest := unit[len(unit)-1]
		r := compactedRange{first: unit[0].name.First, last: newest.name.Last, tail: newest.tail, batches: []segment.Batch{{Number: newest.name.Last}}}
		if r.prev, err = s.tailBefore(ctx, r.first); err != nil {
			return err
		}
		again := ownSegment{lost: gone.lost + 1}
		for _, own := range unit {
			r.generation = max(r.generation, own.name.Generation)
			again.baseline += own.baseline
		}
		position, _, err := s.db.Position(ctx, s.self())
		if err != nil {
			return err
		}
		lacking := make(lackingRows)
		if err := s.sendBatchesAgain(ctx, s.self(), unit, lacking.add); err != nil {
			return err
		}
		_, err = s.handle.conn.Exec(ctx, "UPDATE sqlitesync_segments SET lost = ?, remade = ? WHERE name > ?", again.lost, s.environment.Now().UnixMilli(), original(position + 1).String()[:12])
		if err != nil {
			return err
		}
		if err := s.tellLacking(ctx, r.first, r.last, lacking); err != nil {
			return err
		}
		if again.baseline > 0 {
			if err := s.publishAgain(ctx, again.lost); err != nil {
				return err
			}
		}
		if err := s.noteRemade(ctx); err != nil {
			return err
		}
		if err := s.relayAgain(ctx, again.lost); err != nil {
			return err
		}
		made, err := s.sealRange(&r, again)
		if err != nil {
			return err
		}
		if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_segments WHERE unit = ? AND vanished IS NOT NULL", int64(gone.unit)); err != nil {
			return err
		}
		return s.addSegment(ctx, *made)
	})
}

// allRead makes sure that this database knows all that it ever did: a table that
// is being read again may lack what is to be made again. One that waits only for
// logs of others that are lost does not.
func (s *Syncer) allRead() error {
	_, lost := s.reread[s.identity.device]
	for _, table := range s.db.Tables {
		if table.Incomplete && (lost || !table.Reread) {
			return fmt.Errorf("table %q is being read again", table.Name)
		}
	}
	return nil
}

// tailBefore returns the tail of this device's log before a batch.
func (s *Syncer) tailBefore(ctx context.Context, batch uint64) (tail crypto.Tail, err error) {
	if batch == 1 {
		return tail, nil
	}
	var stored []byte
	err = s.handle.conn.Get(ctx, "SELECT tail FROM sqlitesync_segments WHERE substr(name, 14, 12) = ?", []any{fmt.Sprintf("%012x", batch-1)}, &stored)
	if errors.Is(err, sql.ErrNoRows) {
		return tail, fmt.Errorf("the log before batch %d is not known", batch)
	}
	copy(tail[:], stored)
	return tail, err
}

// collect reads the changes of a range out of the database. What this device had seen
// when it made them nobody knows any more: what it has seen by now is said, so that
// nobody takes for a conflict what may be none.
func (s *Syncer) collect(ctx context.Context, r *compactedRange, altered func(*changelog.Table, changelog.Key) error) (err error) {
	if err := s.allRead(); err != nil {
		return err
	}
	if r.prev, err = s.tailBefore(ctx, r.first); err != nil {
		return err
	}
	numbers := map[uint64]bool{r.last: true}
	err = merge.Live(ctx, s.db, s.self(), r.first, r.last, nil, func(c changelog.Change) error {
		if r.bytes += c.Size() + stampBytes; r.bytes > maxDecoded {
			return segment.ErrTooLarge
		}
		r.changes = append(r.changes, c)
		if !c.Stamp.Baseline() {
			numbers[c.Stamp.Batch] = true
		}
		return nil
	}, altered)
	if err != nil {
		return err
	}
	seen, err := s.db.Seen(ctx)
	for number := range numbers {
		r.batches = append(r.batches, segment.Batch{Number: number, Seen: seen})
	}
	slices.SortFunc(r.batches, func(a, b segment.Batch) int { return cmp.Compare(a.Number, b.Number) })
	return err
}

// sendStepsAgain puts what still counts of these batches of this device into new ones, under their stamps, in steps that let other
// writers in between.
func (s *Syncer) sendStepsAgain(ctx context.Context, first, last uint64) error {
	weights, err := s.db.Weigh(ctx, s.self())
	if err != nil {
		return err
	}
	return s.relaySteps(ctx, s.self(), first, last, weights, nil)
}

// collectRange collects what takes the place of a segment, and the rows that are to go out as they are now.
func (s *Syncer) collectRange(ctx context.Context, own *ownSegment) (r compactedRange, lacking lackingRows, err error) {
	lacking = make(lackingRows)
	err = s.withoutLock(ctx, func() error {
		r = compactedRange{first: own.name.First, last: own.name.Last, generation: own.name.Generation, tail: own.tail}
		clear(lacking)
		return s.collect(ctx, &r, lacking.add)
	})
	return r, lacking, err
}

// crowded returns up to which batch a range that was collected has too many for all of the rest to say what this device has seen, as when
// the space has grown since it was written. It returns 0 if there is room.
func (r *compactedRange) crowded() (through uint64) {
	if entries(r.batches) <= segment.MaxSeen {
		return 0
	}
	return r.batches[len(r.batches)-1-segment.MaxSeen/len(r.batches[0].Seen)].Number
}
