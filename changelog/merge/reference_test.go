package merge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// newBound makes a device of a space that enforces foreign keys, whose app does so, too.
func newBound(t testing.TB, name, schema string) *device {
	t.Helper()
	d := onDisk(t, name)
	d.foreignKeys, d.appForeignKeys = true, true
	d.open()
	d.exec(schema)
	d.setUp()
	return d
}

// whole checks that no row is without its parent.
func (d *device) whole() {
	d.t.Helper()
	d.expect("PRAGMA foreign_key_check")
}

// exchange gives all batches to all devices until there are no more.
func exchange(devices ...*device) {
	applied := make(map[*device]map[*changelog.Batch]bool)
	for working := true; working; {
		working = false
		for _, from := range devices {
			from.fold()
			for _, batch := range from.made {
				for _, to := range devices {
					if to == from || applied[to][batch] {
						continue
					}
					if applied[to] == nil {
						applied[to] = make(map[*changelog.Batch]bool)
					}
					applied[to][batch], working = true, true
					to.apply(batch)
				}
			}
		}
	}
}

func TestAChildBeforeItsParent(t *testing.T) {
	for _, action := range []string{"CASCADE", "RESTRICT", "NO ACTION", "SET NULL", "SET DEFAULT"} {
		t.Run(action, func(t *testing.T) {
			schema := "CREATE TABLE p (id TEXT PRIMARY KEY, x); CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p ON DELETE " + action + ", x)"
			a, b := newBound(t, "a", schema), newBound(t, "b", schema)
			a.exec("INSERT INTO p VALUES ('p', 1)")
			parents := a.fold()
			a.exec("INSERT INTO c VALUES (1, 'p', 1), (2, NULL, 2)")
			children := a.fold()
			b.apply(children)
			b.whole()
			if strings.HasPrefix(action, "SET") {
				b.expect("SELECT * FROM c", `1 NULL 1`, `2 NULL 2`)
			} else {
				b.expect("SELECT * FROM c", `2 NULL 2`)
				if held := b.held(); len(held) != 1 || held[0] != "c 1: FOREIGN KEY (p): the row of p that it refers to is not shown" {
					t.Errorf("held: %q", held)
				}
			}
			b.restart()
			b.apply(parents)
			b.expect("SELECT * FROM c", `1 "p" 1`, `2 NULL 2`)
			if held := b.held(); len(held) != 0 {
				t.Errorf("held: %q", held)
			}
			b.expect("SELECT count(*) FROM sqlitesync_parents", "0")
			b.expect("SELECT count(*) FROM sqlitesync_kept", "0")
			if echo := b.fold(); echo != nil {
				t.Errorf("echo: %s", described(echo.Changes))
			}
		})
	}
}

