package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// Role is what a device may do.
type Role = crypto.Role

// The roles.
const (
	RoleAdmin  = crypto.Admin  // reads, writes, invites
	RoleWriter = crypto.Writer // reads and writes
)

// Device is a member of the space.
type Device struct {
	ID       DeviceID
	Name     string // as it calls itself; "" if its head has not arrived
	Role     Role
	Self     bool
	Admitted time.Time // by its own clock
	// LastSeen is when it last wrote its head, by its own clock. Zero: its
	// head has not arrived.
	LastSeen time.Time
	// Merged is the newest of its batches that stands in this database.
	Merged uint64
	// Has is the newest batch of this device that it said it has merged.
	Has uint64
	// Err is what is wrong with its head, or nil.
	Err error
}

// Devices returns the members of the space, the most senior first. It reads
// the heads of the other devices from the folder; if that is not there, only
// what this device knows is filled in.
func (s *Syncer) Devices(ctx context.Context) (devices []Device, err error) {
	err = s.turn(ctx, "devices", func(ctx context.Context) error {
		devices, err = s.devices(ctx)
		return err
	})
	return devices, err
}

func (s *Syncer) devices(ctx context.Context) ([]Device, error) {
	f, err := s.openFolder()
	if err == nil {
		defer f.Close()
		err = s.checkFolder(ctx, f, new(problems)) // a pass reports them
	}
	reachable := err == nil
	var devices []Device
	for _, member := range s.roster.Members() {
		merged, _, err := s.db.Position(ctx, changelog.DeviceID(member.ID))
		if err != nil {
			return nil, err
		}
		device := Device{
			ID: member.ID, Role: member.Role, Self: member.ID == s.identity.device,
			Admitted: time.UnixMilli(int64(member.Admitted)), Merged: merged,
		}
		switch {
		case device.Self:
			device.Name, device.Has, device.LastSeen = s.options.DeviceName, merged, time.Now()
		case reachable:
			s.addHead(ctx, f, member, &device)
		}
		devices = append(devices, device)
	}
	return devices, nil
}

// addHead fills in what a device says of itself.
func (s *Syncer) addHead(ctx context.Context, f *folder.Folder, member crypto.Member, device *Device) {
	content, err := s.readHead(ctx, f, member)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		device.Err = headFault(member.ID, err)
		return
	}
	device.Name, device.LastSeen = printable(content.Name), time.UnixMilli(content.Time)
	device.Has = content.Seen[s.identity.device.String()]
}

// printable makes a name that another device has sent fit to be shown: at most
// 100 bytes, without what terminals take for commands.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(name[:min(len(name), maxName)], "\uFFFD"))
}

// InviteOptions holds what may be chosen about an invite. A nil
// *InviteOptions and the zero value work.
type InviteOptions struct {
	// Role is that of the device to come. Default: RoleAdmin, for a person's
	// own devices: any of them can invite the next, and go on when one is lost.
	Role Role
	// Expires is how long the code works. Default: 48 hours.
	Expires time.Duration
}

// Invite is an invitation for one device.
type Invite struct {
	// Code is what the person types on the new device: 41 characters, upper
	// case. Whoever has it and the folder can enter; treat it as a password.
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
	if o.Role > RoleWriter || o.Expires < 0 {
		return Invite{}, fmt.Errorf("sqlitesync: invite: role %d for %s is not possible", o.Role, o.Expires)
	}
	err = s.turn(ctx, "invite", func(ctx context.Context) error {
		invite, err = s.invite(ctx, o)
		return err
	})
	return invite, err
}

func (s *Syncer) invite(ctx context.Context, o InviteOptions) (Invite, error) {
	f, err := s.openFolder()
	if err != nil {
		return Invite{}, err
	}
	defer f.Close()
	var p problems // a damaged marker, or records of others, do not keep us from inviting
	if err := s.checkFolder(ctx, f, &p); err != nil {
		return Invite{}, err
	}
	if err := s.exchangeRecords(ctx, f, &p); err != nil {
		return Invite{}, err
	}
	code := crypto.NewCode(crypto.InviteCode)
	keys, err := code.InviteKeys()
	if err != nil {
		return Invite{}, err
	}
	expires := time.Now().Add(o.Expires)
	record, err := s.roster.NewInvite(s.keys.entry.Device, keys, o.Role, now(), uint64(expires.UnixMilli()))
	if err != nil {
		return Invite{}, err
	}
	err = s.handle.conn.Transact(ctx, changelog.Durable, func() error { return s.remember(ctx, record) })
	if err != nil {
		return Invite{}, err
	}
	if err := s.computeRoster(); err != nil {
		return Invite{}, err
	}
	if err := f.PublishRecord(s.identity.device.String(), record.Hash().String(), record.File()); err != nil {
		return Invite{}, s.publishFault(err, 0)
	}
	file, err := keys.Seal(&crypto.InviteFile{
		Space: s.identity.space, Invite: record.Hash(), Newest: s.roster.Heads(),
		Epochs: s.keys.entry.Epochs, Expires: uint64(expires.UnixMilli()),
	})
	if err != nil {
		return Invite{}, err
	}
	if err := f.PublishInvite(s.identity.device.String(), inviteID(keys), file); err != nil {
		return Invite{}, s.publishFault(err, 0)
	}
	return Invite{Code: code.Text(), Role: o.Role, Expires: expires}, nil
}
