package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
)

// What is kept of tables, and their conflicts, follow them when they are renamed.

const (
	twoTables = "CREATE TABLE one (id TEXT PRIMARY KEY NOT NULL, v); CREATE TABLE two (id TEXT PRIMARY KEY NOT NULL, v)"
	exchange  = "BEGIN; ALTER TABLE one RENAME TO t; ALTER TABLE two RENAME TO one; ALTER TABLE t RENAME TO two; COMMIT"
)

func TestConflictsFollowTablesThatAreRenamedAtOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ migration, first, second string }{
		{exchange, "two", "one"},
		{"BEGIN; ALTER TABLE two RENAME TO three; ALTER TABLE one RENAME TO two; COMMIT", "two", "three"},
	} {
		a, b := newPair(t, twoTables)
		a.exec("INSERT INTO one VALUES ('1', 'x'); INSERT INTO two VALUES ('2', 'x')")
		settle(a, b)
		a.exec("UPDATE one SET v = 'a1'; UPDATE two SET v = 'a2'")
		tick()
		b.exec("UPDATE one SET v = 'b1'; UPDATE two SET v = 'b2'")
		settle(a, b)
		for _, d := range []*testDevice{a, b} {
			d.exec(test.migration)
		}
		settle(a, b)
		for _, c := range a.conflicts() {
			must(t, a.syncer.Resolve(t.Context(), c.ID, TakeLoser))
		}
		a.wantValue("a1", "SELECT v FROM "+test.first+" WHERE id = '1'")
		a.wantValue("a2", "SELECT v FROM "+test.second+" WHERE id = '2'")
	}
}

func TestHeldRowsFollowTablesThatExchangeTheirNames(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, twoTables)
	b.exec("CREATE UNIQUE INDEX i ON one (v); CREATE UNIQUE INDEX j ON two (v)")
	settle(a, b)
	for _, insert := range []string{"one VALUES ('1', 'x')", "one VALUES ('1b', 'x')", "two VALUES ('2', 'y')", "two VALUES ('2b', 'y')"} {
		tick()
		a.exec("INSERT INTO " + insert)
	}
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.exec(exchange)
	}
	settle(a, b)
	b.exec("DROP INDEX i; DROP INDEX j")
	settle(a, b)
	settle(a, b)
	wantEverywhere("2,2b", "SELECT group_concat(id) FROM (SELECT id FROM one ORDER BY id)", a, b)
	wantEverywhere("1,1b", "SELECT group_concat(id) FROM (SELECT id FROM two ORDER BY id)", a, b)
}

// rebuild makes the table t anew as SQLite's documentation says, with all triggers that were on it.
func (d *testDevice) rebuild(create, insert string) {
	d.tb.Helper()
	triggers := d.value("SELECT group_concat(sql, '; ') FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 't'")
	d.exec("PRAGMA foreign_keys = 0; BEGIN IMMEDIATE; " + create + "; " + insert + "; DROP TABLE t; ALTER TABLE n RENAME TO t; " + triggers + "; COMMIT; PRAGMA foreign_keys = 1")
}

// A table with another key is another table, whatever triggers it has: its conflicts can be looked at, and not resolved.
func TestATableIsMadeAnewWithAnotherKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ key, create, insert string }{
		{"x", "CREATE TABLE n (x TEXT NOT NULL, y TEXT NOT NULL, v, PRIMARY KEY (x, y))", "INSERT INTO n SELECT * FROM t"},
		{"x, y", "CREATE TABLE n (x TEXT NOT NULL, y TEXT NOT NULL, v, PRIMARY KEY (y, x))", "INSERT INTO n SELECT * FROM t"},
	} {
		a, b := newPair(t, "CREATE TABLE t (x TEXT NOT NULL, y TEXT NOT NULL, v, PRIMARY KEY ("+test.key+"))")
		a.exec("INSERT INTO t VALUES ('1', '2', 'old'), ('2', '1', 'other')")
		settle(a, b)
		a.exec("UPDATE t SET v = 'a' WHERE x = '1'")
		tick()
		b.exec("UPDATE t SET v = 'b' WHERE x = '1'")
		settle(a, b)
		a.rebuild(test.create, test.insert)
		a.sync()
		a.sync()
		conflicts := a.conflicts()
		if len(conflicts) != 1 {
			t.Fatalf("%d conflicts", len(conflicts))
		}
		wantIs(t, a.syncer.Resolve(t.Context(), conflicts[0].ID, TakeLoser), ErrSchema)
		a.wantValue("b,other", "SELECT group_concat(v) FROM (SELECT v FROM t ORDER BY x)")
	}
}

