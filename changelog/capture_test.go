package changelog_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGoldenCapture pins the text of triggers and clock tables: every write of the app pays for them, and every program that
// writes to the database runs them.
func TestGoldenCapture(t *testing.T) {
	d := newDevice(t, goldenSchema)
	got := d.text(`SELECT group_concat(sql, char(10)) FROM
		(SELECT sql FROM sqlite_schema WHERE name LIKE 'sqlitesync_%' AND (type = 'trigger' OR name LIKE '%clock%') ORDER BY tbl_name, name)`) + "\n"
	golden := filepath.Join("testdata", "capture.sql")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("capture is\n%s\nwant\n%s", got, want)
	}
}

const goldenSchema = `
	CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT, changed DATETIME);
	CREATE TABLE counter (id INTEGER PRIMARY KEY, n);
	CREATE TABLE person (id BLOB PRIMARY KEY NOT NULL, mail TEXT COLLATE NOCASE UNIQUE, first TEXT, last TEXT,
		room INT NOT NULL DEFAULT 7, UNIQUE (last, first), UNIQUE (room COLLATE RTRIM)) STRICT;
	CREATE TABLE member (team INT, person REAL, role NUMERIC, PRIMARY KEY (person, team)) WITHOUT ROWID;
	CREATE TABLE "odd ""name""" ("select" PRIMARY KEY, rowid, "ü 🙂" UNIQUE);`

