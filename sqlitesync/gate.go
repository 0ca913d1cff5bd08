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

// turn waits until what is called op is the only one at work. The context that
// it returns also ends with the Syncer; done ends the turn.
func (s *Syncer) turn(ctx context.Context, op string) (_ context.Context, done func(), err error) {
	if ctx.Value(insideMigrate{}) == s {
		return nil, nil, fmt.Errorf("sqlitesync: %s: %w", op, errInsideMigrate)
	}
	if err := s.pass.lock(ctx); err != nil {
		return nil, nil, fmt.Errorf("sqlitesync: %s: %w", op, err)
	}
	if s.isClosed() {
		s.pass.unlock()
		return nil, nil, fmt.Errorf("sqlitesync: %s: %w", op, ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() {
		stop()
		cancel()
		s.pass.unlock()
	}, nil
}

// insideMigrate is the key of the context value that says whose Migrate runs.
type insideMigrate struct{}

// errInsideMigrate: what waits for Migrate is called in it.
var errInsideMigrate = errors.New("called inside Migrate, which it would wait for")