// Who puts a parent again, and who does not.
func TestPuttingAgain(t *testing.T) {
	const schema = `CREATE TABLE p (id INTEGER PRIMARY KEY, u UNIQUE);
		CREATE TABLE q (id INTEGER PRIMARY KEY, up INTEGER REFERENCES q ON DELETE NO ACTION);
		CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE RESTRICT, q INTEGER REFERENCES q ON DELETE CASCADE, r INTEGER REFERENCES q ON DELETE RESTRICT);
		CREATE TABLE d (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE RESTRICT, u INTEGER UNIQUE)`
	for _, test := range []struct {
		name    string
		start   string
		a, b    string // deletes, and what b writes meanwhile
		puts    int    // by b
		p, q, c int    // rows afterwards
		older   bool   // what b writes is, not newer
	}{
		{name: "a child of one's own", start: "INSERT INTO p VALUES (1, 1)", a: "DELETE FROM p", b: "INSERT INTO c VALUES (1, 1, NULL, NULL)", puts: 1, p: 1, c: 1},
		{name: "children of one's own", start: "INSERT INTO p VALUES (1, 1)", a: "DELETE FROM p", b: "INSERT INTO c VALUES (1, 1, NULL, NULL), (2, 1, NULL, NULL)", puts: 1, p: 1, c: 2},
		{name: "a child that is gone again", start: "INSERT INTO p VALUES (1, 1)", a: "DELETE FROM p", b: "INSERT INTO c VALUES (1, 1, NULL, NULL); DELETE FROM c", puts: 0},
		{name: "without a child", start: "INSERT INTO p VALUES (1, 1), (2, 2)", a: "DELETE FROM p WHERE id = 1", b: "INSERT INTO c VALUES (1, 2, NULL, NULL)", puts: 0, p: 1, c: 1},
		{name: "a child that lacks another parent, too", start: "INSERT INTO p VALUES (1, 1); INSERT INTO q VALUES (1, NULL)", a: "DELETE FROM p; DELETE FROM q",
			b: "INSERT INTO c VALUES (1, 1, 1, NULL)", puts: 0},
		{name: "a child with two parents", start: "INSERT INTO p VALUES (1, 1); INSERT INTO q VALUES (1, NULL)", a: "DELETE FROM p; DELETE FROM q",
			b: "INSERT INTO c VALUES (1, 1, NULL, 1)", puts: 2, p: 1, q: 1, c: 1},
		{name: "a parent with parents", start: "INSERT INTO q VALUES (1, NULL), (2, 1), (3, 2), (4, 1)", a: "DELETE FROM q", b: "INSERT INTO c VALUES (1, NULL, NULL, 3)", puts: 3, q: 3, c: 1},
		{name: "parents in a circle", start: "INSERT INTO q VALUES (1, NULL), (2, 1); UPDATE q SET up = 2 WHERE id = 1; INSERT INTO q VALUES (3, 3)", a: "UPDATE q SET up = NULL; DELETE FROM q",
			b: "INSERT INTO c VALUES (1, NULL, NULL, 2), (2, NULL, NULL, 3)", puts: 3, q: 3, c: 2},
		{name: "a parent whose value another row has taken", start: "INSERT INTO p VALUES (1, 1)", a: "DELETE FROM p; INSERT INTO p VALUES (2, 1)", b: "INSERT INTO c VALUES (1, 1, NULL, NULL)", puts: 0, p: 1},
		{name: "a child whose value a newer row has taken", start: "INSERT INTO p VALUES (1, 1)", a: "DELETE FROM p; INSERT INTO d VALUES (2, NULL, 1)", b: "INSERT INTO d VALUES (1, 1, 1)", older: true, puts: 0},
		{name: "a child whose value an older row has taken", start: "INSERT INTO p VALUES (1, 1)", a: "DELETE FROM p; INSERT INTO d VALUES (2, NULL, 1)", b: "INSERT INTO d VALUES (1, 1, 1)", puts: 1, p: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b, c := newBound(t, "a", schema), newBound(t, "b", schema), newBound(t, "c", schema)
			a.at(10, test.start)
			first := a.fold()
			b.apply(first)
			c.apply(first)
			a.at(20, test.a)
			deletes := a.fold()
			at := int64(30)
			if test.older {
				at = 15
			}
			b.at(at, test.b)
			children := b.fold()
			made := len(b.made)
			_, result := b.apply(deletes)
			b.whole()
			if result.PutAgain != test.puts {
				t.Errorf("put %d rows again, want %d", result.PutAgain, test.puts)
			}
			b.apply(deletes) // once is enough
			if children != nil {
				a.apply(children)
				c.apply(children)
			}
			c.apply(deletes)
			for _, batch := range b.made[made:] {
				if puts := len(batch.Changes); puts != test.puts {
					t.Errorf("published %d changes, want %d: %s", puts, test.puts, described(batch.Changes))
				}
				a.apply(batch)
				c.apply(batch)
			}
			if len(a.made) != 2 || len(c.made) != 0 || len(b.made)-made > 1 {
				t.Errorf("devices a and c made %d and %d batches", len(a.made), len(c.made))
			}
			for _, d := range []*device{a, b, c} {
				d.whole()
				d.expect("SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM q), (SELECT count(*) FROM c)", fmt.Sprint(test.p, test.q, test.c))
				if echo := d.fold(); echo != nil {
					t.Errorf("echo: %s", described(echo.Changes))
				}
				if n := len(d.conflicts()); n > 0 {
					t.Errorf("%d conflicts", n)
				}
			}
		})
	}
}