// captureCases are writes of an app, one after the other, and what is captured of each.
var captureCases = []struct {
	name   string
	schema string
	steps  []captureStep
}{
	{"insert, update, delete", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", []captureStep{
		{"INSERT INTO t VALUES (1, 'x'), (2, 'y')", []string{`put t 1: "x"`, `put t 2: "y"`}},
		{"UPDATE t SET a = 'z' WHERE id = 1", []string{`put t 1: "z"`}},
		{"UPDATE t SET a = a", nil},
		{"UPDATE t SET a = 'q'; UPDATE t SET a = CASE id WHEN 1 THEN 'z' ELSE 'y' END", nil},
		{"DELETE FROM t WHERE id = 3", nil},
		{"DELETE FROM t WHERE id = 2", []string{"delete t 2"}},
		{"INSERT INTO t VALUES (2, 'y'); DELETE FROM t WHERE id = 2", nil},
		{"DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 'z')", nil},
		{"INSERT INTO t (a) VALUES ('auto')", []string{`put t 2: "auto"`}},
		{"DELETE FROM t", []string{"delete t 1", "delete t 2"}},
	}},
	{"keys that change", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", []captureStep{
		{"INSERT INTO t VALUES (1, 'x'), (2, 'y')", []string{`put t 1: "x"`, `put t 2: "y"`}},
		{"UPDATE t SET id = 3 WHERE id = 1", []string{"delete t 1", `put t 3: "x"`}},
		{"UPDATE t SET rowid = 4 WHERE id = 3", []string{"delete t 3", `put t 4: "x"`}},
		{"UPDATE t SET _rowid_ = 1, a = 'z' WHERE id = 4", []string{"delete t 4", `put t 1: "z"`}},
		{"UPDATE t SET id = -id; UPDATE t SET id = id + 3", []string{`put t 1: "y"`, `put t 2: "z"`}},
		{"UPDATE OR REPLACE t SET id = 2 WHERE id = 1", []string{"delete t 1", `put t 2: "y"`}},
	}},
	{"composite keys", "CREATE TABLE t (a TEXT, b INT, c, PRIMARY KEY (b, a)) WITHOUT ROWID", []captureStep{
		{"INSERT INTO t VALUES ('x', 1, 'c'), ('y', 1, 'd')", []string{`put t 1 "x": "c"`, `put t 1 "y": "d"`}},
		{"UPDATE t SET a = 'z' WHERE a = 'x'", []string{`delete t 1 "x"`, `put t 1 "z": "c"`}},
		{"UPDATE t SET a = CASE a WHEN 'z' THEN 'y' ELSE 'z' END, b = 2", []string{`delete t 1 "y"`, `delete t 1 "z"`, `put t 2 "y": "c"`, `put t 2 "z": "d"`}},
	}},
	{"upsert", "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a)", []captureStep{
		{"INSERT INTO t VALUES (1, 'x', 1) ON CONFLICT DO NOTHING", []string{`put t 1: 1 "x"`}},
		{"INSERT INTO t VALUES (1, 'y', 2) ON CONFLICT DO NOTHING", nil},
		{"INSERT INTO t VALUES (1, 'y', 2) ON CONFLICT (id) DO UPDATE SET a = excluded.a", []string{`put t 1: 2 "x"`}},
		{"INSERT INTO t VALUES (2, 'x', 3) ON CONFLICT (u) DO UPDATE SET a = excluded.a, id = 5", []string{"delete t 1", `put t 5: 3 "x"`}},
	}},
	{"replace", `CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT COLLATE NOCASE UNIQUE, a, b, d INT NOT NULL DEFAULT 7, UNIQUE (a, b), UNIQUE (d))`, []captureStep{
		{"INSERT INTO t VALUES (1, 'x', 1, 1, 1), (2, 'y', 2, 2, 2), (3, 'z', 3, 3, 7)", []string{
			`put t 1: 1 1 1 "x"`, `put t 2: 2 2 2 "y"`, `put t 3: 3 3 7 "z"`}},
		{"REPLACE INTO t VALUES (1, 'x', 1, 1, 1)", nil},
		{"REPLACE INTO t VALUES (4, 'X', 4, 4, 4)", []string{"delete t 1", `put t 4: 4 4 4 "X"`}},
		{"INSERT OR REPLACE INTO t VALUES (5, 'y', 4, 4, 5)", []string{"delete t 2", "delete t 4", `put t 5: 4 4 5 "y"`}},
		{"UPDATE OR REPLACE t SET d = NULL WHERE id = 5", []string{"delete t 3", `put t 5: 4 4 7 "y"`}},
		{"INSERT OR REPLACE INTO t (id, d) VALUES (6, NULL)", []string{"delete t 5", `put t 6: NULL NULL 7 NULL`}},
		{"UPDATE OR REPLACE t SET id = 7, u = 'q'", []string{"delete t 6", `put t 7: NULL NULL 7 "q"`}},
	}},
	{"conflict clauses of constraints", "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE ON CONFLICT REPLACE, a)", []captureStep{
		{"INSERT INTO t VALUES (1, 'x', 1)", []string{`put t 1: 1 "x"`}},
		{"INSERT INTO t VALUES (2, 'x', 1)", []string{"delete t 1", `put t 2: 1 "x"`}},
		{"INSERT OR IGNORE INTO t VALUES (3, 'x', 1)", nil},
	}},
	{"or ignore, fail, rollback", "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)", []captureStep{
		{"INSERT INTO t VALUES (1, 'x')", []string{`put t 1: "x"`}},
		{"INSERT OR IGNORE INTO t VALUES (1, 'y'), (2, 'x'), (3, 'z')", []string{`put t 3: "z"`}},
		{"UPDATE OR IGNORE t SET u = 'x'", nil},
		{"!INSERT OR FAIL INTO t VALUES (4, 'a'), (5, 'x'), (6, 'b')", []string{`put t 4: "a"`}},
		{"!INSERT INTO t VALUES (7, 'c'), (8, 'x')", nil},
		{"!BEGIN; INSERT INTO t VALUES (7, 'c'); INSERT OR ROLLBACK INTO t VALUES (8, 'x')", nil},
	}},
	{"transactions", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", []captureStep{
		{"BEGIN; INSERT INTO t VALUES (1, 1); ROLLBACK", nil},
		{"BEGIN; INSERT INTO t VALUES (1, 1); SAVEPOINT s; INSERT INTO t VALUES (2, 1); ROLLBACK TO s; INSERT INTO t VALUES (3, 1); COMMIT",
			[]string{"put t 1: 1", "put t 3: 1"}},
		{"BEGIN; SAVEPOINT s; DELETE FROM t; RELEASE s; COMMIT", []string{"delete t 1", "delete t 3"}},
	}},
	{"foreign keys", `PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
		CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE);
		CREATE TABLE n (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE SET NULL)`, []captureStep{
		{"INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (10, 1); INSERT INTO n VALUES (20, 2)",
			[]string{"put p 1: ", "put p 2: ", "put c 10: 1", "put n 20: 2"}},
		{"UPDATE p SET id = 3 WHERE id = 1", []string{"delete p 1", "put p 3: ", "put c 10: 3"}},
		{"DELETE FROM p", []string{"delete p 2", "delete p 3", "delete c 10", "put n 20: NULL"}},
	}},
	{"triggers of the app", `CREATE TABLE t (id INTEGER PRIMARY KEY, a, n DEFAULT 0); CREATE TABLE log (id INTEGER PRIMARY KEY, a);
		CREATE TRIGGER one AFTER INSERT ON t BEGIN UPDATE t SET n = n + 1 WHERE id = NEW.id; INSERT INTO log (a) VALUES (NEW.a); END`, []captureStep{
		{"INSERT INTO t (id, a) VALUES (1, 'x')", []string{`put t 1: "x" 1`, `put log 1: "x"`}},
	}},
	{"generated columns", "CREATE TABLE t (id INTEGER PRIMARY KEY, a, v AS (a * 2), s AS (a * 3) STORED)", []captureStep{
		{"INSERT INTO t VALUES (1, 2)", []string{"put t 1: 2"}},
		{"UPDATE t SET a = 3", []string{"put t 1: 3"}},
	}},
	{"nothing but a key", "CREATE TABLE t (a, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID; CREATE TABLE s (id INTEGER PRIMARY KEY)", []captureStep{
		{"INSERT INTO t VALUES (1, 'x'); INSERT INTO s DEFAULT VALUES", []string{`put t 1 "x": `, "put s 1: "}},
		{"UPDATE t SET b = b", nil},
		{"UPDATE t SET b = 'y'", []string{`delete t 1 "x"`, `put t 1 "y": `}},
	}},
	{"rows with NULL in their key", "CREATE TABLE t (id TEXT PRIMARY KEY, a)", []captureStep{
		{"INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('x', 3)", []string{`put t "x": 3`}},
		{"UPDATE t SET a = a + 1", []string{`put t "x": 4`}},
		{"UPDATE t SET id = 'y' WHERE a = 2", []string{`put t "y": 2`}},
		{"UPDATE t SET id = NULL WHERE id = 'x'", []string{`delete t "x"`}},
		{"DELETE FROM t WHERE id IS NULL", nil},
	}},
	{"keys that are equal but not alike", "CREATE TABLE t (id PRIMARY KEY, a)", []captureStep{
		{"INSERT INTO t VALUES (1, 'x'), ('1', 'y'), (x'31', 'z'), (-0.0, '0')", []string{`put t 1: "x"`, `put t "1": "y"`, `put t x'31': "z"`, `put t -0.0: "0"`}},
		{"UPDATE t SET id = 1.0 WHERE id = 1", []string{`put t 1.0: "x"`}},
		{"UPDATE t SET id = 0 WHERE a = '0'", []string{`put t 0: "0"`}},
		{"DELETE FROM t WHERE id = '1'", []string{`delete t "1"`}},
	}},
	{"keys under NOCASE", "CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, a)", []captureStep{
		{"INSERT INTO t VALUES ('a', 1), ('b', 2)", []string{`put t "a": 1`, `put t "b": 2`}},
		{"UPDATE t SET id = 'A' WHERE id = 'A'", []string{`put t "A": 1`}},
		{"UPDATE t SET id = 'A' WHERE id = 'a'; UPDATE t SET a = a", nil},
		{"REPLACE INTO t VALUES ('a', 3)", []string{`put t "a": 3`}},
		{"DELETE FROM t WHERE id = 'A'; INSERT INTO t VALUES ('A', 4)", []string{`put t "A": 4`}},
		{"UPDATE t SET id = id || 'x'", []string{`delete t "A"`, `delete t "b"`, `put t "Ax": 4`, `put t "bx": 2`}},
		{"DELETE FROM t WHERE id = 'AX'", []string{`delete t "Ax"`}},
	}},
	{"keys with a collation of their own", "CREATE TABLE t (id TEXT COLLATE NOCASE, b TEXT, a, PRIMARY KEY (id COLLATE BINARY, b COLLATE RTRIM)) WITHOUT ROWID", []captureStep{
		{"INSERT INTO t VALUES ('a', 'x', 1), ('A', 'x', 2)", []string{`put t "a" "x": 1`, `put t "A" "x": 2`}},
		{"UPDATE t SET b = 'x ' WHERE a = 1", []string{`put t "a" "x ": 1`}},
		{"UPDATE t SET id = 'q', b = 'y' WHERE a = 1; UPDATE t SET id = 'Q' WHERE a = 1", []string{`delete t "a" "x "`, `put t "Q" "y": 1`}},
		{"DELETE FROM t", []string{`delete t "Q" "y"`, `delete t "A" "x"`}},
	}},
	{"replace by an expression", `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER NOT NULL DEFAULT (3 + 4), "o""d");
		CREATE UNIQUE INDEX i ON t (lower(a) DESC, n = '7'); CREATE UNIQUE INDEX j ON t (("o""d" || '-' || n) COLLATE NOCASE)`, []captureStep{
		{`INSERT INTO t VALUES (1, 'A', 1, 'x'), (2, 'b', 7, 'y')`, []string{`put t 1: "A" 1 "x"`, `put t 2: "b" 7 "y"`}},
		{`REPLACE INTO t VALUES (3, 'B', 7, 'z')`, []string{`delete t 2`, `put t 3: "B" 7 "z"`}},
		{`UPDATE OR REPLACE t SET a = 'q', n = 1, "o""d" = 'X' WHERE id = 3`, []string{`delete t 1`, `put t 3: "q" 1 "X"`}},
		{`INSERT INTO t VALUES (4, 'r', 7, 'x')`, []string{`put t 4: "r" 7 "x"`}},
		{`UPDATE OR REPLACE t SET n = NULL WHERE id = 3`, []string{`delete t 4`, `put t 3: "q" 7 "X"`}},
	}},
	{"replace in a partial index", `CREATE TABLE t (id INTEGER PRIMARY KEY, a, gone BOOLEAN); CREATE UNIQUE INDEX i ON t (a) WHERE NOT gone`, []captureStep{
		{"INSERT INTO t VALUES (1, 'x', 0), (2, 'x', 1), (3, 'x', 1)", []string{`put t 1: "x" 0`, `put t 2: "x" 1`, `put t 3: "x" 1`}},
		{"UPDATE OR REPLACE t SET gone = 0 WHERE id = 2", []string{"delete t 1", `put t 2: "x" 0`}},
		{"REPLACE INTO t VALUES (4, 'x', 1), (5, 'x', 0)", []string{"delete t 2", `put t 4: "x" 1`, `put t 5: "x" 0`}},
	}},
	{"replace by a generated column", `CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, v AS (a + b) UNIQUE, s AS (v || 'x') STORED UNIQUE, w AS (a) );
		CREATE UNIQUE INDEX i ON t (abs(w)) WHERE v > 10`, []captureStep{
		{"INSERT INTO t (id, a, b) VALUES (1, 2, 3), (2, 10, 10)", []string{"put t 1: 2 3", "put t 2: 10 10"}},
		{"REPLACE INTO t (id, a, b) VALUES (3, 1, 4)", []string{"delete t 1", "put t 3: 1 4"}},
		{"UPDATE OR REPLACE t SET a = 16 WHERE id = 3", []string{"delete t 2", "put t 3: 16 4"}},
		{"REPLACE INTO t (id, a, b) VALUES (4, -16, 40)", []string{"delete t 3", "put t 4: -16 40"}},
	}},
	{"replace through an index that nobody else can compute", `CREATE TABLE t (id INTEGER PRIMARY KEY, v, g AS (CASE WHEN json_valid(v) THEN v ->> 'g' END)); CREATE UNIQUE INDEX i ON t (json_extract(v, '$.a')) WHERE json_valid(v);
		CREATE UNIQUE INDEX j ON t (g) WHERE json_valid(v)`, []captureStep{
		{`INSERT INTO t VALUES (1, '{"a":1}'), (2, 'odd'), (3, '{"g":2}')`, []string{`put t 1: "{\"a\":1}"`, `put t 2: "odd"`, `put t 3: "{\"g\":2}"`}},
		{`REPLACE INTO t VALUES (4, '{"a":1}'), (5, 'odd')`, []string{"delete t 1", `put t 4: "{\"a\":1}"`, `put t 5: "odd"`}},
		{`UPDATE OR REPLACE t SET v = '{"g":2}' WHERE id = 5`, []string{"delete t 3", `put t 5: "{\"g\":2}"`}},
	}},
	{"odd names", `CREATE TABLE "odd ""t"" 🙂" ("select" TEXT PRIMARY KEY, rowid, "a b" UNIQUE, "C""d")`, []captureStep{
		{`INSERT INTO "odd ""t"" 🙂" VALUES ('k', 1, 2, 3)`, []string{`put odd "t" 🙂 "k": 2 3 1`}},
		{`REPLACE INTO "odd ""t"" 🙂" VALUES ('l', 1, 2, 3)`, []string{`delete odd "t" 🙂 "k"`, `put odd "t" 🙂 "l": 2 3 1`}},
	}},
	{"a key called rowid", "CREATE TABLE t (rowid TEXT PRIMARY KEY, a)", []captureStep{
		{"INSERT INTO t VALUES ('k', 1)", []string{`put t "k": 1`}},
		{"UPDATE t SET rowid = 'l'", []string{`delete t "k"`, `put t "l": 1`}},
	}},
	{"strict", "CREATE TABLE t (id INT PRIMARY KEY, a ANY, r REAL) STRICT", []captureStep{
		{"INSERT INTO t VALUES ('1', '1', 1)", []string{`put t 1: "1" 1.0`}},
	}},
}

