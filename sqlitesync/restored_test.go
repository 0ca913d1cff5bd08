package sqlitesync

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"modernc.org/sqlite"
)

// restoreInPlace copies a backup over the database with SQLite's own means, while it is open.
func (d *testDevice) restoreInPlace(backup string) {
	d.tb.Helper()
	conn, err := d.db.Conn(d.tb.Context())
	must(d.tb, err)
	defer conn.Close()
	must(d.tb, conn.Raw(func(driverConn any) error {
		restore, err := driverConn.(interface {
			NewRestore(source string) (*sqlite.Backup, error)
		}).NewRestore(backup)
		if err != nil {
			return err
		}
		if _, err := restore.Step(-1); err != nil {
			return err
		}
		return restore.Finish()
	}))
}

// A backup that is copied over the database while sync runs knows other devices than the Syncer remembers, or gives them other
// numbers: no change may be taken for that of another device.
func TestABackupIsRestoredWhileSyncRuns(t *testing.T) {
	t.Parallel()
	for _, edited := range []bool{false, true} {
		devices := newSpace(t, itemSchema, 3)
		a, b, c := devices[0], devices[1], devices[2]
		a.exec("INSERT INTO item VALUES ('1', 'before', 1)")
		settle(a)
		backup := filepath.Join(t.TempDir(), "backup.db")
		a.exec("VACUUM INTO ?", backup)
		settle(a, b)
		b.exec("INSERT INTO item VALUES ('2', 'of b', 1); UPDATE item SET name = 'after' WHERE id = '1'")
		settle(b, a)
		a.restoreInPlace(backup)
		if edited {
			a.exec("INSERT INTO item VALUES ('3', 'since', 1)")
		}
		settle(a, b)
		a.wantValue("0", "SELECT count(*) FROM sqlitesync_clock_1 WHERE device <> 0 AND device NOT IN (SELECT number FROM sqlitesync_devices)")
		c.exec("INSERT INTO item VALUES ('4', 'of c', 1)") // gets a number on a after that of b
		settle(devices...)
		a.reopen()
		settle(devices...)
		wantSame(t, devices)
		a.wantValue("after", "SELECT name FROM item WHERE id = '1'")
		a.wantHealthy()
		wantQuiet(t, devices...)
	}
}

