package sqlitesync

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// The database came to another machine with keys from an old backup, before the folder did. What has been handed to these keys
// since is handed to nobody once more: the device that it becomes must have it from them.
func TestACopyWithKeysThatAreOlderThanTheDatabase(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	old := b.id()
	secret, err := b.options.Keys.Load(t.Context(), old.String())
	must(t, err)
	a.revoke(c) // begins an epoch
	settle(a, b)
	moved := copyOf(b)
	b.close()
	moved.options.Keys = FileKeys(filepath.Join(t.TempDir(), "keys"))
	entry, err := crypto.ParseKeyEntry(secret)
	must(t, err)
	entry.Machine[0] ^= 1
	secret, err = entry.Encode()
	must(t, err)
	must(t, moved.options.Keys.Save(t.Context(), old.String(), secret))
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	moved.open()
	moved.wantSucceeded(old, foundMachine)
	must(t, os.Rename(away, a.folder))
	moved.exec("INSERT INTO item VALUES ('1', 'of the copy', 1)")
	a.exec("INSERT INTO item VALUES ('2', 'of a', 1)")
	settle(moved, a)
	wantSame(t, []*testDevice{moved, a})
	a.wantValue("2", "SELECT count(*) FROM item")
	wantQuiet(t, moved, a)
}

// That the database goes on as another device is told by the next Open, if the one that made it so failed afterwards, or the
// process ended; and once a pass has ended, not again.
func TestASuccessionIsToldIfOpenFails(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(a *testDevice){
		"it fails": func(a *testDevice) {
			a.exec("CREATE TRIGGER refuses BEFORE INSERT ON sqlitesync_settings WHEN NEW.name = 'options' BEGIN SELECT RAISE(ABORT, 'refused'); END")
			a.options.DeviceName = "another name" // to be written down
			_, err := Open(a.context(), a.db, a.folder, &a.options)
			wantText(t, err, "refused")
			a.exec("DROP TRIGGER refuses")
		},
		"the process ends": func(a *testDevice) {
			a.open()
			a.syncer.Pause() // or Close would publish
			a.close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			backup := filepath.Join(t.TempDir(), "backup.db")
			a.exec("VACUUM INTO ?", backup)
			a.exec("INSERT INTO item VALUES ('1', 'published', 1)")
			settle(a, b)
			old := a.id()
			a.restore(backup)
			open(a)
			a.open()
			a.wantSucceeded(old, foundBehind)
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			a.reopen()
			if warnings := a.syncer.Status().Warnings; len(warnings) > 0 {
				t.Errorf("told again: %q", warnings)
			}
			wantQuiet(t, a, b)
		})
	}
}

// The machine of the only admin was lost, and a backup of database and keys came to a new one, before the folder did. What has been
// handed to these keys since the backup was made nobody else could hand to the device that it becomes.
func TestTheOnlyAdminIsRestoredBeforeTheFolder(t *testing.T) {
	t.Parallel()
	for name, since := range map[string]func(a, c *testDevice){
		"a device entered":       func(a, _ *testDevice) { newTestDevice(a.tb, itemSchema).join(a.folder, a.invite()) },
		"a device was revoked":   func(a, c *testDevice) { a.revoke(c) },
		"it became another, too": func(a, c *testDevice) { a.revoke(c) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, c := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
			a.create(t.TempDir())
			for _, d := range []*testDevice{b, c} {
				invite, err := a.syncer.Invite(t.Context(), &InviteOptions{Role: RoleWriter})
				must(t, err)
				d.join(a.folder, invite.Code)
			}
			settle(a, b, c)
			moved, old := copyWithKeys(a), a.id()
			since(a, c)
			a.sync()
			b.sync()
			b.exec("INSERT INTO item VALUES ('1', 'of b', 1)")
			a.exec("INSERT INTO item VALUES ('2', 'of a', 1)")
			settle(a, b)
			a.close()
			away := a.folder + ".away"
			must(t, os.Rename(a.folder, away))
			moved.open()
			moved.wantSucceeded(old, foundMachine)
			moved.exec("INSERT INTO item VALUES ('3', 'of the restored', 1)")
			if name == "it became another, too" { // and its backup was moved again
				again := copyWithKeys(moved)
				secret, err := moved.options.Keys.Load(t.Context(), old.String())
				must(t, err)
				must(t, again.options.Keys.Save(t.Context(), old.String(), secret))
				moved.syncer.Pause()
				moved.close()
				moved = again
				moved.open()
			}
			must(t, os.Rename(away, a.folder))
			settle(moved, b)
			wantSame(t, []*testDevice{moved, b})
			b.wantValue("3", "SELECT count(*) FROM item")
			moved.wantHealthy()
			b.wantHealthy()
			wantQuiet(t, moved, b)
		})
	}
}