type captureStep struct {
	write string // with "!": fails
	want  []string
}

func TestCapture(t *testing.T) {
	for _, test := range captureCases {
		for _, recursive := range []string{"recursive_triggers(0)", "recursive_triggers(1)"} {
			t.Run(test.name+"/"+recursive, func(t *testing.T) {
				d := newDevice(t, test.schema, recursive)
				for _, step := range test.steps {
					if write, fails := strings.CutPrefix(step.write, "!"); fails {
						d.refused(write)
					} else {
						d.exec(write)
					}
					d.expect(step.want...)
					if t.Failed() {
						t.Fatalf("after %s", step.write)
					}
				}
			})
		}
	}
}

// TestCaptureInTheShell runs the same writes through the sqlite3 program of this machine, which knows nothing of us.
func TestCaptureInTheShell(t *testing.T) {
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("there is no sqlite3 on this machine: ", err)
	}
	for _, test := range captureCases {
		t.Run(test.name, func(t *testing.T) {
			d := newDevice(t, test.schema)
			for _, step := range test.steps {
				write, fails := strings.CutPrefix(step.write, "!")
				if strings.Contains(test.schema, "foreign_keys = ON") {
					write = "PRAGMA foreign_keys = ON; " + write
				}
				out, err := exec.Command(shell, "-bail", d.path, write).CombinedOutput()
				if (err != nil) != fails {
					t.Fatalf("%s: %v, %s", write, err, out)
				}
				d.expect(step.want...)
				if t.Failed() {
					t.Fatalf("after %s", step.write)
				}
			}
		})
	}
}

