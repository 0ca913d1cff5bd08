package sqlitesync

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// verify returns what Verify has found, a line each.
func (d *testDevice) verify() (report *Report, found []string) {
	d.tb.Helper()
	report, err := d.syncer.Verify(d.tb.Context())
	must(d.tb, err)
	for _, fault := range report.Faults {
		found = append(found, fmt.Sprint(fault.Table, " ", fault.Key, " ", fault.Kind))
	}
	slices.Sort(found)
	return report, found
}

// wantVerified makes sure that Verify finds just this.
func (d *testDevice) wantVerified(want ...string) {
	d.tb.Helper()
	report, found := d.verify()
	if !slices.Equal(found, want) {
		d.tb.Errorf("found %q, want %q", found, want)
	}
	if !report.Whole || report.More > 0 {
		d.tb.Errorf("whole %v, %d more", report.Whole, report.More)
	}
	if len(want) == 0 && !report.Healthy() {
		d.tb.Errorf("not healthy: %+v", report)
	}
}

const verifySchema = itemSchema + "; CREATE TABLE pin (a INTEGER, b TEXT COLLATE NOCASE, c, PRIMARY KEY (a, b)) WITHOUT ROWID"

// A database with all that rows can be: baseline, merged, edited, deleted, held, combined, compacted, conflicting.
func TestVerifyFindsNothingWrong(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, verifySchema+"; CREATE TABLE name (id TEXT PRIMARY KEY NOT NULL, n TEXT UNIQUE)")
	a.exec("INSERT INTO item VALUES ('1', 'a', 1), ('2', 'a', 2), ('3', 'a', 3); INSERT INTO pin VALUES (1, 'x', 1.5), (2, 'Y', NULL)")
	settle(a, b)
	a.exec("UPDATE item SET n = 5 WHERE id = '1'; DELETE FROM item WHERE id = '2'; INSERT INTO name VALUES ('a', 'same')")
	b.exec("UPDATE item SET n = 6 WHERE id = '1'; INSERT INTO name VALUES ('b', 'same'); UPDATE pin SET b = 'y' WHERE a = 2")
	settle(a, b)
	b.exec("INSERT INTO item VALUES ('2', 'again', 1); ALTER TABLE item ADD COLUMN more TEXT; UPDATE item SET more = 'm' WHERE id = '3'")
	settle(a, b)
	clock := newTestClock(a, b)
	compactNow(clock, a, b)
	for _, d := range []*testDevice{a, b} {
		d.wantVerified()
		report, _ := d.verify()
		if report.Rows != 6 || report.Changes == 0 {
			t.Errorf("compared %d rows and %d changes, want 6 and some", report.Rows, report.Changes)
		}
	}
}

// What was written while the triggers were gone is named, and so is what our own tables were told behind everyone's back.
func TestVerifyNamesRows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, script, want string }{
		{"altered", "UPDATE item SET name = 'other' WHERE id = '1'; DELETE FROM sqlitesync_log", "item [1] altered"},
		{"added", "INSERT INTO pin VALUES (3, 'z', 1); DELETE FROM sqlitesync_log", "pin [3 z] added"},
		{"gone", "DELETE FROM item WHERE id = '2'; DELETE FROM sqlitesync_log", "item [2] gone"},
		{"a merge that was lost", "DELETE FROM item WHERE id = '1'; DELETE FROM sqlitesync_log; DELETE FROM sqlitesync_clock_1 WHERE k0 = '1'; UPDATE sqlitesync_digests SET digest = NULL", "item [1] missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, verifySchema)
			a.exec("INSERT INTO item VALUES ('1', 'a', 1), ('2', 'a', 2); INSERT INTO pin VALUES (1, 'x', 1.5)")
			settle(a, b)
			b.differs = true
			b.exec("BEGIN; " + test.script + "; COMMIT")
			b.wantVerified(test.want)
			a.wantVerified()
		})
	}
	t.Run("a winner that nobody wrote", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t, verifySchema)
		a.exec("INSERT INTO item VALUES ('1', 'a', 1), ('2', 'a', 2)")
		settle(a, b)
		b.differs = true
		b.exec("UPDATE sqlitesync_clock_1 SET time = time + 1 WHERE k0 = '1'")
		report, found := b.verify()
		if want := []string{"item [1] unfounded"}; !slices.Equal(found, want) {
			t.Errorf("found %q, want %q", found, want)
		}
		if want := []string{`"item" ("id")`}; !slices.Equal(report.Digests, want) {
			t.Errorf("digests %q, want %q", report.Digests, want)
		}
	})
}

// A log that is not there whole does not make what it told unfounded.
func TestVerifyWithAPartOfTheLogs(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, verifySchema)
	for i := range 3 {
		a.exec("INSERT INTO item VALUES (?, 'a', 1)", fmt.Sprint(i))
		a.sync()
	}
	settle(a, b)
	names, err := filepath.Glob(filepath.Join(a.directory(), "*.seg"))
	must(t, err)
	must(t, os.Remove(names[1]))
	report, found := b.verify()
	if report.Whole || len(found) > 0 {
		t.Errorf("whole %v, found %q", report.Whole, found)
	}
}

