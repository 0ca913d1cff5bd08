package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A device that has much to read is interrupted at any step of it, again and again. It never falls back behind what it has read,
// and does not read that once more.
func TestReadingIsInterruptedAnywhere(t *testing.T) {
	t.Parallel()
	const batches = 12
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	b := newTestDevice(t, itemSchema)
	b.join(a.folder, a.invite())
	a.writeBatches(batches, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	b.syncer.slow.Patience = 1 << 62 // with what is read ahead when a pass ends

	var mu sync.Mutex // a file is read while the one before it is merged
	steps, at := 0, 0
	read := make(map[string]int)
	var cancel context.CancelFunc
	b.environment.Step = func(step string, perform func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") {
			read[step]++
		}
		if steps == at {
			cancel()
		}
		steps++
		return perform()
	}
	position, interrupted := uint64(0), 0
	for err := errors.New("not begun"); err != nil; {
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		mu.Lock()
		steps, at = 0, at+1
		mu.Unlock()
		if err = b.syncer.Sync(ctx); err != nil {
			wantIs(t, err, context.Canceled)
			interrupted++
		}
		cancel()
		now := b.syncer.seen[a.syncer.self()]
		if now < position {
			t.Fatalf("interrupted at step %d it knows batch %d, and knew %d before", at, now, position)
		}
		position = now
		if interrupted%5 == 0 {
			b.reopen()
		}
	}
	if interrupted < 10 || position != batches {
		t.Errorf("interrupted %d times, batch %d", interrupted, position)
	}
	again := 0
	for _, n := range read {
		again += n - 1
	}
	if len(read) != batches || again > 2*interrupted { // what was being merged, and what was read ahead
		t.Errorf("of %d segments, %d reads were in vain in %d attempts", len(read), again, interrupted)
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantHealthy()
}
