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
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

const (
	// maxSegment is FORMAT.md's limit for a segment file.
	maxSegment = 66 << 20
	// maxPacked bounds what decrypting a segment may produce.
	maxPacked = 65 << 20
	// maxValue bounds what is put together from pieces.
	maxValue = 1 << 30
	// causalWait is how long a batch waits for the batches that its author had
	// seen. Merging commutes, so waiting only spares people half a picture.
	causalWait = time.Minute

	hintMerge   = "Nothing of the batch was kept; the next pass tries again."
	hintDamaged = "The file is damaged, or has not been downloaded completely. It is tried again at every pass; if it stays so, restore it from the file-sync service's history. A segment the device that wrote it makes again, or an admin's relays what it says."
)

// pull merges what stands in the folder, of every device as far as its log
// reaches without a gap. What is wrong with one device's files does not keep
// others from being read.
//
// It calls meanwhile after each step, and reports whether all that the folder
// holds of other members was merged.
func (s *Syncer) pull(ctx context.Context, f *folder.Folder, p *problems, meanwhile func()) (complete bool, err error) {
	s.pulling = time.Now()
	readings, err := s.list(ctx, f, p)
	if err != nil {
		return false, err
	}
	if err := s.lookForLost(ctx, f, readings); err != nil {
		return false, err
	}
	s.beginWork(PhaseMerging, behind(readings))
	defer s.endWork()
	defer awaitAhead(readings)
	if err := s.recallWaits(ctx); err != nil {
		return false, err
	}
	waiting := make(waits)
	for progress := true; progress; {
		progress = false
		clear(waiting)
		for _, r := range readings {
			for {
				applied, err := s.advance(ctx, f, r, waiting, p)
				if err != nil {
					return false, err
				}
				if !applied {
					break
				}
				progress = true
				s.tell(func() int { return behind(readings) })
				meanwhile()
			}
		}
	}
	if err := s.noteReadBranches(ctx, readings); err != nil {
		return false, err
	}
	s.waiting = waiting
	maps.DeleteFunc(s.overdue, func(_ DeviceID, w Waiting) bool { return !s.lacks(w.Device, w.Batch) })
	left := behind(readings)
	held, err := merge.CountHeld(ctx, s.handle.conn)
	s.state.update(func(st *Status) {
		st.Behind, st.Held = left, held
		st.Waiting = slices.DeleteFunc(s.listWaits(), s.cameOtherwise)
	})
	return left == 0 && len(waiting) == 0, err
}

// behind counts the segments that are to be merged.
func behind(readings []*reading) (n int) {
	for _, r := range readings {
		if !r.refused {
			n += r.behind(r.reach())
		}
	}
	return n
}

// advance applies the next batch of a device, with those that it is continued
// in, if they are there and not before their time.
func (s *Syncer) advance(ctx context.Context, f *folder.Folder, r *reading, waiting waits, p *problems) (bool, error) {
	next := s.usable(f, r, p)
	switch {
	case next == nil:
		return false, nil
	case next.missing > 0:
		s.wait(waiting, Waiting{Device: r.device, Batch: next.missing, For: r.device})
		return false, nil
	case next.segments == nil:
		return false, nil
	}
	missing := s.uncovered(r, next)
	if len(missing) > 0 && s.waitsFor(waiting, missing) {
		return false, nil
	}
	s.readAhead(f, r, next)
	return s.goesOn(ctx, r, next, p, s.apply(ctx, r, next, len(missing) == 0))
}

// usable returns what comes next in a log. It returns nil if that can't be used: what
// is wrong with it is a problem, and the next pass looks again.
func (s *Syncer) usable(f *folder.Folder, r *reading, p *problems) *group {
	if r.failed {
		return nil
	}
	if r.next == nil {
		r.next = s.readNext(f, r)
	}
	next := r.next
	discontinued := next.fault != nil && errors.Is(next.fault, errDiscontinued)
	if discontinued && r.again {
		s.noteRewound(r)
	}
	switch {
	case discontinued && r.position > 0 && !r.again && s.rewound[r.device] != r.position:
		s.rewind(r)
		return s.usable(f, r, p)
	case s.forksAt(r, next):
		s.log.Warn("what follows in a device's log is of a copy of it, which says it again as another device", "device", r.device, "batch", r.position)
		after := func(name folder.SegmentName) bool { return name.Last > r.position }
		r.names, r.copied = slices.DeleteFunc(r.names, after), slices.DeleteFunc(r.copied, after)
		r.failed, r.ended = true, true
		return nil
	case next.fault != nil:
		p.add(next.fault)
		r.failed, r.refused = true, errors.Is(next.fault, errCut)
		return nil
	}
	return next
}

