package sqlitesync

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// Report is what [Syncer.Verify] has found.
type Report struct {
	// Rows counts the rows that were compared with what is known of them.
	Rows int
	// Changes counts the changes in the logs that were compared with what is known
	// here. Whole: all logs could be read to the end, and this device has read all
	// that those have who left out of their logs what is overruled, so that what is
	// known here and stands in none of them was looked for too.
	Changes int
	Whole   bool
	// Faults lists the rows that are not as they should be, 1,000 at most; More
	// counts the others.
	Faults []Fault
	More   int
	// Digests lists the tables whose digest is not that of what is known of their
	// rows: our tables were written to, or this program is wrong.
	Digests []string
	// Diverged is [Status].Diverged, as of now.
	Diverged []Divergence
}

// Healthy reports whether nothing is wrong.
func (r *Report) Healthy() bool {
	return len(r.Faults) == 0 && len(r.Digests) == 0 && len(r.Diverged) == 0
}

// Fault is a row that is not as it should be.
type Fault struct {
	Table string
	Key   []any // values of the key columns, in the order of the PRIMARY KEY
	Kind  FaultKind
}

// FaultKind says what is wrong with a row.
type FaultKind string

// The kinds. The first three say that something has written to the app's table and
// no trigger has noted it: triggers were off or dropped, or a file was damaged.
// Whoever writes the row once more, with any value, sends what it shows then.
const (
	FaultAltered FaultKind = FaultKind(changelog.Altered) // the row has other values than were written or merged
	FaultAdded   FaultKind = FaultKind(changelog.Added)   // it stands there, and sync does not know of it
	FaultGone    FaultKind = FaultKind(changelog.Gone)    // it is gone, and nobody has deleted it
	// FaultMissing: a log that was read has a change of the row that is not known here.
	FaultMissing FaultKind = "missing"
	// FaultUnfounded: what is known of the row here stands in no log.
	FaultUnfounded FaultKind = "unfounded"
)

// maxFaults bounds how many rows a Report names.
const maxFaults = 1000

// verifyRows is how many rows are compared in one transaction.
const verifyRows = 5000

