package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// join enters a space with a code. The device admits itself: the code yields
// the key that signs its admit record.
func (s *Syncer) join(ctx context.Context, text string) error {
	code, err := crypto.ParseCode(crypto.InviteCode, text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCode, err) // says which group is wrong
	}
	f, err := s.openNewcomer(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	keys, err := code.InviteKeys()
	if err != nil {
		return err
	}
	invite, roster, records, err := readInvite(f, keys)
	if err != nil {
		return err
	}
	if marker, err := f.Marker(); err == nil && marker.Format > folder.Format {
		return fmt.Errorf("%w: sqlitesync.json says that a newer version wrote the folder", ErrFormat)
	} else if err == nil && marker.Space != invite.Space.String() {
		return fmt.Errorf("%w: the code is for another folder", ErrCode)
	}
	device, err := crypto.NewDeviceKeys()
	if err != nil {
		return err
	}
	admit, err := roster.NewAdmit(keys, invite.Invite, device, now())
	if err != nil {
		return inviteError(err)
	}
	replaced, err := s.existing(ctx)
	if err != nil {
		return err
	}
	s.identity.foreignKeys = roster.Found().ForeignKeys
	if err := s.enter(ctx, f, device, invite.Space, invite.Epochs, append(records, admit), replaced); err != nil {
		return err
	}
	if err := f.RemoveInvite(inviteID(keys)); err != nil {
		s.log.Debug("spent invite not removed", "err", err)
	}
	if err := s.run(ctx); err != nil {
		// We are a member; what could not be read yet is read later.
		s.log.Info("joined, reading goes on", "err", err)
	}
	return nil
}

// readInvite opens the invite file and computes the roster that it vouches for.
func readInvite(f *folder.Folder, keys *crypto.InviteKeys) (*crypto.InviteFile, *crypto.Roster, []*crypto.Record, error) {
	data, err := f.ReadInvite(inviteID(keys), crypto.MaxInviteFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil, fmt.Errorf("%w: the folder has no invite for it; it was used, or belongs to another folder, or the folder has not been downloaded yet", ErrCode)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	invite, err := keys.Open(data)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: its file in the folder is damaged or not complete: %w", ErrCode, formatError(err))
	}
	if expires := time.UnixMilli(int64(invite.Expires)); time.Now().After(expires) {
		return nil, nil, nil, fmt.Errorf("%w: it expired on %s; make a new one", ErrCode, expires.Format(time.DateTime))
	}
	names, err := f.Records()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	var records []*crypto.Record
	for _, name := range names {
		// A damaged record is missed below if it matters.
		if record, err := readRecord(f, name); err == nil {
			records = append(records, record)
		}
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

// inviteID returns what the folder calls the invite.
func inviteID(keys *crypto.InviteKeys) string { return strings.TrimSuffix(keys.FileName(), ".age") }

// inviteError says what stands behind an invite that does not admit.
func inviteError(err error) error {
	if missing := (*crypto.MissingError)(nil); errors.As(err, &missing) {
		return fmt.Errorf("%w: the folder has not been downloaded completely, or shows an older state: %w", ErrFolder, err)
	}
	return fmt.Errorf("%w: %w; make a new one", ErrCode, err)
}

// existing decides what becomes of the rows that the database has already, and
// returns the tables whose rows are to be replaced. Of these a copy was written.
func (s *Syncer) existing(ctx context.Context) (replaced []*changelog.Table, err error) {
	tables, err := changelog.Preview(ctx, s.handle.conn, s.selection())
	if err != nil {
		return nil, schemaError(err)
	}
	var filled []string
	for _, table := range tables {
		var n int
		if err := s.handle.conn.Get(ctx, "SELECT count(*) FROM "+changelog.Quote(table.Name), nil, &n); err != nil {
			return nil, err
		}
		if n > 0 {
			filled = append(filled, fmt.Sprintf("%s has %d", table.Name, n))
		}
	}
	if len(filled) == 0 {
		return nil, nil
	}
	switch s.options.Existing {
	case MergeExisting:
		return nil, nil
	case ReplaceExisting:
		return tables, s.copyDatabase(ctx)
	default:
		return nil, fmt.Errorf("%w: %s; set Options.Existing to MergeExisting or ReplaceExisting", ErrNotEmpty, strings.Join(filled, ", "))
	}
}

// copyDatabase writes a copy of the database beside it, which only the user may
// read, and remembers what the copy is of: rows that come later must not be
// removed with those that it has.
func (s *Syncer) copyDatabase(ctx context.Context) error {
	var err error
	if s.copied, err = s.dataVersion(ctx); err != nil {
		return err
	}
	path := fmt.Sprintf("%s.before-join-%s", s.handle.path, time.Now().UTC().Format("20060102T150405.000Z"))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // VACUUM fills an empty file
	if err != nil {
		return fmt.Errorf("copy the database before its rows are replaced: %w", err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	if _, err := s.handle.conn.Exec(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("copy the database before its rows are replaced: %w", err)
	}
	s.log.Info("copied the database before its rows are replaced", "copy", path)
	return nil
}

// dataVersion changes with every commit of another connection.
func (s *Syncer) dataVersion(ctx context.Context) (version int64, err error) {
	err = s.handle.conn.Get(ctx, "PRAGMA data_version", nil, &version)
	return version, err
}

// removeReplaced removes the rows of tables of which a copy was written, inside
// the transaction that enters the space.
func (s *Syncer) removeReplaced(ctx context.Context, tables []*changelog.Table) error {
	if len(tables) == 0 {
		return nil
	}
	version, err := s.dataVersion(ctx)
	if err != nil {
		return err
	}
	if version != s.copied {
		return errors.New("another program has written to the database while its rows were copied; close it and join again")
	}
	for _, table := range tables {
		if err := s.handle.conn.Script(ctx, "DELETE FROM "+changelog.Quote(table.Name)); err != nil {
			return err
		}
	}
	return nil
}
