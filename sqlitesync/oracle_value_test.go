package sqlitesync

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// oracleGenerator makes random SQL. Everything comes from the seed.
type oracleGenerator struct {
	*rand.Rand
	without map[string]bool // features that are switched off
	names   map[string]bool // of tables, indexes and triggers that were given
	tables  []*oracleTable  // as they are now

	// What the generator knows of the session beside the schema.
	enforced      string   // PRAGMA foreign_keys
	recursive     bool     // PRAGMA recursive_triggers
	open          bool     // a transaction is open
	savepoints    []string // that are open, oldest first
	uniqueDropped bool     // since the last pass
	noReplace     bool     // the table under way must not have ON CONFLICT REPLACE
	returning     bool     // the statement under way returns rows
}

// chance is true in so many of a hundred cases.
func (g *oracleGenerator) chance(percent int) bool { return g.IntN(100) < percent }

// has is true in so many of a hundred cases, unless the feature is switched off.
func (g *oracleGenerator) has(feature string, percent int) bool {
	if !oracleFeatures[feature] {
		panic("no such feature: " + feature)
	}
	return g.chance(percent) && !g.without[feature]
}

func pick[T any](g *oracleGenerator, list ...T) T { return list[g.IntN(len(list))] }

// wild holds values that no column is made for.
var wild = []string{
	"NULL", "NULL", "''", "x''", "CAST(x'610062' AS TEXT)", "CAST(x'00' AS TEXT)", "CAST(x'ff61fe' AS TEXT)",
	"1", "1.0", "-0.0", "0", "9e999", "-9e999", "5e-324", "0.1 + 0.2", "9007199254740993", "9007199254740992.0",
	"9223372036854775807", "-9223372036854775808", "9223372036854775808.0",
	"'2024-01-02'", "'2024-01-02T03:04:05.678Z'", "'2024-01-02 03:04:05+02:00'", "1704164645", "1704164645.5", "'soon'",
	"TRUE", "FALSE", "'true'", "'1'", "'1.0'", "' 1'", "'1e3'", "'0x10'", "'+7'", "'-0'", "'inf'", "'9223372036854775808'",
	"'abc'", "'ABC'", "'abc  '", "'é'", "'É'", "'😀'", "x'00ff'", "x'616263'", "x'31'", `'{"a": 1}'`, "'{'",
	"replace(hex(zeroblob(2500)), '00', 'ab')", "zeroblob(5000)",
}

var (
	integers = []string{"0", "1", "2", "3", "-1", "5", "100", "7"}
	texts    = []string{"'a'", "'A'", "'b'", "'B '", "'a '", "'c'", "''", "'x y'", "'d'", "'e'", "'f'"}
	reals    = []string{"0.5", "1.0", "-2.25", "3", "1e10", "-0.0", "0.1 + 0.2"}
	blobs    = []string{"x''", "x'00'", "x'61'", "x'ff00'", "x'41'"}
	dates    = []string{"'2024-01-02'", "'2024-01-02 03:04:05'", "'2024-01-02T03:04:05Z'", "1704164645", "1704164645123", "2460311.5", "'soon'", "''"}
	decimals = []string{"1.10", "12", "'3.50'", "1e2", "'1e2'", "'x'"}
	objects  = []string{`'{"a": 1}'`, "'[]'", "'null'", "'x'", "1"}
)

// class sorts declared types by the values that fit.
func class(declared string) string {
	declared = strings.ToUpper(declared)
	for _, c := range []struct{ part, class string }{
		{"INT", "integer"}, {"CHAR", "text"}, {"TEXT", "text"}, {"BLOB", "blob"}, {"REAL", "real"},
		{"DATE", "date"}, {"TIME", "date"}, {"BOOL", "boolean"}, {"JSON", "json"}, {"DEC", "decimal"}, {"NUM", "decimal"},
	} {
		if strings.Contains(declared, c.part) {
			return c.class
		}
	}
	return "any"
}

// value returns a literal, most often one that fits the declared type.
func (g *oracleGenerator) value(declared string) string {
	if g.chance(12) {
		return pick(g, wild...)
	}
	if g.chance(8) {
		return "NULL"
	}
	switch class(declared) {
	case "integer":
		return pick(g, integers...)
	case "text":
		return pick(g, texts...)
	case "blob":
		return pick(g, blobs...)
	case "real":
		return pick(g, reals...)
	case "date":
		return pick(g, dates...)
	case "boolean":
		return pick(g, "TRUE", "FALSE", "0", "1")
	case "json":
		return pick(g, objects...)
	case "decimal":
		return pick(g, decimals...)
	}
	return pick(g, wild...)
}

// keyValue returns a literal from a pool so small that keys meet often.
func (g *oracleGenerator) keyValue(declared string) string {
	if g.chance(2) {
		if value := pick(g, wild...); !strings.HasPrefix(value, "9223372036854775807") { // after it SQLite gives random rowids
			return value
		}
	}
	switch class(declared) {
	case "integer":
		return pick(g, "1", "2", "3", "4", "5", "6", "7", "8", "'2'", "3.0")
	case "text":
		return pick(g, "'a'", "'A'", "'b'", "'b '", "'c'", "'d'", "1", "CAST(x'6100' AS TEXT)", "''")
	case "blob":
		return pick(g, "x'61'", "x''", "x'01'", "x'ff'", "'a'", "x'41'")
	case "real":
		return pick(g, "1", "1.5", "-0.0", "0", "2", "'3'", "9e999")
	case "decimal":
		return pick(g, "1", "'1'", "'a'", "'A'", "1.5", "2", "1.0")
	}
	return pick(g, "1", "1.0", "'1'", "x'31'", "'a'", "'A'", "-0.0", "0", "'a '", "2")
}

// valueOf returns a literal for a column.
func (g *oracleGenerator) valueOf(c oracleColumn) string {
	if c.key > 0 {
		return g.keyValue(c.declared)
	}
	if c.notNull && g.chance(80) {
		return pick(g, "1", "2", "'a'", "'z'", "x'61'")
	}
	return g.value(c.declared)
}

// name returns a name that was not given before, an odd one now and then.
func (g *oracleGenerator) name(prefix string) string {
	for {
		n := len(g.names) + 1
		name := fmt.Sprint(prefix, n)
		if g.has("oddnames", 20) {
			name = pick(g, "order ", `quo"te `, "it's ", "ключ😀 ", "[x] ", "%s", "select`") + name
		}
		if g.has("oddnames", 10) {
			name = pick(g, "excluded", "t", "l", "c", "new", "old", "sqlitesynced", "Item", "values")
		}
		if !g.names[name] {
			g.names[name] = true
			return name
		}
	}
}

// columnName returns a name for a column of a table that has those in taken.
// Some are names that SQLite or the engine uses for something else.
func (g *oracleGenerator) columnName(taken map[string]bool) string {
	name := ""
	if g.has("oddnames", 15) {
		name = pick(g, "rowid", "oid", "k0", "k1", "tbl", "at", "id", "group", "new", "excluded", "value", "state", "time", "row", "sqlitesync_row")
	} else if g.has("reusedcolumns", 30) {
		name = pick(g, "c1", "c2", "c3", "c4", "c5", "c6")
	}
	if name == "" || taken[name] {
		name = g.name("c")
	}
	taken[name] = true
	return name
}
