package changelog_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

func TestReadReferences(t *testing.T) {
	const parents = `CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT COLLATE NOCASE UNIQUE, n INT, g AS (n) UNIQUE);
		CREATE TABLE pair (a TEXT, b INT, PRIMARY KEY (a, b)); CREATE TABLE "Loc al" (id INTEGER PRIMARY KEY); CREATE VIEW v AS SELECT 1 AS id;
		CREATE UNIQUE INDEX some ON p (n) WHERE n > 0;`
	for _, test := range []struct {
		child string // after CREATE TABLE c (id INTEGER PRIMARY KEY,
		want  string // id, action, whether to the key, whether alike
	}{
		{"p INT REFERENCES p", "p p (id) 0 true true"},
		{"P INT REFERENCES P (ID) ON DELETE CASCADE", "p p (id) 1 true true"},
		{"p REFERENCES p ON DELETE SET NULL", "p p (id) 2 true false"},
		{"p INT DEFAULT 7 REFERENCES p ON DELETE SET DEFAULT", "p p (id) 3 true true"},
		{"p INT DEFAULT (1 + 1) REFERENCES p ON DELETE SET DEFAULT", "p p (id) 1 true true"},
		{"p INT DEFAULT NULL REFERENCES p ON DELETE SET DEFAULT", "p p (id) 3 true true"},
		{"u TEXT COLLATE NOCASE REFERENCES p (u) ON DELETE NO ACTION", "u p (u) 0 false true"},
		{"u TEXT REFERENCES p (u) ON DELETE RESTRICT", "u p (u) 0 false false"},
		{"u TEXT REFERENCES p (g)", "u p (g) 0 false false"},
		{"n INT REFERENCES p (n)", "! n p (n): SQLite does not accept it, because what it refers to is not unique"},
		{"n INT REFERENCES p (x)", "! n p (x): SQLite does not accept it, because what it refers to is not unique"},
		{"n INT REFERENCES pair", "! n pair (a, b): SQLite does not accept it, because what it refers to is not unique"},
		{"x INT, y TEXT, FOREIGN KEY (x, y) REFERENCES pair (b, a) ON DELETE CASCADE", "x, y pair (b, a) 1 true true"},
		{"x INT DEFAULT 1, y TEXT, FOREIGN KEY (y, x) REFERENCES pair ON DELETE SET DEFAULT, FOREIGN KEY (x) REFERENCES p ON DELETE SET NULL", "x p (id) 2 true true; y, x pair (a, b) 1 true true"},
		{"x INT, FOREIGN KEY (id) REFERENCES p ON DELETE SET NULL", "id p (id) 1 true true"},
		{"x INT REFERENCES nowhere ON DELETE CASCADE", "x nowhere (x) 1 false false"},
		{"x INT REFERENCES nowhere (id)", "x nowhere (id) 0 false false"},
		{`x INT REFERENCES "loc AL"`, `! x loc al (id): "loc AL", which it refers to, is not synced`},
		{"x INT REFERENCES v (id)", `! x v (id): "v", which it refers to, is not synced`},
		{"x INT, y INT AS (x) REFERENCES p", "! y p (id): it has a generated column"},
		{"x INT REFERENCES c ON DELETE CASCADE", "x c (id) 1 true true"},
	} {
		t.Run(test.child, func(t *testing.T) {
			d := newDevice(t, parents+"CREATE TABLE c (id INTEGER PRIMARY KEY, "+test.child+")")
			d.db.ForeignKeys = true
			d.transact(func(ctx context.Context) error {
				return d.db.Capture(ctx, changelog.Selection{Exclude: []string{"loc al"}})
			})
			var got []string
			for _, r := range d.db.Table("c").References {
				got = append(got, fmt.Sprint(r.ID(), " ", int(r.Action), " ", r.ToKey(), " ", !strings.Contains(r.Children(1), "+c.")))
			}
			for _, r := range d.db.Unchecked {
				got = append(got, fmt.Sprintf("! %s: %s", r.ID(), r.Obstacle))
			}
			if strings.Join(got, "; ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// SQLite bounds the depth of an expression, and that which finds rows without
// parents has a part for each reference.
func TestManyReferences(t *testing.T) {
	const many = 300
	d := newDevice(t, "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, x INT"+
		strings.Repeat(", FOREIGN KEY (x) REFERENCES p", many)+")")
	d.db.ForeignKeys = true
	d.transact(func(ctx context.Context) error { return d.db.Capture(ctx, changelog.Selection{}) })
	if n := len(d.db.Table("c").References); n != 200 || len(d.db.Unchecked) != many-n {
		t.Errorf("%d references, %d unchecked", n, len(d.db.Unchecked))
	}
	if got := d.db.Unchecked[0].Obstacle; got != "the table has more than 200 of them" {
		t.Errorf("obstacle %q", got)
	}
}

// Rows of tables that stay here refer to rows that do not, and to one another.
func TestReadLocalReferences(t *testing.T) {
	d := newDevice(t, `CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE pair (a, b, PRIMARY KEY (a, b)); CREATE TABLE l (id INTEGER PRIMARY KEY, p INT REFERENCES p, n INT REFERENCES nowhere);
		CREATE TABLE m (l INT REFERENCES l ON DELETE CASCADE, q INT REFERENCES pair)`)
	d.transact(func(ctx context.Context) error { return d.db.Capture(ctx, changelog.Selection{Exclude: []string{"l"}}) })
	if len(d.db.Local) != 0 || d.db.Table("p").Bound() {
		t.Error("a space that does not enforce foreign keys has some")
	}
	d.db.ForeignKeys = true
	d.transact(func(ctx context.Context) error { return d.db.Capture(ctx, changelog.Selection{Exclude: []string{"l"}}) })
	if local := d.db.Table("p").Local; len(local) != 1 || local[0].Name != "l" || !local[0].ToKey() || !d.db.Table("p").Bound() {
		t.Errorf("local references to p: %+v", local)
	}
	if len(d.db.Local) != 1 || d.db.Local[0].Name != "m" || d.db.Local[0].Action != changelog.Cascade {
		t.Errorf("references between local tables: %+v", d.db.Local)
	}
}

func TestComponents(t *testing.T) {
	for _, test := range []struct {
		references string // "child parent, …"
		want       string
	}{
		{"", "a | b | c | d"},
		{"a b, b c", "c | b | a | d"},
		{"a a", "(a) | b | c | d"},
		{"a b, b a, c a, b d", "d | (a b) | c"},
		{"a c, c b, b a, d d, a d", "(d) | (a b c)"},
		{"a b, a c, b d, c d, d b", "(b d) | c | a"},
	} {
		var script strings.Builder
		for _, name := range []string{"a", "b", "c", "d"} {
			fmt.Fprintf(&script, "CREATE TABLE %s (id INTEGER PRIMARY KEY", name)
			for i, pair := range strings.Split(test.references, ", ") {
				if child, parent, found := strings.Cut(pair, " "); found && child == name {
					fmt.Fprintf(&script, ", r%d INT REFERENCES %s", i, parent)
				}
			}
			script.WriteString(");")
		}
		d := newDevice(t, script.String())
		d.db.ForeignKeys = true
		d.transact(func(ctx context.Context) error { return d.db.Capture(ctx, changelog.Selection{}) })
		var got []string
		for _, c := range d.db.Components {
			var names []string
			for _, table := range c.Tables {
				names = append(names, table.Name)
			}
			slices.Sort(names)
			text := strings.Join(names, " ")
			if c.Cyclic {
				text = "(" + text + ")"
			}
			got = append(got, text)
		}
		if strings.Join(got, " | ") != test.want {
			t.Errorf("%s: got %s, want %s", test.references, strings.Join(got, " | "), test.want)
		}
	}
}
