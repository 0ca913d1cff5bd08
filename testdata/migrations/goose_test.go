package migrations

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

// gooseFiles are an app's migrations: it makes its tables, adds and fills a column, renames one, makes a table anew, and drops
// a column that a unique index named.
var gooseFiles = fstest.MapFS{
	"00001_start.sql": file(`-- +goose Up
		CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT, tag TEXT);
		CREATE TABLE part (id TEXT PRIMARY KEY NOT NULL, note TEXT REFERENCES note ON DELETE CASCADE);
		CREATE UNIQUE INDEX note_title ON note (title, tag);`),
	"00002_slug.sql": file(`-- +goose Up
		ALTER TABLE note ADD COLUMN slug TEXT;
		UPDATE note SET slug = lower(title);`),
	"00003_rename.sql": file(`-- +goose Up
		ALTER TABLE note RENAME COLUMN title TO heading;`),
	"00004_anew.sql": file(`-- +goose NO TRANSACTION
-- +goose Up
		PRAGMA foreign_keys = OFF;
		BEGIN;
		CREATE TABLE note_new (id TEXT PRIMARY KEY NOT NULL, heading TEXT NOT NULL, tag TEXT, slug TEXT, n INTEGER NOT NULL DEFAULT 1);
		INSERT INTO note_new (id, heading, tag, slug) SELECT id, heading, tag, slug FROM note;
		DROP TABLE note;
		ALTER TABLE note_new RENAME TO note;
		COMMIT;
		PRAGMA foreign_keys = ON;`),
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func upTo(version int64) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		provider, err := goose.NewProvider(goose.DialectSQLite3, db, gooseFiles)
		if err != nil {
			return err
		}
		_, err = provider.UpTo(ctx, version)
		return err
	}
}

func TestGoose(t *testing.T) {
	ways(t, func(t *testing.T, plainly [2]bool) {
		a, b := newPair(t, func(db *sql.DB) error { return upTo(1)(t.Context(), db) })
		a.exec("INSERT INTO note VALUES ('1', 'One', 'x'), ('2', 'Two', 'x'); INSERT INTO part VALUES ('p', '1')")
		settle(a, b)
		for version := int64(2); version <= 4; version++ {
			b.exec("UPDATE note SET tag = tag || 'y' WHERE id = '1'")
			if plainly[0] { // what the migration writes would be the newer edit
				settle(b, a)
			}
			a.migrate(plainly[0], upTo(version))
			settle(a, b)
			b.migrate(plainly[1], upTo(version))
			settle(a, b)
		}
		expect("SELECT concat_ws(' ', id, heading, tag, slug, n) FROM note ORDER BY id", "1 One xyyy one 1, 2 Two x two 1", a, b)
		expect("SELECT concat_ws(' ', id, note) FROM part", "p 1", a, b)
		b.exec("DELETE FROM note WHERE id = '1'; INSERT INTO note (id, heading) VALUES ('3', 'Three')")
		settle(a, b)
		expect("SELECT concat_ws(' ', id, heading) FROM note ORDER BY id", "2 Two, 3 Three", a, b)
		expect("SELECT id FROM part", "", a, b)
	})
}
