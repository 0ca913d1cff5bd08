package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// decide gives an admin's decision a turn, with the folder open and all records
// read that it holds.
func (s *Syncer) decide(ctx context.Context, op string, fn func(context.Context, *folder.Folder) error) error {
	return s.decideIf(ctx, op, s.checkMembership, fn)
}

// decideIf is decide where something else must hold than that this device is a
// member that may go on.
func (s *Syncer) decideIf(ctx context.Context, op string, may func() error, fn func(context.Context, *folder.Folder) error) error {
	return s.turn(ctx, op, func(ctx context.Context) error {
		f, err := s.openFolder()
		if err != nil {
			return err
		}
		defer f.Close()
		var p problems // a damaged marker, or records of others, do not keep us from deciding
		if err := s.checkFolder(ctx, f, &p); err != nil {
			return err
		}
		if err := s.exchangeRecords(ctx, f, &p); err != nil {
			return err
		}
		if err := may(); err != nil {
			return err
		}
		return fn(ctx, f)
	})
}

// Revoke ends a device: it is no member any more, and its id never becomes one
// again. What this device has merged of it stays, and so does what any other
// member has merged before it learns of the revocation; nothing else that has
// been or will be written with its keys is used, on any device. A new epoch
// begins, so that it can read nothing that is written by devices that know of the
// revocation. What it has already, it keeps. A code that its holder knows still
// lets in: withdraw open invites, and replace a recovery code that it has made or
// entered with; [Status].Warnings says if it has.
//
// Only an admin can revoke, and any device but the last one, this one too. Of two
// that revoke each other at the same time, the one that has been admin for longer
// stays.
//
// Deciding needs the folder. It takes effect elsewhere as the file-sync service
// delivers it. An error that says that it is decided comes from writing it into the
// folder: it holds, and the next pass writes it.
func (s *Syncer) Revoke(ctx context.Context, id DeviceID) error {
	may := func() error {
		err := s.checkMembership()
		if stop := (*crypto.KindError)(nil); s.canEnd(err) && errors.As(err, &stop) && stop.Author == id {
			return nil
		}
		return err
	}
	return s.decideIf(ctx, "revoke", may, func(ctx context.Context, f *folder.Folder) error {
		cuts, gap, err := s.cuts(ctx, f, id)
		if err != nil {
			return err
		}
		before, roster := s.roster, s.roster
		var records []*crypto.Record
		for _, cut := range cuts {
			record, err := roster.NewRevoke(s.keys.entry().Device, []crypto.Cut{cut}, s.now())
			if err != nil {
				return err
			}
			records = append(records, record)
			if roster, err = s.rosterWith(records...); err != nil {
				return undecidable(s.identity.device, err)
			}
		}
		missing := gap && id != s.identity.device // no file is accepted that a cut does not list, even if it comes back
		if missing {
			if err := s.relaySoon(ctx, id); err != nil { // should this process end before it is done below
				return err
			}
		}
		err = s.enact(ctx, f, records...)
		if s.records[records[0].Hash().String()] == nil {
			return err
		}
		s.announceMembers(before) // what was written down holds, and goes out with the next pass
		if s.roster.KnowsRecovery(id) {
			s.warn(fmt.Sprintf("device %s, which was revoked, has made the recovery code or entered with it: who knows the code can read and enter; "+
				"if that can be somebody else, replace it (Recovery)", id.Short()))
		}
		if missing {
			if failed := s.relayAtOnce(ctx, id); failed != nil {
				err = errors.Join(err, fmt.Errorf("device %s is revoked; files of it are missing, and what was in them could not be relayed; call Relay: %w", id.Short(), failed))
			}
		}
		return err
	})
}

