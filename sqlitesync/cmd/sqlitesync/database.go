package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/sqlitesync/go/changelog"
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
			fmt.Sprintf("Found one with 'sqlitesync create %s FOLDER', or enter one with 'sqlitesync join %s FOLDER'.", word(path), word(path)), exitNotSetUp}
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
	a.choose(&opts)
	opts.Keys, opts.Logger, opts.Manual = a.keyStore(), a.logger(), manual
	return a.start(path, folder, "opening", func(db *sql.DB) (*sqlitesync.Syncer, error) {
		if err := enforceLike(ctx, db, &opts); err != nil {
			return nil, err
		}
		return sqlitesync.Open(ctx, db, folder, &opts)
	})
}

// choose changes which tables take part, as the flags of sync say.
func (a *app) choose(opts *sqlitesync.Options) {
	has := func(names []string, name string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return changelog.CanonicalName(other) == changelog.CanonicalName(name) })
	}
	for _, name := range a.exclude {
		if !has(opts.Exclude, name) {
			opts.Exclude = append(opts.Exclude, name)
		}
	}
	opts.Exclude = slices.DeleteFunc(opts.Exclude, func(name string) bool { return has(a.include, name) })
	for _, name := range a.include {
		if opts.Tables != nil && !has(opts.Tables, name) {
			opts.Tables = append(opts.Tables, name)
		}
	}
}

// enforceLike makes a handle do with foreign keys as the space, and so the
// programs that use it: what is taken back from a conflict must not cascade where
// they do not. The setting is that of a connection, so there is only one.
func enforceLike(ctx context.Context, db *sql.DB, opts *sqlitesync.Options) error {
	if opts.ForeignKeys != sqlitesync.ForeignKeysOff {
		return nil // so it does already
	}
	db.SetMaxOpenConns(1)
	_, err := db.ExecContext(ctx, "PRAGMA foreign_keys = OFF")
	return err
}

// mustExist makes sure that there is a database.
func mustExist(path, hint string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) { // OpenDB would make one
		return &failure{fmt.Errorf("there is no database %s", path), hint, exitFailed}
	}
	return nil
}

// folderMustExist makes sure that there is a folder. It is not made: one that is
// missing is mostly on a drive that is not connected.
func folderMustExist(path, hint string) error {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return &failure{fmt.Errorf("there is no folder %s", path), hint, exitFolder}
	case err == nil && !info.IsDir():
		return &failure{fmt.Errorf("%s is not a folder", path), "Name the folder that the file-sync service carries: see --help for the order.", exitFolder}
	}
	return nil
}

// start opens the handle of a database, and the Syncer on it.
func (a *app) start(path, folder, doing string, open func(*sql.DB) (*sqlitesync.Syncer, error)) (*session, error) {
	db, err := sqlitesync.OpenDB(path)
	if err != nil {
		return nil, err
	}
	s := &session{db: db, folder: folder}
	err = a.during(doing, func() (err error) {
		s.Syncer, err = open(db)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// close closes the session. What Close would say of the folder, a pass has said.
func (s *session) close() error { return errors.Join(s.Close(), s.db.Close()) }
