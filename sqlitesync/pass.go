package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// problems collects what went wrong in a pass without stopping it, one by one up
// to maxListed: a folder full of junk must not fill the memory, or the log.
type problems struct {
	list   []error
	beyond int // how many more there were
}

// add adds an error. One that names nothing in particular gets a hint that is
// true of all.
func (p *problems) add(err error) {
	var known *Error
	refused := hintRefused(err)
	switch {
	case err == nil:
	case len(p.list) >= maxListed && !errors.Is(err, ErrBroken):
		p.beyond++
	case refused != "" && errors.As(err, &known): // whatever it kept from being done
		known.Hint = refused + "the next pass tries again."
		p.list = append(p.list, err)
	case refused != "":
		p.list = append(p.list, fault("write to the database", err, refused+"the next pass tries again."))
	case errors.As(err, &known):
		p.list = append(p.list, err)
	default:
		p.list = append(p.list, fault("pass", err, "Local changes are kept; the next pass tries again."))
	}
}

// run does one pass, records its problems, and returns them joined.
func (s *Syncer) run(ctx context.Context) error {
	return s.turn(ctx, "sync", s.onePass)
}

func (s *Syncer) onePass(ctx context.Context) error {
	if s.state.paused() { // perhaps while it waited for its turn
		return ErrPaused
	}
	s.state.setDoing(StateSyncing)
	defer s.state.setDoing("")
	if s.broken != nil {
		return s.broken
	}
	var p problems
	_ = alongMigrations(func() error {
		p = problems{}
		s.once(ctx, &p)
		return errors.Join(p.list...)
	})
	p.add(s.pruneConflicts(ctx))
	p.add(s.forgetFormer(ctx))
	if err := ctx.Err(); err != nil { // to be broken off is no problem
		return err
	}
	s.stopIfBroken(&p)
	if p.beyond > 0 {
		p.list = append(p.list, fault("pass", fmt.Errorf("%d more problems are not listed", p.beyond),
			"Someone has filled the folder with files that are not from this space's devices. Restore it from the file-sync service's history."))
	}
	s.report(p.list)
	return errors.Join(p.list...)
}

// stopIfBroken ends the work of this Syncer if to go on would make things worse.
func (s *Syncer) stopIfBroken(p *problems) {
	for _, err := range p.list {
		if errors.Is(err, ErrBroken) {
			s.broken = fault("sync", err, "Sync has stopped, and the app goes on. Start the program again; if it stops again, restore the database from a backup, or join anew, "+
				"and report it with what 'sqlitesync doctor' says.")
			p.list = []error{s.broken}
			return
		}
	}
}

// once is one pass. What it does locally it does even if the folder is not
// there, and what it can read it reads even if nothing can be written.
func (s *Syncer) once(ctx context.Context, p *problems) {
	if err := s.prepare(ctx); err != nil {
		var known *Error
		if !errors.As(err, &known) {
			err = fault("read local changes", err, "Local writes are captured all the same; the next pass tries again.")
		}
		p.add(err)
		return
	}
	for _, err := range s.db.RefusedErrors() {
		p.add(fault("capture a table that Options.Tables names", err, "All other tables are synced."))
	}
	f, err := s.openFolder()
	if err != nil {
		p.add(err)
		return
	}
	defer f.Close()
	if err := s.checkFolder(ctx, f, p); err != nil {
		p.add(err)
		return
	}
	records, err := s.readRecords(ctx, f, p)
	if err != nil {
		p.add(err)
		return
	}
	// What is sealed for an epoch whose record is not in the folder could be read by
	// nobody if this database were lost: no segment goes out before the records.
	written := s.publishRecords(ctx, f, records)
	if err := s.checkMembership(); err != nil {
		p.add(written)
		p.add(err)
		return
	}
	if written == nil {
		if err := s.doDuties(ctx, f); err != nil {
			p.add(fault("write the roster", err, "The next pass tries again."))
			written = s.publishRecords(ctx, f, records)
		}
	}
	s.exchange(ctx, f, p, written)
}