// A parent is put again, too, if its children refer to a column that the parent computes.
func TestAParentWithGeneratedColumnsIsPutAgain(t *testing.T) {
	const schema = `CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT, n INTEGER, low TEXT AS (lower(code)) COLLATE NOCASE, UNIQUE (n, low));
		CREATE TABLE c (id INTEGER PRIMARY KEY, n INTEGER, low TEXT, FOREIGN KEY (low, n) REFERENCES p (low, n) ON DELETE RESTRICT)`
	for _, reborn := range []bool{false, true} {
		a, b := newBound(t, "a", schema), newBound(t, "b", schema)
		a.at(10, "INSERT INTO p (id, code, n) VALUES (1, 'X', 1), (2, 'Y', 1), (3, NULL, 1)")
		b.apply(a.fold())
		if reborn { // more than one change is known of it
			a.at(11, "DELETE FROM p WHERE id = 1")
			b.apply(a.fold())
			a.at(12, "INSERT INTO p (id, code, n) VALUES (1, 'X', 1)")
			b.apply(a.fold())
		}
		a.at(20, "DELETE FROM p")
		b.at(30, "INSERT INTO c VALUES (1, 1, 'X')")
		children := b.fold()
		_, result := b.apply(a.fold())
		if result.PutAgain != 1 {
			t.Fatalf("put %d rows again, want 1", result.PutAgain)
		}
		a.apply(children)
		a.apply(b.made[len(b.made)-1])
		for _, d := range []*device{a, b} {
			d.whole()
			d.expect("SELECT id, code, low FROM p", `1 "X" "x"`)
			d.expect("SELECT id, low FROM c", `1 "X"`)
			if echo := d.fold(); echo != nil {
				t.Errorf("echo: %s", described(echo.Changes))
			}
		}
	}
}

// The author of the newest change of a child is its author.
func TestTheLastWriterOfAChildPutsItsParentAgain(t *testing.T) {
	const schema = `CREATE TABLE p (id INTEGER PRIMARY KEY, x); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, x)`
	a, b, c := newBound(t, "a", schema), newBound(t, "b", schema), newBound(t, "c", schema)
	a.exec("INSERT INTO p VALUES (1, 'kept')")
	exchange(a, b, c)
	a.exec("DELETE FROM p")
	deletes := a.fold()
	b.exec("INSERT INTO c VALUES (1, 1, 'b')")
	c.apply(b.fold())
	c.exec("UPDATE c SET x = 'c'")
	edit := c.fold()
	b.apply(edit)
	if _, result := b.apply(deletes); result.PutAgain != 0 {
		t.Error("the first writer has put the parent again")
	}
	b.expect("SELECT * FROM c")
	if _, result := c.apply(deletes); result.PutAgain != 1 {
		t.Error("the last writer has not put the parent again")
	}
	exchange(a, b, c)
	for _, d := range []*device{a, b, c} {
		d.expect("SELECT * FROM c", `1 1 "c"`)
		d.expect("SELECT * FROM p", `1 "kept"`)
	}
}

// A parent that showed a derived value is put again with what was written.
func TestAParentThatShowedADerivedValueIsPutAgainWhole(t *testing.T) {
	const schema = `CREATE TABLE g (id INTEGER PRIMARY KEY); CREATE TABLE p (id INTEGER PRIMARY KEY, g INTEGER REFERENCES g ON DELETE SET NULL);
		CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)`
	a, b := newBound(t, "a", schema), newBound(t, "b", schema)
	a.exec("INSERT INTO g VALUES (7)")
	b.apply(a.fold())
	a.exec("DELETE FROM g")
	b.exec("INSERT INTO p VALUES (1, 7)")
	exchange(a, b)
	a.expect("SELECT * FROM p", "1 NULL")
	a.exec("DELETE FROM p")
	b.exec("INSERT INTO c VALUES (1, 1)")
	exchange(a, b)
	b.exec("INSERT INTO g VALUES (7)")
	exchange(a, b)
	for _, d := range []*device{a, b} {
		d.expect("SELECT * FROM p", "1 7")
		d.expect("SELECT * FROM c", "1 1")
	}
}

