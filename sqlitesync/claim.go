package sqlitesync

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// A claim is what a Syncer writes into a database that it opens: how many have
// opened it so far, and something random. It tells two things that the lock and the
// path of the file do not:
//
//   - the app's handle has another file open than the engine, because the one that
//     it had was deleted or replaced since;
//   - another Syncer has opened the database, because the file of the lock was
//     removed, or lies on a file system that has no locks.
//
// A claim that could not be written, on a full disk say, tells nothing.
type claim struct {
	number uint64
	text   string // "" if there is none
}

const claimSetting = "claim"

// takeClaim writes a claim of this Syncer's. It writes.
func (s *Syncer) takeClaim(ctx context.Context) error {
	before, err := load(ctx, s.handle.conn, claimSetting)
	if err != nil {
		return err
	}
	number := claimNumber(before) + 1
	text := fmt.Sprint(number, " ", rand.Text())
	if save(ctx, s.handle.conn, claimSetting, text) == nil {
		s.claim = claim{number, text}
	}
	return nil
}

// claimNumber returns how many had opened a database with this claim, 0 if it has none.
func claimNumber(text string) uint64 {
	digits, _, _ := strings.Cut(text, " ")
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return number
}

// checkHandle makes sure that the app's handle has the file open that the engine has:
// what the app writes to another one is noticed nowhere, and goes when the app ends.
func (s *Syncer) checkHandle(ctx context.Context) error {
	if s.claim.text == "" {
		return nil
	}
	var text string
	err := s.app.QueryRowContext(ctx, "SELECT value FROM sqlitesync_settings WHERE name = ?", claimSetting).Scan(&text)
	switch other := errors.Is(err, sql.ErrNoRows) || changelog.Senseless(err); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !other || text == s.claim.text:
		return nil // busy, say, or forbidden: that tells nothing
	}
	return fmt.Errorf("%w: it has another file open than the one that stands at %s now; save what it has with VACUUM INTO if it may be needed, close it, and open it again",
		ErrDriver, s.handle.path)
}

// checkClaim makes sure that no other Syncer has opened the database since: it has
// given numbers, and read logs, of which this one knows nothing. A claim that is older
// than this one's is that of a backup that was copied over the database.
func (s *Syncer) checkClaim(ctx context.Context) error {
	if s.claim.text == "" {
		return nil
	}
	text, err := load(ctx, s.handle.conn, claimSetting)
	if err == nil && (text == s.claim.text || claimNumber(text) < s.claim.number) {
		return nil
	}
	if other := s.checkIdentity(ctx); other != nil { // another database's claim says nothing of this one
		return other
	}
	if err != nil {
		return err
	}
	return fault("look at the database file", fmt.Errorf("%w, which has opened it although it was locked", ErrInUse),
		"The file "+lockPath(s.handle.path)+" was removed, or its file system has no locks. Leave it where it is, close sync, and open it again: it goes on, or stands by.")
}
