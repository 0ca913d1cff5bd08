package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const eventSchema = "CREATE TABLE ev (id TEXT PRIMARY KEY NOT NULL, x TEXT)"

// wantEverywhere checks the only value of a query on all devices.
func wantEverywhere(want, query string, devices ...*testDevice) {
	for _, d := range devices {
		d.tb.Helper()
		d.wantValue(want, query)
	}
}

// The name of a generated column can stand in its own definition, as a type or a function.
func TestAGeneratedColumnThatNamesItself(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, `CREATE TABLE ev (id TEXT PRIMARY KEY NOT NULL, created TEXT, date DATE AS (date(created)) UNIQUE, text TEXT AS (date || 'x'),
		"check" AS (lower(id)) UNIQUE, CHECK (created <> 'never'))`)
	a.withoutRecursion()
	a.exec("INSERT INTO ev (id, created) VALUES ('1', '2026-11-21 10:00'), ('a', NULL)")
	settle(a, b)
	a.exec("REPLACE INTO ev (id, created) VALUES ('2', '2026-11-21 11:00'), ('A', NULL)")
	settle(a, b)
	wantEverywhere("2,A", "SELECT group_concat(id) FROM (SELECT id FROM ev ORDER BY id)", a, b)
}

// What SQLite takes for a text or a function in an index, it must not take for something else in a trigger.
func TestIndexesInOddWords(t *testing.T) {
	t.Parallel()
	for _, index := range []string{
		`CREATE UNIQUE INDEX u ON ev ("json_extract"(x, '$.a')) WHERE json_valid(x)`,
		`CREATE UNIQUE INDEX u ON ev (x) WHERE x = "active"`,
		`CREATE UNIQUE INDEX u ON ev ((x || "-"))`,
	} {
		d := newTestDevice(t, eventSchema+"; "+index)
		d.create(t.TempDir())
		strict, err := sql.Open("sqlite", "file:"+d.path+"?_dqs=0&_pragma=busy_timeout(5000)")
		must(t, err)
		if _, err := strict.Exec("INSERT INTO ev VALUES ('1', 'no JSON')"); err != nil {
			t.Errorf("%s: %v", index, err)
		}
		must(t, strict.Close())
		d.sync()
	}
}

// Rows are read again from the logs only if all of these are there.
func TestALogThatIsAwayWhileATableIsMadeAnew(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, eventSchema)
	b.exec("INSERT INTO ev VALUES ('1', 'of b')")
	settle(a, b)
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(b.directory(), away))
	a.exec("DROP TABLE ev; " + eventSchema)
	for range 2 {
		_ = a.trySync()
	}
	must(t, os.Rename(away, b.directory()))
	settle(a, b)
	wantEverywhere("of b", "SELECT x FROM ev", a, b)
}

// A local trigger that fails on a row keeps it neither from coming nor from going.
func TestATriggerThatFailsInAMerge(t *testing.T) {
	t.Parallel()
	for _, trigger := range []string{
		"AFTER DELETE ON ev WHEN json_extract(OLD.x, '$.k') = 1 BEGIN INSERT INTO local VALUES (OLD.id); END",
		"BEFORE INSERT ON ev WHEN json_extract(NEW.x, '$.k') = 1 BEGIN INSERT INTO local VALUES (NEW.id); END",
		"AFTER INSERT ON ev BEGIN INSERT INTO local VALUES (json_extract(NEW.x, '$.k')); END",
		"AFTER DELETE ON ev BEGIN INSERT INTO local VALUES ('taken'); END",
	} {
		a, b := newPair(t, eventSchema+"; CREATE TABLE local (id TEXT UNIQUE); INSERT INTO local VALUES ('taken')")
		b.exec("CREATE TRIGGER tr " + trigger)
		a.exec("INSERT INTO ev VALUES ('1', 'odd')")
		settle(a, b)
		wantEverywhere("odd", "SELECT x FROM ev", a, b)
		a.exec("DELETE FROM ev WHERE id = '1'; INSERT INTO ev VALUES ('2', '{}')")
		settle(a, b)
		wantEverywhere("2", "SELECT group_concat(id) FROM ev", a, b)
		if len(b.syncer.Status().Warnings) == 0 {
			t.Errorf("%s: nobody says that it failed", trigger)
		}
	}
}

