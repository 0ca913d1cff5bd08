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
