package sqlitesync

import (
	"fmt"
	"testing"
)

// SQLite takes true and false for columns where a table has some of these names.
func TestColumnsCalledTrueAndFalse(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE ev (id TEXT PRIMARY KEY NOT NULL, x TEXT, "true", "false"); CREATE UNIQUE INDEX u ON ev (lower(x));
		CREATE TABLE pin (id INTEGER PRIMARY KEY, ev TEXT REFERENCES ev ON DELETE CASCADE)`
	a, b := newTestDevice(t, schema), newTestDevice(t, schema)
	a.options.Exclude, b.options.Exclude = []string{"pin"}, []string{"pin"}
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.withoutRecursion()
	const rows = "SELECT group_concat(id || x) FROM (SELECT id, x FROM ev ORDER BY id)"
	a.exec("INSERT INTO ev VALUES ('1', 'a', 0, 1), ('2', 'b', 0, 1)")
	settle(a, b)
	b.exec("INSERT INTO pin VALUES (1, '1'), (2, '2')")
	a.exec("REPLACE INTO ev VALUES ('3', 'B', 0, 1); UPDATE ev SET x = 'c' WHERE id = '3'")
	settle(a, b)
	wantEverywhere("1a,3c", rows, a, b)
	b.wantValue("1", "SELECT group_concat(id) FROM pin")

	a.exec(`CREATE TABLE n AS SELECT * FROM ev; DROP TABLE ev; CREATE TABLE ev (id TEXT PRIMARY KEY NOT NULL, x TEXT, "true", "false");
		INSERT INTO ev SELECT id, x || 'm', "true", "false" FROM n; DROP TABLE n`)
	settle(a, b)
	wantEverywhere("1am,3cm", rows, a, b)
	wantQuiet(t, a, b)
	b.wantVerified()
}

// A table of the app can have a name that sync gives to another one in a query.
func TestLocalTablesOfOneLetter(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"p", "G"} {
		for _, parent := range []string{"", "(v0)"} {
			a := newTestDevice(t, "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, v0 TEXT UNIQUE)")
			b := newTestDevice(t, fmt.Sprintf(`CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, v0 TEXT UNIQUE);
				CREATE TABLE %[1]s (id INTEGER PRIMARY KEY, v0 TEXT REFERENCES item %[2]s ON DELETE CASCADE);
				CREATE TABLE below (id INT REFERENCES %[1]s ON DELETE SET NULL)`, name, parent))
			b.options.Exclude = []string{name, "below"}
			a.create(t.TempDir())
			b.join(a.folder, a.invite())
			a.exec("INSERT INTO item VALUES ('x', 'x'), ('y', 'y')")
			settle(a, b)
			b.exec("INSERT INTO " + name + " VALUES (1, 'x'), (2, 'y'); INSERT INTO below VALUES (1), (2)")
			a.exec("DELETE FROM item WHERE id = 'x'")
			settle(a, b)
			wantSame(t, []*testDevice{a, b}, "item")
			b.wantValue("2 2", "SELECT (SELECT group_concat(id) FROM "+name+") || ' ' || (SELECT group_concat(id) FROM below)")
			wantWhole(t, b)
			wantQuiet(t, a, b)
		}
	}
}
