package sqlitesync

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
)

// Somebody deletes a device's segments from the folder: they are made again from
// what it knows, and those who had not read them get all of it.
func TestVanishedSegmentsAreMadeAgain(t *testing.T) {
	const schema = itemSchema + `; CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)`
	a := newTestDevice(t, schema)
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO note SELECT i, 'there before ' || i FROM n")
	a.create(t.TempDir())
	a.sync()
	b := newTestDevice(t, schema)
	b.join(a.folder, a.invite())
	clock := newTestClock(a, b)
	write := func(i int) string {
		return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'written %d', %d) ON CONFLICT DO UPDATE SET name = excluded.name", i%7, i, i)
	}
	a.writeBatches(10, write)
	settle(a, b)
	a.exec("UPDATE note SET text = 'edited' WHERE id < 10")
	a.exec("DELETE FROM note WHERE id = 20")
	a.writeBatches(10, write)
	a.exec("ALTER TABLE note ADD COLUMN more TEXT DEFAULT 'x'")
	a.exec("UPDATE note SET more = 'm' WHERE id = 30")
	a.sync()
	a.sync() // it has found what it has published

	for _, path := range a.segments() {
		must(t, os.Remove(path))
	}
	if err := a.trySync(); err == nil {
		t.Error("nothing was said of segments that are gone")
	}
	wantText(t, a.problem(), "are gone")
	clock.pass(vanishedTime)
	for range 3 {
		_ = a.trySync() // as many as one pass makes again
		clock.pass(vanishedTime)
	}
	a.sync()
	a.wantHealthy()
	settle(a, b)
	b.wantHealthy()
	b.exec("ALTER TABLE note ADD COLUMN more TEXT DEFAULT 'x'")
	settle(a, b)
	late := newTestDevice(t, schema+"; ALTER TABLE note ADD COLUMN more TEXT DEFAULT 'x'")
	late.join(a.folder, a.invite())
	settle(a, b, late)
	wantSame(t, []*testDevice{a, b, late})
	late.wantHealthy()
	late.wantValue("49", "SELECT count(*) FROM note WHERE text LIKE 'there%' OR id < 10")
}

// A file goes that holds a part of a large value: what counts of it goes out in new
// batches, also what stood there before sync. Who deletes these again is named in the end.
func TestVanishedPartsOfLargeValuesAreMadeAgain(t *testing.T) {
	long(t)
	t.Parallel()
	const schema = `CREATE TABLE file (id TEXT PRIMARY KEY NOT NULL, content BLOB, name TEXT)`
	large := func(letter string) string { return strings.Repeat(letter, 17<<20) }
	a := newTestDevice(t, schema)
	a.exec("INSERT INTO file VALUES ('before', ?, 'x')", large("b"))
	a.create(t.TempDir())
	a.sync()
	b := newTestDevice(t, schema)
	b.join(a.folder, a.invite())
	clock := newTestClock(a, b)
	settle(a, b)
	a.exec("INSERT INTO file VALUES ('one', ?, 'x'), ('two', ?, 'x'), ('three', ?, 'x')", large("1"), large("2"), large("3"))
	a.sync()
	a.exec("UPDATE file SET content = 'small' WHERE id = 'two'; DELETE FROM file WHERE id = 'three'")
	settle(a, b)
	settle(a, b)
	b.exec("UPDATE file SET name = 'of b' WHERE id = 'one'")
	b.sync() // later than what goes out again, and overrules it

	for round := range maxLost + 1 {
		gone := 0
		for _, path := range a.segments() {
			if info, err := os.Stat(path); err == nil && info.Size() > 1000 && gone < 2 { // one of each unit
				must(t, os.Remove(path))
				gone++
			}
		}
		if gone == 0 {
			t.Fatal("no segment was to be deleted")
		}
		_ = a.trySync()
		clock.pass(vanishedTime)
		err := a.trySync()
		if round == maxLost {
			wantText(t, err, "deleted again")
			return
		}
		a.sync()
		a.sync()
		a.wantHealthy()
		b.sync()
		if round < maxLost-1 {
			continue
		}
		late := newTestDevice(t, schema)
		late.join(a.folder, a.invite())
		settle(a, b, late)
		wantSame(t, []*testDevice{a, b, late})
		late.wantValue("2", "SELECT count(*) FROM file WHERE length(content) = 17 << 20")
		late.wantValue("of b", "SELECT name FROM file WHERE id = 'one'")
	}
}

