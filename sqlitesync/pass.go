package sqlitesync

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// problems collects what went wrong in a pass without stopping it.
type problems struct{ list []error }

func (p *problems) add(err error) {
	if err != nil {
		p.list = append(p.list, err)
	}
}

// run does one pass, records its problems, and returns them joined.
func (s *Syncer) run(ctx context.Context) error {
	if s.state.paused() {
		return ErrPaused
	}
	s.pass.Lock()
	defer s.pass.Unlock()
	if s.isClosed() {
		return ErrClosed
	}
	s.state.setBusy(true)
	defer s.state.setBusy(false)
	var p problems
	s.once(ctx, &p)
	s.report(p.list)
	if len(p.list) == 0 {
		return nil
	}
	return fmt.Errorf("sqlitesync: sync: %w", errors.Join(p.list...))
}

// once is one pass. What it does locally it does even if the folder is not
// there, and what it can read it reads even if nothing can be written.
func (s *Syncer) once(ctx context.Context, p *problems) {
	if err := s.prepare(ctx); err != nil {
		p.add(fault("read local changes", err, "Local writes are captured all the same; the next pass tries again."))
		return
	}
	f, err := s.openFolder()
	if err != nil {
		p.add(err)
		return
	}
	defer f.Close()
	if err := s.checkFolder(f); err != nil {
		p.add(err)
		return
	}
	if err := s.exchangeRecords(ctx, f, p); err != nil {
		p.add(err)
		return
	}
	p.add(s.publish(ctx, f))
	complete, err := s.pull(ctx, f, p)
	if err != nil {
		p.add(fault("merge", err, "Nothing of the batch was kept; the next pass tries again."))
	}
	// Rows that stood here before are published only when it is known which of
	// them the space has already.
	if complete {
		if err := s.enqueueBaselines(ctx); err != nil {
			p.add(fault("read the rows that were here before", err, "The next pass tries again."))
		}
	}
	// Edits made during the pass were folded before each merge.
	if err := s.seal(ctx); err != nil {
		p.add(fault("seal", err, "The next pass tries again."))
	}
	p.add(s.publish(ctx, f))
	p.add(s.publishHead(ctx, f))
}

// prepare brings capture up to the app's schema, and takes local changes as
// far as they get without the folder.
func (s *Syncer) prepare(ctx context.Context) error {
	changed, err := s.db.SchemaChanged(ctx)
	if err != nil {
		return err
	}
	if changed {
		if err := s.capture(ctx); err != nil {
			return err
		}
	}
	logged, err := s.db.Logged(ctx)
	if err != nil {
		return err
	}
	if logged {
		if err := s.transact(ctx, func() error { return s.fold(ctx) }); err != nil {
			return err
		}
	}
	if err := s.seal(ctx); err != nil {
		return err
	}
	return s.countPending(ctx)
}

// transact runs fn in a transaction and announces what it merged.
func (s *Syncer) transact(ctx context.Context, fn func() error) error {
	s.outcomes = nil
	if err := s.handle.conn.Transact(ctx, changelog.Ordinary, fn); err != nil {
		return err
	}
	s.announce()
	return nil
}

func (s *Syncer) countPending(ctx context.Context) error {
	var rows int
	err := s.handle.conn.Get(ctx, "SELECT coalesce(sum(rows), 0) FROM sqlitesync_outbox WHERE NOT published", nil, &rows)
	s.state.update(func(st *Status) { st.Pending = rows })
	return err
}

// export takes local changes into the folder, without reading what others
// wrote. It needs the folder only if there are any.
func (s *Syncer) export(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	var pending bool
	err := s.handle.conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_outbox WHERE NOT published)", nil, &pending)
	if err != nil || !pending {
		return err
	}
	f, err := s.openFolder()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.checkFolder(f); err != nil {
		return err
	}
	if err := s.publish(ctx, f); err != nil {
		return err
	}
	return s.publishHead(ctx, f)
}

// report makes what went wrong in a pass the state of things, and tells what
// is new about it.
func (s *Syncer) report(list []error) {
	var before []error
	s.state.update(func(st *Status) { before, st.Problems = st.Problems, list })
	known := make(map[string]bool, len(before))
	for _, err := range before {
		known[err.Error()] = true
	}
	for _, err := range list {
		if !known[err.Error()] {
			s.log.Warn("problem", "err", err)
			s.events.send(Event{Kind: EventProblem, Err: err})
		}
	}
	if len(before) > 0 && len(list) == 0 {
		s.log.Info("no problem is left")
		s.events.send(Event{Kind: EventSolved})
	}
}

func (s *Syncer) selection() changelog.Selection {
	return changelog.Selection{Tables: s.options.Tables, Exclude: s.options.Exclude}
}

// schemaError turns the capture's refusal of a table into ours.
func schemaError(err error) error {
	if errors.Is(err, changelog.ErrSchema) {
		return fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return err
}

// capture makes the triggers and clock tables what the app's schema asks for.
func (s *Syncer) capture(ctx context.Context) error {
	err := s.transact(ctx, func() error {
		return schemaError(s.db.Capture(ctx, s.selection()))
	})
	if err != nil {
		return err
	}
	return s.captured(ctx)
}

// captured follows a capture: it tells the policy, gives clocks to rows that
// have none, and shows what was held for want of a table or column.
func (s *Syncer) captured(ctx context.Context) error {
	unsynced, err := s.judgeTriggers(ctx)
	if err != nil {
		return err
	}
	for _, table := range s.db.Tables {
		null, err := s.db.NullKeys(ctx, table)
		if err != nil {
			return err
		}
		if null {
			unsynced = append(unsynced, Unsynced{Table: table.Name, Reason: "some rows have NULL in their key",
				Hint: "give them a key, and declare the key NOT NULL"})
		}
		if err := s.baseline(ctx, table); err != nil {
			return err
		}
	}
	for _, u := range s.db.Unsynced {
		s.log.Warn("table stays on this device", "table", u.Table, "reason", u.Reason, "hint", u.Hint)
	}
	s.state.update(func(st *Status) {
		st.Unsynced = append(unsynced, s.db.Unsynced...)
		st.ForeignKeys = s.identity.foreignKeys
	})
	return s.transact(ctx, func() error {
		result, err := merge.Retry(ctx, s.db, s.db.Tables)
		s.merged(s.identity.device, result)
		return err
	})
}