// An edit under the new name, of a row of which more is kept than it shows, holds when other devices rename the table.
func TestAnEditUnderTheNewNameHolds(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v)")
	a.exec("INSERT INTO t VALUES ('1', 'x')")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		must(t, d.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "ALTER TABLE t ADD COLUMN w; UPDATE t SET w = 5")
			return err
		}))
	}
	settle(a, b)
	a.exec("ALTER TABLE t RENAME TO t2")
	a.sync()
	tick()
	a.exec("UPDATE t2 SET v = 'edited'")
	settle(a, b)
	b.exec("ALTER TABLE t RENAME TO t2")
	settle(b, a)
	settle(b, a)
	wantEverywhere("edited", "SELECT v FROM t2", a, b)
	wantEverywhere("0", `SELECT count(*) FROM sqlitesync_kept WHERE tbl <> '"t2" ("id")'`, a, b)
}

// A conflict is not resolved in another table that has taken the name since the last pass.
func TestResolveKnowsOfRenames(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'x', 0)")
	settle(a, b)
	a.exec("UPDATE item SET name = 'a'")
	tick()
	b.exec("UPDATE item SET name = 'b'")
	settle(a, b)
	a.exec("ALTER TABLE item RENAME TO archive; " + itemSchema)
	must(t, a.syncer.Resolve(t.Context(), a.conflicts()[0].ID, TakeLoser))
	a.wantValue("a", "SELECT name FROM archive")
	a.wantValue("0", "SELECT count(*) FROM item")
}

// Rows of any size that one transaction has written arrive as one, up to the limit.
func TestLargeAndSmallRowsOfOneTransactionArriveAsOne(t *testing.T) {
	long(t)
	t.Parallel()
	a, b := newPair(t, itemSchema)
	settle(a, b)
	before := len(a.segments())
	tx, err := a.db.Begin()
	must(t, err)
	for i := range 2 {
		_, err := tx.Exec("INSERT INTO item VALUES (?, ?, 0)", fmt.Sprint("large", i), strings.Repeat("x", 18<<20))
		must(t, err)
	}
	for i := range 3000 {
		_, err := tx.Exec("INSERT INTO item VALUES (?, 'small', ?)", i, i)
		must(t, err)
	}
	must(t, tx.Commit())
	a.exec("UPDATE sqlitesync_log SET at = at + (id - (SELECT max(id) FROM sqlitesync_log)) * 2e-8") // statements that take 2 ms each
	a.sync()
	if made := len(a.segments()) - before; made < 3 {
		t.Fatalf("%d segments", made)
	}
	put := a.withhold()
	_ = b.trySync()
	b.wantValue("0", "SELECT count(*) FROM item")
	put()
	settle(a, b)
	wantSame(t, []*testDevice{a, b}, "item")
}

// What a migration filled is not one transaction, however much it is. SQLITESYNC_BIG=1 in the environment runs it: it takes half a
// minute of one processor.
func TestAMigrationIsNoTransaction(t *testing.T) {
	if os.Getenv("SQLITESYNC_BIG") == "" {
		t.Skip("it takes long: run it with SQLITESYNC_BIG=1")
	}
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO item SELECT i, 'x', i FROM n")
	settle(a, b)
	must(t, a.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "ALTER TABLE item ADD COLUMN w; UPDATE item SET w = n")
		return err
	}))
	b.exec("ALTER TABLE item ADD COLUMN w")
	a.sync()
	put := a.withhold()
	_ = b.trySync()
	if b.value("SELECT count(*) FROM item WHERE w IS NOT NULL") == "0" {
		t.Error("nothing shows before the last segment is there")
	}
	put()
	settle(a, b)
	wantSame(t, []*testDevice{a, b}, "item")
}