// Triggers fire as well when the app writes to the file through another database that it is attached to.
func TestCaptureWhenAttached(t *testing.T) {
	d, other := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)"), newApp(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
	other.exec("ATTACH ? AS synced", d.path)
	other.exec("INSERT INTO synced.t VALUES (1, 'x'); INSERT INTO t VALUES (9); REPLACE INTO synced.t VALUES (2, 'x')")
	d.expect(`put t 2: "x"`)
	other.exec("DETACH synced")
}

// What an app reads back about its own statement must not change.
func TestCaptureIsInvisible(t *testing.T) {
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)")
	result, err := d.app.Exec("INSERT INTO t VALUES (41, 'x'), (42, 'y')")
	d.check(err)
	id, _ := result.LastInsertId()
	if rows, _ := result.RowsAffected(); id != 42 || rows != 2 {
		t.Errorf("an insert reports the id %d and %d rows", id, rows)
	}
	if got := d.text("UPDATE t SET u = 'z' WHERE id = 41 RETURNING id || u || changes()"); got != "41z2" {
		t.Errorf("RETURNING says %q", got)
	}
	if got := d.text("SELECT changes() || ' ' || last_insert_rowid()"); got != "1 42" {
		t.Errorf("changes and rowid are %q", got)
	}
}

// Dropping and adding columns that are no part of a key or a unique index is none of our business.
func TestCaptureAllowsMigrations(t *testing.T) {
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, a, b)")
	d.exec("INSERT INTO t VALUES (1, 'x', 1, 1)")
	d.expect(`put t 1: 1 1 "x"`)
	for _, ddl := range []string{"ALTER TABLE t DROP COLUMN a", "ALTER TABLE t RENAME COLUMN b TO c", "ALTER TABLE t RENAME COLUMN id TO uid",
		"ALTER TABLE t RENAME COLUMN u TO v", "ALTER TABLE t ADD COLUMN d", "CREATE INDEX i ON t (d)", "ALTER TABLE t RENAME TO s"} {
		d.exec(ddl)
		changed, err := d.db.SchemaChanged(context.Background())
		d.check(err)
		if !changed {
			t.Errorf("%s was not noticed", ddl)
		}
		d.capture()
	}
	d.pending()
	d.exec("UPDATE s SET d = 1")
	d.expect(`put s 1: 1 1 "x"`)
	if got := d.text("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"); got != "6" {
		t.Errorf("%s triggers are left, want 6", got)
	}
}

