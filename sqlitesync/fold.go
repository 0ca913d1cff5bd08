package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
)

// Limits that keep the write lock short, here and where a batch is merged.
const (
	// maxFold is how many entries of the log one transaction folds.
	maxFold = 4096
	// maxBody is the size from which a batch is continued in the next segment.
	maxBody = 8 << 20
)

// fold turns all that the log holds into batches in the outbox. It is called
// inside a transaction, before anything is merged in it: an edit made before a
// merge is stamped without knowledge of it.
func (s *Syncer) fold(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = s.foldSome(ctx); err != nil {
			return err
		}
	}
	return nil
}

// foldSome folds the first entries of the log and reports whether there are
// more. While there are, the batch that it makes is continued in the next one.
func (s *Syncer) foldSome(ctx context.Context) (more bool, err error) {
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return false, err
	}
	page, edits, err := s.pending(ctx, position+1)
	if err != nil || page.Last == 0 {
		return false, err
	}
	if s.reads() {
		return page.More, s.undo(ctx, page, edits)
	}
	if err := checkStamps(edits); err != nil {
		return false, err
	}
	changes := make([]changelog.Change, len(edits))
	for i := range edits {
		changes[i] = edits[i].Change
	}
	segments, err := s.split(ctx, position+1, &changes, func(i int) { edits = slices.Delete(edits, i, i+1) })
	if err != nil {
		return false, err
	}
	if segments, err = s.continueRun(ctx, segments, page, position+1); err != nil {
		return false, err
	}
	err = s.enqueue(ctx, segments, func() error {
		for i := range edits { // a large batch was split: some went into later batches
			edits[i].Change.Stamp, edits[i].Change.Birth = changes[i].Stamp, changes[i].Birth
		}
		// Only the last page is settled: until then the log holds writes of rows
		// that settling could take out of sight. Reconcile must not meet rows that
		// were shown since their table was renamed: they look as if they had been told.
		local := merge.Local
		if page.More || len(s.db.Stale) > 0 {
			local = merge.LocalPart
		}
		result, err := local(ctx, s.db, edits)
		s.merged(s.identity.device, result)
		return err
	})
	if err != nil {
		return false, err
	}
	return page.More, s.db.ClearLog(ctx, page)
}

// pending reads the first entries of the log for the batch with this number: few
// where rows are large.
func (s *Syncer) pending(ctx context.Context, number uint64) (page changelog.LogPage, edits []changelog.Edit, err error) {
	for {
		if page, err = s.db.Page(ctx, s.foldSize); err != nil || page.Last == 0 {
			return page, nil, err
		}
		if edits, err = s.db.Pending(ctx, page, number); !errors.Is(err, changelog.ErrPageSize) {
			break
		}
		s.foldSize = max(1, s.foldSize/4)
	}
	if err != nil {
		return page, nil, err
	}
	s.foldSize = min(2*s.foldSize, maxFold)
	for _, table := range s.db.Tables {
		if table.NullKeys {
			s.stays(nullKeys(table))
		}
	}
	if edits, err = merge.Restore(ctx, s.db, edits); err != nil {
		return page, nil, err
	}
	return page, edits, merge.Predate(ctx, s.db, edits)
}

// split makes segments of changes, for the batch with this number and, if they
// are many, the next ones. It writes the stamps that they get into changes. A
// change beyond the limits of the format (a key above 16 MiB) stays on this
// device: it is taken out of changes, dropped is called with its index, and
// the other changes go on.
func (s *Syncer) split(ctx context.Context, number uint64, changes *[]changelog.Change, dropped func(i int)) ([]*segment.Segment, error) {
	seen, err := s.db.Seen(ctx)
	if err != nil {
		return nil, err
	}
	drop := func(i int, err error) {
		s.reportBeyond((*changes)[i].Shape.Table, err)
		*changes = slices.Delete(*changes, i, i+1)
		dropped(i)
	}
	for i := len(*changes) - 1; i >= 0; i-- {
		if (*changes)[i].Stamp.Time >= changelog.MaxTime {
			drop(i, errors.New("its time is beyond the limit: another device wrote it with a broken clock"))
		}
	}
	for len(*changes) > 0 {
		batch := &changelog.Batch{Device: s.self(), Number: number, Seen: seen, Changes: *changes}
		segments, err := segment.Split(batch, maxBody)
		var beyond *segment.ChangeError
		if errors.As(err, &beyond) {
			drop(beyond.Index, beyond.Err)
			continue
		}
		if err != nil {
			return nil, err
		}
		next := 0
		for _, part := range segments {
			for i := range part.Changes {
				(*changes)[next].Stamp, (*changes)[next].Birth = part.Changes[i].Stamp, part.Changes[i].Birth
				next++
			}
		}
		return segments, nil
	}
	return nil, nil
}

