package sqlitesync

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// oracleStatement is one statement and what the runner must know of it.
type oracleStatement struct {
	text    string
	kind    oracleKind
	name    string // of a savepoint
	returns bool   // it returns rows
	private bool   // the rows that it returns are the database's own affair
	pass    bool   // a pass comes first: what it does depends on the data
	empty   string // it is left out, with what follows, unless this table is empty
}

type oracleKind int

const (
	kindWrite  oracleKind = iota // or a query
	kindSchema                   // the replica runs it too
	kindUpkeep                   // VACUUM and the like
	kindBegin
	kindCommit
	kindRollback
	kindSavepoint
	kindRelease
	kindRollbackTo
)

// next returns what comes next: one statement, or some that belong together.
func (g *oracleGenerator) next() oracleStep {
	if g.open && g.chance(16) || !g.open && g.has("transaction", 5) {
		return single(g.control())
	}
	if g.chance(7) {
		if step := g.change(); len(step.statements) > 0 {
			return step
		}
	}
	return single(oracleStatement{text: g.write(), returns: g.returning})
}

// control returns a statement about transactions.
func (g *oracleGenerator) control() oracleStatement {
	if !g.open {
		if g.has("savepoint", 25) {
			return oracleStatement{text: "SAVEPOINT s", kind: kindSavepoint, name: "s"}
		}
		return oracleStatement{text: pick(g, "BEGIN", "BEGIN IMMEDIATE"), kind: kindBegin}
	}
	if g.has("savepoint", 55) {
		name := pick(g, "s", "r")
		switch depth := len(g.savepoints); {
		case depth > 0 && g.chance(35):
			name = g.savepoints[g.IntN(depth)]
			return oracleStatement{text: "ROLLBACK TO " + name, kind: kindRollbackTo, name: name}
		case depth > 0 && g.chance(50):
			name = g.savepoints[g.IntN(depth)]
			return oracleStatement{text: "RELEASE " + name, kind: kindRelease, name: name}
		case depth < 4:
			return oracleStatement{text: "SAVEPOINT " + name, kind: kindSavepoint, name: name}
		}
	}
	switch {
	case g.chance(12):
		// Not OFF: SQLite then counts what is open of both kinds together, unless a row is alone in its statement.
		return oracleStatement{text: "PRAGMA defer_foreign_keys = ON", kind: kindUpkeep}
	case g.chance(70):
		return oracleStatement{text: "COMMIT", kind: kindCommit}
	}
	return oracleStatement{text: "ROLLBACK", kind: kindRollback}
}

// write returns an INSERT, UPDATE, DELETE or SELECT.
func (g *oracleGenerator) write() string {
	t := pick(g, g.tables...)
	for range 2 { // the tables of the triggers come last
		if t.name == oracleAudit || t.name == oracleLocal {
			t = pick(g, g.tables...)
		}
	}
	if g.open && t.strictness() == strictTyped {
		// SQLite lets the rows before one of the wrong type stand, if nothing
		// else about the statement, such as a trigger, makes it prepare for failure.
		t = g.tables[slices.IndexFunc(g.tables, func(t *oracleTable) bool { return t.name == oracleAudit })]
	}
	g.returning = g.has("returning", 12)
	var text string
	switch n := g.IntN(100); {
	case n < 50:
		text = g.insert(t)
	case n < 84:
		text = g.update(t)
	case n < 96:
		text = "DELETE FROM " + changelog.Quote(t.name) + g.where(t)
	default:
		g.returning = true
		return "SELECT " + g.all(t) + " FROM " + changelog.Quote(t.name) + g.where(t)
	}
	if g.returning {
		text += " RETURNING " + g.all(t)
	}
	return text
}

// all lists every column as an expression, which the driver leaves as it is.
func (g *oracleGenerator) all(t *oracleTable) string {
	list := make([]string, len(t.columns))
	for i, column := range t.columns {
		list[i] = "+" + changelog.Quote(column.name)
	}
	return strings.Join(list, ", ")
}

// or returns a verb with a conflict clause, or without.
func (g *oracleGenerator) or(verb string, t *oracleTable) string {
	if g.has("orconflict", 40) {
		verb += " OR " + g.resolution(t.nulls)
	}
	return verb
}

