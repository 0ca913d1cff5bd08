package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

const migratedSchema = `CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT, tag TEXT, n INTEGER DEFAULT 7);
	CREATE TABLE team (a INT, b TEXT COLLATE NOCASE, v, PRIMARY KEY (b, a)) WITHOUT ROWID`

var migrations = []struct {
	name, script string
	query        string // what a device shows of note '1' and '3' afterwards
	want         string
	atOnce       bool // needs Migrate
}{
	{"add a column", "ALTER TABLE note ADD COLUMN c DEFAULT 'none'", "SELECT title, c FROM note", "A none, C none", false},
	{"add a column and fill it", "ALTER TABLE note ADD COLUMN c; UPDATE note SET c = lower(title)", "SELECT title, c FROM note", "A a, C c", false},
	{"rename a column", "ALTER TABLE note RENAME COLUMN title TO head", "SELECT head, tag FROM note", "A x, C x", false},
	{"rename three columns, add one", "ALTER TABLE note RENAME COLUMN title TO head; ALTER TABLE note RENAME COLUMN tag TO label; ALTER TABLE note RENAME COLUMN n TO number; ALTER TABLE note ADD COLUMN c",
		"SELECT label, head, number FROM note", "x A 7, x C 7", false},
	{"drop a column", "ALTER TABLE note DROP COLUMN tag", "SELECT title, n FROM note", "A 7, C 7", false},
	{"rename the table", "ALTER TABLE note RENAME TO memo", "SELECT title, tag FROM memo", "A x, C x", false},
	{"rename the key", "ALTER TABLE note RENAME COLUMN id TO uid", "SELECT title, tag FROM note", "A x, C x", false},
	{"rename the table and all columns", "ALTER TABLE note RENAME COLUMN id TO uid; ALTER TABLE note RENAME TO memo; ALTER TABLE memo RENAME COLUMN title TO head", "SELECT head, tag FROM memo", "A x, C x", false},
	{"rename another table's key", "ALTER TABLE team RENAME COLUMN a TO z; ALTER TABLE team RENAME COLUMN v TO w", "SELECT z, b, w FROM team", "1 x p, 2 y q", false},
	{"a unique index", "CREATE UNIQUE INDEX u ON note (title)", "SELECT title FROM note", "A, C", false},
	{"make the table anew", `CREATE TABLE note_new (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, tag TEXT, n INTEGER DEFAULT 7, c DEFAULT 1);
		INSERT INTO note_new (id, title, tag, n) SELECT id, title, tag, n FROM note; DROP TABLE note; ALTER TABLE note_new RENAME TO note`, "SELECT title, c FROM note", "A 1, C 1", false},
	{"make the table anew, the other way", `ALTER TABLE note RENAME TO note_old; CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT, tag TEXT DEFAULT 'd', n INTEGER DEFAULT 7);
		INSERT INTO note SELECT id, title, tag, n FROM note_old; DROP TABLE note_old`, "SELECT title, tag FROM note", "A x, C x", false},
	{"drop a column that a unique index names", "CREATE UNIQUE INDEX u ON note (title, tag)\nDROP INDEX u; ALTER TABLE note DROP COLUMN tag", "SELECT title, n FROM note", "A 7, C 7", true},
	{"change rows", "UPDATE note SET title = lower(title); UPDATE team SET v = upper(v)", "SELECT title, tag FROM note", "a x, c x", false},
}

