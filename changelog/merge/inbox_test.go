package merge_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// lost lists the conflicts as "loser < winner".
func (d *device) lost() (list []string) {
	d.t.Helper()
	for _, c := range d.conflicts() {
		list = append(list, values(&c.Loser)+" < "+values(&c.Winner))
	}
	return list
}

func (d *device) expectLost(want ...string) {
	d.t.Helper()
	if got := d.lost(); !slices.Equal(got, want) {
		d.t.Errorf("device %s keeps %q, want %q", d.id, got, want)
	}
}

// What only one of two apps knows is no contradiction: it shows whoever wins.
func TestBaselinesThatDifferOnlyInExtraColumns(t *testing.T) {
	for _, test := range []struct {
		rows string // of the old app
		lost int
	}{
		{"INSERT INTO t VALUES (1, 'a')", 0},
		{"INSERT INTO t VALUES (1, 'A')", 1},
	} {
		old := newDevice(t, "o", "CREATE TABLE t (id INTEGER PRIMARY KEY, a); "+test.rows)
		young := newDevice(t, "y", "CREATE TABLE t (id INTEGER PRIMARY KEY, a, extra); INSERT INTO t VALUES (1, 'a', 'x')")
		other := newDevice(t, "z", "CREATE TABLE t (id INTEGER PRIMARY KEY, a, extra)")
		first := old.baseline()
		young.deliver(first)
		young.baseline()
		old.deliver(young.made...)
		other.deliver(append(slices.Clone(young.made), first)...)
		for _, d := range []*device{old, young, other} {
			if got := len(d.conflicts()); got != test.lost {
				t.Errorf("%s: device %s records %d conflicts, want %d", test.rows, d.id, got, test.lost)
			}
		}
		other.expect("SELECT * FROM t", young.rows("SELECT * FROM t")...)
		old.expect("SELECT id, a FROM t", young.rows("SELECT id, a FROM t")...)
		young.expect("SELECT extra FROM t", `"x"`)
	}
}

// A row can be made of several changes. Each of them that is overruled unseen is kept, and not only the newest.
func TestEachVersionOfARowIsComparedWithWhatOverrulesIt(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)"
	a, b, c := newDevice(t, "a", schema), newDevice(t, "b", schema), newDevice(t, "c", schema)
	a.at(1, "INSERT INTO t VALUES (1, 'old', 'old')")
	first := a.fold()
	b.deliver(first)
	c.deliver(first)
	a.at(10, "UPDATE t SET a = 'of a'")
	edit := a.fold()
	migration := &changelog.Batch{Device: a.id, Number: 3, Seen: edit.Seen, Changes: []changelog.Change{{
		Shape: changelog.NewShape(changelog.Partial, "t", []string{"id"}, []string{"b"}), Key: changelog.Key{int64(1)},
		Values: []changelog.Value{"old"}, Stamp: changelog.Stamp{Time: 11, Device: a.id, Batch: 3}, Birth: first.Changes[0].Birth,
	}}}
	b.at(20, "UPDATE t SET a = 'of b'")
	c.deliver(edit, migration, b.fold())
	c.expectLost(`"of a" "old" < "of b" "old"`)
}

// A migration's change is no edit of a person: it contradicts no delete, and nothing that does not speak of its columns.
func TestAMigrationContradictsNoDelete(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)"
	for _, deleted := range []int64{5, 50} {
		a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
		a.at(1, "INSERT INTO t VALUES (1, 'x', 'x'), (2, 'x', 'x'), (3, 'x', 'x')")
		first := a.fold()
		b.deliver(first)
		migration := &changelog.Batch{Device: a.id, Number: 2, Seen: first.Seen}
		for id := range int64(3) {
			migration.Changes = append(migration.Changes, changelog.Change{
				Shape: changelog.NewShape(changelog.Partial, "t", []string{"id"}, []string{"b"}), Key: changelog.Key{id + 1},
				Values: []changelog.Value{"filled"}, Stamp: changelog.Stamp{Time: 10, Device: a.id, Batch: 2}, Birth: first.Changes[0].Birth,
			})
		}
		b.at(deleted, "DELETE FROM t WHERE id = 1; UPDATE t SET a = 'b' WHERE id = 2; UPDATE t SET b = 'b' WHERE id = 3")
		b.fold()
		b.deliver(migration)
		if deleted == 5 {
			b.expectLost(`"b" "x" < "filled"`, `"x" "b" < "filled"`)
		} else {
			b.expectLost(`"filled" < "b" "x"`, `"filled" < "x" "b"`)
		}
	}
}

