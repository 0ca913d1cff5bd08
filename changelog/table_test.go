package changelog_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
)

func TestUnsyncedTables(t *testing.T) {
	sqlite.MustRegisterCollationUtf8("ours", strings.Compare)
	d := newApp(t, "")
	for _, test := range []struct{ name, schema, reason string }{
		{"nokey", "CREATE TABLE nokey (a UNIQUE)", "it has no declared PRIMARY KEY"},
		{"custom", "CREATE TABLE custom (id INTEGER PRIMARY KEY, a); CREATE UNIQUE INDEX ci ON custom (a COLLATE ours)", `its unique index "ci" has the collation ours`},
		{"func", "CREATE TABLE func (id INTEGER PRIMARY KEY); CREATE TRIGGER f AFTER DELETE ON func BEGIN SELECT nowhere_to_be_found(); END",
			"SQLite can't write to it here (SQL logic error: no such function: nowhere_to_be_found"},
		{"fts", "CREATE VIRTUAL TABLE fts USING fts5 (a)", "it is a virtual table"},
		{"fts_data", "", "it belongs to a virtual table"},
		{"look", "CREATE VIEW look AS SELECT 1", "it is a view"},
		{"wide", "CREATE TABLE wide (" + columns(65) + ", PRIMARY KEY (" + columns(65) + "))", "its key has more than 64 columns"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d.exec(test.schema)
			if _, err := changelog.Preview(context.Background(), d.conn, changelog.Selection{}); err != nil {
				t.Fatal(err)
			}
			_, err := changelog.Preview(context.Background(), d.conn, changelog.Selection{Tables: []string{strings.ToUpper(test.name)}, Strict: true})
			if !errors.Is(err, changelog.ErrSchema) || !strings.Contains(err.Error(), test.reason) || !strings.Contains(err.Error(), test.name) {
				t.Errorf("the error is %v, want one that says %s", err, test.reason)
			}
		})
	}
	d.exec(`CREATE TABLE good (id INTEGER PRIMARY KEY); CREATE TABLE ends (` + columns(64) + `, PRIMARY KEY (` + columns(64) + `));
		CREATE TABLE indexed (id TEXT PRIMARY KEY, a); CREATE INDEX x ON indexed (lower(a)) WHERE a > 1; CREATE UNIQUE INDEX y ON indexed (a COLLATE NOCASE)`)
	d.transact(func(ctx context.Context) error { return changelog.CreateTables(ctx, d.conn) })
	d.capture()
	var synced, unsynced []string
	for _, table := range d.db.Tables {
		synced = append(synced, table.Name)
	}
	for _, u := range d.db.Unsynced {
		if u.Reason == "" || u.Hint == "" {
			t.Errorf("table %s is left out without a reason or a hint: %+v", u.Table, u)
		}
		unsynced = append(unsynced, u.Table)
	}
	if want := []string{"ends", "func", "good", "indexed"}; !slices.Equal(synced, want) {
		t.Errorf("%q take part, want %q", synced, want)
	}
	if want := []string{"custom", "fts", "fts_config", "fts_content", "fts_data", "fts_docsize", "fts_idx", "func", "look", "nokey", "wide"}; !slices.Equal(unsynced, want) {
		t.Errorf("%q do not take part, want %q", unsynced, want)
	}
	d.exec("INSERT INTO ends (c0) VALUES (1)")
}

func columns(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = "c" + string(rune('0'+i/10)) + string(rune('0'+i%10))
	}
	list[0] = "c0"
	return strings.Join(list, ", ")
}