// Each migration is run on devices that have synced and on one that joins afterwards, in plain SQL and through Migrate.
func TestMigrations(t *testing.T) {
	long(t)
	t.Parallel()
	for _, m := range migrations {
		for _, atOnce := range []bool{false, true} {
			if m.atOnce && !atOnce {
				continue
			}
			name := m.name + "/plain"
			if atOnce {
				name = m.name + "/Migrate"
			}
			t.Run(name, func(t *testing.T) {
				a, b := newPair(t, migratedSchema)
				run := func(d *testDevice) {
					t.Helper()
					for script := range strings.SplitSeq(m.script, "\nDROP") {
						if !strings.HasPrefix(m.script, script) {
							script = "DROP" + script
						}
						if atOnce && d.syncer != nil {
							must(t, d.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
								_, err := db.ExecContext(ctx, script)
								return err
							}))
						} else {
							d.exec("PRAGMA foreign_keys = OFF; BEGIN; " + script + "; COMMIT; PRAGMA foreign_keys = ON")
						}
						if d.syncer != nil {
							d.sync()
						}
					}
				}
				a.exec("INSERT INTO note (id, title, tag) VALUES ('1', 'A', 'x'), ('2', 'B', 'x'); INSERT INTO team VALUES (1, 'X', 'p'), (2, 'y', 'q')")
				b.exec("INSERT INTO note (id, title, tag) VALUES ('3', 'C', 'x')")
				settle(a, b)
				a.exec("DELETE FROM note WHERE id = '2'") // still in the log
				b.exec("UPDATE team SET b = 'x' WHERE a = 1")
				run(a)
				settle(a, b)
				run(b)
				settle(a, b)
				settle(a, b)
				got := func(d *testDevice) string {
					return d.value("SELECT group_concat(line, ', ') FROM (SELECT concat_ws(' ', " + strings.TrimPrefix(strings.Replace(m.query, " FROM ", ") AS line FROM ", 1), "SELECT ") + " ORDER BY 1)")
				}
				for _, d := range []*testDevice{a, b} {
					if text := got(d); text != m.want {
						t.Errorf("shows %q, want %q", text, m.want)
					}
				}
				wantSame(t, []*testDevice{a, b})
				c := newTestDevice(t, migratedSchema)
				run(c)
				c.join(a.folder, a.invite())
				settle(a, b, c)
				if text := got(c); text != m.want {
					t.Errorf("a newcomer shows %q, want %q", text, m.want)
				}
				wantSame(t, []*testDevice{a, b, c})
				for _, d := range []*testDevice{a, b, c} {
					d.exec("UPDATE team SET b = b")
					d.wantHealthy()
				}
				wantQuiet(t, a, b, c)
			})
		}
	}
}

// What a migration writes loses against every edit that its device had not seen, whatever the clocks say, and takes nothing
// with it that it did not change.
func TestAMigrationLosesAgainstEdits(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, migratedSchema)
	a.exec("INSERT INTO note (id, title, tag) VALUES ('1', 'old', 'x'), ('2', 'old', 'x'), ('3', 'old', 'x')")
	settle(a, b)
	b.exec("UPDATE note SET title = 'edited' WHERE id <> '3'")
	b.sync()
	err := a.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error { // a day later, say
		_, err := db.ExecContext(ctx, "ALTER TABLE note ADD COLUMN c; UPDATE note SET c = 'filled'; UPDATE note SET title = 'trimmed' WHERE id IN ('2', '3')")
		return err
	})
	must(t, err)
	settle(a, b)
	a.wantValue("1 edited filled, 2 edited filled, 3 trimmed filled", "SELECT group_concat(id || ' ' || title || ' ' || c, ', ') FROM note")
	b.exec("ALTER TABLE note ADD COLUMN c")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("1 edited filled, 2 edited filled, 3 trimmed filled", "SELECT group_concat(id || ' ' || title || ' ' || c, ', ') FROM note")
	wantQuiet(t, a, b)
}

// An edit that waits in the log when a migration makes the table anew keeps its time.
func TestAnEditBeforeAMigrationKeepsItsTime(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, migratedSchema)
	a.exec("INSERT INTO note (id, title) VALUES ('1', 'old')")
	settle(a, b)
	b.exec("UPDATE note SET title = 'earlier'; UPDATE sqlitesync_log SET at = at - 0.01")
	b.sync()
	a.exec("UPDATE note SET title = 'later'")
	a.exec(`BEGIN; CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, title TEXT, tag TEXT, n INTEGER DEFAULT 7); INSERT INTO n SELECT * FROM note;
		DROP TABLE note; ALTER TABLE n RENAME TO note; COMMIT`)
	settle(a, b)
	b.wantValue("later", "SELECT title FROM note")
	wantSame(t, []*testDevice{a, b})
}

// A program that dies in a migration leaves it to the next to date what it wrote.
func TestACrashInAMigration(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, migratedSchema+"; CREATE UNIQUE INDEX u ON note (title)")
	a.exec("INSERT INTO note (id, title) VALUES ('1', 'old'), ('2', 'replaced')")
	settle(a, b)
	b.exec("UPDATE note SET title = 'edited' WHERE id = '1'")
	b.sync()
	dead := a.syncer
	err := dead.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "PRAGMA recursive_triggers = 0; UPDATE OR REPLACE note SET title = 'replaced' WHERE id = '1'")
		must(t, dead.handle.close()) // nothing that Migrate would do afterwards is done
		return err
	})
	if err == nil {
		t.Fatal("Migrate has not died")
	}
	_ = dead.Close()
	a.syncer = nil
	a.open()
	settle(a, b)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("edited", "SELECT title FROM note WHERE id = '1'")
	b.wantValue("1", "SELECT count(*) FROM note")
	wantQuiet(t, a, b)
}