// FORMAT.md bounds how many parents a row of a circle may lack.
func TestManyMissingParentsInACircle(t *testing.T) {
	var columns []string
	for i := range 5 {
		columns = append(columns, fmt.Sprintf("r%d INTEGER REFERENCES n ON DELETE SET NULL", i))
	}
	schema := "CREATE TABLE n (id INTEGER PRIMARY KEY, " + strings.Join(columns, ", ") + ")"
	a, b := newBound(t, "a", schema), newBound(t, "b", schema)
	a.exec("INSERT INTO n (id) VALUES (1), (2), (3), (4), (5)")
	b.apply(a.fold())
	b.exec("INSERT INTO n VALUES (6, 1, 2, 3, 4, 5)")
	for i := range 4 {
		a.exec("DELETE FROM n WHERE id = ?", i+1)
	}
	exchange(a, b)
	a.expect("SELECT * FROM n WHERE id = 6", "6 NULL NULL NULL NULL 5")
	a.exec("PRAGMA foreign_keys = OFF")
	a.exec("DELETE FROM n WHERE id = 5")
	exchange(a, b)
	for _, d := range []*device{a, b} {
		d.expect("SELECT * FROM n")
		if held := d.held(); len(held) != 1 {
			t.Errorf("held: %q", held)
		}
	}
	b.exec("INSERT INTO n (id) VALUES (3)")
	exchange(a, b)
	for _, d := range []*device{a, b} {
		d.expect("SELECT * FROM n WHERE id = 6", "6 NULL NULL 3 NULL NULL")
		d.whole()
	}
}

// A row of a circle is held if it could not lack one of the parents that it lacks, be it that it can lack them all: whether it
// shows must not depend on which parent went first.
func TestARowThatCannotLackOneOfItsParents(t *testing.T) {
	const schema = `CREATE TABLE n (id INTEGER PRIMARY KEY, pa INTEGER REFERENCES n ON DELETE SET NULL, ma INTEGER REFERENCES n ON DELETE SET NULL,
		CHECK (pa IS NULL OR ma IS NOT NULL))`
	for _, order := range [][]int{{1, 2}, {2, 1}} {
		a, b := newBound(t, "a", schema), newBound(t, "b", schema)
		a.exec("INSERT INTO n (id) VALUES (1), (2)")
		b.apply(a.fold())
		b.exec("INSERT INTO n VALUES (3, 1, 2)")
		for _, id := range order {
			a.exec("DELETE FROM n WHERE id = ?", id)
			a.fold()
		}
		exchange(a, b)
		for _, d := range []*device{a, b} {
			d.expect("SELECT * FROM n")
			if held := d.held(); len(held) != 1 {
				t.Errorf("held: %q", held)
			}
		}
		b.exec("INSERT INTO n (id) VALUES (2)") // without a father it can be
		exchange(a, b)
		a.expect("SELECT * FROM n WHERE id = 3", "3 NULL 2")
	}
}

// A row that its own values hold is looked at when its parent goes: without it it may show.
func TestAHeldRowLosesItsParent(t *testing.T) {
	const schema = `CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE SET NULL, x, %s)`
	for _, rule := range []string{"CHECK (p IS NULL OR x = 1)", "UNIQUE (p, x)"} {
		a, b := newBound(t, "a", fmt.Sprintf(schema, "y")), newBound(t, "b", fmt.Sprintf(schema, "y, "+rule))
		a.exec("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1, 2, NULL), (2, 1, 2, NULL)")
		exchange(a, b)
		if held := b.held(); len(held) == 0 {
			t.Errorf("%s: nothing is held", rule)
		}
		a.exec("DELETE FROM p")
		b.apply(a.fold())
		b.expect("SELECT * FROM c", "1 NULL 2 NULL", "2 NULL 2 NULL")
		b.whole()
		a.exec("INSERT INTO p VALUES (1)")
		a.exec("UPDATE c SET p = 1")
		before := len(b.held())
		exchange(a, b)
		if held := b.held(); before != 0 || len(held) == 0 {
			t.Errorf("%s: %d rows are held, want some", rule, len(held))
		}
	}
	// The delete alone, without what the app's cascade made of the children.
	a, b := newBound(t, "a", fmt.Sprintf(schema, "y")), newBound(t, "b", fmt.Sprintf(schema, "y, CHECK (p IS NULL OR x = 1)"))
	a.exec("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1, 2, NULL)")
	b.apply(a.fold())
	b.expect("SELECT * FROM c")
	b.exec("DELETE FROM p")
	b.fold()
	b.expect("SELECT * FROM c", "1 NULL 2 NULL")
	b.exec("INSERT INTO p VALUES (1)")
	b.fold()
	b.expect("SELECT * FROM c")
}