// Capture changes nothing that is as it should be, mends what is not, and forgets what takes part no longer.
func TestCaptureAgain(t *testing.T) {
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); CREATE TABLE s (id INTEGER PRIMARY KEY)")
	version := d.text("PRAGMA schema_version")
	for range 2 {
		d.capture()
		if got := d.text("PRAGMA schema_version"); got != version {
			t.Fatalf("a second capture changed the schema")
		}
	}
	if changed, err := d.db.SchemaChanged(context.Background()); changed || err != nil {
		t.Errorf("the schema is said to have changed: %v", err)
	}
	d.exec("DROP TRIGGER sqlitesync_1_delete; DROP TRIGGER sqlitesync_1_insert; CREATE TRIGGER sqlitesync_1_insert AFTER INSERT ON s BEGIN SELECT 1; END")
	d.capture()
	d.exec("INSERT INTO s VALUES (1); INSERT INTO t VALUES (1, 'x')")
	d.expect("put s 1: ", `put t 1: "x"`)
	d.exec("DELETE FROM s; DELETE FROM t")
	d.expect("delete s 1", "delete t 1")

	d.transact(func(ctx context.Context) error { return d.db.Capture(ctx, changelog.Selection{Exclude: []string{"S"}}) })
	d.exec("INSERT INTO s VALUES (1); INSERT INTO t VALUES (1, 'x')")
	d.expect(`put t 1: "x"`)
	d.transact(func(ctx context.Context) error { return changelog.Uninstall(ctx, d.conn) })
	if got := d.text("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%sqlitesync%' OR sql LIKE '%sqlitesync%'"); got != "0" {
		t.Errorf("%s things are left after Uninstall", got)
	}
	d.exec("INSERT INTO s VALUES (2); INSERT INTO t VALUES (2, 'y')")
}

