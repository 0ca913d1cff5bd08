package sqlitesync

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/environment"
)

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options Options
		says    string
		is      error
	}{
		{"negative flush delay", Options{FlushDelay: -1}, "FlushDelay", nil},
		{"negative poll interval", Options{PollInterval: -1}, "PollInterval", nil},
		{"unknown existing", Options{Existing: 7}, "Existing", nil},
		{"unknown foreign keys", Options{ForeignKeys: -1}, "ForeignKeys", nil},
		{"long name", Options{DeviceName: strings.Repeat("x", 101)}, "DeviceName", nil},
		{"table that is not there", Options{Tables: []string{"item", "nothing"}}, "nothing", ErrSchema},
		{"table without a key", Options{Tables: []string{"nokey"}}, "PRIMARY KEY", ErrSchema},
		{"virtual table", Options{Tables: []string{"search"}}, "virtual", ErrSchema},
		{"view", Options{Tables: []string{"v"}}, "v", ErrSchema},
		{"our own table", Options{Tables: []string{"sqlitesync_log"}}, "sqlitesync_log", ErrSchema},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newTestDevice(t, itemSchema+`; CREATE TABLE nokey (v); CREATE VIRTUAL TABLE search USING fts5(body); CREATE VIEW v AS SELECT 1`)
			test.options.Keys, test.options.Manual = d.options.Keys, true
			dir := t.TempDir()
			s, err := Create(context.Background(), d.db, dir, &test.options)
			if err == nil {
				s.Close()
			}
			wantText(t, err, test.says)
			if test.is != nil {
				wantIs(t, err, test.is)
				if n := strings.Count(err.Error(), test.is.Error()); n != 1 {
					t.Errorf("error %q says %d times: %v", err, n, test.is)
				}
			}
			d.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")
			if entries, _ := os.ReadDir(dir); len(entries) != 0 {
				t.Errorf("the folder holds %v", entries)
			}
		})
	}
}

func TestOptionsAreCopiedAndDefaulted(t *testing.T) {
	t.Parallel()
	var none *Options
	defaults, err := none.withDefaults(new(environment.Environment))
	must(t, err)
	if defaults.FlushDelay != 250*time.Millisecond || defaults.PollInterval != 30*time.Second || defaults.DeviceName == "" ||
		defaults.Keys == nil || defaults.Logger == nil {
		t.Errorf("defaults %+v", defaults)
	}
	d := newTestDevice(t, itemSchema+"; CREATE TABLE other (id TEXT PRIMARY KEY)")
	d.options.Tables = []string{"ITEM"}
	d.create(t.TempDir())
	d.options.Tables[0] = "other" // the Syncer has its own copy
	d.exec("INSERT INTO item VALUES ('x', 'y', 1); CREATE TABLE changed (id)")
	d.sync()
	if n := len(d.segments()); n != 1 {
		t.Errorf("%d segments, want 1", n)
	}
}

func TestATableThatIsIncludedLaterBringsItsRows(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + "; CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL, v)"
	a, b := newTestDevice(t, schema), newTestDevice(t, schema)
	a.options.Tables = []string{"item"}
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO other VALUES ('1', 'of a')")
	b.exec("INSERT INTO other VALUES ('2', 'of b')")
	settle(a, b)
	b.wantValue("of b", "SELECT group_concat(v) FROM other")
	a.options.Tables = nil
	a.reopen()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2", "SELECT count(*) FROM other")
	wantQuiet(t, a, b)
}

