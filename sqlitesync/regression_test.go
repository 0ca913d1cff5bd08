package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
)

// Each test here is a schedule that once lost something.

// reborn makes two devices that know a row that was deleted and made again:
// of such a row more is kept than the table shows.
func reborn(t *testing.T) (a, b *testDevice) {
	t.Helper()
	a, b = newPair(t, itemSchema)
	for _, statement := range []string{"INSERT INTO item VALUES ('k', 'one', 1)", "DELETE FROM item", "INSERT INTO item VALUES ('k', 'two', 2)"} {
		a.exec(statement)
		settle(a, b)
	}
	return a, b
}

// What is shown again at Open must not be shown over what was written since.
func TestAnEditOfARebornRowSurvivesOpen(t *testing.T) {
	for statement, want := range map[string]string{
		"UPDATE item SET name = 'edited'": "edited",
		"DELETE FROM item":                "no row",
	} {
		a, b := reborn(t)
		must(t, b.syncer.Close())
		b.exec(statement)
		var err error
		b.syncer, err = Open(b.context(), b.db, b.folder, &b.options)
		must(t, err)
		settle(a, b)
		wantSame(t, []*testDevice{a, b})
		a.wantValue(want, "SELECT name FROM item WHERE id = 'k'")
	}
}

func TestAnEditOfARebornRowSurvivesAMigration(t *testing.T) {
	a, b := reborn(t)
	b.exec("UPDATE item SET name = 'edited'")
	b.exec("CREATE INDEX item_name ON item (name)")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("edited", "SELECT name FROM item WHERE id = 'k'")
}

// A pass that is broken off while a new table begins to take part is gone on with.
func TestCaptureThatWasBrokenOffGoesOn(t *testing.T) {
	t.Parallel()
	const late = "CREATE TABLE late (id INTEGER PRIMARY KEY, x TEXT)"
	for _, milliseconds := range []int{2, 8, 30, 80} {
		a, b := newPair(t, itemSchema)
		a.exec(late)
		b.exec(late)
		a.exec("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000) INSERT INTO late SELECT i, 'value ' || i FROM c")
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(milliseconds)*time.Millisecond)
		_ = a.syncer.Sync(ctx)
		cancel()
		settle(a, b)
		b.wantValue("20000", "SELECT count(*) FROM late")
	}
}

// Junk of a higher generation beside a good file, and junk in the device's own
// directory under a number to come, cost nothing.
func TestJunkUnderNamesOfSegmentsCostsNothing(t *testing.T) {
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'one', 1)")
	settle(a, b)
	position, _, err := a.syncer.db.Position(context.Background(), a.syncer.self())
	must(t, err)
	own := filepath.Join(a.folder, "devices", a.id().String())
	for _, name := range []string{
		fmt.Sprintf("%012x-%012x-0001.seg", position+1, position+1),
		fmt.Sprintf("%012x-%012x-0000.seg", position+100, position+100),
	} {
		must(t, os.WriteFile(filepath.Join(own, name), []byte("junk"), 0o600))
	}
	a.exec("INSERT INTO item VALUES ('2', 'two', 2)")
	a.sync()
	_ = b.trySync() // the gap before the second file is shown
	b.wantValue("2", "SELECT count(*) FROM item")
}

// A published file that was damaged before the outbox let go of it is known to
// be, and comes back when it is removed.
func TestADamagedFileOfOnesOwnIsNotForgotten(t *testing.T) {
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'one', 1)")
	a.sync()
	must(t, os.Truncate(a.lastSegment(), 200))
	if err := a.trySync(); err == nil {
		t.Error("nobody says that the file is damaged")
	}
	must(t, os.Remove(a.lastSegment()))
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
}

func TestPublishedSegmentsThatVanishAreMissed(t *testing.T) {
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'one', 1)")
	settle(a, b)
	must(t, os.Remove(a.lastSegment()))
	wantIs(t, a.trySync(), ErrFolder)
}

