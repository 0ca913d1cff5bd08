package sqlitesync

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

func TestEditsOnBothDevicesReachBoth(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('a1', 'from a', 1), ('a2', 'from a', 2), ('a3', 'from a', 3)")
	b.exec("INSERT INTO item VALUES ('b1', 'from b', 1)")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("4", "SELECT count(*) FROM item")

	b.exec("UPDATE item SET name = 'edited on b' WHERE id = 'a1'")
	a.exec("DELETE FROM item WHERE id = 'a2'")
	a.exec("UPDATE item SET id = 'a4' WHERE id = 'a3'")
	b.exec("INSERT OR REPLACE INTO item VALUES ('b1', 'replaced', 9)")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("edited on b", "SELECT name FROM item WHERE id = 'a1'")
	b.wantValue("0", "SELECT count(*) FROM item WHERE id IN ('a2', 'a3')")
	b.wantValue("3", "SELECT n FROM item WHERE id = 'a4'")
	a.wantHealthy()
	b.wantHealthy()
	if c := append(a.conflicts(), b.conflicts()...); len(c) != 0 {
		t.Errorf("conflicts %v between edits of different rows", c)
	}
	wantQuiet(t, a, b)
}

func TestRowsThatStoodBeforeCreateTravel(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.exec("INSERT INTO item WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 6000) SELECT 'row ' || i, 'old', i FROM s")
	a.create(t.TempDir())
	b := newTestDevice(t, itemSchema)
	b.join(a.folder, a.invite()) // before the first pass of a
	settle(a, b, a)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("6000", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)

	a.exec("UPDATE item SET name = 'new' WHERE n <= 3000")
	b.exec("DELETE FROM item WHERE n > 5500")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2500", "SELECT count(*) FROM item WHERE name = 'old'")
	if c := append(a.conflicts(), b.conflicts()...); len(c) != 0 {
		t.Errorf("%d conflicts between edits of different rows", len(c))
	}
	wantQuiet(t, a, b)
}

// Values of every storage class, in every kind of column.
const everySchema = `
CREATE TABLE loose (id TEXT PRIMARY KEY NOT NULL, v);
CREATE TABLE blobkey (id BLOB PRIMARY KEY NOT NULL, v BLOB, d DATETIME, b BOOLEAN, r REAL, n NUMERIC, t TEXT, i INTEGER);
CREATE TABLE pair (a TEXT NOT NULL, b INTEGER NOT NULL, v, PRIMARY KEY (b, a));
CREATE TABLE norowid (a TEXT NOT NULL, b REAL NOT NULL, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE firm (id INTEGER PRIMARY KEY, x ANY, t TEXT, r REAL, bl BLOB) STRICT;
CREATE TABLE computed (id TEXT PRIMARY KEY NOT NULL, n INTEGER, twice INTEGER AS (2 * n) STORED, thrice AS (3 * n));
CREATE TABLE keyonly (a TEXT, b TEXT, PRIMARY KEY (a, b));
CREATE TABLE "od d ""names""" ("a key" TEXT PRIMARY KEY NOT NULL, "a""b" TEXT, "select" TEXT, é TEXT);
`