// A table that is renamed and made anew before the next pass, or copied into one of another name, is the one that it was:
// what people wrote before holds, whoever renames first.
func TestATableIsRenamedAndMadeAnewAtOnce(t *testing.T) {
	long(t)
	t.Parallel()
	const (
		rename  = "ALTER TABLE t RENAME TO t2"
		rebuild = "BEGIN IMMEDIATE; CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO n SELECT * FROM t2; DROP TABLE t2; ALTER TABLE n RENAME TO t2; COMMIT"
		copied  = "BEGIN IMMEDIATE; CREATE TABLE t2 (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO t2 SELECT * FROM t; DROP TABLE t; COMMIT"
		column  = "BEGIN IMMEDIATE; CREATE TABLE t2 (id TEXT PRIMARY KEY NOT NULL, w, v); INSERT INTO t2 SELECT id, 1, v FROM t; DROP TABLE t; COMMIT; ALTER TABLE t2 DROP COLUMN w"
	)
	migrate := func(d *testDevice, script string) {
		must(t, d.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, script)
			return err
		}))
	}
	for name, run := range map[string]func(a *testDevice){
		"plain":                  func(a *testDevice) { a.exec(rename); a.exec(rebuild) },
		"after a pass":           func(a *testDevice) { a.sync(); a.exec(rename); a.exec(rebuild) },
		"a pass between":         func(a *testDevice) { a.exec(rename); a.sync(); a.exec(rebuild) },
		"Migrate, then plain":    func(a *testDevice) { migrate(a, rename); a.exec(rebuild) },
		"plain, then Migrate":    func(a *testDevice) { a.exec(rename); migrate(a, rebuild) },
		"one Migrate":            func(a *testDevice) { migrate(a, rename+";"+rebuild) },
		"a copy":                 func(a *testDevice) { a.exec(copied) },
		"a copy with one column": func(a *testDevice) { a.exec(column) },
	} {
		for _, others := range []bool{false, true} {
			a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v)")
			a.exec("INSERT INTO t VALUES ('x', 'old'), ('gone', 'g'), ('y', 'same')")
			settle(a, b)
			if others {
				b.exec(rename)
				settle(b, a)
			}
			tick()
			a.exec("UPDATE t SET v = 'edited' WHERE id = 'x'; DELETE FROM t WHERE id = 'gone'")
			run(a)
			settle(a, b)
			if !others {
				b.exec(rename)
			}
			settle(a, b)
			settle(a, b)
			for _, d := range []*testDevice{a, b} {
				if got := d.value("SELECT group_concat(id || '=' || v) FROM (SELECT * FROM t2 ORDER BY id)"); got != "x=edited,y=same" {
					t.Errorf("%s, others first %t: %s", name, others, got)
				}
			}
		}
	}
}

// What came under the new name of a table outlives that its row gives way to another one while the table takes the name.
func TestARowGivesWayWhileItsTableIsRenamed(t *testing.T) {
	t.Parallel()
	const add = "ALTER TABLE t ADD COLUMN mood INT;"
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, slug TEXT UNIQUE)")
	a.exec("INSERT INTO t VALUES ('x', '1'), ('y', '2')")
	settle(a, b)
	a.exec(add)
	must(t, b.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, add+"UPDATE t SET mood = 7 WHERE id = 'y'")
		return err
	}))
	settle(a, b)
	b.exec("ALTER TABLE t RENAME TO t2")
	b.sync()
	tick()
	b.exec("BEGIN; UPDATE t2 SET slug = '3' WHERE id = 'x'; UPDATE t2 SET slug = '1' WHERE id = 'y'; UPDATE t2 SET slug = '2' WHERE id = 'x'; COMMIT")
	settle(a, b)
	a.exec("ALTER TABLE t RENAME TO t2")
	settle(a, b)
	settle(a, b)
	wantEverywhere("x2,y1", "SELECT group_concat(id || slug) FROM (SELECT * FROM t2 ORDER BY id)", a, b)
}

// A table that is still there, and only takes part no longer, is not gone: a copy of it is another table.
func TestACopyOfATableThatIsExcluded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script  string
		options Options
	}{
		"excluded":             {"CREATE TABLE copy (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO copy SELECT * FROM t", Options{Exclude: []string{"T"}}},
		"not chosen":           {"CREATE TABLE copy (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO copy SELECT * FROM t", Options{Tables: []string{"copy"}}},
		"renamed and excluded": {"CREATE TABLE copy (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO copy SELECT * FROM t; ALTER TABLE t RENAME TO local", Options{Exclude: []string{"local"}}},
	} {
		d := newTestDevice(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v)")
		d.create(t.TempDir())
		d.exec("INSERT INTO t VALUES ('1', 'x')")
		d.sync()
		must(t, d.syncer.Close())
		d.exec(test.script)
		d.options.Exclude, d.options.Tables = test.options.Exclude, test.options.Tables
		var err error
		d.syncer, err = Open(d.context(), d.db, d.folder, &d.options)
		must(t, err)
		if got := d.value("SELECT count(*) FROM sqlitesync_tables WHERE name = ?", `"t" ("id")`); got != "1" {
			t.Errorf("%s: t is taken for gone: %s", name, d.value("SELECT group_concat(name, '; ') FROM sqlitesync_tables"))
		}
	}
}

