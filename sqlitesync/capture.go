package sqlitesync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// selection returns the tables that the options leave to sync. A table that they
// name and that goes later, or loses its key, must not stop all others.
func (s *Syncer) selection() changelog.Selection {
	return changelog.Selection{Tables: s.options.Tables, Exclude: s.options.Exclude, Strict: !s.begun && !s.looking}
}

// capture makes the triggers and clock tables what the app's schema asks for.
// If it is broken off, the next pass begins it again.
func (s *Syncer) capture(ctx context.Context) error {
	s.whole = false
	if err := s.transactAnyway(ctx, func() error { return s.captureNow(ctx) }); err != nil {
		return err
	}
	if err := s.handle.forgetCounts(ctx); err != nil {
		return err
	}
	if err := s.reconcile(ctx); err != nil {
		return err
	}
	return s.captured(ctx)
}

// reconcile finds what was written to the app's tables without having been
// noted. Edits that the log has noted must not be taken for that, so they are
// folded first, in steps, and what comes in meanwhile in the same transaction.
func (s *Syncer) reconcile(ctx context.Context) error {
	if len(s.db.Stale) == 0 {
		return nil
	}
	if err := s.foldInSteps(ctx); err != nil {
		return err
	}
	return s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil {
			return err
		}
		return s.db.Reconcile(ctx)
	})
}

// captureNow is the part of capture that is done inside a transaction.
func (s *Syncer) captureNow(ctx context.Context) error {
	if err := s.judgeTriggers(ctx); err != nil { // inside, or the app could make one that nobody has judged
		return err
	}
	if err := s.db.Capture(ctx, s.selection()); err != nil {
		return err
	}
	if err := s.judgeLocalTriggers(ctx); err != nil {
		return err
	}
	if err := merge.Guard(ctx, s.db, s.guarded); err != nil {
		return err
	}
	definitions, err := s.db.Definitions(ctx)
	if err != nil {
		return err
	}
	s.tables = headTables(definitions)
	s.warnings = append(s.warnings, s.referenceWarnings()...)
	s.warnings = append(s.warnings, s.migrationWarnings()...)
	synced := make(map[string]bool)
	for _, table := range s.db.Tables {
		synced[table.Put.Table] = true
	}
	s.handle.policy.set(synced, s.quiet)
	if err := s.migrated(ctx); err != nil {
		return err
	}
	if err := merge.Rename(ctx, s.db, s.db.Stale); err != nil {
		return err
	}
	return s.db.Forget(ctx)
}

// referenceWarnings tells what the author of the app should know of its foreign
// keys.
func (s *Syncer) referenceWarnings() (warnings []string) {
	switch {
	case s.enforces && !s.identity.foreignKeys:
		warnings = append(warnings, "the handle has foreign_keys on, and the space does not enforce foreign keys: merges can bring rows without parents")
	case !s.enforces && s.identity.foreignKeys:
		warnings = append(warnings, "the handle has foreign_keys off, and the space enforces foreign keys: rows that the app writes without parents are held; OpenDB turns them on")
	}
	for _, r := range s.db.Unchecked {
		warnings = append(warnings, fmt.Sprintf("the foreign key (%s) of table %q is not looked at in merges: %s", strings.Join(r.Columns, ", "), r.Name, r.Obstacle))
	}
	return warnings
}

// captured follows a capture: it gives clocks to rows that have none, and shows
// what was held for want of a table or column.
func (s *Syncer) captured(ctx context.Context) error {
	unsynced := slices.Clone(s.db.Unsynced)
	for _, table := range s.db.Tables {
		null, err := s.db.NullKeys(ctx, table)
		if err != nil {
			return err
		}
		if null {
			unsynced = append(unsynced, nullKeys(table))
		}
		if err := s.baseline(ctx, table); err != nil {
			return err
		}
	}
	for _, u := range unsynced {
		s.logUnsynced(u)
	}
	for _, warning := range s.warnings {
		s.log.Warn(warning)
	}
	s.state.update(func(st *Status) {
		st.Unsynced, st.Warnings = unsynced, s.warnings
		st.ForeignKeys = s.identity.foreignKeys
	})
	if err := s.foldInSteps(ctx); err != nil {
		return err
	}
	unsettled, err := s.db.Unsettled(ctx)
	if err != nil {
		return err
	}
	for _, table := range unsettled {
		if err := s.settleTable(ctx, table); err != nil {
			return err
		}
	}
	s.whole = true
	return nil
}

// keptPage is how many rows of which changes are kept are looked at in one
// transaction.
const keptPage = 256

// settleTable looks again at all that is kept of a table, in steps.
func (s *Syncer) settleTable(ctx context.Context, table *changelog.Table) error {
	began := time.Now()
	for _, look := range []func(context.Context, *changelog.Database, *changelog.Table, []string) (merge.Result, error){merge.Adopt, merge.Retry} {
		for after, done := "", false; !done; {
			started := time.Now()
			err := s.transact(ctx, func() error {
				// What is shown anew must not be shown over an edit that nobody has read.
				if err := s.fold(ctx); err != nil {
					return err
				}
				rows, err := merge.KeptRows(ctx, s.db, table, after, keptPage)
				if err != nil || len(rows) == 0 {
					done = true
					return err
				}
				after = rows[len(rows)-1]
				result, err := look(ctx, s.db, table, rows)
				s.merged(s.identity.device, result)
				return err
			})
			if err != nil {
				return err
			}
			giveWay(ctx, started, time.Since(began))
		}
	}
	return s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil {
			return err
		}
		result, err := merge.Settle(ctx, s.db, table)
		s.merged(s.identity.device, result)
		if err != nil {
			return err
		}
		return s.db.SetSettled(ctx, table)
	})
}

func nullKeys(table *changelog.Table) Unsynced {
	return Unsynced{Table: table.Name, Reason: "some rows have NULL in their key", Hint: "give them a key, and declare the key NOT NULL"}
}

// dropNullKeys takes those tables from the list of what stays on this device
// whose rows all have keys by now.
func (s *Syncer) dropNullKeys(ctx context.Context) error {
	for _, table := range s.db.Tables {
		listed := nullKeys(table)
		if !slices.Contains(s.state.snapshot().Unsynced, listed) {
			continue
		}
		null, err := s.db.NullKeys(ctx, table)
		if err != nil {
			return err
		}
		if table.NullKeys = null; null {
			continue
		}
		s.state.update(func(st *Status) {
			st.Unsynced = slices.DeleteFunc(slices.Clone(st.Unsynced), func(u Unsynced) bool { return u == listed })
		})
	}
	return nil
}

// stays tells what stays on this device, once.
func (s *Syncer) stays(u Unsynced) {
	if slices.Contains(s.state.snapshot().Unsynced, u) {
		return
	}
	s.logUnsynced(u)
	s.state.update(func(st *Status) { st.Unsynced = append(slices.Clone(st.Unsynced), u) })
}

func (s *Syncer) logUnsynced(u Unsynced) {
	s.log.Warn("stays on this device", "table", u.Table, "reason", u.Reason, "hint", u.Hint)
}

// warn tells the author of the app something, once.
func (s *Syncer) warn(warning string) {
	if slices.Contains(s.state.snapshot().Warnings, warning) {
		return
	}
	s.log.Warn(warning)
	s.state.update(func(st *Status) { st.Warnings = append(slices.Clone(st.Warnings), warning) })
}
