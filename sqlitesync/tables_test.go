package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// A schema of all that definitions may have in them.
const richSchema = `
	CREATE TABLE IF NOT EXISTS album (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
	CREATE TABLE "Photo of; it" ( -- a comment; with a semicolon
		id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16)))) CHECK (length(id) > 0 AND id NOT LIKE '%;%'),
		album TEXT REFERENCES album (id) ON DELETE SET NULL, /* ? */
		taken TEXT DEFAULT CURRENT_TIMESTAMP COLLATE nocase,
		size DECIMAL(10, 2), "select" TEXT,
		name TEXT GENERATED ALWAYS AS (upper("select") || '$') STORED,
		UNIQUE (album, taken)
	);
	CREATE UNIQUE INDEX "by name" ON "Photo of; it" ("select" COLLATE NOCASE DESC) WHERE size > 1;
	CREATE INDEX photo_year ON "Photo of; it" (substr(taken, 1, 4));
	CREATE TABLE counted (n INTEGER PRIMARY KEY AUTOINCREMENT, v ANY) STRICT ;
	CREATE TABLE altered (id BLOB PRIMARY KEY NOT NULL, old TEXT);
	ALTER TABLE altered RENAME COLUMN old TO renamed;
	ALTER TABLE altered ADD COLUMN added TEXT DEFAULT 'x';
	ALTER TABLE altered RENAME TO "al-tered";
	CREATE TABLE nokey (x);
	CREATE VIEW shown AS SELECT * FROM album;
	CREATE TRIGGER counts AFTER INSERT ON album BEGIN INSERT INTO nokey VALUES (1); END;
`

// appSchema returns what the app's tables and indexes are.
func (d *testDevice) appSchema() string {
	d.tb.Helper()
	return d.value(`SELECT group_concat(coalesce(sql, name), char(10)) FROM (SELECT sql, name FROM sqlite_schema WHERE type IN ('table', 'index')
		AND tbl_name NOT GLOB 'sqlitesync_*' AND tbl_name <> 'nokey' ORDER BY type, name)`)
}

func TestTablesAreMadeOfDefinitions(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, richSchema)
	a.exec(`INSERT INTO album VALUES ('x', 'Sea')`)
	a.exec(`INSERT INTO "Photo of; it" (id, album, "select", size) VALUES ('p', 'x', 'beach', 2)`)
	a.exec(`INSERT INTO counted (v) VALUES (x'00'), ('text')`)
	a.exec(`INSERT INTO "al-tered" VALUES (x'01', 'r', 'a')`)
	a.create(t.TempDir())
	a.sync()
	b := newTestDevice(t, "")
	b.options.MakeTables = true
	b.join(a.folder, a.invite())
	settle(b, a)
	if got, want := b.appSchema(), a.appSchema(); got != want {
		t.Errorf("made\n%s\nof\n%s", got, want)
	}
	b.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE type IN ('view', 'trigger') AND name NOT GLOB 'sqlitesync_*' OR name = 'nokey'")
	a.exec("DELETE FROM nokey") // it is a's own
	wantSame(t, []*testDevice{a, b})
	b.wantValue("BEACH$", `SELECT name FROM "Photo of; it"`)
	if s := b.syncer.Status(); s.Held != 0 || len(s.Problems) != 0 {
		t.Errorf("%d rows are held, problems %v", s.Held, s.Problems)
	}
	// It is a device like any other.
	b.exec(`UPDATE album SET title = 'Lake'`)
	settle(b, a)
	a.wantValue("Lake", "SELECT title FROM album")
}

func TestTablesAreMadeLater(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	a.exec("CREATE TABLE more (id TEXT PRIMARY KEY NOT NULL); INSERT INTO more VALUES ('m'); CREATE TABLE left_out (id TEXT PRIMARY KEY NOT NULL)")
	settle(a, b)
	if held := b.syncer.Status().Held; held != 1 {
		t.Fatalf("%d rows are held", held)
	}
	must(t, b.syncer.Close())
	b.options.Exclude = []string{"Left_Out"}
	b.open()
	made, err := b.syncer.MakeTables(ctx)
	must(t, err)
	if !slices.Equal(made, []string{"more"}) {
		t.Errorf("made %q", made)
	}
	b.sync()
	b.wantValue("m", "SELECT id FROM more")
	b.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name = 'left_out'")
	if held := b.syncer.Status().Held; held != 0 {
		t.Errorf("%d rows are held", held)
	}
	if made, err = b.syncer.MakeTables(ctx); err != nil || len(made) != 0 {
		t.Errorf("made %q, %v", made, err)
	}
}

