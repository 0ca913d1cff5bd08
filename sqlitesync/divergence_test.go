package sqlitesync

import (
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// wantDiverged compares which tables a device says have diverged from another.
func (d *testDevice) wantDiverged(from *testDevice, tables ...string) {
	d.tb.Helper()
	var got []string
	for _, diverged := range d.syncer.Status().Diverged {
		if diverged.Device == from.id() && !diverged.Since.IsZero() {
			got = append(got, diverged.Table)
		}
	}
	if !slices.Equal(got, tables) {
		d.tb.Errorf("diverged: %q, want %q", got, tables)
	}
}

// What a wrong merge leaves behind on one device is noticed on both as soon as they have read the same, told once, and not
// told any more when it is mended.
func TestDevicesThatKnowDifferentThingsSayWhichTable(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema+"; CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)")
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1), ('y', 'of a', 2); INSERT INTO other VALUES ('o')")
	settle(a, b)
	a.wantDiverged(b)
	events := b.syncer.events.subscribe()
	a.differs, b.differs = true, true

	// As if the change of x had never been merged here, and its batch counted all the same.
	b.exec(`BEGIN;
		UPDATE item SET name = 'wrong' WHERE id = 'x';
		UPDATE sqlitesync_clock_1 SET image = zeroblob(16) WHERE k0 = 'x';
		UPDATE sqlitesync_digests SET digest = NULL;
		DELETE FROM sqlitesync_log;
		COMMIT`)
	settle(b, a)
	a.exec("INSERT INTO other VALUES ('later')")
	settle(a, b)
	settle(a, b) // it is not for a fork of their logs
	a.wantDiverged(b, "item")
	b.wantDiverged(a, "item")
	told := 0
	for event, ok := events.take(); ok; event, ok = events.take() {
		if event.Kind != EventDiverged {
			continue
		}
		if told++; event.Device != a.id() || !slices.Equal(event.Tables, []string{"item"}) {
			t.Errorf("event %v", event)
		}
	}
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}

	a.exec("UPDATE item SET name = 'said again' WHERE id = 'x'")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantDiverged(b)
	b.wantDiverged(a)
}

// Where a table is large, both devices say in which ranges of its keys they differ, rows that are held and keys under NOCASE
// included. A row that differs at the end of one range and one at the beginning of the next make one range.
func TestDevicesThatDivergeSayWhere(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE item (word TEXT COLLATE NOCASE NOT NULL, n NOT NULL, name TEXT, PRIMARY KEY (word, n)); CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)")
	a.exec(`WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 1000)
		INSERT INTO item SELECT iif(n % 2, 'Odd', 'even'), iif(n % 100, n, n + 0.5), 'of a' FROM k`)
	settle(a, b)
	a.differs, b.differs = true, true
	forget := func(keys string) {
		b.exec("BEGIN; UPDATE sqlitesync_clock_1 SET image = zeroblob(16) WHERE " + keys + "; UPDATE sqlitesync_digests SET digest = NULL; COMMIT")
		settle(b, a)
		a.exec("INSERT INTO other VALUES (hex(randomblob(8)))")
		for range 3 { // noticed, told, read
			settle(a, b)
		}
	}
	forget("(k0, k1) IN (VALUES ('even', 100.5), ('Odd', 777))")
	for _, d := range []*testDevice{a, b} {
		ranges := d.divergence().Ranges
		if len(ranges) != 2 || within(ranges, "even", 100.5) != 0 || within(ranges, "odd", int64(777)) != 1 ||
			within(ranges, "even", int64(500)) >= 0 || within(ranges, "odd", int64(1)) >= 0 {
			t.Errorf("they differ within %v", ranges)
		}
	}
	forget("k1 > 0")
	for _, d := range []*testDevice{a, b} {
		if ranges := d.divergence().Ranges; len(ranges) != 1 || ranges[0].After != nil || ranges[0].Through != nil {
			t.Errorf("they differ within %v, want everywhere", ranges)
		}
	}
}

// divergence returns the only one that the device knows of.
func (d *testDevice) divergence() Divergence {
	d.tb.Helper()
	diverged := d.syncer.Status().Diverged
	if len(diverged) != 1 {
		d.tb.Fatalf("diverged: %v, want one table", diverged)
	}
	return diverged[0]
}