// The scrub finds what Verify finds, a page at a time, tells it once, and takes it back when it is mended.
func TestScrub(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, verifySchema)
	a.exec("INSERT INTO item VALUES ('1', 'a', 1), ('2', 'a', 2); INSERT INTO pin VALUES (1, 'x', 1.5)")
	settle(a, b)
	round := func() {
		t.Helper()
		for range 4 {
			must(t, a.syncer.turn(t.Context(), "scrub", a.syncer.scrub))
		}
	}
	round()
	if altered := a.syncer.Status().Altered; len(altered) > 0 {
		t.Errorf("altered: %v", altered)
	}
	events := a.syncer.events.subscribe()
	a.exec("BEGIN; UPDATE item SET name = 'b'; DELETE FROM sqlitesync_log; COMMIT")
	round()
	round()
	if altered, want := a.syncer.Status().Altered, []Alteration{{"item", 2}}; !slices.Equal(altered, want) {
		t.Errorf("altered: %v, want %v", altered, want)
	}
	if event, ok := events.take(); !ok || event.Kind != EventAltered || event.Rows != 2 {
		t.Errorf("event %v", event)
	}
	if event, ok := events.take(); ok {
		t.Errorf("told again: %v", event)
	}
	a.exec("UPDATE item SET name = name")
	settle(a, b)
	b.wantValue("2", "SELECT count(*) FROM item WHERE name = 'b'")
	round()
	if altered := a.syncer.Status().Altered; len(altered) > 0 {
		t.Errorf("altered, after it was written again: %v", altered)
	}
}

// Who closes the app after a minute each time has all rows looked at, too.
func TestTheScrubGoesOnWhereItWasClosed(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t, verifySchema)
	d.create(t.TempDir())
	const rows = 2*scrubRows + 10
	d.exec("WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO item SELECT printf('%06d', i), 'a', 1 FROM n", rows)
	d.sync()
	d.exec("BEGIN; UPDATE item SET name = 'b' WHERE id = (SELECT max(id) FROM item); DELETE FROM sqlitesync_log; COMMIT")
	for range 2 * len(d.syncer.db.Tables) * (rows/scrubRows + 1) {
		must(t, d.syncer.turn(t.Context(), "scrub", d.syncer.scrub))
		if altered := d.syncer.Status().Altered; slices.Equal(altered, []Alteration{{"item", 1}}) {
			return
		}
		d.reopen()
	}
	t.Error("what was altered was not found")
}

// Logs go on while Verify runs, and files come in any order: what is still on its way is no fault.
func TestVerifyWhileRangesAreOnTheirWay(t *testing.T) {
	t.Parallel()
	t.Run("what a range leaves out is overruled by what is not here yet", func(t *testing.T) {
		t.Parallel()
		devices := newSpace(t, verifySchema, 3)
		a, b, c := devices[0], devices[1], devices[2]
		a.exec("INSERT INTO item VALUES ('x', 'a', 1), ('y', 'a', 1)")
		settle(devices...)
		b.exec("UPDATE item SET name = 'b' WHERE id = 'x'")
		settle(b, a)
		put := b.withhold()
		head := filepath.Join(a.directory(), "head")
		before, err := os.ReadFile(head)
		must(t, err)
		compactNow(newTestClock(devices...), a)
		after, err := os.ReadFile(head)
		must(t, err)
		for _, content := range [][]byte{before, after} { // the head can come later than the range
			must(t, os.WriteFile(head, content, 0o600))
			if report, found := c.verify(); report.Whole || len(found) > 0 {
				t.Errorf("whole %v, found %q", report.Whole, found)
			}
		}
		put()
		c.wantVerified()
	})
	t.Run("a range comes after the pass", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t, verifySchema)
		a.exec("INSERT INTO item VALUES ('x', 'a', 1), ('y', 'a', 1)")
		settle(a, b)
		a.exec("UPDATE item SET name = 'later' WHERE id = 'x'")
		a.sync()
		compactNow(newTestClock(a, b), a)
		report := new(Report)
		must(t, b.syncer.turn(t.Context(), "verify", func(ctx context.Context) error { return b.syncer.verifyAll(ctx, report) }))
		if report.Whole || !report.Healthy() {
			t.Errorf("found %+v", report)
		}
		b.wantVerified()
	})
}

// Of two databases that had a row before they met the stamps are equal, and the contents decide.
func TestVerifyRowsOfTwoBaselines(t *testing.T) {
	t.Parallel()
	a, b := newTestDevice(t, verifySchema), newTestDevice(t, verifySchema)
	a.exec("INSERT INTO item VALUES ('1', 'a', 1), ('2', 'a', 2), ('3', 'a', 3)")
	b.exec("INSERT INTO item VALUES ('1', 'b', 1), ('2', 'b', 2), ('3', 'b', 3)")
	a.create(t.TempDir())
	b.options.Existing = MergeExisting
	b.join(a.folder, a.invite())
	settle(a, b)
	for range 2 {
		a.wantVerified()
		b.wantVerified()
		compactNow(newTestClock(a, b), a, b)
	}
	late := newTestDevice(t, verifySchema)
	late.join(a.folder, a.invite())
	settle(a, b, late)
	wantSame(t, []*testDevice{a, b, late})
	late.wantVerified()
}
