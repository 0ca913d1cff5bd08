package sqlitesync

import (
	"database/sql"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/sqlitesync/go/sqlitesync/internal/workload"
)

var (
	stressFrom  = flag.Uint64("stress.from", 1, "the first seed of TestStress")
	stressSeeds = flag.Int("stress.seeds", 1, "how many seeds TestStress runs")
	stressSteps = flag.Int("stress.steps", 200, "how many steps TestStress takes with each seed")
)

// TestStress lets three devices do at random what apps do: write through
// references, unique values, triggers and a full-text index, in transactions and
// savepoints that they roll back too, change the schema one by one, with Migrate
// and without, leave a table out for a while, break passes off, restart, VACUUM,
// write their logs anew, lose parts of them, are restored from backups.
// In the end all show the same, and a fourth one that joins does too; the rows of
// the diary, which only the device writes that made them, are what it wrote last.
//
//	go test ./sqlitesync -run TestStress -stress.from=1000 -stress.seeds=100
func TestStress(t *testing.T) {
	for n := range *stressSeeds {
		seed := *stressFrom + uint64(n)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed) // ids of devices decide between edits of one time
			run := &stressRun{t: t, Workload: workload.New(rand.New(rand.NewPCG(seed, 0)))}
			defer func() {
				if t.Failed() {
					t.Logf("%s\nAgain: go test ./sqlitesync -run TestStress -stress.from=%d -stress.seeds=1 -stress.steps=%d",
						strings.Join(run.history, "\n"), seed, *stressSteps)
				}
			}()
			run.all(seed)
		})
	}
}

// stressDevice is a device and what its app knows.
type stressDevice struct {
	*testDevice
	n        int
	other    *sql.DB // the handle of another program
	enforced bool    // foreign keys
	version  int     // how many of the migrations it has run
	diary    map[string]stressPage
	made     int
	// rebuilt: the diary was made anew without Migrate and no pass has followed,
	// so what is deleted now comes back.
	rebuilt bool
	left    bool // the diary is left out
	// behind is how far the migrations were before a backup was restored. Pages
	// that were written then, under other names, may not show before.
	behind int
	unsent map[string]bool // pages that were made since the last pass
	backup *stressBackup
}

// stressPage is a row of the diary.
type stressPage struct{ body, slug string }

type stressRun struct {
	t *testing.T
	*workload.Workload
	clock   *testClock
	devices []*stressDevice
	history []string
}

func (run *stressRun) pick(choices ...string) string { return choices[run.IntN(len(choices))] }

// note remembers a step.
func (run *stressRun) note(d *stressDevice, format string, args ...any) {
	run.history = append(run.history, fmt.Sprintf("%d  %s", d.n, fmt.Sprintf(format, args...)))
}

// all runs everything with one seed.
func (run *stressRun) all(seed uint64) {
	run.clock = newTestClock()
	for n := range 3 {
		run.devices = append(run.devices, run.newDevice(n, n < 2 || seed%3 > 0))
	}
	for range *stressSteps {
		run.step(run.devices[run.IntN(3)])
		tick() // so that the seed alone says which edit is the newer one
	}
	for _, d := range run.devices {
		run.include(d)
		for d.version < len(run.Migrations) {
			run.migrate(d)
			if run.IntN(2) == 0 {
				run.sync(d)
			}
		}
	}
	run.settle()
	run.check("in the end")
	for _, d := range run.devices {
		d.reopen()
	}
	wantQuiet(run.t, run.tested()...)
	run.check("after a restart")
	if !run.t.Failed() {
		run.joinAnother()
	}
}

// newDevice makes a device that has founded or joined the space.
func (run *stressRun) newDevice(n int, enforced bool) *stressDevice {
	d := &stressDevice{testDevice: newTestDevice(run.t, run.Schema()), n: n, enforced: enforced, diary: make(map[string]stressPage), unsent: make(map[string]bool)}
	d.options.Exclude = workload.Local
	run.clock.give(d.testDevice)
	must(run.t, d.db.Close())
	run.handles(d)
	if n == 0 {
		d.create(run.t.TempDir())
	} else {
		d.join(run.devices[0].folder, run.devices[0].invite())
	}
	return d
}

// handles opens the handles of the app and of the other program.
func (run *stressRun) handles(d *stressDevice) {
	open := func(pragma string) *sql.DB {
		db, err := sql.Open("sqlite", dataSource(d.path, "busy_timeout(5000)", fmt.Sprintf("foreign_keys(%t)", d.enforced), pragma))
		must(run.t, err)
		db.SetMaxOpenConns(1) // so that BEGIN and COMMIT may be statements like any other
		run.t.Cleanup(func() { db.Close() })
		return db
	}
	d.db, d.other = open("recursive_triggers(1)"), open("recursive_triggers(0)")
}

