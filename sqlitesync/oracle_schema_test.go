package sqlitesync

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// oracleFeatures names what -oracle.without can switch off.
var oracleFeatures = map[string]bool{
	// Of tables.
	"autoincrement": true, "withoutrowid": true, "strict": true, "composite": true, "nullkeys": true, "oddnames": true,
	"keycollation": true, "collation": true, "default": true, "odddefault": true, "check": true, "onconflict": true,
	"unique": true, "partial": true, "expression": true, "generated": true, "uniquegenerated": true,
	// Foreign keys.
	"foreignkeys": true, "enforced": true, "cycles": true, "deferred": true,
	// Triggers: what they do. The last five can do what a merge must not let happen.
	"recursive": true, "stamp": true, "audit": true, "copy": true, "raise": true, "ignore": true, "fail": true,
	"triggerdelete": true, "triggerreplace": true, "triggerrekey": true, "triggerraise": true,
	// Statements.
	"orconflict": true, "upsert": true, "rekey": true, "updatefrom": true, "returning": true, "transaction": true, "savepoint": true,
	// Schema changes.
	"addcolumn": true, "renamecolumn": true, "renamekey": true, "dropcolumn": true, "reusedcolumns": true, "renametable": true,
	"createindex": true, "dropindex": true, "recreate": true, "createtable": true, "droptable": true, "rebuild": true,
	"createtrigger": true, "droptrigger": true, "vacuum": true, "reindex": true, "analyze": true, "checkpoint": true,
	"ddltransaction": true,
}

// oracleLocal is the table that Options.Exclude keeps on the device.
const oracleLocal = "local copy"

// oracleAudit is a synced table that only triggers and few statements write.
const oracleAudit = "audit"

// tablePlan is a table that is about to be made.
type tablePlan struct {
	name      string
	strict    strictness
	key       []keyColumn
	clause    bool // the key is a clause of its own: PRIMARY KEY (a, b)
	auto      bool
	reference bool // a foreign key can name the key
}

// strictness says what a STRICT table may refuse. Where a table has a BEFORE
// trigger, SQLite looks at the types of a new row first, else only after NOT
// NULL and conflicts: INSERT OR IGNORE and ON CONFLICT DO NOTHING then pass
// over rows that would be refused. Capture has such a trigger on tables with a
// unique index other than the key, so no table has both that and types.
type strictness int

const (
	ordinary      strictness = iota
	strictTyped              // nothing but the key is unique
	strictAnyType            // every column is ANY
)

type keyColumn struct{ name, declared, definition, collate string }

// schema returns the statements that make a new schema.
func (g *oracleGenerator) schema() (statements []string) {
	plans := make([]tablePlan, 1+g.IntN(4))
	for i := range plans {
		plans[i] = g.plan(g.name("t"))
	}
	for i := range plans {
		statements = append(statements, g.createTable(&plans[i], plans))
	}
	return append(statements,
		"CREATE TABLE "+changelog.Quote(oracleAudit)+" (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, v)",
		"CREATE TABLE "+changelog.Quote(oracleLocal)+" (n INTEGER PRIMARY KEY, what TEXT, v)")
}

// plan chooses the key of a table.
func (g *oracleGenerator) plan(name string) tablePlan {
	p := tablePlan{name: name, reference: true}
	if g.has("strict", 20) {
		p.strict = pick(g, strictTyped, strictAnyType)
	}
	taken := make(map[string]bool)
	if g.chance(30) {
		p.auto = g.has("autoincrement", 40)
		p.strict = min(p.strict, strictTyped) // the key has a type
		p.key = []keyColumn{{name: g.columnName(taken), declared: "INTEGER"}}
		return p
	}
	count := 1
	if g.has("composite", 35) {
		count = 2 + g.IntN(2)
	}
	p.clause = count > 1 || g.chance(30)
	for range count {
		c := keyColumn{name: g.columnName(taken)}
		switch p.strict {
		case strictTyped:
			c.declared = pick(g, "TEXT", "INT", "BLOB", "REAL", "ANY")
		case strictAnyType:
			c.declared = "ANY"
		default:
			c.declared = pick(g, "TEXT", "TEXT", "VARCHAR(20)", "BLOB", "REAL", "NUMERIC", "INT", "", "DATE")
		}
		if g.has("keycollation", 25) {
			c.collate = " COLLATE " + pick(g, "NOCASE", "RTRIM")
			if p.clause && g.chance(50) {
				p.reference = false // SQLite wants the parent's index to have the column's collation
			} else {
				c.definition, c.collate = c.collate, ""
			}
		}
		if g.without["nullkeys"] || g.chance(70) {
			c.definition += " NOT NULL"
		}
		p.key = append(p.key, c)
	}
	return p
}

