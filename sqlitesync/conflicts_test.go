package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestConflictsAreKeptByBothAuthors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		a, b          string // concurrent writes, b's the later one
		shows         string // name of row x at the end
		winner, loser any    // names; nil: deleted
		columns       []string
	}{
		{
			"edit against edit", "UPDATE item SET name = 'a', n = 5 WHERE id = 'x'", "UPDATE item SET name = 'b' WHERE id = 'x'",
			"b", "b", "a", []string{"n", "name"},
		},
		{
			"delete against edit", "DELETE FROM item WHERE id = 'x'", "UPDATE item SET name = 'b' WHERE id = 'x'",
			"b", "b", nil, nil,
		},
		{
			"edit against delete", "UPDATE item SET name = 'a' WHERE id = 'x'", "DELETE FROM item WHERE id = 'x'",
			"no row", nil, "a", nil,
		},
		{
			"replace against edit", "REPLACE INTO item VALUES ('x', 'a', 1)", "UPDATE item SET name = 'b' WHERE id = 'x'",
			"b", "b", "a", []string{"name"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			a.exec("INSERT INTO item VALUES ('x', 'start', 1)")
			settle(devices...)
			start := time.Now().Add(-time.Minute)
			a.exec(test.a)
			tick()
			b.exec(test.b)
			settle(devices...)
			wantSame(t, devices)
			c.wantValue(test.shows, "SELECT name FROM item WHERE id = 'x'")
			for _, d := range []*testDevice{a, b} {
				list := d.conflicts()
				if len(list) != 1 {
					t.Fatalf("%d conflicts, want 1", len(list))
				}
				got := list[0]
				if got.Table != "item" || fmt.Sprint(got.Key) != "[x]" || got.Collision || !slices.Equal(got.Columns, test.columns) {
					t.Errorf("conflict %+v", got)
				}
				if got.Winner.Values["name"] != test.winner || got.Loser.Values["name"] != test.loser ||
					got.Winner.Deleted != (test.winner == nil) || got.Loser.Deleted != (test.loser == nil) {
					t.Errorf("winner %+v, loser %+v", got.Winner, got.Loser)
				}
				if got.Winner.Device != b.id() || got.Loser.Device != a.id() || !got.Winner.Time.After(got.Loser.Time) || got.Loser.Time.Before(start) || got.Found.Before(start) {
					t.Errorf("authors or times: %+v", got)
				}
			}
			wantQuiet(t, devices...)
		})
	}
}

func TestWhatIsNoConflict(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		write func(a, b *testDevice)
	}{
		{"equal edits", func(a, b *testDevice) {
			a.exec("UPDATE item SET name = 'same'")
			b.exec("UPDATE item SET name = 'same'")
		}},
		{"equal rows made apart", func(a, b *testDevice) {
			a.exec("INSERT INTO item VALUES ('new', 'same', 1)")
			b.exec("INSERT INTO item VALUES ('new', 'same', 1)")
		}},
		{"both delete", func(a, b *testDevice) {
			a.exec("DELETE FROM item")
			b.exec("DELETE FROM item")
		}},
		{"one after the other", func(a, b *testDevice) {
			a.exec("UPDATE item SET name = 'a'")
			settle(a, b)
			b.exec("UPDATE item SET name = 'b'")
			settle(b, a)
			a.exec("UPDATE item SET name = 'a again'")
		}},
		{"saving what was there", func(a, b *testDevice) {
			a.exec("UPDATE item SET name = 'a'")
			b.exec("UPDATE item SET name = name")
		}},
		{"changing and changing back", func(a, b *testDevice) {
			a.exec("UPDATE item SET name = 'a'")
			b.exec("UPDATE item SET name = 'b'")
			b.exec("UPDATE item SET name = 'start'")
		}},
		{"different rows", func(a, b *testDevice) {
			a.exec("INSERT INTO item VALUES ('a', 'a', 1)")
			b.exec("INSERT INTO item VALUES ('b', 'b', 1)")
		}},
		{"made and deleted apart", func(a, b *testDevice) {
			a.exec("INSERT INTO item VALUES ('new', 'a', 1)")
			b.exec("INSERT INTO item VALUES ('new', 'b', 1)")
			b.exec("DELETE FROM item WHERE id = 'new'")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('x', 'start', 1)")
			settle(a, b)
			test.write(a, b)
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			for _, c := range append(a.conflicts(), b.conflicts()...) {
				t.Errorf("conflict %+v", c)
			}
			wantQuiet(t, a, b)
		})
	}
}

