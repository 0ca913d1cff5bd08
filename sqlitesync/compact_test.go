package sqlitesync

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A testClock is the wall clock of devices, which a test moves on, sometimes from where a device reads a file.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newTestClock(devices ...*testDevice) *testClock {
	c := &testClock{now: time.Now()}
	for _, d := range devices {
		c.give(d)
	}
	return c
}

// give makes the clock that of a device.
func (c *testClock) give(d *testDevice) {
	d.environment.Wall = c.read
}

func (c *testClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// writeBatches makes n batches of single statements.
func (d *testDevice) writeBatches(n int, statement func(i int) string) {
	d.tb.Helper()
	for i := range n {
		d.exec(statement(i))
		d.sync()
	}
}

// compactNext makes the next pass write the log anew wherever it can.
func (d *testDevice) compactNext() { d.syncer.compaction = compaction{rows: -1000} }

// quietDown syncs until compactions are through and what they replaced is gone.
func quietDown(clock *testClock, devices ...*testDevice) {
	for range 3 {
		settle(devices...)
		clock.pass(graceTime)
	}
	settle(devices...)
}

// A device that publishes many times a second, because others do so too and each of their files wakes it, leaves no hour of small
// files behind.
func TestWhatWasReplacedIsBounded(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	clock := newTestClock(a)
	replaced := func(first, last int, at time.Time) {
		a.exec(`WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
			INSERT INTO sqlitesync_segments (name, state, hash, tail, rows, size, baseline, unit, replaced)
			SELECT printf('%012x-%012x-0000.seg', i, i), 2, zeroblob(32), zeroblob(32), 1, 1, 0, 0, ?3 FROM n`, first, last, at.UnixMilli())
	}
	instead := folder.SegmentName{First: 1000, Last: 2999, Generation: 1}.String()
	a.exec("INSERT INTO sqlitesync_segments (name, state, hash, tail, rows, size, baseline, unit) VALUES (?, 2, zeroblob(32), zeroblob(32), 1, 1, 0, 0)", instead)
	must(t, os.MkdirAll(a.directory(), 0o700))
	must(t, os.WriteFile(filepath.Join(a.directory(), instead), []byte("r"), 0o600))
	replaced(1000, 1999, clock.read().Add(-2*leastGrace))
	replaced(2000, 2999, clock.read().Add(-leastGrace/2)) // somebody may be reading these
	a.sync()
	a.wantValue("1000", "SELECT count(*) FROM sqlitesync_segments WHERE replaced IS NOT NULL")
	a.wantValue("0000000007d0-0000000007d0-0000.seg", "SELECT min(name) FROM sqlitesync_segments WHERE replaced IS NOT NULL")
	clock.pass(leastGrace)
	a.sync()
	a.wantValue(fmt.Sprint(maxReplaced), "SELECT count(*) FROM sqlitesync_segments WHERE replaced IS NOT NULL")
	clock.pass(graceTime)
	a.sync()
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_segments WHERE replaced IS NOT NULL")
}

func TestALogIsKeptShort(t *testing.T) {
	long(t)
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.writeBatches(3*maxLive, func(i int) string {
		return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'written %d', %d) ON CONFLICT DO UPDATE SET name = excluded.name", i%10, i, i)
	})
	a.exec("DELETE FROM item WHERE id = '3'")
	if n := len(a.segments()); n < 2*maxLive {
		t.Fatalf("%d segments were published, too few for the test", n)
	}
	quietDown(clock, a, b)
	if n := len(a.segments()); n > maxLive+1 {
		t.Errorf("%d segments stand at rest", n)
	}
	rows := 0
	must(t, a.db.QueryRow("SELECT sum(rows) FROM sqlitesync_segments").Scan(&rows))
	if rows > 80 {
		t.Errorf("the log still has %d changes, for 10 rows", rows)
	}
	wantQuiet(t, a, b)
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, a.invite())
	settle(a, b, c)
	wantSame(t, []*testDevice{a, b, c})
	c.exec("INSERT INTO item VALUES ('3', 'again', 1)")
	settle(a, b, c)
	wantSame(t, []*testDevice{a, b, c})
	for _, d := range []*testDevice{a, b, c} {
		d.wantHealthy()
	}
}

