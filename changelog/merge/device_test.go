package merge_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// A device is one database file with the two handles that it has in life: the app's, an ordinary one, and the engine's
// connection, with the authorizer that package sqlitesync puts there. Batches stay in memory; nothing here is concurrent.
type device struct {
	t    testing.TB
	id   changelog.DeviceID
	path string

	app, engine *sql.DB
	conn        *changelog.Conn
	db          *changelog.Database

	// now is what the device's clock says, in milliseconds; 0 leaves what the triggers logged.
	now    int64
	logged int64  // entries of the log whose time is set
	number uint64 // of the newest batch made
	made   []*changelog.Batch

	pageSize int // how many entries of the log are folded together; 0: all

	recursiveTriggers bool

	foreignKeys    bool // the space enforces foreign keys
	appForeignKeys bool // the app's handle does

	// keep holds a database in memory while nothing else does.
	keep *sql.DB
}

// newDevice makes a database with the schema, and the triggers and tables of sync in it. Rows that the schema script
// inserts are baseline rows, not yet published.
func newDevice(t testing.TB, name string, schema ...string) *device {
	t.Helper()
	d := newApp(t, name, schema...)
	d.setUp()
	return d
}

// newApp makes a database without sync.
func newApp(t testing.TB, name string, schema ...string) *device {
	t.Helper()
	d := onDisk(t, name)
	d.open()
	for _, script := range schema {
		d.exec(script)
	}
	return d
}

// onDisk makes a device that is to be opened yet.
func onDisk(t testing.TB, name string) *device {
	d := &device{t: t, id: authorID(name), path: filepath.Join(t.TempDir(), name+".db")}
	t.Cleanup(d.close)
	return d
}

// databases counts those in memory, whose names stand in one room.
var databases atomic.Uint64

const memory = "/memory/"

// inMemory makes a device whose database is in memory, which is faster. There is no WAL then.
func inMemory(t testing.TB, name string) *device {
	d := &device{t: t, id: authorID(name), path: fmt.Sprint(memory, databases.Add(1))}
	d.keep = d.handle()
	t.Cleanup(func() {
		d.close()
		d.check(d.keep.Close())
	})
	d.check(d.keep.Ping())
	return d
}

func (d *device) setUp() {
	d.t.Helper()
	d.transact(func(ctx context.Context) error {
		if err := errors.Join(changelog.CreateTables(ctx, d.conn), merge.CreateTables(ctx, d.conn)); err != nil {
			return err
		}
		return d.capture(ctx)
	})
}

// capture opens what there is and gives clocks to the rows of tables that are new.
func (d *device) capture(ctx context.Context) (err error) {
	if d.db == nil {
		if d.db, err = changelog.Open(ctx, d.conn, d.id); err != nil {
			return err
		}
		d.db.ForeignKeys = d.foreignKeys
	}
	if err := d.db.Capture(ctx, changelog.Selection{}); err != nil {
		return err
	}
	if len(d.db.Stale) > 0 {
		if err := merge.Rename(ctx, d.db, d.db.Stale); err != nil {
			return err
		}
		if err := d.db.Forget(ctx); err != nil {
			return err
		}
		if _, err := d.foldInside(ctx); err != nil {
			return err
		}
		if err := d.db.Reconcile(ctx); err != nil {
			return err
		}
	}
	for _, table := range d.db.Tables {
		if table.Phase != changelog.PhaseNew {
			continue
		}
		last, err := d.db.Baseline(ctx, table, nil, 1000)
		for err == nil && last != nil {
			last, err = d.db.Baseline(ctx, table, last, 1000)
		}
		if err != nil {
			return err
		}
		if err := d.db.SetPhase(ctx, table, changelog.PhaseUnsent); err != nil {
			return err
		}
	}
	return nil
}

func (d *device) handle(pragmas ...string) *sql.DB {
	d.t.Helper()
	query := url.Values{"_pragma": append(pragmas, "journal_mode(WAL)", "busy_timeout(5000)")}
	if strings.HasPrefix(d.path, memory) {
		query.Set("vfs", "memdb")
	}
	db, err := sql.Open("sqlite", "file:"+d.path+"?"+query.Encode())
	d.check(err)
	return db
}

