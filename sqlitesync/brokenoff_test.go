package sqlitesync

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// countdown is a context that ends when it was asked so many times whether it has, which is before each statement. What
// is broken off before COMMIT is what a full disk makes of it: the transaction is taken back, and the process goes on.
type countdown struct {
	context.Context //nolint:containedctx // it is one
	left            int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// passUntil runs a pass of a device that is broken off before a statement, and reports whether it was.
func (d *testDevice) passUntil(statement int) (broken bool) {
	d.tb.Helper()
	ctx := &countdown{context.Background(), statement}
	must(d.tb, d.syncer.pass.lock(context.Background()))
	defer d.syncer.pass.unlock()
	_ = d.syncer.onePass(ctx)
	return ctx.left < 0
}

// A record counts as read when it is written down, and not before: who takes it for one that is known never learns of the
// member that it admits.
func TestARecordThatCouldNotBeWrittenDownIsReadAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for statement, known := 0, false; !known; statement++ {
		c := newTestDevice(t, itemSchema)
		c.join(b.folder, b.invite())
		c.exec("INSERT INTO item VALUES (?, 'of c', 1)", fmt.Sprint(statement))
		c.sync()
		if !a.passUntil(statement) {
			t.Fatal("the pass has read no record")
		}
		_, known = a.syncer.roster.Member(c.id())
		a.sync()
		a.wantValue(fmt.Sprint(statement+1), "SELECT count(*) FROM item")
		a.wantHealthy()
		c.close()
	}
}

// A decision that could not be written down was not taken: the next pass does not publish it.
func TestADecisionThatCouldNotBeWrittenDownIsNoDecision(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	for statement, decided := 0, false; !decided; statement++ {
		record, err := a.syncer.roster.NewRole(a.syncer.keys.entry().Device, crypto.Cut{Device: c.id()}, RoleWriter, a.syncer.now())
		must(t, err)
		f, err := a.syncer.openFolder()
		must(t, err)
		ctx := &countdown{context.Background(), statement}
		err = a.syncer.enact(ctx, f, record)
		if decided = err == nil; !decided && ctx.left >= 0 {
			t.Fatal(err)
		}
		must(t, f.Close())
		a.sync()
		records, err := filepath.Glob(filepath.Join(a.folder, "roster", "*"))
		must(t, err)
		standing := slices.Contains(records, filepath.Join(a.folder, "roster", record.Hash().String()))
		if standing != decided {
			t.Errorf("broken off before statement %d: decided %v, in the folder %v", statement, decided, standing)
		}
	}
	c.exec("INSERT INTO item VALUES ('1', 'of c', 1)")
	settle(devices...)
	wantSame(t, devices)
	wantQuiet(t, a, b, c)
}

// What is relayed counts as relayed when it is in the outbox: a pass that was broken off just before that is no reason for
// those that follow to leave it.
func TestARelayThatIsBrokenOffIsRepeated(t *testing.T) {
	t.Parallel()
	const most = 1000
	statements := most
	for before := range 5 { // how many statements before its end
		b := newTestDevice(t, itemSchema)
		b.exec("INSERT INTO item VALUES ('1', 'of the baseline', 1)")
		b.create(t.TempDir())
		b.sync()
		a := newTestDevice(t, itemSchema)
		a.join(b.folder, b.invite())
		b.exec("INSERT INTO item VALUES ('2', 'of b', 1)")
		settle(a, b)
		clock := newTestClock(a)
		code := a.invite()
		must(t, os.RemoveAll(b.directory()))
		a.sync()
		clock.pass(lostTime + relayTurn)
		ctx := &countdown{context.Background(), statements - before}
		must(t, a.syncer.pass.lock(t.Context()))
		err := a.syncer.relay(ctx, b.id(), 0)
		a.syncer.pass.unlock()
		if before == 0 {
			must(t, err)
			statements -= ctx.left
		} else {
			wantIs(t, err, context.Canceled)
		}
		a.sync()
		a.sync()
		c := newTestDevice(t, itemSchema)
		c.join(a.folder, code)
		clock.give(c)
		c.sync()
		c.waitedLongEnough()
		c.sync()
		if got := c.value("SELECT count(*) FROM item"); got != "2" {
			t.Errorf("broken off %d statements before the end: %s rows, want 2", before, got)
		}
	}
}

// A log that could not be written anew, for a full disk or because the pass was broken off, is written anew by the next pass,
// and not when it has grown once more.
func TestACompactionThatIsBrokenOffIsRepeated(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	for i := range maxLive + 5 {
		a.exec("INSERT INTO item VALUES (?, 'of a', 1)", fmt.Sprint(i))
		must(t, a.syncer.foldInSteps(t.Context()))
	}
	a.sync() // publishes them
	f, err := a.syncer.openFolder()
	must(t, err)
	defer f.Close()
	var found problems
	must(t, a.syncer.confirm(t.Context(), f, &found))
	wantIs(t, a.syncer.compact(&countdown{context.Background(), 10}, f), context.Canceled)
	a.sync()
	a.sync()
	if live, err := a.syncer.ownSegments(t.Context(), "replaced IS NULL"); err != nil || len(live) > maxLive {
		t.Errorf("%d segments and error %v, want %d segments at most", len(live), err, maxLive)
	}
}

// A pass that is broken off once edits were taken back tells of it, and that tables show something else, as any other.
func TestEditsThatWereUndoneAreToldOfIfThePassIsBrokenOff(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	r := newReader(t, a, itemSchema)
	r.sync()
	for statement, broken := 0, true; broken; statement++ {
		events := r.syncer.events.subscribe()
		r.exec("INSERT INTO item VALUES ('x', 'of a reader', 1)")
		broken = r.passUntil(statement)
		r.sync()
		told := make(map[EventKind]int)
		for event, ok := events.take(); ok; event, ok = events.take() {
			told[event.Kind]++
		}
		r.syncer.events.unsubscribe(events)
		if r.wantValue("0", "SELECT count(*) FROM item"); told[EventUndone] != 1 || told[EventApplied] != 1 {
			t.Errorf("broken off before statement %d: told %v", statement, told)
		}
	}
}

// A name that could not be written down is not the device's name.
func TestANameThatCouldNotBeWrittenDown(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	before := a.options.DeviceName
	a.exec("CREATE TRIGGER refuses BEFORE INSERT ON sqlitesync_settings WHEN NEW.name = 'options' BEGIN SELECT RAISE(ABORT, 'refused'); END")
	if a.syncer.Rename(t.Context(), "another") == nil {
		t.Fatal("it was written down")
	}
	a.exec("DROP TRIGGER refuses")
	devices, err := a.syncer.Devices(t.Context())
	must(t, err)
	for _, device := range devices {
		if device.Self && device.Name != before {
			t.Errorf("the device is called %q, want %q", device.Name, before)
		}
	}
}