// goesOn reports whether a log is to be read on after a group was merged, or was not:
// what is wrong with it ends the reading of this log, not of others.
func (s *Syncer) goesOn(ctx context.Context, r *reading, merged *group, p *problems, err error) (bool, error) {
	if err == nil {
		return true, nil
	}
	if ctx.Err() != nil || errors.Is(err, errMigrated) {
		return false, err
	}
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Op: "merge", Device: r.device, Batch: merged.segments[0].First, Err: err, Hint: hintMerge}
	}
	r.failed = true
	p.add(known)
	return false, nil
}

// apply merges a group that is new here.
func (s *Syncer) apply(ctx context.Context, r *reading, next *group, witness bool) error {
	if next.compacted() && next.last > r.known {
		s.state.setDoing(StateCatchingUp)
	}
	note := func() error {
		if r.again { // the same numbers stand for two contents, and both are known here
			if err := errors.Join(s.db.SetAllApart(ctx), s.noteFork(ctx, r.device, r.position+1), s.noteBranches(ctx, r.device, r.known)); err != nil {
				return err
			}
		}
		if next.inside { // the batches that were read can be other ones than are in it
			if err := s.noteFork(ctx, r.device, r.position+1); err != nil {
				return err
			}
		}
		return s.noteRanges(ctx, r, next)
	}
	err := s.mergeGroup(ctx, next, witness, nil, note, func() error {
		if next.last < r.known {
			return nil // it is being read again
		}
		return s.db.SetPosition(ctx, changelog.DeviceID(r.device), next.last, next.tail)
	})
	if err != nil {
		return err
	}
	r.pass(next)
	r.known = max(r.known, next.last)
	s.seen[changelog.DeviceID(r.device)] = r.known
	for _, part := range next.segments {
		s.worked(0, len(part.Changes))
	}
	s.worked(next.bytes, 0)
	s.state.update(func(st *Status) { st.LastApplied = s.environment.Now() })
	s.log.Debug("merged", "device", r.device, "batch", r.position)
	return nil
}

// mergeGroup merges a group, or of its changes only those of some tables (nil:
// all): batches in one transaction, a compacted range, which is none, in steps.
// The last transaction ends with finish. What note writes stands before anything of
// the group does: it may be broken off, and never be read to its end.
func (s *Syncer) mergeGroup(ctx context.Context, next *group, witness bool, tables []*changelog.Table, note, finish func() error) error {
	joiner := segment.NewJoiner(maxValue)
	if !next.compacted() {
		return s.mergeStep(ctx, func() error {
			if err := note(); err != nil {
				return err
			}
			for _, part := range next.segments {
				batch, err := joined(joiner, part, tables)
				if err != nil {
					return err
				}
				if err := s.merge(ctx, batch, witness); err != nil {
					return err
				}
			}
			return finish()
		})
	}
	if err := s.transact(ctx, note); err != nil {
		return err
	}
	for _, part := range next.segments {
		batch, err := joined(joiner, part, tables)
		if err != nil {
			return err
		}
		batch.Vectors = make(map[uint64]changelog.Vector, len(part.Batches))
		for _, b := range part.Batches {
			batch.Vectors[b.Number] = b.Seen
		}
		if s.seen[part.Author] < part.First { // else a conflict that was resolved since would be listed again
			batch.Vectors[0] = part.Batches[len(part.Batches)-1].Seen
		}
		for changes := range slices.Chunk(batch.Changes, maxFold) {
			step := *batch
			step.Changes = changes
			if err := s.mergeStep(ctx, func() error { return s.merge(ctx, &step, witness) }); err != nil {
				return err
			}
		}
	}
	return s.transact(ctx, finish)
}