// share lets all segments of a device from a batch on be as if they had values in pieces.
func (d *testDevice) share(first uint64) {
	d.tb.Helper()
	_, err := d.syncer.handle.conn.Exec(d.tb.Context(), "UPDATE sqlitesync_segments SET unit = ? WHERE name >= ?", int64(first), segmentName(first))
	must(d.tb, err)
}

// Files go that a range is about to take the place of: nothing is to be made again.
func TestWhatARangeTakesThePlaceOfIsNotMissed(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared=", shared), func(t *testing.T) {
			a := newTestDevice(t, itemSchema)
			a.create(t.TempDir())
			clock := newTestClock(a)
			a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES (%d, 'x', 1)", i) })
			if shared {
				a.share(1)
			}
			a.exec("DELETE FROM item")
			a.sync()
			a.sync() // it has found what it has published
			f, err := a.syncer.openFolder()
			must(t, err)
			a.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
			must(t, a.syncer.compact(t.Context(), f)) // and the process dies before it publishes
			must(t, f.Close())
			a.reopen()
			must(t, os.Remove(a.segments()[0]))
			a.sync() // publishes the range
			clock.pass(vanishedTime)
			a.sync() // finds it
			a.wantHealthy()
			clock.pass(graceTime)
			a.sync()
			if n := len(a.segments()); n != 1 {
				t.Errorf("%d segments stand, want the range alone", n)
			}
		})
	}
}

// A row that was made again, while another device has written to it, is the same row.
func TestWhatIsMadeAgainIsNoCollision(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	settle(a, b)
	a.share(1)
	b.exec("UPDATE item SET name = 'of b'")
	must(t, os.Remove(a.lastSegment()))
	_ = a.trySync()
	clock.pass(vanishedTime)
	_ = a.trySync()
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("of b", "SELECT name FROM item")
	for _, d := range []*testDevice{a, b} {
		for _, conflict := range d.conflicts() {
			if conflict.Collision {
				t.Errorf("%v counts as two rows", conflict.Key)
			}
		}
	}
}

// The device is lost while it makes segments again: who enters then has the rows that stood in other files of the unit, and
// those of the baseline, or is told that there is something to wait for.
func TestADeviceIsLostWhileItMakesSegmentsAgain(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	f := new(faults)
	f.give(a)
	a.exec("INSERT INTO item VALUES ('before', 'x', 1)")
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.sync()
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES (%d, 'x', 1)", i) })
	a.sync()
	code := a.invite()
	for _, what := range []string{"the baseline", "a part"} {
		lose := segmentName(1)
		if what == "a part" {
			a.share(2)
			lose = segmentName(3)
		}
		must(t, os.Remove(filepath.Join(a.directory(), lose)))
		_ = a.trySync()
		clock.pass(vanishedTime)
		var folders []string
		before := a.segments()
		f.between(func(_ string, perform func() error) error {
			err := perform()
			if now := a.segments(); !slices.Equal(now, before) {
				folders, before = append(folders, t.TempDir()), now
				copyTree(t, a.folder, folders[len(folders)-1])
			}
			return err
		})
		_ = a.trySync()
		f.between(nil)
		if len(folders) < 2 {
			t.Errorf("%s: only %d moments to be lost in", what, len(folders))
		}
		for i, folder := range folders {
			late := newTestDevice(t, itemSchema)
			late.join(folder, code)
			_ = late.trySync()
			if rows := late.value("SELECT count(*) FROM item"); rows != "4" && len(late.syncer.Status().Waiting) == 0 {
				t.Errorf("%s, moment %d: %s rows, and nothing that is waited for", what, i, rows)
			}
		}
		a.sync()
		a.wantHealthy()
	}
}

// What was made again, and is not published, goes out as another device's if the database turns out to be a copy: under an
// id that may come before the old one, which a birth must not be newer than.
func TestACopySendsWhatWasMadeAgain(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			clock := newTestClock(a, b)
			a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
			settle(a, b)
			a.share(1)
			must(t, os.Remove(a.lastSegment()))
			_ = a.trySync()
			clock.pass(vanishedTime)
			f, err := a.syncer.openFolder()
			must(t, err)
			must(t, a.syncer.confirm(t.Context(), f, &problems{}))
			must(t, a.syncer.succeed(t.Context(), f, foundFolder))
			must(t, f.Close())
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			b.wantValue("1", "SELECT count(*) FROM item")
		})
	}
}