// createTable returns the statement that makes the table. It can refer to any
// of the plans.
func (g *oracleGenerator) createTable(p *tablePlan, plans []tablePlan) string {
	taken := make(map[string]bool)
	for _, c := range p.key {
		taken[c.name] = true
	}
	var columns, clauses, key []string
	g.noReplace = false
	if g.has("foreignkeys", 45) {
		definitions, clause := g.foreignKey(p, plans, taken)
		columns, clauses = append(columns, definitions...), append(clauses, clause)
	}
	for _, c := range p.key {
		text := changelog.Quote(c.name) + " " + c.declared + c.definition
		if !p.clause {
			text += " PRIMARY KEY"
			if g.has("onconflict", 8) {
				text += g.onConflict()
			}
			if p.auto {
				text += " AUTOINCREMENT"
			}
		}
		columns = append(columns, text)
		key = append(key, changelog.Quote(c.name)+c.collate)
	}
	g.Shuffle(len(key), func(i, j int) { key[i], key[j] = key[j], key[i] })
	if p.clause {
		clauses = append(clauses, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	var plain []string
	for range 1 + g.IntN(8) {
		name := g.columnName(taken)
		columns = append(columns, changelog.Quote(name)+" "+g.column(p.strict, false))
		plain = append(plain, name)
	}
	if g.has("check", 15) {
		c := changelog.Quote(pick(g, plain...))
		clauses = append(clauses, "CHECK ("+pick(g, c+" IS NOT 'a'", "length("+c+") < 4000 OR "+c+" IS NULL", "typeof("+c+") <> 'blob'")+")")
	}
	if g.has("generated", 20) {
		columns = append(columns, changelog.Quote(g.columnName(taken))+g.generated(p.strict, plain))
	}
	if p.strict != strictTyped && g.has("unique", 20) && len(plain) > 1 {
		text := "UNIQUE (" + quoted(plain[:2]) + ")"
		if g.has("onconflict", 25) {
			text += g.onConflict()
		}
		clauses = append(clauses, text)
	}
	g.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	text := "CREATE TABLE " + changelog.Quote(p.name) + " (" + strings.Join(append(columns, clauses...), ", ") + ")"
	var options []string
	if g.has("withoutrowid", 25) && !p.auto {
		options = append(options, "WITHOUT ROWID")
	}
	if p.strict != ordinary {
		options = append(options, "STRICT")
	}
	if len(options) > 0 {
		text += " " + strings.Join(options, ", ")
	}
	return text
}

func (g *oracleGenerator) onConflict() string {
	return " ON CONFLICT " + g.resolution(g.noReplace)
}

// column returns type and constraints of a column; added: such as ADD COLUMN
// takes.
func (g *oracleGenerator) column(strict strictness, added bool) string {
	declared := pick(g, "DATE", "DATETIME", "TIMESTAMP", "BOOLEAN", "DECIMAL(10,2)", "JSON", "VARCHAR(20)", "TEXT", "INT", "REAL", "BLOB", "")
	switch strict {
	case strictTyped:
		declared = pick(g, "TEXT", "INT", "INTEGER", "REAL", "BLOB", "ANY")
	case strictAnyType:
		declared = "ANY"
	}
	text := declared
	literal := map[string]string{"integer": "7", "real": "1.5", "blob": "x'0a'"}[class(declared)]
	if literal == "" {
		literal = "'d'"
	}
	if strict == ordinary && g.has("odddefault", 40) {
		literal = pick(g, "NULL", "0", "-1", "+5", "1.0", "'1'", "''", "x''", "TRUE", "'2024-01-02'", "1e3", "'it''s'", "-0.0", "0x1F", "abc")
	}
	if strict == ordinary && !added && g.chance(20) {
		literal = pick(g, "(1 + 1)", "(lower('X'))", "('a' || 'b')")
	}
	notNull := g.chance(15) && literal != "NULL"
	if notNull || g.has("default", 25) {
		text += " DEFAULT " + literal
	}
	if notNull {
		text += " NOT NULL"
		if g.has("onconflict", 20) {
			text += g.onConflict()
		}
	}
	if g.has("collation", 10) {
		text += " COLLATE " + pick(g, "NOCASE", "RTRIM")
	}
	if !added && strict != strictTyped && g.has("unique", 12) {
		text += " UNIQUE"
		if g.has("onconflict", 30) {
			text += g.onConflict()
		}
	}
	return text
}

// generated returns the definition of a generated column.
func (g *oracleGenerator) generated(strict strictness, plain []string) string {
	a, b := changelog.Quote(pick(g, plain...)), changelog.Quote(pick(g, plain...))
	text := pick(g, "", " TEXT", " REAL", " INT")
	if strict != ordinary {
		text = " ANY"
	}
	text += " AS (" + pick(g, "lower("+a+")", a+" || '-' || "+b, "coalesce("+a+", 0)", "length("+a+") + 1", "typeof("+a+")") + ") " + pick(g, "VIRTUAL", "STORED")
	if strict != strictTyped && g.has("uniquegenerated", 35) {
		text += " UNIQUE"
	}
	return text
}

// foreignKey returns columns and the clause that makes them refer to a table
// of the plans.
func (g *oracleGenerator) foreignKey(p *tablePlan, plans []tablePlan, taken map[string]bool) (definitions []string, clause string) {
	parent := &plans[g.IntN(len(plans))]
	if g.without["cycles"] && parent.name >= p.name || !parent.reference {
		parent = p
	}
	var names, keys []string
	for _, c := range parent.key {
		declared := c.declared
		if p.strict == strictAnyType || p.strict == strictTyped && !slices.Contains([]string{"TEXT", "INT", "INTEGER", "BLOB", "REAL"}, declared) {
			declared = "ANY"
		}
		name := g.columnName(taken)
		text := changelog.Quote(name) + " " + declared
		if g.chance(30) {
			text += " DEFAULT " + g.keyValue(c.declared)
		}
		definitions, names, keys = append(definitions, text), append(names, name), append(keys, c.name)
	}
	clause = fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s)", quoted(names), changelog.Quote(parent.name), quoted(keys))
	for _, event := range []string{"DELETE", "UPDATE"} {
		if g.chance(75) {
			action := pick(g, "CASCADE", "CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")
			if parent.name == p.name { // a row that refers to itself SQLite deletes otherwise if there is any trigger
				action = pick(g, "SET DEFAULT", "RESTRICT", "NO ACTION")
			}
			clause += " ON " + event + " " + action
			g.noReplace = g.noReplace || action == "SET NULL" || parent.name == p.name
		}
	}
	if g.has("deferred", 35) {
		clause += " DEFERRABLE INITIALLY DEFERRED"
	}
	return definitions, clause
}

// index returns a statement that makes an index; unique ones fail if the data
// is in the way.
func (g *oracleGenerator) index(t *oracleTable) string {
	names := t.names()
	a, b := changelog.Quote(pick(g, names...)), changelog.Quote(pick(g, names...))
	name := changelog.Quote(g.name("i"))
	on := " ON " + changelog.Quote(t.name) + " "
	// Not on the local table: what triggers write into it on the replica could be refused there.
	if g.without["unique"] || g.chance(30) || t.strictness() == strictTyped || t.name == oracleLocal {
		return "CREATE INDEX " + name + on + pick(g, "("+a+")", "("+a+" COLLATE NOCASE DESC)", "(lower("+a+"))", "("+b+") WHERE "+a+" IS NOT NULL")
	}
	unique := "CREATE UNIQUE INDEX " + name + on
	expression := func() string {
		text := pick(g, "lower("+a+")", a+" || '-' || "+b, "abs("+a+")", "coalesce("+a+", 0)")
		return text + pick(g, "", "", " COLLATE NOCASE", " COLLATE RTRIM")
	}
	where := " WHERE " + pick(g, b+" IS NOT NULL", b+" > 0", a+" <> 'a'")
	switch kind := g.IntN(4); {
	case kind == 0 && !g.without["partial"]:
		return unique + "(" + a + pick(g, "", " COLLATE NOCASE", " DESC") + ")" + where
	case kind == 1 && !g.without["expression"]:
		return unique + "(" + expression() + ")"
	case kind == 2 && !g.without["expression"] && !g.without["partial"]:
		return unique + "(" + expression() + ", " + b + ")" + where
	case a != b && g.chance(50):
		return unique + "(" + a + ", " + b + ")"
	}
	return unique + "(" + a + pick(g, "", " COLLATE NOCASE", " COLLATE RTRIM") + ")"
}

// trigger returns a statement that makes a trigger, "" if the kind that comes
// up is switched off.
func (g *oracleGenerator) trigger(t, other *oracleTable) string {
	event := pick(g, "INSERT", "UPDATE", "DELETE")
	row := "NEW."
	if event == "DELETE" {
		row = "OLD."
	}
	names := t.names()
	var plain []string
	for _, name := range names {
		if t.column(name).key == 0 {
			plain = append(plain, name)
		}
	}
	// A step that breaks a STRICT type leaves what was done before it, if there is no other reason to take it back.
	if len(plain) == 0 || other.strictness() != ordinary || other.name == oracleLocal || t.name == oracleLocal || t.name == oracleAudit {
		return ""
	}
	unquoted := pick(g, plain...)
	a, v := changelog.Quote(unquoted), row+changelog.Quote(pick(g, names...))
	create := func(timing, condition string, steps ...string) string {
		return fmt.Sprintf("CREATE TRIGGER %s %s %s ON %s%s BEGIN %s; END", changelog.Quote(g.name("g")), timing, event,
			changelog.Quote(t.name), condition, strings.Join(steps, "; "))
	}
	match := func(row string) string {
		terms := make([]string, len(t.key))
		for i, name := range t.key {
			terms[i] = changelog.Quote(name) + " IS " + row + changelog.Quote(name)
		}
		return strings.Join(terms, " AND ")
	}
	audit := fmt.Sprintf("INSERT INTO %s (what, v) VALUES ('%s', %s)", changelog.Quote(oracleAudit), strings.ToLower(event), v)
	raise := func(kind string) string {
		return "SELECT RAISE(" + kind + ", 'guard') WHERE " + v + " IN ('x y', 100, x'ff00', -2.25)"
	}
	target := changelog.Quote(pick(g, other.names()...))
	kind := pick(g, "stamp", "stamp", "audit", "copy", "raise", "ignore", "fail", "triggerdelete", "triggerreplace", "triggerrekey", "triggerraise")
	// Recursion must end: SQLite takes a statement back that fails at 1000 levels if, for other reasons, it can.
	endless := g.recursive && other.name <= t.name && (kind == "triggerdelete" || kind == "triggerreplace" || kind == "triggerrekey")
	if g.without[kind] || endless {
		return ""
	}
	switch kind {
	case "stamp":
		if event == "DELETE" {
			return ""
		}
		value := pick(g, "'stamped'", "'marked'")
		if t.strictness() == strictTyped && t.column(unquoted).declared != "TEXT" {
			return ""
		}
		condition := fmt.Sprintf(" WHEN NEW.%s IS NOT %s", a, value)
		if !g.recursive {
			value = pick(g, value, "coalesce(NEW."+a+", 0) + 1")
			condition = pick(g, "", fmt.Sprintf(" WHEN NEW.%s IS OLD.%s", a, a))
		}
		if event == "INSERT" {
			condition = ""
		}
		return create("AFTER", condition, fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", changelog.Quote(t.name), a, value, match("NEW.")))
	case "audit":
		return create(pick(g, "BEFORE", "AFTER"), "", audit)
	case "copy":
		return create(pick(g, "BEFORE", "AFTER"), "", fmt.Sprintf("INSERT INTO %s (what, v) VALUES ('%s', %s)", changelog.Quote(oracleLocal), strings.ToLower(event), v))
	case "raise":
		return create(pick(g, "BEFORE", "AFTER"), "", raise(pick(g, "ABORT", "ABORT", "ROLLBACK")))
	case "ignore":
		return create(pick(g, "BEFORE", "AFTER"), "", raise("IGNORE"))
	case "fail":
		return create(pick(g, "BEFORE", "AFTER"), "", raise("FAIL"))
	case "triggerdelete":
		timing := "AFTER" // what becomes of a row that a BEFORE trigger has deleted is undefined
		if other != t {
			timing = pick(g, "BEFORE", "AFTER")
		}
		return create(timing, " WHEN "+v+" IN ('b', 2, 0)", fmt.Sprintf("DELETE FROM %s WHERE %s = %s", changelog.Quote(other.name), target, v))
	case "triggerrekey":
		return create("AFTER", "", fmt.Sprintf("UPDATE OR IGNORE %s SET %s = %s WHERE %s = %s", changelog.Quote(other.name),
			changelog.Quote(other.key[0]), g.keyValue(other.column(other.key[0]).declared), changelog.Quote(other.key[0]), g.keyValue(other.column(other.key[0]).declared)))
	case "triggerraise":
		return create("BEFORE", "", audit, raise("ABORT"))
	default: // triggerreplace
		if g.chance(50) {
			return create("AFTER", "", fmt.Sprintf("INSERT OR REPLACE INTO %s (id, what, v) VALUES (length(%s) %% 5, 'replaced', %s)", changelog.Quote(oracleAudit), v, v))
		}
		if other.column(other.names()[0]).key > 0 {
			return ""
		}
		return create("AFTER", "", fmt.Sprintf("UPDATE OR REPLACE %s SET %s = %s WHERE %s = %s", changelog.Quote(other.name),
			changelog.Quote(other.names()[0]), v, changelog.Quote(other.key[0]), g.keyValue(other.column(other.key[0]).declared)))
	}
}