func TestEveryStorageClassArrivesBitForBit(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, everySchema)
	values := []any{
		nil, int64(0), int64(1), int64(-1), int64(math.MaxInt64), int64(math.MinInt64),
		0.5, math.Copysign(0, -1), 0.0, 1.0, math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 9007199254740993.0,
		"", "text", "with\x00NUL", "not utf-8 \xff\xfe", "1", "1.0", "2024-01-02 03:04:05", strings.Repeat("long ", 10000),
		[]byte{}, []byte{0}, []byte("text"), bytes.Repeat([]byte{0xff}, 100000),
	}
	write := func(d *testDevice, base int) {
		for i, v := range values {
			key := fmt.Sprint(base + i)
			d.exec("INSERT INTO loose VALUES (?, ?)", key, v)
			d.exec("INSERT INTO blobkey VALUES (?, ?, ?, ?, ?, ?, ?, ?)", []byte(key), v, v, v, v, v, v, v)
			d.exec("INSERT INTO pair VALUES (?, ?, ?)", key, i, v)
			d.exec("INSERT INTO norowid VALUES (?, ?, ?)", key, float64(i)/2, v)
			d.exec("INSERT INTO firm (id, x) VALUES (?, ?)", base+i, v)
			d.exec("INSERT INTO keyonly VALUES (?, ?)", key, "b")
		}
		d.exec("INSERT INTO loose VALUES (?, ?)", fmt.Sprint("\xff\x00 key", base), "odd key")
		d.exec("INSERT INTO blobkey (id) VALUES (?)", fmt.Appendf(nil, "%d\x00", base))
		d.exec("INSERT INTO firm VALUES (?, 1, 'a', 1.5, x'00')", -base-1)
		d.exec("INSERT INTO computed (id, n) VALUES (?, 7), (? || 'null', NULL)", base, base)
		d.exec(`INSERT INTO "od d ""names""" VALUES (?, 'q', 's', 'é')`, base)
	}
	write(a, 1000)
	settle(a, b)
	write(b, 2000)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("14", "SELECT twice FROM computed WHERE id = '1000'")
	b.wantValue("21", "SELECT thrice FROM computed WHERE id = '1000'")

	// Updates from each class to each other one.
	for i := range values {
		a.exec("UPDATE loose SET v = ? WHERE id = ?", values[i], fmt.Sprint(1000+(i+7)%len(values)))
		b.exec("UPDATE pair SET v = ? WHERE b = ?", values[i], (i+7)%len(values))
		a.exec("UPDATE norowid SET v = ? WHERE b = ?", values[i], float64((i+11)%len(values))/2)
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})

	for _, table := range a.tables() {
		a.exec("DELETE FROM " + changelog.Quote(table))
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("0", "SELECT count(*) FROM loose")
	wantQuiet(t, a, b)
}

func TestALargeValueTravelsInPieces(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE file (id TEXT PRIMARY KEY NOT NULL, data BLOB)")
	large := make([]byte, 17<<20)
	for i := range large {
		large[i] = byte(i * i >> 7)
	}
	a.exec("INSERT INTO file VALUES ('large', ?), ('small', x'01')", large)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.exec("UPDATE file SET data = x'02' WHERE id = 'large'")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantQuiet(t, a, b)
}

func TestThreeDevicesConverge(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	for i, d := range devices {
		for k := range 50 {
			d.exec("INSERT INTO item VALUES (?, 'new', ?)", fmt.Sprintf("%d-%d", i, k), k)
		}
	}
	settle(devices...)
	wantSame(t, devices)
	c.wantValue("150", "SELECT count(*) FROM item")
	for i, d := range devices {
		d.exec("UPDATE item SET name = ? WHERE n % 3 = ?", fmt.Sprint("by ", i), i)
		d.exec("UPDATE item SET name = ? WHERE n = 40", fmt.Sprint("all by ", i))
		d.exec("DELETE FROM item WHERE id = ?", fmt.Sprintf("%d-%d", i, i)) // only i has edited it
	}
	settle(c, a, b)
	wantSame(t, devices)
	c.wantValue("147", "SELECT count(*) FROM item")
	wantQuiet(t, devices...)
}

// B edits what A wrote before C has heard of either. C reads B's directory only
// together with A's, because B's change is about A's row.
func TestAChangeWaitsForWhatItsAuthorHadSeen(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO item VALUES ('x', 'a', 1)")
	a.sync()
	hidden := a.lastSegment()
	b.sync()
	b.exec("UPDATE item SET name = 'b' WHERE id = 'x'")
	b.sync()

	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(hidden, away))
	c.sync()
	c.wantValue("no row", "SELECT name FROM item")
	waiting := c.syncer.Status().Waiting
	if len(waiting) != 1 || waiting[0].Device != a.id() || waiting[0].For != b.id() || waiting[0].Batch == 0 || waiting[0].Since.IsZero() {
		t.Errorf("waiting %+v, want b for a", waiting)
	} else if hint := waiting[0].Hint(); !strings.Contains(hint, "start the device that wrote it") {
		t.Errorf("hint %q does not say what would help", hint)
	}
	must(t, os.Rename(away, hidden))
	c.sync()
	c.wantValue("b", "SELECT name FROM item")
	c.wantHealthy()
	if conflicts := c.conflicts(); len(conflicts) != 0 {
		t.Errorf("conflicts %v, but b had seen a", conflicts)
	}
}

