package merge_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// A tableKind is a table for histories: its definition as SQL and as a model, and the values that its columns take.
type tableKind struct {
	name   string
	create string
	grow   string // an ALTER TABLE that adds the column of later
	base   model
	later  modelColumn
	values map[string][]any // literals, or Go values; one pool a column
}

func (k *tableKind) model(grown bool) *model {
	m := k.base
	m.column = slices.Clone(m.column)
	if grown {
		m.column = append(m.column, k.later)
	}
	return &m
}

// stored returns a random value for a column, as a table of this kind stores it.
func (k *tableKind) stored(random *rand.Rand, column string) any {
	pool := k.values[column]
	if pool == nil {
		return random.Int64N(3)
	}
	return pool[random.IntN(len(pool))]
}

func (k *tableKind) literal(random *rand.Rand, column string) string {
	switch v := k.stored(random, column).(type) {
	case nil:
		return "NULL"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	case float64:
		if math.IsInf(v, 1) {
			return "9e999"
		}
		return fmt.Sprintf("%.17e", v)
	default:
		return fmt.Sprint(v)
	}
}

// statements returns one statement, or a transaction.
func (k *tableKind) statements(random *rand.Rand, grown bool) []string {
	if random.IntN(6) != 0 {
		return []string{k.statement(random, grown)}
	}
	list := []string{"BEGIN"}
	for range 1 + random.IntN(3) {
		list = append(list, k.statement(random, grown))
	}
	switch random.IntN(4) {
	case 0:
		list = append(list, "SAVEPOINT s", k.statement(random, grown), "ROLLBACK TO s", k.statement(random, grown))
	case 1:
		list = append(list, "SAVEPOINT s", k.statement(random, grown), "RELEASE s")
	}
	if random.IntN(5) == 0 {
		return append(list, "ROLLBACK")
	}
	return append(list, "COMMIT")
}

func (k *tableKind) statement(random *rand.Rand, grown bool) string {
	m := k.model(grown)
	table := `"` + m.table + `"`
	names := slices.Clone(m.key)
	for _, column := range m.column {
		names = append(names, column.name)
	}
	quoted := func(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }
	tuple := func(names []string) string {
		var parts []string
		for _, name := range names {
			parts = append(parts, k.literal(random, name))
		}
		return strings.Join(parts, ", ")
	}
	where := func() string {
		name := names[random.IntN(len(names))]
		if random.IntN(2) == 0 {
			name = m.key[random.IntN(len(m.key))]
		}
		return fmt.Sprintf(`"%s" IS %s`, name, k.literal(random, name))
	}
	set := func() string {
		var parts []string
		for _, name := range names {
			if chance := 3; !slices.Contains(m.key, name) && random.IntN(chance) == 0 || random.IntN(12) == 0 {
				parts = append(parts, fmt.Sprintf(`"%s" = %s`, name, k.literal(random, name)))
			}
		}
		if len(parts) == 0 {
			name := names[random.IntN(len(names))]
			parts = append(parts, fmt.Sprintf(`"%s" = %s`, name, k.literal(random, name)))
		}
		return strings.Join(parts, ", ")
	}
	or := []string{"", "", "", "OR REPLACE ", "OR REPLACE ", "OR IGNORE ", "OR FAIL ", "OR ROLLBACK "}[random.IntN(8)]
	switch random.IntN(10) {
	case 0, 1, 2:
		return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES (%s), (%s)", or, table, quoted(names), tuple(names), tuple(names))
	case 3:
		some := append(slices.Clone(m.key), names[len(m.key)+random.IntN(len(names)-len(m.key)+1):]...)
		return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES (%s)", or, table, quoted(some), tuple(some))
	case 4:
		return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s",
			table, quoted(names), tuple(names), quoted(m.key), set())
	case 5:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", table, where())
	case 6:
		if random.IntN(6) == 0 {
			return "DELETE FROM " + table
		}
		fallthrough
	default:
		return fmt.Sprintf("UPDATE %s%s SET %s WHERE %s", or, table, set(), where())
	}
}

