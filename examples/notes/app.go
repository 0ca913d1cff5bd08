package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sqlitesync/go/examples/notes/store"
	"github.com/sqlitesync/go/sqlitesync"
)

// place is where the app of a device has its things.
type place struct{ database, folder, keys, device string }

// options are those that Create, Join and Open are all given.
func (p place) options() *sqlitesync.Options {
	options := &sqlitesync.Options{
		DeviceName: p.device,
		// This program ends after each command, so it says itself when data
		// moves. One that stays leaves this out.
		Manual: true,
		// Each device has migrated as far as its own version of the app goes. If
		// this table were synced, one would take another's migrations for its own.
		Exclude: []string{gooseTable},
	}
	if p.keys != "" {
		options.Keys = sqlitesync.FileKeys(p.keys)
	}
	return options
}

// app is the app as it runs on one device.
type app struct {
	db    *sql.DB
	notes *store.Queries
	sync  *sqlitesync.Syncer
}

// enter sets sync up in a database that is in no space yet.
type enter func(ctx context.Context, db *sql.DB, p place) (*sqlitesync.Syncer, error)

func create(ctx context.Context, db *sql.DB, p place) (*sqlitesync.Syncer, error) {
	s, err := sqlitesync.Create(ctx, db, p.folder, p.options())
	if errors.Is(err, sqlitesync.ErrAlreadySetUp) {
		return nil, fmt.Errorf("%s has the notes of other devices: run invite on one of them, and join here", p.folder)
	}
	return s, err
}

func join(code string) enter {
	return func(ctx context.Context, db *sql.DB, p place) (*sqlitesync.Syncer, error) {
		return sqlitesync.Join(ctx, db, p.folder, code, p.options())
	}
}

// openApp opens the app's database at a version of the schema. If sync was set up
// before, the folder may be missing for now.
func openApp(ctx context.Context, p place, version int64, enter enter) (_ *app, err error) {
	db, err := sqlitesync.OpenDB(p.database)
	if err != nil {
		return nil, err
	}
	a := &app{db: db, notes: store.New(db)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	a.sync, err = sqlitesync.Open(ctx, db, p.folder, p.options())
	if errors.Is(err, sqlitesync.ErrNotSetUp) {
		// The tables come first: what is synced are rows, not their definition.
		if err := migrate(version)(ctx, db); err != nil {
			return nil, err
		}
		a.sync, err = enter(ctx, db, p)
	}
	if err != nil {
		return nil, err
	}
	return a, a.update(ctx, version)
}

// update migrates a database that is in sync. Through Migrate, what a migration
// writes loses against every edit that it had not seen.
func (a *app) update(ctx context.Context, version int64) error {
	is, err := schemaVersion(ctx, a.db)
	if err != nil || is >= version {
		return err
	}
	return a.sync.Migrate(ctx, migrate(version))
}

// close publishes what is new, and closes the Syncer before the database.
func (a *app) close() error {
	var err error
	if a.sync != nil {
		err = a.sync.Close()
	}
	return errors.Join(err, a.db.Close())
}