// What was published since a backup is not to get other content under the same number, also if nothing in the folder says so.
func TestABackupIsRestoredWhileSyncRunsWithoutTheFolder(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	a.exec("INSERT INTO item VALUES ('1', 'published', 1)")
	settle(a, b)
	old := a.id()
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	a.restoreInPlace(backup)
	a.exec("INSERT INTO item VALUES ('2', 'since', 1)")
	if a.trySync() == nil {
		t.Error("nobody misses the folder")
	}
	a.wantSucceeded(old, foundBehind)
	must(t, os.Rename(away, a.folder))
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// SQLite goes on with the file that it has open, so what the app writes to another one under its name would not be noticed.
func TestTheFileIsReplacedWhileSyncRuns(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	a.exec("INSERT INTO item VALUES ('1', 'published', 1)")
	settle(a, b)
	must(t, a.db.Close())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(a.path + suffix); err != nil {
			t.Skip("this system does not let files go that are open: ", err)
		}
	}
	must(t, os.Rename(backup, a.path))
	var err error
	a.db, err = OpenDB(a.path)
	must(t, err)
	a.exec("INSERT INTO item VALUES ('2', 'since', 1)")
	wantText(t, a.trySync(), "replaced")
	wantText(t, errors.New(a.problem().Hint), "Close sync")
	wantText(t, a.syncer.Close(), "replaced") // what stood in the old file only is not published
	a.open()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// A backup can be of the time before the database became another device. What that one had not published must not stay behind.
func TestABackupOfAnotherDeviceIsRestoredWhileSyncRuns(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	bare, first := filepath.Join(t.TempDir(), "bare.db"), filepath.Join(t.TempDir(), "first.db")
	a.exec("INSERT INTO item VALUES ('1', 'not published', 1)")
	a.exec("VACUUM INTO ?", first)
	a.exec("INSERT INTO item VALUES ('2', 'published', 1)")
	settle(a, b)
	a.restore(first)
	a.open() // as another device
	a.exec("INSERT INTO item VALUES ('3', 'published', 1)")
	settle(a, b)
	a.restoreInPlace(first)
	wantText(t, a.trySync(), "sync: look at the database file: a database of another device") // and not that the schema is being changed
	wantText(t, errors.New(a.problem().Hint), "Close sync")
	wantText(t, a.syncer.Close(), "another device")
	a.open()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("3", "SELECT count(*) FROM item")

	must(t, a.syncer.Close())
	a.open()
	d := newTestDevice(t, itemSchema)
	d.exec("VACUUM INTO ?", bare)
	a.restoreInPlace(bare)
	wantIs(t, a.trySync(), ErrNotSetUp)
	wantIs(t, a.syncer.Close(), ErrNotSetUp)
}

// What keeps a database from becoming another device keeps it from going on as the one that it has been, too.
func TestABackupIsRestoredWhileTheKeyStoreIsLocked(t *testing.T) {
	t.Parallel()
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	keys := &brokenKeys{KeyStore: a.options.Keys}
	a.options.Keys = keys
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	settle(a, b)
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	a.exec("INSERT INTO item VALUES ('1', 'published', 1)")
	settle(a, b)
	old := a.id()
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	a.restoreInPlace(backup)
	a.exec("INSERT INTO item VALUES ('2', 'since', 1)")
	keys.broken = true
	wantText(t, a.trySync(), "key ring is locked")
	keys.broken = false
	if a.trySync() == nil {
		t.Error("nobody misses the folder")
	}
	a.wantSucceeded(old, foundBehind)
	must(t, os.Rename(away, a.folder))
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// A database file that is out of sight for a while, as on a volume that does not answer, is looked for again.
func TestTheFileIsOutOfSightWhileSyncRuns(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	if err := os.Rename(a.path, a.path+".away"); err != nil {
		t.Skip("this system does not let files go that are open: ", err)
	}
	a.exec("INSERT INTO item VALUES ('1', 'meanwhile', 1)")
	wantIs(t, a.trySync(), os.ErrNotExist)
	wantText(t, errors.New(a.problem().Hint), "tries again")
	must(t, os.Rename(a.path+".away", a.path))
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantHealthy()
	wantQuiet(t, a, b)
}

// What others have written into the roster since a backup is known after it was copied over the database, too, or the record
// by which the database goes on as another device would follow on what it does not have.
func TestABackupFromBeforeADeviceJoinedIsRestoredWhileSyncRuns(t *testing.T) {
	t.Parallel()
	for _, published := range []bool{false, true} {
		a, b := newPair(t, itemSchema)
		settle(a, b)
		backup := filepath.Join(t.TempDir(), "backup.db")
		a.exec("VACUUM INTO ?", backup)
		c := newTestDevice(t, itemSchema)
		c.join(b.folder, b.invite())
		c.exec("INSERT INTO item VALUES ('1', 'of c', 1)")
		if published {
			a.exec("INSERT INTO item VALUES ('2', 'published', 1)")
		}
		devices := []*testDevice{a, b, c}
		settle(devices...)
		records := a.value("SELECT count(*) FROM sqlitesync_records")
		old := a.id()
		a.restoreInPlace(backup)
		away := a.folder + ".away"
		must(t, os.Rename(a.folder, away))
		_ = a.trySync()
		if published {
			a.wantSucceeded(old, foundBehind)
			a.wantValue("1", "SELECT count(*) - "+records+" FROM sqlitesync_records")
		} else {
			a.wantValue(records, "SELECT count(*) FROM sqlitesync_records")
		}
		must(t, os.Rename(away, a.folder))
		a.reopen()
		settle(devices...)
		wantSame(t, devices)
		wantQuiet(t, devices...)
	}
}

// SQLite, and so the app's handle, goes on with the file that it has open, although another one stands in its place. A Syncer
// that is opened on both would never see what the app writes.
func TestTheAppKeepsTheFileThatWasReplaced(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'published', 1)")
	settle(a, b)
	backup, saved := filepath.Join(t.TempDir(), "backup.db"), filepath.Join(t.TempDir(), "saved.db")
	a.exec("VACUUM INTO ?", backup)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(a.path + suffix); err != nil {
			t.Skip("this system does not let files go that are open: ", err)
		}
	}
	wantIs(t, a.trySync(), os.ErrNotExist)
	wantText(t, errors.New(a.problem().Hint), "VACUUM INTO")
	must(t, os.Rename(backup, a.path))
	a.exec("INSERT INTO item VALUES ('2', 'into the old file', 1)")
	wantText(t, a.trySync(), "replaced")
	wantText(t, errors.New(a.problem().Hint), "the app's own handle", "VACUUM INTO")
	wantText(t, a.syncer.Close(), "replaced")
	a.syncer = nil
	syncer, err := Open(a.context(), a.db, a.folder, &a.options)
	wantIs(t, err, ErrDriver)
	wantText(t, err, "another file", "VACUUM INTO", "close it")
	if err == nil {
		must(t, syncer.Close())
	}
	a.exec("VACUUM INTO ?", saved) // as the hint says
	must(t, a.db.Close())
	a.db, err = OpenDB(a.path)
	must(t, err)
	a.open()
	a.exec("ATTACH ? AS saved; INSERT INTO item SELECT * FROM saved.item WHERE true ON CONFLICT DO NOTHING; DETACH saved", saved)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("2", "SELECT count(*) FROM item")
	a.wantHealthy()
}

// A database of another device that is copied over the open one is no second Syncer, however often it was opened.
func TestADatabaseOfAnotherDeviceIsCopiedOverTheOpenOne(t *testing.T) {
	t.Parallel()
	for reopened := range 3 {
		a, b := newPair(t, itemSchema)
		settle(a, b)
		a.reopen()
		for range reopened {
			b.reopen()
		}
		other := filepath.Join(t.TempDir(), "other.db")
		b.exec("VACUUM INTO ?", other)
		a.restoreInPlace(other)
		wantText(t, a.trySync(), "a database of another device was copied over it")
		wantText(t, errors.New(a.problem().Hint), "open it again")
		wantText(t, a.syncer.Close(), "another device")
		a.syncer = nil
	}
}
