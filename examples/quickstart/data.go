package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sqlitesync/go/sqlitesync"
)

// schema is that of a small notes app. Its keys are UUIDs: two devices never
// hand out the same one.
const schema = `
CREATE TABLE folder (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
CREATE TABLE note (
	id      TEXT PRIMARY KEY NOT NULL,
	folder  TEXT REFERENCES folder(id),
	title   TEXT NOT NULL,
	body    TEXT NOT NULL DEFAULT '',
	done    INTEGER NOT NULL DEFAULT 0,
	created INTEGER NOT NULL
);
CREATE TABLE tag (note TEXT NOT NULL REFERENCES note(id), name TEXT NOT NULL, PRIMARY KEY (note, name));
`

// fill gives the laptop its content, and the phone the same tables without it:
// an app makes its tables on every device, and sync brings the rows.
func fill(ctx context.Context, laptop, phone *sql.DB, database string) (subject string, err error) {
	if database != "" {
		return "a copy of " + database, copySchema(ctx, laptop, phone)
	}
	for _, db := range []*sql.DB{laptop, phone} {
		if _, err := db.ExecContext(ctx, schema); err != nil {
			return "", err
		}
	}
	return "a notes app", writeNotes(ctx, laptop)
}

func writeNotes(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for f := range 20 {
		folder := sqlitesync.NewKey()
		if _, err := tx.ExecContext(ctx, "INSERT INTO folder VALUES (?, ?)", folder, fmt.Sprintf("Folder %d", f+1)); err != nil {
			return err
		}
		for n := range 200 {
			note := sqlitesync.NewKey()
			_, err := tx.ExecContext(ctx, "INSERT INTO note (id, folder, title, body, created) VALUES (?, ?, ?, ?, ?)",
				note, folder, fmt.Sprintf("Note %d", n+1), strings.Repeat("Something dear. ", 1+n%12), 1700000000000+int64(f*200+n))
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO tag VALUES (?, ?)", note, []string{"idea", "todo", "keep"}[n%3]); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// copyDatabase writes a copy of a database, through SQLite, so that one that is
// in use is copied whole. It only reads the original.
func copyDatabase(ctx context.Context, from, to string) error {
	absolute, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	source := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// copySchema makes the tables of one database in another.
func copySchema(ctx context.Context, from, to *sql.DB) error {
	rows, err := from.QueryContext(ctx, `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL
		AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow') -- made by their virtual tables
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE 'sqlitesync\_%' ESCAPE '\' ORDER BY rowid`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var definition string
		if err := rows.Scan(&definition); err != nil {
			return err
		}
		if _, err := to.ExecContext(ctx, definition); err != nil {
			return err
		}
	}
	return rows.Err()
}

// tablesOf returns the names of the app's ordinary tables.
func tablesOf(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE 'sqlitesync\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func countRows(ctx context.Context, db *sql.DB) (total int, err error) {
	tables, err := tablesOf(ctx, db)
	if err != nil {
		return 0, err
	}
	for _, table := range tables {
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+quote(table)).Scan(&n); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// edit is a change that both devices make to one text value.
type edit struct{ table, key, column, id string }

func (e *edit) String() string { return fmt.Sprintf("%s %s", e.table, e.id) }

// chooseEdit finds a row with a key of one column and a text that is no key and
// refers to nothing.
func chooseEdit(ctx context.Context, db *sql.DB) (*edit, error) {
	var e edit
	err := db.QueryRowContext(ctx, `SELECT l.name, k.name, c.name FROM pragma_table_list l, pragma_table_info(l.name) k, pragma_table_info(l.name) c
		WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite%' AND k.pk = 1 AND c.pk = 0
		AND (SELECT max(pk) FROM pragma_table_info(l.name)) = 1 AND (c.type LIKE '%CHAR%' OR c.type LIKE '%TEXT%')
		AND c.name NOT IN (SELECT "from" FROM pragma_foreign_key_list(l.name)) ORDER BY l.name = 'note' DESC, l.name, c.cid LIMIT 1`).
		Scan(&e.table, &e.key, &e.column)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = db.QueryRowContext(ctx, fmt.Sprintf("SELECT %s FROM %s LIMIT 1", quote(e.key), quote(e.table))).Scan(&e.id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &e, err
}

func (e *edit) write(ctx context.Context, db *sql.DB, text string) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", quote(e.table), quote(e.column), quote(e.key)), text, e.id)
	return err
}

func (e *edit) read(ctx context.Context, db *sql.DB) (text string, err error) {
	err = db.QueryRowContext(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s = ?", quote(e.column), quote(e.table), quote(e.key)), e.id).Scan(&text)
	return text, err
}

// compare reads both databases row by row and says where they differ. Tables
// that are local to each device are left out.
func compare(ctx context.Context, a, b *sql.DB, local []sqlitesync.Unsynced) (difference string, err error) {
	tables, err := tablesOf(ctx, a)
	if err != nil {
		return "", err
	}
	for _, table := range tables {
		if slices.ContainsFunc(local, func(u sqlitesync.Unsynced) bool { return u.Table == table }) {
			continue
		}
		left, err := dump(ctx, a, table)
		if err != nil {
			return "", err
		}
		right, err := dump(ctx, b, table)
		if err != nil {
			return "", err
		}
		if !slices.Equal(left, right) {
			return fmt.Sprintf("table %s, %d and %d rows", table, len(left), len(right)), nil
		}
	}
	return "", nil
}

// dump returns the rows of a table as sorted lines.
func dump(ctx context.Context, db *sql.DB, table string) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+quote(table))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	var lines []string
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%#v", values))
	}
	slices.Sort(lines)
	return lines, rows.Err()
}

func folderSize(dir string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files, bytes = files+1, bytes+info.Size()
		}
		return err
	})
	return files, bytes, err
}

func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%.1f KB", float64(bytes)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
