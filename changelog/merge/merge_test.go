package merge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// permutations calls fn with every order of the items.
func permutations[T any](items []T, fn func([]T)) {
	var rest func(done, left []T)
	rest = func(done, left []T) {
		if len(left) == 0 {
			fn(done)
		}
		for i, item := range left {
			rest(append(slices.Clone(done), item), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	rest(nil, items)
}

// deliver merges batches in this order, but for the device's own.
func (d *device) deliver(batches ...*changelog.Batch) {
	d.t.Helper()
	for _, batch := range batches {
		if batch.Device != d.id {
			d.apply(batch)
		}
	}
}

// at runs a statement of the app at a time of the device's clock.
func (d *device) at(now int64, query string, args ...any) {
	d.t.Helper()
	d.now = now
	d.exec(query, args...)
}

func TestSameMailOnThreeDevices(t *testing.T) {
	const schema = "CREATE TABLE person (id TEXT PRIMARY KEY, mail TEXT UNIQUE)"
	permutations([]int{0, 1, 2}, func(order []int) {
		var devices []*device
		var batches []*changelog.Batch
		for i, name := range []string{"a", "b", "c"} {
			d := newDevice(t, name, schema)
			d.at(int64(10+i), "INSERT INTO person VALUES (?, 'me@example.org')", name)
			devices, batches = append(devices, d), append(batches, d.fold())
		}
		devices = append(devices, newDevice(t, "d", schema))
		for _, d := range devices {
			for _, i := range order {
				d.deliver(batches[i])
			}
			d.expect("SELECT * FROM person ORDER BY id", `"c" "me@example.org"`)
			const reason = ": UNIQUE constraint failed: person.mail"
			if got, want := d.held(), []string{`person "a"` + reason, `person "b"` + reason}; !slices.Equal(got, want) {
				t.Errorf("in the order %v device %s holds %q, want %q", order, d.id, got, want)
			}
		}
		// The newest goes, by a local delete: the next shows, on its device and on the others.
		c := devices[2]
		c.at(20, "DELETE FROM person")
		gone := c.fold()
		for _, d := range devices {
			d.deliver(gone)
			d.expect("SELECT * FROM person ORDER BY id", `"b" "me@example.org"`)
		}
		// It goes by a change of its value: the last shows too.
		b := devices[1]
		b.at(21, "UPDATE person SET mail = 'b@example.org'")
		moved := b.fold()
		for _, d := range devices {
			d.deliver(moved)
			d.expect("SELECT * FROM person ORDER BY id", `"a" "me@example.org"`, `"b" "b@example.org"`)
			if held := d.held(); len(held) > 0 {
				t.Errorf("device %s still holds %q", d.id, held)
			}
			if d.fold() != nil {
				t.Errorf("device %s echoes", d.id)
			}
		}
	})
}

func TestSwapOfUniqueValues(t *testing.T) {
	const schema = "CREATE TABLE item (id INTEGER PRIMARY KEY, position INTEGER NOT NULL UNIQUE)"
	for name, swap := range map[string]string{
		"two":   "UPDATE item SET position = -1 WHERE id = 1; UPDATE item SET position = 1 WHERE id = 2; UPDATE item SET position = 2 WHERE id = 1",
		"three": "UPDATE item SET position = -position; UPDATE item SET position = -position % 3 + 1",
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
			a.exec("INSERT INTO item VALUES (1, 1), (2, 2), (3, 3)")
			b.deliver(a.fold())
			a.exec(swap)
			b.deliver(a.fold())
			b.expect("SELECT * FROM item", a.rows("SELECT * FROM item")...)
			if held := b.held(); len(held) > 0 {
				t.Errorf("holds %q", held)
			}
		})
	}
}

// A row that breaks its own rules claims nothing, even where it would be the newest to claim a unique value.
func TestHeldRowClaimsNothing(t *testing.T) {
	const strict = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT, n INTEGER NOT NULL, UNIQUE (u))"
	const loose = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT, n INTEGER)"
	a, b := newDevice(t, "a", strict), newDevice(t, "b", loose)
	a.at(10, "INSERT INTO t VALUES (1, 'x', 1)")
	b.at(20, "INSERT INTO t VALUES (2, 'x', NULL)")
	late := b.fold()
	a.fold()
	a.deliver(late)
	a.expect("SELECT * FROM t", `1 "x" 1`)
	a.at(30, "INSERT INTO t VALUES (3, 'y', 1)")
	a.fold() // settles
	a.expect("SELECT * FROM t", `1 "x" 1`, `3 "y" 1`)
	if got, want := a.held(), []string{"t 2: NOT NULL constraint failed: t.n"}; !slices.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
	b.at(40, "UPDATE t SET n = 5")
	a.deliver(b.fold())
	a.expect("SELECT * FROM t", `2 "x" 5`, `3 "y" 1`)
}