// A migration can rebuild a table with another key. With more columns it is a key of other rows; with another type the rows
// go on, and are told under the keys that they have now.
func TestCaptureOfAnotherKey(t *testing.T) {
	for _, test := range []struct {
		rebuilt string
		known   bool
		want    []string
	}{
		{"CREATE TABLE t (id TEXT PRIMARY KEY, a)", true, []string{`put t "1": "x"`, `put t "2": "x"`}},
		{"CREATE TABLE t (id INTEGER, b INT DEFAULT 0, a, PRIMARY KEY (b, id))", false, []string{`put t 0 2: "x"`}},
	} {
		d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
		d.exec("INSERT INTO t VALUES (1, 'x')")
		d.expect(`put t 1: "x"`)
		d.baseline(10)
		d.exec("DROP TABLE t; " + test.rebuilt + "; INSERT INTO t (id, a) VALUES (1, 'x')")
		d.capture()
		if table := d.db.Tables[0]; (table.Phase != changelog.PhaseNew) != test.known {
			t.Errorf("%s: the rows are in phase %d", test.rebuilt, table.Phase)
		}
		d.baseline(10)
		d.exec("INSERT INTO t (id, a) VALUES (1, 'x'), (2, 'x') ON CONFLICT DO NOTHING")
		d.expect(test.want...)
	}
}

func TestStamps(t *testing.T) {
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
	before := time.Now().UnixMilli()
	d.exec("INSERT INTO t VALUES (1, 0)")
	edit := d.pending()[0]
	if c := edit.Change; c.Stamp.Time < before || c.Stamp.Time > time.Now().UnixMilli() || c.Stamp.Device != self || c.Stamp.Batch != 1 || c.Birth != c.Stamp {
		t.Errorf("stamp %v, birth %v at %d", c.Stamp, c.Birth, before)
	}
	birth := edit.Change.Stamp
	for i, test := range []struct {
		at         string
		write      string
		time       int64 // up to 2: the known time and so much
		birthStays bool
	}{
		{"2440587.5", "UPDATE t SET a = ?", 2, true},                                     // found, not noted
		{"2440587.4", "UPDATE t SET a = ?", 1, true},                                     // 1969
		{"0", "UPDATE t SET a = ?", 1, true},                                             // 4714 BC
		{"-1e300", "UPDATE t SET a = ?", 1, true},                                        // no time at all
		{"9e999", "UPDATE t SET a = ?", 1, true},                                         // infinite
		{"julianday('9999-12-31 23:59:59', '+1 second')", "UPDATE t SET a = ?", 1, true}, // NULL
		{"julianday('2099-12-31T23:59:59.999')", "UPDATE t SET a = ?", 4102444799999, true},
		{"julianday('now')", "UPDATE t SET a = ?", 1, true}, // 2099 is no trap
		{"julianday('now')", "DELETE FROM t WHERE a < ?", 1, false},
		{"julianday('now')", "INSERT INTO t VALUES (1, ?)", 1, false},
		{"julianday('9999-12-31T23:59:59.999')", "UPDATE t SET a = ?", 253402300799999, true},
	} {
		d.exec(test.write, i+100)
		d.exec("UPDATE sqlitesync_log SET at = " + test.at)
		edits := d.pending()
		if len(edits) != 1 {
			t.Fatalf("%d edits at %s", len(edits), test.at)
		}
		next := edits[0].Change
		want := test.time
		if want <= 2 {
			want += edit.Change.Stamp.Time
		}
		if next.Stamp.Time != want {
			t.Errorf("time %d at %s, want %d", next.Stamp.Time, test.at, want)
		}
		if next.Shape.Kind == changelog.Full && !test.birthStays {
			birth = next.Stamp
		}
		if next.Shape.Kind == changelog.Full && next.Birth != birth {
			t.Errorf("birth %v at %s, want %v", next.Birth, test.at, birth)
		}
		edit = edits[0]
	}
}

// A Julian day in a float64 is exact to some microseconds; no millisecond may be lost on the way.
func TestJulianDays(t *testing.T) {
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
	base := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		at := base.Add(time.Duration(i*86_413) * time.Millisecond)
		d.exec("INSERT INTO t VALUES (?, 0)", i)
		d.exec("UPDATE sqlitesync_log SET at = julianday(?) WHERE k0 = ?", at.Format("2006-01-02T15:04:05.000"), i)
	}
	for _, edit := range d.pending() {
		at := base.Add(time.Duration(edit.Change.Key[0].(int64) * 86_413 * int64(time.Millisecond)))
		if edit.Change.Stamp.Time != at.UnixMilli() {
			t.Fatalf("%v became %d", at, edit.Change.Stamp.Time)
		}
	}
}