// The text of an index is all that tells what it is on.
func TestIndexTexts(t *testing.T) {
	for _, test := range []struct{ index, want string }{
		{"CREATE UNIQUE INDEX i ON t (lower(a))", `(lower(a)) = x COLLATE BINARY`},
		{"CREATE UNIQUE INDEX i ON t (a)", `"a" = x COLLATE BINARY`},
		{"CREATE UNIQUE INDEX i ON t (a COLLATE NOCASE DESC, g)", `"a" = x COLLATE NOCASE AND "g" = x COLLATE BINARY`},
		{"CREATE UNIQUE INDEX i ON t (a collate nocase)", `"a" = x COLLATE NOCASE`},
		{"CREATE UNIQUE INDEX i ON t (a || ',)' ASC, max(a, (b)) COLLATE RTRIM\tdesc) WHERE a > '(' AND b", `unlikely((a || ',)') = x COLLATE BINARY) AND unlikely((max(a, (b)) COLLATE RTRIM) = x COLLATE RTRIM) AND (a > '(' AND b)`},
		{"CREATE UNIQUE INDEX \"i (x\" ON t (a -- one, ) two\n, b+1/* ) */desc) /* where */ WHERE b /* end */ NOT NULL", `unlikely("a" = x COLLATE BINARY) AND unlikely((b+1) = x COLLATE BINARY) AND (b   NOT NULL)`},
		{"CREATE UNIQUE INDEX [i ] ON t ([a] || `where` || \"o\"\"d,\" || 'it''s') where[a] > 1", "unlikely(([a] || `where` || \"o\"\"d,\" || 'it''s') = x COLLATE BINARY) AND ([a] > 1)"},
	} {
		d := newApp(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, g AS (a), `where`, \"o\"\"d,\")")
		d.exec(test.index)
		tables, err := changelog.Preview(context.Background(), d.conn, changelog.Selection{})
		d.check(err)
		unique := tables[0].Unique[0]
		if got := unique.Match(slices.Repeat([]string{"x"}, len(unique.Terms))); got != test.want {
			t.Errorf("%s\n\tmatches %s\n\twant    %s", test.index, got, test.want)
		}
	}
}

// Two keys are one if and only if SQLite holds them equal.
func TestIdentityUnderCollations(t *testing.T) {
	texts := []any{"", "a", "A", "b", "a ", "a  ", "A ", " a", "a\t", "ä", "Ä", "a\x00", "A\x00", "a\x00b", "a\x00B", "a\x00c", "a\x00bb", "[", "{", "@", "`", []byte("a"), []byte("A"), int64(1), 1.5}
	for _, collation := range []string{"BINARY", "NOCASE", "RTRIM"} {
		d := newApp(t, "CREATE TABLE t (id COLLATE "+collation+" PRIMARY KEY); CREATE TABLE u (id, PRIMARY KEY (id COLLATE "+collation+")); CREATE TABLE v (id COLLATE NOCASE, PRIMARY KEY (id COLLATE "+collation+")) WITHOUT ROWID")
		tables, err := changelog.Preview(context.Background(), d.conn, changelog.Selection{})
		d.check(err)
		for _, table := range tables {
			for _, a := range texts {
				for _, b := range texts {
					want := d.text("SELECT ? = ? COLLATE "+collation, a, b)
					if got := table.Identity(changelog.Key{a}) == table.Identity(changelog.Key{b}); got != (want == "1") {
						t.Errorf("%s: %q and %q are one key: %t", collation, a, b, got)
					}
				}
			}
		}
	}
}