// The views say with SQL alone what is in conflict and what is held, and which class each value is of.
func TestViews(t *testing.T) {
	const schema = `CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, w); CREATE TABLE u (a, b TEXT, m UNIQUE, n REAL, PRIMARY KEY (b, a)) WITHOUT ROWID`
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema+"; INSERT INTO t VALUES ('base', 1, 2)")
	base := b.baseline()
	a.deliver(base)
	for i, v := range []any{nil, int64(math.MinInt64), 1.0, math.Copysign(0, -1), math.Inf(1), 1e300, "a\"<\\\n\x00é", "\xff", []byte{}, []byte{0, 255}} {
		a.at(1000, "INSERT INTO t VALUES (?, ?, 'a')", fmt.Sprint(i), v)
		b.at(2000, "INSERT INTO t VALUES (?, ?, 'b')", fmt.Sprint(i), v)
	}
	a.at(1000, "DELETE FROM t WHERE id = 'base'")
	b.at(2000, "UPDATE t SET v = 5 WHERE id = 'base'")
	a.at(1000, "INSERT INTO u VALUES (1, 'k', 'same', 1.5)")
	b.at(2000, "INSERT INTO u VALUES (2, 'k', 'same', 2)")
	batch := a.fold()
	b.fold()
	b.deliver(batch)
	b.expect("SELECT row_key, winner_values, loser_values, differs, collision FROM sqlitesync_conflicts WHERE table_name = 't' ORDER BY row_key",
		printedAll(`{"id":"0"}`, `{"v":null,"w":"b"}`, `{"v":null,"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"1"}`, `{"v":-9223372036854775808,"w":"b"}`, `{"v":-9223372036854775808,"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"2"}`, `{"v":1.0,"w":"b"}`, `{"v":1.0,"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"3"}`, `{"v":-0.0,"w":"b"}`, `{"v":-0.0,"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"4"}`, `{"v":9e999,"w":"b"}`, `{"v":9e999,"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"5"}`, `{"v":1e+300,"w":"b"}`, `{"v":1e+300,"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"6"}`, `{"v":"a\"<\\\n\u0000é","w":"b"}`, `{"v":"a\"<\\\n\u0000é","w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"7"}`, `{"v":{"text":"ff"},"w":"b"}`, `{"v":{"text":"ff"},"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"8"}`, `{"v":{"blob":""},"w":"b"}`, `{"v":{"blob":""},"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"9"}`, `{"v":{"blob":"00ff"},"w":"b"}`, `{"v":{"blob":"00ff"},"w":"a"}`, `["w"]`, 1),
		printedAll(`{"id":"base"}`, `{"v":5,"w":2}`, nil, nil, 0))
	b.expect("SELECT DISTINCT winner_device, winner_time, loser_device, loser_time, length(found_time) FROM sqlitesync_conflicts",
		printedAll(b.id.String(), "1970-01-01 00:00:02.000", a.id.String(), "1970-01-01 00:00:01.000", 23))
	b.expect("SELECT * FROM sqlitesync_held",
		printedAll("u", `{"b":"k","a":1}`, "UNIQUE constraint failed: u.m", a.id.String(), "1970-01-01 00:00:01.000", `{"m":"same","n":1.5}`, 0))
	// SQLite's own JSON functions give the values back.
	b.expect(`SELECT typeof(json_extract(loser_values, '$.v')) FROM sqlitesync_conflicts WHERE table_name = 't' ORDER BY row_key LIMIT 7`,
		`"null"`, `"integer"`, `"real"`, `"real"`, `"real"`, `"real"`, `"text"`)
	b.expect(`SELECT json_extract(loser_values, '$.v') IS t.v FROM sqlitesync_conflicts JOIN t ON t.id = row_key ->> 'id'
		WHERE table_name = 't' AND t.id < '7' GROUP BY 1`, "1")
}

// printedAll prints values as device.rows does.
func printedAll(values ...any) string {
	var parts []string
	for _, v := range values {
		if n, isInt := v.(int); isInt {
			v = int64(n)
		}
		parts = append(parts, printed(v))
	}
	return strings.Join(parts, " ")
}