// What the constraints of a table do on a conflict is for the app's own writes.
func TestConflictClausesOfConstraints(t *testing.T) {
	for _, clause := range []string{"REPLACE", "IGNORE", "ROLLBACK", "FAIL", "ABORT"} {
		t.Run(clause, func(t *testing.T) {
			schema := strings.ReplaceAll(`CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT ?, u TEXT UNIQUE ON CONFLICT ?,
				n INTEGER NOT NULL ON CONFLICT ? DEFAULT 7)`, "?", clause)
			a, b := newDevice(t, "a", schema), newDevice(t, "b", strings.Replace(schema, "NOT NULL ON CONFLICT "+clause, "", 1))
			a.at(20, "INSERT INTO t VALUES (1, 'x', 1)")
			b.at(10, "INSERT INTO t VALUES (2, 'x', 2), (3, 'y', 3), (4, 'z', NULL)")
			newer, older := a.fold(), b.fold()
			a.deliver(older)
			a.expect("SELECT * FROM t", `1 "x" 1`, `3 "y" 3`)
			b.deliver(newer)
			b.expect("SELECT * FROM t", `1 "x" 1`, `3 "y" 3`, `4 "z" NULL`)
			if got := len(a.held()); got != 2 {
				t.Errorf("a holds %d rows, want 2", got)
			}
			a.at(30, "DELETE FROM t WHERE id = 1")
			b.deliver(a.fold())
			b.expect("SELECT * FROM t", `2 "x" 2`, `3 "y" 3`, `4 "z" NULL`)
		})
	}
}

func TestTableThatComesLater(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b")
	a.at(10, "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 1), (3, 'z', 1)")
	first := a.fold()
	a.at(20, "UPDATE t SET a = 2 WHERE id = 2; DELETE FROM t WHERE id = 3")
	second := a.fold()
	b.deliver(second, first)
	const reason = ": there is no such table that takes part in sync"
	if got, want := b.held(), []string{"t 1" + reason, "t 2" + reason}; !slices.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
	b.restart()
	b.exec(schema)
	b.schemaChanged()
	b.expect("SELECT * FROM t", `1 "x" 1`, `2 "y" 2`)
	if held := b.held(); len(held) > 0 {
		t.Errorf("still holds %q", held)
	}
	b.deliver(first, second)
	b.expect("SELECT * FROM t", `1 "x" 1`, `2 "y" 2`)
	if b.fold() != nil {
		t.Error("echo")
	}
	b.integrity()
}

// The app makes the table and writes into it before the engine sees it: rows that lose are kept.
func TestTableThatComesLaterWithRows(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b")
	a.at(10, "INSERT INTO t VALUES (1, 'a')")
	b.deliver(a.fold())
	b.exec(schema + "; INSERT INTO t VALUES (1, 'b'), (2, 'b')")
	b.schemaChanged()
	b.expect("SELECT * FROM t", `1 "a"`, `2 "b"`)
	conflicts := b.conflicts()
	if len(conflicts) != 1 || conflicts[0].Loser.Values[0] != "b" || conflicts[0].Winner.Values[0] != "a" {
		t.Errorf("recorded %+v, want the loss of b's row 1", conflicts)
	}
	a.deliver(b.baseline())
	a.expect("SELECT * FROM t", `1 "a"`, `2 "b"`)
}