// What waits in the outbox can be sealed anew, and has another tail then.
func TestAUnitThatIsNotPublishedIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.exec("INSERT INTO item VALUES ('x', 'published', 1)")
	a.sync()
	a.sync()
	a.exec("INSERT INTO item VALUES ('y', 'pending', 1)")
	must(t, a.syncer.prepare(t.Context()))
	a.share(1)
	found, err := a.syncer.ownSegments(t.Context(), "true")
	must(t, err)
	if len(found) != 2 {
		t.Fatalf("%d segments", len(found))
	}
	wantText(t, a.syncer.refill(t.Context(), found[0]), "not published yet")
	a.sync()
	a.sync()
	must(t, a.syncer.refill(t.Context(), found[0]))
}

// What another program has cut off, or replaced, long after it was found is made
// again too: nobody else could read it.
func TestSpoiltSegmentsAreMadeAgain(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(path string) error{
		"emptied":         func(path string) error { return os.Truncate(path, 0) },
		"cut off":         func(path string) error { return os.Truncate(path, 100) },
		"grown":           func(path string) error { return os.Truncate(path, 1<<20) },
		"a directory now": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a := newTestDevice(t, itemSchema)
			a.create(t.TempDir())
			clock := newTestClock(a)
			a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
			a.sync()
			a.sync() // it has found what it has published
			path := a.lastSegment()
			whole, err := os.ReadFile(path)
			must(t, err)
			must(t, spoil(path))
			a.sync() // it looks once in a while
			a.syncer.sizesLooked = time.Time{}
			_ = a.trySync()
			wantText(t, a.problem(), "damaged")
			// The service mends it, and spoils it once more.
			must(t, os.RemoveAll(path))
			must(t, os.WriteFile(path, whole, 0o600))
			a.syncer.sizesLooked = time.Time{}
			clock.pass(vanishedTime)
			a.sync()
			a.wantHealthy()
			must(t, spoil(path))
			a.reopen()
			_ = a.trySync()
			clock.pass(vanishedTime)
			_ = a.trySync()
			a.sync()
			a.wantHealthy()
			b := newTestDevice(t, itemSchema)
			b.join(a.folder, a.invite())
			settle(a, b)
			b.wantValue("y", "SELECT name FROM item")
			b.wantHealthy()
			wantQuiet(t, a, b)
		})
	}
}

// What is deleted over and over is not made again for ever.
func TestSomebodyDeletesItAgain(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.exec("INSERT INTO item VALUES ('a', 'b', 1)")
	a.sync()
	a.sync()
	for range maxLost {
		must(t, os.Remove(a.lastSegment()))
		for range 3 { // what is gone for a moment is not answered with a file each time
			_ = a.trySync()
			clock.pass(vanishedTime / 4)
		}
		if n := len(a.segments()); n != 0 {
			t.Errorf("%d segments were made again within a minute", n)
		}
		clock.pass(vanishedTime)
		_ = a.trySync()
		a.sync()
		a.wantHealthy()
	}
	must(t, os.Remove(a.lastSegment()))
	_ = a.trySync()
	clock.pass(time.Hour)
	_ = a.trySync()
	wantText(t, a.problem(), "deleted again")
	wantText(t, errors.New(a.problem().Hint), "which program deletes files")
	if n := len(a.segments()); n != 0 {
		t.Errorf("%d segments stand", n)
	}
	a.exec("INSERT INTO item VALUES ('c', 'd', 1)")
	_ = a.trySync()
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments stand, want what was written since", n)
	}
}