func (d *device) open() {
	d.t.Helper()
	d.app = d.handle("synchronous(OFF)", fmt.Sprintf("recursive_triggers(%t)", d.recursiveTriggers), fmt.Sprintf("foreign_keys(%t)", d.appForeignKeys))
	d.app.SetMaxOpenConns(1) // so that BEGIN and COMMIT may be statements like any other
	d.engine = d.handle("synchronous(OFF)", "foreign_keys(0)")
	conn, err := d.engine.Conn(context.Background())
	d.check(err)
	d.check(conn.Raw(func(driver any) error {
		return driver.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(d.authorize)
	}))
	d.conn = changelog.NewConn(conn)
}

// authorize is the authorizer of the engine's connection (DESIGN.md, section 4, "No echo").
func (d *device) authorize(action sqlite.AuthorizerActionCode, table, _, _, trigger string) sqlite.AuthorizerReturnCode {
	if trigger == "" || action != sqlite.AuthInsert && action != sqlite.AuthUpdate {
		return sqlite.AuthorizerOK
	}
	if table == "sqlitesync_log" || d.db != nil && d.db.Table(changelog.CanonicalName(table)) != nil {
		return sqlite.AuthorizerIgnore
	}
	return sqlite.AuthorizerOK
}

func (d *device) close() {
	if d.conn != nil {
		d.check(d.conn.Close())
	}
	for _, db := range []*sql.DB{d.app, d.engine} {
		if db != nil {
			d.check(db.Close())
		}
	}
	d.app, d.engine, d.conn, d.db = nil, nil, nil, nil
}

// restart closes everything and opens it again, as a program that stops and starts.
func (d *device) restart() {
	d.t.Helper()
	d.close()
	d.open()
	d.transact(d.capture)
}

func (d *device) check(err error) {
	if err != nil {
		d.t.Helper()
		d.t.Fatalf("device %s: %v", strings.TrimRight(string(d.id[:]), "\x00"), err)
	}
}

func (d *device) transact(fn func(context.Context) error) {
	d.t.Helper()
	d.check(d.conn.Transact(context.Background(), changelog.Ordinary, func() error { return fn(context.Background()) }))
	if d.db == nil {
		return
	}
	wrong, err := merge.WrongDigests(context.Background(), d.db)
	d.check(err)
	if len(wrong) > 0 {
		d.t.Fatalf("the digests of %q are not those of what is known", wrong)
	}
	d.check(d.conn.Transact(context.Background(), changelog.Ordinary, func() error { // those in doubt grow with what is merged from now on
		_, err := merge.Digests(context.Background(), d.db, true)
		return err
	}))
}

// digests returns the digests of the tables that are there.
func (d *device) digests() map[string]changelog.StoredDigest {
	d.t.Helper()
	digests, err := merge.Digests(context.Background(), d.db, false)
	d.check(err)
	maps.DeleteFunc(digests, func(rows string, stored changelog.StoredDigest) bool {
		return stored.Apart || !slices.ContainsFunc(d.db.Tables, func(table *changelog.Table) bool { return table.Put.Rows() == rows })
	})
	return digests
}

// compareDigests holds devices that have merged the same against one another.
func compareDigests(t testing.TB, a, b *device) {
	t.Helper()
	others := b.digests()
	for rows, digest := range a.digests() {
		if other, there := others[rows]; there && other != digest {
			t.Errorf("of rows %s devices %.1s and %.1s know different things", rows, a.id[:], b.id[:])
		}
	}
}

// try runs a statement of the app.
func (d *device) try(query string, args ...any) error {
	_, err := d.app.Exec(query, args...)
	if d.now != 0 && d.db != nil {
		_, mark := d.app.Exec("UPDATE sqlitesync_log SET at = 2440587.5 + ?/86400000.0 WHERE id > ?", d.now, d.logged)
		d.check(mark)
		d.check(d.app.QueryRow("SELECT ifnull(max(id), 0) FROM sqlitesync_log").Scan(&d.logged))
	}
	return err
}