// What came of a column before it was here shows when it is added, also if another one is renamed before the next pass.
func TestAColumnIsAddedAndAnotherRenamedAtOnce(t *testing.T) {
	t.Parallel()
	for _, parent := range []string{"", " REFERENCES t"} {
		a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, body TEXT, parent"+parent+")")
		a.exec("INSERT INTO t VALUES ('1', 'x', '1')")
		settle(a, b)
		must(t, b.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "ALTER TABLE t ADD COLUMN mood INT; UPDATE t SET mood = 6")
			return err
		}))
		settle(b, a)
		a.exec("ALTER TABLE t ADD COLUMN mood INT; ALTER TABLE t RENAME COLUMN body TO content")
		b.exec("ALTER TABLE t RENAME COLUMN body TO content")
		settle(a, b)
		wantEverywhere("x6", "SELECT content || mood FROM t", a, b)
	}
}

// A row that shows nowhere when its table is renamed is known under the new name too, to a device that joins later.
func TestHeldRowsAreKnownUnderTheNewName(t *testing.T) {
	t.Parallel()
	const rename = "ALTER TABLE t RENAME TO t2; ALTER TABLE child RENAME TO child2"
	const schema = `CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, slug TEXT UNIQUE);
		CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL, slug TEXT REFERENCES t (slug) ON DELETE CASCADE)`
	a, b := newPair(t, schema)
	a.exec("INSERT INTO t VALUES ('x', '1'), ('gone', '2')")
	settle(a, b)
	a.exec("INSERT INTO t VALUES ('older', '3'); DELETE FROM t WHERE id = 'gone'")
	tick()
	b.exec("INSERT INTO t VALUES ('newer', '3'); INSERT INTO child VALUES ('c', '2')")
	settle(a, b)
	a.exec(rename)
	settle(a, b)
	b.exec(rename)
	settle(a, b)
	c := newTestDevice(t, schema+";"+rename)
	c.join(a.folder, a.invite())
	settle(a, b, c)
	b.exec("DELETE FROM t2 WHERE id = 'newer'; INSERT INTO t2 VALUES ('again', '2')")
	settle(a, b, c)
	wantEverywhere("again2,older3,x1", "SELECT group_concat(id || slug) FROM (SELECT * FROM t2 ORDER BY id)", a, b, c)
	wantEverywhere("c2", "SELECT id || slug FROM child2", a, b, c)
	wantQuiet(t, a, b, c)
}

// A table that has lost a column is known again too, although nothing can tell what was in that.
func TestATableWithoutAColumnIsRenamedAndMadeAnewAtOnce(t *testing.T) {
	t.Parallel()
	const again = "; BEGIN IMMEDIATE; CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO n SELECT * FROM t2; DROP TABLE t2; ALTER TABLE n RENAME TO t2; COMMIT"
	for _, between := range []bool{false, true} {
		a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, memo)")
		a.exec("INSERT INTO t VALUES ('x', 'old', 1), ('gone', 'g', 2), ('y', 'same', 3), ('z', 'same', 4)")
		settle(a, b)
		b.exec("ALTER TABLE t DROP COLUMN memo; ALTER TABLE t RENAME TO t2")
		settle(b, a)
		tick()
		a.exec("ALTER TABLE t DROP COLUMN memo")
		if between {
			a.sync()
		}
		a.exec("UPDATE t SET v = 'edited' WHERE id = 'x'; DELETE FROM t WHERE id = 'gone'; ALTER TABLE t RENAME TO t2" + again)
		settle(a, b)
		settle(a, b)
		wantEverywhere("x=edited,y=same,z=same", "SELECT group_concat(id || '=' || v) FROM (SELECT * FROM t2 ORDER BY id)", a, b)
	}
}

