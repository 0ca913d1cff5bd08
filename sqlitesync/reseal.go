package sqlitesync

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
)

// errNoEpoch: nothing may be written for an older epoch, whose key others may
// have who are no members any more.
var errNoEpoch = errors.New("this device was not given the current epoch's key yet")

// hintRecovery is for who lacks a key that nobody is left to hand out: it may be an admin's device itself, which has entered with
// the recovery code when records were missing.
const hintRecovery = "If all who have it are lost, let another database Join with the recovery code: it has the key, and hands it out a few minutes later."

// errExposed: of admins that revoked at the same time each gave its epoch to whom the other revoked.
var errExposed = errors.New("a revoked device has the current epoch's key")

// currentEpoch returns the key that everything must be sealed for.
func (s *Syncer) currentEpoch() (*crypto.Epoch, error) {
	epoch := s.keys.entry().Epoch(s.roster.CurrentEpoch())
	if epoch == nil {
		return nil, &Error{Op: "publish", Device: s.identity.device, Err: errNoEpoch,
			Hint: "A device of an admin hands it out when it syncs next. Local changes are kept until then. " + hintRecovery}
	}
	if s.roster.Exposed() {
		return nil, &Error{Op: "publish", Device: s.identity.device, Err: errExposed,
			Hint: "Two admins have revoked devices at the same time. A device of an admin starts a new epoch when it syncs next. Local changes are kept until then."}
	}
	return epoch, nil
}

// reseal seals for the current epoch what is about to go out and was sealed for
// an older one, whose key the revoked may have. It reports whether there was any.
// The batches stay the same; since their segments form a chain, all that follow
// are sealed anew too. What may have gone out before stays as it is, and so do
// compacted ranges, which say what has been out already.
func (s *Syncer) reseal(ctx context.Context, segments []ownSegment) (bool, error) {
	epoch, err := s.currentEpoch()
	if err != nil {
		return false, err
	}
	for _, own := range segments {
		if own.name.Generation > 0 || own.name.Last <= s.keys.entry().Batch {
			continue
		}
		file, err := crypto.ParseSegment(own.sealed)
		if err != nil {
			return false, err
		}
		if file.Header().Epoch != epoch.ID() {
			return true, s.handle.conn.Transact(ctx, changelog.Ordinary, func() error { return s.resealFrom(ctx, own.name.First, epoch) })
		}
	}
	return false, nil
}

// resealFrom seals the batches of the outbox from first on.
func (s *Syncer) resealFrom(ctx context.Context, first uint64, epoch *crypto.Epoch) error {
	last, tail, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	for batch := first; batch <= last; batch++ {
		name := original(batch).String()
		var sealed []byte
		err := s.handle.conn.Get(ctx, "SELECT sealed FROM sqlitesync_segments WHERE name = ?", []any{name}, &sealed)
		if err != nil {
			return err
		}
		header, packed, err := s.openOwn(sealed)
		if err != nil {
			return err
		}
		if batch > first {
			header.Prev = tail
		}
		sealed, next, err := crypto.SealSegment(header, packed, epoch, s.keys.entry().Device)
		if err != nil {
			return err
		}
		tail = next
		hash := sha256.Sum256(sealed)
		_, err = s.handle.conn.Exec(ctx, "UPDATE sqlitesync_segments SET hash = ?, tail = ?, size = ?, sealed = ? WHERE name = ?",
			hash[:], tail[:], len(sealed), sealed, name)
		if err != nil {
			return err
		}
	}
	return s.db.SetPosition(ctx, s.self(), last, tail)
}

// openOwn opens a segment that this device has sealed.
func (s *Syncer) openOwn(sealed []byte) (crypto.SegmentHeader, []byte, error) {
	file, err := s.verify(s.ownReading(), sealed)
	if err != nil {
		return crypto.SegmentHeader{}, nil, err
	}
	epoch, err := s.epoch(file.Header().Epoch)
	if err != nil {
		return crypto.SegmentHeader{}, nil, err
	}
	packed, err := file.Open(epoch, maxPacked)
	return file.Header(), packed, err
}