// SetRole gives a member another role: RoleAdmin or RoleWriter. Only an admin can do
// it. Who is no admin any more can decide nothing; the invites that it left open
// are closed. To make a reader of a device that may write, revoke it and invite it
// as a reader: what others have not taken of it would stay in its tables.
func (s *Syncer) SetRole(ctx context.Context, id DeviceID, role Role) error {
	if role != RoleAdmin && role != RoleWriter {
		return fmt.Errorf("sqlitesync: set role: %w: role %d", ErrNotAllowed, role)
	}
	return s.decide(ctx, "set role", func(ctx context.Context, f *folder.Folder) error {
		cut := crypto.Cut{Device: id}
		self, _ := s.roster.Member(s.identity.device)
		member, ok := s.roster.Member(id)
		if ok && member.Role == role && self.Role == crypto.Admin {
			return nil // as when it was decided before, and could not be written into the folder then
		}
		if ok && member.Role == crypto.Reader {
			if err := s.skipReader(f, member, &cut); err != nil {
				return err
			}
		}
		record, err := s.roster.NewRole(s.keys.entry().Device, cut, role, s.now())
		if err != nil {
			return err
		}
		return s.enact(ctx, f, record)
	})
}

// dutyWait is how much longer each next admin waits for those before it to do
// what one of them has to: they would all do it at the same time.
const dutyWait = time.Minute

// doDuties writes the records that admin devices owe the others, such as a new
// epoch for a member who was not given the current one.
func (s *Syncer) doDuties(ctx context.Context, f *folder.Folder) error {
	device := s.keys.entry().Device
	duty := s.roster.Duty(device, s.keys.entry().Epochs, s.now())
	if !duty.Join && len(duty.Expire) == 0 {
		return s.forgetOwed(ctx)
	}
	if wait := time.Duration(s.seniors()) * dutyWait; wait > 0 {
		if err := s.noteOwed(ctx); err != nil {
			return err
		}
		if s.environment.Since(s.owed) < wait {
			return nil
		}
	}
	for _, invite := range duty.Expire {
		record, err := s.roster.NewWithdraw(device, invite.Record, s.now())
		if err != nil {
			return err
		}
		if err := s.enact(ctx, f, record); err != nil {
			return err
		}
	}
	return s.closeBranches(ctx, f)
}

// owedSetting is since when a record is due, in milliseconds since 1970. It is written
// down: a process that does one pass and ends would else leave it to others for ever.
const owedSetting = "owed"

// noteOwed notes that a record is due, since now if it was not before.
func (s *Syncer) noteOwed(ctx context.Context) error {
	if !s.owed.IsZero() {
		return nil
	}
	now := s.now()
	since, err := loadNumber(ctx, s.handle.conn, owedSetting)
	if err == nil && (since == 0 || since > now) { // then the clock was put back
		since, err = now, saveNumber(ctx, s.handle.conn, owedSetting, now)
	}
	if err == nil {
		s.owed = s.beatAt(int64(since))
	}
	return err
}

// forgetOwed notes that no record is due.
func (s *Syncer) forgetOwed(ctx context.Context) error {
	text, err := load(ctx, s.handle.conn, owedSetting)
	if err == nil && text != "" {
		_, err = s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = ?", owedSetting)
	}
	if err == nil {
		s.owed = time.Time{}
	}
	return err
}

// seniors returns how many admins are more senior than this device. What all admins
// would do at the same time, each does a turn later than those before it.
func (s *Syncer) seniors() (n int) {
	for _, member := range s.roster.Members() {
		if member.ID == s.identity.device {
			break
		}
		if member.Role == crypto.Admin {
			n++
		}
	}
	return n
}

// closeBranches writes joins until every member can read everything, as far as
// this device has the keys; usually one.
func (s *Syncer) closeBranches(ctx context.Context, f *folder.Folder) error {
	for s.roster.Duty(s.keys.entry().Device, s.keys.entry().Epochs, s.now()).Join {
		record, err := s.roster.NewJoin(s.keys.entry().Device, s.keys.entry().Epochs, nil, s.now())
		if err != nil {
			return err
		}
		if err := s.enact(ctx, f, record); err != nil {
			return err
		}
	}
	return nil
}