// Two columns that exchange their names are told apart by the order of the table's columns.
func TestColumnsThatExchangeTheirNames(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, migratedSchema)
	a.exec("INSERT INTO note (id, title, tag) VALUES ('1', 'A', 'x')")
	settle(a, b)
	a.exec("ALTER TABLE note RENAME COLUMN title TO tmp; ALTER TABLE note RENAME COLUMN tag TO title; ALTER TABLE note RENAME COLUMN tmp TO tag")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("x", "SELECT title FROM note")
	wantQuiet(t, a, b)
}

func TestMigrateFails(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, migratedSchema+"; CREATE UNIQUE INDEX u ON note (title)")
	sentinel := errors.New("no")
	if err := a.syncer.Migrate(context.Background(), func(context.Context, *sql.DB) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Errorf("Migrate returns %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := a.syncer.Migrate(ctx, func(ctx context.Context, _ *sql.DB) error { cancel(); return ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("Migrate returns %v", err)
	}
	a.wantValue("10", "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'sqlitesync%'")
	a.exec("INSERT INTO note (id, title) VALUES ('1', 'x'); REPLACE INTO note (id, title) VALUES ('2', 'x')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	must(t, a.syncer.Close())
	if err := a.syncer.Migrate(context.Background(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Migrate returns %v", err)
	}
}

// DROP TABLE of a parent deletes the children along foreign keys, with their triggers.
func TestMigrateDropsAParent(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE p (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE c (id TEXT PRIMARY KEY NOT NULL, p REFERENCES p ON DELETE CASCADE)"
	a, b := newPair(t, schema)
	a.exec("INSERT INTO p VALUES ('p'); INSERT INTO c VALUES ('c', 'p')")
	settle(a, b)
	must(t, a.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "CREATE TABLE q (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO q (id) SELECT id FROM p; DROP TABLE p; ALTER TABLE q RENAME TO p")
		return err
	}))
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.wantValue("1", "SELECT count(*) FROM c")
		d.wantValue("1", "SELECT count(*) FROM p")
	}
}

// REPLACE through an index that is newer than capture knows removes rows unseen.
func TestAUniqueIndexThatIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, migratedSchema)
	a.exec("INSERT INTO note (id, title) VALUES ('1', 'x'), ('2', 'y')")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.exec("CREATE UNIQUE INDEX u ON note (lower(title))")
	}
	a.exec("PRAGMA recursive_triggers = 0")
	a.exec("REPLACE INTO note (id, title) VALUES ('3', 'X')")
	settle(a, b)
	b.wantValue("2 y, 3 X", "SELECT group_concat(id || ' ' || title, ', ') FROM note ORDER BY id")
	wantSame(t, []*testDevice{a, b})
	if table := a.syncer.db.Table("note"); table.Incomplete || table.Phase != changelog.PhaseTracked {
		t.Error("the table counts as made anew")
	}
}

// The device that migrates second has the edits of people on the first, in columns that it did not have. They stay.
func TestTheSecondMigrationLosesAgainstEdits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ migration, edit, query, want string }{
		{"ALTER TABLE note RENAME COLUMN title TO head", "UPDATE note SET head = 'by hand'", "SELECT head FROM note", "by hand"},
		{"ALTER TABLE note ADD COLUMN c; UPDATE note SET c = lower(title)", "UPDATE note SET c = 'by hand'", "SELECT c FROM note", "by hand"},
		{"INSERT OR IGNORE INTO note (id, title) VALUES ('w', 'welcome')", "DELETE FROM note WHERE id = 'w'", "SELECT group_concat(id) FROM note", "1"},
	} {
		for _, plainly := range []bool{false, true} {
			if plainly && !strings.Contains(test.migration, "RENAME") {
				continue // then what it writes is an edit like any other
			}
			a, b := newPair(t, migratedSchema)
			a.exec("INSERT INTO note (id, title) VALUES ('1', 'One')")
			settle(a, b)
			run := func(d *testDevice) {
				if plainly {
					d.exec(test.migration)
					return
				}
				must(t, d.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, test.migration)
					return err
				}))
			}
			run(a)
			a.sync()
			a.exec(test.edit)
			settle(a, b)
			run(b)
			settle(a, b)
			settle(a, b)
			for _, d := range []*testDevice{a, b} {
				d.wantValue(test.want, test.query)
				d.wantHealthy()
			}
			wantSame(t, []*testDevice{a, b})
			wantQuiet(t, a, b)
		}
	}
}

