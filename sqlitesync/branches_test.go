package sqlitesync

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// backupOfAll makes a backup of the device's database, its keys and its directory in the folder, and returns what restores them.
// The device is not open then.
func (d *testDevice) backupOfAll() (restore func()) {
	d.tb.Helper()
	backup := d.tb.TempDir()
	database, directory := filepath.Join(backup, "app.db"), d.directory()
	d.exec("VACUUM INTO ?", database)
	places := map[string]string{"keys": string(d.options.Keys.(fileKeys)), "directory": directory}
	for name, dir := range places {
		copyState(d.tb, dir, filepath.Join(backup, name))
	}
	return func() {
		d.tb.Helper()
		d.restore(database)
		for name, dir := range places {
			copyState(d.tb, filepath.Join(backup, name), dir)
		}
	}
}

// withoutHead removes the head of a device, as if the file-sync service had not brought it yet: it writes another one.
func (d *testDevice) withoutHead() {
	d.tb.Helper()
	must(d.tb, os.Remove(filepath.Join(d.directory(), "head")))
}

// newBranches returns three devices, of which the first was restored together with its keys and the folder, from one backup, so that
// nothing told it in time that there was more: it has given a number again that the second had read with another content.
func newBranches(t *testing.T) (devices []*testDevice, clock *testClock) {
	t.Helper()
	devices = newSpace(t, itemSchema, 3)
	a, b := devices[0], devices[1]
	clock = newTestClock(devices...)
	a.exec("INSERT INTO item VALUES ('0', 'before the backup', 1)")
	settle(devices...)
	restore := a.backupOfAll()
	a.exec("INSERT INTO item VALUES ('1', 'read by b', 1)")
	settle(a, b)
	restore()
	b.withoutHead()
	a.open()
	a.exec("INSERT INTO item VALUES ('2', 'under the same number', 1)")
	a.sync()
	a.exec("INSERT INTO item VALUES ('3', 'after it', 1)")
	settle(devices...)
	return devices, clock
}

// A machine was restored together with its keys and the folder, from one backup, so that nothing tells it in time that there was more. It
// gives numbers again that others have read with another content. What these know comes to all.
func TestTheFolderIsRestoredWithTheDatabase(t *testing.T) {
	t.Parallel()
	devices, clock := newBranches(t)
	a, b, c := devices[0], devices[1], devices[2]
	settle(devices...)
	wantEverywhere("1", "SELECT count(*) FROM item WHERE id = '3'", devices...)
	clock.pass(lostTime + 3*relayTurn)
	settle(devices...)
	settle(devices...)
	wantSame(t, devices)
	a.wantValue("4", "SELECT count(*) FROM item")
	for _, d := range devices {
		d.wantHealthy()
		d.wantNotDiverged()
	}
	late := newTestDevice(t, itemSchema)
	clock.give(late)
	late.join(c.folder, c.invite())
	settle(late, a, b, c)
	wantSame(t, []*testDevice{a, late})
	wantQuiet(t, a, b, c, late)
}

// What others have read of a branch that stands nowhere any more comes to all though a column of it is gone.
func TestAColumnIsDroppedAfterTheFolderWasRestoredWithTheDatabase(t *testing.T) {
	t.Parallel()
	const migration = "ALTER TABLE item DROP COLUMN n"
	devices, clock := newBranches(t)
	for _, d := range devices {
		d.exec(migration)
		settle(devices...)
	}
	clock.pass(lostTime + 3*relayTurn)
	settle(devices...)
	settle(devices...)
	wantSame(t, devices)
	devices[0].wantValue("4", "SELECT count(*) FROM item")
	wantQuiet(t, devices...)
}