// More than a few segments that vanish at once are made again over several passes.
func TestManyThatVanishAreMadeAgainBitByBit(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.writeBatches(maxRefills+4, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	a.sync()
	for _, path := range a.segments() {
		must(t, os.Remove(path))
	}
	_ = a.trySync()
	clock.pass(vanishedTime)
	for _, want := range []int{maxRefills, maxRefills + 4} {
		_ = a.trySync()
		if n := len(a.segments()); n != want {
			t.Errorf("%d segments stand, want %d", n, want)
		}
	}
	a.sync()
	a.wantHealthy()
	b := newTestDevice(t, itemSchema)
	b.join(a.folder, a.invite())
	b.sync()
	wantSame(t, []*testDevice{a, b})
}

// Mishaps that lie far apart are not somebody who deletes again what is made again. Rows that stood there before sync are published
// anew, and what is published anew later is not taken for that.
func TestMishapsFarApartAreMendedEachTime(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema+"; CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL)")
	a.exec("INSERT INTO item VALUES ('there before', 'b', 1); INSERT INTO later VALUES ('there before')")
	a.options.Exclude = []string{"later"}
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.sync()
	a.exec("INSERT INTO item VALUES ('a', 'b', 1)")
	a.sync()
	a.sync()
	for range maxLost + 2 {
		clock.pass(amendTime)
		for _, path := range a.segments() {
			must(t, os.Remove(path))
		}
		_ = a.trySync()
		clock.pass(vanishedTime)
		for range 3 {
			_ = a.trySync()
		}
		a.wantHealthy()
	}
	a.options.Exclude = nil
	a.reopen()
	a.sync()
	a.wantValue("0", "SELECT lost FROM sqlitesync_segments ORDER BY name DESC LIMIT 1")
	late := newTestDevice(t, itemSchema+"; CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL)")
	late.join(a.folder, a.invite())
	settle(a, late)
	wantSame(t, []*testDevice{a, late})
	late.wantValue("2", "SELECT count(*) FROM item")
}

// A file comes back when it was just made again, and goes once more: what was made again stands in its place.
func TestWhatWasMadeAgainStandsThoughTheFileComesBack(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.exec("INSERT INTO item VALUES ('a', 'b', 1)")
	a.sync()
	a.sync()
	path := a.lastSegment()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	_ = a.trySync()
	clock.pass(vanishedTime)
	a.sync() // makes it again
	must(t, os.WriteFile(path, data, 0o600))
	a.sync()
	must(t, os.Remove(path))
	a.sync()
	a.wantHealthy()
	clock.pass(graceTime)
	a.sync()
	if stand := a.segments(); len(stand) != 1 || stand[0] == path {
		t.Errorf("%q stand", stand)
	}
}

// A row that was written behind the triggers is not taken for what was published.
func TestAlteredRowsAreNotMadeAgain(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	beat := time.Now()
	a.environment.Steady = func() time.Time { return beat }
	clock := newTestClock(a)
	a.exec("INSERT INTO item VALUES ('a', 'b', 1)")
	a.sync()
	a.sync()
	_, err := a.syncer.handle.conn.Exec(t.Context(), "UPDATE item SET name = 'altered'") // as capture does not see it
	must(t, err)
	must(t, os.Remove(a.lastSegment()))
	_ = a.trySync()
	clock.pass(vanishedTime)
	_ = a.trySync()
	wantIs(t, a.syncer.Status().Err, changelog.ErrAltered)
	if n := len(a.segments()); n != 0 {
		t.Errorf("%d segments stand", n)
	}

	// To look at all rows in every pass would hold up the app. What is as it was by now is made again a while later.
	_, err = a.syncer.handle.conn.Exec(t.Context(), "UPDATE item SET name = 'b'")
	must(t, err)
	for _, passes := range []time.Duration{0, alteredTime - time.Second} {
		beat = beat.Add(passes)
		_ = a.trySync()
		wantIs(t, a.syncer.Status().Err, changelog.ErrAltered)
	}
	beat = beat.Add(time.Second)
	a.sync()
	a.sync()
	a.wantHealthy()
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments stand in the end", n)
	}
}

