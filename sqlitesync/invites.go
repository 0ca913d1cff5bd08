package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// InviteOptions holds what may be chosen about an invite. A nil
// *InviteOptions and the zero value work.
type InviteOptions struct {
	// Role is that of the device to come. Default: RoleAdmin, for a person's
	// own devices: any of them can invite the next, and go on when one is lost.
	Role Role
	// Expires is how long the code works. Default: 48 hours.
	Expires time.Duration
}

// InviteID names an invite: 64 hexadecimal digits.
type InviteID = crypto.RecordHash

// Invite is an invitation for one device.
type Invite struct {
	// ID names it on all devices, and is no secret.
	ID InviteID
	// Code is what the person types on the new device: 41 characters, upper
	// case. Whoever has it and the folder can enter; treat it as a password. It is
	// shown once: [Syncer.Invites] has it not.
	Code    string
	Role    Role
	Expires time.Time
}

// String does not show the code.
func (i Invite) String() string {
	return fmt.Sprintf("invite as %s until %s", i.Role, i.Expires.Format(time.DateTime))
}

// GoString returns what String returns, for %#v.
func (i Invite) GoString() string { return i.String() }

// LogValue returns what String returns: some handlers print every field.
func (i Invite) LogValue() slog.Value { return slog.StringValue(i.String()) }

const defaultExpiry = 48 * time.Hour

// Invite makes a code with which one more device can [Join]. The folder must
// be there; the new device can use the code once the file-sync service has
// carried the invite to it.
//
// An invite that comes with an error is open all the same, and its code works once the
// next pass has written into the folder what could not be written now.
func (s *Syncer) Invite(ctx context.Context, opts *InviteOptions) (invite Invite, err error) {
	var o InviteOptions
	if opts != nil {
		o = *opts
	}
	if o.Role == 0 {
		o.Role = RoleAdmin
	}
	if o.Expires == 0 {
		o.Expires = defaultExpiry
	}
	if o.Role > RoleReader || o.Expires < 0 {
		return Invite{}, fmt.Errorf("sqlitesync: invite: role %d for %s is not possible", o.Role, o.Expires)
	}
	err = s.decide(ctx, "invite", func(ctx context.Context, f *folder.Folder) error {
		invite, err = s.invite(ctx, f, o)
		return err
	})
	return invite, err
}

func (s *Syncer) invite(ctx context.Context, f *folder.Folder, o InviteOptions) (Invite, error) {
	if _, err := s.currentEpoch(); err != nil {
		return Invite{}, err // the new device could not read on with what this one has
	}
	code := crypto.NewCode(crypto.InviteCode)
	keys, err := code.InviteKeys()
	if err != nil {
		return Invite{}, err
	}
	expires := s.environment.Now().Add(o.Expires)
	record, err := s.roster.NewInvite(s.keys.entry().Device, keys, o.Role, s.now(), uint64(expires.UnixMilli()))
	if err != nil {
		return Invite{}, err
	}
	with, err := s.rosterWith(record)
	if err != nil {
		return Invite{}, undecidable(s.identity.device, err)
	}
	file, err := keys.Seal(&crypto.InviteFile{
		Space: s.identity.space, Invite: record.Hash(), Newest: with.Heads(),
		Epochs: s.keys.entry().Epochs, Expires: uint64(expires.UnixMilli()),
	})
	if err != nil {
		return Invite{}, err
	}
	// Before the record: an invite that nobody has the code of would stay open until it expires, and keep the place of another.
	if err := s.publishInvite(ctx, f, keys, file); err != nil {
		return Invite{}, err
	}
	err = s.enact(ctx, f, record)
	if s.records[record.Hash().String()] == nil {
		return Invite{}, errors.Join(err, s.own(f).RemoveInvite(inviteID(keys)))
	}
	return Invite{ID: record.Hash(), Code: code.Text(), Role: o.Role, Expires: expires}, err
}

// publishInvite writes the file of an invite into the folder, through this device's
// directory, in which it takes shape.
func (s *Syncer) publishInvite(ctx context.Context, f *folder.Folder, keys *crypto.InviteKeys, file []byte) error {
	if err := s.ownDirectory(ctx, f); err != nil {
		return err
	}
	err := s.own(f).PublishInvite(inviteID(keys), file)
	if err != nil { // it can stand all the same
		return errors.Join(s.publishFault(err, 0), s.own(f).RemoveInvite(inviteID(keys)))
	}
	return nil
}

// Invites returns the invites that are open, without their codes. One that has
// expired stands there until a device of an admin has withdrawn it, which it
// does by itself.
func (s *Syncer) Invites(ctx context.Context) (invites []Invite, err error) {
	err = s.turn(ctx, "invites", func(context.Context) error {
		for _, open := range s.roster.Invites() {
			invites = append(invites, Invite{ID: open.Record, Role: open.Role, Expires: time.UnixMilli(int64(open.Expires))})
		}
		return nil
	})
	return invites, err
}

// Withdraw ends an invite: its code admits nobody any more. Whoever has the code
// could read what stood in the folder up to now, so a new epoch begins, whose key
// only members get. A device that has entered with the code stays; see
// [Syncer.Revoke]. Only an admin can do it.
func (s *Syncer) Withdraw(ctx context.Context, id InviteID) error {
	return s.decide(ctx, "withdraw", func(ctx context.Context, f *folder.Folder) error {
		record, err := s.roster.NewWithdraw(s.keys.entry().Device, id, s.now())
		if err != nil {
			return err
		}
		return s.enact(ctx, f, record)
	})
}