// reportBeyond tells that the format can't carry a change.
func (s *Syncer) reportBeyond(table string, err error) {
	s.stays(Unsynced{Table: table, Reason: "a change is beyond the limits of the format: " + err.Error(),
		Hint: "make the row's key or values smaller, or write it under another key"})
}

// enqueue seals segments and puts them into the outbox, after record has
// written down here what they contain. Meanwhile they are compressed: that is
// the dearest part of the way out that is not SQLite's, and takes no longer than
// record does.
func (s *Syncer) enqueue(ctx context.Context, segments []*segment.Segment, record func() error) error {
	if len(segments) == 0 {
		return record()
	}
	packed := make([][]byte, len(segments))
	errs := make([]error, len(segments)+1)
	var packing sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0)) // each takes as much memory as its segment
	for i, part := range segments {
		packing.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var body []byte
			if body, errs[i] = segment.Encode(part); errs[i] == nil {
				packed[i], errs[i] = segment.Pack(body)
			}
		})
	}
	errs[len(segments)] = record()
	packing.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	tail, err := s.ownTail(ctx, segments[0].First-1)
	if err != nil {
		return err
	}
	unit := uint64(0)
	if slices.ContainsFunc(segments, func(part *segment.Segment) bool { return len(part.Pieces) > 0 }) {
		unit = segments[0].First
	}
	epoch := s.keys.newest()
	for i, part := range segments {
		header := crypto.SegmentHeader{
			Space: s.identity.space, Device: s.identity.device, First: part.First, Last: part.Last, Prev: crypto.Tail(tail),
		}
		sealed, next, err := crypto.SealSegment(header, packed[i], epoch, s.keys.entry().Device)
		if err != nil {
			return fmt.Errorf("seal batch %d: %w", part.Last, err)
		}
		tail = next
		own := ownSegment{name: original(part.Last), tail: next, rows: len(part.Changes), baseline: baselineRowsIn(part.Changes),
			continued: part.Batches[0].Continued, unit: unit, sealed: sealed}
		if own.lost, err = s.lostBefore(ctx, part.Changes); err != nil {
			return err
		}
		if err := s.addSegment(ctx, own); err != nil {
			return err
		}
	}
	return s.db.SetPosition(ctx, s.self(), segments[len(segments)-1].Last, tail)
}

// ownTail returns the tail of this device's log, of which batch is the newest: a
// break in it would keep every other device waiting for ever.
func (s *Syncer) ownTail(ctx context.Context, batch uint64) (tail [32]byte, err error) {
	position, tail, err := s.db.Position(ctx, s.self())
	if err != nil {
		return tail, err
	}
	newest, err := s.newestSegment(ctx)
	if err != nil {
		return tail, err
	}
	if position != batch || newest != nil && (newest.name.Last != position || newest.tail != crypto.Tail(tail)) {
		return tail, fmt.Errorf("%w: the log of this device does not end with batch %d", ErrBroken, batch)
	}
	return tail, nil
}

// checkStamps makes sure that edits are newer than what they were made with
// knowledge of.
func checkStamps(edits []changelog.Edit) error {
	for i := range edits {
		edit := &edits[i]
		if edit.Origin == changelog.Noted && edit.Before != nil && edit.Change.Stamp.Compare(edit.Before.Stamp) <= 0 {
			return fmt.Errorf("%w: an edit of table %q would be older than what it replaces", ErrBroken, edit.Table.Name)
		}
	}
	return nil
}

// lostBefore returns how often a segment with these changes was lost before, if they go out again for that.
func (s *Syncer) lostBefore(ctx context.Context, changes []changelog.Change) (lost int, err error) {
	of := func(setting string, is func(changelog.Change) bool) {
		if err == nil && slices.ContainsFunc(changes, is) {
			var again uint64
			again, err = loadNumber(ctx, s.handle.conn, setting)
			lost = max(lost, int(again))
		}
	}
	of("baseline_lost", func(c changelog.Change) bool { return c.Stamp.Baseline() })
	of("relay_lost", func(c changelog.Change) bool { return !c.Stamp.Baseline() && c.Stamp.Device != s.self() })
	return lost, err
}