// joined returns a segment as a batch, with the values that came in pieces.
func joined(joiner *segment.Joiner, part *segment.Segment, tables []*changelog.Table) (*changelog.Batch, error) {
	if err := joiner.Join(part); err != nil {
		return nil, &Error{Op: "read segment", Device: DeviceID(part.Author), Batch: part.First, Err: err, Hint: hintDamaged}
	}
	changes := part.Changes
	if tables != nil {
		changes = slices.DeleteFunc(changes, func(c changelog.Change) bool {
			return !slices.ContainsFunc(tables, func(table *changelog.Table) bool { return table.Put.Table == c.Shape.Table })
		})
	}
	return &changelog.Batch{Device: part.Author, Number: part.Last, Seen: part.Batches[0].Seen, Changes: changes}, nil
}

// mergeStep runs a transaction that merges, after the local edits that were made
// without knowledge of what it merges.
func (s *Syncer) mergeStep(ctx context.Context, fn func() error) error {
	started := time.Now()
	err := s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
		if !slices.ContainsFunc(s.outcomes, func(o outcome) bool { return o.result.PutAgain > 0 }) {
			return nil
		}
		return s.fold(ctx) // parents that children of this device need: an edit that has seen the batch
	})
	if err == nil {
		giveWay(ctx, started, time.Since(s.pulling))
	}
	return err
}

func (s *Syncer) merge(ctx context.Context, batch *changelog.Batch, witness bool) error {
	if err := s.limitSeen(ctx, batch); err != nil {
		return err
	}
	result, err := merge.Apply(ctx, s.db, batch, witness)
	if err == nil {
		s.merged(DeviceID(batch.Device), result)
	}
	return err
}

// limitSeen takes from what a batch's author says to have seen those batches of this
// device that have not gone out. A copy of this database has given their numbers to
// other contents: what stands here nobody has seen, and must not lose without a trace.
func (s *Syncer) limitSeen(ctx context.Context, batch *changelog.Batch) error {
	unsent, err := s.firstUnsent(ctx)
	if err != nil || unsent == 0 {
		return err
	}
	limited := func(seen changelog.Vector) changelog.Vector {
		if seen[s.self()] >= unsent {
			seen = maps.Clone(seen)
			seen[s.self()] = unsent - 1
		}
		return seen
	}
	batch.Seen = limited(batch.Seen)
	for number, seen := range batch.Vectors {
		batch.Vectors[number] = limited(seen)
	}
	return nil
}

// giveWay leaves the write lock to others for a fifth of the time, once a pass
// has been merging for a second: a writer that waits for the lock only looks
// now and then, and would run into its timeout beside an engine that takes the
// lock again at once.
func giveWay(ctx context.Context, started time.Time, merging time.Duration) {
	if merging < time.Second {
		return
	}
	select {
	case <-time.After(time.Since(started) / 4):
	case <-ctx.Done():
	}
}

// outcome is what a merge changed, to be announced after the commit.
type outcome struct {
	device DeviceID
	result merge.Result
}

func (s *Syncer) merged(device DeviceID, result merge.Result) {
	s.outcomes = append(s.outcomes, outcome{device, result})
}

// announce turns the outcomes of a transaction that was committed into events.
func (s *Syncer) announce() {
	for _, o := range s.outcomes {
		for _, table := range o.result.Silenced {
			s.warn(fmt.Sprintf("a trigger on table %q failed in a merge: rows were written without what it writes", table))
		}
		for _, what := range o.result.Local {
			s.warn(what)
		}
		rows := 0
		for _, n := range o.result.Rows {
			rows += n
		}
		if rows > 0 {
			s.events.send(Event{Kind: EventApplied, Device: o.device, Rows: rows, Tables: slices.Sorted(maps.Keys(o.result.Rows))})
		}
		s.announceConflicts(o)
		if o.device != s.identity.device {
			s.overruled += o.result.Overruled
		}
	}
	s.outcomes = nil
}

// announceConflicts tells of the conflicts of a merge, and the author of the app
// of numbers that were handed out twice.
func (s *Syncer) announceConflicts(o outcome) {
	if o.result.Conflicts == 0 {
		return
	}
	s.conflicted = true
	collisions := 0
	for name, n := range o.result.Collisions {
		collisions += n
		if table := s.db.Table(name); table != nil && len(table.Key) == 1 && table.Key[0].Affinity == "INTEGER" {
			s.warn(fmt.Sprintf("two devices gave one number to two rows of table %q: both rows are kept, see Conflicts; "+
				"bring the other one back with Resolve, and use keys that no two devices make, such as those of NewKey", table.Name))
		}
	}
	s.events.send(Event{Kind: EventConflict, Device: o.device, Count: o.result.Conflicts, Collisions: collisions})
}