// A table with another key has other rows, even if the values of the keys are equal.
func TestTableWithAnotherKey(t *testing.T) {
	a := newDevice(t, "a", "CREATE TABLE t (uid INTEGER PRIMARY KEY, u TEXT UNIQUE, a)")
	b := newDevice(t, "b", "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a)")
	a.at(10, "INSERT INTO t VALUES (1, 'x', 'a'), (2, 'y', 'a')")
	b.at(20, "INSERT INTO t VALUES (1, 'x', 'b')")
	b.fold()
	foreign := a.fold()
	b.deliver(foreign)
	b.at(30, "UPDATE t SET a = 'c'")
	b.fold()
	b.expect("SELECT * FROM t", `1 "x" "c"`)
	const reason = ": the table has another key"
	if got, want := b.held(), []string{"t 1" + reason, "t 2" + reason}; !slices.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
	// The app's next version renames the key: the rows go on under the new name, and meet those that were held.
	b.at(40, "INSERT INTO t VALUES (3, 'z', 'b')")
	b.exec("ALTER TABLE t RENAME COLUMN id TO uid")
	b.schemaChanged()
	b.expect("SELECT * FROM t", `1 "x" "c"`, `2 "y" "a"`, `3 "z" "b"`)
	if conflicts := b.conflicts(); len(conflicts) != 1 || values(&conflicts[0].Loser) != `"a" "x"` {
		t.Errorf("recorded %+v, want the loss of a's row 1", conflicts)
	}
	b.baseline()
	a.deliver(b.made...)
	a.expect("SELECT * FROM t", b.rows("SELECT * FROM t")...)
}

func TestKeyOfAnotherType(t *testing.T) {
	a := newDevice(t, "a", "CREATE TABLE t (id TEXT PRIMARY KEY, a, u UNIQUE)")
	a.at(10, "INSERT INTO t VALUES ('1', 'old', 1), ('x', 'old', 2)")
	first := a.fold()
	a.at(20, "UPDATE t SET a = 'new'")
	second := a.fold()
	permutations([]*changelog.Batch{first, second}, func(order []*changelog.Batch) {
		for _, schema := range []string{"CREATE TABLE t (id INT PRIMARY KEY, a ANY, u UNIQUE)", "CREATE TABLE t (id INTEGER PRIMARY KEY, a ANY, u UNIQUE)",
			"CREATE TABLE t (id INT PRIMARY KEY, a ANY, u ANY UNIQUE) STRICT", "CREATE TABLE t (id REAL PRIMARY KEY, a ANY, u UNIQUE)"} {
			b := newDevice(t, "b", schema)
			b.at(5, "INSERT INTO t VALUES (1, 'mine', 3)")
			b.fold()
			b.deliver(order...)
			b.restart()
			b.at(6, "UPDATE t SET u = 4 WHERE id = 1")
			b.fold()
			for _, line := range b.rows("SELECT * FROM t") {
				if strings.Contains(line, "old") {
					t.Errorf("%s shows %s", schema, line)
				}
			}
			b.expect("SELECT a FROM t WHERE id = 1", `"mine"`)
			b.expect("SELECT count(*) FROM t", fmt.Sprint(3-len(b.held())))
		}
	})
}

// A compacted range may name a row more than once.
func TestRowTwiceInABatch(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
	a := newDevice(t, "a", schema)
	var changes []changelog.Change
	for i, write := range []string{"INSERT INTO t VALUES (1, 'x'), (2, 'x')", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (1, 'y')", "UPDATE t SET a = 'z'"} {
		a.at(int64(10+i), write)
		changes = append(changes, a.fold().Changes...)
	}
	permutations(changes[1:], func(order []changelog.Change) {
		b := newDevice(t, "b", schema)
		b.deliver(&changelog.Batch{Device: a.id, Number: a.number, Changes: append(order, changes[0])})
		b.expect("SELECT * FROM t", a.rows("SELECT * FROM t")...)
		if len(b.conflicts()) > 0 {
			t.Errorf("conflicts in %s", described(order))
		}
	})
}

func TestReinsertAfterDelete(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
	a := newDevice(t, "a", schema)
	a.at(10, "INSERT INTO t VALUES (1, 'old')")
	put := a.fold()
	a.at(20, "DELETE FROM t")
	gone := a.fold()
	a.at(5, "INSERT INTO t VALUES (1, 'new')")
	again := a.fold()
	if birth := again.Changes[0].Birth; birth != again.Changes[0].Stamp || birth.Time != 21 {
		t.Errorf("the second life begins with %v", birth)
	}
	permutations([]*changelog.Batch{put, gone, again}, func(order []*changelog.Batch) {
		b := newDevice(t, "b", schema)
		for i, batch := range order {
			b.deliver(batch)
			if slices.Contains(order[:i+1], again) {
				b.expect("SELECT * FROM t", `1 "new"`)
			} else if slices.Contains(order[:i+1], gone) {
				b.expect("SELECT * FROM t")
			}
		}
	})
}

