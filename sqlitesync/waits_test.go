package sqlitesync

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A device that is opened for one pass at a time, as by a timer, does not begin to
// wait anew each time, neither for what another one had seen nor, once it has gone
// on without it, for the same again.
func TestWaitsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO item VALUES ('lost', 'a', 1)")
	a.sync()
	hidden := a.lastSegment()
	b.sync()
	b.exec("INSERT INTO item VALUES ('x', 'b', 1)")
	b.sync()
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(hidden, away))
	clock := newTestClock(c)
	pass := func(want string) {
		t.Helper()
		c.reopen()
		c.sync()
		c.wantValue(want, "SELECT name FROM item WHERE id = 'x'")
	}
	pass("no row")
	clock.pass(causalWait / 2)
	pass("no row")
	clock.pass(-time.Hour) // the clock is set right: what was waited is not known then
	pass("no row")
	clock.pass(time.Hour + causalWait)
	pass("b")
	b.exec("UPDATE item SET name = 'b again' WHERE id = 'x'")
	b.sync()
	pass("b again")
	if waiting := c.syncer.Status().Waiting; len(waiting) != 1 || !waiting[0].Overdue || waiting[0].Device != a.id() {
		t.Errorf("waiting %+v, want a, overdue", waiting)
	}
	must(t, os.Rename(away, hidden))
	settle(devices...)
	wantSame(t, devices)
	wantQuiet(t, devices...)
	c.wantValue("", "SELECT coalesce((SELECT json_extract(value, '$.waiting') FROM sqlitesync_settings WHERE name = 'waiting'), '')")
}

// Nor does it keep rows of its own for ever, for which a log that can't be read is waited.
func TestBaselinesAreNotKeptByPassesOfOneProcessEach(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	must(t, os.WriteFile(g.path, g.data[:100], 0o600))
	d := newTestDevice(t, itemSchema)
	d.exec("INSERT INTO item VALUES ('d', 'of d', 1)")
	d.options.Existing = MergeExisting
	clock := newTestClock(d)
	d.join(g.a.folder, g.a.invite())
	d.problem()
	d.reopen()
	_ = d.trySync()
	if len(d.segments()) != 0 {
		t.Error("published before it was known what the space has")
	}
	clock.pass(causalWait + time.Second)
	d.reopen()
	_ = d.trySync()
	if len(d.segments()) == 0 {
		t.Error("nothing is published after a minute")
	}
}

// Of several batches that its author had seen and that are missing, one is waited for: not another one in each pass, or the
// minute would begin anew each time, and a device that enters a space in which some are lost would wait for ever.
func TestTheWaitForOneOfSeveralMissingBatchesIsAMinute(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 9)
	a, n, lost := devices[0], devices[1], devices[2:]
	n.close()
	for _, d := range lost {
		d.exec("INSERT INTO item VALUES (?, 'of a lost one', 1)", d.id().String())
		d.sync()
	}
	a.sync()
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	a.sync()
	for _, d := range lost {
		must(t, os.RemoveAll(d.directory()))
	}
	beat := time.Now()
	n.environment.Steady = func() time.Time { return beat }
	n.open()
	n.sync()
	n.wantValue("0", "SELECT count(*) FROM item")
	for range 6 {
		beat = beat.Add(causalWait / 6)
		n.sync()
	}
	n.wantValue("1", "SELECT count(*) FROM item WHERE id = 'x'")
}

// What was written down by a clock that was ahead does not hold until the clock has come so far again.
func TestAWaitThatBeganInTheFutureEnds(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO item VALUES ('lost', 'a', 1)")
	a.sync()
	hidden := a.lastSegment()
	b.sync()
	b.exec("INSERT INTO item VALUES ('x', 'b', 1)")
	b.sync()
	must(t, os.Remove(hidden))
	clock := newTestClock(c)
	clock.pass(365 * 24 * time.Hour)
	c.reopen()
	c.sync()
	clock.pass(-365 * 24 * time.Hour) // it is set right
	for range 3 {
		c.reopen()
		c.sync()
		clock.pass(causalWait)
	}
	c.wantValue("b", "SELECT name FROM item WHERE id = 'x'")
}

// What a more senior admin does not do is done by the next one, also by a process that does one pass at a time.
func TestADutyIsDoneByPassesOfOneProcessEach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, b := newPair(t, itemSchema)
	settle(a, b)
	clock := newTestClock(b)
	b.reopen()
	_, err := b.syncer.Invite(ctx, &InviteOptions{Expires: time.Hour})
	must(t, err)
	clock.pass(2 * time.Hour)
	for wait, want := range []int{1, 1, 0} { // it has expired; half a turn later; and once that is over
		b.reopen()
		b.sync()
		if invites, err := b.syncer.Invites(ctx); err != nil || len(invites) != want {
			t.Errorf("after %d half turns: invites %v, error %v, want %d", wait, invites, err, want)
		}
		clock.pass(dutyWait/2 + time.Second)
	}
	b.sync()
	b.wantValue("0", "SELECT count(*) FROM sqlitesync_settings WHERE name = 'owed'")
}

