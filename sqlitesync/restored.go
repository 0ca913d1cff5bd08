package sqlitesync

import (
	"context"
	"fmt"
)

// checkRestored compares the database with the KeyStore entry, which was
// written before each publishing. A database that knows fewer batches than were
// published was restored from a backup, or copied: going on would use batch
// numbers a second time, for other contents.
func (s *Syncer) checkRestored(ctx context.Context) error {
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	if position < s.keys.entry.Batch {
		return fmt.Errorf("%w: the database was restored from a backup: it knows %d batches of its own, %d were published; Uninstall, then Join with a new code",
			ErrNotMember, position, s.keys.entry.Batch)
	}
	return nil
}