// resolution returns a way to resolve conflicts. REPLACE is none in a table
// whose foreign key has SET NULL: if the REPLACE can come to that action, through
// a reference to itself or a cycle of tables, SQLite does not look at the new
// row's reference, unless the trigger that it compiled last is another one. In a
// table that refers to itself, the REPLACE can delete the very row that is being
// updated, which SQLite refuses if a trigger has run (SQLITE_CONSTRAINT_PINNED).
func (g *oracleGenerator) resolution(noReplace bool) string {
	if !noReplace && g.chance(40) {
		return "REPLACE"
	}
	return pick(g, "IGNORE", "IGNORE", "FAIL", "ABORT", "ROLLBACK")
}

func (g *oracleGenerator) insert(t *oracleTable) string {
	verb := g.or("INSERT", t)
	if !t.nulls && g.has("orconflict", 8) {
		verb = "REPLACE"
	}
	verb += " INTO " + changelog.Quote(t.name)
	if g.chance(2) {
		return verb + " DEFAULT VALUES"
	}
	var columns []oracleColumn
	var names []string
	for _, c := range t.columns {
		if c.generated() || c.key > 0 && g.chance(pick(g, 0, 15)) || c.key == 0 && !c.notNull && g.chance(15) {
			continue
		}
		columns = append(columns, c)
		name := changelog.Quote(c.name)
		if c.key > 0 && t.integerKey && t.rowid != "" && g.chance(10) {
			name = t.rowid
		}
		names = append(names, name)
	}
	if len(columns) == 0 {
		return verb + " DEFAULT VALUES"
	}
	verb += " (" + strings.Join(names, ", ") + ")"
	var source string
	if g.chance(12) && len(g.tables) > 2 {
		source = g.selected(columns)
	} else {
		rows := make([]string, pick(g, 1, 1, 1, 2, 3, 5))
		for i := range rows {
			values := make([]string, len(columns))
			for j, c := range columns {
				values[j] = g.valueOf(c)
			}
			rows[i] = "(" + strings.Join(values, ", ") + ")"
		}
		source = " VALUES " + strings.Join(rows, ", ")
	}
	if g.has("upsert", 25) {
		source += g.upsert(t)
	}
	return verb + source
}

// selected returns a SELECT from any table. Its rows have an order, or else the
// rowids that they are given would depend on the plan, and SQLite would copy
// whole tables with their rowids where no trigger stands in the way. They do not
// come from a table that triggers write to: whether the statement reads what its
// own triggers write depends on what other triggers there are.
func (g *oracleGenerator) selected(columns []oracleColumn) string {
	from := pick(g, g.tables...)
	for from.name == oracleAudit || from.name == oracleLocal {
		from = pick(g, g.tables...)
	}
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = changelog.Quote(pick(g, from.columns...).name)
		if g.chance(25) || c.key > 0 && class(c.declared) == "integer" { // see keyValue
			values[i] = g.valueOf(c)
		}
	}
	order := from.key
	for _, c := range from.columns {
		order = append(order[:len(order):len(order)], c.name)
	}
	// WHERE: or else ON CONFLICT could be taken for the ON of a join.
	return fmt.Sprintf(" SELECT %s FROM %s WHERE true ORDER BY %s LIMIT %d", strings.Join(values, ", "), changelog.Quote(from.name),
		quoted(order), 1+g.IntN(4))
}

// upsert returns ON CONFLICT clauses.
func (g *oracleGenerator) upsert(t *oracleTable) (text string) {
	for range pick(g, 1, 1, 1, 2) {
		text += " ON CONFLICT " + pick(g, t.targets...) + g.upsertAction(t)
	}
	if g.chance(25) { // the last may name no target
		text += " ON CONFLICT" + g.upsertAction(t)
	}
	return text
}

func (g *oracleGenerator) upsertAction(t *oracleTable) string {
	if g.chance(25) {
		return " DO NOTHING"
	}
	text := " DO UPDATE SET " + strings.Join(g.assignments(t, "excluded."), ", ")
	if g.chance(25) {
		text += " WHERE excluded." + changelog.Quote(pick(g, t.names()...)) + " IS NOT " + changelog.Quote(t.name) + "." + changelog.Quote(pick(g, t.names()...))
	}
	return text
}

