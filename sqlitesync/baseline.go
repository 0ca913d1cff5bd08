package sqlitesync

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// baselineRows is how many rows of a baseline go into a batch.
const baselineRows = 5000

// Rows that stood in a table before it took part are its baseline. They get
// clocks first, in pages, so that no app write waits for all of them; then the
// folder is read; and what the space did not have is published, again in
// pages. Each table remembers how far it got, so a crash repeats one page.

// baseline gives clocks to the rows of a table that has just begun to take part.
func (s *Syncer) baseline(ctx context.Context, table *changelog.Table) error {
	if table.Phase != changelog.PhaseNew {
		return nil
	}
	for after, done := changelog.Key(nil), false; !done; {
		err := s.transact(ctx, func() (err error) {
			// An edit made since capture began must not become part of the baseline.
			if err = s.fold(ctx); err != nil {
				return err
			}
			if after, err = s.db.Baseline(ctx, table, after, baselineRows); err != nil {
				return err
			}
			if done = after == nil; done {
				return s.db.SetPhase(ctx, table, changelog.PhaseUnsent)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// enqueueBaselines puts the baseline rows that no other device has published
// into the outbox.
func (s *Syncer) enqueueBaselines(ctx context.Context) error {
	if s.reads() {
		return nil
	}
	s.beginWork(PhasePublishing, 0)
	defer s.endWork()
	if err := s.enqueueKeptBaselines(ctx); err != nil {
		return err
	}
	for _, table := range s.db.Tables {
		for after, done := changelog.Key(nil), table.Phase != changelog.PhaseUnsent; !done; {
			err := s.transact(ctx, func() (err error) {
				if err = s.fold(ctx); err != nil {
					return err
				}
				after, err = s.enqueueBaseline(ctx, table, after)
				if done = after == nil; err != nil || !done {
					return err
				}
				return s.endBaseline(ctx, table)
			})
			if err != nil {
				return err
			}
			s.tell(func() int { return 0 })
		}
	}
	return nil
}

// unpublish lets all rows of baselines go out once more, those that show, and those that are kept: held, or a part of what a
// row is, as after a column was renamed. It writes.
func (s *Syncer) unpublish(ctx context.Context) error {
	if err := s.db.Unpublish(ctx); err != nil {
		return err
	}
	return keptBaselines{}.save(ctx, s.handle.conn)
}

// keptBaselines is how far the kept rows of baselines have gone out once more, the setting "baseline_kept" as long as they do.
type keptBaselines struct {
	After  merge.Cursor `json:"after"`
	Tables []string     `json:"tables"` // as rows of them are kept then: if one is renamed, all begins anew
}

func (k keptBaselines) save(ctx context.Context, c *changelog.Conn) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return save(ctx, c, "baseline_kept", string(text))
}

// enqueueKeptBaselines puts the rows of baselines that are kept into the outbox, if they are to go out once more. Those that show
// go out after them: a row that begins to show meanwhile must be among these, and one that is taken out of sight goes out then.
func (s *Syncer) enqueueKeptBaselines(ctx context.Context) error {
	for done := false; !done; {
		text, err := load(ctx, s.handle.conn, "baseline_kept")
		if err != nil || text == "" {
			return err
		}
		err = s.transact(ctx, func() error {
			if err := s.fold(ctx); err != nil {
				return err
			}
			done, err = s.enqueueKept(ctx, text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// enqueueKept is a step of enqueueKeptBaselines, from where the setting says. It writes.
func (s *Syncer) enqueueKept(ctx context.Context, setting string) (done bool, err error) {
	var next keptBaselines
	if err := json.Unmarshal([]byte(setting), &next); err != nil {
		return false, fmt.Errorf("setting baseline_kept: %w", err)
	}
	var tables []string
	for _, table := range s.db.Tables {
		tables = append(tables, table.Put.Rows())
	}
	if !slices.Equal(tables, next.Tables) {
		next = keptBaselines{Tables: tables}
	}
	layers, more, err := merge.KeptBaselines(ctx, s.handle.conn, &next.After, baselineRows)
	if err != nil {
		return false, err
	}
	for _, rows := range layers {
		s.worked(0, len(rows))
		if err := s.enqueueRows(ctx, rows, func([]changelog.Change) error { return nil }); err != nil {
			return false, err
		}
	}
	if more {
		return false, next.save(ctx, s.handle.conn)
	}
	if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = 'baseline_kept'"); err != nil {
		return false, err
	}
	// What was kept when all this began, and shows by now, was in no page: it goes out with the rows that show.
	if err := s.db.Unpublish(ctx); err != nil {
		return false, err
	}
	return true, s.endBaselines(ctx)
}

// endBaseline notes that all rows of the baseline of a table go out. When those of
// all tables do, what goes out later is nothing that goes out again. It writes.
func (s *Syncer) endBaseline(ctx context.Context, table *changelog.Table) error {
	if err := s.db.SetPhase(ctx, table, changelog.PhaseTracked); err != nil {
		return err
	}
	return s.endBaselines(ctx)
}

// endBaselines notes that all rows of all baselines go out, if they do. It writes.
func (s *Syncer) endBaselines(ctx context.Context) error {
	if slices.ContainsFunc(s.db.Tables, func(t *changelog.Table) bool { return t.Phase == changelog.PhaseUnsent }) {
		return nil
	}
	_, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = 'baseline_lost'")
	return err
}

// enqueueBaseline puts the next page of unsent rows into the outbox and
// returns the last key of it, nil if there was none.
func (s *Syncer) enqueueBaseline(ctx context.Context, table *changelog.Table, after changelog.Key) (changelog.Key, error) {
	rows, err := s.db.Unsent(ctx, table, after, baselineRows)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	last := rows[len(rows)-1].Key
	s.worked(0, len(rows))
	return last, s.enqueueRows(ctx, rows, func(sent []changelog.Change) error {
		return s.db.Record(ctx, table, sent, changelog.Shown, changelog.Digest{})
	})
}

// enqueueDisplaced puts the baseline rows into the outbox that the merges of
// this transaction have taken out of sight before they were published: other
// devices need them to come to the same answer when they can show again.
func (s *Syncer) enqueueDisplaced(ctx context.Context) error {
	var rows []changelog.Change
	for _, o := range s.outcomes {
		rows = append(rows, o.result.Unsent...)
	}
	if len(rows) == 0 || s.reads() {
		return nil
	}
	return s.enqueueRows(ctx, rows, func([]changelog.Change) error { return nil })
}

// enqueueRows puts rows of a baseline, or changes of another device that are relayed,
// into the outbox. Those that the format can carry are given to record.
func (s *Syncer) enqueueRows(ctx context.Context, rows []changelog.Change, record func([]changelog.Change) error) error {
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	segments, err := s.split(ctx, position+1, &rows, func(int) {})
	if err != nil {
		return err
	}
	return s.enqueue(ctx, segments, func() error { return record(rows) })
}