// A segment stands in the folder although publishing it failed, and others have read it. What they write then is no conflict, though
// publishing fails once more before it comes in.
func TestAnEditThatHasSeenWhatIsOutThoughPublishingFailed(t *testing.T) {
	t.Parallel()
	a, b, f := newFaultyPair(t)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	settle(a, b)
	a.exec("UPDATE item SET name = 'of a'")
	f.between(func(step string, perform func() error) error {
		if step == "sync "+a.id().String() { // the directory
			return fmt.Errorf("%s: %w", step, syscall.EIO)
		}
		return perform()
	})
	wantIs(t, a.trySync(), syscall.EIO)
	b.sync()
	b.wantValue("of a", "SELECT name FROM item")
	b.exec("UPDATE item SET name = 'of b'")
	b.sync()
	f.between(func(step string, perform func() error) error {
		if strings.HasPrefix(step, "sync ") {
			return fmt.Errorf("%s: %w", step, syscall.ENOSPC)
		}
		return perform()
	})
	wantIs(t, a.trySync(), syscall.ENOSPC)
	a.wantValue("of b", "SELECT name FROM item")
	f.between(nil)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	for _, d := range []*testDevice{a, b} {
		if c := d.conflicts(); len(c) > 0 {
			t.Errorf("conflicts %v between edits of which one has seen the other", c)
		}
		d.wantHealthy()
	}
}

func TestRowsThatWereGivenOneKeyAreACollision(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE task (id INTEGER PRIMARY KEY, name TEXT)"
	a, b := newPair(t, schema)
	a.exec("INSERT INTO task (name) VALUES ('of a')")
	tick()
	b.exec("INSERT INTO task (name) VALUES ('of b')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("of b", "SELECT name FROM task")
	for _, d := range []*testDevice{a, b} {
		list := d.conflicts()
		if len(list) != 1 || !list[0].Collision || list[0].Loser.Values["name"] != "of a" || list[0].Key[0] != int64(1) {
			t.Errorf("conflicts %+v, want a collision that keeps the row of a", list)
		}
	}
	// Two edits of the survivor are an edit conflict again.
	a.exec("UPDATE task SET name = 'a'")
	b.exec("UPDATE task SET name = 'b'")
	settle(a, b)
	if list := a.conflicts(); len(list) != 2 || list[1].Collision {
		t.Errorf("conflicts %+v", list)
	}
}

func TestResolveTakesTheLoserBackEverywhere(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, test := range []struct {
		name   string
		schema string
		a, b   string
		shows  string
	}{
		{"an edit", itemSchema, "UPDATE item SET name = 'a' WHERE id = 'x'", "UPDATE item SET name = 'b' WHERE id = 'x'", "a"},
		{"a row", itemSchema, "UPDATE item SET name = 'a' WHERE id = 'x'", "DELETE FROM item WHERE id = 'x'", "a"},
		{"a delete", itemSchema, "DELETE FROM item WHERE id = 'x'", "UPDATE item SET name = 'b' WHERE id = 'x'", "no row"},
		{
			"every class", "CREATE TABLE item (id BLOB, name TEXT, d DATE, b, PRIMARY KEY (id, name)) WITHOUT ROWID",
			"UPDATE item SET d = '2024-01-02', b = x'' WHERE id = 'x'", "UPDATE item SET d = '2030-01-02', b = 1.5 WHERE id = 'x'", "start",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, test.schema)
			a.exec("INSERT INTO item (id, name) VALUES ('x', 'start')")
			settle(a, b)
			a.exec(test.a)
			before := a.dump()
			tick()
			b.exec(test.b)
			settle(a, b)
			if a.dump() == before {
				t.Fatal("the later write has not won")
			}
			list := a.conflicts()
			if len(list) != 1 {
				t.Fatalf("%d conflicts, want 1", len(list))
			}
			must(t, a.syncer.Resolve(ctx, list[0].ID, TakeLoser))
			if after := a.dump(); after != before {
				t.Errorf("after Resolve the row is\n%s\nwant\n%s", after, before)
			}
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			b.wantValue(test.shows, "SELECT name FROM item")
			if len(a.conflicts()) != 0 {
				t.Error("the conflict is still listed")
			}
			wantText(t, a.syncer.Resolve(ctx, list[0].ID, TakeLoser), "no such conflict")

			// b recorded it too. Keeping what it shows writes nothing.
			list = b.conflicts()
			if len(list) != 1 {
				t.Fatalf("b has %d conflicts, want 1", len(list))
			}
			before = b.dump()
			must(t, b.syncer.Resolve(ctx, list[0].ID, KeepWinner))
			if b.dump() != before || len(b.conflicts()) != 0 {
				t.Error("KeepWinner changed the row, or kept the conflict")
			}
			wantQuiet(t, a, b)
		})
	}
}

func TestResolveRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'start', 1)")
	settle(a, b)
	a.exec("UPDATE item SET name = 'a'")
	b.exec("UPDATE item SET name = 'b'")
	settle(a, b)
	id := a.conflicts()[0].ID
	before := a.dump()
	for _, test := range []struct {
		keep Resolution
		says string
	}{
		{nil, "not known"},
		{choice(-1), "not known"},
		{choice(0), "not known"},
		{choice(3), "not known"},
		{TakeValues(map[string]any{"id": "y"}), `no column "id"`},
		{TakeValues(map[string]any{"name": "y", "nope": 1}), `no column "nope"`},
		{TakeValues(map[string]any{"name": "y", "n": func() {}}), "unsupported"},
		{BringBackAs(), "key of 1 columns"},
		{BringBackAs("y", "z"), "key of 1 columns"},
		{BringBackAs(nil), "contains NULL"},
		{BringBackAs("x"), "UNIQUE constraint failed"},
	} {
		wantText(t, a.syncer.Resolve(context.Background(), id, test.keep), test.says)
	}
	if len(a.conflicts()) != 1 || a.dump() != before {
		t.Error("the conflict is gone, or the row has changed")
	}
}

// A loop over conflicts may write to the database, and may be left.
func TestConflictsMayBeResolvedWhileTheyAreListed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	for i := range 250 {
		a.exec("INSERT INTO item VALUES (?, 'start', 1)", fmt.Sprint(i))
	}
	settle(a, b)
	a.exec("UPDATE item SET name = 'a'")
	tick()
	b.exec("UPDATE item SET name = 'b'")
	settle(a, b)
	if n := len(a.conflicts()); n != 250 {
		t.Fatalf("%d conflicts, want 250", n)
	}
	for range a.syncer.Conflicts(ctx) {
		break
	}
	for c, err := range a.syncer.Conflicts(ctx) {
		must(t, err)
		must(t, a.syncer.Resolve(ctx, c.ID, TakeLoser))
	}
	if n := len(a.conflicts()); n != 0 {
		t.Errorf("%d conflicts are left", n)
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("250", "SELECT count(*) FROM item WHERE name = 'a'")
	if n := len(b.conflicts()); n != 250 {
		t.Errorf("b has %d conflicts, want its own 250: taking a loser back is no conflict", n)
	}
}

// The winner that a device could not show is not lost when its row is written.
func TestAnEditOverAHeldRowKeepsTheHeldOne(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE)"
	a, b := newPair(t, schema)
	a.exec("INSERT INTO person VALUES ('a', 'x@')")
	tick()
	b.exec("INSERT INTO person VALUES ('b', 'x@')")
	settle(a, b)
	a.exec("INSERT INTO person VALUES ('a', 'other@')") // it does not show, so the key seems free
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	list := a.conflicts()
	if len(list) != 1 || list[0].Loser.Values["mail"] != "x@" || list[0].Winner.Values["mail"] != "other@" {
		t.Errorf("conflicts %+v, want the row that was held", list)
	}
}

func TestResolveWritesGivenValues(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const schema = "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, n INTEGER, b BLOB DEFAULT x'01')"
	for _, test := range []struct {
		name   string
		a, b   string // concurrent writes, b's the later one
		values map[string]any
		shows  string // name, n and b of row x
	}{
		{"over an edit", "UPDATE item SET name = 'a'", "UPDATE item SET name = 'b'", map[string]any{"NAME": "both", "b": []byte{}}, "both|1|"},
		{"columns that are not named stay", "UPDATE item SET name = 'a'", "UPDATE item SET name = 'b'", map[string]any{"n": nil}, "b||01"},
		{"over a row that was deleted", "UPDATE item SET name = 'a'", "DELETE FROM item", map[string]any{"name": "back"}, "back||01"},
		{"nothing", "UPDATE item SET name = 'a'", "UPDATE item SET name = 'b'", nil, "b|1|01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, schema)
			a.exec("INSERT INTO item (id, name, n) VALUES ('x', 'start', 1)")
			settle(a, b)
			a.exec(test.a)
			tick()
			b.exec(test.b)
			settle(a, b)
			must(t, a.syncer.Resolve(ctx, a.conflicts()[0].ID, TakeValues(test.values)))
			settle(a, b)
			wantEverywhere(test.shows, "SELECT name || '|' || ifnull(n, '') || '|' || hex(b) FROM item WHERE id = 'x'", a, b)
			if len(a.conflicts()) != 0 {
				t.Error("the conflict is still listed")
			}
			wantQuiet(t, a, b)
		})
	}
}

