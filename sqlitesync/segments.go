package sqlitesync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// An ownSegment is one of this device's segment files, as sqlitesync_segments
// tells of it.
type ownSegment struct {
	name      folder.SegmentName
	state     segmentState
	hash      []byte
	tail      crypto.Tail // of the log after it
	rows      int
	size      int
	baseline  int    // how many of the rows are of a baseline
	combined  int    // how many count although newer changes of their rows are known
	continued bool   // its last transaction goes on in the next
	unit      uint64 // the first of the batches that share values in pieces with it, or 0
	lost      int    // how often it was gone from the folder, and made again
	remade    int64  // when it was made again last, in milliseconds since 1970; 0: never
	vanished  int64  // since when it is gone from the folder, in milliseconds since 1970; 0: it is not
	replaced  int64  // when a compacted range took its place, in milliseconds since 1970; 0: it did not
	sealed    []byte // in the outbox only
}

type segmentState int

const (
	segmentPending   segmentState = 0 // in the outbox
	segmentPublished segmentState = 1
	segmentFound     segmentState = 2 // a scan after its publication has found it: the bytes are not kept any more
)

// original returns the file name of a batch as it is first published.
func original(batch uint64) folder.SegmentName { return folder.SegmentName{First: batch, Last: batch} }

// addSegment puts a sealed segment into the outbox. The bytes are kept: age takes
// fresh randomness each time, and a batch must not be published twice with
// different bytes.
func (s *Syncer) addSegment(ctx context.Context, own ownSegment) error {
	hash := sha256.Sum256(own.sealed)
	_, err := s.handle.conn.Exec(ctx, `INSERT INTO sqlitesync_segments (name, hash, tail, rows, size, baseline, combined, continued, unit, lost, remade, sealed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?10, iif(?10 > 0, ?, NULL), ?)`,
		own.name.String(), hash[:], own.tail[:], own.rows, len(own.sealed), own.baseline, own.combined, own.continued, int64(own.unit), own.lost,
		s.environment.Now().UnixMilli(), own.sealed)
	return err
}

// outbox returns what is to be published, oldest first, up to a size that is
// good to have in memory. Ranges come last: what they leave out may stand in a
// batch, or in a baseline that goes out again, and this device may be lost before
// that is out.
func (s *Syncer) outbox(ctx context.Context) ([]ownSegment, error) {
	pending := fmt.Sprintf("state = %d AND substr(name, 27, 4)", segmentPending)
	batches, err := s.selectSegments(ctx, "sealed", pending+" = '0000'", maxBody)
	if err != nil || len(batches) > 0 || slices.ContainsFunc(s.db.Tables, func(table *changelog.Table) bool { return table.Phase == changelog.PhaseUnsent }) {
		return batches, err
	}
	return s.selectSegments(ctx, "sealed", pending+" > '0000'", maxBody)
}

// pendingSegments reports whether there is something to be published.
func (s *Syncer) pendingSegments(ctx context.Context) (pending bool, err error) {
	err = s.handle.conn.Get(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM sqlitesync_segments WHERE state = %d)", segmentPending), nil, &pending)
	return pending, err
}

// pendingBatch is the condition that a segment is a batch in the outbox.
var pendingBatch = fmt.Sprintf("state = %d AND substr(name, 27, 4) = '0000'", segmentPending)

// firstUnsent returns the oldest batch of this device that does not stand in the folder,
// as far as that is known, 0 if all do.
func (s *Syncer) firstUnsent(ctx context.Context) (uint64, error) {
	var first string
	err := s.handle.conn.Get(ctx, "SELECT coalesce(min(name), '') FROM sqlitesync_segments WHERE "+pendingBatch+" AND name > ?",
		[]any{original(s.out).String()}, &first)
	name, _ := folder.ParseSegmentName(first)
	return name.First, err
}

// lookWhatIsOut notes which batches of the outbox stand in the folder: others can
// have read what is not known to be durable there.
func (s *Syncer) lookWhatIsOut(ctx context.Context, f *folder.Folder) error {
	pending, err := s.ownSegments(ctx, pendingBatch)
	for i := range pending {
		if _, err := s.readOwn(f, &pending[i]); err != nil {
			break
		}
		s.out = pending[i].name.Last
	}
	return err
}

// ownSegments returns this device's segments that meet a condition, without their
// bytes, in the order of their batches.
func (s *Syncer) ownSegments(ctx context.Context, condition string) ([]ownSegment, error) {
	return s.selectSegments(ctx, "NULL", condition, 0)
}