// What a row showed counts as seen by the one who renames its table, also what came with a column that was dropped since.
func TestATableWithoutAColumnIsRenamed(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, memo)", 3)
	old, b, c := devices[0], devices[1], devices[2]
	old.exec("INSERT INTO t VALUES ('1', 'old', 'm')")
	settle(devices...)
	must(t, b.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "ALTER TABLE t ADD COLUMN w; UPDATE t SET w = 1")
		return err
	}))
	settle(devices...)
	c.exec("ALTER TABLE t RENAME TO t2")
	settle(devices...)
	tick()
	c.exec("UPDATE t2 SET v = 'earlier'")
	settle(devices...)
	tick()
	old.exec("UPDATE t SET v = 'edited'")
	settle(devices...)
	b.exec("ALTER TABLE t DROP COLUMN memo")
	b.sync()
	b.exec("ALTER TABLE t RENAME TO t2")
	settle(b, c)
	wantEverywhere("edited", "SELECT v FROM t2", b, c)
}

// A row that was held, and was deleted under the new name of its table, does not show when that takes the name, although
// what was in its way makes room just then.
func TestAHeldRowIsDeletedUnderTheNewName(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, slug TEXT UNIQUE)")
	a.exec("INSERT INTO t VALUES ('older', '3')")
	tick()
	b.exec("INSERT INTO t VALUES ('newer', '3')")
	settle(a, b)
	a.exec("ALTER TABLE t RENAME TO t2; UPDATE t2 SET slug = '4' WHERE id = 'newer'")
	a.sync()
	a.wantValue("2", "SELECT count(*) FROM t2")
	a.exec("DELETE FROM t2 WHERE id = 'older'")
	settle(a, b)
	tick()
	b.exec("UPDATE t SET slug = '5' WHERE id = 'newer'; ALTER TABLE t RENAME TO t2")
	settle(b, a)
	wantEverywhere("newer5", "SELECT group_concat(id || coalesce(slug, 'NULL')) FROM t2", a, b)
	wantQuiet(t, a, b)
}

// A device that knows a column by its new name only, and shows nothing in it, does not say so when it renames the key: what
// stands in the column comes with the migration of the one who wrote it.
func TestAColumnThatNobodyHasSetIsNotToldAgain(t *testing.T) {
	t.Parallel()
	const column, key = "ALTER TABLE t RENAME COLUMN v TO w", "ALTER TABLE t RENAME COLUMN id TO key"
	for range 3 { // which id is the greater one decides between changes of one time
		a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
		a.exec(column)
		b.exec("INSERT INTO t VALUES ('1', 'x', 1)")
		settle(a, b)
		a.exec(key)
		settle(a, b)
		b.exec(column)
		b.sync()
		b.exec(key)
		settle(b, a)
		settle(b, a)
		wantEverywhere("x1", "SELECT w || n FROM t", a, b)
	}
}

// What came for columns that a table does not have yet, it did not show: a column that is renamed is dated behind the value
// that it had, not behind those.
func TestARenamedColumnIsDatedBehindItsOwnValue(t *testing.T) {
	t.Parallel()
	const rename, again = "ALTER TABLE t RENAME COLUMN v TO w", "ALTER TABLE t RENAME COLUMN w TO x"
	for _, test := range []struct {
		name         string
		there        []string // what the author does after it has renamed the column, and shown that to the other device
		here         []string // what the other one does then
		column, want string
	}{
		{"a column is added", []string{"UPDATE t SET w = 'new'", "ALTER TABLE t ADD COLUMN mood; UPDATE t SET mood = 1"},
			[]string{rename, "ALTER TABLE t ADD COLUMN mood"}, "w", "new"},
		{"a column is added, and the key renamed", []string{"UPDATE t SET w = 'new'", "ALTER TABLE t ADD COLUMN mood; UPDATE t SET mood = 1", "ALTER TABLE t RENAME COLUMN id TO key"},
			[]string{rename + "; ALTER TABLE t RENAME COLUMN id TO key; ALTER TABLE t ADD COLUMN mood"}, "w", "new"},
		{"the column is renamed twice", []string{"UPDATE t SET w = 'new'", again, "UPDATE t SET x = 'newer'"}, []string{rename, again}, "x", "newer"},
		{"the column is renamed twice, at once", []string{"UPDATE t SET w = 'new'", again, "UPDATE t SET x = 'newer'"}, []string{rename + ";" + again}, "x", "newer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
			a.exec("INSERT INTO t VALUES ('1', 'old', 1)")
			settle(a, b)
			a.exec(rename)
			settle(a, b)
			for _, step := range test.there {
				if strings.HasPrefix(step, "UPDATE") {
					tick()
					a.exec(step)
				} else {
					must(t, a.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
						_, err := db.ExecContext(ctx, step)
						return err
					}))
				}
				settle(a, b)
			}
			for _, step := range test.here {
				b.exec(step)
				settle(b, a)
			}
			settle(b, a)
			wantEverywhere(test.want+"1", "SELECT "+test.column+" || n FROM t", a, b)
			wantQuiet(t, a, b)
		})
	}
}

