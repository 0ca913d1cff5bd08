package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sqlitesync/go/sqlitesync"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// play runs the quickstart in a temporary directory and returns what it prints.
func play(t *testing.T, database, folder string) (string, error) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	err := run(context.Background(), &out, database, folder)
	return out.String(), err
}

func wantLines(t *testing.T, out string, patterns ...string) {
	t.Helper()
	rest := out
	for _, pattern := range patterns {
		at := regexp.MustCompile(`(?m)` + pattern).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("after what was found, no line matches %q in\n%s", pattern, out)
		}
		rest = rest[at[1]:]
	}
}

func TestQuickstart(t *testing.T) {
	out, err := play(t, "", "")
	must(t, err)
	wantLines(t, out,
		`^The laptop has a notes app: 8020 rows\.$`,
		`^Published 8020 rows in \S+: \d+ files, [\d.]+ [KM]B, all encrypted\.$`,
		`^    [0-9A-Z]{5}(-[0-9A-Z]{5}){6}$`,
		`^The phone joined and has every row after \S+\.$`,
		`^Both now edit the same row, note \S+, without having heard of each other\.$`,
		`^The later edit won on both: "changed on the phone"\.$`,
		`^The other one is kept: conflict 1, table note, columns \[\w+\]:$`,
		`won .* by phone$`,
		`lost .* by laptop$`,
		`^Both databases have the same rows\.$`,
		`^    laptop  `, `^    phone   `, `^    folder  `,
	)
}

// Flags: the user's own database stays as it is, and the folder is the one given.
func TestQuickstartWithADatabase(t *testing.T) {
	database := filepath.Join(t.TempDir(), "my own.sqlite")
	db, err := sqlitesync.OpenDB(database)
	must(t, err)
	_, err = db.Exec(`
		CREATE TABLE artist (id INTEGER PRIMARY KEY, name VARCHAR(120));
		CREATE TABLE album (id INTEGER PRIMARY KEY, title TEXT NOT NULL, artist INTEGER REFERENCES artist(id));
		CREATE INDEX album_artist ON album (artist);
		CREATE VIEW titles AS SELECT title FROM album;
		CREATE TABLE audit (what TEXT);
		CREATE TRIGGER album_audit AFTER UPDATE ON album BEGIN INSERT INTO audit VALUES (NEW.title); END;
		INSERT INTO artist VALUES (1, 'One'), (2, 'Two');
		INSERT INTO album VALUES (1, 'First', 1), (2, 'Second', 2), (3, 'Third', NULL)`)
	must(t, err)
	must(t, db.Close())
	before, err := os.ReadFile(database)
	must(t, err)
	folder := filepath.Join(t.TempDir(), "new", "folder")

	out, err := play(t, database, folder)
	must(t, err)
	wantLines(t, out,
		`^The laptop has a copy of .*my own\.sqlite: 5 rows\.$`,
		`^The phone joined and has every row after \S+\.$`,
		`^The later edit won on both: "changed on the phone"\.$`,
		`^Note: audit stays on each device: it has no declared PRIMARY KEY; `,
		`^Both databases have the same rows\.$`,
		`^    folder  `+regexp.QuoteMeta(folder)+`$`,
	)
	after, err := os.ReadFile(database)
	must(t, err)
	if sha256.Sum256(before) != sha256.Sum256(after) {
		t.Error("the user's database was written to")
	}
	if _, err := os.Stat(filepath.Join(folder, "sqlitesync.json")); err != nil {
		t.Error(err)
	}

	// The phone's database has the rows, and the schema.
	path := regexp.MustCompile(`(?m)^    phone   (.*)$`).FindStringSubmatch(out)[1]
	phone, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	defer phone.Close()
	var albums, objects int
	must(t, phone.QueryRow("SELECT (SELECT count(*) FROM album), (SELECT count(*) FROM sqlite_schema WHERE name IN ('titles', 'album_artist', 'album_audit'))").Scan(&albums, &objects))
	if albums != 3 || objects != 3 {
		t.Errorf("the phone has %d albums and %d of 3 other objects", albums, objects)
	}

	if _, err := play(t, database, folder); err == nil || !strings.Contains(err.Error(), "Join") {
		t.Errorf("a folder that holds a space already: %v", err)
	}
}

// Tables that stay on each device are named, and are no difference.
func TestQuickstartWithTablesThatStay(t *testing.T) {
	database := filepath.Join(t.TempDir(), "my.sqlite")
	db, err := sqlitesync.OpenDB(database)
	must(t, err)
	_, err = db.Exec(`
		CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, body TEXT);
		CREATE TABLE log (line TEXT);
		CREATE VIRTUAL TABLE search USING fts5(body);
		CREATE TABLE counter (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER);
		INSERT INTO note VALUES ('a', 'x'), ('b', 'y');
		INSERT INTO log VALUES ('stays'); INSERT INTO search VALUES ('stays'); INSERT INTO counter (n) VALUES (1)`)
	must(t, err)
	must(t, db.Close())
	out, err := play(t, database, "")
	must(t, err)
	wantLines(t, out, `^Note: log stays on each device: `, `^Both databases have the same rows`)
	wantLines(t, out, `^Note: search stays on each device: `)
}

func TestQuickstartSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.txt")
	must(t, os.WriteFile(text, []byte("no database"), 0o600))
	for name, test := range map[string]struct{ database, folder, says string }{
		"missing":      {filepath.Join(dir, "missing.sqlite"), "", "missing.sqlite"},
		"no database":  {text, "", "text.txt"},
		"no directory": {"", text, "text.txt"},
		"a directory":  {dir, "", filepath.Base(dir)},
		"below a file": {"", filepath.Join(text, "folder"), "text.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := play(t, test.database, test.folder)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "missing.sqlite")); err == nil {
		t.Error("a database was made where there was none")
	}
}
