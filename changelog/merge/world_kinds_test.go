package merge_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// A worldKind is a schema for histories, as SQL and as the oracle knows it, and the values that its columns take.
type worldKind struct {
	name   string
	create string
	world  world
	values map[string][]any // by column
}

// model returns the table of this name, nil if there is none.
func (k *worldKind) model(name string) *model {
	for _, table := range k.world.tables() {
		if table.table == name {
			return table
		}
	}
	return nil
}

// rename returns a schema that has other names for the tables that are chosen, and is the same else.
func (k *worldKind) rename(chosen func(table string) bool) *worldKind {
	names := make(map[string]string)
	for _, table := range k.world.tables() {
		if names[table.table] = table.table; chosen(table.table) {
			names[table.table] = table.table + "_new"
		}
	}
	renamed := &worldKind{values: k.values}
	for _, component := range k.world.components {
		var tables []*model
		for _, table := range component {
			table := *table
			table.table = names[table.table]
			tables = append(tables, &table)
		}
		renamed.world.components = append(renamed.world.components, tables)
	}
	for _, r := range k.world.references {
		r.child, r.parent = names[r.child], names[r.parent]
		renamed.world.references = append(renamed.world.references, r)
	}
	renamed.create = k.create + ";" + k.renaming(renamed)
	return renamed
}

// foreignKeys matches what declares a reference in the schemas below.
var foreignKeys = regexp.MustCompile(`(,\s*FOREIGN KEY \([^)]*\))? REFERENCES \w+( \([^)]*\))?( ON (DELETE|UPDATE) (CASCADE|RESTRICT|NO ACTION|SET NULL|SET DEFAULT))*( DEFERRABLE INITIALLY DEFERRED)?`)

// rules match what declares rules about one table in the schemas below. NOT NULL of a key stays.
var rules = []*regexp.Regexp{
	regexp.MustCompile(`,\s*UNIQUE \([^)]*\)`), regexp.MustCompile(` UNIQUE\b`), regexp.MustCompile(`,?\s*CHECK \([^)]*\)`),
	regexp.MustCompile(` NOT NULL( DEFAULT)`), regexp.MustCompile(`(\b[tiu] (?:INTEGER|TEXT)) NOT NULL`),
}

// loose returns a schema without the references and other rules, as that of an older app could be.
func (k *worldKind) loose() *worldKind {
	loose := &worldKind{name: k.name, create: foreignKeys.ReplaceAllString(k.create, ""), values: k.values}
	for _, rule := range rules {
		replacement := ""
		if rule.NumSubexp() > 0 {
			replacement = "$1"
		}
		loose.create = rule.ReplaceAllString(loose.create, replacement)
	}
	for _, table := range k.world.tables() {
		table := *table
		table.unique, table.check, table.column = nil, nil, slices.Clone(table.column)
		for i := range table.column {
			table.column[i].notNull = false
		}
		loose.world.components = append(loose.world.components, []*model{&table})
	}
	return loose
}

// without returns a schema that lacks one of the tables, although others may refer to it.
func (k *worldKind) without(name string) *worldKind {
	less := *k
	less.create += "; DROP TABLE " + name
	less.world.components = nil
	for _, component := range k.world.components {
		if left := slices.DeleteFunc(slices.Clone(component), func(m *model) bool { return m.table == name }); len(left) > 0 {
			less.world.components = append(less.world.components, left)
		}
	}
	return &less
}

// creating returns the statements that make one of the tables.
func (k *worldKind) creating(name string) string {
	var statements []string
	for statement := range strings.SplitSeq(k.create, ";") {
		if strings.Contains(statement, "CREATE TABLE "+name+" (") || strings.Contains(statement, " ON "+name+" (") {
			statements = append(statements, statement)
		}
	}
	return strings.Join(statements, ";")
}

// renaming returns the statements that make k's schema that of renamed.
func (k *worldKind) renaming(renamed *worldKind) string {
	var b strings.Builder
	for i, table := range k.world.tables() {
		if name := renamed.world.tables()[i].table; name != table.table {
			fmt.Fprintf(&b, "ALTER TABLE %s RENAME TO %s;", table.table, name)
		}
	}
	return b.String()
}