func TestSelection(t *testing.T) {
	d := newApp(t, "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE B (id INTEGER PRIMARY KEY); CREATE TABLE c (x); CREATE VIEW v AS SELECT 1")
	for _, test := range []struct {
		name      string
		selection changelog.Selection
		want      string // tables, or part of the error
	}{
		{"all", changelog.Selection{}, "B a"},
		{"none", changelog.Selection{Tables: []string{}}, ""},
		{"one", changelog.Selection{Tables: []string{"b"}}, "B"},
		{"two", changelog.Selection{Tables: []string{"A", "B"}}, "B a"},
		{"all but one", changelog.Selection{Exclude: []string{"A", "nothing of this name"}}, "B"},
		{"some but one", changelog.Selection{Tables: []string{"a", "b"}, Exclude: []string{"b"}}, "error"},
		{"no such table", changelog.Selection{Tables: []string{"a", "nope"}}, "nope: there is no such table"},
		{"a view", changelog.Selection{Tables: []string{"v"}}, "v: it is a view; sync"},
		{"one of ours", changelog.Selection{Tables: []string{"sqlitesync_log"}}, "error"},
		{"no key", changelog.Selection{Tables: []string{"c"}}, "c: it has no declared PRIMARY KEY; declare one"},
	} {
		lenient, err := changelog.Preview(context.Background(), d.conn, test.selection)
		if err != nil {
			t.Errorf("%s: not strict: %v", test.name, err)
		}
		test.selection.Strict = true
		tables, err := changelog.Preview(context.Background(), d.conn, test.selection)
		if err == nil && len(lenient) != len(tables) {
			t.Errorf("%s: %d tables take part, strictly %d", test.name, len(lenient), len(tables))
		}
		var names []string
		for _, table := range tables {
			names = append(names, table.Name)
		}
		switch got := strings.Join(names, " "); {
		case err == nil && got != test.want:
			t.Errorf("%s: %q take part, want %q", test.name, got, test.want)
		case err != nil && (!errors.Is(err, changelog.ErrSchema) || test.want != "error" && !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	d := newApp(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, c00 DEFAULT 1, c01 TEXT DEFAULT 1, c02 INTEGER DEFAULT '1', c03 REAL DEFAULT 1,
		c04 TEXT DEFAULT 1.50, c05 INT DEFAULT 2.0, c06 DEFAULT -5, c07 DEFAULT +0x10, c08 DEFAULT x'00ff', c09 DEFAULT 'it''s', c10 DEFAULT TRUE,
		c11 DEFAULT NULL, c12 DEFAULT CURRENT_TIMESTAMP, c13 DEFAULT (1 + 1), c14 DEFAULT (random()), c15 NUMERIC DEFAULT '1e2', c16 DEFAULT -1e-3, c17,
		c18 DEFAULT - 5, c19 DEFAULT (+ /* blank */ .5), c20 DEFAULT 1_000.2_5e0_1, c21 DEFAULT (- random()))`)
	tables, err := changelog.Preview(context.Background(), d.conn, changelog.Selection{})
	d.check(err)
	want := []string{"1", `"1"`, "1", "1.0", `"1.5"`, "2", "-5", "16", "x'00ff'", `"it's"`, "1", "NULL", "NULL", "NULL", "NULL", "100", "-0.001", "NULL",
		"-5", "0.5", "10002.5", "NULL"}
	for i, column := range tables[0].Columns {
		if got := printed([]changelog.Value{column.Default}); got != want[i] {
			t.Errorf("the default of %s is %s, want %s", column.Name, got, want[i])
		}
	}
}

// The affinity that we compute must be SQLite's: clock tables use it for the app's keys.
func TestAffinity(t *testing.T) {
	for _, declared := range []string{"", "INT", "TINYINT", "UNSIGNED BIG INT", "POINT", "CHARACTER(20)", "NCHAR(55)", "CLOB", "TEXT", "CHARINT",
		"BLOB", "TEXTBLOB", "REAL", "DOUBLE PRECISION", "FLOAT", "FLOATING POINT", "NUMERIC", "DECIMAL(10,5)", "BOOLEAN", "DATE", "DATETIME", "JSON", "ANY", "STRING"} {
		d := newApp(t, "CREATE TABLE t (id "+declared+" PRIMARY KEY NOT NULL, v "+declared+"); CREATE TABLE probe (v "+declared+")")
		tables, err := changelog.Preview(context.Background(), d.conn, changelog.Selection{})
		d.check(err)
		d.exec("CREATE TABLE ours (v " + tables[0].Key[0].Affinity + ")")
		for _, literal := range []string{"1", "'1'", "'x'", "1.5", "1.0", "x'31'", "'1e2'", "9007199254740993"} {
			d.exec("DELETE FROM ours; DELETE FROM probe; INSERT INTO ours VALUES (" + literal + "); INSERT INTO probe VALUES (" + literal + ")")
			if got, want := d.text("SELECT typeof(v) || quote(v) FROM ours"), d.text("SELECT typeof(v) || quote(v) FROM probe"); got != want {
				t.Errorf("%s in a column declared %q is %s, SQLite makes %s of it", literal, declared, got, want)
			}
		}
	}
}

// Stores must say so if and only if SQLite changes a key.
func TestStores(t *testing.T) {
	d := newApp(t, "")
	values := []changelog.Value{int64(1), 1.0, 1.5, "1", " 1", "1 ", "\t-1.5e3\n", "1e", "1.", ".5", ".", "", "x", "0x10", "1_0", "inf", "NaN", "1e999",
		"1\x00", "1 \x00x", "x\x001", "１", []byte("1"), []byte{}, "9223372036854775808"}
	for _, affinity := range []string{"", "TEXT", "INTEGER", "REAL", "NUMERIC"} {
		table := &changelog.Table{Key: []changelog.Column{{Name: "k", Affinity: affinity}}}
		d.exec("DROP TABLE IF EXISTS t; CREATE TABLE t (k " + affinity + ")")
		for _, v := range values {
			d.exec("DELETE FROM t; INSERT INTO t VALUES (?)", v)
			var stored any
			d.check(d.app.QueryRow("SELECT +k FROM t").Scan(&stored))
			after, err := changelog.Scanned(stored)
			d.check(err)
			same := changelog.Key{v}.Identity() == changelog.Key{after}.Identity()
			if got := table.Stores(changelog.Key{v}); got != same {
				t.Errorf("%#v in a column with affinity %q becomes %#v, but Stores says %t", v, affinity, after, got)
			}
		}
	}
}