// step does one thing.
func (run *stressRun) step(d *stressDevice) {
	switch k := run.IntN(49); {
	case k < 15:
		run.write(d)
	case k < 19:
		run.transaction(d)
	case k < 24:
		run.keepDiary(d)
	case k < 34:
		run.sync(d)
	case k < 36:
		run.breakOff(d)
	case k < 37:
		run.note(d, "reopen")
		d.reopen()
	case k < 38:
		run.note(d, "VACUUM")
		d.exec("VACUUM")
	case k < 39 && d.left:
		run.include(d)
	case k < 39 && run.IntN(2) == 0:
		run.note(d, "leave out the diary")
		d.options.Exclude, d.left = slices.Concat(workload.Local, []string{"diary", "journal"}), true
		d.reopen()
	case k < 41 && d.version < len(run.Migrations):
		for more := true; more && d.version < len(run.Migrations); more = run.IntN(3) == 0 {
			run.migrate(d)
		}
	case k < 42 && d.version < len(run.Migrations):
		script := run.Script(d.version, true)
		run.note(d, "rolled back: %s", script)
		run.alone(d, "BEGIN; "+script+"ROLLBACK")
	case k >= 44 && k < 46:
		run.note(d, "compact")
		d.compactNext()
		run.sync(d)
	case k == 46:
		run.lose(d)
	case k == 47:
		run.backUp(d)
	case k == 48:
		run.restore(d)
	}
}

// include lets the diary take part again.
func (run *stressRun) include(d *stressDevice) {
	if d.left {
		run.note(d, "take in the diary")
		d.options.Exclude, d.left = workload.Local, false
		d.reopen()
	}
}

func (run *stressRun) sync(d *stressDevice) {
	run.note(d, "sync")
	d.rebuilt = d.rebuilt && d.left
	if err := d.trySync(); err != nil {
		run.t.Fatalf("device %d: %v", d.n, err)
	}
	if d.version >= d.behind {
		d.behind = 0
	}
	if !d.left {
		clear(d.unsent)
		if d.backup != nil {
			d.backup.unsent = nil
		}
	}
}

// breakOff begins a pass and does not end it; sometimes the process ends too.
func (run *stressRun) breakOff(d *stressDevice) {
	run.note(d, "a pass that is broken off")
	d.rebuilt = d.rebuilt && d.left
	s, ctx := d.syncer, run.t.Context()
	s.whole = false
	err := s.transactAnyway(ctx, func() error { return s.captureNow(ctx) })
	if err == nil && run.IntN(2) == 0 {
		err = s.reconcile(ctx)
	}
	must(run.t, err)
	if run.IntN(2) == 0 {
		run.note(d, "the process ends")
		s.end()
		must(run.t, s.release())
		d.open()
	}
}

func (run *stressRun) tested() (devices []*testDevice) {
	for _, d := range run.devices {
		devices = append(devices, d.testDevice)
	}
	return devices
}

func (run *stressRun) settle() {
	for range 3 {
		settle(run.tested()...)
	}
}

// joinAnother lets a device join that has no rows yet.
func (run *stressRun) joinAnother() {
	d := &stressDevice{testDevice: newTestDevice(run.t, run.Schema()), n: 3, enforced: true}
	for ; d.version < len(run.Migrations); d.version++ {
		run.alone(d, "BEGIN; "+run.Script(d.version, false)+"COMMIT")
	}
	d.options.Exclude = workload.Local
	d.join(run.devices[0].folder, run.devices[0].invite())
	run.devices = append(run.devices, d)
	run.settle()
	run.check("after another one has joined")
}

// check compares what the devices show with each other and with their diaries.
func (run *stressRun) check(when string) {
	run.t.Helper()
	first := run.devices[0]
	tables := []string{run.Area(first.version), run.Project(first.version), "task", "note", "tag", "entry", run.Diary(first.version)}
	pages := make(map[string]stressPage)
	for _, d := range run.devices {
		maps.Copy(pages, d.diary)
	}
	for _, d := range run.devices {
		if s := d.syncer.Status(); len(s.Problems) > 0 || len(s.Waiting) > 0 || s.Behind > 0 || s.Pending > 0 {
			run.t.Errorf("%s: device %d: problems %v, waiting %v, behind %d, pending %d", when, d.n, s.Problems, s.Waiting, s.Behind, s.Pending)
		}
		for _, table := range tables {
			if want, got := first.dump(table), d.dump(table); want != got {
				run.t.Errorf("%s: device %d shows\n%s\nand device 0\n%s", when, d.n, got, want)
			}
		}
		d.wantValue("ok", "PRAGMA integrity_check")
		d.exec("INSERT INTO note_fts (note_fts, rank) VALUES ('integrity-check', 1)")
		d.wantValue("0", `SELECT count(*) FROM pragma_foreign_key_check WHERE "table" <> 'pin' OR ?`, d.enforced)
		d.wantValue(strings.Join(slices.Sorted(maps.Keys(pages)), ","), "SELECT coalesce(group_concat(k), '') FROM (SELECT "+run.Key(first.version)+" AS k FROM "+run.Diary(first.version)+" ORDER BY k)")
		for _, id := range slices.Sorted(maps.Keys(pages)) {
			d.wantValue(pages[id].body+"/"+pages[id].slug,
				"SELECT "+run.Body(first.version)+" || '/' || slug FROM "+run.Diary(first.version)+" WHERE "+run.Key(first.version)+" = ?", id)
		}
	}
}
