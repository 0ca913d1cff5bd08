package sqlitesync

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
)

// Who has read what a lost device has written applies nothing of it again when it is relayed; who has not, all of it, once.
func TestWhatIsRelayedIsAppliedOnce(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	a, b, lost, behind := devices[0], devices[1], devices[2], devices[3]
	lost.exec("INSERT INTO item VALUES ('kept', 'of the lost', 1), ('edited', 'of the lost', 1), ('deleted', 'of the lost', 1)")
	settle(lost, a, b)
	lost.exec("UPDATE item SET n = 2 WHERE id = 'kept'")
	lost.exec("DELETE FROM item WHERE id = 'deleted'")
	b.exec("UPDATE item SET name = 'of b' WHERE id = 'edited'")
	settle(lost, a, b)
	must(t, os.RemoveAll(lost.directory()))
	applied := func(d *testDevice) (rows int) {
		events := d.syncer.events.subscribe()
		defer d.syncer.events.unsubscribe(events)
		d.sync()
		d.waitedLongEnough()
		d.sync()
		for event, ok := events.take(); ok; event, ok = events.take() {
			if event.Kind == EventApplied {
				rows += event.Rows
			}
		}
		return rows
	}
	must(t, a.syncer.Relay(t.Context(), lost.id()))
	a.sync()
	if n := len(a.segments()); n == 0 {
		t.Fatal("nothing was relayed")
	}
	if rows := applied(b); rows > 0 {
		t.Errorf("who had read all applies %d rows", rows)
	}
	if rows := applied(behind); rows == 0 {
		t.Error("who had read nothing applies nothing")
	}
	if rows := applied(behind); rows > 0 {
		t.Errorf("it applies %d rows again", rows)
	}
	wantSame(t, []*testDevice{a, b, behind})
	for _, d := range []*testDevice{a, b, behind} {
		if n := len(d.conflicts()); n > 0 {
			t.Errorf("%d conflicts", n)
		}
	}
}

// A device is lost with its directory. An admin device relays what it holds of it:
// everybody who enters later has its rows, and those that it deleted stay so. So it is
// with a row of which the admin device's own log has nothing any more, because the lost
// one had edited it.
func TestALostDirectoryIsRelayed(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + `; CREATE TABLE note (id INTEGER PRIMARY KEY, code TEXT UNIQUE, text TEXT)`
	for name, order := range map[string]func(a, b *testDevice, clock *testClock){
		"after a week": func(a, b *testDevice, clock *testClock) {
			a.sync()
			clock.pass(lostTime + relayTurn) // b is the more senior admin
		},
		"at once": func(a, b *testDevice, clock *testClock) { must(t, a.syncer.Relay(t.Context(), b.id())) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestDevice(t, schema)
			b.exec("INSERT INTO note VALUES (1, 'x', 'of the baseline'), (2, 'y', 'of the baseline'), (3, 'z', 'edited by a')")
			b.create(t.TempDir())
			b.sync()
			a := newTestDevice(t, schema)
			a.join(b.folder, b.invite())
			settle(a, b)
			b.exec("INSERT INTO item VALUES ('kept', 'of b', 1), ('edited', 'of b', 1), ('deleted', 'of b', 1)")
			settle(a, b)
			a.exec("UPDATE item SET name = 'of a' WHERE id = 'edited'")
			a.exec("INSERT INTO item VALUES ('overruled', 'of a', 1)")
			a.exec("UPDATE note SET text = 'of a' WHERE id = 3")
			settle(a, b)
			b.exec("DELETE FROM item WHERE id = 'deleted'")
			b.exec("UPDATE item SET name = 'of b' WHERE id = 'overruled'")
			b.exec("UPDATE note SET text = 'of b' WHERE id = 1")
			a.exec("INSERT INTO note VALUES (4, 'w', 'the newer of two claims')")
			tick()
			b.exec("INSERT INTO note VALUES (5, 'w', 'held')")
			settle(a, b)
			settle(a, b)
			clock := newTestClock(a, b)
			if n := a.logged("item", "overruled"); n != 1 {
				t.Fatalf("the log of a has %d changes of the row that b has edited", n)
			}
			a.compactNext()
			quietDown(clock, a, b)
			if n := a.logged("item", "overruled"); n != 0 { // so what b wrote stands in the log of b alone
				t.Fatalf("the log of a still has %d changes of the row that b has edited", n)
			}
			code := a.invite()
			must(t, os.RemoveAll(b.directory()))
			order(a, b, clock)
			for range 3 {
				a.sync()
			}
			before := len(a.segments())
			a.sync()
			if after := len(a.segments()); after != before {
				t.Errorf("%d more segments were published", after-before)
			}
			c := newTestDevice(t, schema)
			c.join(a.folder, code) // by its own clock the code has not expired
			clock.give(c)
			c.sync()
			c.waitedLongEnough() // for batches of b, which a had seen
			settle(a, c)
			wantSame(t, []*testDevice{a, c})
			c.wantValue("3", "SELECT count(*) FROM item")
			wantEverywhere("of b", "SELECT name FROM item WHERE id = 'overruled'", a, c)
			c.wantValue("of b", "SELECT text FROM note WHERE id = 1")
			c.wantValue("of the baseline", "SELECT text FROM note WHERE id = 2")
			if len(a.conflicts()) != len(c.conflicts()) && len(c.conflicts()) != 0 {
				t.Errorf("%d conflicts", len(c.conflicts()))
			}
			// The winner goes: what was held shows, on both.
			a.exec("DELETE FROM note WHERE code = 'w'")
			settle(a, c)
			wantSame(t, []*testDevice{a, c})
			a.wantValue("1", "SELECT count(*) FROM note WHERE code = 'w'")
			// The lost device is found.
			clock.give(b)
			for range 3 {
				_ = b.trySync() // its own files are gone: it makes them again
				clock.pass(time.Hour)
			}
			b.sync()
			settle(a, b, c)
			wantSame(t, []*testDevice{a, b, c})
			wantEverywhere("of b", "SELECT name FROM item WHERE id = 'overruled'", a, b, c)
		})
	}
}