// A held row that can show just when its table takes another name is told under that all the same.
func TestAHeldRowShowsWhenItsTableIsRenamed(t *testing.T) {
	t.Parallel()
	const rename = "ALTER TABLE t RENAME TO t2"
	devices := newSpace(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, slug TEXT UNIQUE)", 3)
	a, b, c := devices[0], devices[1], devices[2]
	b.exec(rename)
	settle(devices...)
	a.exec("INSERT INTO t VALUES ('older', '3')")
	tick()
	c.exec("INSERT INTO t VALUES ('newer', '3')")
	settle(devices...)
	a.wantValue("newer", "SELECT group_concat(id) FROM t")
	a.exec("DELETE FROM t WHERE id = 'newer'; " + rename)
	settle(devices...)
	wantEverywhere("older3", "SELECT group_concat(id || slug) FROM t2", a, b)
	c.exec(rename)
	settle(devices...)
	wantEverywhere("older3", "SELECT group_concat(id || slug) FROM t2", devices...)
	wantQuiet(t, devices...)
}

// A table that is made anew with another name for its key is known again: what was written to it before stays what it was.
func TestATableIsMadeAnewWithAnotherNameForItsKey(t *testing.T) {
	t.Parallel()
	const again = "; BEGIN IMMEDIATE; CREATE TABLE n (key TEXT PRIMARY KEY NOT NULL, v, slug UNIQUE); INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT"
	for _, script := range []string{again, "; ALTER TABLE t RENAME COLUMN id TO key" + again} {
		for _, edited := range []string{"1", "2", "3"} { // how many of the rows
			a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, slug UNIQUE)")
			a.exec("INSERT INTO t VALUES ('1', 'old', 1), ('2', 'old', 2), ('3', 'old', 3), ('gone', 'g', 4)")
			settle(a, b)
			b.exec(strings.TrimPrefix(script, "; "))
			settle(b, a)
			tick()
			a.exec("UPDATE t SET v = 'edited' WHERE id <= '" + edited + "'; DELETE FROM t WHERE id = 'gone'" + script)
			settle(a, b)
			settle(a, b)
			want := strings.Replace("1=old,2=old,3=old", "old", "edited", int(edited[0]-'0'))
			wantEverywhere(want, "SELECT group_concat(key || '=' || v) FROM (SELECT * FROM t ORDER BY key)", a, b)
			wantQuiet(t, a, b)
		}
	}
}

// One that is made anew with another column for its key is another table, although the keys have the same values: that a row
// of the old key was deleted says nothing of one with the new key.
func TestATableThatWasMadeAnewWithAnotherColumnForItsKey(t *testing.T) {
	t.Parallel()
	const again = "BEGIN IMMEDIATE; CREATE TABLE n (number INTEGER PRIMARY KEY, v, w); INSERT INTO n SELECT number, v, w FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT"
	for range 5 { // which id is the greater one decides between changes of one time
		a, b := newPair(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, number INTEGER, v, w)")
		a.exec("INSERT INTO t VALUES (1, 2, 'two', 0), (2, 1, 'one', 0), (3, 3, 'three', 0), (4, 4, 'four', 0), (5, 9, 'gone', 0)")
		settle(a, b)
		a.exec("DELETE FROM t WHERE id = 5")
		settle(a, b)
		a.exec(again)
		a.sync()
		b.exec("INSERT INTO t VALUES (7, 5, 'five', 0)")
		b.exec(again)
		settle(b, a)
		wantEverywhere("1=one,2=two,3=three,4=four,5=five", "SELECT group_concat(number || '=' || v) FROM (SELECT * FROM t ORDER BY number)", a, b)
	}
}