// value returns a random value for a column, as its table stores it.
func (k *worldKind) value(random *rand.Rand, column string) any {
	pool := k.values[column]
	if pool == nil {
		pool = []any{nil, int64(1), int64(2), int64(3), int64(4)}
	}
	return pool[random.IntN(len(pool))]
}

func (k *worldKind) statements(random *rand.Rand) []string {
	if random.IntN(5) != 0 {
		return []string{k.statement(random)}
	}
	list := []string{"BEGIN"}
	for range 1 + random.IntN(4) {
		list = append(list, k.statement(random))
	}
	return append(list, "COMMIT")
}

func (k *worldKind) statement(random *rand.Rand) string {
	tables := k.world.tables()
	table := tables[random.IntN(len(tables))]
	names := slices.Clone(table.key)
	for _, column := range table.column {
		names = append(names, column.name)
	}
	literal := func(name string) string {
		if v := k.value(random, name); v != nil {
			return strings.ReplaceAll(printed(v), `"`, "'")
		}
		return "NULL"
	}
	key := func(name string) string {
		for {
			if text := literal(name); text != "NULL" {
				return text
			}
		}
	}
	var where, all, set []string
	for _, name := range table.key {
		text := key(name)
		where, all = append(where, name+" = "+text), append(all, text)
	}
	for _, name := range names[len(table.key):] {
		all = append(all, literal(name))
		if random.IntN(len(names)) == 0 {
			set = append(set, name+" = "+literal(name))
		}
	}
	if len(set) == 0 {
		name := names[random.IntN(len(names))]
		set = append(set, name+" = "+key(name))
	}
	switch n := random.IntN(20); {
	case n < 9:
		or := []string{"", "", "OR REPLACE ", "OR IGNORE "}[random.IntN(4)]
		return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES (%s)", or, table.table, strings.Join(names, ", "), strings.Join(all, ", "))
	case n < 13:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", table.table, strings.Join(where, " AND "))
	case n < 14:
		return "DELETE FROM " + table.table
	default:
		return fmt.Sprintf("UPDATE %s SET %s WHERE %s", table.table, strings.Join(set, ", "), strings.Join(where, " AND "))
	}
}

func plainColumns(names ...string) (columns []modelColumn) {
	for _, name := range names {
		columns = append(columns, modelColumn{name: name})
	}
	return columns
}

