package sqlitesync

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The tests in this file run the schedules that a review of the design has found; hazards_merge_test.go lists them all.

// A trigger that looks at other rows would hold whichever row arrives second. It guards the app's own writes, not merges.
func TestWhatATriggerRefusesArrivesInEveryOrder(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE booking (id TEXT PRIMARY KEY NOT NULL, day INTEGER);
		CREATE TRIGGER overlap BEFORE INSERT ON booking WHEN EXISTS (SELECT 1 FROM booking WHERE day = NEW.day) BEGIN SELECT RAISE(ABORT, 'taken'); END;
		CREATE TRIGGER quota BEFORE INSERT ON booking WHEN (SELECT count(*) FROM booking) >= 2 BEGIN SELECT RAISE(IGNORE); END`
	devices := newSpace(t, schema, 3)
	for i, order := range orders(devices) {
		for _, d := range devices {
			d.exec("INSERT INTO booking VALUES (?, 1)", "of "+d.id().String())
		}
		settle(order...)
		wantSame(t, devices)
		wantEverywhere("3", "SELECT count(*) FROM booking", devices...)
		_, _ = order[0].db.Exec("INSERT INTO booking VALUES ('more', 2)") // the app's own write is checked
		order[0].wantValue("3", "SELECT count(*) FROM booking")
		order[i%3].exec("DELETE FROM booking")
		settle(order...)
	}
	for _, d := range devices {
		if held := d.syncer.Status().Held; held != 0 {
			t.Errorf("%d rows are held", held)
		}
	}
	wantQuiet(t, devices...)
}

// An old app edits a row whose new column it does not know, deletes it, makes it again. In whatever order and grouping this
// reaches other devices, and whether they are upgraded before or after, they show the same.
func TestOldAndNewAppsSideBySide(t *testing.T) {
	t.Parallel()
	const oldSchema, newSchema = "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a)", "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a, c DEFAULT 'none')"
	author, old := newTestDevice(t, newSchema), newTestDevice(t, oldSchema)
	author.create(t.TempDir())
	old.join(author.folder, author.invite())
	early, late := newTestDevice(t, newSchema), newTestDevice(t, oldSchema)
	early.join(author.folder, author.invite())
	late.join(author.folder, author.invite())
	devices := []*testDevice{author, old, early, late}
	settle(devices...)
	author.exec("INSERT INTO t VALUES ('edited', 'first', 'kept'), ('deleted', 'first', 'kept'), ('reborn', 'first', 'kept')")
	settle(author, old)
	old.exec("UPDATE t SET a = 'second' WHERE id = 'edited'")
	old.exec("DELETE FROM t WHERE id <> 'edited'")
	settle(old, early)
	old.exec("INSERT INTO t VALUES ('reborn', 'third')")
	settle(devices...)
	const query = "SELECT group_concat(id || ' ' || a || ' ' || c, ', ') FROM (SELECT * FROM t ORDER BY id)"
	const want = "edited second kept, reborn third none"
	wantEverywhere(want, query, author, early)
	for _, d := range []*testDevice{old, late} {
		d.wantValue("edited second, reborn third", "SELECT group_concat(id || ' ' || a, ', ') FROM (SELECT * FROM t ORDER BY id)")
		d.exec("ALTER TABLE t ADD COLUMN c DEFAULT 'none'")
		d.sync()
	}
	newcomer := newTestDevice(t, newSchema)
	newcomer.join(author.folder, author.invite())
	devices = append(devices, newcomer)
	settle(devices...)
	wantEverywhere(want, query, devices...)
	wantSame(t, devices)
	wantQuiet(t, devices...)
}

// Nobody resurrects a row: not a device that was away for a year, not a file that was gone and comes back, not a newcomer.
func TestADeletedRowDoesNotComeBack(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO item VALUES ('x', 'start', 1), ('edited', 'start', 1)")
	settle(devices...)
	before := a.lastSegment()
	content, err := os.ReadFile(before)
	must(t, err)
	c.close()
	c.execAt(time.Now().AddDate(-1, 0, 0), "UPDATE item SET name = 'a year ago' WHERE id = 'edited'")
	b.exec("DELETE FROM item")
	settle(a, b)
	must(t, os.Remove(before))
	for _, d := range []*testDevice{b, a} {
		_ = d.trySync() // a misses its file
	}
	must(t, os.WriteFile(before, content, 0o600))
	c.open()
	settle(devices...)
	newcomer := newTestDevice(t, itemSchema)
	newcomer.join(a.folder, a.invite())
	devices = append(devices, newcomer)
	settle(devices...)
	wantEverywhere("0", "SELECT count(*) FROM item", devices...)
	list := c.conflicts()
	if len(list) != 1 || list[0].Loser.Values["name"] != "a year ago" || !list[0].Winner.Deleted {
		t.Errorf("conflicts %+v, want the edit that was overruled", list)
	}
}

// What is edited after it was deleted elsewhere is back with all of its columns, never as a part of a row.
func TestAnEditBringsTheWholeRowBack(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b := devices[0], devices[1]
	a.exec("INSERT INTO item VALUES ('x', 'start', 7)")
	settle(devices...)
	a.exec("DELETE FROM item")
	tick()
	b.exec("UPDATE item SET name = 'edited'")
	settle(devices...)
	wantEverywhere("edited 7", "SELECT name || ' ' || n FROM item", devices...)
	wantQuiet(t, devices...)
}

// A table is made anew while a row is held: what is compared is what it should show, so that nothing is sent for the held row,
// and nothing as its delete.
func TestNothingIsSentForHeldRowsAfterAMigration(t *testing.T) {
	t.Parallel()
	const columns = " (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE)"
	a, b := newPair(t, "CREATE TABLE person"+columns)
	a.exec("INSERT INTO person VALUES ('a', 'same@'), ('other', 'other@')")
	tick()
	b.exec("INSERT INTO person VALUES ('b', 'same@')")
	settle(a, b)
	made := len(a.segments()) + len(b.segments())
	for _, d := range []*testDevice{a, b} {
		d.exec("CREATE TABLE person_new" + columns + "; INSERT INTO person_new SELECT * FROM person; DROP TABLE person; ALTER TABLE person_new RENAME TO person")
	}
	settle(a, b)
	if after := len(a.segments()) + len(b.segments()); after != made {
		t.Errorf("%d segments were made", after-made)
	}
	wantEverywhere("b,other", "SELECT group_concat(id) FROM (SELECT id FROM person ORDER BY id)", a, b)
	b.exec("DELETE FROM person WHERE id = 'b'")
	settle(b, a)
	wantEverywhere("a,other", "SELECT group_concat(id) FROM (SELECT id FROM person ORDER BY id)", a, b)
	wantQuiet(t, a, b)
}

// Saving a form that nobody has changed is no edit: it overrules nobody, and nothing travels.
func TestSavingARowAsItWasOverrulesNobody(t *testing.T) {
	t.Parallel()
	for _, save := range []string{
		"UPDATE item SET name = name",
		"UPDATE item SET name = 'start', n = 1 WHERE id = 'x'",
		"REPLACE INTO item VALUES ('x', 'start', 1)",
		"DELETE FROM item; INSERT INTO item VALUES ('x', 'start', 1)",
		"INSERT INTO item VALUES ('x', 'start', 1) ON CONFLICT DO UPDATE SET name = excluded.name",
	} {
		a, b := newPair(t, itemSchema)
		a.exec("INSERT INTO item VALUES ('x', 'start', 1)")
		settle(a, b)
		made := len(b.segments())
		a.exec("UPDATE item SET name = 'real'")
		tick()
		b.exec(save)
		settle(b, a)
		wantEverywhere("real", "SELECT name FROM item", a, b)
		if len(b.segments()) != made || len(a.conflicts())+len(b.conflicts()) != 0 {
			t.Errorf("%s: %d segments, conflicts %+v", save, len(b.segments())-made, append(a.conflicts(), b.conflicts()...))
		}
	}
}

// A transfer between two accounts is seen on the other device as a whole or not at all, also while its file is half-delivered.
func TestATransactionIsWholeOrAbsent(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE account (id TEXT PRIMARY KEY NOT NULL, cents INTEGER, pad BLOB)")
	a.exec("INSERT INTO account VALUES ('one', 1000, ''), ('two', 0, '')")
	settle(a, b)
	for i := range 20 {
		tx, err := a.db.Begin()
		must(t, err)
		for _, move := range []string{"UPDATE account SET cents = cents - 7 WHERE id = 'one'", "UPDATE account SET cents = cents + 7 WHERE id = 'two'"} {
			_, err := tx.Exec(move)
			must(t, err)
		}
		must(t, tx.Commit())
		a.sync()
		path := a.lastSegment()
		whole, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, whole[:len(whole)*(i+1)/25], 0o600)) // half-delivered
		_ = b.trySync()
		b.wantValue("1000", "SELECT sum(cents) FROM account")
		b.wantValue(fmt.Sprint(7*i), "SELECT cents FROM account WHERE id = 'two'")
		must(t, os.WriteFile(path, whole, 0o600))
		b.sync()
		b.wantValue(fmt.Sprint(7*i+7), "SELECT cents FROM account WHERE id = 'two'")
	}
}

// A device was lost for good, with what it had read and what it had not published. The others go on as without it.
func TestADeviceThatNeverReturnsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, lost := devices[0], devices[1], devices[2]
	lost.exec("INSERT INTO item VALUES ('published', 'lost', 1)")
	settle(devices...)
	head := filepath.Join(lost.directory(), "head")
	lost.close()
	lost.exec("INSERT INTO item VALUES ('unpublished', 'lost', 1)")
	must(t, os.Remove(head))
	a.exec("UPDATE item SET name = 'a'")
	settle(a, b)
	b.exec("INSERT INTO item VALUES ('new', 'b', 1)")
	settle(a, b)
	newcomer := newTestDevice(t, itemSchema)
	newcomer.join(a.folder, a.invite())
	settle(a, b, newcomer)
	wantSame(t, []*testDevice{a, b, newcomer})
	wantEverywhere("a,b", "SELECT group_concat(name) FROM (SELECT name FROM item ORDER BY name)", a, b, newcomer)
	for _, d := range []*testDevice{a, b, newcomer} {
		d.wantHealthy()
	}
}
