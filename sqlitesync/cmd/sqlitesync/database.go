package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sqlitesync/go/sqlitesync"
)

// keyStore returns where this device's keys are; nil for the default place.
func (a *app) keyStore() sqlitesync.KeyStore {
	if a.keys == "" {
		return nil
	}
	return sqlitesync.FileKeys(a.keys)
}

// look opens a view of a database, which other programs may be syncing.
func (a *app) look(ctx context.Context, path string) (*sqlitesync.View, error) {
	view, err := sqlitesync.Look(ctx, path, a.folder, a.keyStore())
	if errors.Is(err, sqlitesync.ErrNotSetUp) {
		err = &failure{fmt.Errorf("%s is in no space yet", path),
			fmt.Sprintf("Found one with 'sqlitesync create %s FOLDER', or enter one with 'sqlitesync join %s FOLDER'.", path, path), exitNotSetUp}
	}
	return view, err
}

// A session is a database that this process syncs.
type session struct {
	*sqlitesync.Syncer
	db     *sql.DB
	folder string
}

// open opens a database with what it remembers. Manual says that data moves only
// in Sync.
func (a *app) open(ctx context.Context, path string, manual bool) (*session, error) {
	view, err := a.look(ctx, path) // leaves one that is in no space as it is
	if err != nil {
		return nil, err
	}
	folder, opts := view.Opened()
	if err := view.Close(); err != nil {
		return nil, err
	}
	if folder == "" {
		return nil, &failure{fmt.Errorf("nobody has said yet which folder %s is synced with", path), "Say --folder FOLDER.", exitFolder}
	}
	opts.Keys, opts.Logger, opts.Manual = a.keyStore(), a.logger(), manual
	return a.start(path, folder, func(db *sql.DB) (*sqlitesync.Syncer, error) { return sqlitesync.Open(ctx, db, folder, &opts) })
}

// start opens the handle of a database that exists, and the Syncer on it.
func (a *app) start(path, folder string, open func(*sql.DB) (*sqlitesync.Syncer, error)) (*session, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) { // OpenDB would make one
		return nil, &failure{fmt.Errorf("there is no database %s", path), "Let the app make it, with its tables: only rows travel.", exitFailed}
	}
	db, err := sqlitesync.OpenDB(path)
	if err != nil {
		return nil, err
	}
	syncer, err := open(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &session{Syncer: syncer, db: db, folder: folder}, nil
}

// close closes the session. What Close would say of the folder, a pass has said.
func (s *session) close() error { return errors.Join(s.Close(), s.db.Close()) }