// A device of which something is overdue is not waited for again. What is merely late of another one is, whatever their ids.
func TestALateBatchIsWaitedForBesideALostOne(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	a, n, lost, late := devices[0], devices[1], devices[2], devices[3]
	if lost.id().String() > late.id().String() {
		lost, late = late, lost
	}
	beat := time.Now()
	n.environment.Steady = func() time.Time { return beat }
	n.reopen()
	lost.exec("INSERT INTO item VALUES ('lost', 'of the lost one', 1)")
	settle(lost, a)
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	a.sync()
	must(t, os.RemoveAll(lost.directory()))
	n.sync()
	beat = beat.Add(causalWait)
	n.sync()
	n.wantValue("1", "SELECT count(*) FROM item WHERE id = '1'") // it was waited for the lost one

	late.exec("INSERT INTO item VALUES ('late', 'of the late one', 1)")
	settle(late, a)
	a.exec("UPDATE item SET name = 'edited' WHERE id = 'late'")
	a.sync()
	file := late.lastSegment()
	data, err := os.ReadFile(file)
	must(t, err)
	must(t, os.Remove(file))
	n.sync()
	n.wantValue("0", "SELECT count(*) FROM item WHERE id = 'late'")
	must(t, os.WriteFile(file, data, 0o600))
	n.sync()
	n.wantValue("edited", "SELECT name FROM item WHERE id = 'late'")
}

// What a revoked device has not delivered it never will: it is not said for ever that the others go on without it.
func TestNothingIsOverdueOfARevokedDevice(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, n, lost := devices[0], devices[1], devices[2]
	clock := newTestClock(n)
	n.environment.Steady = clock.read
	n.reopen()
	lost.exec("INSERT INTO item VALUES ('lost', 'of the lost one', 1)")
	settle(lost, a)
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	a.sync()
	must(t, os.RemoveAll(lost.directory()))
	n.sync()
	clock.pass(causalWait)
	n.sync()
	waiting := n.syncer.Status().Waiting
	if len(waiting) != 1 || !waiting[0].Overdue || waiting[0].Device != lost.id() {
		t.Fatalf("waiting %+v, want what the lost device has written", waiting)
	}
	if hint := waiting[0].Hint(); !strings.Contains(hint, "revoke it") {
		t.Errorf("the hint %q does not say what to do if there is no such device any more", hint)
	}
	must(t, a.syncer.Relay(t.Context(), lost.id()))
	a.revoke(lost)
	settle(a, n)
	wantSame(t, []*testDevice{a, n})
	n.wantHealthy()
	n.reopen()
	n.sync()
	n.wantHealthy()
}

// A file that is gone of a device that is lost, too, nobody makes again. What to do is said, and helps.
func TestAGapInTheLogOfALostDevice(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, n, lost := devices[0], devices[1], devices[2]
	clock := newTestClock(a, n)
	lost.exec("INSERT INTO item VALUES ('1', 'of the lost one', 1)")
	lost.sync()
	gone := lost.lastSegment()
	lost.exec("INSERT INTO item VALUES ('2', 'of the lost one', 1)")
	settle(lost, a)
	must(t, os.Remove(gone))
	a.revoke(lost)
	for range 8 {
		settle(a, n)
		clock.pass(relayTurn)
	}
	n.wantValue("2", "SELECT count(*) FROM item")
	waiting := n.syncer.Status().Waiting
	if len(waiting) != 1 || waiting[0].Device != lost.id() || waiting[0].For != lost.id() {
		t.Fatalf("waiting %+v, want the missing file", waiting)
	}
	if hint := waiting[0].Hint(); !strings.Contains(hint, "directory can be removed") {
		t.Errorf("the hint %q says nothing that helps", hint)
	}
	must(t, os.RemoveAll(lost.directory()))
	settle(a, n)
	n.wantHealthy()
	n.reopen()
	n.sync()
	n.wantHealthy()
	wantSame(t, []*testDevice{a, n})
}

// What a device writes after it was revoked nobody uses: that a part of it is missing lets nobody wait.
func TestNobodyWaitsForWhatIsNotAccepted(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, n, thief := devices[0], devices[1], devices[2]
	thief.exec("INSERT INTO item VALUES ('1', 'of the thief', 1)")
	settle(thief, a, n)
	thief.own()
	a.revoke(thief)
	thief.writeBatches(2, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('after %d', 'of the thief', 1)", i) })
	name, err := filepath.Rel(thief.folder, thief.lastSegment())
	must(t, err)
	deliver(t, thief.folder, a.folder, name)
	settle(a, n)
	a.wantHealthy()
	n.wantHealthy()
	n.wantValue("1", "SELECT count(*) FROM item")
}