// selectSegments returns segments until they have so many bytes (0: all).
func (s *Syncer) selectSegments(ctx context.Context, sealed, condition string, limit int) ([]ownSegment, error) {
	rows, err := s.handle.conn.Query(ctx, "SELECT name, state, hash, tail, rows, size, baseline, combined, continued, unit, lost, coalesce(remade, 0), coalesce(vanished, 0), coalesce(replaced, 0), "+sealed+
		" FROM sqlitesync_segments WHERE "+condition+" ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []ownSegment
	for size := 0; (limit == 0 || size < limit) && rows.Next(); {
		var own ownSegment
		var name string
		var tail []byte
		var unit int64
		err := rows.Scan(&name, &own.state, &own.hash, &tail, &own.rows, &own.size, &own.baseline, &own.combined, &own.continued, &unit, &own.lost, &own.remade, &own.vanished, &own.replaced, &own.sealed)
		if err != nil {
			return nil, err
		}
		copy(own.tail[:], tail)
		var ok bool
		if own.name, ok = folder.ParseSegmentName(name); !ok {
			return nil, fmt.Errorf("%q is not the name of a segment", name)
		}
		own.unit = uint64(unit)
		found = append(found, own)
		size += own.size
	}
	return found, rows.Err()
}

// newestSegment returns one of this device's segments that end with its newest
// batch, nil if there is none.
func (s *Syncer) newestSegment(ctx context.Context) (*ownSegment, error) {
	const last = "substr(name, 14, 12)" // of 00000000000f-0000000000ff-0000.seg
	found, err := s.ownSegments(ctx, last+" = (SELECT max("+last+") FROM sqlitesync_segments)")
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// baselineRowsIn counts the changes that are rows of a baseline.
func baselineRowsIn(changes []changelog.Change) (n int) {
	for i := range changes {
		if changes[i].Stamp.Baseline() {
			n++
		}
	}
	return n
}

func (s *Syncer) setState(ctx context.Context, name folder.SegmentName, state segmentState) error {
	_, err := s.handle.conn.Exec(ctx, "UPDATE sqlitesync_segments SET state = ?1, sealed = iif(?1 = ?2, NULL, sealed) WHERE name = ?3",
		state, segmentFound, name.String())
	return err
}

// readOwn reads a segment back, and makes sure that it is what was published.
func (s *Syncer) readOwn(f *folder.Folder, own *ownSegment) ([]byte, error) {
	data, err := f.ReadSegment(s.identity.device.String(), own.name, maxSegment)
	if sum := sha256.Sum256(data); err == nil && !bytes.Equal(sum[:], own.hash) {
		err = fmt.Errorf("%w: it is not what was published", crypto.ErrDamaged)
	}
	return data, err
}

// replace notes that a segment has taken the place of those that it covers: of one
// range the higher generation counts.
func (s *Syncer) replace(ctx context.Context, by folder.SegmentName) error {
	_, err := s.handle.conn.Exec(ctx, `UPDATE sqlitesync_segments SET replaced = ?1
		WHERE replaced IS NULL AND substr(name, 1, 12) >= ?3 AND substr(name, 14, 12) <= ?4 AND (name < ?2 OR substr(name, 1, 25) <> ?3 || '-' || ?4)`,
		s.environment.Now().UnixMilli(), by.String(), fmt.Sprintf("%012x", by.First), fmt.Sprintf("%012x", by.Last))
	return err
}

// sweep removes the files of segments that ranges took the place of, once they
// have stood beside these for a time of grace. What has overruled a change that
// a range leaves out may be a change of this device, and must be out first.
// Nothing goes while something is gone that should stand and may come back, and
// what such a range has taken the place of stays until that is made again. That is
// looked at once more: a pass that reads a year takes long, and a sync client can
// have taken the folder back meanwhile.
func (s *Syncer) sweep(ctx context.Context, f *folder.Folder, p *problems) error {
	if s.vanished {
		return nil
	}
	if pending, err := s.pendingSegments(ctx); err != nil || pending {
		return err
	}
	replaced, err := s.ownSegments(ctx, "replaced IS NOT NULL")
	if err != nil || len(replaced) == 0 {
		return err
	}
	gone, err := s.ownSegments(ctx, "vanished IS NOT NULL AND replaced IS NULL")
	if err != nil {
		return err
	}
	stands, err := s.standingInstead(ctx, f)
	if err != nil {
		return err
	}
	now := s.environment.Now()
	for i, own := range replaced {
		grace := graceTime
		if len(replaced)-i > maxReplaced {
			grace = leastGrace
		}
		since := now.Sub(time.UnixMilli(own.replaced))
		if since >= 0 && since < grace { // below 0: the clock was set back
			continue
		}
		if slices.ContainsFunc(gone, func(other ownSegment) bool { return other.covers(own.name) }) || !stands(own.name) {
			continue
		}
		if err := s.own(f).RemoveSegment(own.name); err != nil {
			p.add(s.publishFault(err, own.name.Last)) // it is tried again; what is new does not wait for it
			continue
		}
		if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_segments WHERE name = ?", own.name.String()); err != nil {
			return err
		}
	}
	return nil
}

// standingInstead returns what tells of a segment whether another one that says what it
// does stands in the folder now.
func (s *Syncer) standingInstead(ctx context.Context, f *folder.Folder) (func(folder.SegmentName) bool, error) {
	live, err := s.ownSegments(ctx, fmt.Sprintf("replaced IS NULL AND state = %d", segmentFound))
	if err != nil {
		return nil, err
	}
	listing, err := f.List(s.identity.device.String())
	if err != nil {
		return nil, s.publishFault(err, 0)
	}
	live = slices.DeleteFunc(live, func(own ownSegment) bool { return !slices.Contains(listing.Segments, own.name) })
	return func(name folder.SegmentName) bool {
		return slices.ContainsFunc(live, func(own ownSegment) bool {
			return own.name.First <= name.First && name.Last <= own.name.Last && !s.shrunk(f, &own)
		})
	}, nil
}
