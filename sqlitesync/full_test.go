package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
)

// The disk of the database is full, while that of the folder is not, when a device has something to do: it says so, and what to do,
// and does it when there is room.
func TestADiskThatIsFullForTheDatabase(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(s *stage){
		"fold":  func(s *stage) { s.writeLarge(s.a) },
		"merge": func(s *stage) { s.writeLarge(s.b); s.b.sync() },
		"compact": func(s *stage) {
			for range 2 {
				s.writeLarge(s.a)
				s.a.sync()
			}
			s.a.sync() // finds them
			s.a.environment.Compact = true
		},
		"refill": func(s *stage) {
			s.writeLarge(s.a)
			s.a.sync()
			s.a.sync()
			must(s.t, os.Remove(s.a.lastSegment()))
			_ = s.a.trySync() // misses it
			s.clock.pass(vanishedTime)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			prepare(s)
			s.a.exec("VACUUM") // what was in the outbox has left pages
			s.a.allowPages(1)  // SQLite makes it what there is
			for range 2 {
				if err := s.a.trySync(); changelog.ErrorCode(err) != codeFull {
					t.Fatalf("a pass on a full disk says %v", err)
				}
				wantText(t, errors.New(s.a.problem().Hint), "no space left where the database is kept", "Nothing is lost")
			}
			s.a.allowPages(1_000_000)
			s.check("with room")
			s.a.reopen()
			s.check("at the end")
			late := newTestDevice(t, itemSchema)
			late.join(s.a.folder, s.a.invite())
			late.sync()
			wantSame(t, []*testDevice{s.a, s.b, late})
		})
	}
}

// writeLarge writes a row that no page has room for.
func (s *stage) writeLarge(d *testDevice) {
	s.t.Helper()
	d.exec("INSERT INTO item VALUES (?, 'dear', hex(randomblob(50000)))", fmt.Sprint("large ", s.written))
	s.written++
}

// A database that has to become another device, and for which the disk has no room, makes keys of that device once.
func TestADatabaseThatSucceedsOnAFullDiskMakesKeysOnce(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	a.exec("INSERT INTO item VALUES ('1', 'since', 1)")
	settle(a, b)
	a.restoreInPlace(backup)
	before := len(a.keyFiles())
	a.allowPages(1)
	for range 3 {
		if err := a.trySync(); changelog.ErrorCode(err) != codeFull {
			t.Fatalf("a pass on a full disk says %v", err)
		}
	}
	if made := len(a.keyFiles()) - before; made != 1 {
		t.Errorf("keys of %d devices were made, want one", made)
	}
	a.allowPages(1_000_000)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("1", "SELECT count(*) FROM item")
	a.wantHealthy()
	if made := len(a.keyFiles()) - before; made != 1 {
		t.Errorf("keys of %d devices were made, want one", made)
	}
}

// allowPages bounds how large the engine can make the database, as a disk that is full does.
func (d *testDevice) allowPages(pages int) {
	d.tb.Helper()
	must(d.tb, d.syncer.handle.conn.Script(d.tb.Context(), fmt.Sprint("PRAGMA max_page_count = ", pages)))
}

// keyFiles returns the names of the device's entries in the KeyStore.
func (d *testDevice) keyFiles() []string {
	d.tb.Helper()
	names, err := filepath.Glob(filepath.Join(string(d.options.Keys.(fileKeys)), "*.key"))
	must(d.tb, err)
	return names
}

// limitPages lets the file of d's database take no more pages than it has now and so many more, as far as sync goes, and returns what
// takes that back.
func (d *testDevice) limitPages(more int) (lift func()) {
	d.tb.Helper()
	var pages int
	must(d.tb, d.db.QueryRow("PRAGMA page_count").Scan(&pages))
	limit := fmt.Sprint("PRAGMA max_page_count = ", pages+more)
	d.onEachConnection(func(conn sqlite.ExecQuerierContext) error {
		_, err := conn.ExecContext(d.tb.Context(), limit, nil)
		return err
	})
	if d.syncer != nil {
		d.allowPages(pages + more)
	}
	return func() {
		d.onEachConnection(func(sqlite.ExecQuerierContext) error { return nil })
		if d.syncer != nil {
			d.allowPages(1_000_000)
		}
	}
}

