package sqlitesync

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
)

var (
	logsFrom  = flag.Uint64("logs.from", 1, "the first seed of TestLogsAtRandom")
	logsSeeds = flag.Int("logs.seeds", 1, "how many seeds TestLogsAtRandom runs")
)

// Whatever the order of writing, reading, compaction, joining, of deleting files
// of the folder, of restoring and cloning databases: everybody sees the same rows,
// those that are deleted stay so, and what was published is not lost: the rows of
// the diary, which only the device writes that made them, are what it wrote last.
//
//	go test ./sqlitesync -run TestLogsAtRandom -logs.from=1000 -logs.seeds=100
func TestLogsAtRandom(t *testing.T) {
	long(t)
	for n := range *logsSeeds {
		seed := *logsFrom + uint64(n)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			run := &logsRun{t: t, Rand: rand.New(rand.NewPCG(seed, 1)), diary: make(map[string]int)}
			defer func() {
				if t.Failed() {
					t.Logf("%s\nAgain: go test ./sqlitesync -run TestLogsAtRandom -logs.from=%d -logs.seeds=1", strings.Join(run.history, "\n"), seed)
				}
			}()
			run.all()
		})
	}
}

const logsSchema = `CREATE TABLE plan (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT);
	CREATE TABLE task (id TEXT PRIMARY KEY NOT NULL, plan INTEGER REFERENCES plan ON DELETE CASCADE, n REAL);
	CREATE TABLE diary (id TEXT PRIMARY KEY NOT NULL, n INTEGER, blob BLOB)`

type logsRun struct {
	t *testing.T
	*rand.Rand
	clock   *testClock
	devices []*testDevice
	owner   []string // by device, whose rows of the diary it writes
	backups []backup // by device
	diary   map[string]int
	history []string
}

type backup struct {
	path string
	keys []byte
	id   DeviceID
}

func (run *logsRun) note(n int, format string, args ...any) {
	run.history = append(run.history, fmt.Sprintf("%d  %s", n, fmt.Sprintf(format, args...)))
}

func (run *logsRun) all() {
	first := newTestDevice(run.t, logsSchema)
	first.exec("INSERT INTO plan VALUES (1, 'c1', 'there before'), (2, 'c2', 'there before'), (3, 'c3', 'there before')")
	first.create(run.t.TempDir())
	run.clock = newTestClock()
	run.add(first)
	second := newTestDevice(run.t, logsSchema)
	second.exec("INSERT INTO plan VALUES (2, 'c2', 'there too'), (4, 'c1', 'there too')")
	second.options.Existing = MergeExisting
	second.join(first.folder, first.invite())
	run.add(second)
	for range 300 {
		run.step(run.IntN(len(run.devices)))
		tick()
	}
	run.settle()
	late := newTestDevice(run.t, logsSchema)
	late.join(first.folder, run.devices[0].invite())
	run.add(late)
	run.settle()
	run.check()
}

func (run *logsRun) add(d *testDevice) {
	run.owner = append(run.owner, fmt.Sprint("of ", len(run.devices)))
	run.backups = append(run.backups, backup{})
	run.devices = append(run.devices, d)
	run.setClocks(d)
}

// setClocks lets all clocks of a device show what the test says: what is waited for a minute is not waited for in vain.
func (run *logsRun) setClocks(d *testDevice) {
	run.clock.give(d)
	d.environment.Steady = run.clock.read
}

// settle lets all compactions, and what was deleted, come to rest.
func (run *logsRun) settle() {
	for range 8 {
		for _, d := range run.devices {
			_ = d.trySync() // the folder lacks what was deleted
		}
		run.clock.pass(graceTime)
	}
	for range 12 { // what a device has lost that is another one now, an admin's relays after a week, and a day for each admin before it
		if !slices.ContainsFunc(run.devices, func(d *testDevice) bool { return len(d.syncer.Status().Waiting) > 0 }) {
			return
		}
		for _, d := range run.devices {
			_ = d.trySync()
		}
		run.clock.pass(relayTurn)
	}
}

// wantHealthy is that of d, except that it may wait for what a device has lost that is another one now.
func (run *logsRun) wantHealthy(d *testDevice) {
	status := d.syncer.Status()
	if len(status.Waiting) == 0 || status.Err != nil {
		d.wantHealthy()
	}
	for _, w := range status.Waiting {
		if slices.ContainsFunc(run.devices, func(other *testDevice) bool { return other.id() == w.Device }) {
			run.t.Errorf("device %s waits for batch %d of %s, which could make it again", d.id().Short(), w.Batch, w.Device.Short())
		}
	}
}

func (run *logsRun) check() {
	wantSame(run.t, run.devices)
	for n, d := range run.devices {
		run.wantHealthy(d)
		if got := len(d.segments()); got > 64 {
			run.t.Errorf("device %d: %d segments stand at rest", n, got)
		}
		d.wantValue(fmt.Sprint(len(run.diary)), "SELECT count(*) FROM diary")
		for _, id := range slices.Sorted(maps.Keys(run.diary)) {
			d.wantValue(fmt.Sprint(run.diary[id]), "SELECT n FROM diary WHERE id = ?", id)
		}
	}
}

