package sqlitesync

import (
	"path/filepath"
	"testing"
)

// A machine was restored together with its keys and the folder, from one backup, so that nothing tells it that there was more. It
// gives numbers again that others have read with another content. What these know comes to all.
func TestTheFolderIsRestoredWithTheDatabase(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.differs, b.differs, c.differs = true, true, true // until the other branch is read
	clock := newTestClock(devices...)
	a.exec("INSERT INTO item VALUES ('0', 'before the backup', 1)")
	settle(devices...)
	backup := t.TempDir()
	database := filepath.Join(backup, "app.db")
	a.exec("VACUUM INTO ?", database)
	for name, dir := range map[string]string{"keys": string(a.options.Keys.(fileKeys)), "directory": a.directory()} {
		copyState(t, dir, filepath.Join(backup, name))
	}
	a.exec("INSERT INTO item VALUES ('1', 'read by b', 1)")
	settle(a, b)
	directory := a.directory()
	a.restore(database)
	for name, dir := range map[string]string{"keys": string(a.options.Keys.(fileKeys)), "directory": directory} {
		copyState(t, filepath.Join(backup, name), dir)
	}
	a.open()
	a.exec("INSERT INTO item VALUES ('2', 'under the same number', 1)")
	a.sync()
	a.exec("INSERT INTO item VALUES ('3', 'after it', 1)")
	settle(devices...)
	settle(devices...)
	wantEverywhere("1", "SELECT count(*) FROM item WHERE id = '3'", devices...)
	clock.pass(lostTime + 3*relayTurn)
	settle(devices...)
	settle(devices...)
	wantSame(t, devices)
	a.wantValue("4", "SELECT count(*) FROM item")
	for _, d := range devices {
		d.wantHealthy()
		if diverged := d.syncer.Status().Diverged; len(diverged) > 0 {
			t.Errorf("diverged %v", diverged)
		}
	}
	late := newTestDevice(t, itemSchema)
	clock.give(late)
	late.join(c.folder, c.invite())
	settle(late, a, b, c)
	wantSame(t, []*testDevice{a, late})
	wantQuiet(t, a, b, c, late)
}
