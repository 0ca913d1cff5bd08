package sqlitesync

import "context"

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