func TestATableMadeLaterIsHeldUntilItIsThere(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL, v TEXT)")
	a.exec("INSERT INTO later VALUES ('1', 'one'), ('2', 'two')")
	a.exec("INSERT INTO item VALUES ('beside', 'it', 1)")
	settle(a, b)
	b.wantValue("it", "SELECT name FROM item")
	if held := b.held(); len(held) != 2 || held[0].Table != "later" || held[0].Reason == "" || held[0].Key[0] != "1" {
		t.Errorf("held %+v, want both rows of later", held)
	}
	if n := b.syncer.Status().Held; n != 2 {
		t.Errorf("status counts %d held rows, want 2", n)
	}
	a.exec("UPDATE later SET v = 'uno' WHERE id = '1'")
	a.exec("DELETE FROM later WHERE id = '2'")
	settle(a, b)

	b.reopen() // what is held outlives the process
	b.exec("CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL, v TEXT)")
	b.exec("INSERT INTO later VALUES ('3', 'from b')") // before capture knows the table
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("from b", "SELECT v FROM later WHERE id = '3'")
	b.wantValue("uno", "SELECT v FROM later WHERE id = '1'")
	if held := b.held(); len(held) != 0 {
		t.Errorf("still held: %+v", held)
	}
	wantQuiet(t, a, b)
}

func TestExcludedTablesStay(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + "; CREATE TABLE local (id TEXT PRIMARY KEY NOT NULL, v TEXT)"
	a, b := newTestDevice(t, schema), newTestDevice(t, schema)
	a.options.Exclude = []string{"LOCAL"}
	b.options.Exclude = []string{"local"}
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO local VALUES ('a', 'mine')")
	a.exec("INSERT INTO item VALUES ('x', 'ours', 1)")
	settle(a, b)
	b.wantValue("ours", "SELECT name FROM item")
	b.wantValue("0", "SELECT count(*) FROM local")
	if held := b.held(); len(held) != 0 {
		t.Errorf("held %+v", held)
	}
	a.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'local'")
}

func TestTablesThatCannotBeSyncedAreListed(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema+`;
		CREATE TABLE nokey (v TEXT);
		CREATE VIRTUAL TABLE search USING fts5(body);
		CREATE VIEW v AS SELECT * FROM item;
		INSERT INTO nokey VALUES ('stays'); INSERT INTO search VALUES ('stays');
		CREATE TABLE nullkey (id TEXT PRIMARY KEY, v); INSERT INTO nullkey VALUES (NULL, 'stays'), ('k', 'goes')`)
	a.create(t.TempDir())
	b := newTestDevice(t, itemSchema+"; CREATE TABLE nokey (v TEXT); CREATE TABLE nullkey (id TEXT PRIMARY KEY, v)")
	b.join(a.folder, a.invite())
	settle(a, b)
	var names []string
	for _, u := range a.syncer.Status().Unsynced {
		names = append(names, u.Table)
		if u.Reason == "" || u.Hint == "" {
			t.Errorf("table %s: reason %q, hint %q", u.Table, u.Reason, u.Hint)
		}
	}
	slices.Sort(names)
	if want := []string{"nokey", "nullkey", "search", "search_config", "search_content", "search_data", "search_docsize", "search_idx", "v"}; !slices.Equal(names, want) {
		t.Errorf("unsynced %v, want %v", names, want)
	}
	b.wantValue("0", "SELECT count(*) FROM nokey")
	b.wantValue("goes", "SELECT v FROM nullkey")
	a.wantHealthy()
	wantQuiet(t, a, b)
}

func TestReplaceVictimsAndCascadesTravel(t *testing.T) {
	t.Parallel()
	const schema = `
		CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE, name TEXT);
		CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, person TEXT REFERENCES person(id) ON DELETE CASCADE, v TEXT);
		CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);
		CREATE TRIGGER person_audit AFTER UPDATE ON person BEGIN INSERT INTO audit (what) VALUES (NEW.name); END`
	a, b := newPair(t, schema)
	a.exec("INSERT INTO person VALUES ('1', 'x@', 'one'), ('2', 'y@', 'two')")
	a.exec("INSERT INTO note VALUES ('n1', '1', 'v'), ('n2', '2', 'v')")
	settle(a, b)
	b.exec("REPLACE INTO person VALUES ('3', 'x@', 'three')") // removes 1 through its mail
	b.exec("DELETE FROM person WHERE id = '2'")               // takes n2 along
	b.exec("UPDATE person SET name = 'tres' WHERE id = '3'")  // audited once, on b
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("tres", "SELECT group_concat(name) FROM person")
	a.wantValue("0", "SELECT count(*) FROM note WHERE id = 'n2'")
	a.wantValue("1", "SELECT count(*) FROM audit")
	wantQuiet(t, a, b)
}