// Old apps do not know column c. Under a rule "the newer row wins", the order of arrival would decide about c (D12).
func TestColumnsThatOldAppsDoNotKnow(t *testing.T) {
	const oldSchema, newSchema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "CREATE TABLE t (id INTEGER PRIMARY KEY, a, c TEXT DEFAULT 'none')"
	author := newDevice(t, "n", newSchema)
	author.at(10, "INSERT INTO t VALUES (1, 'first', 'kept')")
	first := author.fold()
	old := newDevice(t, "o", oldSchema)
	old.deliver(first)
	old.at(20, "UPDATE t SET a = 'second'")
	second := old.fold()
	old.at(30, "DELETE FROM t")
	gone := old.fold()
	old.at(40, "INSERT INTO t VALUES (1, 'third')")
	third := old.fold()
	for _, test := range []struct {
		name    string
		batches []*changelog.Batch
		want    string
	}{
		{"put and put", []*changelog.Batch{first, second}, `1 "second" "kept"`},
		{"put, delete and put", []*changelog.Batch{first, gone, third}, `1 "third" "none"`},
		{"all", []*changelog.Batch{first, second, gone, third}, `1 "third" "none"`},
		{"without a delete", []*changelog.Batch{first, second, third}, `1 "third" "kept"`},
	} {
		permutations(test.batches, func(order []*changelog.Batch) {
			d, grown := newDevice(t, "d", newSchema), newDevice(t, "g", oldSchema)
			d.deliver(order...)
			d.expect("SELECT * FROM t", test.want)
			grown.deliver(order...)
			grown.expect("SELECT id, a FROM t", strings.Join(strings.Fields(test.want)[:2], " "))
			grown.exec("ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'none'")
			grown.schemaChanged()
			grown.expect("SELECT * FROM t", test.want)
			if grown.fold() != nil {
				t.Errorf("%s: echo", test.name)
			}
		})
	}
}

// An edit between the app's migration and the moment when the engine sees it leaves a value alone that its author could not
// see, or overrules it, which is recorded.
func TestEditBeforeKeptValuesShow(t *testing.T) {
	for _, test := range []struct {
		edit, want string
		lost       int
	}{
		{"UPDATE t SET a = 'b'", `1 "b" "precious"`, 0},
		{"UPDATE t SET a = 'b', c = 'mine'", `1 "b" "mine"`, 1},
	} {
		a := newDevice(t, "a", "CREATE TABLE t (id INTEGER PRIMARY KEY, a, c)")
		a.at(10, "INSERT INTO t VALUES (1, 'a', 'precious')")
		b := newDevice(t, "b", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
		b.deliver(a.fold())
		b.exec("ALTER TABLE t ADD COLUMN c")
		b.at(20, test.edit)
		folded, _ := b.schemaChanged()
		if folded == nil {
			t.Fatal("nothing was folded")
		}
		conflicts := b.conflicts()
		if len(conflicts) != test.lost || test.lost > 0 && !slices.Contains(conflicts[0].Loser.Values, changelog.Value("precious")) {
			t.Errorf("%s: recorded %+v, want %d lost", test.edit, conflicts, test.lost)
		}
		b.expect("SELECT * FROM t", test.want)
		a.deliver(folded)
		a.expect("SELECT * FROM t", test.want)
	}
}

// A column that was dropped here is no part of what is known of a row: nothing is invented in its place.
func TestDroppedColumn(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, c)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
	a.at(10, "INSERT INTO t VALUES (1, 'a', 'c')")
	first := a.fold()
	b.deliver(first)
	b.exec("ALTER TABLE t DROP COLUMN c")
	b.schemaChanged()
	a.at(20, "UPDATE t SET a = 'A'")
	second := a.fold()
	b.deliver(second, first)
	b.expect("SELECT * FROM t", `1 "A"`)
	b.at(30, "UPDATE t SET a = 'b'")
	a.deliver(b.fold())
	a.expect("SELECT * FROM t", `1 "b" "c"`)
	b.exec("ALTER TABLE t ADD COLUMN c")
	b.schemaChanged()
	b.expect("SELECT * FROM t", `1 "b" "c"`)
	b.deliver(first)
	if conflicts := b.conflicts(); len(conflicts) > 0 {
		t.Errorf("recorded %+v", conflicts)
	}
}