// What a lost device had deleted stays so: its delete is relayed, and outlives compactions. Its directory comes back as it was before,
// and a newcomer reads both.
func TestDeletesOfALostDeviceAreRelayed(t *testing.T) {
	t.Parallel()
	for _, week := range []bool{false, true} {
		t.Run(fmt.Sprint("after a week=", week), func(t *testing.T) {
			t.Parallel()
			a, lost := newPair(t, itemSchema)
			lost.exec("INSERT INTO item VALUES ('kept', 'of the lost', 1), ('deleted', 'of the lost', 1)")
			settle(lost, a)
			before := filepath.Join(t.TempDir(), "before")
			copyState(t, lost.directory(), before)
			lost.exec("DELETE FROM item WHERE id = 'deleted'")
			settle(lost, a)
			clock := newTestClock(a)
			directory := lost.directory()
			must(t, os.RemoveAll(directory))
			if week {
				a.sync()
				clock.pass(lostTime + relayTurn)
			} else {
				must(t, a.syncer.Relay(t.Context(), lost.id()))
			}
			a.sync()
			a.sync()
			compactNow(clock, a)
			copyState(t, before, directory)
			a.tolerates = errFalseHead // the old one
			compactNow(clock, a)
			late := newTestDevice(t, itemSchema)
			late.tolerates = errFalseHead
			clock.give(late)
			late.join(a.folder, a.invite())
			late.sync()
			late.waitedLongEnough()
			settle(a, late)
			wantSame(t, []*testDevice{a, late})
			late.wantValue("kept", "SELECT group_concat(id) FROM item")
			if late.syncer.seen[lost.syncer.self()] == 0 {
				t.Error("the newcomer has read nothing of the lost device: the test shows nothing")
			}
		})
	}
}

// What was relayed is lost with the log of who has relayed it.
func TestWhatWasRelayedIsLostToo(t *testing.T) {
	t.Parallel()
	b := newTestDevice(t, itemSchema)
	b.create(t.TempDir())
	b.sync()
	a := newTestDevice(t, itemSchema)
	a.join(b.folder, b.invite())
	b.exec("INSERT INTO item VALUES ('kept', 'of b', 1)")
	settle(a, b)
	clock := newTestClock(a)
	code := a.invite()
	must(t, os.RemoveAll(b.directory()))
	a.sync()
	clock.pass(lostTime + relayTurn)
	a.sync()
	a.sync()
	must(t, os.Remove(a.lastSegment()))
	for range 3 {
		_ = a.trySync()
		clock.pass(vanishedTime)
	}
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, code)
	c.sync()
	c.waitedLongEnough()
	c.sync()
	c.wantValue("1", "SELECT count(*) FROM item")
}

// Years after a device was lost, and relayed, the one that has relayed it is lost, too. Whose device relays that one has never read the
// log of the first.
func TestWhoHasRelayedIsLostToo(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('kept', 'of b', 1), ('deleted', 'of b', 1)")
	settle(b, a)
	b.exec("DELETE FROM item WHERE id = 'deleted'")
	a.exec("INSERT INTO item VALUES ('own', 'of a', 1)")
	settle(b, a)
	clock := newTestClock(a)
	must(t, os.RemoveAll(b.directory()))
	a.sync()
	clock.pass(lostTime + relayTurn)
	a.sync()
	a.sync()
	c := newTestDevice(t, itemSchema)
	clock.give(c)
	c.join(a.folder, a.invite())
	c.sync()
	c.waitedLongEnough()
	settle(a, c)
	wantSame(t, []*testDevice{a, c})
	code := c.invite()
	must(t, os.RemoveAll(a.directory()))
	c.sync()
	for range 4 { // each of three admins has its turn
		clock.pass(lostTime)
		c.sync()
		c.sync()
	}
	d := newTestDevice(t, itemSchema)
	d.join(c.folder, code) // by its own clock the code has not expired
	clock.give(d)
	d.sync()
	d.waitedLongEnough()
	d.sync()
	d.wantValue("1", "SELECT count(*) FROM item WHERE id = 'own'")
	d.wantValue("1", "SELECT count(*) FROM item WHERE id = 'kept'")
	wantSame(t, []*testDevice{c, d})
	batches := c.value("SELECT max(substr(name, 14, 12)) FROM sqlitesync_segments")
	clock.pass(lostTime)
	settle(c, d)
	c.wantValue(batches, "SELECT max(substr(name, 14, 12)) FROM sqlitesync_segments")
}