func TestForeignKeysAreDecidedAtCreate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		option ForeignKeys
		handle string
		want   bool
	}{
		{ForeignKeysAsHandle, "1", true},
		{ForeignKeysAsHandle, "0", false},
		{ForeignKeysOn, "0", true},
		{ForeignKeysOff, "1", false},
	} {
		t.Run(fmt.Sprint(test.option, " ", test.handle), func(t *testing.T) {
			a := newTestDevice(t, itemSchema)
			must(t, a.db.Close())
			var err error
			a.db, err = sql.Open("sqlite", "file:"+a.path+"?_pragma=foreign_keys("+test.handle+")")
			must(t, err)
			a.options.ForeignKeys = test.option
			a.create(t.TempDir())
			b := newTestDevice(t, itemSchema)
			b.join(a.folder, a.invite())
			a.reopen()
			for _, d := range []*testDevice{a, b} {
				if got := d.syncer.Status().ForeignKeys; got != test.want {
					t.Errorf("enforced: %v, want %v", got, test.want)
				}
			}
		})
	}
}

// otherDriver is another SQLite's driver, as far as anyone can tell.
type otherDriver struct{ driver.Driver }

type otherConnector struct{}

func (otherConnector) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("unused") }
func (otherConnector) Driver() driver.Driver                        { return otherDriver{} }

func TestHandlesThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	memory, err := sql.Open("sqlite", ":memory:")
	must(t, err)
	defer memory.Close()
	shared, err := sql.Open("sqlite", "file:x?mode=memory&cache=shared")
	must(t, err)
	defer shared.Close()
	temporary, err := sql.Open("sqlite", "")
	must(t, err)
	defer temporary.Close()
	wide := newTestDevice(t, "SELECT 1")
	widePath := filepath.Join(t.TempDir(), "utf16.db")
	widePool, err := sql.Open("sqlite", "file:"+widePath)
	must(t, err)
	defer widePool.Close()
	widePool.SetMaxOpenConns(1)
	_, err = widePool.Exec("PRAGMA encoding = 'UTF-16le'; CREATE TABLE item (id TEXT PRIMARY KEY)")
	must(t, err)
	other := sql.OpenDB(otherConnector{})
	defer other.Close()

	for _, test := range []struct {
		name string
		db   *sql.DB
		says string
	}{
		{"in memory", memory, "memory"},
		{"in shared memory", shared, "memory"},
		{"temporary", temporary, "memory"},
		{"UTF-16", widePool, "UTF-16"},
		{"another driver", other, "modernc.org/sqlite"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Create(ctx, test.db, t.TempDir(), &wide.options)
			wantIs(t, err, ErrDriver)
			wantText(t, err, test.says)
			_, err = Open(ctx, test.db, t.TempDir(), &wide.options)
			wantIs(t, err, ErrDriver)
			wantIs(t, Uninstall(ctx, test.db), ErrDriver)
		})
	}
}

// A service that carries the database copies its files at different times. It may be the user's wish, so that it is only told of.
func TestADatabaseThatAServiceCarriesIsWarnedOf(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.sync()
	warned := func() bool {
		return slices.ContainsFunc(a.syncer.Status().Warnings, func(warning string) bool { return strings.Contains(warning, "Syncthing") })
	}
	found := func() bool { return slices.Contains(codes(a.examine(a.folder).Findings), FindingDatabaseCarried) }
	if warned() || found() {
		t.Errorf("warnings %q", a.syncer.Status().Warnings)
	}
	must(t, os.Mkdir(filepath.Join(filepath.Dir(a.path), ".stfolder"), 0o700))
	a.reopen()
	a.sync()
	if !warned() || !found() {
		t.Errorf("warnings %q", a.syncer.Status().Warnings)
	}
}