// say lets a device declare tables as it likes.
func (d *testDevice) say(tables ...headTable) {
	d.tb.Helper()
	d.syncer.tables = tables
	d.sync()
}

func TestOfSeveralDefinitionsTheWidestIsUsed(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	must(t, a.syncer.SetRole(context.Background(), c.id(), RoleWriter))
	settle(devices...)
	wide := func(name, column string) headTable {
		return headTable{Name: name, SQL: "CREATE TABLE " + name + " (id TEXT PRIMARY KEY NOT NULL, " + column + ")"}
	}
	a.say(wide("one", "a"), wide("two", "a"), wide("four", "a DEFAULT (load_extension('x'))"))
	b.say(wide("one", "b"), wide("two", "b, bb"), wide("three", "b"), wide("four", "b"))
	c.say(wide("one", "c"), wide("two", "c"))
	e := newTestDevice(t, "CREATE VIEW three AS SELECT 1")
	e.options.MakeTables = true
	e.join(a.folder, a.invite())
	for table, want := range map[string]string{"one": "id,a", "two": "id,b,bb", "four": "id,b"} {
		e.wantValue(want, "SELECT group_concat(name) FROM pragma_table_info(?)", table)
	}
	e.wantValue("view", "SELECT type FROM sqlite_schema WHERE name = 'three'")
}