// assignments returns what an UPDATE sets; from is a prefix of other values
// that can be used, "" for the row's own.
func (g *oracleGenerator) assignments(t *oracleTable, from string) []string {
	var list []string
	for _, name := range t.names() {
		c := t.column(name)
		if c.key > 0 && (g.without["rekey"] || !g.chance(15)) || c.key == 0 && !g.chance(35) {
			continue
		}
		list = append(list, changelog.Quote(name)+" = "+g.expression(t, c, from))
	}
	if len(list) == 0 {
		c := t.column(pick(g, t.names()...))
		if c.key > 0 {
			return []string{changelog.Quote(c.name) + " = " + changelog.Quote(c.name)}
		}
		list = append(list, changelog.Quote(c.name)+" = "+g.expression(t, c, from))
	}
	return list
}

func (g *oracleGenerator) expression(t *oracleTable, c oracleColumn, from string) string {
	name := changelog.Quote(c.name)
	if from != "" && g.chance(60) {
		return from + changelog.Quote(c.name)
	}
	if c.key > 0 && g.chance(40) { // two rows swap their keys
		a, b := g.keyValue(c.declared), g.keyValue(c.declared)
		return fmt.Sprintf("CASE %s WHEN %s THEN %s WHEN %s THEN %s ELSE %s END", name, a, b, b, a, name)
	}
	if c.key > 0 && class(c.declared) == "integer" {
		return g.keyValue(c.declared)
	}
	if from == "" {
		switch g.IntN(12) {
		case 0:
			return name
		case 1:
			return changelog.Quote(pick(g, t.columns...).name)
		case 2:
			return name + " || 'x'"
		case 3:
			return name + " + 1"
		case 4:
			other := pick(g, g.tables...)
			return fmt.Sprintf("(SELECT %s(+%s) FROM %s)", pick(g, "max", "min", "count"), changelog.Quote(pick(g, other.columns...).name), changelog.Quote(other.name))
		}
	}
	return g.valueOf(c)
}

// update returns an UPDATE. One of several rows has to go through them in the
// order of the table: with an index, SQLite takes them in the index's order as
// it finds them, or, if there are triggers, in the table's order when it has
// found all, and conflicts among them end accordingly. In a table without
// rowids even NOT INDEXED does not keep it from that, so there it updates one row.
func (g *oracleGenerator) update(t *oracleTable) string {
	verb, where, set := g.or("UPDATE", t), g.where(t), " SET "
	if one := " WHERE " + changelog.Quote(t.name) + "." + changelog.Quote(t.key[0]); len(t.key) > 1 || !strings.HasPrefix(where, one+" =") {
		set = " NOT INDEXED SET "
		if t.withoutRowid {
			where = fmt.Sprintf(" WHERE (%[1]s) = (SELECT %[1]s FROM %[2]s ORDER BY %[1]s LIMIT 1)", quoted(t.key), changelog.Quote(t.name))
		}
	}
	verb += " " + changelog.Quote(t.name)
	// The source has one row, so that it does not matter which SQLite takes.
	if c := t.column(pick(g, t.names()...)); c.key == 0 && g.has("updatefrom", 12) {
		other := pick(g, g.tables...)
		return fmt.Sprintf("%s%s%s = s.v FROM (SELECT max(+%s) AS v FROM %s) AS s%s", verb, set, changelog.Quote(c.name),
			changelog.Quote(pick(g, other.columns...).name), changelog.Quote(other.name), where)
	}
	return verb + set + strings.Join(g.assignments(t, ""), ", ") + where
}

// where returns a condition, most often one that few rows meet.
func (g *oracleGenerator) where(t *oracleTable) string {
	c := pick(g, t.columns...)
	name := changelog.Quote(t.name) + "." + changelog.Quote(c.name)
	if g.chance(60) {
		c = t.column(t.key[0])
		name = changelog.Quote(t.name) + "." + changelog.Quote(c.name)
		if g.chance(70) {
			return fmt.Sprintf(" WHERE %s %s %s", name, pick(g, "=", "=", "IS"), g.keyValue(c.declared))
		}
		return fmt.Sprintf(" WHERE %s IN (%s, %s, %s)", name, g.keyValue(c.declared), g.keyValue(c.declared), g.keyValue(c.declared))
	}
	switch g.IntN(7) {
	case 0:
		return ""
	case 1:
		return " WHERE " + name + " IS NULL"
	case 2:
		return " WHERE " + name + " > " + g.valueOf(c)
	}
	return " WHERE " + name + " = " + g.valueOf(c)
}