// A trigger of the app that can end a statement must not run before those of capture.
func TestTriggersOfTheAppThatEndAStatement(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, eventSchema)
	a.exec("INSERT INTO ev VALUES ('1', 'A')")
	a.exec("CREATE TRIGGER t1 AFTER UPDATE ON EV BEGIN SELECT RAISE(FAIL, 'no') WHERE NEW.x = 'bad'; END")
	a.exec("CREATE TRIGGER t2 AFTER INSERT ON ev BEGIN SELECT 1; END")
	settle(a, b)
	a.exec("CREATE TRIGGER t3 AFTER UPDATE ON EV BEGIN SELECT RAISE(FAIL, 'no') WHERE NEW.x = 'bad'; END")
	if _, err := a.db.Exec("UPDATE ev SET x = 'bad'"); err == nil { // before a pass: found by comparing
		t.Fatal("the trigger does not raise")
	}
	settle(a, b)
	wantEverywhere("bad", "SELECT x FROM ev", a, b)
	a.exec("UPDATE ev SET x = 'good'")
	if _, err := a.db.Exec("UPDATE ev SET x = 'bad'"); err == nil {
		t.Fatal("the trigger does not raise")
	}
	settle(a, b)
	wantEverywhere("bad", "SELECT x FROM ev", a, b)
	wantQuiet(t, a, b)
}

// A table goes on with what is known of its rows under another name, whoever takes the old one. One that takes it has
// the rows that the logs know of this name, or devices that migrate at other times, or enter later, would see others.
func TestTablesThatTakeEachOthersNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a_log", "log_2025"} {
		const schema = "CREATE TABLE log (id TEXT PRIMARY KEY NOT NULL, x TEXT)"
		a, b := newPair(t, schema)
		a.exec("INSERT INTO log VALUES ('1', 'A')")
		settle(a, b)
		for _, d := range []*testDevice{a, b} {
			d.exec("BEGIN; ALTER TABLE log RENAME TO " + name + "; " + schema + "; COMMIT")
		}
		settle(a, b)
		a.exec("INSERT INTO log VALUES ('2', 'B'); INSERT INTO " + name + " VALUES ('3', 'C')")
		settle(a, b)
		c := newTestDevice(t, schema+"; CREATE TABLE "+name+" (id TEXT PRIMARY KEY NOT NULL, x TEXT)")
		c.join(a.folder, a.invite())
		settle(a, b, c)
		wantEverywhere("1,2", "SELECT group_concat(id) FROM (SELECT id FROM log ORDER BY id)", a, b, c)
		wantEverywhere("1,3", "SELECT group_concat(id) FROM (SELECT id FROM "+name+" ORDER BY id)", a, b)
		wantQuiet(t, a, b)
	}
	a, b := newPair(t, "CREATE TABLE one (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE two (id TEXT PRIMARY KEY NOT NULL)")
	a.exec("INSERT INTO one VALUES ('1'); INSERT INTO two VALUES ('2')")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.exec("BEGIN; ALTER TABLE one RENAME TO t; ALTER TABLE two RENAME TO one; ALTER TABLE t RENAME TO two; COMMIT")
	}
	settle(a, b)
	settle(a, b)
	wantEverywhere("2", "SELECT group_concat(id) FROM one", a, b)
	wantEverywhere("1", "SELECT group_concat(id) FROM two", a, b)
}