// Nothing but a table and its indexes is made, whatever a member sends.
func TestDoubtfulDefinitionsAreRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, err := newScratch(ctx)
	must(t, err)
	defer func() { must(t, s.close()) }()
	good := "CREATE TABLE t (id TEXT PRIMARY KEY)"
	var unique strings.Builder
	many := make([]string, 65)
	for i := range many {
		fmt.Fprintf(&unique, "u%d UNIQUE, ", i)
		many[i] = fmt.Sprintf("CREATE INDEX i%d ON t (id)", i)
	}
	for name, test := range map[string]struct {
		definition changelog.Definition
		reason     string
	}{
		"two statements":          {changelog.Definition{Table: "t", SQL: good + "; DROP TABLE t"}, `";"`},
		"a second table":          {changelog.Definition{Table: "t", SQL: good + "\n;CREATE TABLE u (x)"}, `";"`},
		"a statement in an index": {changelog.Definition{Table: "t", SQL: good, Indexes: []string{"CREATE INDEX i ON t (id); DELETE FROM t"}}, `";"`},
		"no CREATE":               {changelog.Definition{Table: "t", SQL: "DROP TABLE t"}, "begin"},
		"a trigger":               {changelog.Definition{Table: "t", SQL: "CREATE TRIGGER t AFTER INSERT ON t BEGIN SELECT 1; END"}, "begin"},
		"a view":                  {changelog.Definition{Table: "t", SQL: "CREATE VIEW t AS SELECT 1"}, "begin"},
		"a virtual table":         {changelog.Definition{Table: "t", SQL: "CREATE VIRTUAL TABLE t USING fts5(x)"}, "begin"},
		"a temporary table":       {changelog.Definition{Table: "t", SQL: "CREATE TEMP TABLE t (x)"}, "begin"},
		"in another schema":       {changelog.Definition{Table: "t", SQL: "CREATE TABLE temp.t (x)"}, "does not take"},
		"in the schema":           {changelog.Definition{Table: "t", SQL: "CREATE TABLE main.t (x)"}, "keep"},
		"if not there":            {changelog.Definition{Table: "t", SQL: "CREATE TABLE IF NOT EXISTS t (x)"}, "keep"},
		"of a query":              {changelog.Definition{Table: "t", SQL: "CREATE TABLE t AS SELECT 1 AS x"}, "SELECT"},
		"of values":               {changelog.Definition{Table: "t", SQL: "CREATE TABLE t AS VALUES (1)"}, ""},
		"a subquery":              {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x CHECK (x IN (SELECT 1)))"}, "SELECT"},
		"a parameter":             {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT (?1))"}, `"?"`},
		"a named parameter":       {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT (@a))"}, `"@"`},
		"a dollar parameter":      {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT ($a))"}, ""},
		"another table":           {changelog.Definition{Table: "t", SQL: "CREATE TABLE u (x)"}, "makes u"},
		"an index of another":     {changelog.Definition{Table: "t", SQL: good, Indexes: []string{"CREATE INDEX i ON sqlite_schema (name)"}}, ""},
		"one thing twice":         {changelog.Definition{Table: "t", SQL: good, Indexes: []string{"CREATE INDEX t ON t (id)"}}, "one thing"},
		"a pragma's name":         {changelog.Definition{Table: "pragma_table_list", SQL: "CREATE TABLE pragma_table_list (x)"}, "reserved"},
		"SQLite's name":           {changelog.Definition{Table: "sqlite_stat1", SQL: "CREATE TABLE sqlite_stat1 (tbl, idx, stat)"}, "reserved"},
		"our name":                {changelog.Definition{Table: "sqlitesync_log", SQL: "CREATE TABLE sqlitesync_log (x)"}, "reserved"},
		"an index of our name":    {changelog.Definition{Table: "t", SQL: good, Indexes: []string{`CREATE INDEX "SQLITESYNC_x" ON t (id)`}}, "reserved"},
		"no name":                 {changelog.Definition{Table: "", SQL: good}, "none that travels"},
		"another case":            {changelog.Definition{Table: "T", SQL: good}, "none that travels"},
		"a NUL":                   {changelog.Definition{Table: "t", SQL: good + "\x00; DROP TABLE t"}, "no text"},
		"no UTF-8":                {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT '\xff')"}, "no text"},
		"too long":                {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT '" + strings.Repeat("x", 1<<16) + "')"}, "longer"},
		"too many indexes":        {changelog.Definition{Table: "t", SQL: good, Indexes: many}, "more than 64"},
		"too many constraints":    {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (" + unique.String() + "x)"}, "more than 64"},
		"too many foreign keys":   {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x" + strings.Repeat(", FOREIGN KEY (x) REFERENCES u (x)", 65) + ")"}, "more than 64"},
		"refers to SQLite's":      {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x REFERENCES sqlite_schema (name))"}, "refers"},
		"refers to ours":          {changelog.Definition{Table: "t", SQL: `CREATE TABLE t (x REFERENCES "SQLitesync_log" ON DELETE RESTRICT)`}, "refers"},
		"too deep":                {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x CHECK (" + strings.Repeat("(", 20000) + "1" + strings.Repeat(")", 20000) + "))"}, "does not take"},
		"a quote without an end":  {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT '"}, "does not take"},
		"nothing but a quote":     {changelog.Definition{Table: "t", SQL: "CREATE TABLE '"}, ""},
		"half an index":           {changelog.Definition{Table: "t", SQL: good, Indexes: []string{"CREATE INDEX '"}}, ""},
		"a comment without end":   {changelog.Definition{Table: "t", SQL: good + " /* "}, ""},
		"a function of the app":   {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT (mine(1)))"}, "function mine"},
		"one that does something": {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x DEFAULT (load_extension('x')))"}, "function load_extension"},
		"one in a check":          {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x CHECK (sqlite_version() > x))"}, "function sqlite_version"},
		"one in a column":         {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x, y AS (zeroblob(x)))"}, "function zeroblob"},
		"one in an index":         {changelog.Definition{Table: "t", SQL: good, Indexes: []string{"CREATE INDEX i ON t (soundex(id))"}}, ""},
		"one that is an operator": {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x CHECK (x MATCH 'y'))"}, "function match"},
		"RAISE":                   {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x CHECK (raise(IGNORE)))"}, "RAISE"},
		"another collation":       {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x COLLATE mine)"}, "collation"},
		"a quoted collation":      {changelog.Definition{Table: "t", SQL: `CREATE TABLE t (x COLLATE "mine")`}, "collation"},
		"a collation in a check":  {changelog.Definition{Table: "t", SQL: "CREATE TABLE t (x CHECK (x COLLATE/**/mine = 1))"}, "collation"},
	} {
		_, err := s.try(ctx, &test.definition)
		if err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, want a reason with %q", name, err, test.reason)
		}
		var left int
		must(t, s.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&left))
		if left != 0 {
			t.Fatalf("%s: %d things are left", name, left)
		}
	}
	if columns, err := s.try(ctx, &changelog.Definition{Table: "t", SQL: good}); err != nil || columns != 1 {
		t.Errorf("what is good is refused: %v, or has %d columns", err, columns)
	}
}

// What a head says beyond what it may is not looked at.
func TestDefinitionsThatDoNotFitAreLeftOut(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	var tables []headTable
	for _, name := range []string{"one", "two", "three"} {
		tables = append(tables, headTable{Name: name, SQL: "CREATE TABLE " + name + " (id TEXT PRIMARY KEY NOT NULL /* " + strings.Repeat("x", 50_000) + " */)"})
	}
	a.say(tables...)
	made, err := b.syncer.MakeTables(context.Background())
	must(t, err)
	if !slices.Equal(made, []string{"one", "two"}) {
		t.Errorf("made %q", made)
	}
}

func TestDefinitionsAreUsedWhereTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.say(append([]headTable{{Name: "planted", SQL: "CREATE TABLE planted (id TEXT PRIMARY KEY NOT NULL)"}}, a.syncer.tables...)...)
	c := newTestDevice(t, "")
	c.join(a.folder, a.invite())
	settle(b, c, a)
	for _, d := range []*testDevice{b, c} {
		d.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name = 'planted'")
	}
	c.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name = 'item'")
	// Asked for, it makes what is lacking, and leaves what is there.
	made, err := b.syncer.MakeTables(context.Background())
	must(t, err)
	if !slices.Equal(made, []string{"planted"}) {
		t.Errorf("made %q", made)
	}
	b.wantValue("0", "SELECT count(*) FROM planted")
	// So are only tables that shall take part.
	e := newTestDevice(t, "")
	e.options.MakeTables, e.options.Tables = true, []string{"Item"}
	e.join(a.folder, a.invite())
	e.wantValue("item", "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlitesync_*'")
}

// What stands in quotes is text, wherever it comes to stand.
func TestOddDefinitionsTouchNothingElse(t *testing.T) {
	t.Parallel()
	const drop = `'); "); DROP TABLE item; --`
	quoted := changelog.Quote(drop)
	odd := []headTable{
		{Name: "types", SQL: "CREATE TABLE types (id " + quoted + " PRIMARY KEY NOT NULL, v " + quoted + ")"},
		{Name: "defaults", SQL: "CREATE TABLE defaults (id TEXT PRIMARY KEY NOT NULL, v TEXT NOT NULL DEFAULT " + quoted + ", w NOT NULL DEFAULT (1 /* ; */ + -- )\n 2))"},
		{Name: changelog.CanonicalName(drop), SQL: "CREATE TABLE " + quoted + " (" + quoted + " TEXT PRIMARY KEY NOT NULL, k0 UNIQUE, time, excluded, rowid, oid, _rowid_)"},
		{Name: "partial", SQL: "CREATE TABLE partial (id TEXT PRIMARY KEY NOT NULL, a, b)", Indexes: []string{
			`CREATE UNIQUE INDEX "); END; DROP TABLE item; --" ON partial (a, ("b" || '''); END; --')) WHERE a <> '); END; DROP TABLE item' AND [b] <> 'x' /* ) */ -- )` + "\n AND 1"}},
		{Name: "conflicts", SQL: "CREATE TABLE conflicts (id TEXT PRIMARY KEY ON CONFLICT ROLLBACK NOT NULL ON CONFLICT REPLACE DEFAULT 'q', u UNIQUE ON CONFLICT ROLLBACK)"},
		{Name: "main.item", SQL: `CREATE TABLE "main.item" (id TEXT PRIMARY KEY NOT NULL)`},
		{Name: "temp", SQL: "CREATE TABLE 'temp' (id TEXT PRIMARY KEY NOT NULL, old, new)"},
	}
	a, b := newPair(t, itemSchema)
	item := b.value("SELECT sql FROM sqlite_schema WHERE name = 'item'")
	for _, table := range odd {
		a.exec(table.SQL)
		for _, index := range table.Indexes {
			a.exec(index)
		}
		key := a.value("SELECT name FROM pragma_table_info(?) WHERE pk", table.Name)
		a.exec("INSERT INTO " + changelog.Quote(table.Name) + " (" + changelog.Quote(key) + ") VALUES ('x')")
	}
	a.exec("INSERT INTO item (id) VALUES ('y')")
	settle(a, b)
	made, err := b.syncer.MakeTables(context.Background())
	must(t, err)
	if len(made) != len(odd) {
		t.Errorf("made %q", made)
	}
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	b.wantValue(item, "SELECT group_concat(sql) FROM sqlite_schema WHERE tbl_name = 'item' AND type <> 'trigger'")
	if s := b.syncer.Status(); s.Held != 0 || len(s.Unsynced) != 0 || len(s.Problems) != 0 {
		t.Errorf("%d rows are held, unsynced %v, problems %v", s.Held, s.Unsynced, s.Problems)
	}
}

// SQLite lets nobody write to a table that another one refers to by columns that
// are not unique.
func TestDefinitionsThatWouldStopWritesAreRefused(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	const loose = "CREATE TABLE loose (id TEXT PRIMARY KEY NOT NULL, name REFERENCES item (name))"
	a.say(append([]headTable{{Name: "loose", SQL: loose}}, a.syncer.tables...)...)
	_, err := b.syncer.MakeTables(context.Background())
	wantIs(t, err, ErrSchema)
	wantText(t, err, `"loose"`, `"item"`, "exclude")
	b.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name = 'loose'")
	b.exec("INSERT INTO item (id) VALUES ('x')")
	// Where nothing was before, it is as the app has declared it.
	c := newTestDevice(t, "")
	c.options.MakeTables = true
	c.join(a.folder, a.invite())
	c.wantValue(loose, "SELECT sql FROM sqlite_schema WHERE name = 'loose'")
}

