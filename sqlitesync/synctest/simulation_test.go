package synctest

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
	"github.com/sqlitesync/go/sqlitesync/internal/workload"
)

var (
	simulateFrom  = flag.Uint64("simulate.from", 1, "the first seed of TestSimulation")
	simulateSeeds = flag.Int("simulate.seeds", 15, "how many seeds TestSimulation runs")
	simulateFor   = flag.Duration("simulate.for", 0, "how long TestSimulation runs, if it has seeds left; 0: to the last one")
	simulateTwice = flag.Int("simulate.twice", 10, "TestSimulation runs one in so many seeds twice; 0: none")
)

// TestSimulation lets a few devices do at random what apps do, while a few kinds of faults, others with each seed, happen. After
// each run hold what [World.Settle] checks, and what only those know who have written: see [simulation].
//
//	go test ./sqlitesync/synctest -run TestSimulation -v -simulate.from=1000 -simulate.seeds=2000 -timeout 1h
func TestSimulation(t *testing.T) {
	total := tally{faults: make(map[Fault]int)}
	began, descriptors := time.Now(), openFiles()
	failed := 0
	for n := range *simulateSeeds {
		if *simulateFor > 0 && time.Since(began) > *simulateFor || failed == maxFailed {
			break
		}
		seed := *simulateFrom + uint64(n)
		trace, err := simulate(t, seed, &total)
		if err == nil && *simulateTwice > 0 && n%*simulateTwice == 0 {
			var again []string
			again, err = simulate(t, seed, &tally{faults: make(map[Fault]int)})
			if err == nil && !slices.Equal(trace, again) {
				err = fmt.Errorf("seed %d leaves another trace when it runs again, from here on: %q", seed, firstDifference(trace, again))
			}
		}
		if err != nil {
			failed++
			t.Errorf("%v\nAgain: go test ./sqlitesync/synctest -run TestSimulation -simulate.from=%d -simulate.seeds=1", err, seed)
		}
	}
	total.seconds = time.Since(began).Seconds()
	total.log(t)
	if total.schedules >= 1000 {
		total.wantAll(t)
	}
	if n := openFiles(); n > descriptors+10 {
		t.Errorf("%d files are open, before there were %d", n, descriptors)
	}
}

// openFiles counts the descriptors of this process, where the system tells.
func openFiles() int {
	open, _ := os.ReadDir("/proc/self/fd")
	return len(open)
}

// maxFailed is how many seeds fail before TestSimulation gives up.
const maxFailed = 10

// A tally is what was tried.
type tally struct {
	schedules, devices, statements, passes, conflicts int
	faults                                            map[Fault]int
	seconds                                           float64
}

func (total *tally) log(t *testing.T) {
	t.Logf("%d schedules, %d devices, %d statements, %d passes, %d conflicts, %.0f s", total.schedules, total.devices,
		total.statements, total.passes, total.conflicts, total.seconds)
	for _, f := range Faults() {
		if total.faults[f] == 0 {
			t.Logf("   never: %s", f)
			continue
		}
		t.Logf("%8d  %s", total.faults[f], f)
	}
}

// wantAll makes sure that faults of every class have happened.
func (total *tally) wantAll(t *testing.T) {
	for _, f := range Faults() {
		if total.faults[f] == 0 {
			t.Errorf("never: %s", f)
		}
	}
}

func firstDifference(one, two []string) [2]string {
	for i := range min(len(one), len(two)) {
		if one[i] != two[i] {
			return [2]string{one[i], two[i]}
		}
	}
	return [2]string{fmt.Sprint(len(one), " lines"), fmt.Sprint(len(two), " lines")}
}

// simulate runs one seed, and returns its trace, which ends with the rows.
func simulate(t *testing.T, seed uint64, total *tally) (trace []string, err error) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	err = Run(seed, func(w *World) {
		s := newSimulation(w)
		s.all()
		s.count(total)
		trace = append(w.Trace(), w.devices[0].Rows())
	})
	return trace, err
}

// A simulation is a run, and what its apps know of what they have written.
//
// Each value that is written into the ledger is another one, and its writer looks first which value it is written over. So at the
// end each shows, or was written over by somebody who saw it, or lost against one that its writer had not seen and is kept among
// the conflicts, or is held; and none shows that was written over. The two rows of a pair are always written together, by one
// device, so nobody may ever see one without the other. The tables tree and leaf are there for constraints to break in.
type simulation struct {
	*World
	writes []*write
	kept   map[string]bool // values that were found among conflicts or held rows
	pairs  map[*Device]int // the newest number
	owner  map[*Device]string
	losses map[*Device]int
	work   *workload.Workload // or nil
	tried  tally
}