// exchange publishes what there is, if nothing keeps it from that, reads what others
// have published, and publishes what came of it. What cannot be published now is tried
// again by the next pass, but reading goes on.
func (s *Syncer) exchange(ctx context.Context, f *folder.Folder, p *problems, published error) {
	s.forksLooked = s.looked == nil
	if published == nil {
		published = s.confirm(ctx, f, p)
	}
	if published == nil {
		published = s.publish(ctx, f)
	}
	if published = s.twin(ctx, f, published); errors.Is(published, errSucceeded) {
		p.add(published)
		return
	}
	if s.out = 0; published != nil {
		if err := s.lookWhatIsOut(ctx, f); err != nil {
			p.add(fault("look at what is out", err, "The next pass tries again."))
		}
	}
	last := s.environment.Beat()
	meanwhile := func() {
		if now := s.environment.Beat(); published == nil && now.Sub(last) >= maxFlushDelay {
			published, last = s.publish(ctx, f), now // an edit does not wait for a year to be read
		}
	}
	complete, err := s.pull(ctx, f, p, meanwhile)
	if err != nil {
		p.add(fault("merge", err, hintMerge))
	}
	if complete {
		s.incomplete = time.Time{}
	} else if s.incomplete.IsZero() {
		s.incomplete = s.environment.Beat()
	}
	refused := func(problem error) bool { return changelog.ErrorCode(problem) != 0 }
	if err == nil && !slices.ContainsFunc(p.list, refused) { // a lock that the merge gave up on is not waited for again
		if err := s.rememberWaits(ctx); err != nil {
			p.add(fault("remember what is waited for", err, "The next pass tries again."))
		}
	}
	if published == nil { // all that is known here stands in the folder
		if err := s.rebuild(ctx, f, p, meanwhile); err != nil {
			p.add(fault("read all logs again", err, "If a table was made anew, rows of it are missing until that has been done; the next pass tries again."))
		}
	}
	// Rows that stood here before are published when it is known which of them
	// the space has already. A log that can't be read does not keep them here
	// for ever: what is published twice costs a few bytes.
	if complete || s.environment.Since(s.incomplete) > causalWait {
		if err := s.enqueueBaselines(ctx); err != nil {
			p.add(fault("read the rows that were here before", err, "The next pass tries again."))
		}
	}
	if published == nil { // edits made during the pass were folded before each merge
		published = s.publish(ctx, f)
	}
	if published == nil {
		if err := s.relayLost(ctx); err != nil {
			p.add(fault("publish what a lost device has written", err, "The next pass tries again."))
		}
		published = s.publish(ctx, f)
	}
	if published == nil { // what was written anew says no more than what stands there
		if err := s.compact(ctx, f); err != nil {
			p.add(fault("write the log anew", err, "It stays as it is; the next pass tries again."))
		}
		published = s.publish(ctx, f)
	}
	if published == nil { // now, not before: a device whose every pass has something to say would never get to it
		p.add(s.sweep(ctx, f, p))
	}
	ahead := s.twin(ctx, f, s.lookAtHeads(ctx, f, p))
	p.add(ahead)
	if errors.Is(ahead, errSucceeded) {
		return
	}
	known, err := s.knowledge(ctx)
	p.add(err)
	if err == nil {
		p.add(s.lookForDivergence(ctx, known))
		if published == nil { // the head follows the segments that it names
			published = s.publishHead(ctx, f, known)
		}
	}
	p.add(published)
	p.add(s.scrubSome(ctx))
	p.add(s.countPending(ctx))
}

// errMigrated: the app has changed its schema since capture has read it.
var errMigrated = errors.New("the database's schema is being changed")

// maxMigrations is how many changes of the schema one call goes along with.
const maxMigrations = 5

// alongMigrations runs fn again while the app changes its schema under it, and if
// the database has become another device.
func alongMigrations(fn func() error) (err error) {
	for range maxMigrations {
		if err = fn(); !errors.Is(err, errMigrated) && !errors.Is(err, errSucceeded) {
			break
		}
	}
	return err
}

// transact runs fn in a transaction and announces what it merged. It fails
// with errMigrated if the schema is not the one that capture has read.
func (s *Syncer) transact(ctx context.Context, fn func() error) error {
	return s.transactAnyway(ctx, func() error {
		if moved, err := s.db.SchemaMoved(ctx); err != nil || moved {
			return errors.Join(err, errMigrated)
		}
		return fn()
	})
}

// transactAnyway is transact whatever the schema is.
func (s *Syncer) transactAnyway(ctx context.Context, fn func() error) error {
	return s.transactAs(ctx, changelog.Ordinary, fn)
}

func (s *Syncer) transactAs(ctx context.Context, durability changelog.Durability, fn func() error) error {
	s.outcomes, s.undone = nil, 0
	err := s.handle.conn.Transact(ctx, durability, func() error {
		if err := fn(); err != nil {
			return err
		}
		return s.enqueueDisplaced(ctx)
	})
	if err != nil {
		s.lost = nil // it may say what was taken back; it is read again
		return err
	}
	s.announceUndone(ctx)
	s.announce()
	return nil
}

func (s *Syncer) countPending(ctx context.Context) error {
	var rows int
	err := s.handle.conn.Get(ctx, "SELECT coalesce(sum(rows), 0) FROM sqlitesync_segments WHERE state = 0", nil, &rows)
	s.state.update(func(st *Status) { st.Pending = rows })
	return err
}

// export takes local changes into the folder, without reading what others
// wrote. It needs the folder only if there are any.
func (s *Syncer) export(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	pending, err := s.pendingSegments(ctx)
	if err != nil || !pending {
		return err
	}
	f, err := s.openFolder()
	if err != nil {
		return err
	}
	defer f.Close()
	var p problems // they are for a pass to report
	if err := s.checkFolder(ctx, f, &p); err != nil {
		return err
	}
	if err := s.checkMembership(); err != nil {
		return err
	}
	records, err := f.Records()
	if err != nil {
		return s.publishFault(err, 0)
	}
	if err := s.publishRecords(ctx, f, records); err != nil {
		return err
	}
	if err := s.confirm(ctx, f, &p); err != nil {
		return err
	}
	if err := s.publish(ctx, f); err != nil {
		return err
	}
	known, err := s.knowledge(ctx)
	if err != nil {
		return err
	}
	return s.publishHead(ctx, f, known)
}

// report makes what went wrong in a pass the state of things, and tells what
// is new about it.
func (s *Syncer) report(list []error) {
	var before []error
	s.state.update(func(st *Status) { before, st.Problems = st.Problems, list })
	known := make(map[string]bool, len(before))
	for _, err := range before {
		known[plainText(err)] = true
	}
	for _, err := range list {
		if !known[plainText(err)] {
			s.log.Warn("problem", "err", err)
			s.events.send(Event{Kind: EventProblem, Err: err})
		}
	}
	if len(before) > 0 && len(list) == 0 {
		s.log.Info("no problem is left")
		s.events.send(Event{Kind: EventSolved})
	}
}

// temporaryName matches what is random in the names of temporary files.
var temporaryName = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

// plainText returns the text of err as it is at every pass.
func plainText(err error) string { return temporaryName.ReplaceAllString(err.Error(), "") }
