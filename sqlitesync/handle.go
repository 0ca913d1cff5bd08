package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/sqlitesync/internal/environment"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// OpenDB opens the SQLite file at path, and makes it if it is not there, with
// the settings that suit sync and most apps: a busy timeout of 5 s, WAL,
// synchronous=NORMAL, foreign keys on, recursive triggers on, and transactions
// that take the write lock when they begin, so that one that reads first does
// not fail when it writes. The caller closes it, after the [Syncer].
//
// It is a convenience: any handle of modernc.org/sqlite on a file will do.
func OpenDB(path string) (*sql.DB, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return nil, fmt.Errorf("sqlitesync: open: %w: %q is not the path of a file", ErrDriver, path)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// The busy timeout stands first: switching to WAL may have to wait.
	connector, err := sqlite.NewConnector(dataSource(absolute, "busy_timeout(5000)", "journal_mode(WAL)",
		"synchronous(NORMAL)", "foreign_keys(1)", "recursive_triggers(1)"))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	if err := db.Ping(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return db, nil
}

// dataSource returns the URI of a database file: a plain path would end at the
// first question mark in it.
func dataSource(path string, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a Windows drive letter
	}
	query := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

// locate returns the path of the file that db is open on, after it has made
// sure that the handle is one that we can work beside.
func locate(ctx context.Context, db *sql.DB) (string, error) {
	if _, ok := db.Driver().(*sqlite.Driver); !ok {
		// Closing a file of one SQLite build drops the POSIX locks of the other.
		return "", fmt.Errorf("%w: its driver is %T; use modernc.org/sqlite, two SQLite builds in one process break each other's file locks",
			ErrDriver, db.Driver())
	}
	var path, encoding string
	if err := db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path); err != nil {
		return "", fmt.Errorf("%w: %w", ErrDriver, err)
	}
	if path == "" {
		return "", fmt.Errorf("%w: it is in memory or temporary; open a file", ErrDriver)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA encoding").Scan(&encoding); err != nil {
		return "", fmt.Errorf("%w: %w", ErrDriver, err)
	}
	if encoding != "UTF-8" {
		return "", fmt.Errorf("%w: the database is %s, which changes text that is not valid; only UTF-8 databases can be synced", ErrDriver, encoding)
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDriver, err)
	}
	return resolved, nil
}

// warnings looks at the settings of the app's own handle.
func warnings(ctx context.Context, db *sql.DB) []string {
	var timeout, recursive int
	var found []string
	if db.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&timeout) == nil && timeout < 1000 {
		found = append(found, "the handle has a busy timeout below 1 s: writes can fail with SQLITE_BUSY while a merge runs; OpenDB sets 5 s")
	}
	if db.QueryRowContext(ctx, "PRAGMA recursive_triggers").Scan(&recursive) == nil && recursive == 0 {
		found = append(found, "the handle has recursive_triggers off: the app's own delete triggers do not run for rows that a REPLACE removes")
	}
	return found
}

// placeWarnings warns if the database lies where a file-sync service carries it.
func placeWarnings(path string) []string {
	service, directory := folder.Carrier(path)
	if service == "" {
		return nil
	}
	return []string{fmt.Sprintf("the database lies in %s, which %s seems to carry: it copies the files of a database at different times, and brings old ones back; "+
		"keep it elsewhere, and let the service carry the folder of the space only", directory, service)}
}

// enforces reports whether the app's handle enforces foreign keys.
func enforces(ctx context.Context, db *sql.DB) (enforced bool, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&enforced)
	return enforced, err
}

// handle is the engine's own handle on the database file, apart from the app's.
type handle struct {
	path    string
	file    os.FileInfo // what stood at path when it was opened
	writers *sql.DB
	readers *sql.DB
	policy  *policy
	conn    *changelog.Conn // the one writing connection, with the policy installed
}

// openHandle opens the database file at path. Foreign keys are off: a merge
// must not cascade, the effects of cascades arrive as rows.
func openHandle(ctx context.Context, path string) (h *handle, err error) {
	h = &handle{path: path, policy: new(policy)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.writers, err = openOwnPool(path, environment.From(ctx).Connect, "journal_mode(WAL)", "synchronous(NORMAL)",
		"foreign_keys(0)", "recursive_triggers(0)", "fullfsync(1)", "cache_size(-16000)"); err != nil {
		return h, err
	}
	if h.readers, err = openOwnPool(path, nil, "query_only(1)"); err != nil {
		return h, err
	}
	conn, err := h.writers.Conn(ctx)
	if err != nil {
		return h, err
	}
	if h.file, err = os.Stat(path); err != nil {
		return h, errors.Join(err, conn.Close())
	}
	h.conn = changelog.NewConn(conn)
	h.conn.Quiet = h.policy.silence
	return h, conn.Raw(func(driverConn any) error {
		return driverConn.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(h.policy.authorize)
	})
}

// forgetCounts makes SQLite forget what ANALYZE, or PRAGMA optimize, has counted, until
// the schema changes: it can be long ago, and where a table had a row or two then, SQLite
// would read all of it for each of its rows that is looked up, while the app waits. The
// schema is read while the counts are not there, and that they go is taken back.
func (h *handle) forgetCounts(ctx context.Context) error {
	var counted bool
	err := h.conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1')", nil, &counted)
	if err != nil || !counted {
		return err
	}
	return h.conn.Snapshot(ctx, func() error {
		return h.conn.Script(ctx, "DELETE FROM sqlite_stat1; PRAGMA writable_schema = RESET; SELECT 1 FROM sqlite_schema")
	})
}

var errReplaced = errors.New("the database file was replaced by another one while sync had it open")

// checkFile makes sure that the file at path is the one that was opened. SQLite
// goes on with that one, and what the app writes to another is noticed nowhere.
func (h *handle) checkFile() error {
	file, err := os.Stat(h.path)
	if err == nil && !os.SameFile(file, h.file) {
		err = errReplaced
	}
	return err
}

func (h *handle) close() error {
	var errs []error
	if h.conn != nil {
		errs = append(errs, h.conn.Close())
	}
	for _, db := range []*sql.DB{h.readers, h.writers} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