// The app's own triggers run in a merge only as far as they keep tables that are not synced.
func TestAppTriggers(t *testing.T) {
	const schema = `CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT, updated INTEGER DEFAULT 0);
		CREATE TABLE audit (id INTEGER PRIMARY KEY, note INTEGER, body TEXT);
		CREATE VIRTUAL TABLE search USING fts5 (body, content='note', content_rowid='id');
		CREATE TRIGGER stamp AFTER UPDATE OF body ON note BEGIN UPDATE note SET updated = updated + 1 WHERE id = NEW.id; END;
		CREATE TRIGGER log_insert AFTER INSERT ON note BEGIN INSERT INTO audit (note, body) VALUES (NEW.id, NEW.body); END;
		CREATE TRIGGER log_update AFTER UPDATE OF body ON note BEGIN INSERT INTO audit (note, body) VALUES (NEW.id, NEW.body); END;
		CREATE TRIGGER search_insert AFTER INSERT ON note BEGIN INSERT INTO search (rowid, body) VALUES (NEW.id, NEW.body); END;
		CREATE TRIGGER search_delete AFTER DELETE ON note BEGIN
			INSERT INTO search (search, rowid, body) VALUES ('delete', OLD.id, OLD.body); END;
		CREATE TRIGGER search_update AFTER UPDATE ON note BEGIN
			INSERT INTO search (search, rowid, body) VALUES ('delete', OLD.id, OLD.body);
			INSERT INTO search (rowid, body) VALUES (NEW.id, NEW.body); END;`
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
	for _, statement := range []string{
		"INSERT INTO note (body) VALUES ('bread and butter'), ('tea'), ('milk')",
		"UPDATE note SET body = 'bread and honey' WHERE id = 1",
		"DELETE FROM note WHERE id = 2",
	} {
		a.exec(statement)
		b.deliver(a.fold())
		for _, table := range []string{"note", "audit"} {
			b.expect("SELECT * FROM "+table, a.rows("SELECT * FROM "+table)...)
		}
		b.expect("SELECT count(*) FROM sqlitesync_log", "0")
		if echo := b.fold(); echo != nil {
			t.Errorf("after %s: echo of %s", statement, described(echo.Changes))
		}
	}
	b.expect("SELECT rowid FROM search WHERE search MATCH 'honey'", "1")
	b.expect("SELECT rowid FROM search WHERE search MATCH 'butter OR tea'")
	b.exec("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")
	b.expect("SELECT updated FROM note WHERE id = 1", "1")
}

// RAISE(ROLLBACK) in a trigger ends the transaction of the merge: what follows must not be committed bit by bit.
func TestTriggerThatRollsBack(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE u (id INTEGER PRIMARY KEY, a); CREATE VIRTUAL TABLE f USING fts5 (a);"
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema+`CREATE TRIGGER no BEFORE INSERT ON t WHEN NEW.id = 1 BEGIN
		INSERT INTO f SELECT RAISE(ROLLBACK, 'no'); END`)
	a.exec("INSERT INTO t VALUES (1, 1), (2, 2); INSERT INTO u VALUES (1, 1)")
	batch := a.fold()
	err := b.conn.Transact(context.Background(), changelog.Ordinary, func() error {
		_, err := merge.Apply(context.Background(), b.db, batch, true)
		return err
	})
	if err == nil {
		t.Error("the merge says that it went well")
	}
	b.expect("SELECT * FROM t")
	b.expect("SELECT * FROM u")
	b.expect("SELECT * FROM sqlitesync_clock_1")
	b.expect("SELECT * FROM sqlitesync_clock_2")
}

