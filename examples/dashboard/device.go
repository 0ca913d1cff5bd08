package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/sqlitesync/go/sqlitesync"
)

// The keys of ticks and numbers say what they are about, so that two devices
// which tick one day write one row; those of habits and notes are UUIDs.
const schema = `
CREATE TABLE IF NOT EXISTS habit (
	id         TEXT PRIMARY KEY NOT NULL,
	name       TEXT NOT NULL,
	created_at INTEGER NOT NULL -- in milliseconds since 1970
);
CREATE TABLE IF NOT EXISTS tick (
	habit TEXT NOT NULL REFERENCES habit (id) ON DELETE CASCADE,
	day   TEXT NOT NULL, -- 2026-11-21
	PRIMARY KEY (habit, day)
);
CREATE TABLE IF NOT EXISTS number (
	day   TEXT NOT NULL,
	kind  TEXT NOT NULL, -- as in kinds
	value REAL NOT NULL,
	PRIMARY KEY (day, kind)
);
CREATE TABLE IF NOT EXISTS note (
	id         TEXT PRIMARY KEY NOT NULL,
	text       TEXT NOT NULL,
	created_at INTEGER NOT NULL
);`

// place is where the dashboard of a device has its things. A code is needed
// once, if the folder has the dashboard of other devices already.
type place struct{ database, folder, keys, device, code string }

// device is the dashboard's database, and what keeps it in sync.
type device struct {
	folder string
	db     *sql.DB
	sync   *sqlitesync.Syncer
}

func openDevice(ctx context.Context, where place) (_ *device, err error) {
	db, err := sqlitesync.OpenDB(where.database)
	if err != nil {
		return nil, err
	}
	d := &device{folder: where.folder, db: db}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, err
	}
	options := &sqlitesync.Options{DeviceName: where.device}
	if where.keys != "" {
		options.Keys = sqlitesync.FileKeys(where.keys)
	}
	d.sync, err = sqlitesync.Open(ctx, db, where.folder, options)
	switch {
	case !errors.Is(err, sqlitesync.ErrNotSetUp):
	case where.code != "":
		d.sync, err = sqlitesync.Join(ctx, db, where.folder, where.code, options)
	default:
		d.sync, err = sqlitesync.Create(ctx, db, where.folder, options)
	}
	return d, err
}

// close publishes what is new, and closes the Syncer before the database.
func (d *device) close() error {
	var err error
	if d.sync != nil {
		err = d.sync.Close()
	}
	return errors.Join(err, d.db.Close())
}