// Who deletes what was relayed again and again is given up on like who deletes anything else: it does not go out for ever.
func TestSomebodyDeletesWhatWasRelayedAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('kept', 'of b', 1)")
	settle(b, a)
	clock := newTestClock(a)
	must(t, os.RemoveAll(b.directory()))
	a.sync()
	clock.pass(lostTime + relayTurn)
	a.sync()
	a.sync()
	var batches []string
	for range 16 {
		files, err := filepath.Glob(filepath.Join(a.directory(), "*.seg"))
		must(t, err)
		for _, file := range files {
			must(t, os.Remove(file))
		}
		_ = a.trySync()
		clock.pass(vanishedTime)
		_ = a.trySync()
		_ = a.trySync()
		batches = append(batches, a.value("SELECT max(substr(name, 14, 12)) FROM sqlitesync_segments"))
	}
	if last := batches[len(batches)-1]; last != batches[len(batches)/2] {
		t.Errorf("it goes out for ever: %v", batches)
	}
	wantText(t, a.problem(), "deleted again")
}

// waitedLongEnough makes a device go on without what it waits for.
func (d *testDevice) waitedLongEnough() {
	for id, w := range d.syncer.waiting {
		w.Since = w.Since.Add(-causalWait)
		d.syncer.waiting[id] = w
	}
}

// What is missing for a day only, or comes back, is not relayed.
func TestNothingIsRelayedTooEarly(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('x', 'of b', 1)")
	settle(a, b)
	clock := newTestClock(a)
	away := filepath.Join(t.TempDir(), "away") // and not beside it, under a name that looks like a copy
	must(t, os.Rename(b.directory(), away))
	a.sync()
	clock.pass(lostTime - time.Hour) // a is the founder
	a.sync()
	must(t, os.Rename(away, b.directory()))
	a.sync()
	clock.pass(2 * time.Hour)
	must(t, os.Rename(b.directory(), away))
	a.sync()
	a.reopen()
	a.sync()
	if n := len(a.segments()); n != 0 {
		t.Errorf("%d segments were published", n)
	}
	clock.pass(lostTime)
	a.sync()
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments were published, want one", n)
	}
}

// A table that was dropped here, or has lost a column, holds up nothing else that is relayed.
func TestRelayGoesOnWithoutWhatIsGone(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + "; CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE less (id TEXT PRIMARY KEY NOT NULL, v)"
	a, b := newPair(t, schema)
	b.exec("INSERT INTO item VALUES ('1', 'of b', 1); INSERT INTO gone VALUES ('1'); INSERT INTO less VALUES ('1', 'x')")
	settle(a, b)
	a.exec("DROP TABLE gone; ALTER TABLE less DROP COLUMN v")
	a.sync()
	code := a.invite()
	must(t, os.RemoveAll(b.directory()))
	must(t, a.syncer.Relay(t.Context(), b.id()))
	a.sync()
	c := newTestDevice(t, schema)
	c.join(a.folder, code)
	c.sync()
	c.waitedLongEnough() // for batches of b, which a had seen
	settle(a, c)
	c.wantValue("of b", "SELECT name FROM item")
}

// A device has written its log anew before it knew of its revocation, and has removed the only files that are accepted of
// it; or it has spoilt them. They count as lost.
func TestALogThatARevokedDeviceReplacedIsRelayed(t *testing.T) {
	t.Parallel()
	for _, anew := range []bool{true, false} {
		t.Run(fmt.Sprint("anew=", anew), func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			clock := newTestClock(devices...)
			c.writeBatches(6, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'of c', 1)", i) })
			settle(devices...)
			common := c.directory()
			c.own()
			a.revoke(c)
			_ = b.trySync()
			clock.pass(lostTime + relayTurn)
			for _, d := range []*testDevice{a, b} {
				_ = d.trySync()
				if n := len(d.segments()); n != 0 {
					t.Fatalf("%d segments: a log that stands was relayed", n)
				}
			}
			if anew {
				c.compactNext()
				quietDown(clock, c)
				must(t, os.RemoveAll(common))
				must(t, os.CopyFS(common, os.DirFS(c.directory())))
			} else {
				must(t, os.Truncate(filepath.Join(common, segmentName(3)), 100))
			}
			for range 2 {
				clock.pass(relayTurn)
				_ = a.trySync()
			}
			clock.pass(lostTime)
			for range 2 {
				_ = a.trySync()
			}
			late := newTestDevice(t, itemSchema)
			clock.give(late)
			late.join(a.folder, a.invite())
			late.waitedLongEnough()
			_ = late.trySync()
			late.wantValue("6", "SELECT count(*) FROM item")

			// And it is not waited for when a table is made anew.
			_ = b.trySync()
			clock.pass(lostTime + 4*relayTurn)
			b.exec("DROP TABLE item; " + itemSchema)
			for range 2 {
				_ = b.trySync()
			}
			b.wantValue("6", "SELECT count(*) FROM item")
			for _, problem := range b.syncer.Status().Problems {
				if strings.Contains(problem.Error(), "read all logs again") {
					t.Error(problem)
				}
			}
		})
	}
}

