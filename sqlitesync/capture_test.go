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

// A table goes on with what is known of its rows under another name, whoever takes the old one.
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
		wantEverywhere("2", "SELECT group_concat(id) FROM log", a, b)
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
	a.close()
	a.options.Tables = []string{"ev"}
	a.open()
	err := a.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "ALTER TABLE ev RENAME TO ew")
		return err
	})
	wantIs(t, err, ErrSchema)
	a.exec("ALTER TABLE ew RENAME TO ev")
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
