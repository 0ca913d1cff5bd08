package sqlitesync

import (
	"context"
	"database/sql"
	"errors"

	"github.com/sqlitesync/go/changelog"
)

// Migrate runs fn, which changes the app's schema, and rows with it, through
// the handle that it is given: one on the same file, with foreign keys off, as
// a migration that makes tables anew needs it. Afterwards, also if ctx has ended,
// capture is made whole again, whether fn fails or not; where rows were written
// or tables made anew, that takes about as long as a pass after such a change.
//
// No migration needs it: capture finds its way after schema changes by itself,
// at the next pass at the latest. What Migrate adds:
//
//   - What fn writes is not dated now but just behind what it was made of, so
//     that the migration of a laptop that was off for a week loses against
//     every edit of that week. If fn only fills new columns, only these travel.
//   - DROP COLUMN works for a column that a unique index named.
//   - No DROP TABLE deletes rows of other tables along foreign keys.
//   - No pass runs meanwhile.
//
// Every device runs its own migration. What other connections write while fn
// runs counts as written by it. The handle is closed when fn has returned.
func (s *Syncer) Migrate(ctx context.Context, fn func(context.Context, *sql.DB) error) error {
	return s.turn(ctx, "migrate", func(ctx context.Context) error {
		s.migrating.Store(true)
		defer s.migrating.Store(false)
		return s.migrate(ctx, fn)
	})
}

func (s *Syncer) migrate(ctx context.Context, fn func(context.Context, *sql.DB) error) (err error) {
	db, err := openPool(s.handle.path, "synchronous(NORMAL)", "foreign_keys(0)", "recursive_triggers(1)")
	if err != nil {
		return err
	}
	if err := unlessBroken(alongMigrations(func() error { return s.releaseTables(ctx) })); err != nil {
		return errors.Join(err, db.Close())
	}
	s.whole = false
	defer func() {
		ctx := context.WithoutCancel(ctx)
		err = errors.Join(err, db.Close())
		// Its own transaction: should capture not succeed now, edits of people must not be dated with what fn wrote.
		dated := s.handle.conn.Transact(ctx, changelog.Ordinary, func() error { return s.migrated(ctx) })
		if dated != nil {
			err = errors.Join(err, dated)
			return
		}
		err = errors.Join(err, unlessBroken(alongMigrations(func() error { return s.prepare(ctx) })))
	}()
	// A transaction that fn has left open, by a panic say, ends with its context.
	ctx, cancel := context.WithCancel(context.WithValue(ctx, insideMigrate{}, s))
	defer cancel()
	return fn(ctx, db)
}

// unlessBroken takes err for none if sync has stopped, or is about to: that is for the
// next pass to say, and the app's schema does not wait for it.
func unlessBroken(err error) error {
	if errors.Is(err, ErrBroken) {
		return nil
	}
	return err
}

// releaseTables sends what stands in the log, so that all that comes after it is
// the migration's, and takes away what would stand in its way.
func (s *Syncer) releaseTables(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.transact(ctx, func() error {
		if err := s.fold(ctx); err != nil {
			return err
		}
		if err := saveNumber(ctx, s.handle.conn, "migrating", 1); err != nil {
			return err
		}
		return s.db.Release(ctx)
	})
}

// migrated dates what a migration wrote, after Migrate or after a crash in it.
func (s *Syncer) migrated(ctx context.Context) error {
	migrating, err := loadNumber(ctx, s.handle.conn, "migrating")
	if err != nil || migrating == 0 {
		return err
	}
	if err := s.db.Migrated(ctx); err != nil {
		return err
	}
	return saveNumber(ctx, s.handle.conn, "migrating", 0)
}