// So do they if the app that did not know the column has edited the row since. But what another migration has made of the row as
// it was before that edit is older.
func TestTheSecondMigrationLosesAgainstEditsBeforeItsOwn(t *testing.T) {
	t.Parallel()
	const remake = `BEGIN; CREATE TABLE made (id TEXT PRIMARY KEY NOT NULL, title TEXT, tag TEXT, n INTEGER DEFAULT 7, c); INSERT INTO made SELECT *, lower(title) FROM note;
		DROP TABLE note; ALTER TABLE made RENAME TO note; COMMIT`
	for _, test := range []struct{ name, migration, edit, want string }{
		{"a column comes", "ALTER TABLE note ADD COLUMN c; UPDATE note SET c = lower(title)", "UPDATE note SET c = 'by hand'", "Two by hand"},
		{"and others change", "ALTER TABLE note ADD COLUMN c; UPDATE note SET title = title || '!', c = lower(title)", "UPDATE note SET c = 'by hand'", "Two! by hand"},
		{"the table is made anew", remake, "UPDATE note SET c = 'by hand'", "Two by hand"},
		{"nobody has edited it", "ALTER TABLE note ADD COLUMN c; UPDATE note SET c = lower(title)", "UPDATE note SET title = title", "Two two"},
		{"a row of the new app", "ALTER TABLE note ADD COLUMN c; UPDATE note SET c = lower(title)", "DELETE FROM note; INSERT INTO note (id, title, c) VALUES ('1', 'new', 'by hand')", "Two by hand"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, migratedSchema)
			a.exec("INSERT INTO note (id, title) VALUES ('1', 'One')")
			settle(a, b)
			run := func(d *testDevice) {
				must(t, d.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, test.migration)
					return err
				}))
			}
			run(a)
			a.sync()
			a.exec(test.edit)
			settle(a, b)
			tick()
			b.exec("UPDATE note SET title = 'Two'")
			settle(b, a)
			run(b)
			settle(b, a)
			settle(b, a)
			wantEverywhere(test.want, "SELECT title || ' ' || c FROM note", a, b)
			wantSame(t, []*testDevice{a, b})
			wantQuiet(t, a, b)
		})
	}
}

// Deletes of a device that has not renamed yet reach one that has.
func TestDeletesBeforeARename(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ migration, table string }{
		{"ALTER TABLE note RENAME TO memo", "memo"},
		{"ALTER TABLE note RENAME COLUMN id TO uid", "note"},
	} {
		a, b := newPair(t, migratedSchema)
		a.exec("INSERT INTO note (id, title) VALUES ('1', 'One'), ('2', 'Two')")
		settle(a, b)
		a.exec(test.migration)
		a.sync()
		b.exec("DELETE FROM note WHERE id = '2'")
		settle(a, b)
		b.exec(test.migration)
		settle(a, b)
		settle(a, b)
		wantEverywhere("One", "SELECT group_concat(title) FROM "+test.table, a, b)
		wantQuiet(t, a, b)
	}
}

// A table that is dropped and made again takes no rows along, whatever the log holds of them.
func TestAMigrationThatDropsATableDeletesNothing(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE ev (id TEXT PRIMARY KEY NOT NULL, x TEXT)"
	for _, index := range []string{"", "; CREATE UNIQUE INDEX j ON ev (json_extract(x, '$.a'))"} {
		for _, plainly := range []bool{true, false} {
			a, b := newPair(t, schema+index)
			a.exec(`INSERT INTO ev VALUES ('1', '{"a":1}'), ('2', '{"a":2}'), ('gone', '{"a":3}')`)
			settle(a, b)
			a.exec("DELETE FROM ev WHERE id = 'gone'") // this one somebody meant
			const script = `UPDATE ev SET x = '{"a":4}' WHERE id = '1'; DROP TABLE ev; `
			if plainly {
				a.exec(script + schema + index)
			} else {
				must(t, a.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, script+schema+index)
					return err
				}))
			}
			settle(a, b)
			settle(a, b)
			wantEverywhere("1,2", "SELECT group_concat(id) FROM (SELECT id FROM ev ORDER BY id)", a, b)
		}
	}
}

// A transaction that a migration has left open, and a call that would wait for itself, hold up nobody.
func TestAMigrationThatMisbehaves(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, migratedSchema)
	failed := errors.New("failed")
	err := a.syncer.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		must(t, err)
		_, err = tx.ExecContext(ctx, "INSERT INTO note (id) VALUES ('never')")
		must(t, err)
		return failed
	})
	wantIs(t, err, failed)
	err = a.syncer.Migrate(context.Background(), func(ctx context.Context, _ *sql.DB) error {
		return errors.Join(a.syncer.Sync(ctx), a.syncer.Migrate(ctx, nil))
	})
	wantIs(t, err, errInsideMigrate)
	a.exec("INSERT INTO note (id) VALUES ('1')")
	settle(a, b)
	wantEverywhere("1", "SELECT group_concat(id) FROM note", a, b)
}