// A write is one value that was written into the ledger.
type write struct {
	by     *Device
	value  string // "" for a delete
	over   string // the value that its author saw
	row    string
	pass   int  // of its device, before which, or in which, it was written
	synced bool // it stood in a folder, and a client had carried it
	weak   bool // it may be lost: with the power, or with a backup that was put back
	untold bool // it deletes what no pass has read yet, so that perhaps no folder is told of either
}

func newSimulation(w *World) *simulation {
	return &simulation{
		World: w, kept: make(map[string]bool), pairs: make(map[*Device]int), owner: make(map[*Device]string),
		losses: make(map[*Device]int),
	}
}

const ledgerSchema = "CREATE TABLE ledger (id TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL); CREATE TABLE pair (id TEXT PRIMARY KEY NOT NULL, n INTEGER);"

// app returns what the devices run: the ledger and the pairs, beside tables that are small and strict, or those of package
// workload, whose schema changes all the time.
func (s *simulation) app() App {
	schema := ledgerSchema
	var options *sqlitesync.Options
	if s.IntN(5) == 0 {
		s.work = workload.New(s.Rand)
		s.work.Migrations = s.work.Migrations[:min(4, len(s.work.Migrations))] // each takes as long as three passes
		schema += s.work.Schema()
		options = &sqlitesync.Options{Exclude: workload.Local}
	} else {
		schema += s.smallTables()
	}
	return tables(schema, options)
}

// smallTables returns a parent and a child, with rules of all kinds.
func (s *simulation) smallTables() string {
	action := []string{"CASCADE", "SET NULL", "RESTRICT", "NO ACTION", "SET DEFAULT"}[s.IntN(5)]
	unique := []string{"", " UNIQUE", " UNIQUE COLLATE NOCASE"}[s.IntN(3)]
	rowid := []string{"", " WITHOUT ROWID", " STRICT", " STRICT, WITHOUT ROWID"}[s.IntN(4)]
	check := []string{"", " CHECK (n < 900)", " NOT NULL"}[s.IntN(3)]
	return `CREATE TABLE tree (id INTEGER PRIMARY KEY, name TEXT` + unique + `, n INTEGER` + check + `)` + strings.TrimPrefix(rowid, " WITHOUT ROWID") + `;
		CREATE TABLE leaf (id TEXT NOT NULL, k INTEGER NOT NULL, tree INTEGER DEFAULT 1 REFERENCES tree ON DELETE ` + action + `, value ANY, PRIMARY KEY (id, k))` + rowid
}

func (s *simulation) all() {
	app := s.app()
	for range 2 + s.IntN(5)/3 {
		s.Device(app)
	}
	s.swarm()
	s.Meanwhile(s.write)
	for range 2 + s.IntN(6) {
		for _, d := range s.Devices() {
			for range s.IntN(4) {
				s.write(d)
			}
		}
		switch k := s.IntN(24); {
		case k == 0 && len(s.devices) < 5:
			s.Device(app)
		case k == 1:
			s.revoke()
		case k < 4 || k < 12 && s.work != nil:
			s.upgrade(s.devices[s.IntN(len(s.devices))])
		}
		s.Step()
		s.look()
	}
	for _, d := range s.devices {
		for s.upgrade(d) {
		}
	}
	s.Settle()
	s.look()
	s.verify()
	s.sound()
}

// sound checks that no device finds anything wrong with what it shows and knows.
func (s *simulation) sound() {
	for _, d := range s.devices {
		report, err := d.syncer.Verify(d.carrier)
		s.must(err)
		if !report.Healthy() {
			s.Fatalf("%s has found %+v", d.name, report)
		}
	}
}

// swarm allows some faults: with all of them at once, few schedules get anywhere.
func (s *simulation) swarm() {
	all, disk := Faults(), DiskFaults()
	for range s.IntN(10) {
		s.Allow(all[s.IntN(len(all)-len(disk))])
	}
	for range s.IntN(4) {
		s.Allow(disk[s.IntN(len(disk))])
	}
}

// upgrade brings the schema of a device to its next version, and reports whether there is another one.
func (s *simulation) upgrade(d *Device) bool {
	var version int
	s.must(d.db.QueryRowContext(d.carrier, "PRAGMA user_version").Scan(&version))
	script, last := "", 1
	if s.work != nil {
		last = len(s.work.Migrations)
	}
	switch {
	case version >= last:
		return false
	case s.work != nil:
		if m := s.work.Migrations[version]; m == workload.RenameKey || m == workload.RebuildDiary {
			s.undisturbed(func() { _ = d.Sync() }) // between two passes both together make another table of it (LIMITS.md)
		}
		script = s.work.Script(version, true)
	default:
		script = "ALTER TABLE tree ADD COLUMN added TEXT DEFAULT 'long enough to be found'; UPDATE tree SET added = name WHERE id < 3;"
	}
	script = fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT", script, version+1)
	if s.IntN(2) == 0 {
		s.Notef("%s: Migrate: %s", d.name, script)
		s.must(d.syncer.Migrate(d.carrier, func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, script)
			return err
		}))
	} else {
		d.Exec("PRAGMA foreign_keys = 0; " + script + "; PRAGMA foreign_keys = 1")
	}
	return version+1 < last
}

