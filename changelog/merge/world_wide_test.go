package merge_test

import "strings"

// wideKinds are schemas whose references have several columns, lead to what is unique and no key, follow new keys of their
// parents or wait for the end of a transaction, and one table with every sort of unique index.
var wideKinds = []worldKind{
	{ // references of two columns to what is unique, but no key, and may be NULL in part
		name: "references to two unique columns",
		create: `CREATE TABLE aa (id INTEGER PRIMARY KEY, a INTEGER, b TEXT COLLATE NOCASE, x INTEGER, UNIQUE (b, a));
			CREATE TABLE bb (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, x INTEGER,
				FOREIGN KEY (b, a) REFERENCES aa (b, a) ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
			CREATE TABLE cc (id INTEGER PRIMARY KEY, a INTEGER NOT NULL DEFAULT 1, b TEXT DEFAULT 'x', x INTEGER, UNIQUE (a, x),
				FOREIGN KEY (a, b) REFERENCES aa (a, b) ON DELETE SET DEFAULT ON UPDATE CASCADE);
			CREATE TABLE dd (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c INTEGER,
				FOREIGN KEY (a, b) REFERENCES aa (a, b) ON DELETE RESTRICT ON UPDATE SET NULL,
				FOREIGN KEY (c) REFERENCES cc (id) ON DELETE NO ACTION ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED)`,
		world: world{
			components: [][]*model{
				{{table: "aa", key: []string{"id"}, column: plainColumns("a", "b", "x"), unique: []modelUnique{{columns: []string{"b", "a"}, noCase: true}}}},
				{{table: "bb", key: []string{"id"}, column: plainColumns("a", "b", "x")}},
				{{table: "cc", key: []string{"id"}, column: []modelColumn{{name: "a", notNull: true, constant: int64(1)}, {name: "b", constant: "x"}, {name: "x"}},
					unique: []modelUnique{{columns: []string{"a", "x"}}}}},
				{{table: "dd", key: []string{"id"}, column: plainColumns("a", "b", "c")}},
			},
			references: []modelReference{
				{child: "bb", columns: []string{"b", "a"}, parent: "aa", to: []string{"b", "a"}, action: "SET NULL", same: sameFolded},
				{child: "cc", columns: []string{"a", "b"}, parent: "aa", to: []string{"a", "b"}, action: "SET DEFAULT", same: sameFolded},
				{child: "dd", columns: []string{"a", "b"}, parent: "aa", to: []string{"a", "b"}, action: "RESTRICT", same: sameFolded},
				{child: "dd", columns: []string{"c"}, parent: "cc", to: []string{"id"}, action: "NO ACTION"},
			},
		},
		values: map[string][]any{"a": {nil, int64(1), int64(1), int64(2)}, "b": {nil, "x", "X", "y"}, "x": {nil, int64(1), int64(2)}, "c": {nil, int64(1), int64(2)}},
	},
	{ // all sorts of unique indexes on one table, that refers to itself
		name: "all sorts of indexes",
		create: `CREATE TABLE u (id INTEGER PRIMARY KEY, n INTEGER, s TEXT COLLATE NOCASE, g TEXT AS (lower(s) || ifnull(n, '')),
				up INTEGER REFERENCES u ON DELETE SET NULL ON UPDATE CASCADE, CHECK (n IS NULL OR n <> 4));
			CREATE UNIQUE INDEX i1 ON u (n) WHERE up IS NULL;
			CREATE UNIQUE INDEX i2 ON u (s COLLATE BINARY) WHERE n IS NOT NULL;
			CREATE UNIQUE INDEX i3 ON u (lower(s), n);
			CREATE UNIQUE INDEX i4 ON u (g) WHERE n > 1;
			CREATE TABLE v (id INTEGER PRIMARY KEY, u INTEGER NOT NULL REFERENCES u ON DELETE CASCADE ON UPDATE CASCADE, t TEXT);
			CREATE UNIQUE INDEX i5 ON v (u, t COLLATE NOCASE) WHERE t IS NOT 'y'`,
		world: world{
			components: [][]*model{
				{{table: "u", key: []string{"id"}, column: plainColumns("n", "s", "up"),
					check: func(row map[string]any) bool { return row["n"] != int64(4) }, unique: []modelUnique{
						{columns: []string{"n"}, in: func(row map[string]any) bool { return row["up"] == nil }},
						{columns: []string{"s"}, in: func(row map[string]any) bool { return row["n"] != nil }},
						{values: func(row map[string]any) []any { return []any{lower(row["s"]), row["n"]} }},
						{values: func(row map[string]any) []any {
							if row["s"] == nil {
								return []any{nil}
							}
							return []any{textOf(lower(row["s"])) + textOf(row["n"])}
						}, in: func(row map[string]any) bool { n, known := row["n"].(int64); return known && n > 1 }},
					}}},
				{{table: "v", key: []string{"id"}, column: []modelColumn{{name: "t"}, {name: "u", notNull: true}}, unique: []modelUnique{
					{columns: []string{"u", "t"}, noCase: true, in: func(row map[string]any) bool { return row["t"] != "y" }},
				}}},
			},
			references: []modelReference{
				{child: "u", columns: []string{"up"}, parent: "u", to: []string{"id"}, action: "SET NULL"},
				{child: "v", columns: []string{"u"}, parent: "u", to: []string{"id"}, action: "CASCADE"},
			},
		},
		values: map[string][]any{"n": {nil, int64(1), int64(2), int64(3), int64(4)}, "s": {nil, "x", "X", "y"}, "t": {nil, "x", "X", "y", "Y"},
			"up": {nil, nil, int64(1), int64(2), int64(3)}},
	},
	{ // STRICT tables whose keys contain those of their parents
		name: "keys that contain keys",
		create: `CREATE TABLE x (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, w INTEGER) STRICT;
			CREATE TABLE y (x TEXT NOT NULL REFERENCES x ON DELETE SET NULL ON UPDATE CASCADE, n INTEGER NOT NULL, w INTEGER UNIQUE, PRIMARY KEY (x, n)) STRICT, WITHOUT ROWID;
			CREATE TABLE z (id INTEGER PRIMARY KEY, x TEXT, n INTEGER, k INTEGER UNIQUE,
				FOREIGN KEY (n, x) REFERENCES y (n, x) ON DELETE CASCADE ON UPDATE CASCADE) STRICT;
			CREATE TABLE zz (k INTEGER PRIMARY KEY REFERENCES z (k) ON DELETE CASCADE ON UPDATE CASCADE, w ANY) STRICT`,
		world: world{
			components: [][]*model{
				{{table: "x", key: []string{"id"}, column: plainColumns("w"), fold: strings.ToLower}},
				{{table: "y", key: []string{"x", "n"}, column: plainColumns("w"), unique: []modelUnique{{columns: []string{"w"}}}}},
				{{table: "z", key: []string{"id"}, column: plainColumns("k", "n", "x"), unique: []modelUnique{{columns: []string{"k"}}}}},
				{{table: "zz", key: []string{"k"}, column: plainColumns("w")}},
			},
			references: []modelReference{
				{child: "y", columns: []string{"x"}, parent: "x", to: []string{"id"}, action: "CASCADE", same: sameText},
				{child: "z", columns: []string{"n", "x"}, parent: "y", to: []string{"n", "x"}, action: "CASCADE"},
				{child: "zz", columns: []string{"k"}, parent: "z", to: []string{"k"}, action: "CASCADE"},
			},
		},
		values: map[string][]any{"id": {"a", "b", "A", int64(1), int64(2)}, "x": {"a", "A", "b"}, "n": {int64(1), int64(2)},
			"k": {nil, int64(1), int64(2)}, "w": {nil, int64(1), int64(2)}},
	},
}

// sameFolded compares a column that folds as that does, and any other by value.
func sameFolded(child, parent any) bool {
	a, aText := child.(string)
	b, bText := parent.(string)
	if aText && bText {
		return strings.EqualFold(a, b)
	}
	return child == parent
}

// textOf is what || makes of a value.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return printed(v)
	}
	return ""
}