// What was written without being noted beats what another device, which had not seen it, tells of the row again by the new
// name of its table.
func TestAnEditThatIsFoundBeatsWhatIsToldAgain(t *testing.T) {
	t.Parallel()
	const rename = "ALTER TABLE t RENAME TO t2"
	const again = "BEGIN IMMEDIATE; CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, v, n); INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT"
	for range 4 { // which id is the greater one decides between changes of one time
		for _, between := range []bool{false, true} {
			a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
			a.exec("INSERT INTO t VALUES ('1', 'old', 1), ('2', 'old', 1)")
			settle(a, b)
			a.exec(again + "; UPDATE t SET v = 'edited' WHERE id = '1'")
			if between {
				a.sync()
			}
			a.exec(rename)
			b.exec(rename)
			settle(b, a)
			settle(a, b)
			wantEverywhere("edited,old", "SELECT group_concat(v) FROM (SELECT v FROM t2 ORDER BY id)", a, b)
			wantQuiet(t, a, b)
		}
	}
}

// What a row showed under its former name is newer for being told again than what came under the new one before, also if
// both are of one time.
func TestWhatARowShowedIsToldAgainBehindIt(t *testing.T) {
	t.Parallel()
	const column, key = "ALTER TABLE t RENAME COLUMN v TO w", "ALTER TABLE t RENAME COLUMN id TO key"
	for range 5 { // which id is the greater one decides between changes of one time
		a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
		a.exec("INSERT INTO t VALUES ('1', 'old', 1)")
		settle(a, b)
		b.exec(column)
		settle(b, a)
		tick()
		a.exec("UPDATE t SET v = 'edited'")
		settle(a, b)
		b.exec(key)
		settle(b, a)
		a.exec(column)
		settle(a, b)
		a.exec(key)
		settle(a, b)
		wantEverywhere("edited1", "SELECT w || n FROM t", a, b)
		wantQuiet(t, a, b)
	}
}

// What another device writes under the former name of a column, as it has not renamed that yet, holds when the key, or the
// table, is renamed here: all of the row is told again then. What was written later under the new name beats it.
func TestAnEditUnderTheFormerNameOfAColumnHolds(t *testing.T) {
	t.Parallel()
	const column, again = "ALTER TABLE t RENAME COLUMN v TO u", "ALTER TABLE t RENAME COLUMN u TO w"
	for _, test := range []struct{ name, rename, table string }{
		{"key", "ALTER TABLE t RENAME COLUMN id TO key", "t"},
		{"table", "ALTER TABLE t RENAME TO t2", "t2"},
	} {
		for _, steps := range [][]string{{column + ";" + again + ";" + test.rename}, {column, again, test.rename}} {
			t.Run(fmt.Sprint(test.name, " in ", len(steps)), func(t *testing.T) {
				t.Parallel()
				want, query := "edited2,old1,edited2,new2", "SELECT group_concat(w || n) FROM (SELECT * FROM "+test.table+" ORDER BY 1)"
				for range 3 { // which id is the greater one decides between changes of one time
					a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
					a.exec("INSERT INTO t VALUES ('1', 'old', 1), ('2', 'old', 1), ('3', 'old', 1), ('4', 'old', 1)")
					settle(a, b)
					a.exec(column)
					settle(a, b)
					a.exec(again)
					a.exec("UPDATE t SET w = 'new' WHERE id = '3'")
					settle(a, b)
					tick()
					b.exec("UPDATE t SET v = 'edited', n = 2 WHERE id <> '2'")
					settle(b, a)
					a.exec("UPDATE t SET w = 'new' WHERE id = '4'")
					settle(a, b)
					a.reopen()
					a.exec(test.rename)
					settle(a, b)
					a.wantValue(want, query)
					for _, step := range steps {
						b.exec(step)
						settle(b, a)
					}
					wantEverywhere(want, query, a, b)
					wantQuiet(t, a, b)
				}
			})
		}
	}
}

// What comes for a column that was dropped does not show in one that was added, although rows with NULL in both could be of
// a table that has renamed it.
func TestADroppedColumnIsNoFormerName(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
	a.exec("INSERT INTO t VALUES ('1', NULL, 1)")
	settle(a, b)
	a.exec("ALTER TABLE t DROP COLUMN v; ALTER TABLE t ADD COLUMN w; ALTER TABLE t ADD COLUMN x; UPDATE t SET x = 1")
	settle(a, b)
	tick()
	b.exec("UPDATE t SET v = 'edited', n = 2")
	settle(b, a)
	a.exec("ALTER TABLE t RENAME TO t2")
	settle(a, b)
	a.wantValue("-2", "SELECT coalesce(w, '-') || n FROM t2")
}