// A put of an app that does not know a column without a default can still be taken.
func TestTheLoserOfAnOldAppIsTakenBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT)")
	a.exec("INSERT INTO item VALUES ('x', 'start')")
	settle(a, b)
	a.exec("UPDATE item SET name = 'old app'")
	tick()
	b.exec("ALTER TABLE item ADD COLUMN n INTEGER NOT NULL DEFAULT 7")
	b.exec("UPDATE item SET name = 'new app', n = 8")
	settle(a, b)
	must(t, b.syncer.Resolve(context.Background(), b.conflicts()[0].ID, TakeLoser))
	b.wantValue("old app 8", "SELECT name || ' ' || n FROM item")
	settle(a, b)
	a.wantValue("old app", "SELECT name FROM item")
}

// Both devices had handed out the number; the older row comes back under another, and nothing of either is lost.
func TestARowThatCollidedComesBackUnderANewKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const schema = "CREATE TABLE task (id INTEGER PRIMARY KEY, name TEXT, mail TEXT UNIQUE)"
	devices := newSpace(t, schema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	for i, d := range devices {
		events := d.syncer.events.subscribe()
		defer d.syncer.events.unsubscribe(events)
		d.exec("INSERT INTO task (name, mail) VALUES (?, ?)", fmt.Sprint("of ", i), fmt.Sprint(i))
		tick()
	}
	settle(devices...)
	wantSame(t, devices)
	wantEverywhere("of 2", "SELECT name FROM task WHERE id = 1", devices...)
	for _, conflict := range c.conflicts() {
		if !conflict.Collision || conflict.Hint == "" {
			t.Errorf("conflict %+v is no collision, or has no hint", conflict)
		}
		number, err := strconv.Atoi(fmt.Sprint(conflict.Loser.Values["mail"]))
		must(t, err)
		must(t, c.syncer.Resolve(ctx, conflict.ID, BringBackAs(10+number)))
	}
	settle(c, a, b)
	wantSame(t, devices)
	wantEverywhere("1 of 2 2,10 of 0 0,11 of 1 1", "SELECT group_concat(id || ' ' || name || ' ' || mail) FROM task", devices...)
	if n := len(c.conflicts()); n != 0 {
		t.Errorf("%d conflicts are left", n)
	}
	wantQuiet(t, devices...)
}

func TestCollisionsAreReportedAsSuch(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE task (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE day (date TEXT PRIMARY KEY NOT NULL, name TEXT)"
	for _, test := range []struct {
		name                           string
		a, b                           string
		conflicts, collisions, warning int
	}{
		{"numbers", "INSERT INTO task (name) VALUES ('a')", "INSERT INTO task (name) VALUES ('b')", 1, 1, 1},
		{"keys with a meaning", "INSERT INTO day VALUES ('2026-01-01', 'a')", "INSERT INTO day VALUES ('2026-01-01', 'b')", 1, 1, 0},
		{"an edit", "UPDATE task SET name = 'a'", "UPDATE task SET name = 'b'", 1, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, schema)
			a.exec("INSERT INTO task VALUES (100, 'start')")
			settle(a, b)
			events := b.syncer.events.subscribe()
			a.exec(test.a)
			b.exec(test.b)
			settle(a, b)
			status := b.syncer.Status()
			if status.Conflicts != test.conflicts || status.Collisions != test.collisions || len(status.Warnings) != test.warning {
				t.Errorf("status counts %d conflicts, %d collisions, and warns %q", status.Conflicts, status.Collisions, status.Warnings)
			}
			told := 0
			for event, ok := events.take(); ok; event, ok = events.take() {
				if event.Kind == EventConflict && event.Count == test.conflicts && event.Collisions == test.collisions {
					told++
				}
			}
			if told != 1 {
				t.Errorf("%d events tell of it, want 1", told)
			}
			b.reopen()
			if status := b.syncer.Status(); status.Conflicts != test.conflicts || status.Collisions != test.collisions {
				t.Errorf("after a restart status counts %d conflicts, %d collisions", status.Conflicts, status.Collisions)
			}
			must(t, b.syncer.Resolve(context.Background(), b.conflicts()[0].ID, KeepWinner))
			if status := b.syncer.Status(); status.Conflicts != 0 || status.Collisions != 0 {
				t.Errorf("resolved, and status counts %d conflicts, %d collisions", status.Conflicts, status.Collisions)
			}
		})
	}
}

