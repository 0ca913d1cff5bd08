package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// admission is what a device enters a space with.
type admission struct {
	space   crypto.SpaceID
	role    crypto.Role
	roster  *crypto.Roster // as it was before
	device  *crypto.DeviceKeys
	epochs  []*crypto.Epoch
	records []*crypto.Record // the roster's, and those that admit the device
}

// joinReads is how long Join reads before it leaves the rest to the background: an app that has its Syncer can show how far
// that has come.
const joinReads = 2 * time.Second

// join enters a space with a code: of an invite, or the recovery code.
func (s *Syncer) join(ctx context.Context, text string) (err error) {
	code, err := crypto.ParseCode(crypto.AnyCode, text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCode, err) // says which group is wrong
	}
	f, err := s.openNewcomer(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	admit := admitByInvite
	if code.Kind() == crypto.RecoveryCode {
		admit = admitByRecovery
	}
	a, err := admit(f, code, s.now())
	if err != nil {
		return err
	}
	if marker, err := f.Marker(); err == nil && marker.Format > folder.Format {
		return fmt.Errorf("%w: sqlitesync.json says that a newer version wrote the folder", ErrFormat)
	} else if err == nil && marker.Space != a.space.String() {
		return fmt.Errorf("%w: the code is for another folder", ErrCode)
	}
	if s.options.MakeTables {
		if err := s.makeTablesOf(ctx, f, a); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil {
			s.removeCopy(context.WithoutCancel(ctx))
		}
	}()
	replaced, err := s.existing(ctx, a.role)
	if err != nil {
		return err
	}
	s.identity.foreignKeys = a.roster.Found().ForeignKeys
	if err := s.enter(ctx, f, a.device, a.space, a.epochs, a.records, replaced); err != nil {
		return err
	}
	if code.Kind() == crypto.InviteCode {
		s.removeInvite(f, code)
	}
	if !s.options.Manual {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, joinReads)
		defer cancel()
	}
	if err := s.run(ctx); err != nil {
		// We are a member; what could not be read yet is read later.
		s.log.Info("joined, reading goes on", "err", err)
	}
	return nil
}

// removeInvite tidies up the file of an invite that was used.
func (s *Syncer) removeInvite(f *folder.Folder, code *crypto.Code) {
	keys, err := code.InviteKeys()
	if err == nil {
		err = s.own(f).RemoveInvite(inviteID(keys))
	}
	if err != nil {
		s.log.Debug("spent invite not removed", "err", err)
	}
}

// admitByInvite makes the keys of a device that admits itself: the code yields
// the key that signs its admit record.
func admitByInvite(f *folder.Folder, code *crypto.Code, now uint64) (*admission, error) {
	keys, err := code.InviteKeys()
	if err != nil {
		return nil, err
	}
	invite, roster, records, err := readInvite(f, keys, now)
	if err != nil {
		return nil, err
	}
	device, err := crypto.NewDeviceKeys()
	if err != nil {
		return nil, err
	}
	admit, err := roster.NewAdmit(keys, invite.Invite, device, now)
	if err != nil {
		return nil, inviteError(err)
	}
	role := crypto.Reader
	for _, open := range roster.Invites() {
		if open.Record == invite.Invite {
			role = open.Role
		}
	}
	return &admission{invite.Space, role, roster, device, invite.Epochs, append(records, admit)}, nil
}

// readInvite opens the invite file and computes the roster that it vouches for.
func readInvite(f *folder.Folder, keys *crypto.InviteKeys, now uint64) (*crypto.InviteFile, *crypto.Roster, []*crypto.Record, error) {
	invite, err := openInvite(f, keys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil, fmt.Errorf("%w: the folder has no invite for it; it was used, or belongs to another folder, or the folder has not been downloaded yet", ErrCode)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if now > invite.Expires {
		expires := time.UnixMilli(int64(invite.Expires))
		return nil, nil, nil, fmt.Errorf("%w: it expired on %s; make a new one", ErrCode, expires.Format(time.DateTime))
	}
	records, err := readRecords(f)
	if err != nil {
		return nil, nil, nil, err
	}
	roster, err := crypto.ReadRoster(invite.Space, records)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := roster.Supported(); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := invite.Check(roster, keys); err != nil {
		return nil, nil, nil, inviteError(err)
	}
	return invite, roster, records, nil
}

// openInvite opens the file of an invite, or one that may be it under another name. If there is none the error is
// [fs.ErrNotExist].
func openInvite(f *folder.Folder, keys *crypto.InviteKeys) (*crypto.InviteFile, error) {
	open := func(data []byte, err error) (*crypto.InviteFile, error) {
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFolder, err)
		}
		invite, err := keys.Open(data)
		if err != nil {
			return nil, fmt.Errorf("%w: its file in the folder is damaged or not complete: %w", ErrCode, formatError(err))
		}
		return invite, nil
	}
	id := inviteID(keys)
	invite, err := open(f.ReadInvite(id, crypto.MaxInviteFile))
	if err == nil {
		return invite, nil
	}
	strays, failed := f.StrayInvites()
	if failed != nil {
		return nil, err
	}
	for _, stray := range strays[id] {
		invite, failed := open(f.ReadStray(stray, crypto.MaxInviteFile))
		if failed == nil {
			return invite, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = failed
		}
	}
	return nil, err
}

// readRecords reads all records of a folder that are whole. One that is not is
// missed later, if it matters.
func readRecords(f *folder.Folder) ([]*crypto.Record, error) {
	names, err := f.Records()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	var records []*crypto.Record
	size := 0
	strays := strayRecords(f)
	for _, name := range withStrays(names, strays) {
		record, err := readRecord(f, name, strays[name])
		if err != nil {
			continue
		}
		if size += len(record.File()); size > 2*maxFresh { // a roster of years has a few
			return nil, fmt.Errorf("%w: it has more than %d MiB of records; someone has filled it", ErrFolder, 2*maxFresh>>20)
		}
		records = append(records, record)
	}
	return records, nil
}

// inviteID returns what the folder calls the invite.
func inviteID(keys *crypto.InviteKeys) string { return strings.TrimSuffix(keys.FileName(), ".age") }

// inviteError says what stands behind an invite that does not admit.
func inviteError(err error) error {
	if missing := (*crypto.MissingError)(nil); errors.As(err, &missing) {
		return fmt.Errorf("%w: the folder has not been downloaded completely, or shows an older state: %w", ErrFolder, err)
	}
	return fmt.Errorf("%w: %w; make a new one", ErrCode, err)
}
