package sqlitesync

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
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

// newBranches returns three devices, of which the first was restored together with its keys and the folder, from one backup, so that
// nothing told it that there was more: it has given a number again that the second had read with another content.
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
	a.open()
	a.exec("INSERT INTO item VALUES ('2', 'under the same number', 1)")
	a.sync()
	a.exec("INSERT INTO item VALUES ('3', 'after it', 1)")
	settle(devices...)
	return devices, clock
}

// A machine was restored together with its keys and the folder, from one backup, so that nothing tells it that there was more. It
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

// One that was restored so far back that it has to write many batches before others read on is told what to do.
func TestTheFolderIsRestoredFarBackWithTheDatabase(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.tolerates = errFalseHead // the folder shows an older one
	a.exec("INSERT INTO item VALUES ('0', 'before the backup', 1)")
	settle(a, b)
	restore := a.backupOfAll()
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('read by b %d', 'x', 1)", i) })
	settle(a, b)
	restore()
	a.open()
	a.exec("INSERT INTO item VALUES ('1', 'since', 1)")
	_ = a.trySync()
	b.sync()
	_ = a.trySync()
	wantText(t, errors.New(a.problem().Hint), "restored", "Uninstall", "MergeExisting")
	b.wantValue("0", "SELECT count(*) FROM item WHERE id = '1'")
	a.syncer.Pause()
	a.close()
	must(t, Uninstall(t.Context(), a.db))
	a.options.Existing = MergeExisting
	a.join(b.folder, b.invite())
	settle(a, b)
	a.exec("UPDATE item SET name = 'saved once more' WHERE id = '1'")
	a.waitedLongEnough()
	settle(a, b)
	b.wantValue("5", "SELECT count(*) FROM item")
	b.wantValue("1", "SELECT count(*) FROM item WHERE id = '1'")
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