// within returns in which range a key is, or -1.
func within(ranges []KeyRange, values ...any) int {
	key := changelog.Key(values)
	return slices.IndexFunc(ranges, func(r KeyRange) bool {
		return (r.After == nil || key.Compare(r.After) > 0) && (r.Through == nil || key.Compare(r.Through) <= 0)
	})
}

// What another device says of ranges may be anything, and then names none.
func TestRangesThatAreNone(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('m', 'of a', 1)")
	a.sync()
	table := a.syncer.db.Table("item")
	key := func(s string) string { return hex.EncodeToString([]byte(changelog.Key{s}.Identity())) }
	digest := changelog.Digest{}.String()
	var many []string
	for i := range maxRanges {
		many = append(many, key(string(rune('a'+i))))
	}
	for name, theirs := range map[string]headRanges{
		"nothing":             {},
		"a digest too few":    {Through: []string{key("a")}, Digests: []string{digest}},
		"a digest too many":   {Digests: []string{digest, digest}},
		"not hexadecimal":     {Through: []string{"x"}, Digests: []string{digest, digest}},
		"no key":              {Through: []string{""}, Digests: []string{digest, digest}},
		"a key of two values": {Through: []string{key("a") + key("a")}, Digests: []string{digest, digest}},
		"keys not in order":   {Through: []string{key("b"), key("a")}, Digests: []string{digest, digest, digest}},
		"a key twice":         {Through: []string{key("a"), key("a")}, Digests: []string{digest, digest, digest}},
		"too many":            {Through: many, Digests: make([]string, maxRanges+1)},
	} {
		known := &knowledge{digests: map[string]string{}}
		if ranges, err := a.syncer.differing(t.Context(), known, table, theirs); ranges != nil || err != nil {
			t.Errorf("%s: %v, %v", name, ranges, err)
		}
	}
	theirs := headRanges{Through: []string{key("a"), key("z")}, Digests: []string{digest, digest, digest}}
	known := &knowledge{digests: map[string]string{}}
	ranges, err := a.syncer.differing(t.Context(), known, table, theirs)
	if want := []KeyRange{{[]any{"a"}, []any{"z"}}}; err != nil || !reflect.DeepEqual(ranges, want) {
		t.Errorf("%v, %v, want %v", ranges, err, want)
	}
}

// A range is without what newer changes overrule, and those can still be on their way to its reader, which then knows less than who
// has read as much before the range was made. Neither says of the other that it is wrong.
func TestAReaderOfARangeIsNotAccusedOfWhatTheRangeLeavesOut(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	author, editor, early, late := devices[0], devices[1], devices[2], devices[3]
	author.exec("INSERT INTO item VALUES ('x', 'of the author', 1)")
	settle(author, early, editor)
	head, aside := filepath.Join(author.directory(), "head"), t.TempDir()
	copyTree(t, author.directory(), filepath.Join(aside, "before"))
	editor.exec("UPDATE item SET name = 'of the editor'")
	settle(editor, author)

	// The edit is still on its way, and so is the head that tells of the range.
	edit := editor.lastSegment()
	must(t, os.Rename(edit, filepath.Join(aside, "edit")))
	author.compactNext()
	author.sync()
	must(t, os.Rename(head, filepath.Join(aside, "head")))
	must(t, os.Rename(filepath.Join(aside, "before", "head"), head))
	late.sync()
	late.wantValue("0", "SELECT count(*) FROM item")
	early.wantValue("of the author", "SELECT name FROM item")
	wantSilence := func() {
		t.Helper()
		for range 2 {
			early.sync() // which complains if they differ
			late.sync()
		}
		if compared := late.compared(); len(compared) > 0 {
			t.Errorf("%q is compared although not all is there that the range is without", compared)
		}
	}
	wantSilence()
	late.reopen()
	wantSilence()
	must(t, os.Rename(filepath.Join(aside, "head"), head))
	wantSilence()
	late.reopen()
	wantSilence()

	must(t, os.Rename(filepath.Join(aside, "edit"), edit))
	settle(devices...)
	wantSame(t, devices)
	for i, d := range devices {
		if got, want := d.compared(), []string{`"item" ("id")`}; !slices.Equal(got, want) {
			t.Errorf("device %d lets %q be compared in the end, want %q", i, got, want)
		}
	}
}

