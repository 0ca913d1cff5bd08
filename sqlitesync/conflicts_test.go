package sqlitesync

import (
	"context"
	"fmt"
	"slices"
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
	for _, keep := range []Resolution{-1, 0, 3, 99} {
		if err := a.syncer.Resolve(context.Background(), id, keep); err == nil {
			t.Errorf("Resolution %d was accepted", keep)
		}
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
