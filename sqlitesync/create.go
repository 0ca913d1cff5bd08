package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// create founds a space. Its steps, each of which may be the last one before a
// crash; Open finishes what is left:
//
//	keys      KeyStore: device, epoch        nothing refers to them yet
//	database  tables, triggers, found record one durable transaction: we are a member
//	folder    marker, found record           from the database, at each pass until they stand
func (s *Syncer) create(ctx context.Context) error {
	f, err := s.openNewcomer(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Marker(); err == nil {
		return fmt.Errorf("%w: the folder holds a space; call Join with a code from one of its devices", ErrAlreadySetUp)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	ids, err := f.Devices()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if len(ids) > 0 {
		return fmt.Errorf("%w: the folder holds devices but no sqlitesync.json; it may not have been downloaded yet: wait, or use an empty folder", ErrAlreadySetUp)
	}
	s.identity.foreignKeys = s.options.ForeignKeys == ForeignKeysOn || s.options.ForeignKeys == ForeignKeysAsHandle && s.enforces
	device, err := crypto.NewDeviceKeys()
	if err != nil {
		return err
	}
	epoch, err := crypto.NewEpoch()
	if err != nil {
		return err
	}
	found, err := crypto.NewFound(device, epoch, s.now(), s.identity.foreignKeys, nil)
	if err != nil {
		return err
	}
	s.identity.founding = true
	return s.enter(ctx, f, device, found.SpaceID(), []*crypto.Epoch{epoch}, []*crypto.Record{found}, nil)
}

// openNewcomer opens the folder for a database that is in no space yet.
func (s *Syncer) openNewcomer(ctx context.Context) (*folder.Folder, error) {
	set, err := installed(ctx, s.handle.conn)
	if err != nil {
		return nil, err
	}
	if set {
		return nil, errInSpace
	}
	var reserved string
	err = s.handle.conn.Get(ctx, `SELECT coalesce(min(name), '') FROM sqlite_schema
		WHERE name GLOB 'sqlitesync_*' OR type IN ('table', 'view') AND name LIKE 'sqlitesync\_%' ESCAPE '\'`, nil, &reserved)
	if err == nil && reserved != "" {
		err = fmt.Errorf("%w: names that begin with sqlitesync_ are reserved; rename %q", ErrSchema, reserved)
	}
	if err != nil {
		return nil, err
	}
	return s.openFolder()
}

// enter makes this database a device of a space: the part that create and join
// share. The rows of the tables in replaced are removed.
func (s *Syncer) enter(ctx context.Context, f *folder.Folder, device *crypto.DeviceKeys, space crypto.SpaceID,
	epochs []*crypto.Epoch, records []*crypto.Record, replaced []*changelog.Table,
) (err error) {
	s.identity.space, s.identity.device = space, device.ID()
	s.keys, err = newKeyring(ctx, s.options.Keys, &crypto.KeyEntry{Device: device, Space: space, Epochs: epochs})
	if err != nil {
		return err
	}
	// What stands in the folder and is no part of the history, anyone can have planted.
	roster, err := crypto.ReadRoster(space, records)
	if err != nil {
		return err
	}
	records = slices.DeleteFunc(records, func(r *crypto.Record) bool { return !roster.Has(r.Hash()) })
	s.records = make(map[string]*crypto.Record)
	err = s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		if err := createTables(ctx, s.handle.conn); err != nil {
			return err
		}
		if err := s.identity.save(ctx, s.handle.conn); err != nil {
			return err
		}
		if err := errors.Join(s.rememberOptions(ctx), s.rememberFolder(ctx)); err != nil {
			return err
		}
		if err := s.remember(ctx, records...); err != nil {
			return err
		}
		if err := s.removeReplaced(ctx, replaced); err != nil {
			return err
		}
		if s.db, err = changelog.Open(ctx, s.handle.conn, s.self()); err != nil {
			return err
		}
		s.db.ForeignKeys = s.identity.foreignKeys
		return s.captureNow(ctx)
	})
	if err != nil {
		return err
	}
	s.know(records...)
	if err := s.takeClaim(ctx); err != nil {
		return err
	}
	if err := s.captured(ctx); err != nil {
		return err
	}
	if err := s.takeRoster(ctx); err != nil {
		return err
	}
	if err := s.checkMembership(); err != nil {
		return err
	}
	if s.identity.founding {
		if err := s.writeMarker(ctx, f); err != nil {
			return err
		}
	}
	if err := s.own(f).MakeDirectory(); err != nil {
		return s.publishFault(err, 0)
	}
	for _, record := range records {
		if err := s.own(f).PublishRecord(record.Hash().String(), record.File()); err != nil {
			return s.publishFault(err, 0)
		}
	}
	return nil
}

