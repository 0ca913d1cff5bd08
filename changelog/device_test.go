package changelog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
)

// self is the device whose database a test looks at.
var self = changelog.DeviceID{'s'}

// A device is one database file with the app's handle and the engine's connection.
type device struct {
	t           *testing.T
	path        string
	app, engine *sql.DB
	conn        *changelog.Conn
	db          *changelog.Database
	number      uint64
}

// newDevice makes a database with the schema and captures what happens in it.
func newDevice(t *testing.T, schema string, pragmas ...string) *device {
	t.Helper()
	d := newApp(t, schema, pragmas...)
	d.transact(func(ctx context.Context) error { return changelog.CreateTables(ctx, d.conn) })
	d.capture()
	d.baseline(100)
	return d
}

// newApp makes a database without capture.
func newApp(t *testing.T, schema string, pragmas ...string) *device {
	t.Helper()
	d := &device{t: t, path: filepath.Join(t.TempDir(), "app.db")}
	handle := func(pragmas ...string) *sql.DB {
		query := url.Values{"_pragma": append(pragmas, "journal_mode(WAL)", "synchronous(OFF)", "busy_timeout(5000)")}
		db, err := sql.Open("sqlite", "file:"+d.path+"?"+query.Encode())
		d.check(err)
		t.Cleanup(func() { d.check(db.Close()) })
		return db
	}
	d.app, d.engine = handle(pragmas...), handle()
	d.app.SetMaxOpenConns(1) // so that BEGIN and COMMIT may be statements like any other
	d.exec(schema)
	conn, err := d.engine.Conn(context.Background())
	d.check(err)
	d.conn = changelog.NewConn(conn)
	t.Cleanup(func() { d.check(d.conn.Close()) })
	return d
}

func (d *device) capture() {
	d.t.Helper()
	d.transact(func(ctx context.Context) (err error) {
		if d.db == nil {
			if d.db, err = changelog.Open(ctx, d.conn, self); err != nil {
				return err
			}
		}
		if err := d.db.Capture(ctx, changelog.Selection{}); err != nil {
			return err
		}
		if err := d.db.Forget(ctx); err != nil {
			return err
		}
		return d.db.Reconcile(ctx)
	})
}

func (d *device) check(err error) {
	if err != nil {
		d.t.Helper()
		d.t.Fatal(err)
	}
}

func (d *device) transact(fn func(context.Context) error) {
	d.t.Helper()
	d.check(d.conn.Transact(context.Background(), changelog.Ordinary, func() error { return fn(context.Background()) }))
}

func (d *device) exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.app.Exec(query, args...); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

// refused runs a statement that must fail.
func (d *device) refused(query string) {
	d.t.Helper()
	if _, err := d.app.Exec(query); err == nil {
		d.t.Fatalf("%s: worked", query)
	}
}

// pending returns what the app did since the last call, and takes note of it.
func (d *device) pending() (edits []changelog.Edit) {
	d.t.Helper()
	d.number++
	d.transact(func(ctx context.Context) (err error) {
		if edits, err = d.db.Pending(ctx, d.page(ctx), d.number); err != nil {
			return err
		}
		for _, edit := range edits {
			if err := d.db.Record(ctx, edit.Table, []changelog.Change{edit.Change}, changelog.Shown, edit.Before.Digest()); err != nil {
				return err
			}
		}
		return d.db.ClearLog(ctx, d.page(ctx))
	})
	return edits
}

// expect compares what the app did since with lines such as `put t 1: "a" NULL` and `delete t 2`, in any order.
func (d *device) expect(want ...string) {
	d.t.Helper()
	var got []string
	for _, edit := range d.pending() {
		c := edit.Change
		line := fmt.Sprintf("delete %s %s", c.Shape.Table, printed(c.Key))
		if c.Shape.Kind == changelog.Full {
			line = fmt.Sprintf("put %s %s: %s", c.Shape.Table, printed(c.Key), printed(c.Values))
		}
		got = append(got, line)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		d.t.Errorf("captured\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// printed writes values so that they print alike only if all their bits are alike.
func printed(values []changelog.Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			parts[i] = "NULL"
		case string:
			parts[i] = fmt.Sprintf("%q", v)
		case []byte:
			parts[i] = fmt.Sprintf("x'%x'", v)
		case float64:
			if parts[i] = fmt.Sprint(v); !strings.ContainsAny(parts[i], ".eI") {
				parts[i] += ".0"
			}
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(parts, " ")
}

// baseline gives clocks to the rows that are there.
func (d *device) baseline(pageSize int) (rows int) {
	d.t.Helper()
	d.transact(func(ctx context.Context) error {
		for _, table := range d.db.Tables {
			for after, done := changelog.Key(nil), false; !done; done = after == nil {
				var err error
				if after, err = d.db.Baseline(ctx, table, after, pageSize); err != nil {
					return err
				}
			}
			err := d.conn.Get(ctx, fmt.Sprintf("SELECT count(*) FROM sqlitesync_clock_%d WHERE state = 4", table.Number), nil, &rows)
			if err = errors.Join(err, d.db.SetPhase(ctx, table, changelog.PhaseUnsent)); err != nil {
				return err
			}
		}
		return nil
	})
	return rows
}

func (d *device) text(query string, args ...any) (text string) {
	d.t.Helper()
	d.check(d.app.QueryRow(query, args...).Scan(&text))
	return text
}

// page returns the whole log.
func (d *device) page(ctx context.Context) changelog.LogPage {
	d.t.Helper()
	page, err := d.db.Page(ctx, 1<<30)
	d.check(err)
	return page
}