// A foreign key that comes, or goes, with a migration is one from then on.
func TestAForeignKeyComesAndGoes(t *testing.T) {
	a := newBound(t, "a", "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER)")
	b := newBound(t, "b", "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER)")
	a.exec("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1), (2, 2)")
	exchange(a, b)
	migrate := func(d *device, action string) {
		d.exec("PRAGMA foreign_keys = OFF")
		d.exec(fmt.Sprintf(`CREATE TABLE new (id INTEGER PRIMARY KEY, p INTEGER %s); INSERT INTO new SELECT * FROM c; DROP TABLE c; ALTER TABLE new RENAME TO c`, action))
		if folded, _ := d.schemaChanged(); folded != nil {
			t.Errorf("a migration that changed no row made %s", described(folded.Changes))
		}
	}
	migrate(b, "REFERENCES p ON DELETE CASCADE")
	b.expect("SELECT * FROM c", "1 1")
	b.whole()
	a.exec("INSERT INTO c VALUES (3, 3)")
	exchange(a, b)
	b.expect("SELECT * FROM c", "1 1")
	if held := b.held(); len(held) != 2 {
		t.Errorf("held: %q", held)
	}
	a.exec("INSERT INTO p VALUES (3)")
	exchange(a, b)
	b.expect("SELECT * FROM c", "1 1", "3 3")
	migrate(b, "")
	b.expect("SELECT * FROM c", "1 1", "2 2", "3 3")
	b.expect("SELECT count(*) FROM sqlitesync_parents", "0")
	if echo := b.fold(); echo != nil {
		t.Errorf("echo: %s", described(echo.Changes))
	}
}

// What is renamed goes on: the children of a parent, and a parent's children.
func TestRenamedParentsAndChildren(t *testing.T) {
	const schema = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE SET NULL, x)"
	for _, rename := range []string{"ALTER TABLE p RENAME TO folk", "ALTER TABLE c RENAME TO kids", "ALTER TABLE c RENAME COLUMN x TO y", "ALTER TABLE p RENAME COLUMN id TO name"} {
		t.Run(rename, func(t *testing.T) {
			a := newBound(t, "a", schema)
			b := newBound(t, "b", schema)
			a.exec("INSERT INTO p VALUES (1)")
			b.apply(a.fold())
			a.exec("DELETE FROM p")
			b.exec("INSERT INTO c VALUES (1, 1, 'x')")
			exchange(a, b)
			for _, d := range []*device{a, b} {
				d.expect("SELECT * FROM c", `1 NULL "x"`)
				d.exec(rename)
				d.schemaChanged()
			}
			exchange(a, b)
			parent, child := "p", "c"
			if strings.HasSuffix(rename, "folk") {
				parent = "folk"
			} else if strings.HasSuffix(rename, "kids") {
				child = "kids"
			}
			a.expect("SELECT * FROM "+child, `1 NULL "x"`)
			a.exec("INSERT INTO " + parent + " VALUES (1)")
			exchange(a, b)
			for _, d := range []*device{a, b} {
				d.expect("SELECT * FROM "+child, `1 1 "x"`)
				d.whole()
			}
		})
	}
}