// The inbox forgets what was there for 90 days on which a pass ran, whatever the clock does.
func TestTheInboxForgets(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	day := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	b.environment.Wall = func() time.Time { return day }
	b.reopen()
	b.sync()
	a.exec("INSERT INTO item VALUES ('x', 'a', 1)")
	b.exec("INSERT INTO item VALUES ('x', 'b', 1)")
	settle(a, b)
	nextDay := func() {
		day = day.AddDate(0, 0, 1)
		b.syncer.pruned = time.Time{} // the date is looked at every ten minutes
		b.sync()
	}
	day = day.AddDate(100, 0, 0)
	for range keepDays + 1 { // the day on which it was found is not counted
		if len(b.conflicts()) != 1 {
			t.Fatalf("on %v the conflict is forgotten", day)
		}
		nextDay()
	}
	if status := b.syncer.Status(); len(b.conflicts()) != 0 || status.Conflicts != 0 {
		t.Errorf("after %d days the conflict is still there; status counts %d", keepDays, status.Conflicts)
	}
}

// Another program reads conflicts and held rows with SQL, and writes what was lost back.
func TestTheInboxIsReadWithNothingButSQLite(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("there is no sqlite3 on this machine: ", err)
	}
	a, b := newPair(t, "CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE, n REAL)")
	a.exec("INSERT INTO person VALUES ('x', 'x@', 1), ('y', 'y@', 1)")
	settle(a, b)
	a.exec("UPDATE person SET n = 2.5 WHERE id = 'x'")
	a.exec("INSERT INTO person VALUES ('a', 'same@', 1)")
	tick()
	b.exec("UPDATE person SET n = 3 WHERE id = 'x'")
	b.exec("INSERT INTO person VALUES ('b', 'same@', 1)")
	settle(a, b)
	b.close()
	for script, want := range map[string]string{
		"SELECT table_name, row_key, winner_values, loser_values, differs, collision FROM sqlitesync_conflicts":     `person|{"id":"x"}|{"mail":"x@","n":3.0}|{"mail":"x@","n":2.5}|["n"]|0`,
		`SELECT table_name, row_key, reason, "values" FROM sqlitesync_held`:                                         `person|{"id":"a"}|UNIQUE constraint failed: person.mail|{"mail":"same@","n":1.0}`,
		"UPDATE person SET n = (SELECT json_extract(loser_values, '$.n') FROM sqlitesync_conflicts) WHERE id = 'x'": "",
	} {
		output, err := exec.Command(shell, "-bail", b.path, script).CombinedOutput()
		if err != nil || strings.TrimSpace(string(output)) != want {
			t.Errorf("%s: %v, %s, want %s", script, err, output, want)
		}
	}
	b.open()
	settle(b, a)
	a.wantValue("2.5", "SELECT n FROM person WHERE id = 'x'")
}

// The table got another name since, and the other app too: what was lost is taken back under the new one.
func TestAConflictOfARenamedTableIsResolved(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'start', 1)")
	settle(a, b)
	a.exec("UPDATE item SET name = 'a'")
	tick()
	b.exec("UPDATE item SET name = 'b'")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.exec("ALTER TABLE item RENAME TO thing; ALTER TABLE thing RENAME COLUMN id TO uid")
	}
	settle(a, b)
	settle(a, b)
	list := a.conflicts()
	if len(list) != 1 || list[0].Table != "thing" {
		t.Fatalf("conflicts %+v, want one of thing", list)
	}
	must(t, a.syncer.Resolve(context.Background(), list[0].ID, TakeLoser))
	settle(a, b)
	wantEverywhere("x a", "SELECT uid || ' ' || name FROM thing", a, b)
	wantQuiet(t, a, b)
}