var tableKinds = []tableKind{
	{
		name:   "a unique column",
		create: "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a)",
		grow:   "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'new'",
		base:   model{table: "t", key: []string{"id"}, column: []modelColumn{{name: "u"}, {name: "a"}}, unique: []modelUnique{{columns: []string{"u"}}}},
		later:  modelColumn{name: "c", constant: "new"},
		values: map[string][]any{
			"id": {int64(1), int64(2), int64(3), int64(-4)}, "u": {nil, "x", "y", "z"},
			"a": {nil, int64(1), 1.5, "x", []byte{}, math.Copysign(0, -1), 0.0, math.Inf(1), "a\x80", []byte("x")},
			"c": {nil, "new", "old"}, "future": {nil, "x"},
		},
	},
	{
		name: "WITHOUT ROWID, NOT NULL and CHECK",
		create: `CREATE TABLE T (K TEXT, l INT, u TEXT, "group" INT NOT NULL DEFAULT 0, w INT CHECK (w <> 3), x,
			PRIMARY KEY (l, K), UNIQUE (u COLLATE NOCASE), UNIQUE ("group", w)) WITHOUT ROWID`,
		grow: `ALTER TABLE t ADD COLUMN "c d" INT NOT NULL DEFAULT -7`,
		base: model{table: "t", key: []string{"l", "k"},
			column: []modelColumn{{name: "u"}, {name: "group", constant: int64(0), notNull: true}, {name: "w"}, {name: "x"}},
			unique: []modelUnique{{columns: []string{"u"}, noCase: true}, {columns: []string{"group", "w"}}},
			check:  func(row map[string]any) bool { return row["w"] != int64(3) }},
		later: modelColumn{name: "c d", constant: int64(-7), notNull: true},
		values: map[string][]any{
			"k": {"a", "A", ""}, "l": {int64(1), "one"}, "u": {nil, "x", "X", "y"}, "group": {int64(0), int64(1), nil},
			"w": {nil, int64(1), int64(2), int64(3)}, "x": {nil, "q"}, "c d": {int64(-7), int64(8), nil},
		},
	},
	{
		name:   "a generated column",
		create: "CREATE TABLE t (k PRIMARY KEY NOT NULL, r REAL, n NUMERIC UNIQUE, d DATETIME, g AS (r + 1)) ",
		grow:   "ALTER TABLE t ADD COLUMN c REAL DEFAULT 1",
		base: model{table: "t", key: []string{"k"}, column: []modelColumn{{name: "r"}, {name: "n"}, {name: "d"}},
			unique: []modelUnique{{columns: []string{"n"}}}},
		later: modelColumn{name: "c", constant: 1.0},
		values: map[string][]any{
			"k": {int64(1), 1.0, "1", []byte("1"), int64(0), math.Copysign(0, -1), 1.5}, "r": {nil, 0.0, 5e-324, math.Inf(1)},
			"n": {nil, int64(1), 1.5, "x", []byte("x")}, "d": {nil, "2024-01-02 03:04:05", int64(5), "odd"}, "c": {1.0, 2.0, nil},
		},
	},
	{
		name:   "STRICT",
		create: "CREATE TABLE t (a INT, b TEXT, d INT, PRIMARY KEY (a, b)) STRICT",
		grow:   "ALTER TABLE t ADD COLUMN c ANY DEFAULT x'00'",
		base: model{table: "t", key: []string{"a", "b"}, column: []modelColumn{{name: "d"}},
			check: func(row map[string]any) bool { _, isText := row["d"].(string); return !isText }},
		later: modelColumn{name: "c", constant: []byte{0}},
		values: map[string][]any{
			"a": {int64(1), int64(2), nil}, "b": {"x", "y"}, "d": {nil, int64(1), int64(2), "x"}, "c": {nil, []byte{0}, "1", int64(1)},
		},
	},
	{
		name: "partial and expression indexes",
		create: `CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, e TEXT, p INT, done INT);
			CREATE UNIQUE INDEX i ON t (lower(e)); CREATE UNIQUE INDEX j ON t (p) WHERE NOT done`,
		grow: "ALTER TABLE t ADD COLUMN c DEFAULT 0",
		base: model{table: "t", key: []string{"k"}, column: []modelColumn{{name: "e"}, {name: "p"}, {name: "done"}}, fold: strings.ToLower,
			unique: []modelUnique{
				{values: func(row map[string]any) []any { return []any{lower(row["e"])} }},
				{columns: []string{"p"}, in: func(row map[string]any) bool { return row["done"] == int64(0) }},
			}},
		later: modelColumn{name: "c", constant: int64(0)},
		values: map[string][]any{
			"k": {"a", "A", "b", "B "}, "e": {nil, "x", "X", "y"}, "p": {nil, int64(1), int64(2)}, "done": {nil, int64(0), int64(0), int64(1)}, "c": {int64(0), int64(1)},
		},
	},
	{
		name: "unique generated columns",
		create: `CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT, n INTEGER, m INTEGER, v AS (n + m) UNIQUE, PRIMARY KEY (b COLLATE RTRIM, a COLLATE BINARY)) WITHOUT ROWID;
			CREATE UNIQUE INDEX j ON t (abs(v), a = '0') WHERE m > 1`,
		grow: "ALTER TABLE t ADD COLUMN c",
		base: model{table: "t", key: []string{"b", "a"}, column: []modelColumn{{name: "n"}, {name: "m"}}, fold: func(text string) string { return strings.TrimRight(text, " ") },
			unique: []modelUnique{
				{values: func(row map[string]any) []any { return []any{sum(row)} }},
				{values: func(row map[string]any) []any {
					if v, known := sum(row).(int64); known {
						return []any{max(v, -v)}
					}
					return []any{nil}
				}, in: func(row map[string]any) bool { m, known := row["m"].(int64); return known && m > 1 }},
			}},
		later: modelColumn{name: "c"},
		values: map[string][]any{
			"a": {"x", "X"}, "b": {"q", "q ", "r"}, "n": {nil, int64(1), int64(2), int64(-3), int64(-5)}, "m": {nil, int64(0), int64(1), int64(2)}, "c": {nil, int64(1)},
		},
	},
}

func lower(v any) any {
	if text, isText := v.(string); isText {
		return strings.ToLower(text)
	}
	return v
}

func sum(row map[string]any) any {
	n, known := row["n"].(int64)
	m, also := row["m"].(int64)
	if !known || !also {
		return nil
	}
	return n + m
}