// What the app's triggers did to synced tables arrives as rows. In a merge they do not do it again, whatever it is, and
// what they write into local tables they write.
func TestTriggersInMerges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, trigger string
		local         string // what log says on the device that merges
	}{
		{"delete", "CREATE TRIGGER t AFTER INSERT ON item BEGIN INSERT INTO log VALUES ('a'); DELETE FROM item WHERE n < NEW.n - 1; INSERT INTO log VALUES ('b'); END", "a b a b a b a b"},
		{"delete all else", "CREATE TRIGGER t AFTER UPDATE ON item BEGIN DELETE FROM item WHERE id <> NEW.id; INSERT INTO log VALUES ('u'); END", "u"},
		{"key", "CREATE TRIGGER t AFTER INSERT ON item BEGIN UPDATE item SET id = 'x' || id WHERE id = NEW.id AND id NOT LIKE 'x%'; INSERT INTO log VALUES ('k'); END", "k k k k"},
		{"replace", "CREATE TRIGGER t AFTER UPDATE OF name ON item BEGIN INSERT OR REPLACE INTO item (id, name, n) VALUES ('made', OLD.name, 7); UPDATE OR REPLACE item SET u = 1 WHERE id = NEW.id; INSERT INTO log VALUES ('r'); END", "r"},
		{"rowid", "CREATE TRIGGER t AFTER UPDATE OF name ON item BEGIN UPDATE OR REPLACE item SET rowid = 1 WHERE id = NEW.id; INSERT INTO log VALUES ('o'); END", "o"},
		{"chain", "CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM item WHERE n = 1; END; CREATE TRIGGER s AFTER UPDATE ON item BEGIN INSERT INTO log VALUES ('c'); END", "c"},
		{"raise", "CREATE TRIGGER t BEFORE UPDATE ON item BEGIN INSERT INTO log VALUES ('no'); SELECT RAISE(IGNORE) WHERE NEW.n < OLD.n; END", ""},
		{"raise in a step", "CREATE TRIGGER t BEFORE INSERT ON item BEGIN INSERT INTO log VALUES (CASE WHEN NEW.n = 3 AND NEW.id = '3' THEN raise (ABORT, 'three') ELSE 'no' END); END", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER, u UNIQUE); CREATE TABLE log (what)")
			for _, d := range []*testDevice{a, b} {
				d.exec(test.trigger)
			}
			for _, write := range []string{
				"INSERT INTO item (id, name, n) VALUES ('1', 'one', 1), ('2', 'two', 2)",
				"INSERT INTO item (id, name, n) VALUES ('4', 'four', 4), ('3', 'three', 3)",
				"UPDATE item SET name = 'II', n = n - 1 WHERE id = '4' OR id = 'x4'",
				"DELETE FROM item WHERE n = 2",
			} {
				_, _ = a.db.Exec(write) // the trigger may refuse it
				settle(a, b, a)
				wantSame(t, []*testDevice{a, b}, "item")
			}
			for _, u := range b.syncer.Status().Unsynced {
				if u.Table == "item" {
					t.Errorf("the table stays local: %v", u)
				}
			}
			if raises := strings.Contains(test.name, "raise"); raises != (len(b.syncer.Status().Warnings) > 0) {
				t.Errorf("warnings: %q", b.syncer.Status().Warnings)
			}
			b.wantValue(test.local, "SELECT coalesce(group_concat(what, ' '), '') FROM log")
			before := len(a.segments()) + len(b.segments())
			settle(a, b, a)
			if after := len(a.segments()) + len(b.segments()); after != before {
				t.Errorf("%d segments more after convergence", after-before)
			}
		})
	}
}

// A table that SQLite itself can't write to stays local until it can.
func TestATriggerThatMakesNoSense(t *testing.T) {
	a, b := newPair(t, itemSchema+"; CREATE TABLE log (what)")
	a.exec("INSERT INTO item VALUES ('1', 'one', 1)")
	a.exec("CREATE TRIGGER t AFTER UPDATE ON item BEGIN INSERT INTO log VALUES (1, 2); END")
	settle(a, b)
	if list := fmt.Sprint(a.syncer.Status().Unsynced); !strings.Contains(list, "table log has 1 columns but 2 values were supplied") {
		t.Errorf("nobody says why the table stays local: %s", list)
	}
	a.exec("DROP TRIGGER t; UPDATE item SET n = 2")
	settle(a, b)
	wantSame(t, []*testDevice{a, b}, "item")
}

// withhold takes the newest segment of a device out of the folder, until put is called.
func (d *testDevice) withhold() (put func()) {
	d.tb.Helper()
	last := d.lastSegment()
	away := filepath.Join(d.tb.TempDir(), "away")
	must(d.tb, os.Rename(last, away))
	return func() { must(d.tb, os.Rename(away, last)) }
}

// A log of any length is folded in steps, and what it holds is applied as one.
func TestALongLogIsFoldedInStepsAndAppliedAsOne(t *testing.T) {
	a, b := newPair(t, itemSchema)
	settle(a, b)
	before := len(a.segments())
	const rows = 3*maxFold + 10
	a.exec("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO item SELECT i, 'x', i FROM c", rows)
	a.exec("UPDATE item SET name = 'y' WHERE id = '1'")
	a.sync()
	made := a.segments()[before:]
	if len(made) < 3 {
		t.Fatalf("%d segments", len(made))
	}
	put := a.withhold()
	_ = b.trySync()
	b.wantValue("0", "SELECT count(*) FROM item")
	put()
	settle(a, b)
	b.wantValue(fmt.Sprint(rows), "SELECT count(*) FROM item")
	wantSame(t, []*testDevice{a, b})
}

