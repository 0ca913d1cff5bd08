package sqlitesync

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// oracleEvent is what a run is made of, so that it can be repeated without the
// generator.
type oracleEvent struct {
	kind      oracleEventKind
	statement oracleStatement
}

type oracleEventKind int

const (
	eventStatement oracleEventKind = iota
	eventSpace                     // main founds a space, the replica enters it
	eventPass
	eventQuiet // more passes, in which nothing may happen
)

func (e oracleEvent) String() string {
	return [...]string{e.statement.text + ";", "-- space", "-- pass", "-- quiet"}[e.kind]
}

// oracleFailure is a difference that should not be.
type oracleFailure struct{ what, detail string }

func (f *oracleFailure) String() string { return f.what + "\n" + f.detail }

// oracleRun holds the three databases: main, its twin without sync, and the
// replica.
type oracleRun struct {
	tb                  testing.TB
	ctx                 context.Context
	a, b                *testDevice
	main, twin, replica *oracleDatabase
	tables              []*oracleTable
	syncing             bool
	refused             bool            // the last statement failed, as it should
	orphaned            bool            // rows are held from now on, as they should
	changes             []string        // of the schema, that the replica has not run
	marks               []oracleMark    // of open transactions and savepoints
	local               map[string]bool // tables that stay on a device, as they should
}

// oracleMark is where an open transaction, or a savepoint, began.
type oracleMark struct {
	name    string
	begin   bool
	changes int
}

func newOracleRun(tb testing.TB) *oracleRun {
	r := &oracleRun{tb: tb, ctx: context.Background(), local: make(map[string]bool)}
	r.a, r.b = newTestDevice(tb, ""), newTestDevice(tb, "")
	for _, d := range []struct {
		device *testDevice
		to     **oracleDatabase
	}{{r.a, &r.main}, {r.b, &r.replica}, {newTestDevice(tb, ""), &r.twin}} {
		var err error
		*d.to, err = openOracleDatabase(r.ctx, d.device.db)
		must(tb, err)
	}
	return r
}

func (r *oracleRun) close() {
	for _, d := range []*oracleDatabase{r.main, r.twin, r.replica} {
		_, _ = d.conn.ExecContext(r.ctx, "ROLLBACK") // the pool would keep the transaction open
		d.conn.Close()
	}
}

func (r *oracleRun) open() bool { return len(r.marks) > 0 }

func (r *oracleRun) savepoints() (names []string) {
	for _, mark := range r.marks {
		if !mark.begin {
			names = append(names, mark.name)
		}
	}
	return names
}

// play does what the event says and compares.
func (r *oracleRun) play(event oracleEvent) *oracleFailure {
	switch event.kind {
	case eventSpace:
		return r.found()
	case eventPass:
		return r.pass()
	case eventQuiet:
		return r.quiet()
	default:
		return r.execute(event.statement)
	}
}

// execute runs a statement on main and twin.
func (r *oracleRun) execute(s oracleStatement) *oracleFailure {
	want, refusal := r.twin.outcome(r.ctx, s)
	got, _ := r.main.outcome(r.ctx, s)
	if lastRowidUnreliable(s, refusal) {
		must(r.tb, r.twin.resetLastRowid(r.ctx))
		must(r.tb, r.main.resetLastRowid(r.ctx))
	}
	if got != want {
		return &oracleFailure{"a statement answers otherwise with capture than without", difference(strings.Split(want, "\n"), strings.Split(got, "\n"))}
	}
	wasOpen := r.open()
	r.refused = refusal != nil
	if r.refused && wasOpen {
		open := r.twin.inTransaction(r.ctx)
		if r.main.inTransaction(r.ctx) != open {
			return &oracleFailure{"a statement ends the transaction on one side only", fmt.Sprintf("open without capture: %t", open)}
		}
		if !open {
			r.changes, r.marks = r.changes[:r.marks[0].changes], nil
		}
	}
	if !r.refused {
		r.follow(s)
	}
	if r.refused && r.open() && stopsHalfway(refusal) {
		for _, d := range []*oracleDatabase{r.main, r.twin} {
			_, err := d.conn.ExecContext(r.ctx, "ROLLBACK")
			must(r.tb, err)
		}
		r.changes, r.marks = r.changes[:r.marks[0].changes], nil
	}
	if s.kind != kindWrite && s.kind != kindUpkeep || r.refused && wasOpen && !r.open() {
		if failure := r.readSchema(); failure != nil {
			return failure
		}
	}
	return r.compare()
}

// stopsHalfway reports whether a statement failed by what is no conflict: a type
// that a STRICT table refuses, or triggers that go on for ever. Without triggers
// that write SQLite may not be able to take back what an OR IGNORE or OR FAIL had
// done by then, though it means to; with capture's it is.
func stopsHalfway(err error) bool {
	return slices.Contains([]int{1, 20}, changelog.ErrorCode(err)) || strings.Contains(err.Error(), "cannot store")
}