// exec runs a statement of the app that must work.
func (d *device) exec(query string, args ...any) {
	d.t.Helper()
	if err := d.try(query, args...); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

// fold makes a batch of what the app wrote, nil if that is nothing.
func (d *device) fold() *changelog.Batch {
	d.t.Helper()
	var batch *changelog.Batch
	d.transact(func(ctx context.Context) (err error) {
		batch, err = d.foldInside(ctx)
		return err
	})
	return batch
}

// foldInside returns the last batch that it makes.
func (d *device) foldInside(ctx context.Context) (batch *changelog.Batch, err error) {
	for more := true; more; {
		limit := d.pageSize
		if limit == 0 {
			limit = 1 << 30
		}
		page, err := d.db.Page(ctx, limit)
		if err != nil {
			return nil, err
		}
		edits, err := d.db.Pending(ctx, page, d.number+1)
		if err != nil {
			return nil, err
		}
		if edits, err = merge.Restore(ctx, d.db, edits); err != nil {
			return nil, err
		}
		if err := merge.Predate(ctx, d.db, edits); err != nil {
			return nil, err
		}
		if err := d.db.ClearLog(ctx, page); err != nil {
			return nil, err
		}
		if len(edits) > 0 {
			changes := make([]changelog.Change, len(edits))
			for i, edit := range edits {
				changes[i] = edit.Change
			}
			if batch, err = d.batch(ctx, changes); err != nil {
				return nil, err
			}
		}
		record := merge.Local
		if page.More {
			record = merge.LocalPart
		}
		result, err := record(ctx, d.db, edits)
		if err != nil {
			return nil, err
		}
		if err := d.publishUnsent(ctx, result); err != nil {
			return nil, err
		}
		more = page.More
	}
	d.logged = 0
	return batch, nil
}

// publishUnsent makes a batch of the baseline rows that a merge took out of sight.
func (d *device) publishUnsent(ctx context.Context, result merge.Result) error {
	if len(result.Unsent) == 0 {
		return nil
	}
	_, err := d.batch(ctx, result.Unsent)
	return err
}

// batch numbers changes as this device's next batch.
func (d *device) batch(ctx context.Context, changes []changelog.Change) (*changelog.Batch, error) {
	seen, err := d.db.Seen(ctx)
	if err != nil {
		return nil, err
	}
	d.number++
	if err := d.db.SetPosition(ctx, d.id, d.number, [32]byte{}); err != nil {
		return nil, err
	}
	batch := transport(d.t, &changelog.Batch{Device: d.id, Number: d.number, Seen: seen, Changes: changes})
	d.made = append(d.made, batch)
	return batch, nil
}

// baseline publishes the rows that stood in the database before sync, nil if there are none (any more).
func (d *device) baseline() *changelog.Batch {
	d.t.Helper()
	var batch *changelog.Batch
	d.transact(func(ctx context.Context) error {
		var changes []changelog.Change
		for _, table := range d.db.Tables {
			unsent, err := d.db.Unsent(ctx, table, nil, 10000)
			if err != nil {
				return err
			}
			if err := d.db.Record(ctx, table, unsent, changelog.Shown, changelog.Digest{}); err != nil {
				return err
			}
			changes = append(changes, unsent...)
		}
		if len(changes) == 0 {
			return nil
		}
		var err error
		batch, err = d.batch(ctx, changes)
		return err
	})
	return batch
}

// apply merges a batch of another device, after folding what the app wrote, and returns what folding made.
func (d *device) apply(batch *changelog.Batch) (folded *changelog.Batch, result merge.Result) {
	d.t.Helper()
	return d.applyAs(batch, true)
}

func (d *device) applyAs(batch *changelog.Batch, witness bool) (folded *changelog.Batch, result merge.Result) {
	d.t.Helper()
	d.transact(func(ctx context.Context) (err error) {
		if folded, err = d.foldInside(ctx); err != nil {
			return err
		}
		if result, err = merge.Apply(ctx, d.db, transport(d.t, batch), witness); err != nil {
			return err
		}
		if err := d.publishUnsent(ctx, result); err != nil {
			return err
		}
		number, _, err := d.db.Position(ctx, batch.Device)
		if err == nil && number < batch.Number {
			err = d.db.SetPosition(ctx, batch.Device, batch.Number, [32]byte{})
		}
		if err != nil || result.PutAgain == 0 {
			return err
		}
		_, err = d.foldInside(ctx)
		return err
	})
	return folded, result
}

// schemaChanged does what the engine does after the app changed its schema.
func (d *device) schemaChanged() (folded *changelog.Batch, result merge.Result) {
	d.t.Helper()
	made := len(d.made)
	d.transact(func(ctx context.Context) error {
		changed, err := d.db.SchemaChanged(ctx)
		if err != nil || !changed {
			return errors.Join(err, errors.New("the schema did not change"))
		}
		return d.capture(ctx)
	})
	folded, result = d.retry()
	if folded == nil && len(d.made) > made { // capture folds before it reconciles
		folded = d.made[len(d.made)-1]
	}
	return folded, result
}

// retry shows what was kept for want of a table or column.
func (d *device) retry() (folded *changelog.Batch, result merge.Result) {
	d.t.Helper()
	d.transact(func(ctx context.Context) (err error) {
		// What the app wrote is folded first: showing kept values would overwrite it.
		if folded, err = d.foldInside(ctx); err != nil {
			return err
		}
		for _, table := range d.db.Tables {
			for _, look := range []func(context.Context, *changelog.Database, *changelog.Table, []string) (merge.Result, error){merge.Adopt, merge.Retry} {
				rows, err := merge.KeptRows(ctx, d.db, table, "", -1)
				if err != nil {
					return err
				}
				part, err := look(ctx, d.db, table, rows)
				if err != nil {
					return err
				}
				result.Unsent = append(result.Unsent, part.Unsent...)
				result.Conflicts += part.Conflicts
			}
			part, err := merge.Settle(ctx, d.db, table)
			if err != nil {
				return err
			}
			result.Unsent = append(result.Unsent, part.Unsent...)
		}
		return d.publishUnsent(ctx, result)
	})
	return folded, result
}

// transport copies a batch as a segment would: nothing in memory is shared, and changes of one shape share the shape.
func transport(t testing.TB, batch *changelog.Batch) *changelog.Batch {
	t.Helper()
	arrived := *batch
	arrived.Changes = make([]changelog.Change, len(batch.Changes))
	shapes := make(map[string]*changelog.Shape)
	for i := range batch.Changes {
		change, err := changelog.ParseChange(changelog.AppendChange(nil, &batch.Changes[i]))
		if err != nil {
			t.Fatal(err)
		}
		encoded := string(change.Shape.Append(nil))
		if shape, known := shapes[encoded]; known {
			change.Shape = shape
		}
		shapes[encoded] = change.Shape
		arrived.Changes[i] = *change
	}
	return &arrived
}

// rows returns what the app sees in a table, in the order of its first column.
func (d *device) rows(query string) []string {
	d.t.Helper()
	rows, err := d.app.Query(query)
	d.check(err)
	defer rows.Close()
	names, err := rows.Columns()
	d.check(err)
	var lines []string
	for rows.Next() {
		values := make([]any, len(names))
		dest := make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		d.check(rows.Scan(dest...))
		parts := make([]string, len(values))
		for i, v := range values {
			parts[i] = printed(v)
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	d.check(rows.Err())
	return lines
}

// expect compares what the app sees with lines such as `1 "a" NULL`.
func (d *device) expect(query string, want ...string) {
	d.t.Helper()
	if got := d.rows(query); !slices.Equal(got, want) {
		d.t.Errorf("device %s: %s shows\n\t%s\nwant\n\t%s", d.id, query, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// printed writes a value so that values print alike only if all their bits are alike.
func printed(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case int64:
		return fmt.Sprint(v)
	case float64:
		if text := fmt.Sprintf("%g", v); strings.ContainsAny(text, ".e") {
			return text
		}
		return fmt.Sprintf("%g.0", v)
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	default:
		return fmt.Sprintf("%T(%v)", v, v)
	}
}

// held lists the held rows as "table key: reason".
func (d *device) held() []string {
	d.t.Helper()
	var lines []string
	var after merge.Cursor
	found, err := merge.HeldRows(context.Background(), d.conn, &after, 10000)
	d.check(err)
	for _, held := range found {
		if held.Shown {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", held.Change.Shape.Table, printedKey(held.Change.Key), held.Reason))
	}
	n, err := merge.CountHeld(context.Background(), d.conn)
	d.check(err)
	if n != len(lines) {
		d.t.Errorf("%d rows are held, but %d are listed", n, len(lines))
	}
	return lines
}

// heldRows reads the held rows, and those that show without their parents, page by page.
func (d *device) heldRows() (rows []merge.Held) {
	d.t.Helper()
	for after := new(merge.Cursor); ; {
		page, err := merge.HeldRows(context.Background(), d.conn, after, 2)
		d.check(err)
		rows = append(rows, page...)
		if len(page) < 2 {
			return rows
		}
	}
}

func printedKey(key changelog.Key) string {
	parts := make([]string, len(key))
	for i, v := range key {
		parts[i] = printed(v)
	}
	return strings.Join(parts, " ")
}

func (d *device) conflicts() []merge.Conflict {
	d.t.Helper()
	conflicts, err := merge.Conflicts(context.Background(), d.conn, 0, 1<<30)
	d.check(err)
	return conflicts
}

// integrity asks SQLite whether the file is sound, and whether the app's constraints hold.
func (d *device) integrity() {
	d.t.Helper()
	d.expect("PRAGMA integrity_check", `"ok"`)
}