// revoke ends a device. What it has written, others may have seen or not.
func (s *simulation) revoke() {
	if len(s.devices) < 3 || s.allowed[Clone] { // a clone may be the same device still
		return
	}
	out := s.devices[1+s.IntN(len(s.devices)-1)] // not the first, which invites: who is revoked takes along whom its revoker does not know yet
	out.Revoke()
	for _, w := range s.writes {
		w.weak = w.weak || w.by == out
	}
}

func (s *simulation) has(d *Device, query string, args ...any) (is bool) {
	s.must(d.db.QueryRowContext(d.carrier, query, args...).Scan(&is))
	return is
}

// write lets the app of a device write something.
func (s *simulation) write(d *Device) {
	s.tried.statements++
	switch s.IntN(5) {
	case 0, 1:
		s.keepLedger(d)
	case 2:
		s.writePair(d)
	default:
		s.challenge(d)
	}
}

// keepLedger writes a value, or deletes one.
func (s *simulation) keepLedger(d *Device) {
	row := fmt.Sprint("row ", s.IntN(5))
	s.keep(d, row, s.has(d, "SELECT EXISTS (SELECT 1 FROM ledger WHERE id = ?)", row) && s.IntN(4) == 0)
}

// keep writes a value into a row of the ledger, or deletes it.
func (s *simulation) keep(d *Device, row string, remove bool) {
	w := &write{by: d, pass: d.disk.pass, row: row, value: fmt.Sprintf("value %06d of the ledger", len(s.writes))}
	err := d.db.QueryRowContext(d.carrier, "SELECT value FROM ledger WHERE id = ?", w.row).Scan(&w.over)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.must(err)
	}
	if remove {
		w.value, w.untold = "", s.has(d, "SELECT EXISTS (SELECT 1 FROM sqlitesync_log WHERE k0 = ?)", w.row)
		d.Exec("DELETE FROM ledger WHERE id = ?", w.row)
	} else {
		d.Exec("INSERT INTO ledger VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", w.row, w.value)
	}
	s.writes = append(s.writes, w)
}

// writePair writes two rows in one transaction.
func (s *simulation) writePair(d *Device) {
	if s.owner[d] == "" {
		s.owner[d] = fmt.Sprint("of ", d.name)
	}
	s.pairs[d]++
	d.Exec("BEGIN; INSERT INTO pair VALUES (?1 || ' a', ?2), (?1 || ' b', ?2) ON CONFLICT DO UPDATE SET n = excluded.n; COMMIT", s.owner[d], s.pairs[d])
}

// challenge writes what constraints may refuse, and nothing else may, some of it in transactions, of which some are rolled back.
func (s *simulation) challenge(d *Device) {
	conn, err := d.db.Conn(d.carrier)
	s.must(err)
	defer conn.Close()
	statements := []string{s.statement(d)}
	if s.IntN(3) == 0 {
		for range s.IntN(4) {
			statements = append(statements, s.statement(d))
		}
		statements = append(slices.Insert(statements, 0, "BEGIN"), []string{"COMMIT", "COMMIT", "ROLLBACK"}[s.IntN(3)])
	}
	for _, statement := range statements {
		_, err := conn.ExecContext(d.carrier, statement)
		if err != nil && !strings.Contains(err.Error(), "constraint failed") && !strings.Contains(err.Error(), "cannot store") {
			s.Fatalf("%s: %s: %w", d.name, statement, err)
		}
		s.Notef("%s: %s -- %v", d.name, statement, err)
		if err != nil && statement == "COMMIT" {
			_, _ = conn.ExecContext(d.carrier, "ROLLBACK") // a deferred constraint has refused it
		}
	}
}

