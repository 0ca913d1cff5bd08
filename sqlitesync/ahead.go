package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A machine can be restored from a backup that has all that could tell: the database, its keys, and the folder, or a folder to which
// the file-sync service has brought nothing yet. What it would write then gets numbers that others have read with other contents.
// These say so: their heads name batches that this device's keys have never announced. So heads are looked at before a process
// publishes for the first time, and whenever they are read, and such a database goes on as another device (succession.go).
//
//	setting "ahead"   when it did, in milliseconds since 1970: somebody may lie, and must not make it another one at each pass

// succeedAgain is how long a database stays the same device whatever heads say.
const succeedAgain = 24 * time.Hour

// errHeadAhead: a head names a batch of this device that it has not published.
var errHeadAhead = fmt.Errorf("%w", errFalseHead)

// lookAhead fails with errHeadAhead if a member's head is ahead of this device, the first time that a process is about to publish.
func (s *Syncer) lookAhead(ctx context.Context, f *folder.Folder) error {
	if s.lookedAhead || s.reads() {
		return nil
	}
	for _, member := range s.roster.Members() {
		if member.ID == s.identity.device {
			continue
		}
		if _, err := s.readHead(ctx, f, member); errors.Is(err, errHeadAhead) && s.maySucceedAgain(ctx) {
			return headFault(member.ID, err)
		}
	}
	err := ctx.Err() // a look that was broken off is none
	s.lookedAhead = err == nil
	return err
}

// checkAhead makes sure that a head names no batch of this device, as having been read, that was not published.
func (s *Syncer) checkAhead(ctx context.Context, content *head) error {
	read := content.Seen[s.identity.device.String()]
	if read <= s.keys.entry().Batch {
		return nil
	}
	// The KeyStore can have been put back, and not the database.
	var last string
	err := s.handle.conn.Get(ctx, fmt.Sprintf("SELECT coalesce(max(substr(name, 14, 12)), '') FROM sqlitesync_segments WHERE state <> %d", segmentPending), nil, &last)
	if err != nil || fmt.Sprintf("%012x", read) <= last {
		return err
	}
	return fmt.Errorf("%w: it says that it has read batch %d of this device, which has published %d", errHeadAhead, read, s.keys.entry().Batch)
}

// maySucceedAgain reports whether heads have not made this database another device lately, by a clock that was not put back since. One
// that reads only, and of which others have read something, was made a writer since: it would read only for good if it did not wait
// for the record that says so.
func (s *Syncer) maySucceedAgain(ctx context.Context) bool {
	if s.reads() {
		return false
	}
	before, err := loadNumber(ctx, s.handle.conn, "ahead")
	since := s.environment.Now().Sub(time.UnixMilli(int64(before)))
	return err == nil && (before == 0 || since < 0 || since >= succeedAgain)
}

// succeedAhead makes this database another device unless it did so lately. err says which head is ahead of it.
func (s *Syncer) succeedAhead(ctx context.Context, f *folder.Folder, err error) error {
	if !s.maySucceedAgain(ctx) {
		return err
	}
	return s.succeedFor(ctx, f, foundAhead)
}

// noteAhead notes when heads made this database another device, if that is what was found. It writes.
func (s *Syncer) noteAhead(ctx context.Context, found string) error {
	if found != foundAhead {
		return nil
	}
	return saveNumber(ctx, s.handle.conn, "ahead", uint64(s.environment.Now().UnixMilli()))
}