// A segment that can't be made again does not keep the log from being tidied up. What a range has taken the place of stays
// as long as that is gone.
func TestTheLogIsTidiedThoughASegmentIsGone(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	write := func(i int) string {
		return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1) ON CONFLICT DO UPDATE SET n = n + 1", i%4)
	}
	round := func() {
		a.writeBatches(8, write)
		a.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
		a.sync()
		a.sync()
	}
	a.exec("INSERT INTO item VALUES ('first', 'x', 1)")
	round()
	whole := len(a.segments())
	_, err := a.syncer.handle.conn.Exec(t.Context(), "UPDATE item SET name = 'altered' WHERE id = 'first'") // as capture does not see it
	must(t, err)
	ranges, err := filepath.Glob(filepath.Join(a.directory(), "*-0001.seg"))
	must(t, err)
	if len(ranges) != 1 {
		t.Fatalf("ranges %q", ranges)
	}
	must(t, os.Remove(ranges[0]))
	a.tolerates = ErrFolder
	clock.pass(graceTime)
	a.sync()
	clock.pass(graceTime)
	a.sync()
	wantIs(t, a.syncer.Status().Err, changelog.ErrAltered)
	if n := len(a.segments()); n != whole-1 {
		t.Errorf("%d segments stand beside the range that is gone, want %d", n, whole-1)
	}
	for range 2 {
		round()
		clock.pass(graceTime)
	}
	a.sync()
	if n := len(a.segments()); n > whole+3 {
		t.Errorf("%d segments stand, of which %d were there before", n, whole)
	}
}

// To make a large segment again takes seconds, in which the app writes.
func TestTheAppWritesWhileASegmentIsMadeAgain(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.exec("INSERT INTO item VALUES ('a', 'b', 1)")
	a.sync()
	tx, err := a.db.Begin()
	must(t, err)
	defer func() { must(t, tx.Rollback()) }()
	_, err = tx.Exec("UPDATE item SET n = 2")
	must(t, err)
	r := compactedRange{first: 1, last: 1}
	must(t, a.syncer.withoutLock(t.Context(), func() error { return a.syncer.collect(t.Context(), &r, alteredRow) }))
	if len(r.changes) != 1 {
		t.Errorf("%d changes", len(r.changes))
	}
}

// What the app writes, while it is made again, to rows that have lost a column since they were written, tells of these: they need no telling.
func TestTheAppWritesToRowsThatLackAColumnWhileTheirSegmentIsMadeAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'x', 1), ('2', 'x', 1), ('3', 'x', 1), ('4', 'x', 1)")
	a.sync()
	a.sync()
	a.exec("ALTER TABLE item DROP COLUMN n")
	a.sync()
	found, err := a.syncer.ownSegments(t.Context(), "true")
	must(t, err)
	r, lacking, err := a.syncer.collectRange(t.Context(), &found[0])
	must(t, err)
	a.exec("UPDATE item SET name = 'y' WHERE id = '1'; DELETE FROM item WHERE id = '2'; UPDATE item SET id = '5' WHERE id = '3'")
	must(t, a.syncer.transact(t.Context(), func() error { return a.syncer.tellLacking(t.Context(), r.first, r.last, lacking) }))
	settle(a, b)
	b.exec("ALTER TABLE item DROP COLUMN n")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("1y 4x 5x", "SELECT group_concat(id || name, ' ') FROM (SELECT * FROM item ORDER BY id)")
}

// A program that runs now and then, such as sqlitesync sync, makes it again too.
func TestWhatVanishedIsMadeAgainByALaterRun(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	clock := newTestClock(a)
	a.create(t.TempDir())
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	a.sync() // it has found what it has published
	file, away := a.lastSegment(), filepath.Join(t.TempDir(), "away")
	for range 2 { // when it has come back it counts as missed anew
		must(t, os.Rename(file, away))
		a.reopen()
		_ = a.trySync()
		wantText(t, a.problem(), "are gone")
		must(t, os.Rename(away, file))
		a.sync()
		clock.pass(vanishedTime)
	}
	must(t, os.Rename(file, away))
	a.reopen()
	_ = a.trySync()
	clock.pass(vanishedTime)
	a.reopen()
	_ = a.trySync()
	a.sync()
	a.wantHealthy()
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments stand", n)
	}
}

// A head that somebody has damaged, or put back to an older one, is written anew
// although there is nothing new to say.
func TestASpoiltHeadIsWrittenAnew(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.sync()
	path := filepath.Join(a.directory(), "head")
	older, err := os.ReadFile(path)
	must(t, err)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	a.sync()
	for what, spoilt := range map[string][]byte{"an older one": older, "junk": []byte("x"), "nothing": {}} {
		must(t, os.WriteFile(path, spoilt, 0o600))
		a.reopen()
		a.sync()
		now, err := os.ReadFile(path)
		must(t, err)
		if bytes.Equal(now, spoilt) {
			t.Errorf("%s stays in place of the head", what)
		}
	}
	whole, err := os.ReadFile(path)
	must(t, err)
	a.reopen()
	a.sync()
	if now, _ := os.ReadFile(path); !bytes.Equal(now, whole) {
		t.Error("a head that is whole was written anew")
	}
}

