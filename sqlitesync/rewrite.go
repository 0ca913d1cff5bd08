package sqlitesync

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// maxDecoded bounds what a range has in memory while it is made. The body of a
// range of this size is within the format's limits.
const maxDecoded = 24 << 20

// A compactedRange is one that is being made of units that follow one another.
type compactedRange struct {
	first, last uint64
	prev, tail  crypto.Tail
	generation  uint32
	batches     []segment.Batch
	changes     []changelog.Change
	bytes       int // of the changes in memory
	rows        int // that the units had
	live        int // that they were estimated to need
	segments    []folder.SegmentName
}

// rewrite writes a run of units anew, as one range or, if it turns out to be large,
// as several. What can't be read whole stays as it is; if that may be for a moment only, it is looked at again soon.
func (s *Syncer) rewrite(ctx context.Context, f *folder.Folder, run []unit) error {
	var made compactedRange
	met := make(map[changelog.Digest]bool)
	for i := range run {
		next, err := s.readUnit(ctx, f, &run[i])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.log.Info("a part of the log stays as it is", "segment", run[i].segments[0].name, "err", err)
			if !errors.Is(err, errStays) && !errors.Is(err, crypto.ErrDamaged) && !errors.Is(err, fs.ErrNotExist) {
				s.unread = s.environment.Beat()
			}
		} else {
			next.dropMet(s.self(), met)
		}
		if err != nil || !made.takes(next) {
			if err := s.addRange(ctx, &made); err != nil {
				return err
			}
			made = compactedRange{}
		}
		if err == nil {
			made.join(next)
		}
	}
	return s.addRange(ctx, &made)
}

// errStays: a unit with pieces has a change that counts.
var errStays = errors.New("a value in pieces is still needed")

// readUnit reads a unit, and leaves out what is overruled.
func (s *Syncer) readUnit(ctx context.Context, f *folder.Folder, u *unit) (*compactedRange, error) {
	own := s.ownReading()
	joiner := segment.NewJoiner(maxValue)
	r := &compactedRange{first: u.first(), last: u.last(), rows: u.rows, live: u.live}
	for i, part := range u.segments {
		data, err := s.readOwn(f, &part)
		if err != nil {
			return nil, err
		}
		file, err := s.verify(own, data)
		if err != nil {
			return nil, err
		}
		header := file.Header()
		decoded, err := s.decode(file, part.name.First, header.Prev)
		if err != nil {
			return nil, err
		}
		if err := joiner.Join(decoded); err != nil {
			return nil, err
		}
		needed, err := merge.Needed(ctx, s.db, decoded.Changes)
		if err != nil {
			return nil, err
		}
		if u.shares() && len(needed) > 0 {
			return nil, errStays
		}
		if i == 0 {
			r.prev = header.Prev
		}
		r.tail, r.generation = file.Tail(), max(r.generation, header.Generation)
		r.segments = append(r.segments, part.name)
		r.add(decoded, needed)
	}
	return r, nil
}

// add adds what is needed of a segment.
func (r *compactedRange) add(decoded *segment.Segment, needed []changelog.Change) {
	left := make(map[uint64]bool)
	for i := range needed {
		if c := &needed[i]; c.Stamp.Device == decoded.Author {
			left[c.Stamp.Batch] = true
		}
		r.bytes += needed[i].Size() + stampBytes
	}
	for _, batch := range decoded.Batches {
		if left[batch.Number] || batch.Number == decoded.Last {
			batch.Continued = false // what is left of transactions is no transaction
			r.batches = append(r.batches, batch)
		}
	}
	r.changes = append(r.changes, needed...)
}

// dropMet leaves out what was met in an earlier part of the run: rows of a baseline that have gone out again, and what
// was relayed again, for a part of the log was lost. They are what the database knows, so Needed keeps each copy.
func (r *compactedRange) dropMet(author changelog.DeviceID, met map[changelog.Digest]bool) {
	r.changes = slices.DeleteFunc(r.changes, func(c changelog.Change) bool {
		if c.Stamp.Device == author {
			return false // its batch says it once
		}
		digest := c.Digest()
		if !met[digest] {
			met[digest] = true
			return false
		}
		r.bytes -= c.Size() + stampBytes
		return true
	})
}