// collide makes n conflicts on d.
func (d *device) collide(n int) {
	d.t.Helper()
	other := newDevice(d.t, "o"+fmt.Sprint(d.rows("SELECT count(*) FROM t")), "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
	for range n {
		d.at(20, "INSERT INTO t (a) VALUES ('mine')")
	}
	d.fold()
	for _, id := range d.rows("SELECT id FROM t ORDER BY id DESC LIMIT " + fmt.Sprint(n)) {
		other.at(10, "INSERT INTO t VALUES ("+id+", 'theirs')")
	}
	d.deliver(other.fold())
}

func (d *device) ids() (ids []int64) {
	d.t.Helper()
	for _, c := range d.conflicts() {
		ids = append(ids, c.ID)
	}
	return ids
}

func (d *device) prune(date string, days, newest int) {
	d.t.Helper()
	d.transact(func(ctx context.Context) error { return merge.Prune(ctx, d.conn, date, days, newest) })
}

func TestConflictsAreKeptForDaysOfUse(t *testing.T) {
	d := newDevice(t, "d", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
	want := func(want ...int64) {
		t.Helper()
		if got := d.ids(); !slices.Equal(got, want) {
			t.Errorf("the inbox has the conflicts %d, want %d", got, want)
		}
	}
	d.prune("2026-01-01", 3, 100)
	d.collide(2)
	d.prune("2026-01-01", 3, 100)
	d.prune("2099-01-01", 3, 100) // a clock that jumps is one day
	d.prune("1970-01-01", 3, 100)
	d.collide(1)
	want(1, 2, 3)
	d.prune("2026-01-02", 3, 100)
	d.prune("2026-01-02", 3, 100) // and so is a day with many passes
	d.prune("2099-01-01", 3, 100)
	want(1, 2, 3)
	d.prune("2026-01-03", 3, 100)
	want(3)
	d.prune("2026-01-04", 3, 100)
	want(3)
	d.prune("2026-01-05", 3, 100)
	want()
	d.collide(3)
	want(4, 5, 6) // no id comes back
	d.prune("2026-01-05", 3, 2)
	want(5, 6)
	d.check(merge.Forget(context.Background(), d.conn.Exec, 6))
	d.collide(1)
	want(5, 7)
}

// A table and its key get other names: the conflicts go with them.
func TestConflictsOfARenamedTable(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
	a.at(10, "INSERT INTO t VALUES (1, 'a')")
	b.at(20, "INSERT INTO t VALUES (1, 'b')")
	batch := a.fold()
	b.fold()
	b.deliver(batch)
	b.exec("ALTER TABLE t RENAME TO note; ALTER TABLE note RENAME COLUMN id TO number")
	b.schemaChanged()
	b.expect("SELECT table_name, row_key FROM sqlitesync_conflicts", printedAll("note", `{"number":1}`))
	for _, c := range b.conflicts() {
		for _, change := range []changelog.Change{c.Winner, c.Loser} {
			if change.Shape.Table != "note" || !slices.Equal(change.Shape.Key, []string{"number"}) {
				t.Errorf("a side of the conflict is of %s", change.Shape.Rows())
			}
		}
	}
	b.expectLost(`"a" < "b"`)
}

// A device was cloned: two changes of one row have one stamp. What they say decides, in either order.
func TestEqualStampsAreDecidedByContent(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
	var twins []*changelog.Batch
	for _, value := range []string{"one", "other"} {
		d := newDevice(t, "twin", schema)
		d.at(10, "INSERT INTO t VALUES (1, ?)", value)
		twins = append(twins, d.fold())
	}
	if twins[0].Changes[0].Stamp != twins[1].Changes[0].Stamp {
		t.Fatal("the twins have different stamps")
	}
	var shown []string
	permutations(twins, func(order []*changelog.Batch) {
		d := newDevice(t, "d", schema)
		d.deliver(order...)
		shown = append(shown, d.rows("SELECT * FROM t")...)
	})
	if len(shown) != 2 || shown[0] != shown[1] {
		t.Errorf("the two orders show %q", shown)
	}
}

// A device saves every few seconds while it is offline. Its author has seen each of these edits when making the next, so only
// the last one is lost; one that lost against something that its author had seen by then stays.
func TestOnlyTheLastOfSeveralEditsIsLost(t *testing.T) {
	const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
	a, b, c := newDevice(t, "a", schema), newDevice(t, "b", schema), newDevice(t, "c", schema)
	a.at(1, "INSERT INTO t VALUES (1, 'start'), (2, 'start')")
	first := a.fold()
	b.deliver(first)
	c.deliver(first)
	b.at(50, "UPDATE t SET a = 'b'")
	winner := b.fold()
	var saved []*changelog.Batch
	for i := range 3 {
		a.at(int64(10+i), "UPDATE t SET a = ? WHERE id = 1", fmt.Sprint("draft ", i))
		saved = append(saved, a.fold())
	}
	a.at(20, "UPDATE t SET a = 'other row' WHERE id = 2")
	saved = append(saved, a.fold())
	c.deliver(winner)
	for _, d := range []*device{b, c} {
		d.deliver(saved...)
		d.expectLost(`"draft 2" < "b"`, `"other row" < "b"`)
	}
	a.deliver(winner)
	a.expectLost(`"draft 2" < "b"`, `"other row" < "b"`)

	// Now a has seen what won. What it loses next is another conflict.
	b.at(100, "UPDATE t SET a = 'b again' WHERE id = 1")
	winner = b.fold()
	a.at(90, "UPDATE t SET a = 'a again' WHERE id = 1")
	last := a.fold()
	c.deliver(winner)
	for _, d := range []*device{b, c} {
		d.deliver(last)
		d.expectLost(`"draft 2" < "b"`, `"other row" < "b"`, `"a again" < "b again"`)
	}
}