// The end of a run is told even if nothing came of it.
func TestARunThatEndsInNothingEnds(t *testing.T) {
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'one', 1)")
	settle(a, b)
	a.exec("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO item SELECT 'n' || i, 'x', i FROM c", maxFold)
	a.exec("UPDATE item SET name = name WHERE id = '1'")
	settle(a, b)
	b.wantValue(fmt.Sprint(maxFold+1), "SELECT count(*) FROM item")
	wantSame(t, []*testDevice{a, b})
}

// An edit of a row whose time can't grow any more stays here and stops nothing.
func TestATimeAtTheLimitStopsNothing(t *testing.T) {
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'one', 1)")
	settle(a, b)
	a.exec("UPDATE sqlitesync_clock_1 SET time = ?", int64(changelog.MaxTime)-1)
	a.exec("UPDATE item SET name = 'two' WHERE id = '1'")
	a.exec("INSERT INTO item VALUES ('2', 'two', 2)")
	settle(a, b)
	b.wantValue("2", "SELECT count(*) FROM item")
	if len(a.syncer.Status().Unsynced) == 0 {
		t.Error("nobody says that a change stays here")
	}
}

// What the edits of one page made free shows, although the process ends, or the app changes its schema, before the next page.
func TestWhatOnePageMadeFreeShows(t *testing.T) {
	for _, between := range []func(d *testDevice){
		func(d *testDevice) { d.syncer.Pause(); d.reopen() },
		func(d *testDevice) { d.exec("CREATE TABLE z (id INTEGER PRIMARY KEY)") },
	} {
		a, b := newPair(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)")
		a.exec("INSERT INTO t VALUES (1, 'x')")
		a.sync()
		tick()
		b.exec("INSERT INTO t VALUES (2, 'x')")
		settle(a, b)
		a.wantValue("2", "SELECT group_concat(id) FROM t")
		a.exec("DELETE FROM t")
		a.exec("WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i, 'v' || i FROM n", 2*maxFold)
		must(t, a.syncer.transact(t.Context(), func() error {
			_, err := a.syncer.foldSome(t.Context())
			return err
		}))
		between(a)
		settle(a, b)
		wantEverywhere("1", "SELECT group_concat(id) FROM t WHERE u = 'x'", a, b)
	}
}

// The same of a row that waits for its parent.
func TestAParentThatOnePageBringsIsSeen(t *testing.T) {
	for _, between := range []func(d *testDevice){
		func(d *testDevice) { d.syncer.Pause(); d.reopen() },
		func(d *testDevice) { d.exec("CREATE TABLE z (id INTEGER PRIMARY KEY)") },
	} {
		a, b := newPair(t, "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE)")
		a.exec("INSERT INTO p VALUES (1)")
		settle(a, b)
		b.exec("INSERT INTO c VALUES (1, 1)")
		tick()
		a.exec("DELETE FROM p")
		settle(a, b)
		wantEverywhere("0", "SELECT count(*) FROM c", a, b)
		a.exec("INSERT INTO p VALUES (1)")
		a.exec("WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO p SELECT i FROM n", 2*maxFold)
		must(t, a.syncer.transact(t.Context(), func() error {
			_, err := a.syncer.foldSome(t.Context())
			return err
		}))
		between(a)
		settle(a, b)
		wantEverywhere("1", "SELECT count(*) FROM c", a, b)
	}
}

// Large rows are folded in small pages, and arrive whole.
func TestLargeRowsAreFoldedFewAtATime(t *testing.T) {
	long(t)
	t.Parallel()
	const rows, size = 40, 1 << 20
	a, b := newPair(t, "CREATE TABLE photo (id INTEGER PRIMARY KEY, data BLOB)")
	settle(a, b)
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO photo SELECT i, randomblob(?) FROM n", rows, size)
	must(t, a.syncer.transact(t.Context(), func() error {
		more, err := a.syncer.foldSome(t.Context())
		if !more {
			t.Errorf("%d MB are folded at once", rows*size>>20)
		}
		return err
	}))
	settle(a, b)
	wantSame(t, []*testDevice{a, b}, "photo")
}

// What waits for Migrate says so when it is called inside.
func TestCallsInsideMigrate(t *testing.T) {
	d := newTestDevice(t, itemSchema)
	d.create(t.TempDir())
	must(t, d.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := d.syncer.Invite(ctx, nil)
		wantIs(t, err, errInsideMigrate)
		_, err = d.syncer.Devices(ctx)
		wantIs(t, err, errInsideMigrate)
		wantIs(t, d.syncer.Resolve(ctx, 1, KeepWinner), errInsideMigrate)
		wantIs(t, d.syncer.Close(), errInsideMigrate)
		return nil
	}))
	d.sync()
}
