package sqlitesync

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
		b.syncer, err = Open(context.Background(), b.db, b.folder, &b.options)
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

// A trigger that writes and raises can't be kept from raising in a merge
// without being kept from writing; one that deletes deletes again there.
func TestTablesWhoseTriggersAMergeCantHonourStayLocal(t *testing.T) {
	for _, trigger := range []string{
		"CREATE TRIGGER t BEFORE UPDATE ON item BEGIN INSERT INTO log VALUES (1); SELECT RAISE(IGNORE) WHERE NEW.n < OLD.n; END",
		"CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item WHERE n < NEW.n; END",
		"CREATE TRIGGER t AFTER INSERT ON item BEGIN UPDATE item SET id = 'x' || id WHERE id = NEW.id; END",
	} {
		a := newTestDevice(t, itemSchema)
		a.exec("CREATE TABLE log (n)")
		a.exec(trigger)
		a.create(t.TempDir())
		found := false
		for _, u := range a.syncer.Status().Unsynced {
			found = found || u.Table == "item" && u.Reason != "" && u.Hint != ""
		}
		if !found || a.syncer.db.Table("item") != nil {
			t.Errorf("%s: the table takes part", trigger)
		}
		a.exec("DROP TRIGGER t")
		a.sync()
		if a.syncer.db.Table("item") == nil {
			t.Errorf("%s: without the trigger the table still stays out: %+v", trigger, a.syncer.Status().Unsynced)
		}
	}
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
	last := filepath.Join(a.folder, "devices", a.id().String(), made[len(made)-1])
	if _, err := os.Stat(last); err != nil {
		last = made[len(made)-1]
	}
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(last, away))
	_ = b.trySync()
	b.wantValue("0", "SELECT count(*) FROM item")
	must(t, os.Rename(away, last))
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