// What a reader knows is compared too, though it never publishes what it has.
func TestAReaderTellsWhatItKnows(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	r := newReader(t, a, itemSchema)
	settle(a, r)
	for _, d := range []*testDevice{a, r} {
		if got, want := d.compared(), []string{`"item" ("id")`}; !slices.Equal(got, want) {
			t.Errorf("device %s lets %q be compared, want %q", d.id().Short(), got, want)
		}
	}
}

// compared returns of what d tells others the digest.
func (d *testDevice) compared() []string {
	d.tb.Helper()
	known, err := d.syncer.knowledge(d.context())
	must(d.tb, err)
	return slices.Sorted(maps.Keys(known.digests))
}

// Two copies of a machine, which have not met yet, have given one number to two batches, and each of two others has read one of them,
// because each has a copy of the folder of its own. None of the two is wrong, and none is said to be.
func TestWhoReadsTwoBranchesOfALogHasNotDiverged(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(devices...)
	settle(devices...)
	twin := copyOf(a)
	clock.give(twin)
	twin.open()
	before := a.id()
	branches := make(map[*testDevice]string) // what the directory of both is for each
	from := func(d *testDevice, branch string) {
		t.Helper()
		here := filepath.Join(a.folder, "devices", before.String())
		must(t, os.RemoveAll(here))
		copyTree(t, branch, here)
		d.sync()
		must(t, os.RemoveAll(branch))
		copyTree(t, here, branch)
	}
	for d, statement := range map[*testDevice]string{a: "INSERT INTO item VALUES ('1', 'of the original', 1)", twin: "UPDATE item SET n = 2"} {
		branches[d] = filepath.Join(t.TempDir(), "branch")
		copyTree(t, a.directory(), branches[d])
		d.exec(statement)
	}
	keys, err := a.options.Keys.Load(t.Context(), before.String())
	must(t, err)
	from(a, branches[a])
	must(t, a.options.Keys.Save(t.Context(), before.String(), keys)) // the twin has its own
	from(twin, branches[twin])
	if twin.id() != before {
		t.Fatal("it was noticed too early for the test")
	}
	for range 4 {
		from(b, branches[a]) // which complain if they differ
		from(c, branches[twin])
		clock.pass(2 * headInterval)
	}
	b.wantValue("2", "SELECT count(*) FROM item")
	c.wantValue("1", "SELECT count(*) FROM item")

	from(a, branches[twin]) // they meet
	all := append(devices, twin)
	for range 4 {
		settle(all...)
		clock.pass(2 * headInterval)
	}
	wantSame(t, all)
	c.wantValue("2", "SELECT count(*) FROM item")
	for _, d := range all {
		d.wantHealthy()
	}
}

// One of two copies of a machine writes anew what both gave numbers to, so that who has read the other one goes on inside of a range.
func TestWhoGoesOnInsideARangeOfAnotherBranchHasNotDiverged(t *testing.T) {
	t.Parallel()
	for range 4 { // of edits of one moment the ids of devices decide
		devices := newSpace(t, itemSchema, 3)
		a, b, c := devices[0], devices[1], devices[2]
		clock := newTestClock(devices...)
		a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
		settle(a, b)
		twin := copyOf(a)
		clock.give(twin)
		twin.open()
		before := a.id()
		keys, err := a.options.Keys.Load(t.Context(), before.String())
		must(t, err)
		a.exec("INSERT INTO item VALUES ('1', 'of the original', 1)")
		settle(a, b)
		must(t, os.Remove(a.lastSegment()))
		must(t, a.options.Keys.Save(t.Context(), before.String(), keys)) // the twin has its own
		b.withoutHead()                                                  // it would say that there is more
		twin.writeBatches(2, func(i int) string { return "UPDATE item SET n = n + 1" })
		twin.compactNext()
		twin.sync()
		twin.sync()
		clock.pass(graceTime)
		twin.sync()
		if twin.id() != before || len(twin.segments()) != 1 {
			t.Fatal("it was noticed too early for the test")
		}
		b.differs, c.differs, twin.differs = true, true, true // nothing tells until it is known that there is a copy
		for range 3 {
			settle(b, c, twin)
		}
		all := append(devices, twin)
		settle(all...)
		settle(all...)
		b.differs, c.differs, twin.differs = false, false, false
		for range 3 {
			settle(all...)
			clock.pass(2 * headInterval)
		}
		wantSame(t, all)
		c.wantValue("2", "SELECT count(*) FROM item")
		for _, d := range all {
			d.wantHealthy()
		}
	}
}
