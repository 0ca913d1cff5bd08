package main

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Versions of the schema.
const (
	versionNotes       = 1
	versionPinsAndTags = 2
)

// gooseTable is where goose notes how far a database was migrated.
const gooseTable = "goose_db_version"

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files)
}

// migrate returns what brings a database to a version of the schema.
func migrate(version int64) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		provider, err := newProvider(db)
		if err != nil {
			return err
		}
		_, err = provider.UpTo(ctx, version)
		return err
	}
}

// schemaVersion returns how far a database was migrated.
func schemaVersion(ctx context.Context, db *sql.DB) (int64, error) {
	provider, err := newProvider(db)
	if err != nil {
		return 0, err
	}
	return provider.GetDBVersion(ctx)
}