func TestAddedColumns(t *testing.T) {
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
	d.exec("INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'x')")
	d.pending()
	d.exec(`ALTER TABLE t ADD COLUMN n INTEGER NOT NULL DEFAULT '7'; ALTER TABLE t ADD COLUMN r REAL DEFAULT 1;
		ALTER TABLE t ADD COLUMN s TEXT DEFAULT 5; ALTER TABLE t ADD COLUMN b DEFAULT x''; ALTER TABLE t ADD COLUMN y BOOLEAN DEFAULT TRUE`)
	d.capture()
	d.exec("UPDATE t SET a = a")
	d.expect()
	d.exec("UPDATE t SET a = 'y' WHERE id = 1; UPDATE t SET n = 8 WHERE id = 2; DELETE FROM t WHERE id = 3")
	d.expect(`put t 1: "y" x'' 7 1.0 "5" 1`, `put t 2: "x" x'' 8 1.0 "5" 1`, "delete t 3")
	d.exec("ALTER TABLE t DROP COLUMN b")
	d.capture()
	d.exec("UPDATE t SET a = a WHERE id = 1")
	d.expect(`put t 1: "y" 7 1.0 "5" 1`)
}

func TestBaseline(t *testing.T) {
	d := newApp(t, "CREATE TABLE t (a, b TEXT, c, PRIMARY KEY (b, a))")
	d.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6001)
		INSERT INTO t SELECT CASE i % 3 WHEN 0 THEN i WHEN 1 THEN i / 8.0 ELSE CAST(i AS BLOB) END, i % 50, i FROM n`)
	d.exec("INSERT INTO t VALUES (NULL, 'x', 1), (1, NULL, 2)")
	d.transact(func(ctx context.Context) error { return changelog.CreateTables(ctx, d.conn) })
	d.capture()
	if got := d.baseline(1000); got != 6001 {
		t.Errorf("%d rows have a clock, want 6001", got)
	}
	if got := d.baseline(7000); got != 6001 {
		t.Errorf("%d rows have a clock after a second time, want 6001", got)
	}
	table := d.db.Tables[0]
	if null, err := d.db.NullKeys(context.Background(), table); !null || err != nil {
		t.Errorf("rows with NULL in their key: %t, %v", null, err)
	}
	d.exec("UPDATE t SET c = c")
	d.expect()
	d.exec("UPDATE t SET c = 'new' WHERE c = 6; DELETE FROM t WHERE c = 9")
	edits := d.pending()
	if len(edits) != 2 || edits[0].Change.Shape.Kind == changelog.Full && !edits[0].Change.Birth.Baseline() {
		t.Errorf("edits of baseline rows: %+v", edits)
	}
	seen := make(map[string]bool)
	d.transact(func(ctx context.Context) error {
		for after := changelog.Key(nil); ; {
			rows, err := d.db.Unsent(ctx, table, after, 999)
			if err != nil || len(rows) == 0 {
				return err
			}
			for _, row := range rows {
				if !row.Stamp.Baseline() || !row.Birth.Baseline() || row.Shape != table.Put {
					t.Fatalf("a baseline row has the stamp %v", row.Stamp)
				}
				seen[row.Key.Identity()] = true
			}
			if err := d.db.Record(ctx, table, rows, changelog.Shown, changelog.Digest{}); err != nil {
				return err
			}
			after = rows[len(rows)-1].Key
		}
	})
	if len(seen) != 5999 {
		t.Errorf("%d rows are published, want 5999", len(seen))
	}
	d.exec("UPDATE t SET c = c")
	d.expect()
}

// What the app does between Capture and Baseline: a row that goes may be one that another device has too.
func TestEditsBeforeBaseline(t *testing.T) {
	d := newApp(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')")
	d.transact(func(ctx context.Context) error { return changelog.CreateTables(ctx, d.conn) })
	d.capture()
	d.exec("DELETE FROM t WHERE id = 1; UPDATE t SET a = 'new' WHERE id = 2")
	d.expect("delete t 1", `put t 2: "new"`)
	if got := d.baseline(10); got != 1 {
		t.Errorf("%d rows are baseline, want 1", got)
	}
	d.exec("INSERT INTO t VALUES (4, 'q'); DELETE FROM t WHERE id IN (1, 4)")
	d.expect()
}

func ExampleShape() {
	shape := changelog.NewShape(changelog.Full, "Note", []string{"ID"}, []string{"Title", "body"})
	fmt.Println(shape.Table, shape.Key, shape.Columns, shape.Contains("body"))
	// Output: note [id] [body title] true
}

// Rows are read as many at a time as are good to have in memory.
func TestLargeRows(t *testing.T) {
	d := newApp(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
	d.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) INSERT INTO t SELECT i, zeroblob(1000000) FROM n")
	d.transact(func(ctx context.Context) error { return changelog.CreateTables(ctx, d.conn) })
	d.capture()
	table := d.db.Table("t")
	d.transact(func(ctx context.Context) error {
		if _, err := d.db.Baseline(ctx, table, nil, 100); err != nil {
			return err
		}
		rows, err := d.db.Unsent(ctx, table, nil, 100)
		if len(rows) < 30 || len(rows) > 35 {
			t.Errorf("%d unsent rows of 1 MB at once", len(rows))
		}
		return err
	})
	d.exec("UPDATE t SET v = zeroblob(2000000)")
	d.transact(func(ctx context.Context) error {
		if _, err := d.db.Pending(ctx, d.page(ctx), 1); !errors.Is(err, changelog.ErrPageSize) {
			t.Errorf("40 rows of 2 MB at once: %v", err)
		}
		page, err := d.db.Page(ctx, 1)
		if err != nil {
			return err
		}
		edits, err := d.db.Pending(ctx, page, 1)
		if len(edits) != 1 {
			t.Errorf("%d edits", len(edits))
		}
		return err
	})
}

// What a default or an index is written like is no reason for anything to fail, or to be missed.
func TestOddTexts(t *testing.T) {
	for _, schema := range []string{
		"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, a INTEGER NOT NULL DEFAULT (1 -- one\n), UNIQUE (v, a))",
		"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE UNIQUE INDEX i ON t (lower(v /*///////*/))",
		"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, 'g' TEXT AS (lower(v)) UNIQUE)",
		"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE UNIQUE INDEX i ON t (v || '' COLLATE \"NOCASE\")",
		"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE UNIQUE INDEX i ON t (v) WHERE main.t.v IS NOT NULL",
		"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE UNIQUE INDEX i ON t (v) WHERE \"rowid\" > -5",
	} {
		d := newDevice(t, schema)
		d.exec("INSERT INTO t (id, v) VALUES (1, 'a')")
		d.pending()
		d.exec("INSERT OR REPLACE INTO t (id, v) VALUES (2, 'a')")
		if edits := d.pending(); len(edits) != 2 {
			t.Errorf("%s: %d edits, want those of two rows", schema, len(edits))
		}
	}
	// A default takes the place of NULL in a generated column.
	d := newDevice(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL DEFAULT 'Z', 'g' TEXT AS (lower(v))); CREATE UNIQUE INDEX i ON t (g || '')`)
	d.exec("INSERT INTO t VALUES (1, 'Z'), (2, 'b')")
	d.pending()
	d.exec("UPDATE OR REPLACE t SET v = NULL WHERE id = 2")
	if edits := d.pending(); len(edits) != 2 {
		t.Errorf("a default that replaces NULL: %d edits, want 2", len(edits))
	}
}

