package sqlitesync

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var (
	oracleSeed       = flag.Uint64("oracle.seed", 0, "run TestOracle with this seed only")
	oracleSchemas    = flag.Int("oracle.schemas", 12, "how many schemas TestOracle makes")
	oracleFrom       = flag.Uint64("oracle.from", 1, "the first seed of TestOracle")
	oracleStatements = flag.Int("oracle.statements", 250, "how many statements TestOracle runs on each schema")
	oracleWithout    = flag.String("oracle.without", "", "what TestOracle leaves out: names of oracleFeatures, with commas")
)

// TestOracle runs random SQL on a database with capture and on a twin without
// sync, and lets a replica follow. SQLite itself is the oracle: an app can't
// tell the database from the twin by anything that a statement answers or a
// table shows, and after a pass the replica shows the same rows.
func TestOracle(t *testing.T) {
	without := make(map[string]bool)
	for name := range strings.SplitSeq(*oracleWithout, ",") {
		if name != "" && !oracleFeatures[name] {
			t.Fatalf("-oracle.without: there is no feature %q", name)
		}
		without[name] = true
	}
	seeds := []uint64{*oracleSeed}
	if *oracleSeed == 0 {
		seeds = nil
		schemas := *oracleSchemas
		if testing.Short() {
			schemas = min(schemas, 4)
		}
		for n := range schemas {
			seeds = append(seeds, *oracleFrom+uint64(n))
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			events, failure := invent(t, seed, *oracleStatements, without)
			if failure == nil {
				return
			}
			if *oracleShrink {
				events, failure = shrink(t, events, failure)
			}
			t.Errorf("%s\n%v\nAgain: go test ./sqlitesync -run TestOracle -oracle.seed=%d -oracle.statements=%d -oracle.without=%s",
				account(events), failure, seed, *oracleStatements, *oracleWithout)
		})
	}
}

// account tells what led to a failure: the schema and the last events.
func account(events []oracleEvent) string {
	var text strings.Builder
	for i, event := range events {
		schema := event.statement.kind == kindSchema || event.kind == eventSpace
		if schema || i >= len(events)-15 || *oracleShrink {
			fmt.Fprintf(&text, "%4d  %.1500s\n", i, event)
		}
	}
	return text.String()
}

// invent runs random events until one fails, and returns what was run.
func invent(t *testing.T, seed uint64, statements int, without map[string]bool) (events []oracleEvent, failure *oracleFailure) {
	run := newOracleRun(t)
	defer run.close()
	g := &oracleGenerator{Rand: rand.New(rand.NewPCG(seed, 0)), without: without, names: make(map[string]bool)}
	play := func(event oracleEvent) bool {
		if testing.Verbose() && *oracleSeed != 0 && !*oracleShrink {
			t.Logf("%4d  %s", len(events), event)
		}
		events = append(events, event)
		failure = run.play(event)
		g.tables, g.open, g.savepoints = run.tables, run.open(), run.savepoints()
		if event.kind == eventPass {
			g.uniqueDropped = false
		}
		return failure == nil
	}
	execute := func(step oracleStep) bool {
		for _, s := range step.statements {
			if s.pass && run.syncing && !play(oracleEvent{kind: eventPass}) {
				return false
			}
			if s.empty != "" && !run.twin.empty(run.ctx, s.empty) {
				return true
			}
			if !play(oracleEvent{statement: s}) {
				return false
			}
			g.uniqueDropped = g.uniqueDropped || strings.HasPrefix(s.text, "DROP INDEX")
			if run.refused {
				for _, s := range step.undo {
					if !play(oracleEvent{statement: s}) {
						return false
					}
				}
				return true
			}
		}
		return true
	}
	g.enforced = "OFF"
	if g.has("enforced", 60) {
		g.enforced = "ON"
	}
	g.recursive = g.has("recursive", 50)
	for _, text := range []string{"PRAGMA foreign_keys = " + g.enforced, fmt.Sprintf("PRAGMA recursive_triggers = %t", g.recursive)} {
		if !execute(single(oracleStatement{text: text, kind: kindUpkeep})) {
			return events, failure
		}
	}
	for _, text := range g.schema() {
		if !execute(schemaChange(text)) {
			return events, failure
		}
	}
	space, pass := g.IntN(25), 0
	for n := 0; n < statements; n++ {
		if n >= space && !run.syncing && !g.open {
			if !play(oracleEvent{kind: eventSpace}) {
				return events, failure
			}
			pass = n + 20 + g.IntN(40)
		}
		if run.syncing && n >= pass && !g.open {
			if !play(oracleEvent{kind: eventPass}) || g.chance(20) && !play(oracleEvent{kind: eventQuiet}) {
				return events, failure
			}
			pass = n + 20 + g.IntN(40)
		}
		step := g.next()
		if n < 30 && !g.open && g.chance(20) { // before the space is founded, or soon after
			if text := g.trigger(pick(g, g.tables...), pick(g, g.tables...)); text != "" {
				step = schemaChange(text)
			}
		}
		if n < 60 && !g.open && g.chance(6) {
			step = single(oracleStatement{text: g.index(pick(g, g.tables...)), kind: kindSchema, pass: true})
		}
		if !execute(step) {
			return events, failure
		}
	}
	for g.open {
		if !execute(oracleStep{statements: []oracleStatement{{text: "COMMIT", kind: kindCommit}}, undo: []oracleStatement{{text: "ROLLBACK", kind: kindRollback}}}) {
			return events, failure
		}
	}
	_ = play(oracleEvent{kind: eventPass}) && play(oracleEvent{kind: eventQuiet})
	return events, failure
}