// A table that is made anew is read from all logs. What is lost of them it is not read without until an admin's device has had
// time to relay it; then it is.
func TestATableIsMadeAnewWithoutALostLog(t *testing.T) {
	t.Parallel()
	for how, lose := range map[string]func(a, c *testDevice) error{
		"whole":   func(_, c *testDevice) error { return os.RemoveAll(c.directory()) },
		"in part": func(_, c *testDevice) error { return os.Remove(c.segments()[0]) },
		"and revoked": func(a, c *testDevice) error {
			return errors.Join(os.RemoveAll(c.directory()), a.syncer.Revoke(t.Context(), c.id()))
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			for _, d := range []*testDevice{a, b, c, c} {
				d.exec("INSERT INTO item VALUES (hex(randomblob(8)), 'x', 1)")
				d.sync()
			}
			settle(a, b, c)
			clock := newTestClock()
			for _, d := range []*testDevice{a, b} {
				d.close()
				clock.give(d)
				d.open()
			}
			must(t, lose(a, c))
			settle(a, b)
			b.exec("DROP TABLE item; " + itemSchema)
			if err := b.trySync(); err == nil {
				t.Error("nothing is said")
			}
			if e := b.problem(); e.Device != c.id() || !strings.Contains(e.Hint, "relayed") {
				t.Errorf("device %s, hint %s", e.Device, e.Hint)
			}
			clock.pass(lostTime + 4*relayTurn)
			settle(a, b)
			settle(a, b)
			b.wantValue("4", "SELECT count(*) FROM item")
			b.wantHealthy()
			b.reopen()
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			wantQuiet(t, a, b)
		})
	}
}

// The table is made anew once more while the log stays lost: it is read again once more, too.
func TestATableIsMadeAnewTwiceWithoutALostLog(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	clock := newTestClock(a, b, c)
	for _, d := range devices {
		d.exec("INSERT INTO item VALUES (hex(randomblob(8)), 'x', 1)")
		d.sync()
	}
	settle(devices...)
	must(t, os.RemoveAll(c.directory()))
	settle(a, b)
	clock.pass(lostTime + 4*relayTurn)
	settle(a, b)
	for range 2 {
		b.exec("DROP TABLE item; " + itemSchema)
		settle(a, b)
		b.wantValue("3", "SELECT count(*) FROM item")
		b.wantHealthy()
	}
	wantSame(t, []*testDevice{a, b})

	// What vanishes of one's own is made again meanwhile: all that this device has written is known again.
	must(t, os.Remove(b.segments()[0]))
	_ = b.trySync()
	clock.pass(vanishedTime)
	settle(a, b)
	b.wantHealthy()
	d := newTestDevice(t, itemSchema)
	d.join(a.folder, a.invite())
	settle(a, b, d)
	d.waitedLongEnough()
	settle(d)
	wantSame(t, []*testDevice{a, b, d})
}

// A clock that was far ahead when the files went, and is right again, puts the relay off for no longer than a week.
func TestALostLogIsRelayedThoughTheClockWasPutBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('x', 'of b', 1)")
	settle(a, b)
	settle(a, b)
	clock := newTestClock(a)
	const ahead = 70 * 365 * 24 * time.Hour
	clock.pass(ahead)
	must(t, os.RemoveAll(b.directory()))
	a.sync()
	clock.pass(-ahead)
	a.sync()
	clock.pass(lostTime + relayTurn)
	a.sync()
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, a.invite())
	c.sync()
	c.waitedLongEnough()
	c.sync()
	c.wantValue("of b", "SELECT name FROM item")
}

// The only admin's device has made a table anew, and can't relay what it has forgotten with it. It says so, and what helps.
func TestAnAdminThatHasForgottenWhatItRelays(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	devices := []*testDevice{a}
	for range 2 {
		invite, err := a.syncer.Invite(t.Context(), &InviteOptions{Role: RoleWriter})
		must(t, err)
		d := newTestDevice(t, itemSchema)
		d.join(a.folder, invite.Code)
		devices = append(devices, d)
	}
	b, c := devices[1], devices[2]
	clock := newTestClock(devices...)
	for _, d := range devices {
		d.exec("INSERT INTO item VALUES (hex(randomblob(8)), 'x', 1)")
		d.sync()
	}
	settle(devices...)
	must(t, os.RemoveAll(c.directory()))
	settle(a, b)
	a.exec("DROP TABLE item; " + itemSchema)
	_ = a.trySync()
	clock.pass(lostTime + 4*relayTurn)
	settle(a, b)
	a.wantValue("2", "SELECT count(*) FROM item")
	if said := fmt.Sprint(a.syncer.Status().Warnings); !strings.Contains(said, "make that one an admin") {
		t.Errorf("warnings %s do not say what helps", said)
	}
	must(t, a.syncer.SetRole(t.Context(), b.id(), RoleAdmin))
	settle(b, a)
	wantEverywhere("3", "SELECT count(*) FROM item", a, b)
	for _, d := range []*testDevice{a, b} {
		d.wantHealthy()
	}
}