func (run *logsRun) step(i int) {
	d := run.devices[i]
	switch k := run.IntN(40); {
	case k < 14:
		statement := run.statement()
		_, err := d.db.Exec(statement) // a parent may be missing
		run.note(i, "%s -- %v", statement, err)
	case k < 20:
		run.keepDiary(i)
	case k < 30:
		run.sync(i)
	case k < 33:
		run.note(i, "compact")
		d.compactNext()
		run.sync(i)
	case k < 34:
		run.clock.pass(graceTime)
		run.note(i, "an hour passes")
	case k < 35:
		run.note(i, "reopen")
		run.sync(i)
		d.reopen()
	case k < 37:
		run.lose(i)
	case k < 38:
		run.backUp(i)
	case k < 39:
		run.restore(i)
	case len(run.devices) < 6 && run.IntN(3) == 0:
		run.note(i, "clone")
		twin := copyOf(d)
		twin.open()
		run.add(twin)
	}
}

func (run *logsRun) sync(i int) {
	err := run.devices[i].trySync()
	run.note(i, "sync %s -- %v", run.devices[i].id().Short(), err)
}

func (run *logsRun) statement() string {
	n, m := run.IntN(12), run.IntN(12)
	return []string{
		fmt.Sprintf("INSERT OR REPLACE INTO plan VALUES (%d, 'c%d', 'note %d')", n, m, run.IntN(1000)),
		fmt.Sprintf("UPDATE plan SET note = 'edit %d' WHERE id = %d", run.IntN(1000), n),
		fmt.Sprintf("DELETE FROM plan WHERE id = %d", n),
		fmt.Sprintf("INSERT OR IGNORE INTO task VALUES ('t%d', %d, %d.5)", m, n, run.IntN(100)),
		fmt.Sprintf("UPDATE task SET n = n + 1 WHERE id = 't%d'", m),
		fmt.Sprintf("DELETE FROM task WHERE id = 't%d'", m),
	}[run.IntN(6)]
}

// keepDiary writes a row that no other device writes.
func (run *logsRun) keepDiary(i int) {
	id, d := fmt.Sprint(run.owner[i], ", ", run.IntN(5)), run.devices[i]
	if _, there := run.diary[id]; there && run.IntN(4) == 0 && d.value("SELECT count(*) FROM diary WHERE id = ?", id) == "1" { // one that was restored may not have read it again yet
		d.exec("DELETE FROM diary WHERE id = ?", id)
		delete(run.diary, id)
		run.note(i, "delete %s", id)
		return
	}
	n := run.IntN(1000)
	d.exec("INSERT INTO diary VALUES (?1, ?2, NULL) ON CONFLICT DO UPDATE SET n = ?2", id, n)
	run.diary[id] = n
	run.note(i, "diary %s %d", id, n)
}

// lose deletes segments of a device that were not deleted too often before.
func (run *logsRun) lose(i int) {
	d := run.devices[i]
	if slices.ContainsFunc(run.devices, func(other *testDevice) bool { return other != d && other.id() == d.id() }) {
		return // which of the clones has published would not be seen any more
	}
	run.sync(i)
	run.sync(i)
	if run.IntN(2) == 0 {
		run.share(i)
	}
	lost := d.column("SELECT name FROM sqlitesync_segments WHERE state = 2 AND replaced IS NULL AND lost < 2")
	for _, name := range lost {
		if run.IntN(3) == 0 {
			run.note(i, "lose %s", name)
			_ = os.Remove(filepath.Join(d.directory(), name)) // it may be gone already
		}
	}
}

// share lets a few batches of a device be as if they had values in pieces.
func (run *logsRun) share(i int) {
	d := run.devices[i]
	standing, err := d.syncer.ownSegments(run.t.Context(), "state = 2 AND replaced IS NULL AND unit = 0 AND lost < 2")
	must(run.t, err)
	standing = slices.DeleteFunc(standing, func(own ownSegment) bool { return own.name.Generation > 0 })
	if len(standing) == 0 {
		return
	}
	standing = standing[run.IntN(len(standing)):]
	first := standing[0].name.First
	for n, own := range standing {
		if n == 3 || own.name.First != first+uint64(n) {
			break
		}
		_, err := d.syncer.handle.conn.Exec(run.t.Context(), "UPDATE sqlitesync_segments SET unit = ? WHERE name = ?", int64(first), own.name.String())
		must(run.t, err)
	}
	run.note(i, "share from batch %d", first)
}

func (run *logsRun) backUp(i int) {
	d := run.devices[i]
	b := backup{path: filepath.Join(run.t.TempDir(), "backup.db"), id: d.id()}
	d.exec("VACUUM INTO ?", b.path)
	var err error
	b.keys, err = d.options.Keys.Load(run.t.Context(), d.id().String())
	must(run.t, err)
	run.backups[i] = b
	run.note(i, "back up %s", d.id().Short())
}

// restore puts back a backup, sometimes with the keys of then.
func (run *logsRun) restore(i int) {
	d, b := run.devices[i], run.backups[i]
	if b.path == "" {
		return
	}
	run.sync(i)
	if err := d.trySync(); err != nil {
		return // what it has to say may not be out
	}
	run.note(i, "restore %s", b.id.Short())
	d.restore(b.path)
	if run.IntN(2) == 0 {
		run.note(i, "with its keys")
		must(run.t, d.options.Keys.Save(run.t.Context(), b.id.String(), b.keys))
	}
	d.open()
	run.setClocks(d)
	for range 4 { // before it writes over what it has not read yet
		run.sync(i)
		run.clock.pass(vanishedTime)
	}
}
