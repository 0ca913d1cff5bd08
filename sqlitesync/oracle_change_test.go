package sqlitesync

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// oracleStep is one statement or some that belong together. If one fails, the
// rest is left out and undo is run.
type oracleStep struct {
	statements []oracleStatement
	undo       []oracleStatement
}

func single(s oracleStatement) oracleStep { return oracleStep{statements: []oracleStatement{s}} }

func schemaChange(text string) oracleStep {
	return single(oracleStatement{text: text, kind: kindSchema})
}

// change returns a change of the schema, or upkeep of the file. No statement
// means that nothing fits.
func (g *oracleGenerator) change() (step oracleStep) {
	if g.open && !g.has("ddltransaction", 60) {
		return step
	}
	t := pick(g, g.tables...)
	g.noReplace = t.nulls
	own := t.name != oracleAudit && t.name != oracleLocal
	name := changelog.Quote(t.name)
	c := pick(g, t.columns...)
	// A column that takes the name of one before it counts as that one (LIMITS.md), so the names of columns that come are new.
	kind := pick(g, "addcolumn", "addcolumn", "renamecolumn", "renamekey", "dropcolumn", "renametable", "createindex", "createindex", "dropindex",
		"recreate", "createtable", "droptable", "rebuild", "rebuild", "createtrigger", "droptrigger", "vacuum", "reindex", "analyze", "checkpoint")
	switch {
	case !g.has(kind, 100):
	case kind == "vacuum" && !g.open:
		return single(oracleStatement{text: "VACUUM", kind: kindUpkeep})
	case kind == "reindex":
		return single(oracleStatement{text: "REINDEX", kind: kindUpkeep})
	case kind == "analyze":
		return single(oracleStatement{text: "ANALYZE", kind: kindUpkeep})
	case kind == "checkpoint" && !g.open:
		return single(oracleStatement{text: "PRAGMA wal_checkpoint(TRUNCATE)", kind: kindUpkeep, returns: true, private: true})
	case kind == "addcolumn" && len(t.columns) < 14:
		return schemaChange("ALTER TABLE " + name + " ADD COLUMN " + changelog.Quote(g.name("c")) + " " + g.column(t.strictness(), true))
	case kind == "renamecolumn" && c.key == 0 && own, kind == "renamekey" && c.key > 0 && own:
		return schemaChange("ALTER TABLE " + name + " RENAME COLUMN " + changelog.Quote(c.name) + " TO " + changelog.Quote(g.name("c")))
	case kind == "dropcolumn" && own && !t.indexed[c.name] && !g.uniqueDropped:
		// The triggers of capture name the columns of unique indexes, those of a dropped index until the next pass.
		return schemaChange("ALTER TABLE " + name + " DROP COLUMN " + changelog.Quote(c.name))
	case kind == "renametable" && own && !t.referenced: // SQLite forgets that a renamed table refers to itself, until it reads the schema again
		return schemaChange("ALTER TABLE " + name + " RENAME TO " + changelog.Quote(g.name("t")))
	case kind == "createindex":
		text := g.index(t)
		unique := strings.HasPrefix(text, "CREATE UNIQUE")
		if unique && g.open {
			return step // it would be made among data that the replica does not have yet
		}
		return single(oracleStatement{text: text, kind: kindSchema, pass: unique})
	case kind == "dropindex" && len(t.indexes) > 0:
		return schemaChange("DROP INDEX " + changelog.Quote(pick(g, t.indexes...)))
	case kind == "createtrigger":
		if text := g.trigger(t, pick(g, g.tables...)); text != "" {
			return schemaChange(text)
		}
	case kind == "droptrigger" && len(t.triggers) > 0:
		return schemaChange("DROP TRIGGER " + changelog.Quote(pick(g, t.triggers...)))
	case kind == "createtable" && len(g.tables) < 7:
		p := g.plan(g.name("t"))
		return schemaChange(g.createTable(&p, []tablePlan{p}))
	case kind == "droptable" && len(g.tables) > 4:
		if own {
			return schemaChange("DROP TABLE " + name)
		}
	case kind == "recreate" && own && !g.open:
		p := g.plan(t.name)
		text := t.sql
		if !t.referenced && g.chance(50) { // else foreign keys would name columns that are no key any more
			text = g.createTable(&p, []tablePlan{p})
		}
		// Rows that DROP TABLE takes along come back (TestADroppedTableDeletesNothing).
		return oracleStep{statements: []oracleStatement{
			{text: "DELETE FROM " + name},
			{text: "DROP TABLE " + name, kind: kindSchema, pass: true, empty: t.name},
			{text: text, kind: kindSchema},
		}}
	case kind == "rebuild" && own && !g.open:
		return g.rebuild(t)
	}
	return step
}

// rebuild is the procedure that SQLite's documentation gives for changes that
// ALTER TABLE can't make.
func (g *oracleGenerator) rebuild(t *oracleTable) oracleStep {
	begin := oracleStatement{text: "BEGIN", kind: kindBegin}
	// Whether the copy works depends on the data, and the replica runs it too.
	off := oracleStatement{text: "PRAGMA foreign_keys = OFF", kind: kindUpkeep, pass: true}
	back := oracleStatement{text: "PRAGMA foreign_keys = " + g.enforced, kind: kindUpkeep}
	name, other := changelog.Quote(t.name), changelog.Quote(g.name("rebuilt"))
	_, definition, _ := strings.Cut(t.sql, name)
	columns := quoted(t.names())
	texts := []string{
		"CREATE TABLE " + other + definition,
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s ORDER BY %s", other, columns, columns, name, quoted(slices.Concat(t.key, t.names()))),
		"DROP TABLE " + name,
		"ALTER TABLE " + other + " RENAME TO " + name,
	}
	texts = append(texts, t.scripts...)
	statements := []oracleStatement{off, begin}
	for _, text := range texts {
		statements = append(statements, oracleStatement{text: text, kind: kindSchema})
	}
	// Rows that are deleted before the next pass come back (TestWritesAfterATableWasRebuiltAreFound).
	after := back
	after.pass = true
	statements = append(statements, oracleStatement{text: "COMMIT", kind: kindCommit}, after)
	return oracleStep{statements: statements, undo: []oracleStatement{{text: "ROLLBACK", kind: kindRollback}, back}}
}

// strictness says what kind of table it is.
func (t *oracleTable) strictness() strictness {
	switch typed := func(c oracleColumn) bool { return c.key == 0 && c.declared != "ANY" }; {
	case !strings.HasSuffix(t.sql, "STRICT"):
		return ordinary
	case slices.ContainsFunc(t.columns, typed):
		return strictTyped
	}
	return strictAnyType
}