// What stands beside the segments that are lost, put there by a person, a file manager or a sync client, does not stand in their
// place: they are relayed, and a table that is made anew is read without them. What holds them under another name does.
func TestALogThatIsLostBesideOtherFilesIsRelayed(t *testing.T) {
	t.Parallel()
	for name, isIt := range map[string]bool{"desktop.ini": false, "head (conflicted copy)": false, "000000000001-000000000001-0000 (1).seg": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			b.exec("INSERT INTO item VALUES ('x', 'of b', 1)")
			settle(a, b)
			settle(a, b)
			clock := newTestClock(a)
			content := []byte("something else")
			if isIt {
				var err error
				content, err = os.ReadFile(b.lastSegment())
				must(t, err)
			}
			for _, path := range b.segments() {
				must(t, os.Remove(path))
			}
			must(t, os.WriteFile(filepath.Join(b.directory(), name), content, 0o600))
			a.sync()
			clock.pass(lostTime + 4*relayTurn)
			for range 2 {
				a.sync()
			}
			if relayed := len(a.segments()) > 0; relayed == isIt {
				t.Errorf("relayed: %v", relayed)
			}
			a.exec("DROP TABLE item; " + itemSchema)
			for range 2 {
				a.sync()
			}
			a.wantValue("of b", "SELECT name FROM item")
			c := newTestDevice(t, itemSchema)
			clock.give(c)
			c.join(a.folder, a.invite())
			c.waitedLongEnough()
			c.sync()
			c.wantValue("of b", "SELECT name FROM item")
		})
	}
}

// What is missing of a table for good, with a log that is lost, keeps no child of a row that was deleted in sight.
func TestNoOrphansShowBesideALogThatIsLost(t *testing.T) {
	t.Parallel()
	const parent = "CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL)"
	devices := newSpace(t, parent+"; CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES parent ON DELETE CASCADE, n)", 3)
	a, b, c := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	a.exec("INSERT INTO parent VALUES ('p'); INSERT INTO child VALUES ('1', 'p', 1)")
	c.exec("INSERT INTO parent VALUES ('of c')")
	settle(devices...)
	must(t, os.RemoveAll(c.directory()))
	settle(a, b)
	clock.pass(lostTime + 5*relayTurn)
	settle(a, b)
	b.exec("PRAGMA foreign_keys = 0; DROP TABLE parent; " + parent + "; PRAGMA foreign_keys = 1")
	settle(a, b)
	settle(a, b)
	b.wantValue("2", "SELECT count(*) FROM parent")
	a.exec("DELETE FROM parent WHERE id = 'p'")
	tick()
	b.exec("UPDATE child SET n = 2")
	settle(a, b)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("0", "SELECT count(*) FROM pragma_foreign_key_check")
}

// A database and its keys are put back to a time before all that it has published, while its files are gone; then those of the
// other branch come back but for the first, whose name is taken. Who has read that branch is the only one to know it.
func TestABranchThatOnlyOneHasReadIsRelayed(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	before, backup, away := a.id(), filepath.Join(t.TempDir(), "backup.db"), filepath.Join(t.TempDir(), "away")
	a.exec("VACUUM INTO ?", backup)
	secret, err := a.options.Keys.Load(t.Context(), before.String())
	must(t, err)
	for _, id := range []string{"1", "2", "3"} {
		a.exec("INSERT INTO item VALUES (?, 'of the one branch', 1)", id)
		a.sync()
	}
	settle(c)
	directory := a.directory()
	must(t, os.Rename(directory, away))
	a.restore(backup)
	must(t, a.options.Keys.Save(t.Context(), before.String(), secret))
	c.withoutHead() // it would say that there is more
	a.open()
	a.exec("INSERT INTO item VALUES ('4', 'of the other branch', 1)")
	a.sync()
	for _, batch := range []uint64{2, 3} {
		data, err := os.ReadFile(filepath.Join(away, segmentName(batch)))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(directory, segmentName(batch)), data, 0o600))
	}
	_ = a.trySync()
	a.wantSucceeded(before, foundFolder)
	settle(b, c)
	clock.pass(lostTime + 4*relayTurn)
	settle(c, a, b)
	a.waitedLongEnough()
	b.waitedLongEnough()
	settle(a, b)
	wantEverywhere("1,2,3,4", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)", a, b, c)

	// What it does not lead to stays there, and is no reason to read the log again in each pass.
	hook := &hookLog{message: "a device's log has forked: it is read again"}
	b.options.Logger = slog.New(hook)
	b.reopen()
	b.sync()
	hook.fn = func() { t.Error("the log is read again") }
	b.sync()
}

