package sqlitesync

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The tests in this file run those schedules of the design's review that have to do with the folder; hazards_folder_test.go
// lists them all.

// compactNow lets devices write anew what can be, and the time of grace go by.
func compactNow(clock *testClock, devices ...*testDevice) {
	for _, d := range devices {
		d.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
	}
	quietDown(clock, devices...)
}

// A row is deleted, everybody knows it, and the logs are compacted. A device is lost and its directory rewound by a year, a
// device that was away returns with edits of its own, a newcomer reads in two sittings with another compaction in between: the
// row comes back nowhere.
func TestADeleteOutlivesCompactionsRewindsAndSittings(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, lost, away := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	lost.exec("INSERT INTO item VALUES ('x', 'dear', 1), ('y', 'dear', 1), ('z', 'dear', 1)")
	settle(devices...)
	year := t.TempDir()
	copyTree(t, a.folder, year)
	away.close()
	for i := range 3 {
		away.execAt(time.Now().AddDate(-1, 0, 0), "INSERT INTO item VALUES (?, 'away', 1)", fmt.Sprint("away ", i))
	}
	away.execAt(time.Now().AddDate(-1, 0, 0), "UPDATE item SET name = 'edited a year ago' WHERE id = 'x'")

	a.exec("DELETE FROM item WHERE id IN ('x', 'y')")
	a.exec("UPDATE item SET name = 'edited' WHERE id = 'z'")
	settle(a, lost)
	for range 12 {
		clock.pass(30 * 24 * time.Hour)
		a.exec("UPDATE item SET n = n + 1 WHERE id = 'z'")
		compactNow(clock, a, lost)
	}
	lostID := lost.id().String()
	lost.close()
	theirs := filepath.Join("devices", lostID)
	must(t, os.RemoveAll(filepath.Join(a.folder, theirs)))
	copyTree(t, filepath.Join(year, theirs), filepath.Join(a.folder, theirs)) // the rewind

	a.tolerates = errFalseHead // which the rewind brought back

	newcomer := newTestDevice(t, itemSchema)
	clock.give(newcomer)
	code := a.invite()
	hidden := filepath.Join(t.TempDir(), "hidden")
	must(t, os.Rename(a.directory(), hidden)) // not downloaded yet
	newcomer.join(a.folder, code)
	newcomer.wantValue("dear", "SELECT name FROM item WHERE id = 'x'") // as the folder says so far
	must(t, os.RemoveAll(a.directory()))
	must(t, os.Rename(hidden, a.directory()))
	a.exec("UPDATE item SET n = -1 WHERE id = 'z'")
	compactNow(clock, a)
	away.open()
	clock.give(away)
	rest := []*testDevice{a, newcomer, away}
	settle(rest...)
	compactNow(clock, rest...)
	wantSame(t, rest)
	wantEverywhere("0", "SELECT count(*) FROM item WHERE id IN ('x', 'y')", rest...)
	wantEverywhere("3", "SELECT count(*) FROM item WHERE name = 'away'", rest...)
	wantEverywhere("-1", "SELECT n FROM item WHERE id = 'z'", rest...)
}

// Two devices whose logs each name what the other has in the middle of a range: a newcomer takes the ranges as they stand, and
// waits for neither. A child whose parent was edited later, and so stands in a later range, shows at the end.
func TestRangesThatHaveSeenEachOtherWaitForNobody(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE plan (id INTEGER PRIMARY KEY, note TEXT);
		CREATE TABLE task (id INTEGER PRIMARY KEY, plan INTEGER NOT NULL REFERENCES plan, note TEXT)`
	a, b := newPair(t, schema)
	clock := newTestClock(a, b)
	for i := range 10 {
		a.exec("INSERT INTO plan VALUES (?, 'new')", 2*i)
		a.exec("INSERT INTO task VALUES (?1, ?1, 'of a')", 2*i)
		settle(a, b)
		b.exec("INSERT INTO plan VALUES (?, 'new')", 2*i+1)
		b.exec("INSERT INTO task VALUES (?1, ?1, 'of b'), (?1 + 100, ?1 - 1, 'of b')", 2*i+1)
		settle(b, a)
	}
	compactNow(clock, a) // the children are in a range
	a.exec("UPDATE plan SET note = 'edited'")
	settle(a, b)
	compactNow(clock, b)
	for _, d := range []*testDevice{a, b} {
		if name := d.segments()[0]; strings.HasSuffix(name, "-0000.seg") {
			t.Fatalf("%s is no range", name)
		}
	}
	newcomer := newTestDevice(t, schema)
	clock.give(newcomer)
	newcomer.join(a.folder, a.invite())
	newcomer.sync()
	newcomer.wantHealthy()
	wantSame(t, []*testDevice{a, b, newcomer})
	newcomer.wantValue("30", "SELECT count(*) FROM task")
	if n := newcomer.syncer.Status().Held; n != 0 {
		t.Errorf("%d rows are held", n)
	}
}

// Of the files that hold the next batch, the one that begins there is read, of those the one of the highest generation.
func TestFollowing(t *testing.T) {
	t.Parallel()
	name := func(first, last uint64, generation uint32) folder.SegmentName {
		return folder.SegmentName{First: first, Last: last, Generation: generation}
	}
	names := []folder.SegmentName{
		name(1, 1, 0), name(1, 8, 1), name(1, 8, 2), name(3, 3, 0), name(3, 4, 1), name(3, 4, 7), name(9, 9, 0),
	}
	for position, want := range map[uint64][]folder.SegmentName{
		0: {name(1, 8, 2), name(1, 8, 1), name(1, 1, 0)},
		1: {name(1, 8, 2), name(1, 8, 1)},
		2: {name(3, 4, 7), name(3, 4, 1), name(3, 3, 0), name(1, 8, 2), name(1, 8, 1)},
		3: {name(3, 4, 7), name(3, 4, 1), name(1, 8, 2), name(1, 8, 1)},
		7: {name(1, 8, 2), name(1, 8, 1)},
		8: {name(9, 9, 0)},
		9: nil,
	} {
		if got := following(names, position); !slices.Equal(got, want) {
			t.Errorf("after %d: %v, want %v", position, got, want)
		}
	}
}

// On some systems a watcher opens every file of the directory, and closing one drops the locks that SQLite has on it.
func TestNothingWatchesTheDatabase(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	dirs := a.syncer.directories()
	if len(dirs) < 4 {
		t.Errorf("only %q are watched", dirs)
	}
	for _, dir := range dirs {
		if dir != a.folder && !strings.HasPrefix(dir, a.folder+string(os.PathSeparator)) {
			t.Errorf("%s is watched, which is not in the folder", dir)
		}
		if inside, err := folder.Contains(dir, a.path); err != nil || inside {
			t.Errorf("%s is watched, and holds the database (%v)", dir, err)
		}
	}
}

// A device that has been in a drawer for a year costs the others nothing: their outboxes are empty, and their logs short.
func TestADeviceInADrawerCostsNothing(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, drawer := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	drawer.close()
	a.writeBatches(3*maxLive, func(i int) string {
		return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'written %d', %d) ON CONFLICT DO UPDATE SET name = excluded.name", i%5, i, i)
	})
	a.exec("DELETE FROM item WHERE id = '3'")
	quietDown(clock, a, b)
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_segments WHERE sealed IS NOT NULL")
	if n := len(a.segments()); n > maxLive+1 {
		t.Errorf("%d segments stand", n)
	}
	drawer.open()
	clock.give(drawer)
	settle(devices...)
	wantSame(t, devices)
	drawer.wantHealthy()
}