// follow keeps account of transactions and schema changes.
func (r *oracleRun) follow(s oracleStatement) {
	last := func() int {
		for i := len(r.marks) - 1; i >= 0; i-- {
			if !r.marks[i].begin && r.marks[i].name == s.name {
				return i
			}
		}
		return 0
	}
	switch s.kind {
	case kindSchema:
		r.changes = append(r.changes, s.text)
	case kindBegin, kindSavepoint:
		r.marks = append(r.marks, oracleMark{s.name, s.kind == kindBegin, len(r.changes)})
	case kindCommit:
		r.marks = nil
	case kindRollback:
		r.changes, r.marks = r.changes[:r.marks[0].changes], nil
	case kindRelease:
		r.marks = r.marks[:last()]
	case kindRollbackTo:
		i := last()
		r.changes, r.marks = r.changes[:r.marks[i].changes], r.marks[:i+1]
	}
}

// readSchema reads the twin's schema, and checks that main's is the same.
func (r *oracleRun) readSchema() *oracleFailure {
	want, err := r.twin.definitions(r.ctx)
	must(r.tb, err)
	got, err := r.main.definitions(r.ctx)
	must(r.tb, err)
	if !slices.Equal(got, want) {
		return &oracleFailure{"the schema is not what it is without sync", difference(want, got)}
	}
	r.tables, err = r.twin.tables(r.ctx)
	must(r.tb, err)
	return nil
}

// compare compares the tables of main and twin.
func (r *oracleRun) compare() *oracleFailure {
	for _, table := range r.tables {
		want, err := r.twin.dump(r.ctx, table, false)
		must(r.tb, err)
		got, err := r.main.dump(r.ctx, table, false)
		must(r.tb, err)
		if !slices.Equal(got, want) {
			return &oracleFailure{fmt.Sprintf("table %q is not what it is without sync", table.name), difference(want, got)}
		}
	}
	const query = `SELECT name, seq FROM sqlite_sequence WHERE name NOT LIKE 'sqlitesync\_%' ESCAPE '\' ORDER BY name`
	want, err := r.twin.query(r.ctx, query)
	if err != nil { // no table has an AUTOINCREMENT yet
		return nil
	}
	got, err := r.main.query(r.ctx, query)
	if err != nil || !slices.Equal(got, want) {
		return &oracleFailure{"sqlite_sequence is not what it is without sync", difference(want, got)}
	}
	return nil
}

// found makes the space of main and replica.
func (r *oracleRun) found() *oracleFailure {
	if r.syncing || r.open() {
		return nil
	}
	enforced, err := r.main.query(r.ctx, "PRAGMA foreign_keys")
	must(r.tb, err)
	for _, d := range []*testDevice{r.a, r.b} {
		d.options.Exclude, d.options.ForeignKeys = []string{oracleLocal}, ForeignKeysOff
		if enforced[0] == "1" {
			d.options.ForeignKeys = ForeignKeysOn
		}
	}
	if failure := r.migrate(); failure != nil {
		return failure
	}
	r.a.create(r.tb.TempDir())
	r.b.join(r.a.folder, r.a.invite())
	r.syncing = true
	return r.pass()
}

// migrate runs on the replica what changed main's schema. Foreign keys are off
// meanwhile: DROP TABLE would delete the rows of other tables there too, and
// the replica is to learn of that from main. A unique index that was made after
// the rows in its way were deleted can only be made after them there too.
func (r *oracleRun) migrate() *oracleFailure {
	for _, text := range slices.Concat([]string{"PRAGMA foreign_keys = OFF"}, r.changes, []string{"PRAGMA foreign_keys = ON"}) {
		_, err := r.replica.conn.ExecContext(r.ctx, text)
		if changelog.Taken(err) {
			if failure := r.sync(r.b); failure != nil {
				return failure
			}
			_, err = r.replica.conn.ExecContext(r.ctx, text)
		}
		if err != nil {
			return &oracleFailure{"the replica can't change its schema", fmt.Sprintf("%s: %v", text, err)}
		}
	}
	r.changes = nil
	return nil
}

// pass lets main and then the replica sync, and compares.
func (r *oracleRun) pass() *oracleFailure {
	if !r.syncing || r.open() {
		return nil
	}
	if r.orphaned = r.orphaned || r.orphans(); r.orphaned {
		return nil
	}
	clear(r.local)
	if failure := r.sync(r.a); failure != nil {
		return failure
	}
	if failure := r.compare(); failure != nil {
		failure.what = "after main's pass: " + failure.what
		return failure
	}
	if failure := r.migrate(); failure != nil {
		return failure
	}
	if failure := r.sync(r.b); failure != nil {
		return failure
	}
	return r.compareReplica()
}

// orphans reports whether the twin has rows without parents although it enforces
// foreign keys. SQLite overlooks some that triggers make; in a space that
// enforces foreign keys they are held.
func (r *oracleRun) orphans() bool {
	if r.a.options.ForeignKeys != ForeignKeysOn {
		return false
	}
	found, err := r.twin.query(r.ctx, "PRAGMA foreign_key_check")
	return err != nil || len(found) > 0
}