// The app may have changed its schema since the last pass. That keeps nobody from relaying, nor from revoking a device of which
// something has to be relayed: the decision would stand, and half of it be done.
func TestRelayAfterAMigration(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	for i, d := range []*testDevice{b, b, c} {
		d.exec("INSERT INTO item VALUES (?, 'of another', 1)", i)
		d.sync()
	}
	settle(devices...)
	must(t, os.RemoveAll(c.directory()))
	must(t, os.Remove(b.segments()[0]))
	a.exec("ALTER TABLE item ADD COLUMN more")
	must(t, a.syncer.Relay(t.Context(), c.id()))
	a.exec("ALTER TABLE item ADD COLUMN yet")
	a.revoke(b)
	a.sync()
	n := newTestDevice(t, itemSchema)
	n.join(a.folder, a.invite())
	n.waitedLongEnough()
	n.sync()
	n.wantValue("3", "SELECT count(*) FROM item")
}

// newcomerAfterRelay returns a device that enters the space of a after that has relayed what lost had written, whose directory is
// gone. It has what a has.
func newcomerAfterRelay(a, lost *testDevice, migration string) (clock *testClock, newcomer *testDevice) {
	a.tb.Helper()
	clock = newTestClock(a)
	must(a.tb, os.RemoveAll(lost.directory()))
	a.sync()
	clock.pass(lostTime + relayTurn)
	a.sync()
	newcomer = newTestDevice(a.tb, itemSchema)
	newcomer.exec(migration)
	newcomer.join(a.folder, a.invite())
	newcomer.waitedLongEnough()
	settle(a, newcomer)
	wantSame(a.tb, []*testDevice{a, newcomer})
	return clock, newcomer
}

// What a lost device told of one row under the former name of the key, and holds here, and what it told under the new one, are two
// rows to those who have read them, and one to the format: they go out in two batches.
func TestALogIsRelayedInWhichTheKeyWasRenamed(t *testing.T) {
	t.Parallel()
	const migration = "ALTER TABLE item RENAME COLUMN id TO key"
	b := newTestDevice(t, itemSchema)
	b.create(t.TempDir())
	a := newTestDevice(t, itemSchema)
	a.join(b.folder, b.invite())
	settle(a, b)
	a.exec(migration)
	b.exec("INSERT INTO item VALUES ('1', 'under the former name', 1)")
	settle(a, b)
	b.exec(migration)
	b.exec("UPDATE item SET name = 'under the new name'")
	settle(a, b)
	_, c := newcomerAfterRelay(a, b, migration)
	c.wantValue("under the new name", "SELECT name FROM item")
	wantQuiet(t, a, c)
}

// A row that has lost a column since its device wrote it can't be relayed as it was written. It is told as it is.
func TestALogIsRelayedThatHasAColumnWhichIsGone(t *testing.T) {
	t.Parallel()
	const migration = "ALTER TABLE item DROP COLUMN n"
	b := newTestDevice(t, itemSchema)
	b.create(t.TempDir())
	a := newTestDevice(t, itemSchema)
	a.join(b.folder, b.invite())
	b.exec("INSERT INTO item VALUES ('1', 'of b', 1), ('2', 'edited', 1), ('3', 'deleted', 1)")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.exec(migration)
		settle(a, b)
	}
	a.exec("UPDATE item SET name = 'of a' WHERE id = '2'")
	b.exec("DELETE FROM item WHERE id = '3'")
	settle(a, b)
	clock, c := newcomerAfterRelay(a, b, migration)
	c.wantValue("of b,of a", "SELECT group_concat(name) FROM (SELECT * FROM item ORDER BY id)")
	wantQuiet(t, a, c)
	// The lost device is found, and has written meanwhile.
	b.exec("UPDATE item SET name = 'of b, later' WHERE id = '1'")
	clock.give(b)
	for range 3 {
		_ = b.trySync() // its own files are gone: it makes them again
		clock.pass(time.Hour)
	}
	settle(a, b, c)
	wantSame(t, []*testDevice{a, b, c})
	c.wantValue("of b, later", "SELECT name FROM item WHERE id = '1'")
}

// What a reader puts into its log reaches nobody, and would wait there for ever.
func TestAReaderDoesNotRelay(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('x', 'of b', 1)")
	settle(a, b)
	r := newReader(t, a, itemSchema)
	wantIs(t, r.syncer.Relay(t.Context(), b.id()), ErrNotAllowed)
	r.sync()
	if pending := r.syncer.Status().Pending; pending != 0 {
		t.Errorf("%d changes are pending", pending)
	}
}

// Nobody waits for what is looked for in all that was said under one number, as the rows of a baseline are: a million rows take
// half a minute.
func TestTheAppWritesWhileItIsLookedForWhatStandsInNoLog(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'of the baseline', 1), ('2', 'of the baseline', 2)")
	a.create(t.TempDir())
	settle(a, a)
	must(t, a.syncer.pass.lock(t.Context()))
	defer a.syncer.pass.unlock()
	nobody, asked := changelog.DeviceID{}, 0
	weights, err := a.syncer.db.Weigh(t.Context(), nobody)
	must(t, err)
	a.db.SetMaxOpenConns(1)
	a.exec("PRAGMA busy_timeout = 0")
	err = a.syncer.relaySteps(t.Context(), nobody, 0, crypto.MaxBatch, weights, func(changelog.Digest) (bool, error) {
		asked++
		_, err := a.db.Exec("INSERT INTO item VALUES (?, 'written meanwhile', 1)", fmt.Sprint("new ", asked))
		return true, err
	})
	must(t, err)
	if asked != 2 {
		t.Errorf("asked for %d rows, want 2", asked)
	}
	a.wantValue("2", "SELECT baseline FROM sqlitesync_segments ORDER BY name DESC LIMIT 1")
}