// Two rows that claim one unique value: the newer shows on both devices, and
// the older comes back everywhere when the value is free.
func TestUniqueValuesAreDecidedTheSameEverywhere(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE)"
	a, b := newPair(t, schema)
	a.exec("INSERT INTO person VALUES ('a', 'x@')")
	tick()
	b.exec("INSERT INTO person VALUES ('b', 'x@')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("b", "SELECT id FROM person")
	if a.syncer.Status().Held != 1 || b.syncer.Status().Held != 1 {
		t.Errorf("%d and %d rows held, want 1 and 1", a.syncer.Status().Held, b.syncer.Status().Held)
	}
	b.exec("UPDATE person SET mail = 'y@' WHERE id = 'b'")
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2", "SELECT count(*) FROM person")
	wantQuiet(t, a, b)
}

// A row that its own device never published, because it stood there before and
// lost its unique value at Join, must reach the others all the same: else it
// shows on one device only, once the value is free.
func TestABaselineRowThatIsHeldAtJoinIsPublished(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE)"
	a := newTestDevice(t, schema)
	a.create(t.TempDir())
	a.exec("INSERT INTO person VALUES ('a', 'x@')")
	a.sync()
	b := newTestDevice(t, schema)
	b.exec("INSERT INTO person VALUES ('b', 'x@')")
	b.options.Existing = MergeExisting
	b.join(a.folder, a.invite())
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("a", "SELECT group_concat(id) FROM person")
	if held := a.held(); len(held) != 1 {
		t.Errorf("a holds %d rows, want the one of b", len(held))
	}
	a.exec("DELETE FROM person WHERE id = 'a'")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("b", "SELECT id FROM person")
	wantQuiet(t, a, b)
}

func TestSyncEndsWithItsContext(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a.exec("INSERT INTO item VALUES ('x', 'kept', 1)")
	wantIs(t, a.syncer.Sync(ctx), context.Canceled)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("kept", "SELECT name FROM item")
	a.wantHealthy()
}

// The batch that others wait for is lost. After a bounded time they go on without it, say so, and count no conflict where
// nobody can know of one; when it comes after all, everybody has the same.
func TestAMissingBatchIsWaitedForAMinuteOnly(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO item VALUES ('x', 'a', 1), ('y', 'a', 1)")
	a.sync()
	hidden := a.lastSegment()
	b.sync()
	b.exec("UPDATE item SET name = 'b' WHERE id = 'x'")
	b.sync()
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(hidden, away))
	c.exec("INSERT INTO item VALUES ('x', 'c', 1)")
	c.sync()
	c.wantValue("c", "SELECT name FROM item")
	waiting := c.syncer.Status().Waiting
	if len(waiting) != 1 || waiting[0].Overdue {
		t.Fatalf("waiting %+v, want b for a", waiting)
	}
	waiting[0].Since = waiting[0].Since.Add(-causalWait)
	c.syncer.waiting[b.id()] = waiting[0]
	c.sync()
	if got := c.syncer.Status().Waiting; len(got) != 1 || !got[0].Overdue || got[0].Device != a.id() || got[0].For != b.id() || !got[0].Since.Equal(waiting[0].Since) {
		t.Errorf("waiting %+v, want a, overdue", got)
	}
	if conflicts := c.conflicts(); len(conflicts) != 0 {
		t.Errorf("conflicts %+v of a batch whose author's knowledge is not known here", conflicts)
	}
	c.sync()
	if got := c.syncer.Status().Waiting; len(got) != 1 {
		t.Errorf("waiting %+v, want a still", got)
	}
	must(t, os.Rename(away, hidden))
	settle(devices...)
	wantSame(t, devices)
	wantEverywhere("2", "SELECT count(*) FROM item", devices...)
	c.wantHealthy()
	wantQuiet(t, devices...)
}

// Records are put back in the order of their names, which are hashes: a run of the simulation is the same when it is repeated.
func TestRecordsArePutBackInOrder(t *testing.T) {
	t.Parallel()
	a := newSpace(t, itemSchema, 6)[0]
	a.crowded = true
	a.sync()
	must(t, os.RemoveAll(filepath.Join(a.folder, "roster")))
	var put []string
	a.environment.Step = func(step string, perform func() error) error {
		if _, name, _ := strings.Cut(step, " "); a.syncer.records[name] != nil {
			put = append(put, name)
		}
		return perform()
	}
	a.sync()
	a.environment.Step = nil
	put = slices.Compact(put)
	if len(put) != len(a.syncer.records) || !slices.IsSorted(put) {
		t.Errorf("%d records, put back: %q", len(a.syncer.records), put)
	}
}
