package sqlitesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
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
	RoleAdmin  = crypto.Admin  // reads, writes, and decides who else may
	RoleWriter = crypto.Writer // reads and writes
	RoleReader = crypto.Reader // reads; what the app writes there is undone by the next pass
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
			device.Name, device.Has, device.LastSeen = s.options.DeviceName, merged, s.environment.Now()
		case reachable:
			s.addHead(ctx, f, member, &device)
		}
		devices = append(devices, device)
	}
	return devices, nil
}

// Rename gives this device another name for people: 1 to 100 bytes of UTF-8. The
// others hear of it with its next head, and the database remembers it, until it is
// opened with another [Options].DeviceName. A device names itself; nobody can
// rename another one.
func (s *Syncer) Rename(ctx context.Context, name string) error {
	return s.turn(ctx, "rename", func(ctx context.Context) error {
		if name == "" || len(name) > maxName || name != printable(name) {
			return fmt.Errorf("a name has 1 to %d bytes of UTF-8 that can be shown", maxName)
		}
		before := s.options.DeviceName
		s.options.DeviceName = name
		err := s.rememberNamed(ctx, true)
		if err != nil {
			s.options.DeviceName = before
		}
		return err
	})
}

// addHead fills in what a device says of itself.
func (s *Syncer) addHead(ctx context.Context, f *folder.Folder, member crypto.Member, device *Device) {
	content, err := s.readHead(ctx, f, member)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errForkedHead) {
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

// inOrder returns the devices that m has, by their ids: what is done for one after the
// other must not depend on the order of a map, or no run could be repeated.
func inOrder[V any](m map[DeviceID]V) []DeviceID {
	return slices.SortedFunc(maps.Keys(m), func(a, b DeviceID) int { return bytes.Compare(a[:], b[:]) })
}