// stampBytes is about what a change has in memory, and in a body, besides its values.
const stampBytes = 96

// takes reports whether a range that follows can be added within the limits of memory
// and of the format.
func (r *compactedRange) takes(next *compactedRange) bool {
	return r.bytes+next.bytes <= maxDecoded && len(r.batches)+len(next.batches) <= segment.MaxBatches &&
		entries(r.batches)+entries(next.batches) <= segment.MaxSeen
}

// entries counts what the seen vectors of batches hold in full.
func entries(batches []segment.Batch) (n int) {
	for i := range batches {
		n += len(batches[i].Seen)
	}
	return n
}

// join adds the range that follows.
func (r *compactedRange) join(next *compactedRange) {
	if len(r.segments) == 0 {
		*r = *next
		return
	}
	r.last, r.tail, r.generation = next.last, next.tail, max(r.generation, next.generation)
	r.batches, r.changes = append(r.batches, next.batches...), append(r.changes, next.changes...)
	r.segments = append(r.segments, next.segments...)
	r.bytes, r.rows, r.live = r.bytes+next.bytes, r.rows+next.rows, r.live+next.live
}

// addRange seals a range and puts it into the outbox, if it is less than what it
// was made of.
func (s *Syncer) addRange(ctx context.Context, r *compactedRange) error {
	switch {
	case len(r.segments) == 0:
		return nil
	case len(r.segments) == 1 && len(r.changes) == r.rows: // it was thought to be sparse
		_, err := s.handle.conn.Exec(ctx, "UPDATE sqlitesync_segments SET combined = combined + ? WHERE name = ?", r.rows-r.live, r.segments[0].String())
		return err
	case r.generation >= crypto.MaxGeneration:
		return nil
	}
	s.log.Debug("a part of the log is written anew", "first", r.first, "last", r.last, "segments", len(r.segments), "before", r.rows, "after", len(r.changes))
	s.compaction.segments -= len(r.segments) - 1
	s.compaction.rows -= r.rows - len(r.changes)
	made, err := s.sealRange(r, ownSegment{combined: max(0, len(r.changes)-r.live)})
	if err != nil {
		return err
	}
	return s.addSegment(ctx, *made)
}

// sealRange seals a range, of which own says what r does not.
func (s *Syncer) sealRange(r *compactedRange, own ownSegment) (*ownSegment, error) {
	// Deletes come last, so that a reader does not meet the delete of a row
	// before the put that came after it.
	slices.SortStableFunc(r.changes, func(a, b changelog.Change) int { return rank(&a) - rank(&b) })
	body, err := segment.Encode(&segment.Segment{Author: s.self(), First: r.first, Last: r.last, Batches: r.thin(), Changes: r.changes})
	if err != nil {
		return nil, err
	}
	packed, err := segment.Pack(body)
	if err != nil {
		return nil, err
	}
	header := crypto.SegmentHeader{
		Space: s.identity.space, Device: s.identity.device, First: r.first, Last: r.last,
		Generation: r.generation + 1, Prev: r.prev, Tail: r.tail,
	}
	own.name = folder.SegmentName{First: r.first, Last: r.last, Generation: header.Generation}
	own.tail, own.rows, own.baseline = r.tail, len(r.changes), baselineRowsIn(r.changes)
	epoch, err := s.currentEpoch()
	if err != nil {
		return nil, err
	}
	if own.sealed, _, err = crypto.SealSegment(header, packed, epoch, s.keys.entry().Device); err != nil {
		return nil, err
	}
	return &own, nil
}

// thin returns the batches that the range must name: those that still have
// changes, and its last one.
func (r *compactedRange) thin() []segment.Batch {
	left := map[uint64]bool{r.last: true}
	for i := range r.changes {
		left[r.changes[i].Stamp.Batch] = true
	}
	return slices.DeleteFunc(r.batches, func(b segment.Batch) bool { return !left[b.Number] })
}

func rank(c *changelog.Change) int {
	if c.Shape.Kind == changelog.Delete {
		return 1
	}
	return 0
}
