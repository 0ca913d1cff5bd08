package sqlitesync

import (
	"context"
	"errors"
	"fmt"
)

// gate lets one pass through at a time. It is a mutex that a caller need not
// wait for longer than its context allows: a pass that catches up after a year
// can take long.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

func (g gate) lock(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) unlock() { <-g }

// turn runs fn, which is part of what the app knows as op, when nothing else is
// at work. Its context ends with the Syncer too; then the error is [ErrClosed].
func (s *Syncer) turn(ctx context.Context, op string, fn func(context.Context) error) error {
	if ctx.Value(insideMigrate{}) == s {
		return fmt.Errorf("sqlitesync: %s: %w", op, errInsideMigrate)
	}
	if err := s.pass.lock(ctx); err != nil {
		return fmt.Errorf("sqlitesync: %s: %w", op, err)
	}
	defer s.pass.unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	err := ErrClosed
	if !s.isClosed() {
		if err = fn(ctx); err == nil {
			return nil
		}
	}
	if s.isClosed() { // whatever it failed of
		err = ErrClosed
	}
	return called(op, err)
}

// insideMigrate is the key of the context value that says whose Migrate runs.
type insideMigrate struct{}

// errInsideMigrate: what waits for Migrate is called in it.
var errInsideMigrate = errors.New("called inside Migrate, which it would wait for")