func TestConflicts(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)"
	for _, test := range []struct {
		name   string
		a, b   string // concurrent writes, that of b is the newer
		loser  string // its values, "" if there is no conflict
		winner string
	}{
		{"puts", "UPDATE t SET a = 'a'", "UPDATE t SET a = 'b'", `"a" 0`, `"b" 0`},
		{"put over delete", "DELETE FROM t", "UPDATE t SET a = 'b'", `deleted`, `"b" 0`},
		{"delete over put", "UPDATE t SET a = 'a'", "DELETE FROM t", `"a" 0`, `deleted`},
		{"equal puts", "UPDATE t SET a = 'x'", "UPDATE t SET a = 'x'", "", ""},
		{"deletes", "DELETE FROM t", "DELETE FROM t", "", ""},
		{"different columns", "UPDATE t SET a = 'a'", "UPDATE t SET b = 'b'", `"a" 0`, `0 "b"`},
		{"two rows with one key", "INSERT INTO t VALUES (2, 'a', 1)", "INSERT INTO t VALUES (2, 'b', 1)", `"a" 1`, `"b" 1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b, c := newDevice(t, "a", schema), newDevice(t, "b", schema), newDevice(t, "c", schema)
			a.at(1, "INSERT INTO t VALUES (1, 0, 0)")
			first := a.fold()
			b.deliver(first)
			c.deliver(first)
			a.at(10, test.a)
			older := a.fold()
			b.at(20, test.b)
			newer := b.fold()
			a.deliver(newer)
			b.deliver(older)
			c.deliver(older, newer)
			for _, d := range []*device{a, b, c} {
				conflicts := d.conflicts()
				if test.loser == "" {
					if len(conflicts) > 0 {
						t.Errorf("device %s recorded %+v", d.id, conflicts)
					}
					continue
				}
				if len(conflicts) != 1 {
					t.Errorf("device %s recorded %d conflicts, want 1", d.id, len(conflicts))
					continue
				}
				found := conflicts[0]
				if got := values(&found.Loser); got != test.loser || found.Loser.Stamp != older.Changes[0].Stamp {
					t.Errorf("device %s recorded the loser %s by %v", d.id, got, found.Loser.Stamp)
				}
				if got := values(&found.Winner); got != test.winner || found.Winner.Stamp != newer.Changes[0].Stamp {
					t.Errorf("device %s recorded the winner %s by %v", d.id, got, found.Winner.Stamp)
				}
				born := found.Winner.Birth == found.Loser.Birth
				if apart := test.name == "two rows with one key"; apart == born && test.winner != "deleted" && test.loser != "deleted" {
					t.Errorf("device %s recorded the births %v and %v", d.id, found.Winner.Birth, found.Loser.Birth)
				}
			}
			// An edit of what one sees is no conflict.
			a.at(30, "INSERT INTO t VALUES (1, 'z', 'z'), (2, 'z', 'z') ON CONFLICT DO UPDATE SET a = 'z'")
			last := a.fold()
			before := len(c.conflicts())
			c.deliver(last)
			if got := len(c.conflicts()); got != before {
				t.Errorf("an edit of what its author had seen was taken for a conflict: %d, before %d", got, before)
			}
		})
	}
}

func values(c *changelog.Change) string {
	if c.Shape.Kind == changelog.Delete {
		return "deleted"
	}
	return printedKey(c.Values)
}

// A local edit of a key whose winner was not shown puts that winner into the inbox.
func TestEditOfAHeldRow(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
	a.at(10, "INSERT INTO t VALUES (1, 'x')")
	b.at(20, "INSERT INTO t VALUES (2, 'x')")
	first := a.fold()
	b.fold()
	b.deliver(first)
	b.at(30, "INSERT INTO t VALUES (1, 'y')")
	b.fold()
	b.expect("SELECT * FROM t", `1 "y"`, `2 "x"`)
	if conflicts := b.conflicts(); len(conflicts) != 1 || values(&conflicts[0].Loser) != `"x"` || values(&conflicts[0].Winner) != `"y"` {
		t.Errorf("recorded %+v", conflicts)
	}
	if held := b.held(); len(held) > 0 {
		t.Errorf("still holds %q", held)
	}
}

// The log is folded in pages. What the app wrote to a row that a later page notes must survive the settling of an earlier one.
func TestFoldInPages(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)"
	for size := range 4 {
		a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
		a.at(300, "INSERT INTO t VALUES (2, 'x')")
		b.at(200, "INSERT INTO t VALUES (1, 'x')")
		a.at(10, "INSERT INTO t VALUES (3, 'y')")
		a.fold()
		a.deliver(b.fold()) // row 1 is held
		a.at(20, "DELETE FROM t WHERE id = 2; UPDATE t SET u = 'x' WHERE id = 3")
		a.pageSize = size
		a.fold()
		a.expect("SELECT * FROM t", `1 "x"`)
		b.deliver(a.made...)
		b.expect("SELECT * FROM t", `1 "x"`)
		b.at(1000, "DELETE FROM t WHERE id = 1")
		a.deliver(b.fold())
		for _, d := range []*device{a, b} {
			d.expect("SELECT * FROM t", `3 "x"`) // what the app wrote to row 3
		}
	}
}

// A baseline row that a merge takes out of sight before it was published is published all the same.
func TestBaselineTakenOutOfSight(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)"
	a := newDevice(t, "a", schema)
	b := newDevice(t, "b", schema+"; INSERT INTO t VALUES (2, 'x'), (3, 'y')")
	a.at(10, "INSERT INTO t VALUES (1, 'x')")
	b.deliver(a.fold())
	b.expect("SELECT * FROM t", `1 "x"`, `3 "y"`)
	b.restart()
	b.baseline()
	a.deliver(b.made...)
	a.at(20, "DELETE FROM t WHERE id = 1")
	b.deliver(a.fold())
	for _, d := range []*device{a, b} {
		d.expect("SELECT * FROM t", `2 "x"`, `3 "y"`)
	}
}

// Two databases had one mail address each under another key before they met: the stamps are equal, the greater key shows.
func TestBaselinesWithOneUniqueValue(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE);"
	a := newDevice(t, "a", schema+"INSERT INTO t VALUES (1, 'x'), (4, 'y')")
	b := newDevice(t, "b", schema+"INSERT INTO t VALUES (2, 'x'), (3, 'y')")
	c := newDevice(t, "c", schema)
	first, second := a.baseline(), b.baseline()
	a.deliver(second)
	b.deliver(first)
	c.deliver(second, first)
	for _, d := range []*device{a, b, c} {
		d.expect("SELECT * FROM t", `2 "x"`, `4 "y"`)
	}
}

func TestAppliedTwice(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
	a.at(10, "INSERT INTO t VALUES (1, 'x'), (2, 'y')")
	b.at(20, "INSERT INTO t VALUES (1, 'y')")
	batch := a.fold()
	b.fold()
	m := &member{device: b}
	b.deliver(batch)
	before := m.everything()
	for range 2 {
		b.deliver(batch)
	}
	if after := m.everything(); after != before {
		t.Errorf("changed\n%s\nto\n%s", before, after)
	}
}

// A merge that fails leaves nothing behind, in the database and in memory.
func TestFailedMerge(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
	a, b, c, d := newDevice(t, "a", schema), newDevice(t, "b", schema), newDevice(t, "c", schema), newDevice(t, "d", schema)
	a.at(10, "INSERT INTO t VALUES (1, 'a')")
	b.at(20, "INSERT INTO t VALUES (1, 'b')")
	c.at(30, "INSERT INTO t VALUES (1, 'c')")
	first, second, third := a.fold(), b.fold(), c.fold()
	failure := errors.New("disk full")
	err := d.conn.Transact(context.Background(), changelog.Ordinary, func() error {
		if _, err := merge.Apply(context.Background(), d.db, first, true); err != nil {
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	d.deliver(second, third, first)
	d.expect("SELECT * FROM t", `1 "c"`)
	d.restart()
	seen, err := d.db.Seen(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []*changelog.Batch{first, second, third} {
		if seen[batch.Device] != 1 {
			t.Errorf("has seen %d batches of %s", seen[batch.Device], batch.Device)
		}
	}
	for _, batch := range []*changelog.Batch{first, second, third} {
		d.deliver(batch)
	}
	d.expect("SELECT * FROM t", `1 "c"`)
	if got := len(d.conflicts()); got != 2 {
		t.Errorf("recorded %d conflicts, want 2", got)
	}
}

func TestOddTables(t *testing.T) {
	wide := make([]string, 1500)
	for i := range wide {
		wide[i] = fmt.Sprintf("c%d INTEGER DEFAULT %d", i, i)
	}
	for name, schema := range map[string]string{
		"excluded":    `CREATE TABLE excluded (id INTEGER PRIMARY KEY, a)`,
		"new":         `CREATE TABLE new (id INTEGER PRIMARY KEY, a UNIQUE)`,
		"old":         `CREATE TABLE "old" (id INTEGER PRIMARY KEY, a)`,
		"t":           `CREATE TABLE t (k0 TEXT DEFAULT 'k', id, a, PRIMARY KEY (id, k0)) WITHOUT ROWID`,
		"l":           `CREATE TABLE l (rowid TEXT PRIMARY KEY, id INT DEFAULT 1, a)`,
		`🙂 "x" 'y'`:   `CREATE TABLE "🙂 ""x"" 'y'" ("select" INTEGER PRIMARY KEY, id INT DEFAULT 3, a, "ü [x]" TEXT DEFAULT 'a''b', UNIQUE (a))`,
		"wide":        `CREATE TABLE wide (id INTEGER PRIMARY KEY, a, ` + strings.Join(wide, ", ") + `)`,
		"SQLiteMixed": `CREATE TABLE SQLiteMixed (ID INTEGER PRIMARY KEY, A)`,
		"partial":     `CREATE TABLE partial (id INTEGER PRIMARY KEY, a, "desc" AS (a || '!') STORED)`,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
			table := changelog.Quote(name)
			for i := range 40 {
				a.exec("INSERT INTO "+table+" ("+changelog.Quote(a.db.Tables[0].Key[0].Name)+", a) VALUES (?, ?)", fmt.Sprint(i), i)
			}
			b.deliver(a.fold())
			a.exec("UPDATE " + table + " SET a = -a")
			b.deliver(a.fold())
			a.exec("DELETE FROM " + table + " WHERE a = -1")
			b.deliver(a.fold())
			want := a.rows("SELECT * FROM " + table + " ORDER BY a")
			if len(want) < 1 {
				t.Fatal("no rows")
			}
			b.expect("SELECT * FROM "+table+" ORDER BY a", want...)
		})
	}
}

// A row that does not show when a column is renamed has its value under the new name when it does.
func TestRenamedColumnsOfHeldRows(t *testing.T) {
	for _, test := range []struct{ parent, column, rename, newer, gone string }{
		{"", "u TEXT UNIQUE", "v TO w", "2, 'x', 'newer'", "DELETE FROM t WHERE id = 2"},
		{"CREATE TABLE p (id TEXT PRIMARY KEY NOT NULL); INSERT INTO p VALUES ('z');", "u TEXT REFERENCES p ON DELETE CASCADE", "u TO w", "2, 'z', 'other'",
			"DELETE FROM t WHERE id = 2; INSERT INTO p VALUES ('x')"},
	} {
		schema := test.parent + "CREATE TABLE t (id INTEGER PRIMARY KEY, " + test.column + ", v)"
		a, b := newBound(t, "a", schema), newBound(t, "b", schema)
		a.at(5, "INSERT INTO t VALUES (7, 'z', 'shown')")
		a.fold()
		a.exec("PRAGMA foreign_keys = 0")
		a.at(10, "INSERT INTO t VALUES (1, 'x', 'older')")
		b.at(20, "INSERT INTO t VALUES ("+test.newer+")")
		exchange(a, b)
		if held := len(a.held()) + len(b.held()); held != 2 {
			t.Fatalf("%d rows are held", held)
		}
		for _, d := range []*device{a, b} {
			d.exec("ALTER TABLE t RENAME COLUMN " + test.rename)
			d.schemaChanged()
		}
		exchange(a, b)
		a.exec(test.gone)
		exchange(a, b)
		for _, d := range []*device{a, b} {
			d.expect("SELECT * FROM t", `1 "x" "older"`, `7 "z" "shown"`)
		}
	}
}

// A row that another device has written as it shows is newer from then on, also for the rows that come with it.
func TestTheSameRowComesWithARival(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema+"; CREATE UNIQUE INDEX i ON t (u)")
	b.at(10, "INSERT INTO t VALUES (1, 'x')")
	a.at(30, "INSERT INTO t VALUES (1, 'x')")
	a.at(20, "INSERT INTO t VALUES (2, 'x')")
	b.deliver(a.fold())
	b.expect("SELECT * FROM t", `1 "x"`)
	if held := b.held(); len(held) != 1 {
		t.Errorf("held: %q", held)
	}
}
