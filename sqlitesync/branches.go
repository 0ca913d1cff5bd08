package sqlitesync

import (
	"context"
	"fmt"
	"time"

	"github.com/sqlitesync/go/changelog"
)

// Of a log of which two branches were read, one can stand nowhere any more. A copy of a device, which goes on as another one,
// says again what stood in its branch. But where a machine, its keys and the folder were restored from one backup, nothing tells
// the device that it had written more: it gives the same numbers again, and what others have read under them stays with these.
// They wait for as long as for lost logs, read all logs again then, and publish what they know and stands in none.
//
//	setting "branches <device>"   when branches were read, in milliseconds since 1970, 0 once all was read again for it;
//	                              and up to which batch the log had been read before

// branches is when branches of a log were read.
type branches struct {
	since int64
	known uint64
}

func branchesSetting(device string) string { return "branches " + device }

func loadBranches(ctx context.Context, c *changelog.Conn, device string) (b branches, noted bool, err error) {
	text, err := load(ctx, c, branchesSetting(device))
	if err != nil || text == "" {
		return b, false, err
	}
	if _, err := fmt.Sscan(text, &b.since, &b.known); err != nil {
		return b, false, fmt.Errorf("setting %s: %w", branchesSetting(device), err)
	}
	return b, true, nil
}

func (b branches) save(ctx context.Context, c *changelog.Conn, device string) error {
	return save(ctx, c, branchesSetting(device), fmt.Sprint(b.since, " ", b.known))
}

// noteBranches notes that two branches of a log were read, since now if it was not before. One that ends where another branch
// goes on is read so by each process, and noted once. It writes.
func (s *Syncer) noteBranches(ctx context.Context, id DeviceID, known uint64) error {
	device := id.String()
	before, noted, err := loadBranches(ctx, s.handle.conn, device)
	if err != nil || noted && (before.since != 0 || before.known == known) {
		return err
	}
	return branches{s.environment.Now().UnixMilli(), known}.save(ctx, s.handle.conn, device)
}

// lookForBranches lets all logs be read again if branches were read so long ago, or by a clock that was put back since.
func (s *Syncer) lookForBranches(ctx context.Context, wait time.Duration) error {
	devices, err := devicesOf(ctx, s.handle.conn, "branches")
	if err != nil {
		return err
	}
	for _, device := range devices {
		b, _, err := loadBranches(ctx, s.handle.conn, device)
		if err != nil {
			return err
		}
		gone := s.environment.Now().Sub(time.UnixMilli(b.since))
		if b.since == 0 || 0 <= gone && gone < wait {
			continue
		}
		b.since = 0
		err = s.transact(ctx, func() error {
			if err := b.save(ctx, s.handle.conn, device); err != nil {
				return err
			}
			return s.readAllAgain(ctx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