// A call that finds no room for the database, at any step of it, says so, and what to do, has lost nothing, and works when there is room.
func TestCallsOnADiskThatIsFull(t *testing.T) {
	t.Parallel()
	const most = 60 // more pages than any of them takes
	steps := []int{0, 1, 2, 4, 8, 16, 24, 32}
	for name, existing := range map[string]Existing{"merge": MergeExisting, "replace": ReplaceExisting} {
		t.Run("join "+name, func(t *testing.T) {
			t.Parallel()
			b := newTestDevice(t, itemSchema)
			b.create(t.TempDir())
			b.exec("INSERT INTO item VALUES ('1', 'of b', 1)")
			b.sync()
			for _, more := range steps {
				a := newTestDevice(t, itemSchema)
				a.exec("INSERT INTO item VALUES ('2', 'of a', 1)")
				a.folder, a.options.Existing = b.folder, existing
				code := b.invite()
				lift := a.limitPages(more)
				var err error
				a.syncer, err = Join(a.context(), a.db, a.folder, code, &a.options)
				lift()
				if err != nil {
					wantFullDisk(t, err)
					a.wantValue("of a", "SELECT group_concat(name) FROM item")
					if copies, err := filepath.Glob(a.path + ".before-join-*"); err != nil || len(copies) > 0 {
						t.Errorf("with %d pages, it has left copies of rows that were not replaced: %v %v", more, copies, err)
					}
					if a.syncer, err = Open(a.context(), a.db, a.folder, &a.options); errors.Is(err, ErrNotSetUp) {
						a.join(b.folder, code)
					} else {
						must(t, err)
					}
				}
				settle(a, b)
				wantSame(t, []*testDevice{a, b})
				a.wantHealthy()
				a.close()
			}
		})
	}
	for name, call := range map[string]func(a, c *testDevice) error{
		"migrate": func(a, _ *testDevice) error {
			return a.syncer.Migrate(a.tb.Context(), func(ctx context.Context, db *sql.DB) error {
				_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS more (id TEXT PRIMARY KEY NOT NULL, v); INSERT OR IGNORE INTO more SELECT id, hex(zeroblob(5000)) FROM item")
				return err
			})
		},
		"revoke": func(a, c *testDevice) error {
			if err := a.syncer.Revoke(a.tb.Context(), c.id()); !errors.Is(err, ErrNotAllowed) { // it was decided before
				return err
			}
			return nil
		},
		"recovery": func(a, _ *testDevice) error {
			_, err := a.syncer.Recovery(a.tb.Context())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			c.exec("INSERT INTO item VALUES ('1', 'of c', 1)")
			settle(devices...)
			a.exec("INSERT INTO item VALUES ('2', 'of a', 1)")
			a.exec("VACUUM")
			refused := 0
			var err error
			for more := 0; more == 0 || err != nil; more++ {
				if more > most {
					t.Fatal(err)
				}
				lift := a.limitPages(more)
				if err = call(a, c); err != nil {
					wantFullDisk(t, err)
					refused++
				}
				lift()
			}
			if refused == 0 {
				t.Error("it needed no room")
			}
			settle(a, b)
			wantSame(t, []*testDevice{a, b}, "item")
			a.wantValue("2", "SELECT count(*) FROM item")
			a.wantHealthy()
		})
	}
}

func wantFullDisk(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if changelog.ErrorCode(err) != codeFull || !errors.As(err, &e) {
		t.Fatalf("a call on a full disk says %v", err)
	}
	wantText(t, errors.New(e.Hint), "no space left where the database is kept", "Nothing is lost")
}

// A database that can't be written is not one that is damaged: the hint says what is in the way.
func TestADatabaseThatCanNotBeWritten(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	may := func(write bool) {
		must(t, a.syncer.handle.conn.Script(t.Context(), fmt.Sprintf("PRAGMA query_only = %v", !write)))
	}
	may(false)
	_ = a.trySync()
	wantText(t, errors.New(a.problem().Hint), "can't write to the database", "Nothing is lost", "next pass")
	var e *Error
	if err := a.syncer.Revoke(t.Context(), b.id()); !errors.As(err, &e) {
		t.Fatal(err)
	}
	wantText(t, errors.New(e.Hint), "can't write to the database", "Nothing is lost")
	may(true)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantHealthy()
}
