package sqlitesync

import (
	"context"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

// acquire takes the lock that keeps a second engine from the database. The
// system releases it when the process dies.
func (s *Syncer) acquire(ctx context.Context, path string) error {
	s.lock = flock.New(lockPath(path))
	// On a busy machine the time below can be over before the lock was tried once.
	if locked, err := s.lock.TryLock(); locked {
		return nil
	} else if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	// A View, which looks whether the lock is taken, has it for an instant.
	waiting, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	locked, err := s.lock.TryLockContext(waiting, 5*time.Millisecond)
	switch {
	case locked:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case waiting.Err() != nil:
		return ErrInUse
	}
	return fmt.Errorf("lock: %w", err)
}

// standBy waits until it can take the lock, or it is in vain.
func (s *Syncer) standBy(ctx context.Context, path string, check func(*Syncer, context.Context) error) error {
	s.lock = flock.New(lockPath(path))
	retry := time.NewTicker(250 * time.Millisecond)
	defer retry.Stop()
	for {
		if locked, err := s.lock.TryLock(); locked {
			return nil
		} else if err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if err := check(s, ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
		}
	}
}

// lockPath returns the path of the lock of the database at path.
func lockPath(path string) string { return path + "-sqlitesync.lock" }