// A reader that has come half through a run finds only the range.
func TestAReaderInTheMiddleOfARange(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	write := func(i int) string {
		return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'written %d', %d) ON CONFLICT DO UPDATE SET name = excluded.name", i%7, i, i)
	}
	a.writeBatches(20, write)
	b.sync()
	before := b.syncer.seen[a.syncer.self()]
	a.writeBatches(2*maxLive, write)
	a.exec("DELETE FROM item WHERE id = '2'")
	quietDown(clock, a)
	for _, name := range a.segments() {
		if name == a.directory()+"/"+segmentName(before+1) {
			t.Fatal("the next batch still stands by itself")
		}
	}
	b.exec("UPDATE item SET n = -1 WHERE id = '2'") // without knowledge of the delete
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantHealthy()
	b.wantHealthy()
}

// What a range took the place of stays while the range is gone from the folder, and
// perhaps can't be made again.
func TestARangeIsGoneBeforeItsRun(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	a.sync()
	a.compactNext()
	a.sync()
	a.sync()
	if n := len(a.segments()); n != 4 {
		t.Fatalf("%d segments stand, want a range and its run", n)
	}
	for _, path := range a.segments() {
		if strings.HasSuffix(path, "-0001.seg") {
			must(t, os.Remove(path))
		}
	}
	_, err := a.syncer.handle.conn.Exec(t.Context(), "UPDATE item SET name = 'altered' WHERE id = '1'") // as capture does not see it
	must(t, err)
	for range 3 {
		clock.pass(graceTime)
		_ = a.trySync()
	}
	late := newTestDevice(t, itemSchema)
	late.join(a.folder, a.invite())
	late.sync()
	late.wantValue("3", "SELECT count(*) FROM item")
	late.wantHealthy()
}

// A file that can't be removed, because another program has it open, keeps nothing
// from being published, and no other file from being removed.
func TestAFileThatStays(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	a.sync()
	a.compactNext()
	a.sync()
	a.sync()
	stays := a.segments()[0]
	must(t, os.Remove(stays))
	must(t, os.MkdirAll(stays+"/can't be removed", 0o700))
	clock.pass(graceTime)
	a.exec("INSERT INTO item VALUES ('3', 'x', 1)")
	if err := a.trySync(); err == nil {
		t.Error("nothing is said of a file that can't be removed")
	}
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_segments WHERE state = 0")
	if n := len(a.segments()); n != 3 {
		t.Errorf("%d segments stand, want a range, what stays, and what is new", n)
	}
	must(t, os.RemoveAll(stays))
	a.sync()
	a.wantHealthy()
}

// Much that is published at once is written anew when it has been found.
func TestManySegmentsAtOnce(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	clock := newTestClock(a)
	for i := range maxLive + maxLive/4 {
		a.exec("INSERT INTO item VALUES (?, 'x', 1)", fmt.Sprint(i))
		must(t, a.syncer.prepare(t.Context()))
	}
	quietDown(clock, a)
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments stand at rest", n)
	}
}

// The loop in the background keeps the log short, with nobody who calls Sync.
func TestTheBackgroundCompacts(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a)
	background(a)
	const batches = 3*maxLive + 1
	for i := range batches {
		a.exec("INSERT INTO item VALUES (?, 'x', 1) ON CONFLICT DO UPDATE SET n = n + 1", fmt.Sprint(i%20))
		a.waitFor("SELECT NOT EXISTS (SELECT 1 FROM sqlitesync_log)") // the next one is another batch
	}
	a.waitFor("SELECT count(*) > 0 FROM sqlitesync_segments WHERE replaced IS NOT NULL")
	clock.pass(graceTime)
	a.waitFor("SELECT count(*) <= 64 FROM sqlitesync_segments")
	a.waitForState(StateIdle)
	must(t, a.syncer.Close())
	segments := a.segments()
	if n := len(segments); n > 64 {
		t.Errorf("%d segments stand at rest", n)
	}
	last, _ := folder.ParseSegmentName(filepath.Base(segments[len(segments)-1]))
	if last.Last < batches {
		t.Fatalf("only %d batches were written: the test shows nothing", last.Last)
	}
	if !slices.ContainsFunc(segments, compacted) {
		t.Error("nothing was compacted")
	}
	a.options.Manual = true
	a.open()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantHealthy()
	b.wantHealthy()
}