// sync does a pass of one device, which must not be short of anything.
func (r *oracleRun) sync(d *testDevice) *oracleFailure {
	if err := d.trySync(); err != nil {
		return &oracleFailure{"a pass fails", err.Error()}
	}
	for _, u := range d.syncer.Status().Unsynced {
		if !r.expected(u) {
			return &oracleFailure{"a table stays on its device", fmt.Sprintf("table %q: %s", u.Table, u.Reason)}
		}
	}
	return nil
}

// expected reports whether a table, or rows of it, may stay on their device.
func (r *oracleRun) expected(u Unsynced) bool {
	for _, table := range r.tables {
		if table.name == u.Table && strings.Contains(u.Reason, "NULL in their key") {
			return slices.ContainsFunc(table.key, func(name string) bool { return !table.column(name).notNull })
		}
	}
	if strings.Contains(u.Reason, "SQLite can't write to it here") { // a trigger names what is gone: the app can't write either
		for _, table := range r.tables {
			if table.name != u.Table {
				continue
			}
			var set []string
			for _, name := range table.names() {
				set = append(set, changelog.Quote(name)+" = NULL")
			}
			for _, statement := range []string{"INSERT INTO %s DEFAULT VALUES", "UPDATE %s SET " + strings.ReplaceAll(strings.Join(set, ", "), "%", "%%"), "DELETE FROM %s"} {
				statement = "EXPLAIN " + fmt.Sprintf(statement, changelog.Quote(u.Table))
				_, _ = r.main.query(r.ctx, statement) // even EXPLAIN changes what changes() says
				if _, err := r.twin.query(r.ctx, statement); err != nil {
					r.local[u.Table] = true
					return true
				}
			}
		}
	}
	return strings.Contains(u.Reason, "dropped and made again")
}

// compareReplica compares the synced tables of main and replica.
func (r *oracleRun) compareReplica() *oracleFailure {
	for _, table := range r.tables {
		if table.name == oracleLocal || r.local[table.name] {
			continue
		}
		want, err := r.main.dump(r.ctx, table, true)
		must(r.tb, err)
		got, err := r.replica.dump(r.ctx, table, true)
		must(r.tb, err)
		if slices.Equal(got, want) {
			continue
		}
		detail := difference(want, got)
		for _, held := range r.b.held() {
			detail += fmt.Sprintf("  held: %+v\n", held)
		}
		return &oracleFailure{fmt.Sprintf("table %q of the replica is not as main's", table.name), detail}
	}
	return nil
}

// quiet checks that further passes publish nothing, since nobody wrote.
func (r *oracleRun) quiet() *oracleFailure {
	if !r.syncing || r.open() || r.orphaned {
		return nil
	}
	segments := func(pattern string) []string {
		paths, err := filepath.Glob(filepath.Join(r.a.folder, "devices", "*", pattern))
		must(r.tb, err)
		return paths
	}
	const batch = "*-0000.seg"
	batches := segments(batch)
	var before []string
	for round := range 4 {
		if round == 1 { // what was published is found by a later pass, and may be written anew then
			before = segments("*.seg")
		}
		for _, d := range []*testDevice{r.a, r.b} {
			if failure := r.sync(d); failure != nil {
				return failure
			}
		}
	}
	if after := segments(batch); len(after) != len(batches) {
		return &oracleFailure{"passes publish although nobody wrote", difference(batches, after)}
	}
	if after := segments("*.seg"); len(after) != len(before) {
		return &oracleFailure{"passes publish although nobody wrote", difference(before, after)}
	}
	for _, query := range []string{"PRAGMA integrity_check", "PRAGMA foreign_key_check"} {
		want, _ := r.twin.query(r.ctx, query)
		got, _ := r.main.query(r.ctx, query)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return &oracleFailure{query + " is not what it is without sync", difference(want, got)}
		}
	}
	// It calls some sound rows damaged, if the table has a VIRTUAL column.
	want, _ := r.twin.query(r.ctx, "PRAGMA integrity_check")
	got, _ := r.replica.query(r.ctx, "PRAGMA integrity_check")
	if found := slices.DeleteFunc(got, func(line string) bool { return line == `"ok"` || slices.Contains(want, line) }); len(found) > 0 {
		return &oracleFailure{"the replica is damaged", strings.Join(found, "\n")}
	}
	if failure := r.compare(); failure != nil {
		return failure
	}
	if failure := r.compareReplica(); failure != nil {
		return failure
	}
	return r.verify()
}

// verify checks that both devices know what they show. A row that went without
// having been noted would be held where another one has taken its unique value,
// so that nobody sees it until that is free again.
func (r *oracleRun) verify() *oracleFailure {
	for _, d := range []*testDevice{r.a, r.b} {
		report, err := d.syncer.Verify(r.ctx)
		if err != nil {
			return &oracleFailure{"a device can't be verified", err.Error()}
		}
		for _, fault := range report.Faults {
			if !r.local[fault.Table] {
				return &oracleFailure{"a device does not know what it shows", fmt.Sprintf("device %s, table %q: %s", d.options.DeviceName, fault.Table, fault.Kind)}
			}
		}
	}
	return nil
}