// In a trigger's query from a table called new, NEW is the table.
func TestATableCalledNew(t *testing.T) {
	d := newDevice(t, `CREATE TABLE "new" (id INTEGER PRIMARY KEY, a TEXT UNIQUE)`)
	d.exec(`INSERT INTO "new" VALUES (1, 'a'), (2, 'b'), (3, 'c')`)
	var logged int
	d.check(d.app.QueryRow("SELECT count(*) FROM sqlitesync_log").Scan(&logged))
	if logged != 3 {
		t.Errorf("%d entries for 3 inserts", logged)
	}
	d.pending()
	d.exec(`REPLACE INTO "new" VALUES (4, 'a')`)
	if edits := d.pending(); len(edits) != 2 {
		t.Errorf("%d edits, want those of two rows", len(edits))
	}
}

// What an index on an expression has of a row depends on the types and collations of the columns in it.
func TestComparisonsInIndexes(t *testing.T) {
	for _, declared := range []string{"", "INTEGER", "TEXT", "REAL", "NUMERIC", "TEXT COLLATE NOCASE"} {
		for _, expression := range []string{"a = '1'", "a = 1", "a < '5'", "a || '' = 1", "a IN ('1', 'x')", "a BETWEEN '0' AND '3'", "typeof(a)", "a = 'X'", "a IS 1",
			"CASE a WHEN 1 THEN 2 ELSE 3 END", "nullif(a, 1) IS NULL", "max(a, 'x')", "a + 1", "a || ''"} {
			d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a "+declared+"); CREATE UNIQUE INDEX i ON t (("+expression+"))")
			for _, value := range []any{1, "1", 1.0, "x", "X", []byte("1")} {
				d.exec("DELETE FROM t")
				d.exec("INSERT INTO t VALUES (1, ?)", value)
				d.pending()
				d.exec("INSERT OR REPLACE INTO t VALUES (2, ?)", value)
				if edits := d.pending(); len(edits) != 2 {
					t.Errorf("%s of a %s column, %v: %d edits, want those of two rows", expression, declared, value, len(edits))
				}
			}
		}
	}
}