// writeMarker writes sqlitesync.json. Only the founder does, until it has
// succeeded once.
func (s *Syncer) writeMarker(ctx context.Context, f *folder.Folder) error {
	if err := s.own(f).MakeDirectory(); err != nil {
		return s.publishFault(err, 0)
	}
	if err := s.own(f).WriteMarker(s.identity.space.String()); errors.Is(err, folder.ErrTwin) {
		return s.otherSpace() // since it was looked at
	} else if err != nil {
		return s.publishFault(err, 0)
	}
	return s.founded(ctx)
}

// founded notes that the marker stands, or stood once: a folder that loses it later
// must show that it did.
func (s *Syncer) founded(ctx context.Context) error {
	err := save(ctx, s.handle.conn, "founding", "false")
	s.identity.founding = err != nil
	return err
}

// openFolder opens the folder as it is now. It is opened anew at each pass,
// because a folder can be unmounted, emptied or replaced in between.
func (s *Syncer) openFolder() (*folder.Folder, error) {
	f, err := s.slow.Open(s.path)
	if err != nil {
		return nil, &Error{Op: "open folder", Hint: hint(err), Err: fmt.Errorf("%w: %w", ErrFolder, err)}
	}
	if s.environment.Step != nil {
		f.Interpose(s.environment.Step)
	}
	return f, nil
}

// own returns what this device may change in the folder.
func (s *Syncer) own(f *folder.Folder) *folder.Own { return f.Own(s.identity.device.String()) }

// checkFolder makes sure that the folder holds this device's space. The marker
// is not signed: in a folder that holds what this device knows to be its space's,
// one that says otherwise is a problem to be told of, and stops nobody.
func (s *Syncer) checkFolder(ctx context.Context, f *folder.Folder, p *problems) error {
	err := s.checkMarker(ctx, f)
	if err == nil {
		return s.rememberFolder(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) || !s.recognizes(f) {
		return err
	}
	if known := (*Error)(nil); errors.As(err, &known) {
		err = known.Err
	}
	advice := "The file is damaged, or someone has replaced it. Restore it from the file-sync service's history; sync goes on without it."
	if reason := folder.Reason(err); reason != "" && !errors.Is(err, folder.ErrMarker) { // it can't be read now
		advice = reason + " Sync goes on without it."
	}
	if errors.Is(err, errOtherSpace) {
		advice += " Or " + hintFoundedTwice
	}
	p.add(&Error{Op: "read the marker", Path: "sqlitesync.json", Err: err, Hint: advice})
	return nil
}

// ownDirectory makes this device's directory, in which it is about to write, if the
// folder still is what it was when the pass began: one that reads a year takes long,
// and meanwhile a sync client can have emptied the folder, or filled it with what
// stands under its name in another account.
func (s *Syncer) ownDirectory(ctx context.Context, f *folder.Folder) error {
	var told problems // at the beginning of the pass
	if err := s.checkFolder(ctx, f, &told); err != nil {
		return err
	}
	if err := s.own(f).MakeDirectory(); err != nil {
		return s.publishFault(err, 0)
	}
	return nil
}

// errOtherSpace: the folder is that of another database.
var errOtherSpace = fmt.Errorf("%w: it holds another space", ErrFolder)

// hintFoundedTwice: two devices may call Create on one folder while neither sees what the other writes.
const hintFoundedTwice = "another device has founded its own space in this folder at the same time: take sync out of one of the two databases (Uninstall; its rows stay), " +
	"and let it join the other's space (Join with MergeExisting)."

// otherSpace is the error about a folder that is that of another database.
func (s *Syncer) otherSpace() *Error {
	e := &Error{Op: "open folder", Path: "sqlitesync.json", Err: errOtherSpace,
		Hint: "This is the folder of another database. Choose the folder that this database was set up with."}
	if s.identity.founding {
		e.Hint = "It seems that " + hintFoundedTwice + " Or open this one with an empty folder."
	}
	return e
}

// checkMarker looks whether the folder says that it holds this device's space. A
// missing marker in a folder that has nothing else either means "emptied, or not
// downloaded yet", not "start again".
func (s *Syncer) checkMarker(ctx context.Context, f *folder.Folder) error {
	marker, err := f.Marker()
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.identity.founding:
		return s.writeMarker(ctx, f) // Create was interrupted
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Op: "open folder", Path: "sqlitesync.json", Err: fmt.Errorf("%w: it does not hold the space: %w", ErrFolder, err),
			Hint: "The folder is empty, is another one, or has not been downloaded yet. Local changes are kept until it is back."}
	case err != nil:
		return &Error{Op: "open folder", Path: "sqlitesync.json", Err: fmt.Errorf("%w: %w", ErrFolder, err), Hint: hint(err)}
	case marker.Format > 1:
		return &Error{Op: "open folder", Path: "sqlitesync.json", Err: ErrFormat, Hint: "Update the app: the folder was written by a newer version."}
	case marker.Space != s.identity.space.String():
		return s.otherSpace()
	case s.identity.founding: // Create was interrupted when it had written it
		return s.founded(ctx)
	}
	return nil
}
