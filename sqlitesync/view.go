package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/environment"
)

// View looks at a database that is in a space, and at its folder, beside
// whatever syncs it. It takes no lock, needs no keys, and writes neither rows nor
// files: for programs that show how things stand, and for finding out why they
// stand still. Its methods may be called from several goroutines.
type View struct {
	s          *Syncer
	options    Options
	keys       error // why this device's keys can't be used, or nil
	membership error // why the space does not take it for a member, or nil
}

// Look opens a View of the SQLite file at path. The folder is the one given or,
// for "", the one that the database was last synced with; keys is where this
// device's keys are, nil for the place that [Options] has by default. If the
// database is in no space the error is [ErrNotSetUp]. Close the View.
func Look(ctx context.Context, path, folderPath string, keys KeyStore) (*View, error) {
	v := &View{s: &Syncer{environment: environment.From(ctx), path: folderPath, pass: newGate(), looking: true}}
	v.s.life, v.s.end = context.WithCancel(context.Background())
	if err := v.open(ctx, path, keys); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlitesync: look: %w", err), v.Close())
	}
	return v, nil
}

func (v *View) open(ctx context.Context, path string, keys KeyStore) (err error) {
	s := v.s
	if _, err := os.Stat(path); err != nil {
		return err // SQLite would make a database
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if s.options, err = (&Options{Keys: keys}).withDefaults(s.environment); err != nil {
		return err
	}
	s.log = slog.New(slog.DiscardHandler)
	s.handle = &handle{}
	if s.handle.readers, err = openOwnPool(path, nil, "query_only(1)"); err != nil {
		return err
	}
	s.app = s.handle.readers
	if s.handle.path, err = locate(ctx, s.app); err != nil {
		return err
	}
	conn, err := s.handle.readers.Conn(ctx)
	if err != nil {
		return err
	}
	s.handle.conn = changelog.NewConn(conn)
	set, err := installed(ctx, s.handle.conn)
	if err != nil {
		return err
	}
	if !set {
		return ErrNotSetUp
	}
	return v.load(ctx)
}

// load reads what the database says of itself.
func (v *View) load(ctx context.Context) (err error) {
	s := v.s
	if s.identity, err = loadIdentity(ctx, s.handle.conn); err != nil {
		return err
	}
	s.identity.founding = false // or a folder that lacks its marker would be given one
	remembered, opts, err := loadRemembered(ctx, s.handle.conn)
	if err != nil {
		return err
	}
	v.options = opts
	v.options.ForeignKeys = ForeignKeysOff
	if s.identity.foreignKeys {
		v.options.ForeignKeys = ForeignKeysOn
	}
	s.options.Tables, s.options.Exclude = opts.Tables, opts.Exclude
	if opts.DeviceName != "" {
		s.options.DeviceName = opts.DeviceName
	}
	if s.path == "" {
		s.path = remembered
	}
	if s.path != "" {
		if s.path, err = filepath.Abs(s.path); err != nil {
			return err
		}
	}
	if s.db, err = changelog.Open(ctx, s.handle.conn, s.self()); err != nil {
		return err
	}
	s.db.ForeignKeys = s.identity.foreignKeys
	if s.keys, v.keys = loadKeys(ctx, s.options.Keys, s.identity); v.keys != nil {
		s.keys = keyringWith(nil, new(crypto.KeyEntry)) // which opens nothing
	}
	if err := s.loadRoster(ctx); errors.Is(err, ErrNotMember) || errors.Is(err, ErrFormat) {
		v.membership = err
	} else if err != nil {
		return err
	}
	return nil
}

// Close ends the View.
func (v *View) Close() error {
	v.s.end()
	_ = v.s.pass.lock(context.Background()) // what is under way ends soon, its context is done
	defer v.s.pass.unlock()
	if v.s.handle == nil {
		return nil
	}
	return v.s.handle.close()
}

// Opened returns the folder and those of the [Options] that the database was
// last opened with: Tables, Exclude and DeviceName; and in ForeignKeys what the
// space does. A program that syncs a database which another one set up opens it
// with these. The folder is "" if none was seen to hold the space, and the one
// given to [Look] if there was one.
func (v *View) Opened() (folderPath string, opts Options) { return v.s.path, v.options }

// InUse reports whether something syncs the database. A program that goes on when
// that ends, with what Opened returns, looks anew then: it can have changed.
func (v *View) InUse() (bool, error) {
	path := lockPath(v.s.handle.path)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil // nothing ever took the lock
	} else if err != nil {
		return false, err
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	locked, err := lock.TryRLock()
	if err != nil {
		return false, err
	}
	return !locked, lock.Close()
}

// Device returns the id of the database's device.
func (v *View) Device() DeviceID { return v.s.identity.device }

// Devices is as [Syncer.Devices].
func (v *View) Devices(ctx context.Context) ([]Device, error) { return v.s.Devices(ctx) }

// Invites is as [Syncer.Invites], of what this database has heard.
func (v *View) Invites(ctx context.Context) ([]Invite, error) { return v.s.Invites(ctx) }

// Conflicts is as [Syncer.Conflicts].
func (v *View) Conflicts(ctx context.Context) iter.Seq2[Conflict, error] { return v.s.Conflicts(ctx) }

// Held is as [Syncer.Held].
func (v *View) Held(ctx context.Context) iter.Seq2[Held, error] { return v.s.Held(ctx) }

// published returns when this device last told of a batch.
func (v *View) published(ctx context.Context) (time.Time, error) {
	var t told
	err := t.load(ctx, v.s.handle.conn)
	return t.time, err
}