// A trigger that passes over what Resolve writes does not make it forget the loser.
func TestResolveThatATriggerPassesOver(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, trigger, a, b string // b's write wins
		how                 Resolution
	}{
		{"the loser's row", "BEFORE INSERT ON item WHEN NEW.id <> 'y'", "UPDATE item SET name = 'lost'", "DELETE FROM item WHERE id = 'x'", TakeLoser},
		{"given values", "BEFORE INSERT ON item WHEN NEW.id <> 'y'", "UPDATE item SET name = 'lost'", "DELETE FROM item WHERE id = 'x'", TakeValues(map[string]any{"name": "given"})},
		{"another key", "BEFORE INSERT ON item WHEN NEW.id <> 'y'", "UPDATE item SET name = 'lost'", "DELETE FROM item WHERE id = 'x'", BringBackAs("z")},
		{"the loser's delete", "BEFORE DELETE ON item WHEN OLD.name = 'kept'", "DELETE FROM item WHERE id = 'x'", "UPDATE item SET name = 'kept'", TakeLoser},
		{"over a row", "BEFORE UPDATE ON item WHEN NEW.name = 'lost'", "UPDATE item SET name = 'lost'", "UPDATE item SET name = 'kept'", TakeLoser},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('x', 'start', 1)")
			settle(a, b)
			a.exec(test.a)
			tick()
			b.exec(test.b)
			settle(a, b)
			a.exec("CREATE TRIGGER guard " + test.trigger + " BEGIN SELECT RAISE(IGNORE); END")
			before := a.rows("item")
			id := a.conflicts()[0].ID
			if err := a.syncer.Resolve(t.Context(), id, test.how); err == nil {
				t.Error("no error")
			}
			if list := a.conflicts(); len(list) != 1 || list[0].ID != id || a.syncer.Status().Conflicts != 1 {
				t.Errorf("conflicts %+v", list)
			}
			if after := a.rows("item"); !slices.Equal(before, after) {
				t.Errorf("rows %q, want %q", after, before)
			}
			a.exec("DROP TRIGGER guard")
			must(t, a.syncer.Resolve(t.Context(), id, test.how))
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
		})
	}
	a, b := newPair(t, "CREATE TABLE item (id TEXT PRIMARY KEY, name TEXT)") // a key may be NULL
	a.exec("INSERT INTO item VALUES ('x', 'start')")
	settle(a, b)
	a.exec("UPDATE item SET name = 'lost'")
	tick()
	b.exec("UPDATE item SET name = 'kept'")
	settle(a, b)
	err := a.syncer.Resolve(t.Context(), a.conflicts()[0].ID, BringBackAs(sql.NullString{}))
	if err == nil || len(a.conflicts()) != 1 {
		t.Errorf("%v: the row stays here, and its conflict is forgotten", err)
	}
}

// What a column had goes to the column that has another name since.
func TestResolveWritesRenamedColumns(t *testing.T) {
	t.Parallel()
	for _, synced := range []bool{false, true} {
		a, b := newPair(t, itemSchema)
		a.exec("INSERT INTO item VALUES ('x', 'start', 1), ('y', 'start', 1)")
		settle(a, b)
		a.exec("UPDATE item SET name = 'lost' || id, n = 2")
		tick()
		b.exec("UPDATE item SET name = 'kept'")
		settle(a, b)
		a.exec("ALTER TABLE item RENAME COLUMN name TO title")
		if synced {
			a.sync()
		}
		list := a.conflicts()
		must(t, a.syncer.Resolve(t.Context(), list[0].ID, TakeLoser))
		must(t, a.syncer.Resolve(t.Context(), list[1].ID, BringBackAs("z")))
		a.wantValue("xlostx2, ykept1, zlosty2", "SELECT group_concat(id || title || n, ', ') FROM (SELECT * FROM item ORDER BY id)")
	}
}

// The app's own handle waits for the write lock as long as the app has told it to, and then the error says what is to be done.
func TestResolveBesideALockThatIsNotReleased(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'first', 1)")
	settle(a, b)
	a.exec("UPDATE item SET name = 'of a'")
	tick()
	b.exec("UPDATE item SET name = 'of b'")
	settle(a, b)
	settle(a, b)
	lost := a.conflicts()
	if len(lost) != 1 {
		t.Fatalf("%d conflicts, want 1", len(lost))
	}
	must(t, a.syncer.Close())
	hasty, err := sql.Open("sqlite", a.path)
	must(t, err)
	t.Cleanup(func() { hasty.Close() })
	a.syncer, err = Open(a.context(), hasty, a.folder, &a.options)
	must(t, err)
	tx, err := a.db.Begin() // it takes the write lock
	must(t, err)
	wantText(t, a.syncer.Resolve(t.Context(), lost[0].ID, TakeLoser), "end it, and try again")
	must(t, tx.Rollback())
	must(t, a.syncer.Resolve(t.Context(), lost[0].ID, TakeLoser))
	a.wantValue("of a", "SELECT name FROM item")
}