func TestARefusedDefinitionStopsJoinBeforeItBegins(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, reader := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.sync()
	invite, err := a.syncer.Invite(ctx, &InviteOptions{Role: RoleReader})
	must(t, err)
	reader.join(a.folder, invite.Code)
	reader.say(headTable{Name: "of_reader", SQL: "CREATE TABLE of_reader (id TEXT PRIMARY KEY NOT NULL)"})
	bad := headTable{Name: "bad", SQL: "CREATE TABLE bad (id TEXT PRIMARY KEY NOT NULL); DROP TABLE item"}
	a.say(append([]headTable{bad}, a.syncer.tables...)...)
	code, before := a.invite(), tree(t, a.folder)
	b := newTestDevice(t, "")
	b.options.MakeTables = true
	_, err = Join(ctx, b.db, a.folder, code, &b.options)
	wantIs(t, err, ErrSchema)
	wantText(t, err, `"bad"`, "exclude")
	b.wantValue("0", "SELECT count(*) FROM sqlite_schema")
	delete(before, "")
	after := tree(t, a.folder)
	delete(after, "")
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("the folder has changed")
	}
	b.options.Exclude = []string{"bad"}
	b.join(a.folder, code)
	b.wantValue("item", "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlitesync_*'")

	// Without any head nobody knows.
	code = a.invite()
	must(t, os.Remove(a.directory()+"/head"))
	must(t, os.Remove(b.directory()+"/head"))
	c := newTestDevice(t, "")
	c.options.MakeTables = true
	_, err = Join(ctx, c.db, a.folder, code, &c.options)
	wantIs(t, err, ErrFolder)
	c.wantValue("0", "SELECT count(*) FROM sqlite_schema")
}

func TestHeadsSayNoMoreOfTablesThanFits(t *testing.T) {
	t.Parallel()
	var definitions []changelog.Definition
	for i := range 10 {
		definitions = append(definitions, changelog.Definition{Table: fmt.Sprint("t", i), SQL: strings.Repeat("x", 20_000)})
	}
	definitions = append(definitions, changelog.Definition{Table: "small"}, changelog.Definition{Table: "odd", SQL: "\xff"})
	var names []string
	for _, table := range headTables(definitions) {
		names = append(names, table.Name)
	}
	if got := strings.Join(names, " "); got != "t0 t1 t2 t3 t4 t5 small" {
		t.Errorf("heads say %s", got)
	}
}

// FuzzDefinition: what is accepted makes one table and its indexes, in any
// database, and is the same when it is read there again.
func FuzzDefinition(f *testing.F) {
	f.Add("t", "CREATE TABLE t (id TEXT PRIMARY KEY, b DEFAULT (hex(randomblob(4))) CHECK (b > 1))", "CREATE INDEX i ON t (b) WHERE b > 2")
	f.Add("t", "CREATE TABLE t (a, b AS (a || 1)) STRICT", "CREATE UNIQUE INDEX [i] ON t (lower(a) COLLATE NOCASE)")
	f.Add("t", "CREATE TABLE t (a); DROP TABLE t", "CREATE INDEX i ON sqlite_schema (sql)")
	f.Fuzz(func(t *testing.T, name, table, index string) {
		ctx := context.Background()
		trial, err := newScratch(ctx)
		must(t, err)
		defer trial.close()
		d := changelog.Definition{Table: name, SQL: table}
		if index != "" {
			d.Indexes = []string{index}
		}
		if _, err := trial.try(ctx, &d); err != nil {
			return
		}
		db, err := sql.Open("sqlite", ":memory:")
		must(t, err)
		defer db.Close()
		db.SetMaxOpenConns(1)
		for _, statement := range append([]string{"CREATE TABLE \"own'one\" (x)", d.SQL}, d.Indexes...) {
			_, err := db.Exec(statement)
			must(t, err)
		}
		var things, own int
		must(t, db.QueryRow(`SELECT count(*), sum(name = 'own''one') FROM sqlite_schema
			WHERE type NOT IN ('index') AND name <> 'sqlite_sequence' OR tbl_name = 'own''one'`).Scan(&things, &own))
		if things != 2 || own != 1 {
			t.Errorf("%q, %q: made %d things", table, index, things-1)
		}
	})
}