// Segments that were made again three times while the clock was far ahead are made again when it is right.
func TestWhatIsGoneIsMadeAgainThoughTheClockWasPutBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	settle(a, b)
	lose := func() {
		must(t, os.Remove(a.lastSegment()))
		for range 3 {
			_ = a.trySync()
			clock.pass(vanishedTime)
		}
	}
	const ahead = 70 * 365 * 24 * time.Hour
	clock.pass(ahead)
	for range maxLost {
		lose()
	}
	a.wantHealthy()
	clock.pass(-ahead)
	a.sync()
	clock.pass(2 * amendTime)
	lose()
	a.wantHealthy()
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, a.invite())
	c.wantValue("y", "SELECT name FROM item")
}

// A column was renamed since: of the rows that stood there before sync, a part is what each row is. They are made again in steps,
// though together they are more than is good to have in memory.
func TestALargeBaselineIsMadeAgainOfWhichAColumnWasRenamed(t *testing.T) {
	long(t)
	t.Parallel()
	const schema, migration = "CREATE TABLE file (id INTEGER PRIMARY KEY, content BLOB, name TEXT)", "ALTER TABLE file RENAME COLUMN name TO title"
	const rows = maxDecoded>>20 + 2
	a := newTestDevice(t, schema)
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO file SELECT i, zeroblob(1 << 20), 'x' FROM n", rows)
	a.create(t.TempDir())
	a.sync()
	clock := newTestClock(a)
	a.sync()
	a.exec(migration)
	a.sync()
	a.sync()
	must(t, os.Remove(a.segments()[0]))
	for range 3 {
		_ = a.trySync() // it says what is gone
		clock.pass(vanishedTime)
	}
	a.wantHealthy()
	late := newTestDevice(t, schema+"; "+migration)
	late.join(a.folder, a.invite())
	settle(a, late)
	late.wantValue(fmt.Sprint(rows), "SELECT count(*) FROM file WHERE title = 'x'")
}

// A baseline goes out again in pages. It is broken off again and again, while the app edits and deletes rows: no row is lost, none comes
// back, and nothing is a conflict.
func TestABaselineThatGoesOutAgainIsBrokenOff(t *testing.T) {
	long(t)
	t.Parallel()
	const rows = 2*baselineRows + 100
	const schema, migration = "CREATE TABLE file (id INTEGER PRIMARY KEY, name TEXT)", "ALTER TABLE file RENAME COLUMN name TO title"
	a := newTestDevice(t, schema)
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO file SELECT i, 'x' FROM n", rows)
	a.create(t.TempDir())
	b := newTestDevice(t, schema)
	b.join(a.folder, a.invite())
	clock := newTestClock(a, b)
	a.sync()
	a.exec(migration)
	settle(a)
	a.sync() // and the range that takes the place of all of the baseline is found
	for _, path := range a.segments()[:2] {
		must(t, os.Remove(path))
	}
	_ = a.trySync() // it says what is gone
	clock.pass(vanishedTime)
	changed := 0
	for statement := 60; a.passUntil(statement); statement += max(8, statement/8) {
		if changed < 6 && (a.value("SELECT count(*) FROM sqlitesync_settings WHERE name = 'baseline_kept'") == "1" || a.syncer.db.Tables[0].Phase == changelog.PhaseUnsent) {
			changed++
			a.exec("UPDATE file SET title = 'edited' WHERE id = ?", 1000*changed)
			a.exec("DELETE FROM file WHERE id = ?", 1000*changed+1)
		}
	}
	if changed < 3 {
		t.Fatalf("broken off %d times while it went out", changed)
	}
	for range 3 {
		a.sync()
		clock.pass(vanishedTime)
	}
	b.exec(migration)
	late := newTestDevice(t, schema+"; "+migration)
	late.join(a.folder, a.invite())
	settle(a, b, late)
	wantSame(t, []*testDevice{a, b, late})
	for i := 1; i <= changed; i++ {
		late.wantValue("edited", "SELECT group_concat(title) FROM file WHERE id IN (?, ?)", 1000*i, 1000*i+1)
	}
	late.wantValue(fmt.Sprint(rows-changed), "SELECT count(*) FROM file")
	for _, d := range []*testDevice{a, late} {
		d.wantHealthy()
		d.wantVerified()
		if n := len(d.conflicts()); n > 0 {
			t.Errorf("%d conflicts", n)
		}
	}
}