// Whatever takes the name of a table that was renamed, devices that have not migrated see what those see that have.
func TestTheNameOfARenamedTableIsTaken(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v)"
	for _, migration := range []string{
		"ALTER TABLE t RENAME TO archive; " + schema + "; INSERT INTO t VALUES ('1', 'new')",
		"ALTER TABLE t RENAME TO archive; " + schema + "; INSERT INTO t SELECT * FROM archive; UPDATE t SET v = 'new' WHERE id = '1'",
		"ALTER TABLE t RENAME COLUMN id TO k; ALTER TABLE t RENAME TO archive; " + schema + "; INSERT INTO t VALUES ('1', 'new')",
		"CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO n VALUES ('1', 'new'); ALTER TABLE t RENAME TO archive; ALTER TABLE n RENAME TO t",
		"CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, v); ALTER TABLE n ADD COLUMN w; INSERT INTO n VALUES ('1', 'new', 1); ALTER TABLE n DROP COLUMN w; BEGIN;ALTER TABLE t RENAME TO archive;ALTER TABLE n RENAME TO t;COMMIT",
	} {
		for _, pass := range []bool{false, true} {
			a, b := newPair(t, schema)
			a.exec("INSERT INTO t VALUES ('1', 'old'), ('2', 'two')")
			settle(a, b)
			for statement := range strings.SplitSeq(migration, "; ") {
				a.exec(statement)
				if pass && strings.HasPrefix(statement, "ALTER") {
					settle(a, b)
				}
			}
			settle(a, b)
			wantSame(t, []*testDevice{a, b}, "t")
			wantEverywhere("new", "SELECT v FROM t WHERE id = '1'", a, b)
			a.reopen()
			b.reopen()
			settle(a, b)
			wantSame(t, []*testDevice{a, b}, "t")
			wantQuiet(t, a, b)
		}
	}
}

// The copy-and-rename way of making a table anew, on three devices one after another, loses to an edit made meanwhile.
func TestATableIsMadeAnewByCopyAndRename(t *testing.T) {
	t.Parallel()
	const migration = `BEGIN; ALTER TABLE t RENAME TO old; CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, w); INSERT INTO t SELECT *, NULL FROM old; COMMIT`
	for order := range 3 {
		devices := newSpace(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v)", 3)
		a, b, c := devices[0], devices[1], devices[2]
		a.exec("INSERT INTO t VALUES ('1', 'old'), ('2', 'two')")
		settle(a, b, c)
		tick()
		a.exec(migration)
		a.exec("UPDATE t SET v = 'edited' WHERE id = '1'")
		if order == 1 {
			settle(a, b, c)
		}
		b.exec(migration)
		if order == 2 {
			settle(a, b, c)
		}
		c.exec(migration)
		settle(a, b, c)
		settle(a, b, c)
		wantSame(t, devices, "t")
		wantEverywhere("edited", "SELECT v FROM t WHERE id = '1'", a, b, c)
	}
}

// A delete that was made, or is on its way, while the key gets another type holds under the new one.
func TestADeleteCrossesAnotherTypeOfTheKey(t *testing.T) {
	t.Parallel()
	const toText = "BEGIN; CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT"
	for _, first := range []string{"delete", "migrate"} {
		a, b := newPair(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
		a.exec("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
		settle(a, b)
		if first == "migrate" {
			a.exec(toText)
			settle(a, b)
		}
		tick()
		b.exec("DELETE FROM t WHERE id = 2")
		if b.sync(); first == "delete" {
			a.exec(toText)
		}
		settle(a, b)
		b.exec(toText)
		settle(a, b)
		settle(a, b)
		wantEverywhere("a", "SELECT group_concat(v) FROM t", a, b)
	}
}

// Rows with NULL in their key are listed as long as there are any.
func TestRowsWithNullInTheirKeyAreListed(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY, v)")
	a.exec("INSERT INTO t VALUES (NULL, 'x')")
	settle(a, b)
	if len(a.syncer.Status().Unsynced) != 1 {
		t.Errorf("listed: %v", a.syncer.Status().Unsynced)
	}
	a.exec("UPDATE t SET id = '1'")
	settle(a, b)
	wantEverywhere("x", "SELECT v FROM t", a, b)
	if len(a.syncer.Status().Unsynced) != 0 {
		t.Errorf("still listed: %v", a.syncer.Status().Unsynced)
	}
}

// Names that differ only in what stands between table and key are two.
func TestTablesWhoseNamesLookAlike(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, `CREATE TABLE "t" ("a) (x" TEXT PRIMARY KEY NOT NULL, v); CREATE TABLE "t (a)" (x TEXT PRIMARY KEY NOT NULL, v)`)
	a.exec(`INSERT INTO "t" VALUES ('1', 'one'); INSERT INTO "t (a)" VALUES ('1', 'other')`)
	settle(a, b)
	wantEverywhere("one", `SELECT v FROM "t"`, a, b)
	wantEverywhere("other", `SELECT v FROM "t (a)"`, a, b)
}