func TestADatabaseInsideTheFolderIsRefused(t *testing.T) {
	ctx := context.Background()
	folder := t.TempDir()
	deep := filepath.Join(folder, "a", "b")
	must(t, os.MkdirAll(deep, 0o700))
	aside := t.TempDir()
	must(t, os.Symlink(folder, filepath.Join(aside, "link")))
	outside, err := OpenDB(filepath.Join(aside, "outside.db"))
	must(t, err)
	defer outside.Close()
	_, err = outside.Exec(itemSchema)
	must(t, err)
	must(t, os.Symlink(filepath.Join(deep, "app.db"), filepath.Join(aside, "link.db")))
	t.Chdir(aside)
	relative, err := filepath.Rel(aside, folder)
	must(t, err)

	for _, test := range []struct{ name, database, folder string }{
		{"directly", filepath.Join(folder, "app.db"), folder},
		{"deep inside", filepath.Join(deep, "app.db"), folder},
		{"folder through a link", filepath.Join(deep, "app.db"), filepath.Join(aside, "link")},
		{"database through a link to its directory", filepath.Join(aside, "link", "a", "b", "app.db"), folder},
		{"database that is a link", filepath.Join(aside, "link.db"), folder},
		{"folder by a relative path", filepath.Join(deep, "app.db"), relative},
		{"database by a relative path", filepath.Join(relative, "app.db"), folder},
		{"with dots", filepath.Join(deep, "app.db"), folder + "/a/.."},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, err := OpenDB(test.database)
			must(t, err)
			defer db.Close()
			_, err = Create(ctx, db, test.folder, &Options{Keys: FileKeys(filepath.Join(t.TempDir(), "keys")), Manual: true})
			wantIs(t, err, ErrFolder)
			wantText(t, err, "inside")
		})
	}
	options := &Options{Keys: FileKeys(filepath.Join(t.TempDir(), "keys")), Manual: true}
	s, err := Create(ctx, outside, relative, options)
	must(t, err)
	must(t, s.Close())
	_, err = Open(ctx, outside, aside, options)
	wantIs(t, err, ErrFolder)
	wantText(t, err, "inside")
}

func TestPathsMayHoldAnything(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"with space", "what?.db", "a#b", "100%", "%41", "a&b=c;d", "ünï→код", "quo'te\"s", "back\\slash", "new\nline", "+plus", ":colon", "file:x", "-dash",
		"?_pragma=journal_mode(DELETE)",
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			base := t.TempDir()
			dir, shared := filepath.Join(base, "db "+name), filepath.Join(base, "folder "+name)
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Mkdir(shared, 0o700))
			path := filepath.Join(dir, name)
			db, err := OpenDB(path)
			must(t, err)
			defer db.Close()
			_, err = db.Exec(itemSchema + "; INSERT INTO item VALUES ('x', 'y', 1)")
			must(t, err)
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("the database is elsewhere: %v", err)
			}
			options := &Options{Keys: FileKeys(filepath.Join(base, "keys "+name)), Manual: true}
			s, err := Create(ctx, db, shared, options)
			must(t, err)
			must(t, s.Sync(ctx))
			must(t, s.Close())
			s, err = Open(ctx, db, shared, options)
			must(t, err)
			must(t, s.Close())
			if segments, _ := filepath.Glob(filepath.Join(base, "folder*", "devices", "*", "*.seg")); len(segments) != 1 {
				t.Errorf("segments %q", segments)
			}
			if entries, _ := os.ReadDir(base); len(entries) != 3 {
				t.Errorf("made %v", entries)
			}
		})
	}
}

func TestOpenDBHasTheSettingsThatItPromises(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t, itemSchema)
	for pragma, want := range map[string]string{
		"busy_timeout": "5000", "journal_mode": "wal", "synchronous": "1", "foreign_keys": "1", "recursive_triggers": "1",
	} {
		d.wantValue(want, "PRAGMA "+pragma)
	}
	tx, err := d.db.Begin()
	must(t, err)
	defer tx.Rollback()
	var n int
	must(t, tx.QueryRow("SELECT count(*) FROM item").Scan(&n))
	other, err := sql.Open("sqlite", "file:"+d.path)
	must(t, err)
	defer other.Close()
	if _, err := other.Exec("INSERT INTO item VALUES ('x', 'y', 1)"); err == nil {
		t.Error("a transaction that has only read does not hold the write lock, so it can fail when it writes")
	}
}