// statement returns a statement that writes to any table but those that nothing may get lost of.
func (s *simulation) statement(d *Device) string {
	if s.work != nil {
		var version int
		s.must(d.db.QueryRowContext(d.carrier, "PRAGMA user_version").Scan(&version))
		return s.work.Statement(version)
	}
	n, m := s.IntN(6), s.IntN(6)
	name := []string{"oak", "Oak", "ash", "elm"}[s.IntN(4)]
	return []string{
		fmt.Sprintf("INSERT OR REPLACE INTO tree (id, name, n) VALUES (%d, '%s', %d)", n, name, s.IntN(1000)),
		fmt.Sprintf("INSERT INTO tree (id, name, n) VALUES (%d, '%s', %d) ON CONFLICT (id) DO UPDATE SET n = excluded.n", n, name, s.IntN(1000)),
		fmt.Sprintf("UPDATE tree SET name = '%s' WHERE id = %d", name, n),
		fmt.Sprintf("UPDATE tree SET id = %d WHERE id = %d", m, n),
		fmt.Sprintf("DELETE FROM tree WHERE id = %d", n),
		fmt.Sprintf("INSERT OR IGNORE INTO leaf VALUES ('leaf %d', %d, %d, %s)", n, m, 1+s.IntN(5), []string{"NULL", "-0.0", "x''", "'a b'", "9e999", "1"}[s.IntN(6)]),
		fmt.Sprintf("UPDATE leaf SET tree = %d WHERE k = %d", n, m),
		fmt.Sprintf("DELETE FROM leaf WHERE k = %d", m),
	}[s.IntN(8)]
}

// look looks at every device, as it is in the midst of everything.
func (s *simulation) look() {
	for _, d := range s.devices {
		s.tried.passes++
		if lost := d.Lost(); lost != s.losses[d] {
			s.losses[d] = lost
			s.weaken(d)
		}
		if d.passed && d.syncer.Status().Pending == 0 && d.carried() {
			for _, w := range s.writes {
				w.synced = w.synced || w.by == d && w.pass < d.disk.pass && !w.untold
			}
		}
		for _, query := range []string{
			"SELECT loser_values FROM sqlitesync_conflicts WHERE table_name = 'ledger'",
			`SELECT "values" FROM sqlitesync_held WHERE table_name = 'ledger'`,
		} {
			for _, values := range d.column(query) {
				s.kept[values] = true
			}
		}
		if halves := d.column("SELECT substr(id, 1, length(id) - 2) FROM pair GROUP BY 1 HAVING count(*) <> 2 OR min(n) <> max(n)"); len(halves) > 0 {
			s.Fatalf("%s shows one half of what was written together %v", d.name, halves)
		}
	}
}

// carried reports whether all that the device has published is with the courier.
func (d *Device) carried() bool {
	own := "devices/" + d.id() + "/"
	if d.away != nil {
		return false
	}
	for name, info := range d.files() {
		if k := d.known[name]; strings.HasPrefix(name, own) && (k.info == nil || !unchanged(info, k.info)) {
			return false
		}
	}
	return true
}

// weaken notes that a device has forgotten what was in no folder; and with files that were deleted, what was in one.
func (s *simulation) weaken(d *Device) {
	gone := s.hits[Delete]+s.hits[DeleteDevice]+s.hits[Revert] > 0
	for _, w := range s.writes {
		w.weak = w.weak || w.by == d && (!w.synced || gone)
	}
}

// verify checks that nothing that was written into the ledger got lost.
func (s *simulation) verify() {
	shows, seen := make(map[string]bool), make(map[string]*write)
	for _, value := range s.devices[0].column("SELECT value FROM ledger") {
		shows[value] = true
	}
	for _, w := range s.writes {
		if w.over != "" && (seen[w.over] == nil || seen[w.over].weak) {
			seen[w.over] = w
		}
	}
	kept := strings.Join(slices.Sorted(maps.Keys(s.kept)), "\n")
	for _, w := range s.writes {
		switch over := seen[w.value]; {
		case w.value == "" || w.weak && !shows[w.value]:
		case shows[w.value] && over != nil && !over.weak:
			s.Fatalf("%q shows, though %s had written %q over it", w.value, over.by.name, over.value)
		case !shows[w.value] && over == nil && !strings.Contains(kept, w.value):
			s.Fatalf("%q, which %s has written over %q into %s, is lost", w.value, w.by.name, w.over, w.row)
		}
	}
	for d, n := range s.pairs {
		if s.losses[d] == 0 && slices.Contains(s.devices, d) && !s.has(d, "SELECT count(*) = 2 AND max(n) = ? FROM pair WHERE id GLOB ?", n, s.owner[d]+" *") {
			s.Fatalf("the pair of %s is not what it has written last", d.name)
		}
	}
}

// count adds the run to what was tried.
func (s *simulation) count(total *tally) {
	total.schedules++
	total.devices += len(s.devices)
	total.statements += s.tried.statements
	total.passes += s.tried.passes
	total.conflicts += len(s.kept)
	for f, n := range s.hits {
		total.faults[f] += n
	}
}