// A machine was restored together with its keys, and with the folder or while that has not come. The heads of others say that there
// was more: nothing goes out under numbers that they have read, and what stands nowhere any more they publish, admins or not.
func TestAMachineIsRestoredWithAllThatCouldTell(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		comes bool // the directory does, as it was
		late  bool // the heads do, when the device has published
	}{
		{name: "with its folder"},
		{name: "before its folder has come", comes: true},
		{name: "with its folder, and heads come late", late: true},
		{name: "before its folder has come, and heads come late", comes: true, late: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			must(t, a.syncer.SetRole(t.Context(), b.id(), RoleWriter))
			clock := newTestClock(devices...)
			a.exec("INSERT INTO item VALUES ('0', 'before the backup', 1)")
			settle(devices...)
			old, directory := a.id(), a.directory()
			restore := a.backupOfAll()
			a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('read by b %d', 'x', 1)", i) })
			settle(a, b)
			away := filepath.Join(t.TempDir(), "away")
			copyState(t, directory, away)
			restore()
			if test.comes {
				must(t, os.RemoveAll(directory))
			}
			if test.late {
				b.withoutHead()
			}
			a.open()
			a.exec("INSERT INTO item VALUES ('1', 'since', 1)")
			if test.comes && test.late {
				a.tolerates = ErrFolder // it says that what it has published is gone
			}
			a.sync()
			a.tolerates = nil
			if again, err := filepath.Glob(filepath.Join(directory, "*.seg")); err != nil || !test.late && len(again) > 1 {
				t.Errorf("%s were published, %v: the numbers were given", again, err)
			}
			if test.comes {
				must(t, os.RemoveAll(directory))
				copyState(t, away, directory)
			}
			settle(a, b)
			delete(a.syncer.clocks, b.id()) // its head is to be looked at
			settle(a, b, c)
			if test.comes && test.late {
				a.wantSucceeded(old, foundFolder)
			} else {
				a.wantSucceeded(old, foundAhead)
			}
			clock.pass(lostTime + 4*relayTurn)
			settle(devices...)
			settle(devices...)
			a.waitedLongEnough()
			c.waitedLongEnough()
			settle(devices...)
			wantSame(t, devices)
			a.wantValue("5", "SELECT count(*) FROM item")
			clock.pass(lostTime + 5*relayTurn)
			for _, d := range devices {
				d.reopen()
			}
			wantQuiet(t, devices...)
			for _, d := range devices {
				d.wantHealthy()
				d.wantNotDiverged()
			}
		})
	}
}

// Who says to have read what was never written makes nobody another device but once a day.
func TestAFalseHeadMakesAnotherDeviceOnceADay(t *testing.T) {
	t.Parallel()
	a, liar := newPair(t, itemSchema)
	clock := newTestClock(a, liar)
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	settle(a, liar)
	counter := uint64(1 << 20)
	lie := func() {
		counter++
		header := crypto.HeadHeader{Space: a.syncer.identity.space, Counter: counter}
		data, err := crypto.SealHead(header, fmt.Appendf(nil, `{"time":%d,"seen":{"%s":999}}`, a.syncer.environment.Now().UnixMilli(), a.id()), a.syncer.keys.newest(), liar.syncer.keys.entry().Device)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(liar.directory(), "head"), data, 0o600))
	}
	before := a.id()
	lie()
	a.reopen()
	a.sync()
	a.wantSucceeded(before, foundAhead)
	for range 3 {
		clock.pass(2 * headInterval)
		before = a.id()
		lie()
		a.reopen()
		a.exec("UPDATE item SET n = n + 1")
		wantIs(t, a.trySync(), errFalseHead)
		wantText(t, errors.New(a.problem().Hint), "once a day at most", "revoke it")
		if a.id() != before {
			t.Fatal("it has become another device again")
		}
	}
	settle(liar)
	liar.wantValue("4", "SELECT n FROM item") // it goes out all the same
	clock.pass(succeedAgain)
	lie()
	a.sync()
	a.sync()
	if a.id() == before {
		t.Error("what may be true is never believed again")
	}
}

// A KeyStore that was put back to an older state, beside a database that was not, knows of less than was published: nobody lies then.
func TestAKeyStoreIsPutBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	settle(a, b)
	before := a.id()
	secret, err := a.options.Keys.Load(t.Context(), before.String())
	must(t, err)
	a.exec("INSERT INTO item VALUES ('2', 'of a', 1)")
	settle(a, b)
	a.close()
	must(t, a.options.Keys.Save(t.Context(), before.String(), secret))
	a.open()
	a.exec("INSERT INTO item VALUES ('3', 'of a', 1)")
	settle(a, b)
	if a.id() != before {
		t.Error("it has become another device")
	}
	b.wantValue("3", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// The device has written its log anew before those who had read the other branch read on: they go on inside of the range, which tells
// them of no fork. What they know comes to all the same.
func TestTheFolderIsRestoredWithTheDatabaseAndTheLogIsWrittenAnew(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	a.exec("INSERT INTO item VALUES ('0', 'before the backup', 1)")
	settle(devices...)
	restore := a.backupOfAll()
	a.exec("INSERT INTO item VALUES ('1', 'read by b', 1)")
	settle(a, b)
	restore()
	b.withoutHead()
	a.open()
	a.writeBatches(2, func(i int) string {
		return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'under the same number', 1)", i+2)
	})
	a.compactNext()
	a.sync()
	a.sync()
	clock.pass(graceTime)
	a.sync()
	if n := len(a.segments()); n != 1 {
		t.Fatalf("%d segments, want one range", n)
	}
	for _, d := range devices {
		d.differs = true // they do: nobody but b has the row
	}
	settle(devices...)
	settle(devices...)
	clock.pass(lostTime + 3*relayTurn)
	for range 3 {
		settle(devices...)
		clock.pass(2 * headInterval)
	}
	wantSame(t, devices)
	c.wantValue("4", "SELECT count(*) FROM item")
	for _, d := range devices {
		d.wantHealthy()
		d.wantNotDiverged()
	}
}