// Rows that have lost a column since they were written can't be made again as they were. They go out as they are.
func TestWhatVanishedIsMadeAgainWithoutAColumnThatIsGone(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.exec("INSERT INTO item VALUES ('1', 'x', 1), ('2', 'x', 1)")
	a.sync()
	a.sync()
	a.exec("ALTER TABLE item DROP COLUMN n")
	a.sync()
	must(t, os.Remove(a.segments()[0]))
	for range 3 {
		_ = a.trySync() // it says what is gone
		clock.pass(vanishedTime)
	}
	a.wantHealthy()
	settle(a, b)
	b.wantHealthy()
	b.wantValue("x,x", "SELECT group_concat(name) FROM item")
	b.exec("ALTER TABLE item DROP COLUMN n")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantQuiet(t, a, b)
}

// So it is with values that travel in pieces.
func TestVanishedPartsOfLargeValuesAreMadeAgainWithoutAColumnThatIsGone(t *testing.T) {
	long(t)
	t.Parallel()
	const schema, migration = "CREATE TABLE file (id TEXT PRIMARY KEY, content BLOB, note TEXT)", "ALTER TABLE file DROP COLUMN note"
	a := newTestDevice(t, schema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.exec("INSERT INTO file VALUES ('one', zeroblob(17 << 20), 'x')")
	a.sync()
	a.sync()
	a.exec(migration)
	a.sync()
	must(t, os.Remove(a.segments()[0]))
	for range 3 {
		_ = a.trySync() // it says what is gone
		clock.pass(vanishedTime)
	}
	a.wantHealthy()
	late := newTestDevice(t, schema+"; "+migration)
	late.join(a.folder, a.invite())
	settle(a, late)
	late.wantValue("1", "SELECT count(*) FROM file WHERE length(content) = 17 << 20")
	wantSame(t, []*testDevice{a, late})
}

// A range holds more batches than could all say what this device has seen by now, in a space that has grown since. Who reads what is
// made again notes no conflict with what its author had seen.
func TestARangeOfManyBatchesIsMadeAgainForManyDevices(t *testing.T) {
	long(t)
	t.Parallel()
	const batches, strangers = segment.MaxSeen/999 + 20, 998
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	b.exec("INSERT INTO item VALUES ('x', 'of b', 1), ('y', 'of b', 1)")
	settle(b, a)
	for i := range batches {
		a.exec("INSERT INTO item VALUES (?, 'of a', 1)", i)
		switch i {
		case 1:
			a.exec("UPDATE item SET name = 'of a' WHERE id = 'x'")
		case batches - 2:
			a.exec("UPDATE item SET name = 'of a' WHERE id = 'y'")
		}
		must(t, a.syncer.prepare(t.Context()))
	}
	for range 3 {
		a.sync()
		a.compactNext()
	}
	clock.pass(graceTime)
	a.sync()
	a.close()
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO sqlitesync_devices (id, batch) SELECT randomblob(16), 1 FROM n", strangers)
	a.open()
	if made := a.segments(); len(made) != 1 {
		t.Fatalf("%d segments, want one range", len(made))
	}
	must(t, os.Remove(a.segments()[0]))
	for range 3 {
		_ = a.trySync() // it says what is gone
		clock.pass(vanishedTime)
	}
	a.wantHealthy()
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("of a,of a", "SELECT group_concat(name) FROM item WHERE id IN ('x', 'y')")
	for _, conflict := range b.conflicts() {
		t.Errorf("%v is a conflict, though its author had seen the other", conflict.Key)
	}
	late := newTestDevice(t, itemSchema)
	late.join(a.folder, a.invite())
	settle(late, a)
	wantSame(t, []*testDevice{a, late})
}