var worldKinds = append([]worldKind{
	{ // a chain of three tables
		name: "a chain of three tables",
		create: `CREATE TABLE a (id INTEGER PRIMARY KEY, x);
			CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a ON DELETE CASCADE, u INTEGER UNIQUE);
			CREATE TABLE c (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b ON DELETE SET NULL, n INTEGER NOT NULL DEFAULT 7, UNIQUE (b, n), CHECK (b IS NULL OR n <> 3));
			CREATE INDEX children ON b (a)`,
		world: world{
			components: [][]*model{
				{{table: "a", key: []string{"id"}, column: plainColumns("x")}},
				{{table: "b", key: []string{"id"}, column: plainColumns("a", "u"), unique: []modelUnique{{columns: []string{"u"}}}}},
				{{table: "c", key: []string{"id"}, column: []modelColumn{{name: "b"}, {name: "n", notNull: true, constant: int64(7)}},
					unique: []modelUnique{{columns: []string{"b", "n"}}}, check: func(row map[string]any) bool { return row["b"] == nil || row["n"] != int64(3) }}},
			},
			references: []modelReference{
				{child: "b", columns: []string{"a"}, parent: "a", to: []string{"id"}, action: "CASCADE"},
				{child: "c", columns: []string{"b"}, parent: "b", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"n": {int64(1), int64(2), int64(3)}},
	},
	{ // every action, parents called by their key and by another column, keys that fold
		name: "every action",
		create: `CREATE TABLE p (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, code INTEGER UNIQUE, x);
			CREATE TABLE q (id INTEGER PRIMARY KEY, r TEXT REFERENCES p ON DELETE RESTRICT, s TEXT DEFAULT 'b' REFERENCES p ON DELETE SET DEFAULT,
				t TEXT NOT NULL REFERENCES p ON DELETE SET NULL, k INTEGER REFERENCES p (code) ON DELETE NO ACTION, l INTEGER REFERENCES p (code) ON DELETE SET NULL,
				x, UNIQUE (s, x))`,
		world: world{
			components: [][]*model{
				{{table: "p", key: []string{"id"}, column: plainColumns("code", "x"), unique: []modelUnique{{columns: []string{"code"}}}, fold: strings.ToLower}},
				{{table: "q", key: []string{"id"}, column: []modelColumn{{name: "r"}, {name: "s", constant: "b"}, {name: "t", notNull: true}, {name: "k"}, {name: "l"}, {name: "x"}},
					unique: []modelUnique{{columns: []string{"s", "x"}}}}},
			},
			references: []modelReference{
				{child: "q", columns: []string{"r"}, parent: "p", to: []string{"id"}, action: "RESTRICT", same: sameText},
				{child: "q", columns: []string{"s"}, parent: "p", to: []string{"id"}, action: "SET DEFAULT", same: sameText},
				{child: "q", columns: []string{"t"}, parent: "p", to: []string{"id"}, action: "SET NULL", same: sameText},
				{child: "q", columns: []string{"k"}, parent: "p", to: []string{"code"}, action: "NO ACTION"},
				{child: "q", columns: []string{"l"}, parent: "p", to: []string{"code"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{
			"id": {"a", "b", "A", "c", int64(1), int64(2), int64(3)}, "code": {nil, int64(1), int64(2)}, "r": {nil, nil, "a", "A"}, "s": {nil, "a", "b", "c"},
			"t": {"a", "b", "B", "c"}, "k": {nil, nil, int64(1)}, "l": {nil, nil, int64(1), int64(2)},
		},
	},
	{ // a tree
		name:   "a tree",
		create: `CREATE TABLE f (id INTEGER PRIMARY KEY, up INTEGER REFERENCES f ON DELETE CASCADE, name TEXT, u INTEGER UNIQUE, UNIQUE (up, name))`,
		world: world{
			components: [][]*model{{{table: "f", key: []string{"id"}, column: plainColumns("name", "u", "up"), unique: []modelUnique{{columns: []string{"up", "name"}}, {columns: []string{"u"}}}}}},
			references: []modelReference{{child: "f", columns: []string{"up"}, parent: "f", to: []string{"id"}, action: "CASCADE"}},
		},
		values: map[string][]any{"name": {"x", "y"}, "u": {nil, int64(1), int64(2)}},
	},
	{ // a tree in which children stay, and a table below it
		name: "a tree in which children stay",
		create: `CREATE TABLE g (id INTEGER PRIMARY KEY, pa INTEGER REFERENCES g ON DELETE SET NULL, ma INTEGER REFERENCES g ON DELETE SET NULL,
				n INTEGER, u INTEGER, UNIQUE (u, ma), CHECK (pa IS NULL OR ma IS NOT NULL OR n IS NULL));
			CREATE UNIQUE INDEX roots ON g (n) WHERE pa IS NULL AND ma IS NULL;
			CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER DEFAULT 1 REFERENCES g ON DELETE SET DEFAULT)`,
		world: world{
			components: [][]*model{
				{{table: "g", key: []string{"id"}, column: plainColumns("pa", "ma", "n", "u"), unique: []modelUnique{
					{columns: []string{"u", "ma"}},
					{columns: []string{"n"}, in: func(row map[string]any) bool { return row["pa"] == nil && row["ma"] == nil }},
				}, check: func(row map[string]any) bool { return row["pa"] == nil || row["ma"] != nil || row["n"] == nil }}},
				{{table: "pet", key: []string{"id"}, column: []modelColumn{{name: "owner", constant: int64(1)}}}},
			},
			references: []modelReference{
				{child: "g", columns: []string{"pa"}, parent: "g", to: []string{"id"}, action: "SET NULL"},
				{child: "g", columns: []string{"ma"}, parent: "g", to: []string{"id"}, action: "SET NULL"},
				{child: "pet", columns: []string{"owner"}, parent: "g", to: []string{"id"}, action: "SET DEFAULT"},
			},
		},
		values: map[string][]any{"n": {nil, int64(1), int64(2)}, "u": {int64(1), int64(2)}},
	},
	{ // two tables in a circle, one above and one below
		name: "two tables in a circle",
		create: `CREATE TABLE o (id INTEGER PRIMARY KEY, x);
			CREATE TABLE d (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES e ON DELETE SET NULL, o INTEGER REFERENCES o ON DELETE SET NULL, u INTEGER UNIQUE);
			CREATE TABLE e (id INTEGER PRIMARY KEY, dep INTEGER REFERENCES d ON DELETE RESTRICT, o INTEGER REFERENCES o ON DELETE CASCADE, v INTEGER, UNIQUE (dep, v));
			CREATE TABLE h (id INTEGER PRIMARY KEY, e INTEGER REFERENCES e ON DELETE CASCADE, d INTEGER REFERENCES d (u) ON DELETE SET NULL)`,
		world: world{
			components: [][]*model{
				{{table: "o", key: []string{"id"}, column: plainColumns("x")}},
				{
					{table: "d", key: []string{"id"}, column: plainColumns("boss", "o", "u"), unique: []modelUnique{{columns: []string{"u"}}}},
					{table: "e", key: []string{"id"}, column: plainColumns("dep", "o", "v"), unique: []modelUnique{{columns: []string{"dep", "v"}}}},
				},
				{{table: "h", key: []string{"id"}, column: plainColumns("e", "d")}},
			},
			references: []modelReference{
				{child: "d", columns: []string{"boss"}, parent: "e", to: []string{"id"}, action: "SET NULL"},
				{child: "d", columns: []string{"o"}, parent: "o", to: []string{"id"}, action: "SET NULL"},
				{child: "e", columns: []string{"dep"}, parent: "d", to: []string{"id"}, action: "RESTRICT"},
				{child: "e", columns: []string{"o"}, parent: "o", to: []string{"id"}, action: "CASCADE"},
				{child: "h", columns: []string{"e"}, parent: "e", to: []string{"id"}, action: "CASCADE"},
				{child: "h", columns: []string{"d"}, parent: "d", to: []string{"u"}, action: "SET NULL"},
			},
		},
	},
	{ // two tables in a circle by a column that is no key, one of them a tree
		name: "a circle by a column that is no key",
		create: `CREATE TABLE plan (id INTEGER PRIMARY KEY, code INTEGER UNIQUE, boss INTEGER REFERENCES task ON DELETE NO ACTION);
			CREATE TABLE task (id INTEGER PRIMARY KEY, code INTEGER REFERENCES plan (code) ON DELETE NO ACTION, up INTEGER DEFAULT 1 REFERENCES task ON DELETE SET DEFAULT,
				plan INTEGER REFERENCES plan ON DELETE SET NULL, slug INTEGER UNIQUE)`,
		world: world{
			components: [][]*model{{
				{table: "plan", key: []string{"id"}, column: plainColumns("boss", "code"), unique: []modelUnique{{columns: []string{"code"}}}},
				{table: "task", key: []string{"id"}, column: []modelColumn{{name: "code"}, {name: "plan"}, {name: "slug"}, {name: "up", constant: int64(1)}},
					unique: []modelUnique{{columns: []string{"slug"}}}},
			}},
			references: []modelReference{
				{child: "plan", columns: []string{"boss"}, parent: "task", to: []string{"id"}, action: "NO ACTION"},
				{child: "task", columns: []string{"code"}, parent: "plan", to: []string{"code"}, action: "NO ACTION"},
				{child: "task", columns: []string{"up"}, parent: "task", to: []string{"id"}, action: "SET DEFAULT"},
				{child: "task", columns: []string{"plan"}, parent: "plan", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"boss": {nil, nil, int64(1), int64(2), int64(3)}, "code": {nil, int64(1), int64(2)}},
	},
	{ // three tables whose parents must not go
		name: "a chain that restricts",
		create: `CREATE TABLE i (id INTEGER PRIMARY KEY, u INTEGER UNIQUE);
			CREATE TABLE j (id INTEGER PRIMARY KEY, i INTEGER NOT NULL REFERENCES i ON DELETE RESTRICT, n INTEGER, CHECK (n <> 3));
			CREATE TABLE k (id INTEGER PRIMARY KEY, j INTEGER REFERENCES j ON DELETE NO ACTION, i INTEGER REFERENCES i (u) ON DELETE RESTRICT, s TEXT, UNIQUE (j, s))`,
		world: world{
			components: [][]*model{
				{{table: "i", key: []string{"id"}, column: plainColumns("u"), unique: []modelUnique{{columns: []string{"u"}}}}},
				{{table: "j", key: []string{"id"}, column: []modelColumn{{name: "i", notNull: true}, {name: "n"}},
					check: func(row map[string]any) bool { return row["n"] != int64(3) }}},
				{{table: "k", key: []string{"id"}, column: plainColumns("i", "j", "s"), unique: []modelUnique{{columns: []string{"j", "s"}}}}},
			},
			references: []modelReference{
				{child: "j", columns: []string{"i"}, parent: "i", to: []string{"id"}, action: "RESTRICT"},
				{child: "k", columns: []string{"j"}, parent: "j", to: []string{"id"}, action: "NO ACTION"},
				{child: "k", columns: []string{"i"}, parent: "i", to: []string{"u"}, action: "RESTRICT"},
			},
		},
		values: map[string][]any{
			"id": {int64(1), int64(2), int64(3)}, "i": {int64(1), int64(2), nil}, "j": {int64(1), int64(2)}, "u": {int64(1), int64(2)}, "s": {"x", "y"}, "n": {nil, int64(1), int64(3)},
		},
	},
	{ // a tree with defaults
		name: "a tree with defaults",
		create: `CREATE TABLE m (id INTEGER PRIMARY KEY, up INTEGER DEFAULT 1 REFERENCES m ON DELETE SET DEFAULT, w INTEGER NOT NULL DEFAULT 2 REFERENCES m ON DELETE SET NULL,
				v INTEGER, UNIQUE (up, v))`,
		world: world{
			components: [][]*model{{{table: "m", key: []string{"id"}, column: []modelColumn{{name: "up", constant: int64(1)}, {name: "v"}, {name: "w", notNull: true, constant: int64(2)}},
				unique: []modelUnique{{columns: []string{"up", "v"}}}}}},
			references: []modelReference{
				{child: "m", columns: []string{"up"}, parent: "m", to: []string{"id"}, action: "SET DEFAULT"},
				{child: "m", columns: []string{"w"}, parent: "m", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"v": {nil, nil, int64(1), int64(2)}},
	},
	{ // references of two columns that share one, and types that differ
		name: "references of two columns",
		create: `CREATE TABLE t (org INTEGER, id TEXT, PRIMARY KEY (org, id)) WITHOUT ROWID;
			CREATE TABLE s (id INTEGER PRIMARY KEY, org INTEGER, x INTEGER, y TEXT, up INTEGER, FOREIGN KEY (x, org) REFERENCES t (id, org) ON DELETE SET NULL,
				FOREIGN KEY (org, y) REFERENCES t ON DELETE CASCADE, FOREIGN KEY (up) REFERENCES s (id) ON DELETE SET NULL)`,
		world: world{
			components: [][]*model{
				{{table: "t", key: []string{"org", "id"}}},
				{{table: "s", key: []string{"id"}, column: plainColumns("org", "up", "x", "y")}},
			},
			references: []modelReference{
				{child: "s", columns: []string{"x", "org"}, parent: "t", to: []string{"id", "org"}, action: "SET NULL",
					same: func(child, parent any) bool { return fmt.Sprint(child) == fmt.Sprint(parent) }},
				{child: "s", columns: []string{"org", "y"}, parent: "t", to: []string{"org", "id"}, action: "CASCADE"},
				{child: "s", columns: []string{"up"}, parent: "s", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"org": {nil, int64(1), int64(2)}, "x": {nil, int64(1), int64(2)}, "y": {nil, "1", "2"}, "id": {"1", "2", int64(1), int64(2), int64(3)}},
	},
}, wideKinds...)

// sameText is how NOCASE compares.
func sameText(child, parent any) bool {
	a, aText := child.(string)
	b, bText := parent.(string)
	return aText && bText && strings.EqualFold(a, b)
}
