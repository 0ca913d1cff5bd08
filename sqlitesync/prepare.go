package sqlitesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// prepare brings capture up to the app's schema, and takes local changes as
// far as they get without the folder.
func (s *Syncer) prepare(ctx context.Context) error {
	err := s.prepareNow(ctx)
	if err == nil || errors.Is(err, errMigrated) {
		return err
	}
	// What is read outside a transaction may have been there a moment ago. A database that is another's stays so.
	if moved, failed := s.db.SchemaMoved(ctx); failed == nil && moved && s.checkIdentity(ctx) == nil {
		err = fmt.Errorf("%w: %w", errMigrated, err)
	}
	return err
}

func (s *Syncer) prepareNow(ctx context.Context) error {
	if err := s.handle.checkFile(); errors.Is(err, errReplaced) {
		return fault("look at the database file", err, hintReplaced)
	} else if err != nil {
		return fault("look at the database file", err, hintOutOfSight)
	}
	if err := s.checkClaim(ctx); err != nil {
		return err
	}
	changed, err := s.db.SchemaChanged(ctx)
	if err != nil {
		return err
	}
	if changed || !s.whole {
		if err := s.captureAgain(ctx); err != nil {
			return err
		}
	}
	if err := s.foldInSteps(ctx); err != nil {
		return err
	}
	if err := s.dropNullKeys(ctx); err != nil {
		return err
	}
	return s.countPending(ctx) // they may stay where they are, if the folder is not there
}

// captureAgain is capture after a change of the schema, which can be that a backup
// was copied over the database: SQLite then gives the schema another version.
func (s *Syncer) captureAgain(ctx context.Context) error {
	if err := s.checkIdentity(ctx); err != nil {
		return err
	}
	if err := s.rememberAll(ctx); err != nil {
		return err
	}
	copied, err := s.isCopy(ctx) // before anything gets a number
	if err != nil {
		return err
	}
	s.succeeds = cmp.Or(s.succeeds, copied) // what gets a number now hides that it is one
	if err := s.capture(ctx); err != nil || s.succeeds == "" {
		return err
	}
	err = s.succeedAtOnce(ctx, s.succeeds)
	s.whole = err == nil // or the next pass would go on as the device that it has been
	return err
}

// SQLite goes on with a file that was deleted, as long as somebody has it open, and so does the app.
const (
	hintReplaced = "Close sync and the app's own handle, and open both again: until then the app works on the old file, which goes when the app ends. " +
		"VACUUM INTO saves what stands in it."
	hintOutOfSight = "If its volume is away, the next pass tries again when it is back. If the file was deleted, it goes when the app ends: VACUUM INTO saves what stands in it."
)

// checkIdentity makes sure that the database is still that of this device.
func (s *Syncer) checkIdentity(ctx context.Context) error {
	set, err := installed(ctx, s.handle.conn)
	if err != nil {
		return err
	}
	if !set {
		return otherDatabase(fmt.Errorf("%w: sync was taken out of it while it was open", ErrNotSetUp))
	}
	identity, err := loadIdentity(ctx, s.handle.conn)
	if err == nil && (identity.device != s.identity.device || identity.space != s.identity.space) {
		err = otherDatabase(errors.New("a database of another device was copied over it while sync had it open"))
	}
	return err
}

// otherDatabase is the error about a database file that is not that of this device.
func otherDatabase(err error) *Error {
	return fault("look at the database file", err, "Close sync and open it again: what the app writes is not read until then.")
}

// foldInSteps folds all that the log holds, and lets other writers in between.
func (s *Syncer) foldInSteps(ctx context.Context) error {
	began := time.Now()
	logged, err := s.db.Logged(ctx)
	for err == nil && logged {
		started := time.Now()
		err = s.transact(ctx, func() (err error) {
			logged, err = s.foldSome(ctx)
			return err
		})
		giveWay(ctx, started, time.Since(began))
	}
	return err
}

// errBusy: the app writes so often that the log is never seen empty.
var errBusy = errors.New("the app is writing all the time; the next pass tries again")

// withoutLock runs fn, which only reads, when all that the log held is folded, while
// the app may write: to read what a database knows takes seconds if that is a lot.
// What is written since, fn does not see.
func (s *Syncer) withoutLock(ctx context.Context, fn func() error) error {
	err := errBusy
	for tries := 0; tries < 10 && errors.Is(err, errBusy); tries++ {
		if err := s.foldInSteps(ctx); err != nil {
			return err
		}
		err = s.handle.conn.Snapshot(ctx, func() error {
			if moved, err := s.db.SchemaMoved(ctx); err != nil || moved {
				return errors.Join(err, errMigrated)
			}
			if logged, err := s.db.Logged(ctx); err != nil || logged {
				return errors.Join(err, errBusy)
			}
			return fn()
		})
	}
	return err
}