// Verify does a pass, compares all rows of the tables with what is known of them,
// and that with the logs of all devices, which it reads again. It takes about as
// long as joining, and no write of the app waits for it longer than for a pass. It
// alters nothing. Of two devices that know different things, the one that is wrong
// finds out which rows.
//
// An error means that it could not be done. What is wrong in the folder stands in
// [Status].Problems, as after [Syncer.Sync], and makes Report.Whole false.
func (s *Syncer) Verify(ctx context.Context) (*Report, error) {
	report := new(Report)
	err := s.turn(ctx, "verify", func(ctx context.Context) error {
		if err := s.onePass(ctx); errors.Is(err, ErrPaused) || s.broken != nil {
			return err // other problems stand in Status
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return alongMigrations(func() error {
			*report = Report{}
			return s.verifyAll(ctx, report)
		})
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

func (s *Syncer) verifyAll(ctx context.Context, report *Report) (err error) {
	s.beginWork(PhaseVerifying, 0)
	defer s.endWork()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	for _, table := range s.db.Tables {
		if err := s.verifyTable(ctx, table, report); err != nil {
			return err
		}
	}
	report.Diverged = s.Status().Diverged
	if report.Digests, err = merge.WrongDigests(ctx, s.db); err != nil {
		return err
	}
	f, err := s.openFolder()
	if err != nil {
		return nil // it stands in Status since the pass
	}
	defer f.Close()
	return s.verifyLogs(ctx, f, report)
}

// add adds a fault, or counts it.
func (r *Report) add(table *changelog.Table, key changelog.Key, kind FaultKind) {
	if len(r.Faults) == maxFaults {
		r.More++
		return
	}
	fault := Fault{Table: table.Name, Kind: kind}
	for _, value := range key {
		fault.Key = append(fault.Key, value)
	}
	r.Faults = append(r.Faults, fault)
}

// verifyTable compares the rows of a table with what is known of them.
func (s *Syncer) verifyTable(ctx context.Context, table *changelog.Table, report *Report) error {
	for after, done := changelog.Key(nil), !s.knowsAll(table); !done; {
		var n int
		var err error
		after, n, err = s.scrubPage(ctx, table, after, verifyRows, func(key changelog.Key, is changelog.Alteration) {
			report.add(table, key, FaultKind(is))
		})
		if err != nil {
			return err
		}
		done = after == nil
		report.Rows += n
		s.worked(0, n)
		s.tell(func() int { return 0 })
	}
	return nil
}

// scrubPage compares the next rows of a table with what is known of them, and
// returns the last key, nil at the end, and how many rows there were.
func (s *Syncer) scrubPage(ctx context.Context, table *changelog.Table, after changelog.Key, limit int,
	each func(changelog.Key, changelog.Alteration),
) (last changelog.Key, n int, err error) {
	started := time.Now()
	err = s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil { // what was written just now is known then
			return err
		}
		last, n, err = s.db.Scrub(ctx, table, after, limit, each)
		return err
	})
	giveWay(ctx, started, time.Hour)
	return last, n, err
}

// A logCheck compares what is known here with what stands in the logs.
type logCheck struct {
	folder *folder.Folder
	tables []*changelog.Table // whose rows are compared
	known  map[string]uint64  // how far each log was merged
	met    *digestSet         // what stands in the logs
	report *Report
}

// verifyLogs compares what is known here with what stands in the logs, up to
// where they were merged. What is known can't change meanwhile: nothing folds.
func (s *Syncer) verifyLogs(ctx context.Context, f *folder.Folder, report *Report) error {
	var p problems // the pass has told of them
	readings, err := s.readings(ctx, f, &p)
	if err != nil {
		return nil // it stands in Status since the pass
	}
	check := logCheck{folder: f, known: make(map[string]uint64), report: report}
	for _, r := range readings {
		check.known[r.device.String()] = r.known
	}
	if check.met, err = newDigestSet(ctx, s.handle.conn); err != nil {
		return err
	}
	defer check.met.drop(ctx)
	pending, err := s.pendingSegments(ctx)
	if err != nil {
		return err
	}
	stored, err := s.db.Digests(ctx)
	if err != nil {
		return err
	}
	check.tables = s.comparable(stored)
	gaps, err := s.gaps(ctx, f, readings)
	if err != nil {
		return err
	}
	report.Whole = len(gaps) == 0 && !pending
	for _, r := range readings {
		whole, err := s.verifyLog(ctx, &check, r)
		if err != nil {
			return err
		}
		report.Whole = report.Whole && whole
	}
	if !report.Whole {
		return nil
	}
	return s.findUnfounded(ctx, &check)
}

// findUnfounded looks for what is known here and stands in no log.
func (s *Syncer) findUnfounded(ctx context.Context, check *logCheck) error {
	for _, table := range check.tables {
		err := merge.EachKnown(ctx, s.db, table, func(key changelog.Key, digest changelog.Digest) error {
			there, err := check.met.has(ctx, digest)
			if err == nil && !there {
				check.report.add(table, key, FaultUnfounded)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// verifyLog compares the log of one device with what is known here, and reports
// whether it could be read to where it was merged, and tells of all that counts
// here.
func (s *Syncer) verifyLog(ctx context.Context, check *logCheck, r *reading) (whole bool, err error) {
	whole, r.position, r.tail = true, 0, crypto.Tail{}
	for r.position < r.known {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		next := s.readGroup(check.folder, r, r.position, r.tail)
		if next.fault != nil || next.segments == nil || next.last > r.known { // a range can have come since the pass
			return false, nil //nolint:nilerr // the pass has told of it
		}
		whole = whole && (!next.compacted() || s.overtaken(ctx, check, r, next.name))
		joiner := segment.NewJoiner(maxValue)
		for _, part := range next.segments {
			batch, err := joined(joiner, part, check.tables)
			if err != nil {
				return false, nil //nolint:nilerr // a part of a value is not there
			}
			if err := s.verifyChanges(ctx, check, batch.Changes); err != nil {
				return false, err
			}
		}
		r.position, r.tail = next.last, next.tail
		s.worked(next.bytes, 0)
		s.tell(func() int { return 0 })
	}
	return whole, nil
}

// overtaken reports whether this device has read all that the author of a
// compacted range had read when it made it: the range is without what any of that
// overrules, be it still on its way here. The head that lists the range tells.
func (s *Syncer) overtaken(ctx context.Context, check *logCheck, r *reading, name folder.SegmentName) bool {
	if r.device == s.identity.device {
		return true
	}
	content, err := s.readHead(ctx, check.folder, crypto.Member{ID: r.device, Keys: r.log.Keys})
	if err != nil || !slices.ContainsFunc(content.Segments, func(listed headSegment) bool { return listed.Name == name.String() }) {
		return false
	}
	for device, batch := range content.Seen {
		if check.known[device] < batch {
			return false
		}
	}
	return true
}

func (s *Syncer) verifyChanges(ctx context.Context, check *logCheck, changes []changelog.Change) error {
	check.report.Changes += len(changes)
	if err := check.met.add(ctx, changes); err != nil {
		return err
	}
	missing, err := merge.Missing(ctx, s.db, changes)
	if err != nil {
		return err
	}
	for i := range missing {
		check.report.add(s.db.Table(missing[i].Shape.Table), missing[i].Key, FaultMissing)
	}
	return nil
}