// So it does of a row that is held.
func TestAnEditOfAHeldRowUnderTheFormerNameOfAColumnHolds(t *testing.T) {
	t.Parallel()
	const column, rename = "ALTER TABLE t RENAME COLUMN v TO w", "ALTER TABLE t RENAME TO t2"
	for range 3 { // which id is the greater one decides between changes of one time
		a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, slug)")
		a.exec("CREATE UNIQUE INDEX i ON t (slug)")
		b.exec("INSERT INTO t VALUES ('1', 'old', 1)")
		settle(a, b)
		tick()
		b.exec("INSERT INTO t VALUES ('2', 'other', 1)")
		settle(b, a)
		a.wantValue("2", "SELECT group_concat(id) FROM t")
		a.exec(column)
		settle(a, b)
		tick()
		b.exec("UPDATE t SET v = 'edited' WHERE id = '1'; UPDATE t SET v = 'kept' WHERE id = '2'")
		settle(b, a)
		a.exec("DROP INDEX i; " + rename)
		settle(a, b)
		a.wantValue("1edited,2kept", "SELECT group_concat(id || w) FROM (SELECT * FROM t2 ORDER BY id)")
		b.exec(column + ";" + rename)
		settle(b, a)
		wantEverywhere("1edited,2kept", "SELECT group_concat(id || w) FROM (SELECT * FROM t2 ORDER BY id)", a, b)
		wantQuiet(t, a, b)
	}
}

// A table that has got other columns, fewer than it had, is no riddle that takes years.
func TestMostColumnsGo(t *testing.T) {
	t.Parallel()
	columns := func(prefix string, n int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprint(prefix, i))
		}
		return strings.Join(names, ", ")
	}
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, "+columns("old", 16)+")")
	a.exec("INSERT INTO t (id, old0) VALUES ('1', 'x'), ('2', 'y')")
	settle(a, b)
	a.exec("BEGIN; CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, " + columns("new", 15) + "); INSERT INTO n (id, new0) SELECT id, old0 FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT")
	settle(a, b)
	a.wantValue("1x,2y", "SELECT group_concat(id || new0) FROM t")
}

// What came under the new name of a key, before that was renamed here, is not overruled by a row that shows less of it and was
// told again more often.
func TestARowThatIsToldAgainOftenLeavesWhatItDoesNotShow(t *testing.T) {
	t.Parallel()
	const column, key = "ALTER TABLE t RENAME COLUMN v TO w; ", "ALTER TABLE t RENAME COLUMN id TO k1; "
	const second, third = "ALTER TABLE t RENAME COLUMN k1 TO k2; ", "ALTER TABLE t RENAME COLUMN k2 TO k3; "
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
	b.exec("INSERT INTO t VALUES ('1', 'x', 1)")
	b.sync()
	for _, step := range []string{column, key, second} {
		a.exec(step)
		a.sync()
	}
	b.exec(column + key + second + third)
	settle(b, a)
	a.exec(third)
	settle(a, b)
	wantEverywhere("x1", "SELECT w || n FROM t", a, b)
	wantQuiet(t, a, b)
}

// What a row of a baseline has under the former name of a column shows under the new one when the key is renamed too.
func TestABaselineUnderTheFormerNameOfAColumn(t *testing.T) {
	t.Parallel()
	const column, key = "ALTER TABLE t RENAME COLUMN v TO w; ", "ALTER TABLE t RENAME COLUMN id TO key; "
	const again = "BEGIN; CREATE TABLE n (key TEXT PRIMARY KEY NOT NULL, w, n); INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT"
	var devices []*testDevice
	for _, id := range []string{"1", "2"} {
		d := newTestDevice(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
		d.exec("INSERT INTO t VALUES (?, 'x', 1)", id)
		d.options.Existing = MergeExisting
		devices = append(devices, d)
	}
	a, b := devices[0], devices[1]
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	for _, step := range []string{column, key, again} {
		a.exec(step)
		a.sync()
		a.sync()
	}
	a.wantValue("1x,2x", "SELECT group_concat(key || w) FROM (SELECT * FROM t ORDER BY key)")
	b.exec(column + key)
	settle(b, a)
	wantEverywhere("1x,2x", "SELECT group_concat(key || w) FROM (SELECT * FROM t ORDER BY key)", a, b)
	wantQuiet(t, a, b)
}
