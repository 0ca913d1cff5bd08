package sqlitesync

import (
	"fmt"
	"testing"
)

// A table that comes while another one goes, and has rows of the same keys, is a new one, of which this device says nothing yet:
// not that rows were deleted, and nothing that overrules what people wrote to it on other devices.
func TestANewTableIsNotTheOneThatGoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, before, key, value string }{
		{"other columns", "UPDATE t SET v = 'edited'", "id", "theme"},
		{"a key of another name", "DELETE FROM t WHERE id < 3", "number", "v"},
		{"all was deleted", "DELETE FROM t", "id", "v"},
		{"all was deleted, and others made", "DELETE FROM t; INSERT INTO t VALUES (7, 'made'), (8, 'made')", "id", "v"},
		{"most is missing", "UPDATE t SET v = 'edited' WHERE id = 1", "id", "v"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			migration := fmt.Sprintf("; DROP TABLE t; CREATE TABLE n (%s INTEGER PRIMARY KEY, %s); INSERT INTO n VALUES (1, 'new')", test.key, test.value)
			a, b := newPair(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
			a.exec("INSERT INTO t VALUES (1, 'old'), (2, 'old'), (3, 'old')")
			settle(a, b)
			b.exec(migration)
			b.sync()
			b.exec("UPDATE n SET " + test.value + " = 'mine'; INSERT INTO n VALUES (2, 'mine'), (3, 'mine')")
			b.sync()
			tick()
			a.exec(test.before + migration)
			settle(a, b)
			settle(a, b)
			wantEverywhere("1mine,2mine,3mine", fmt.Sprintf("SELECT group_concat(%s || %s) FROM (SELECT * FROM n ORDER BY 1)", test.key, test.value), a, b)
			wantQuiet(t, a, b)
		})
	}
}

// Of several tables that go, the one is meant whose rows are as they were known, not one that was written to since.
func TestTablesThatMoveAtOnceAreToldApart(t *testing.T) {
	t.Parallel()
	const migration = `; CREATE TABLE label (id INTEGER PRIMARY KEY, name); INSERT INTO label SELECT * FROM tag; DROP TABLE tag;
		CREATE TABLE topic (id INTEGER PRIMARY KEY, name); INSERT INTO topic SELECT * FROM category; DROP TABLE category`
	a, b := newPair(t, "CREATE TABLE category (id INTEGER PRIMARY KEY, name); CREATE TABLE tag (id INTEGER PRIMARY KEY, name)")
	a.exec("INSERT INTO category VALUES (1, 'c1'), (2, 'c2'); INSERT INTO tag VALUES (1, 't1'), (2, 't2')")
	settle(a, b)
	b.exec(migration)
	b.exec("UPDATE label SET name = 'mine' WHERE id = 1")
	settle(b, a)
	tick()
	a.exec("UPDATE category SET name = name || '!'" + migration)
	settle(a, b)
	settle(a, b)
	wantEverywhere("1mine,2t2", "SELECT group_concat(id || name) FROM label", a, b)
	wantEverywhere("1c1!,2c2!", "SELECT group_concat(id || name) FROM topic", a, b)
	wantQuiet(t, a, b)
}

// A table that is made anew is known again by what is left of it: by rows that were made since the last pass if all before are
// deleted, by half of the columns that it had in that pass, though rows may be known with others, and beside new columns.
func TestATableIsKnownByWhatIsLeftOfIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, earlier, before, columns, from, want string }{
		{
			"rows made since", "", "INSERT INTO t (id, v) VALUES ('a', 'made'), ('b', 'made'); DELETE FROM t WHERE v = 'old'",
			"v, n, s, memo", "v, n, s, memo", "a=made,b=made",
		},
		{"a column goes, another comes", "", "DELETE FROM t WHERE id = 'gone'", "v, n, s, extra", "v, n, s, NULL", "x=old,y=old"},
		{"a column had gone, another comes", "ALTER TABLE t DROP COLUMN memo", "DELETE FROM t WHERE id = 'gone'", "v, n, s, extra", "v, n, s, v", "x=old,y=old"},
		{"one of the columns had another name", "ALTER TABLE t RENAME COLUMN n TO m", "DELETE FROM t WHERE id = 'gone'", "v, m, slug", "v, m, s", "x=old,y=old"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			again := fmt.Sprintf("; CREATE TABLE t2 (key TEXT PRIMARY KEY NOT NULL, %s); INSERT INTO t2 SELECT id, %s FROM t; DROP TABLE t", test.columns, test.from)
			a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n, s, memo)")
			a.exec("INSERT INTO t VALUES ('x', 'old', NULL, 1, 'm'), ('y', 'old', NULL, 2, 'm'), ('gone', 'old', NULL, 3, 'm')")
			settle(a, b)
			for _, d := range []*testDevice{a, b} {
				d.exec(test.earlier)
				d.sync()
			}
			tick()
			a.exec(test.before + again)
			b.exec(again)
			settle(a, b)
			settle(a, b)
			wantEverywhere(test.want, "SELECT group_concat(key || '=' || v) FROM (SELECT * FROM t2 ORDER BY key)", a, b)
			wantQuiet(t, a, b)
		})
	}
}