// A backup from before the device was revoked, or lost its role, was opened before the folder was there: nobody takes it for the
// next of that device, whose owner is told why, and what to do.
func TestABackupFromBeforeADecisionIsOpenedBeforeTheFolder(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(a, b *testDevice){
		"revoked": (*testDevice).revoke,
		"no admin any more": func(a, b *testDevice) {
			must(a.tb, a.syncer.SetRole(a.tb.Context(), b.id(), RoleWriter))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			settle(a, b)
			moved, old := copyWithKeys(b), b.id()
			decide(a, b)
			b.close()
			away := a.folder + ".away"
			must(t, os.Rename(a.folder, away))
			moved.open()
			moved.wantSucceeded(old, foundMachine)
			moved.exec("INSERT INTO item VALUES ('1', 'of the restored', 1)")
			must(t, os.Rename(away, a.folder))
			a.sync()
			wantIs(t, moved.trySync(), ErrNotMember)
			wantText(t, errors.New(moved.problem().Hint), "restored from a backup", "revoked, or got another role", "Uninstall", "MergeExisting")
			moved.syncer.Pause()
			moved.close()
			must(t, Uninstall(t.Context(), moved.db)) // as the hint says
			moved.options.Existing = MergeExisting
			moved.join(a.folder, a.invite())
			settle(moved, a)
			wantSame(t, []*testDevice{moved, a})
			a.wantValue("1", "SELECT count(*) FROM item")
		})
	}
}

// A backup from when the device only read is restored after it was made a writer and has written.
func TestABackupFromWhenADeviceOnlyRead(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]bool{"the folder is there": true, "it is not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newTestDevice(t, itemSchema)
			a.create(t.TempDir())
			r := newReader(t, a, itemSchema)
			settle(a, r)
			backup := filepath.Join(t.TempDir(), "backup.db")
			r.exec("VACUUM INTO ?", backup)
			must(t, a.syncer.SetRole(t.Context(), r.id(), RoleWriter))
			settle(a, r)
			r.exec("INSERT INTO item VALUES ('1', 'as a writer', 1)")
			settle(r, a)
			old, found := r.id(), foundBehind
			away := a.folder + ".away"
			if !there {
				must(t, os.Rename(a.folder, away))
			}
			r.restore(backup)
			r.exec("INSERT INTO item VALUES ('2', 'of the restored', 1)")
			r.open()
			r.exec("INSERT INTO item VALUES ('3', 'of the restored', 1)")
			if !there {
				wantIs(t, r.trySync(), errMadeWriter)
				wantIs(t, r.problem(), ErrFolder)
				wantIs(t, r.syncer.Close(), errMadeWriter)
				r.open()
				wantIs(t, r.trySync(), errMadeWriter)
				r.wantValue("2", "SELECT count(*) FROM item") // nothing was undone
				if r.id() != old {
					t.Error("it goes on as another device before it knows its role")
				}
				must(t, os.Rename(away, a.folder))
				found = foundOther // what was edited meanwhile has a number
			}
			r.sync()
			r.wantSucceeded(old, found)
			settle(a, r)
			wantSame(t, []*testDevice{a, r})
			a.wantValue("3", "SELECT count(*) FROM item")
			if n := r.syncer.Status().Undone; n != 0 {
				t.Errorf("%d edits were undone", n)
			}
			r.wantHealthy()
			a.wantHealthy()
			wantQuiet(t, a, r)
		})
	}
}

// The folder is there, but the record that made the device a writer has yet to come.
func TestABackupFromWhenADeviceOnlyReadIsOpenedBeforeItsRecordHasCome(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	r := newReader(t, a, itemSchema)
	settle(a, r)
	backup := filepath.Join(t.TempDir(), "backup.db")
	r.exec("VACUUM INTO ?", backup)
	roster := filepath.Join(a.folder, "roster")
	before := filepath.Join(t.TempDir(), "roster")
	must(t, os.CopyFS(before, os.DirFS(roster)))
	must(t, a.syncer.SetRole(t.Context(), r.id(), RoleWriter))
	settle(a, r)
	r.exec("INSERT INTO item VALUES ('1', 'as a writer', 1)")
	settle(r, a)
	later := filepath.Join(t.TempDir(), "roster")
	must(t, os.Rename(roster, later))
	must(t, os.Rename(before, roster))
	r.restore(backup)
	r.exec("INSERT INTO item VALUES ('2', 'of the restored', 1)")
	r.open()
	wantIs(t, r.trySync(), errMadeWriter)
	must(t, os.RemoveAll(roster))
	must(t, os.Rename(later, roster))
	r.sync()
	settle(a, r)
	wantSame(t, []*testDevice{a, r})
	a.wantValue("2", "SELECT count(*) FROM item")
	r.wantHealthy()
}