// What several lost devices have said is relayed in the order of their ids: a run of the simulation is the same when it is repeated.
func TestLostDevicesAreRelayedInOrder(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 7)
	a, lost := devices[0], devices[1:]
	for _, d := range lost {
		d.exec("INSERT INTO item VALUES (?, 'of a lost one', 1)", d.id().String())
		d.sync()
	}
	a.sync()
	clock := newTestClock(a)
	for _, d := range lost {
		must(t, os.RemoveAll(d.directory()))
	}
	a.sync()
	clock.pass(lostTime)
	var said bytes.Buffer
	a.options.Logger = slog.New(slog.NewTextHandler(&said, nil))
	a.reopen()
	a.sync()
	relayed := regexp.MustCompile("msg=relaying device=.*").FindAllString(said.String(), -1)
	if len(relayed) != len(lost) || !slices.IsSorted(relayed) {
		t.Errorf("relayed %q", relayed)
	}
}

// A column was renamed since: of the rows that the lost device had before it entered, a part is what its row is, and nobody shows
// them as they were published. They are relayed like those that show, and those that are held.
func TestABaselineIsRelayedOfWhichAColumnWasRenamed(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE plan (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT)"
	const migration = "ALTER TABLE plan RENAME COLUMN note TO remark"
	for _, migrated := range []bool{true, false} {
		a := newTestDevice(t, schema)
		a.exec("INSERT INTO plan VALUES (1, 'x', 'there before'), (2, 'y', 'there before'), (3, 'z', 'there before')")
		a.create(t.TempDir())
		b, c := newTestDevice(t, schema), newTestDevice(t, schema)
		b.join(a.folder, a.invite())
		c.exec("INSERT INTO plan VALUES (4, 'z', 'there before, and one of the two is held')")
		c.options.Existing = MergeExisting
		c.join(a.folder, a.invite())
		devices := []*testDevice{a, b, c}
		settle(devices...)
		clock := newTestClock(devices...)
		for _, d := range devices {
			d.exec(migration)
			settle(devices...)
		}
		must(t, os.RemoveAll(a.directory()))
		settle(b, c)
		clock.pass(lostTime + 3*relayTurn)
		settle(b, c)
		settle(b, c)
		late := newTestDevice(t, schema)
		clock.give(late)
		if migrated {
			late.exec(migration)
		}
		late.join(b.folder, b.invite())
		late.waitedLongEnough()
		settle(b, c, late)
		late.exec(map[bool]string{true: "SELECT 1", false: migration}[migrated])
		settle(b, c, late)
		wantSame(t, []*testDevice{b, c, late})
		late.wantValue("3", "SELECT count(*) FROM plan")
		b.exec("DELETE FROM plan WHERE code = 'z'") // and what was held shows
		settle(b, c, late)
		wantSame(t, []*testDevice{b, c, late})
		late.wantValue("3", "SELECT count(*) FROM plan")
		wantQuiet(t, b, c, late)
	}
}

// What is held of a lost device's baseline shows before it has gone out once more.
func TestABaselineIsRelayedOfWhichAHeldRowShowsMeanwhile(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE plan (id INTEGER PRIMARY KEY, code TEXT UNIQUE)"
	a := newTestDevice(t, schema)
	a.exec("INSERT INTO plan VALUES (1, 'z')")
	a.create(t.TempDir())
	b, c := newTestDevice(t, schema), newTestDevice(t, schema)
	b.join(a.folder, a.invite())
	c.exec("INSERT INTO plan VALUES (2, 'z')")
	c.options.Existing = MergeExisting
	c.join(a.folder, a.invite())
	settle(a, b, c)
	must(t, a.syncer.SetRole(t.Context(), b.id(), RoleAdmin))
	settle(a, b, c)
	must(t, os.RemoveAll(a.directory()))
	must(t, os.RemoveAll(c.directory()))
	must(t, b.syncer.Relay(t.Context(), a.id()))
	b.exec("DELETE FROM plan")
	b.sync()
	b.wantValue("1", "SELECT count(*) FROM plan") // what was held shows
	late := newTestDevice(t, schema)
	late.join(b.folder, b.invite())
	late.waitedLongEnough()
	settle(b, late)
	late.wantValue("1", "SELECT count(*) FROM plan")
	wantSame(t, []*testDevice{b, late})
}