// Local edits are settled as merges are, whatever the app's handle lets pass (design review, schedule 15).
func TestALocalDeleteOfAParentIsSettled(t *testing.T) {
	const schema = `CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE, u UNIQUE);
		CREATE TABLE d (id INTEGER PRIMARY KEY, c INTEGER REFERENCES c ON DELETE SET NULL)`
	a, b := newBound(t, "a", schema), newBound(t, "b", schema)
	a.exec("INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1, 'u'); INSERT INTO d VALUES (1, 1)")
	b.apply(a.fold())
	a.now, b.now = 5, 4
	b.exec("INSERT INTO c VALUES (2, 2, 'v')")
	b.exec("UPDATE c SET u = 'w' WHERE id = 2")
	a.exec("UPDATE c SET u = 'v' WHERE id = 1")
	b.exec("UPDATE c SET u = 'v' WHERE id = 2")
	exchange(a, b)
	a.expect("SELECT id FROM c", "1") // the newer claim
	a.exec("PRAGMA foreign_keys = OFF")
	a.exec("DELETE FROM p WHERE id = 1")
	a.fold()
	a.whole()
	a.expect("SELECT * FROM c", `2 2 "v"`) // what it claimed is free
	a.expect("SELECT * FROM d", `1 NULL`)
	exchange(a, b)
	b.expect("SELECT * FROM c", `2 2 "v"`)
	b.expect("SELECT * FROM d", `1 NULL`)
}

// Which row claims a value does not depend on the order in which a row lost its parent (design review, schedule 20).
func TestARowWithoutItsParentClaimsNothing(t *testing.T) {
	const schema = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE, u UNIQUE)"
	var batches []*changelog.Batch
	for i, statement := range []string{"INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (1, NULL, 'u')", "INSERT INTO c VALUES (2, 1, 'u')", "DELETE FROM p"} {
		author := newBound(t, string(rune('k'+i)), schema)
		if i >= 2 {
			author.apply(batches[0])
		}
		author.now = int64(10 + i)
		author.exec(statement)
		batches = append(batches, author.fold())
	}
	for _, order := range [][]int{{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 2, 3, 1}, {3, 2, 1, 0}, {1, 3, 2, 0}, {2, 0, 3, 1}} {
		d := newBound(t, "d", schema)
		for _, i := range order {
			d.apply(batches[i])
			d.whole()
		}
		d.expect("SELECT * FROM c", `1 NULL "u"`)
	}
}

// A composite reference is one thing: what the app changes of it, it changes all of it.
func TestPartsOfADerivedReference(t *testing.T) {
	const schema = `CREATE TABLE p (a, b, PRIMARY KEY (a, b)); CREATE TABLE c (id INTEGER PRIMARY KEY, a, b, x, FOREIGN KEY (a, b) REFERENCES p ON DELETE SET NULL)`
	for _, test := range []struct{ edit, want string }{
		{"UPDATE c SET x = 1", "1 1 2 1"},
		{"UPDATE c SET x = 1, a = 5", "1 5 NULL 1"},
		{"UPDATE c SET a = NULL, b = NULL", "1 1 2 NULL"},
	} {
		a, b := newBound(t, "a", schema), newBound(t, "b", schema)
		a.exec("INSERT INTO p VALUES (1, 2)")
		b.apply(a.fold())
		a.exec("DELETE FROM p")
		b.exec("INSERT INTO c VALUES (1, 1, 2, NULL)")
		exchange(a, b)
		a.expect("SELECT * FROM c", "1 NULL NULL NULL")
		a.exec(test.edit)
		exchange(a, b)
		a.exec("INSERT INTO p VALUES (1, 2)")
		exchange(a, b)
		for _, d := range []*device{a, b} {
			d.expect("SELECT * FROM c", test.want)
		}
	}
}

// A log that is folded page by page is settled at its end.
func TestReferencesAreSettledAfterTheLastPage(t *testing.T) {
	const schema = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE)"
	d := newBound(t, "d", schema)
	d.exec("PRAGMA foreign_keys = OFF")
	d.exec("INSERT INTO c VALUES (1, 1), (2, 2), (3, 3); INSERT INTO p VALUES (1), (3)")
	d.pageSize = 1
	d.fold()
	d.expect("SELECT * FROM c", "1 1", "3 3")
	if held := d.held(); len(held) != 1 {
		t.Errorf("held: %q", held)
	}
}