// An app with one connection, which it keeps in a transaction that only reads:
// Sync works beside it.
func TestSyncNeedsNoConnectionOfTheApp(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	must(t, b.db.Close())
	var err error
	b.db, err = sql.Open("sqlite", "file:"+b.path) // BEGIN takes no lock here
	must(t, err)
	b.db.SetMaxOpenConns(1)
	tx, err := b.db.Begin()
	must(t, err)
	var n int
	must(t, tx.QueryRow("SELECT count(*) FROM item").Scan(&n))
	b.sync()
	must(t, tx.QueryRow("SELECT count(*) FROM item").Scan(&n))
	if n != 0 {
		t.Error("the transaction sees what came after it began")
	}
	must(t, tx.Rollback())
	b.wantValue("y", "SELECT name FROM item")
}

// An app that keeps the write lock delays Sync, and does not stop it for good.
func TestSyncGivesUpOnAWriteLockThatIsNotReleased(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the engine's busy timeout of 10 s")
	}
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	tx, err := b.db.Begin()
	must(t, err)
	_, err = tx.Exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	must(t, err)
	start := time.Now()
	if err := b.trySync(); err == nil {
		t.Error("synced through a write lock")
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("Sync waited %v", took)
	}
	b.problem()
	must(t, tx.Commit())
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	b.wantHealthy()
}

// A writer with OpenDB's settings, in transactions of one row, beside a merge
// of many rows: no write fails.
func TestNoWriteOfTheAppFailsDuringALargeMerge(t *testing.T) {
	t.Parallel()
	if raceFactor > 1 {
		t.Skip("the steps of a merge are short by the clock, which the race detector stretches")
	}
	a, b := newPair(t, itemSchema)
	const rows = 20000
	tx, err := a.db.Begin()
	must(t, err)
	for i := range rows {
		_, err := tx.Exec("INSERT INTO item VALUES (?, 'of a', ?)", fmt.Sprint("a", i), i)
		must(t, err)
	}
	must(t, tx.Commit())
	a.sync()
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		written := 0
		defer func() { done <- written }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := b.db.Exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint("b", written)); err != nil {
				t.Errorf("write %d: %v", written, err)
				return
			}
			written++
		}
	}()
	b.sync()
	close(stop)
	written := <-done
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	a.wantValue(fmt.Sprint(rows+written), "SELECT count(*) FROM item")
	if written == 0 {
		t.Error("no write came through during the merge")
	}
}

// A table that was named and is gone, or can't be synced any more, is a problem that stops no other; it is an error of Open.
func TestNamedTableThatIsGone(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + "; CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)"
	for _, test := range []struct{ name, script, says, mend string }{
		{"dropped", "DROP TABLE other", "no such table", "CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)"},
		{"without a key", "DROP TABLE other; CREATE TABLE other (id)", "PRIMARY KEY", "DROP TABLE other; CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newTestDevice(t, schema), newTestDevice(t, schema)
			a.options.Tables = []string{"item", "other"}
			a.create(t.TempDir())
			b.join(a.folder, a.invite())
			a.exec("INSERT INTO other VALUES ('o')")
			settle(a, b)
			a.exec(test.script + "; INSERT INTO item VALUES ('a', 'x', 1)")
			b.exec("INSERT INTO item VALUES ('b', 'y', 1)")
			for range 2 {
				err := a.trySync()
				wantIs(t, err, ErrSchema)
				wantText(t, err, test.says)
				b.sync()
			}
			wantEverywhere("a,b", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)", a, b)
			if problems := a.syncer.Status().Problems; len(problems) != 1 {
				t.Errorf("problems %v, want one", problems)
			}
			must(t, a.syncer.Close())
			_, err := Open(t.Context(), a.db, a.folder, &a.options)
			wantIs(t, err, ErrSchema)
			a.exec(test.mend)
			a.open()
			settle(a, b)
			a.wantHealthy()
			wantEverywhere("o", "SELECT group_concat(id) FROM other", a, b)
		})
	}
}