// What is relayed once more, by hand or because a part of the log was lost, stands once in a log that was written anew: each mishap
// would leave another copy of it behind, for good.
func TestWhatIsRelayedAgainStandsOnceInALog(t *testing.T) {
	t.Parallel()
	const rows = 600
	const fill = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO item SELECT ?2 || i, 'x', 1 FROM n"
	a := newTestDevice(t, itemSchema)
	a.exec(fill, rows, "baseline ")
	a.create(t.TempDir())
	a.sync()
	b := newTestDevice(t, itemSchema)
	b.join(a.folder, a.invite())
	b.exec(fill, rows, "of b ")
	settle(a, b)
	clock := newTestClock(a, b)
	for range 6 {
		must(t, a.syncer.Relay(t.Context(), b.id()))
		settle(a, b)
	}
	a.compactNext()
	quietDown(clock, a, b)
	changes := 0
	must(t, a.db.QueryRow("SELECT sum(rows) FROM sqlitesync_segments").Scan(&changes))
	if changes > 2*rows {
		t.Errorf("the log has %d changes of %d rows", changes, 2*rows)
	}
	wantSame(t, []*testDevice{a, b})
	c := newTestDevice(t, itemSchema)
	must(t, os.RemoveAll(b.directory()))
	clock.give(c)
	c.join(a.folder, a.invite())
	c.sync()
	c.wantValue("1200", "SELECT count(*) FROM item")
}

// Of large rows few are in memory at a time when they are relayed: one step after another holds too much, and is taken in smaller ones.
func TestLargeRowsAreRelayedInSmallSteps(t *testing.T) {
	t.Parallel()
	const rows, size = 24, 2 << 20
	devices := newSpace(t, itemSchema, 2)
	a, b := devices[0], devices[1]
	for i := range rows {
		b.exec("INSERT INTO item VALUES (?, zeroblob(?), 1)", fmt.Sprint(i), size)
		b.sync()
	}
	a.sync()
	must(t, a.syncer.pass.lock(t.Context()))
	weights, err := a.syncer.db.Weigh(t.Context(), changelog.DeviceID(b.id()))
	must(t, err)
	asked := 0
	must(t, a.syncer.relaySteps(t.Context(), changelog.DeviceID(b.id()), 0, rows, weights, func(changelog.Digest) (bool, error) {
		asked++
		return true, nil
	}))
	a.syncer.pass.unlock()
	if asked <= rows {
		t.Errorf("%d rows of %d bytes are looked at %d times: no step was given up", rows, size, asked)
	}
	must(t, os.RemoveAll(b.directory()))
	a.sync()
	late := newTestDevice(t, itemSchema)
	late.join(a.folder, a.invite())
	late.waitedLongEnough() // nobody has said that the log of b is lost
	late.sync()
	late.wantValue(fmt.Sprint(rows*size), "SELECT sum(length(name)) FROM item")
}

// A value in pieces of real size is relayed, and relayed again when the relay's own log is lost. SQLITESYNC_BIG=1 in the environment
// runs it: it takes 20 s.
func TestALargeValueIsRelayed(t *testing.T) {
	t.Parallel()
	if os.Getenv("SQLITESYNC_BIG") == "" {
		t.Skip("it takes long: run it with SQLITESYNC_BIG=1")
	}
	devices := newSpace(t, itemSchema, 2)
	a, b := devices[0], devices[1]
	const stored = "SELECT group_concat(id || length(name) || hex(substr(name, 39999900))) FROM (SELECT * FROM item ORDER BY id)"
	b.exec("INSERT INTO item VALUES ('large', randomblob(40000000), 1), ('small', 'x', 1)")
	settle(a, b)
	want := b.value(stored)
	lost, directory := b.id(), b.directory()
	b.close()
	must(t, os.RemoveAll(directory))
	must(t, a.syncer.Relay(t.Context(), lost))
	a.sync()
	a.sync() // it has found what it has published
	join := func() {
		t.Helper()
		late := newTestDevice(t, itemSchema)
		late.join(a.folder, a.invite())
		late.waitedLongEnough()
		late.sync()
		late.wantValue(want, stored)
		late.close()
	}
	join()
	clock := newTestClock(a)
	for _, path := range a.segments() {
		must(t, os.Remove(path))
	}
	_ = a.trySync() // it says that they are gone
	for range 3 {
		clock.pass(lostTime + relayTurn)
		_ = a.trySync()
	}
	a.sync()
	join()
}

// After rows that are large the steps become larger again: each of them costs a look at all that is known of rows, and a batch.
func TestStepsGrowAgainAfterLargeRows(t *testing.T) {
	t.Parallel()
	const large, small = 6, 300
	devices := newSpace(t, itemSchema, 2)
	a, b := devices[0], devices[1]
	for i := range large + small {
		size := 1
		if i < large {
			size = 12 << 20
		}
		b.exec("INSERT INTO item VALUES (?, zeroblob(?), 1)", fmt.Sprint(i), size)
		b.sync()
	}
	a.sync()
	must(t, a.syncer.pass.lock(t.Context()))
	defer a.syncer.pass.unlock()
	weights, err := a.syncer.db.Weigh(t.Context(), changelog.DeviceID(b.id()))
	must(t, err)
	before, _, err := a.syncer.db.Position(t.Context(), a.syncer.self())
	must(t, err)
	must(t, a.syncer.relaySteps(t.Context(), changelog.DeviceID(b.id()), 0, large+small, weights, nil))
	after, _, err := a.syncer.db.Position(t.Context(), a.syncer.self())
	must(t, err)
	if steps := after - before; steps < large/2 || steps > small/10 {
		t.Errorf("%d rows are relayed in %d steps", large+small, steps)
	}
}