// Where a row is looked for is a matter of speed, not of what is found.
func TestManyParentsAndChildren(t *testing.T) {
	for _, child := range []string{"p INTEGER REFERENCES p ON DELETE CASCADE", "p TEXT REFERENCES p ON DELETE CASCADE", "p INTEGER REFERENCES p (n) ON DELETE CASCADE"} {
		schema := "CREATE TABLE p (id INTEGER PRIMARY KEY, n INTEGER UNIQUE); CREATE TABLE c (id INTEGER PRIMARY KEY, " + child + "); CREATE INDEX i ON c (p)"
		a, b := newBound(t, "a", schema), newBound(t, "b", schema)
		a.exec("WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 200) INSERT INTO p SELECT i, i FROM s")
		b.apply(a.fold())
		a.exec("DELETE FROM p WHERE id % 3 = 0")
		b.exec("INSERT INTO c SELECT id, id FROM p")
		exchange(a, b)
		for _, d := range []*device{a, b} {
			d.expect("SELECT count(*), sum(id % 3 = 0) FROM c", "134 0")
			d.whole()
			if held := d.held(); len(held) != 66 {
				t.Errorf("%d rows are held", len(held))
			}
		}
		b.exec("INSERT INTO p SELECT id, id FROM (SELECT 3 AS id UNION SELECT 6 UNION SELECT 198)")
		exchange(a, b)
		for _, d := range []*device{a, b} {
			d.expect("SELECT count(*), sum(id % 3 = 0) FROM c", "137 3")
		}
	}
}

// What Settle finds is what merging has found.
func TestSettleFindsWhatMergesFound(t *testing.T) {
	const schema = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE SET NULL)"
	a := newBound(t, "a", schema)
	a.exec("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1)")
	a.fold()
	// Behind the back of everybody.
	a.exec("PRAGMA foreign_keys = OFF")
	a.exec("DELETE FROM p; DELETE FROM sqlitesync_log")
	a.transact(func(ctx context.Context) error {
		_, err := merge.Settle(ctx, a.db, a.db.Table("c"))
		return err
	})
	a.expect("SELECT * FROM c", "1 NULL")
	if echo := a.fold(); echo != nil {
		t.Errorf("echo: %s", described(echo.Changes))
	}
}

// What a row shows for want of its parent does not become what it says when tables are renamed: the parent, the child, or two
// parents that exchange their names.
func TestRenamingLeavesReferencesAlone(t *testing.T) {
	const schema = `CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE q (id INTEGER PRIMARY KEY);
		CREATE TABLE c (id INTEGER PRIMARY KEY, x, p INT REFERENCES p ON DELETE SET NULL, q INT REFERENCES q ON DELETE SET NULL)`
	const exchanged = "ALTER TABLE p RENAME TO x; ALTER TABLE q RENAME TO p; ALTER TABLE x RENAME TO q"
	for _, test := range []struct{ renaming, child, parent string }{
		{"ALTER TABLE p RENAME TO p2", "c", "p2"},
		{"ALTER TABLE c RENAME TO c2", "c2", "p"},
		{"ALTER TABLE p RENAME COLUMN id TO key", "c", "p"},
		{exchanged, "c", "q"},
	} {
		a, b := newBound(t, "a", schema), newBound(t, "b", schema)
		a.exec("INSERT INTO p VALUES (1)")
		a.fold()
		a.exec("INSERT INTO c VALUES (1, 'old', 1, NULL)")
		b.apply(a.fold())
		b.expect("SELECT * FROM c", `1 "old" NULL NULL`)
		b.exec(test.renaming)
		b.exec("UPDATE " + test.child + " SET x = 'new'")
		b.schemaChanged()
		b.restart()
		b.expect("SELECT * FROM "+test.child, `1 "new" NULL NULL`)
		b.exec("INSERT INTO " + test.parent + " VALUES (1)")
		b.fold()
		b.expect("SELECT * FROM "+test.child, `1 "new" 1 NULL`)
	}
}