// compacted reports whether a segment file is a range that was written anew.
func compacted(path string) bool {
	name, ok := folder.ParseSegmentName(filepath.Base(path))
	return ok && name.Generation > 0
}

// What can't be read is not looked at again at every pass.
func TestALogThatCannotBeWrittenAnew(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.writeBatches(20, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	a.sync()
	for _, path := range a.segments() {
		must(t, os.Truncate(path, 100))
	}
	a.compactNext()
	a.sync()
	if got := a.syncer.compaction; got != (compaction{20, 20}) {
		t.Errorf("%+v is what the next pass compares with", got)
	}
}

// What of the log can't be read for a moment is looked at again though the log has not grown.
func TestALogThatCannotBeReadForAMoment(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	failing, failed := true, 0
	a.environment.Step = func(step string, perform func() error) error {
		if failing && strings.HasPrefix(step, "open ") && strings.HasSuffix(step, "-0000.seg") {
			failed++
			return syscall.EIO
		}
		return perform()
	}
	a.create(t.TempDir())
	failing = false
	a.writeBatches(20, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	a.sync()
	failing = true
	a.compactNext()
	a.sync()
	if failed == 0 {
		t.Fatal("nothing was read to be written anew")
	}
	failing = false
	a.sync()
	if n := len(a.segments()); n != 20 {
		t.Errorf("%d segments stand at once", n)
	}
	a.syncer.unread = a.syncer.unread.Add(-headInterval)
	a.sync()
	if n := len(a.segments()); n != 21 {
		t.Errorf("%d segments stand, want 20 and the range", n)
	}
}

func TestPlan(t *testing.T) {
	// A unit per letter: its size, and how much of it counts.
	segments := func(sizes ...int) (units []unit) {
		for i, size := range sizes {
			own := ownSegment{name: original(uint64(i + 1)), state: segmentFound}
			units = append(units, unit{segments: []ownSegment{own}, rows: 100, size: size << 10, live: 100})
		}
		return units
	}
	tests := []struct {
		name  string
		units []unit
		edit  func([]unit)
		want  string
	}{
		{"alike", segments(1, 1, 1, 1), nil, "[1-4]"},
		{"slowly growing with age", segments(90, 80, 70, 60), nil, "[1-4]"},
		{"a large old one", segments(900, 1, 1, 1), nil, "[2-4]"},
		{"a large new one", segments(1, 1, 900), nil, "[1-3]"},
		{"full", segments(15<<10, 9<<10, 9<<10), nil, ""},
		{"half empty", segments(15<<10, 15<<10), func(u []unit) { u[0].live = 50 }, "[1-1]"},
		{"not found yet", segments(1, 1, 1, 1, 1), func(u []unit) { u[2].segments[0].state = segmentPublished }, "[4-5] [1-2]"},
		{"pieces that count", segments(1, 1, 1, 1, 1), func(u []unit) { u[2].segments[0].unit = 3 }, "[4-5] [1-2]"},
		{"pieces that do not", segments(1, 1, 1), func(u []unit) { u[1].segments[0].unit, u[1].live = 2, 0 }, "[1-3]"},
		{"more rows than a range can have in memory", segments(1, 1, 1, 1), func(u []unit) {
			for i := range u {
				u[i].rows, u[i].live = maxRunRows/2, maxRunRows/2
			}
		}, "[3-4] [1-2]"},
		{"nothing", nil, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.edit != nil {
				test.edit(test.units)
			}
			var got []string
			for _, run := range plan(test.units) {
				got = append(got, fmt.Sprintf("[%d-%d]", run[0].first(), run[len(run)-1].last()))
			}
			if !slices.Equal(got, strings.Fields(test.want)) {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
}

// A modelLog is what plan knows of a log, without the log: units of one segment each.
type modelLog struct {
	random *rand.Rand
	units  []unit
	last   compaction
	batch  uint64
	memory int // bytes of a change in memory
	packed int // of those, percent in a file
}

// write appends a segment of so many changes, which overrule as many older ones as the random numbers have it.
func (l *modelLog) write(rows int, overrules float64) {
	l.batch++
	own := ownSegment{name: original(l.batch), state: segmentFound}
	for n := int(float64(rows) * overrules); n > 0 && len(l.units) > 0; n-- {
		if u := &l.units[l.random.IntN(len(l.units))]; u.live > 0 {
			u.live--
		}
	}
	l.units = append(l.units, unit{segments: []ownSegment{own}, rows: rows, live: rows, size: 500 + rows*l.memory*l.packed/100})
}

func (l *modelLog) measure() (now compaction, size int) {
	for i := range l.units {
		now.segments, now.rows, size = now.segments+1, now.rows+l.units[i].rows, size+l.units[i].size
	}
	return now, size
}

// compact does to the model what compact does to a log, until nothing is left to do.
func (l *modelLog) compact() {
	for {
		now, _ := l.measure()
		if !l.last.grown(now, 0) {
			return
		}
		l.last = now
		rewritten := 0
		for _, run := range plan(l.units) {
			if rewritten == maxRuns {
				l.last = compaction{}
				break
			}
			if l.rewrite(run) {
				rewritten++
			}
		}
	}
}

// rewrite writes a run anew, as one range, or as several if it is too much for the memory, and reports whether anything became less.
func (l *modelLog) rewrite(run []unit) (less bool) {
	at := slices.IndexFunc(l.units, func(u unit) bool { return u.first() == run[0].first() })
	var made []unit
	for _, u := range run {
		less = less || u.live < u.rows
		n := len(made) - 1
		if n < 0 || (made[n].rows+u.live)*l.memory > maxDecoded {
			made = append(made, unit{segments: []ownSegment{{name: folder.SegmentName{First: u.first(), Generation: 1}, state: segmentFound}}})
			n++
		}
		made[n].rows += u.live
		made[n].live = made[n].rows
		made[n].size = 500 + made[n].rows*l.memory*l.packed/100
		made[n].segments[0].name.Last = u.last()
		l.last.rows -= u.rows - u.live
	}
	l.last.segments -= len(run) - len(made)
	l.units = slices.Replace(l.units, at, at+len(run), made...)
	return less || len(made) < len(run)
}

// However a log has come to be, at rest it has at most 64 files as long as it is no larger than LIMITS.md says. Two ranges beside each
// other are more than one can have, by rows, memory or bytes; the newest ones grow by a factor; and half of maxLive may have come since.
func TestLargeLogsHaveFewFiles(t *testing.T) {
	t.Parallel()
	const most = 64
	logs, largest := 300, 0
	for seed := range uint64(logs) {
		random := rand.New(rand.NewPCG(seed, most))
		l := &modelLog{random: random, memory: 50 + random.IntN(1<<random.IntN(12)), packed: 5 + random.IntN(60)}
		transaction, overrules := 1+random.IntN(1<<random.IntN(17)), random.Float64()
		for step := range 4_000 {
			rows := 1 + random.IntN(1+random.IntN(20))
			if random.IntN(1+random.IntN(50)) == 0 {
				rows = 1 + random.IntN(1+min(transaction, maxDecoded/l.memory))
			}
			l.write(rows, overrules)
			l.compact()
			now, size := l.measure()
			if now.rows > 1_000_000 || now.rows*l.memory > 100<<20 || size > 60<<20 {
				break
			}
			largest = max(largest, now.segments)
			if now.segments > most {
				t.Fatalf("seed %d: after %d batches %d segments stand, of %d changes and %d bytes", seed, step+1, now.segments, now.rows, size)
			}
		}
	}
	if largest < most*3/4 {
		t.Errorf("no log of %d had more than %d files", logs, largest)
	}
}

// A column that a newer app has dropped is in no newer change of the row: for older apps the range keeps what it held.
func TestCompactionKeepsWhatNewerAppsHaveDropped(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	for _, statement := range []string{
		"INSERT INTO item VALUES ('x', 'first', 1)",
		"UPDATE item SET n = 2",
		"ALTER TABLE item DROP COLUMN n",
		"UPDATE item SET name = 'second'",
		"UPDATE item SET name = 'third'",
	} {
		a.exec(statement)
		a.sync()
	}
	b.exec("ALTER TABLE item DROP COLUMN n")
	settle(a, b)
	a.compactNext()
	quietDown(clock, a, b)
	if n := len(a.segments()); n != 1 {
		t.Fatalf("%d segments stand, want one", n)
	}
	old := newTestDevice(t, itemSchema)
	clock.give(old)
	old.join(a.folder, a.invite())
	old.sync()
	old.wantValue("third 2", "SELECT name || ' ' || n FROM item")
}

// An app that has not migrated yet comes, or comes back, after the logs were written anew: it writes by its own schema, and
// has everything once it has migrated.
func TestAnOldAppAfterLogsWereWrittenAnew(t *testing.T) {
	t.Parallel()
	migrations := []string{
		"ALTER TABLE item ADD COLUMN more TEXT DEFAULT 'd'",
		"CREATE TABLE extra (id TEXT PRIMARY KEY NOT NULL, item TEXT REFERENCES item)",
		"ALTER TABLE item RENAME COLUMN name TO title",
	}
	for _, member := range []bool{false, true} {
		t.Run(fmt.Sprint("member=", member), func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			clock := newTestClock(a, b)
			a.writeBatches(10, func(i int) string {
				return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', %d) ON CONFLICT DO UPDATE SET n = excluded.n", i%6, i)
			})
			settle(a, b)
			old := newTestDevice(t, itemSchema)
			code := a.invite()
			if member {
				old.join(a.folder, code)
				old.exec("UPDATE item SET name = 'before' WHERE id = '5'")
				old.close()
			}
			for _, migration := range migrations {
				a.exec(migration)
				b.exec(migration)
				settle(a, b)
			}
			a.exec("UPDATE item SET more = 'm' WHERE id IN ('1', '2')")
			b.exec("UPDATE item SET title = 'of b' WHERE id = '3'")
			settle(a, b)
			a.exec("INSERT INTO extra VALUES ('e', '1')")
			a.exec("DELETE FROM item WHERE id = '4'")
			settle(a, b)
			a.compactNext()
			b.compactNext()
			quietDown(clock, a, b)
			if n := len(a.segments()) + len(b.segments()); n != 2 {
				t.Fatalf("%d segments stand, want one of each", n)
			}
			clock.give(old)
			if member {
				old.open()
			} else {
				old.join(a.folder, code)
			}
			old.sync()
			old.exec("UPDATE item SET n = 99 WHERE id = '1'")
			old.exec("UPDATE item SET name = 'of the old app' WHERE id = '0'")
			old.exec("INSERT INTO item VALUES ('new', 'of the old app', 1)")
			settle(old, a, b)
			for _, migration := range migrations {
				old.exec(migration)
			}
			settle(old, a, b)
			settle(old, a, b)
			late := newTestDevice(t, itemSchema+";"+strings.Join(migrations, ";"))
			late.join(a.folder, a.invite())
			devices := []*testDevice{a, b, old, late}
			settle(devices...)
			wantSame(t, devices)
			five := map[bool]string{false: "5xd5", true: "5befored5"}[member]
			late.wantValue("0of the old appd6,1xm99,2xm8,3of bd9,"+five+",newof the old appd1",
				"SELECT group_concat(id || title || more || n) FROM (SELECT * FROM item ORDER BY id)")
			late.wantValue("1", "SELECT item FROM extra")
			for _, d := range devices {
				d.wantHealthy()
			}
		})
	}
}