// The look at heads is broken off before each of its statements, and what comes of it is: nobody takes that for having looked, and when
// the database is another device, it is known that it became that because of a head.
func TestALookAtHeadsIsBrokenOff(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	old := a.id()
	restore := a.backupOfAll()
	a.exec("INSERT INTO item VALUES ('1', 'read by b', 1)")
	settle(a, b)
	restore()
	a.open()
	f, err := a.syncer.openFolder()
	must(t, err)
	defer f.Close()
	for statement := 0; !errors.Is(err, errHeadAhead); statement++ {
		if err = a.syncer.lookAhead(&countdown{t.Context(), statement}, f); err == nil {
			t.Fatalf("broken off before statement %d it has found nothing", statement)
		}
	}
	ahead := err
	for statement := 0; a.id() == old; statement++ {
		ctx := &countdown{t.Context(), statement}
		if err := a.syncer.succeedAhead(ctx, f, ahead); ctx.left >= 0 && !errors.Is(err, errSucceeded) {
			t.Fatal(err)
		}
	}
	if when, err := loadNumber(t.Context(), a.syncer.handle.conn, "ahead"); err != nil || when == 0 {
		t.Errorf("when heads made it another device is not known, %v", err)
	}
	a.exec("INSERT INTO item VALUES ('2', 'since', 1)")
	settle(a, b)
	b.wantValue("2", "SELECT count(*) FROM item")
}

// A machine was restored with all that could tell, from a backup of when it only read, and the record that made it a writer has not come
// yet. The next device would only read for good: it waits, and what is written to it is undone, as on any reader.
func TestAWriterIsRestoredToWhenItRead(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	reader := newTestDevice(t, itemSchema)
	invite, err := a.syncer.Invite(t.Context(), &InviteOptions{Role: RoleReader})
	must(t, err)
	reader.join(a.folder, invite.Code)
	devices := []*testDevice{a, b, reader}
	newTestClock(devices...)
	settle(devices...)
	old, restore := reader.id(), reader.backupOfAll()
	before := tree(t, filepath.Join(a.folder, "roster"))
	must(t, a.syncer.SetRole(t.Context(), old, RoleWriter))
	put := make(map[string][]byte)
	for path := range tree(t, filepath.Join(a.folder, "roster")) {
		if _, stood := before[path]; !stood {
			put[path], err = os.ReadFile(path)
			must(t, err)
		}
	}
	settle(devices...)
	reader.exec("INSERT INTO item VALUES ('1', 'read by others', 1)")
	settle(devices...)
	restore()
	for path := range put {
		must(t, os.Remove(path))
	}
	reader.open()
	for range 2 {
		wantIs(t, reader.trySync(), errFalseHead)
		wantText(t, errors.New(reader.problem().Hint), "made it a writer")
		reader.reopen()
	}
	if found := reader.examine("").Findings; slices.ContainsFunc(found, func(f Finding) bool { return f.Code == FindingRestored }) {
		t.Errorf("doctor says %+v", found)
	}
	if reader.id() != old {
		t.Error("it has become another device, which reads only")
	}
	for path, data := range put {
		must(t, os.WriteFile(path, data, 0o600))
	}
	reader.sync()
	reader.wantSucceeded(old, foundAhead)
	reader.exec("INSERT INTO item VALUES ('2', 'since', 1)")
	settle(devices...)
	b.wantValue("2", "SELECT count(*) FROM item")
}

// What a restored device has written under numbers that others had read, before their heads came, these show when it has become another
// device, and not only when they publish what stands nowhere any more.
func TestWhatWasWrittenUnderNumbersThatOthersHadRead(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.exec("INSERT INTO item VALUES ('0', 'before the backup', 1)")
	settle(a, b)
	old, restore := a.id(), a.backupOfAll()
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('read by b %d', 'x', 1)", i) })
	settle(a, b)
	restore()
	b.withoutHead()
	a.open()
	a.exec("INSERT INTO item VALUES ('1', 'since', 1)")
	a.sync()
	clock.pass(headInterval)
	b.exec("INSERT INTO item VALUES ('2', 'of b', 1)")
	_ = b.trySync() // it tells of the head of a, which is older than the last
	settle(a, b)
	a.wantSucceeded(old, foundAhead)
	b.wantValue("6", "SELECT count(*) FROM item")
	a.wantValue("3", "SELECT count(*) FROM item")
	b.reopen()
	if opened, err := b.syncer.loadOpened(t.Context(), old); err != nil || opened.looks == "" {
		t.Errorf("it reads the log from the start in each process, %v", err)
	}
	wantQuiet(t, a, b)
}