// What a REPLACE removed through an index that no trigger can look into is found, however much else was written since,
// and if the index is gone.
func TestVictimsOfOpaqueIndexesAreNotForgotten(t *testing.T) {
	t.Parallel()
	for _, since := range []string{
		fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO other SELECT i FROM n", 2*maxFold),
		"DROP INDEX i",
	} {
		a, b := newPair(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE UNIQUE INDEX i ON t (json_extract(v, '$.a')); CREATE TABLE other (id INTEGER PRIMARY KEY)`)
		a.exec(`INSERT INTO t VALUES (1, '{"a": 1}')`)
		settle(a, b)
		a.exec("PRAGMA recursive_triggers = OFF; " + `REPLACE INTO t VALUES (2, '{"a": 1}')` + "; PRAGMA recursive_triggers = ON")
		a.exec(since)
		settle(a, b)
		wantEverywhere("2", "SELECT group_concat(id) FROM t", a, b)
		a.exec("DELETE FROM t WHERE id = 2")
		settle(a, b)
		wantEverywhere("0", "SELECT count(*) FROM t", a, b)
	}
}

// RAISE is one for SQLite however it is written: in a merge such a trigger must not keep a row back.
func TestARaiseThatIsHardToSee(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, eventSchema+"; CREATE TABLE local (v)")
	b.exec("CREATE TRIGGER tr BEFORE UPDATE ON ev BEGIN INSERT INTO local VALUES (1); SELECT RAISE /* so it is */ (IGNORE); END")
	a.exec("INSERT INTO ev VALUES ('1', 'old')")
	settle(a, b)
	a.exec("UPDATE ev SET x = 'new'")
	settle(a, b)
	wantEverywhere("new", "SELECT x FROM ev", a, b)
}

// Only what bears our names just so is ours.
func TestNamesLikeOurs(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t, eventSchema+"; CREATE TABLE SQLiteSync_notes (id TEXT PRIMARY KEY)")
	_, err := Create(context.Background(), d.db, t.TempDir(), &d.options)
	wantIs(t, err, ErrSchema)
	d.exec("DROP TABLE SQLiteSync_notes")
	d.create(t.TempDir())
	d.exec("CREATE TABLE SQLiteSync_notes (id TEXT PRIMARY KEY); INSERT INTO SQLiteSync_notes VALUES ('1')")
	d.sync()
	d.close()
	must(t, Uninstall(context.Background(), d.db))
	d.wantValue("1", "SELECT count(*) FROM SQLiteSync_notes")
}

// Many columns at once, and more in an index than SQLite compares, stop nothing.
func TestManyColumns(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, eventSchema)
	a.exec("INSERT INTO ev VALUES ('1', 'x')")
	settle(a, b)
	var columns []string
	for i := range 600 {
		a.exec(fmt.Sprintf("ALTER TABLE ev ADD COLUMN c%d", i))
		columns = append(columns, fmt.Sprintf("c%d", i))
	}
	a.exec("UPDATE ev SET c599 = 'there'")
	a.exec("CREATE TABLE odd (id TEXT PRIMARY KEY, " + strings.Join(columns, ", ") + ", UNIQUE (" + strings.Join(columns, ", ") + "))")
	settle(a, b)
	a.wantValue("there", "SELECT c599 FROM ev")
	if len(a.syncer.Status().Unsynced) == 0 {
		t.Error("nobody says that a table stays here")
	}
}

// An expression that is as deep as SQLite allows is deeper in a trigger: the app's writes must not fail of it.
func TestADeepIndex(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE UNIQUE INDEX i ON t (v"+strings.Repeat("||v", 990)+")")
	a.exec("INSERT INTO t VALUES (1, 'a')")
	settle(a, b)
	a.exec("REPLACE INTO t VALUES (2, 'a')")
	settle(a, b)
	wantEverywhere("2", "SELECT group_concat(id) FROM t", a, b)
}

// Another collation of the key forgets nothing of what is known.
func TestAKeyWhoseCollationChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ write, want string }{
		{"UPDATE ev SET x = 'a, later'", "a, later"},
		{"DELETE FROM ev", "no row"},
	} {
		a, b := newPair(t, eventSchema)
		a.exec("INSERT INTO ev VALUES ('one', 'old')")
		settle(a, b)
		b.exec("UPDATE ev SET x = 'b, earlier'")
		tick()
		a.exec(test.write)
		a.sync()
		anew := `BEGIN; CREATE TABLE n (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, x TEXT); INSERT INTO n SELECT * FROM ev;
			DROP TABLE ev; ALTER TABLE n RENAME TO ev; COMMIT`
		a.exec(anew)
		settle(a, b)
		settle(a, b)
		wantEverywhere(test.want, "SELECT x FROM ev", a, b)
		b.exec(anew)
		settle(a, b)
		settle(a, b)
		wantEverywhere(test.want, "SELECT x FROM ev", a, b)
		wantQuiet(t, a, b)
	}
}

// A renamed column travels wherever it is not exactly as in a new row.
func TestRenamedColumnsAreComparedExactly(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE ev (id TEXT PRIMARY KEY NOT NULL, x TEXT COLLATE NOCASE DEFAULT 'a', u DEFAULT 1)"
	const migration = "ALTER TABLE ev RENAME COLUMN x TO y; ALTER TABLE ev RENAME COLUMN u TO w"
	a, b := newPair(t, schema)
	a.exec("INSERT INTO ev VALUES ('1', 'A', 1.0)")
	settle(a, b)
	a.exec(migration)
	b.exec(migration)
	c := newTestDevice(t, schema)
	c.exec(migration)
	settle(a, b)
	c.join(a.folder, a.invite())
	settle(a, b, c)
	wantEverywhere("A real", "SELECT y || ' ' || typeof(w) FROM ev", a, b, c)
}

// A row that is held when its table or key is renamed shows when it can.
func TestHeldRowsOfWhatIsRenamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ migration, table string }{
		{"ALTER TABLE ev RENAME TO ew", "ew"},
		{"ALTER TABLE ev RENAME COLUMN id TO uid", "ev"},
	} {
		a, b := newPair(t, "CREATE TABLE ev (id TEXT PRIMARY KEY NOT NULL, x UNIQUE)")
		a.exec("INSERT INTO ev VALUES ('1', 1)")
		tick()
		b.exec("INSERT INTO ev VALUES ('2', 1)")
		settle(a, b)
		for _, d := range []*testDevice{a, b} {
			d.exec(test.migration)
		}
		settle(a, b)
		settle(a, b)
		b.exec("DELETE FROM " + test.table)
		settle(a, b)
		wantEverywhere("1", "SELECT x FROM "+test.table, a, b)
	}
}

// A Migrate that fails leaves nothing behind that dates what people write afterwards.
func TestEditsAfterAMigrateThatFailed(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, eventSchema)
	a.exec("INSERT INTO ev VALUES ('1', 'old')")
	settle(a, b)
	err := a.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "ALTER TABLE sqlitesync_shapes RENAME TO shapes") // so that capture fails
		return err
	})
	wantText(t, err, "sqlitesync_shapes")
	a.exec("ALTER TABLE shapes RENAME TO sqlitesync_shapes")
	b.exec("UPDATE ev SET x = 'b, earlier'")
	tick()
	a.exec("UPDATE ev SET x = 'a, later'")
	settle(a, b)
	wantEverywhere("a, later", "SELECT x FROM ev", a, b)
}

// What is odd about a table stops no other.
func TestOddTables(t *testing.T) {
	t.Parallel()
	wide := make([]string, 1950)
	for i := range wide {
		wide[i] = fmt.Sprint("c", i)
	}
	for _, schema := range []string{
		"CREATE TABLE odd (id TEXT PRIMARY KEY, n); CREATE UNIQUE INDEX one ON odd ((1)) WHERE n = 1",
		`CREATE TABLE odd (id TEXT PRIMARY KEY, n); CREATE UNIQUE INDEX one ON odd (n, "nothing of this name")`,
		"CREATE TABLE odd (id TEXT NOT NULL, n, PRIMARY KEY (id, id))",
		"CREATE TABLE odd (id TEXT PRIMARY KEY, n, " + strings.Join(wide, ", ") + ")",
		"CREATE TABLE odd (id TEXT PRIMARY KEY, n); CREATE TRIGGER SQLiteSync_touch AFTER INSERT ON odd BEGIN SELECT 1; END",
	} {
		a, b := newPair(t, schema+"; "+eventSchema)
		a.exec("INSERT INTO odd (id, n) VALUES ('1', 1); INSERT INTO ev VALUES ('1', 'x')")
		settle(a, b)
		wantEverywhere("x", "SELECT x FROM ev", a, b)
		if len(a.syncer.Status().Unsynced) == 0 {
			wantEverywhere("1", "SELECT n FROM odd", a, b)
		}
		if strings.Contains(schema, "TRIGGER") {
			a.wantValue("1", "SELECT count(*) FROM sqlite_schema WHERE name = 'SQLiteSync_touch'")
		}
	}
}

// A trigger that ends the transaction of a merge runs in none any more; an index that was never filled stops nothing.
func TestTriggersThatEndAMerge(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		"CREATE TABLE local (id TEXT UNIQUE ON CONFLICT ROLLBACK); INSERT INTO local VALUES ('1'); CREATE TRIGGER tr AFTER DELETE ON ev BEGIN INSERT INTO local VALUES (OLD.id); END",
		`CREATE VIRTUAL TABLE search USING fts5 (x, content = 'ev', content_rowid = 'rowid');
			CREATE TRIGGER tr AFTER DELETE ON ev BEGIN INSERT INTO search (search, rowid, x) VALUES ('delete', OLD.rowid, OLD.x); END`,
	} {
		a, b := newPair(t, eventSchema)
		a.exec("INSERT INTO ev VALUES ('1', 'one two'), ('2', 'three')")
		settle(a, b)
		b.exec(schema)
		a.exec("DELETE FROM ev WHERE id = '1'")
		a.sync()
		for range 2 {
			_ = b.trySync()
		}
		a.exec("INSERT INTO ev VALUES ('3', 'x')")
		settle(a, b)
		wantEverywhere("2,3", "SELECT group_concat(id) FROM (SELECT id FROM ev ORDER BY id)", a, b)
	}
}

// While SQLite can't write to a table, what the app does to it all the same is noted and sent, and what comes in is kept.
func TestATableThatCannotBeWrittenToForAWhile(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, eventSchema)
	a.exec("INSERT INTO ev VALUES ('1', 'old'), ('2', 'old')")
	settle(a, b)
	a.exec("UPDATE ev SET x = 'waits in the log' WHERE id = '1'")
	a.exec("CREATE TRIGGER tr BEFORE INSERT ON ev BEGIN DELETE FROM nowhere; END")
	settle(a, b)
	a.exec("DELETE FROM ev WHERE id = '2'")
	b.exec("INSERT INTO ev VALUES ('3', 'of b')")
	settle(a, b)
	wantEverywhere("1 waits in the log,3 of b", "SELECT group_concat(id || ' ' || x) FROM ev", b)
	a.wantValue("1", "SELECT count(*) FROM ev")
	if len(a.syncer.Status().Unsynced) == 0 || len(a.held()) != 1 {
		t.Errorf("unsynced %v, held %v", a.syncer.Status().Unsynced, a.held())
	}
	a.exec("DROP TRIGGER tr")
	settle(a, b)
	wantEverywhere("1 waits in the log,3 of b", "SELECT group_concat(id || ' ' || x) FROM ev", a, b)
	wantQuiet(t, a, b)
}

// What a merge writes is no edit of this device: nothing of it is noted, so that no pass has to find out that it is no news.
func TestAMergeIsNotCaptured(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1), ('y', 'of a', 1)")
	a.sync()
	b.sync()
	b.wantValue("2", "SELECT count(*) FROM item")
	b.wantValue("0", "SELECT count(*) FROM sqlitesync_log")
	a.exec("UPDATE item SET n = 2; DELETE FROM item WHERE id = 'y'")
	a.sync()
	b.sync()
	b.wantValue("1", "SELECT count(*) FROM item WHERE n = 2")
	b.wantValue("0", "SELECT count(*) FROM sqlitesync_log")
}
