package sqlitesync

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// copyOf makes a device of a copy of d's database, with the same key store.
func copyOf(d *testDevice) *testDevice {
	d.tb.Helper()
	twin := &testDevice{tb: d.tb, path: filepath.Join(d.tb.TempDir(), "copy.db"), options: d.options, folder: d.folder, environment: d.environment}
	d.exec("VACUUM INTO ?", twin.path)
	var err error
	twin.db, err = OpenDB(twin.path)
	must(d.tb, err)
	d.tb.Cleanup(func() {
		if twin.syncer != nil {
			twin.syncer.Close()
		}
		twin.db.Close()
	})
	return twin
}

// copyWithKeys copies d's database and keys to another machine.
func copyWithKeys(d *testDevice) *testDevice {
	d.tb.Helper()
	moved := copyOf(d)
	moved.options.Keys = FileKeys(filepath.Join(d.tb.TempDir(), "keys"))
	secret, err := d.options.Keys.Load(context.Background(), d.id().String())
	must(d.tb, err)
	entry, err := crypto.ParseKeyEntry(secret)
	must(d.tb, err)
	entry.Machine[0] ^= 1
	secret, err = entry.Encode()
	must(d.tb, err)
	must(d.tb, moved.options.Keys.Save(context.Background(), d.id().String(), secret))
	return moved
}

// restore puts back a copy of d's database, as from a backup.
func (d *testDevice) restore(backup string) {
	d.tb.Helper()
	d.close()
	must(d.tb, d.db.Close())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(d.path + suffix)
	}
	data, err := os.ReadFile(backup)
	must(d.tb, err)
	must(d.tb, os.WriteFile(d.path, data, 0o600))
	d.db, err = OpenDB(d.path)
	must(d.tb, err)
}

// wantSucceeded checks that d goes on as another device than before, and says what was found.
func (d *testDevice) wantSucceeded(before DeviceID, found string) {
	d.tb.Helper()
	if d.id() == before {
		d.tb.Errorf("the database is still device %s", before)
	}
	if warnings := fmt.Sprint(d.syncer.Status().Warnings); !strings.Contains(warnings, found) {
		d.tb.Errorf("warnings %s do not say: %s", warnings, found)
	}
	// The app can't listen before Open returns, which is when most of it is found.
	var told []Event
	reader := d.syncer.events.subscribe()
	defer d.syncer.events.unsubscribe(reader)
	for event, ok := reader.take(); ok; event, ok = reader.take() {
		told = append(told, event)
	}
	if len(told) != 1 || told[0].Kind != EventSucceeded || told[0].Device != d.id() || told[0].Found != found || told[0].Time.IsZero() {
		d.tb.Errorf("events %v, want one that says as which device it goes on, and why: %s", told, found)
	}
}

func TestADatabaseThatWasRestoredFromABackup(t *testing.T) {
	t.Parallel()
	for _, edited := range []bool{false, true} {
		t.Run(fmt.Sprint("edited=", edited), func(t *testing.T) {
			a, b := newPair(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('before', 'the backup', 1), ('both', 'before', 1)")
			settle(a, b)
			a.exec("INSERT INTO item VALUES ('pending', 'in the backup', 1)")
			backup := filepath.Join(t.TempDir(), "backup.db")
			a.exec("VACUUM INTO ?", backup)
			a.exec("INSERT INTO item VALUES ('after', 'the backup', 1)")
			a.exec("UPDATE item SET name = 'after' WHERE id = 'both'")
			settle(a, b)
			old := a.id()
			a.restore(backup)
			if edited {
				a.exec("INSERT INTO item VALUES ('since', 'the restore', 1)")
			}
			a.open()
			a.wantSucceeded(old, foundBehind)
			settle(a, b)
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			a.wantValue(map[bool]string{false: "4", true: "5"}[edited], "SELECT count(*) FROM item")
			a.wantValue("after", "SELECT name FROM item WHERE id = 'both'")
			a.wantHealthy()
			b.wantHealthy()
			now := a.id()
			a.reopen()
			if a.id() != now {
				t.Error("it has become another device once more")
			}
			wantQuiet(t, a, b)
			late := newTestDevice(t, itemSchema)
			late.join(b.folder, b.invite())
			settle(a, b, late)
			wantSame(t, []*testDevice{a, b, late})
		})
	}
}

// The database was copied to another machine with its keys, and what it had not
// published yet.
func TestADatabaseThatWasCopiedWithItsKeys(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	a.exec("UPDATE item SET name = 'not published yet'")
	old := a.id()
	must(t, a.syncer.prepare(t.Context()))
	moved := copyWithKeys(a)
	moved.open()
	moved.wantSucceeded(old, foundMachine)
	settle(moved, b)
	b.wantValue("not published yet", "SELECT name FROM item")
	settle(a, moved, b) // the old machine is on again
	wantSame(t, []*testDevice{a, moved, b})
	for _, d := range []*testDevice{a, moved, b} {
		d.wantHealthy()
		if c := d.conflicts(); len(c) != 0 {
			t.Errorf("%d conflicts between equal edits", len(c))
		}
	}
	a.exec("UPDATE item SET name = 'here'")
	moved.exec("INSERT INTO item VALUES ('there', 'too', 1)")
	settle(a, moved, b)
	wantSame(t, []*testDevice{a, moved, b})
	wantQuiet(t, a, moved, b)
}

// What was not published yet of a table that was dropped since, or made anew, stands in the outbox alone.
func TestACopySendsWhatItsTablesHaveForgotten(t *testing.T) {
	t.Parallel()
	for how, statement := range map[string]string{"made anew": itemSchema, "gone": "SELECT 1"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('published', 'x', 1)")
			settle(a, b)
			a.exec("INSERT INTO item VALUES ('not yet', ?, 1)", strings.Repeat("x", 100))
			must(t, a.syncer.prepare(t.Context()))
			a.exec("DROP TABLE item")
			a.exec(statement)
			must(t, a.syncer.prepare(t.Context()))
			old := a.id()
			moved := copyWithKeys(a)
			moved.open()
			moved.wantSucceeded(old, foundMachine)
			settle(moved, b)
			settle(moved, b)
			b.wantValue("2", "SELECT count(*) FROM item")
			if how == "gone" {
				moved.exec(itemSchema)
				settle(moved, b)
			}
			settle(a, moved, b) // the old machine is on again
			wantSame(t, []*testDevice{moved, b})
			moved.wantHealthy()
			b.wantHealthy()
			wantQuiet(t, moved, b)
		})
	}
}

// The database and the keys are restored, so that only the folder tells.
func TestAMachineThatWasRestored(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('before', 'the backup', 1)")
	settle(a, b)
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	keys, err := a.options.Keys.Load(t.Context(), a.id().String())
	must(t, err)
	a.exec("INSERT INTO item VALUES ('after', 'the backup', 1)")
	settle(a, b)
	old := a.id()
	a.restore(backup)
	must(t, a.options.Keys.Save(t.Context(), old.String(), keys))
	a.exec("INSERT INTO item VALUES ('since', 'the restore', 1)")
	a.open()
	if a.id() != old {
		t.Fatal("it was noticed too early for the test")
	}
	settle(a, b)
	a.wantSucceeded(old, foundAhead)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("3", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// Two copies of a machine have published under one name, and a sync client has renamed one of the files. Somebody who had read that one
// has overruled what the other one says: it is among the conflicts of the copy, which goes on as another device before it merges that.
func TestTwinsOfWhichOnesFileIsRenamed(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	twin, old := copyOf(a), a.id()
	twin.open()
	a.exec("UPDATE item SET name = 'of the original'")
	settle(a, b)
	published := a.lastSegment()
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(published, away))
	b.withoutHead() // it would say that there is more
	tick()
	twin.exec("UPDATE item SET name = 'of the copy'")
	twin.sync()
	if twin.id() != old {
		t.Fatal("it was noticed too early for the test")
	}
	tick()
	b.exec("UPDATE item SET name = 'of another'")
	must(t, b.syncer.export(t.Context()))
	must(t, os.Rename(away, strings.TrimSuffix(published, ".seg")+" (laptop's conflicted copy 2026-11-23).seg"))
	twin.sync()
	twin.wantSucceeded(old, foundFolder)
	settle(b, twin)
	settle(b, twin)
	wantSame(t, []*testDevice{b, twin})
	b.wantValue("of another", "SELECT name FROM item")
	lost := func(c Conflict) bool { return c.Loser.Values["name"] == "of the copy" }
	if !slices.ContainsFunc(b.conflicts(), lost) && !slices.ContainsFunc(twin.conflicts(), lost) {
		t.Error("what the copy's app wrote is among no device's conflicts")
	}
}

// A machine was cloned with everything, and both go on.
func TestTwins(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema+"; CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT UNIQUE)")
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.exec("INSERT INTO note VALUES (1, 'one'), (2, 'two')")
	settle(a, b)
	twin := copyOf(a)
	twin.open()
	a.exec("INSERT INTO item VALUES ('1', 'of the original', 1)")
	a.exec("UPDATE note SET text = 'of the original' WHERE id = 1")
	twin.exec("INSERT INTO item VALUES ('2', 'of the copy', 1)")
	twin.exec("UPDATE note SET text = 'of the copy' WHERE id = 2")
	twin.exec("DELETE FROM item WHERE id = 'x'")
	old := a.id()
	a.sync()
	published := a.lastSegment()
	data, err := os.ReadFile(published)
	must(t, err)
	twin.sync()
	twin.wantSucceeded(old, foundFolder)
	if after, err := os.ReadFile(published); err != nil || !bytes.Equal(after, data) {
		t.Error("the original's segment was overwritten")
	}
	if a.id() != old {
		t.Error("the original has become another device")
	}
	settle(a, b, twin)
	settle(a, b, twin)
	wantSame(t, []*testDevice{a, b, twin})
	b.wantValue("2", "SELECT count(*) FROM item")
	b.wantValue("of the original,of the copy", "SELECT group_concat(text) FROM (SELECT text FROM note ORDER BY id)")
	for _, d := range []*testDevice{a, b, twin} {
		d.wantHealthy()
	}
	wantQuiet(t, a, b, twin)
}

// A machine was cloned with everything: each of the copies has keys of its own.
func TestTwinsWithKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	twin := copyOf(a)
	twin.options.Keys = FileKeys(filepath.Join(t.TempDir(), "keys"))
	secret, err := a.options.Keys.Load(t.Context(), a.id().String())
	must(t, err)
	must(t, twin.options.Keys.Save(t.Context(), a.id().String(), secret))
	twin.open()
	standing := make(history)
	a.exec("INSERT INTO item VALUES ('1', 'of the original', 1)")
	twin.exec("INSERT INTO item VALUES ('2', 'of the copy', 1)")
	twin.exec("DELETE FROM item WHERE id = 'x'")
	old := a.id()
	a.sync()
	standing.look(t, a.folder)
	twin.sync()
	standing.look(t, a.folder)
	twin.wantSucceeded(old, foundFolder)
	settle(a, b, twin)
	settle(a, b, twin)
	standing.look(t, a.folder)
	wantSame(t, []*testDevice{a, b, twin})
	b.wantValue("2", "SELECT count(*) FROM item")
	for _, d := range []*testDevice{a, b, twin} {
		d.wantHealthy()
	}
	wantQuiet(t, a, b, twin)
}

// A database file that was moved stays the device that it was.
func TestAMovedDatabaseIsTheSameDevice(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	old := a.id()
	a.close()
	must(t, a.db.Close())
	moved := filepath.Join(t.TempDir(), "elsewhere.db")
	must(t, os.Rename(a.path, moved))
	a.path = moved
	folder := a.folder + " moved"
	must(t, os.Rename(a.folder, folder))
	a.folder, b.folder = folder, folder
	var err error
	a.db, err = OpenDB(a.path)
	must(t, err)
	a.open()
	if a.id() != old || len(a.syncer.Status().Warnings) > 0 {
		t.Errorf("it is %s, warnings %q", a.id().Short(), a.syncer.Status().Warnings)
	}
	a.exec("INSERT INTO item VALUES ('z', 'y', 1)")
	a.sync()
	a.wantHealthy()
}

// Both copies of a machine go on as other devices, and the folder keeps a head of one that is not the last that was read of the other:
// nobody writes the next one.
func TestTheHeadThatTwoCopiesHaveLeft(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	path := filepath.Join(a.directory(), "head")
	left, err := os.ReadFile(path)
	must(t, err)
	a.exec("UPDATE item SET n = 2")
	settle(a, b)
	old := a.id()
	moved := copyWithKeys(a)
	moved.open()
	moved.wantSucceeded(old, foundMachine)
	a.close()
	settle(moved, b)
	must(t, os.WriteFile(path, left, 0o600))
	clock.pass(2 * headInterval)
	settle(moved, b)
	b.wantHealthy()
	devices, err := b.syncer.Devices(t.Context())
	must(t, err)
	for _, d := range devices {
		if d.Err != nil {
			t.Errorf("device %s: %v", d.ID.Short(), d.Err)
		}
	}
	wantSame(t, []*testDevice{moved, b})
}

// An edit of a device that has met the copy's batches says that it has seen the number that an edit here has, which is not out yet:
// it has not seen that edit, which loses against it and is kept.
func TestAnEditThatHasSeenTheBatchesOfATwin(t *testing.T) {
	t.Parallel()
	a, b, f := newFaultyPair(t)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	settle(a, b)
	twin := copyOf(a)
	twin.open()
	a.exec("UPDATE item SET name = 'of the original'")
	must(t, a.syncer.prepare(t.Context()))
	tick()
	old := a.id()
	twin.exec("INSERT INTO item VALUES ('z', 'of the copy', 1)")
	settle(twin, b)
	if twin.id() != old {
		t.Fatal("it was noticed too early for the test")
	}
	b.exec("UPDATE item SET name = 'of another' WHERE id = 'x'")
	b.sync()
	f.between(func(step string, perform func() error) error {
		if strings.HasPrefix(step, "sync ") {
			return fmt.Errorf("%s: %w", step, syscall.ENOSPC)
		}
		return perform()
	})
	if err := a.trySync(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	a.wantValue("of another", "SELECT name FROM item WHERE id = 'x'")
	f.between(nil)
	a.sync()
	a.wantSucceeded(old, foundAhead)
	settle(a, b, twin)
	settle(a, b, twin)
	wantSame(t, []*testDevice{a, b, twin})
	for _, conflict := range a.conflicts() {
		if name, _ := conflict.Loser.Values["name"].(string); name == "of the original" {
			return
		}
	}
	t.Errorf("conflicts %v: none keeps the edit that lost", a.conflicts())
}

// Two clones published the same number into their copies of the folder, and the
// sync client has kept one of the files.
func TestTwinsThatPublishedApart(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	settle(a, b)
	twin := copyOf(a)
	twin.open()
	old := a.id()
	a.exec("INSERT INTO item VALUES ('1', 'of the original', 1)")
	a.sync()
	mine := a.lastSegment()
	original, err := os.ReadFile(mine)
	must(t, err)
	must(t, os.Remove(mine)) // it has not come to the twin yet
	keys, err := a.options.Keys.Load(t.Context(), old.String())
	must(t, err)
	twin.exec("INSERT INTO item VALUES ('2', 'of the copy', 1)")
	twin.exec("UPDATE item SET name = 'edited by the copy' WHERE id = 'x'")
	twin.sync()
	if twin.id() != old {
		t.Fatal("it was noticed too early for the test")
	}
	b.sync() // has read the copy's
	must(t, os.WriteFile(mine, original, 0o600))
	must(t, a.options.Keys.Save(t.Context(), old.String(), keys))
	settle(a, twin)
	settle(a, b, twin)
	settle(a, b, twin) // digests make b look for a fork
	wantSame(t, []*testDevice{a, b, twin})
	for _, d := range []*testDevice{a, b, twin} {
		d.wantNotDiverged()
	}
	b.wantValue("edited by the copy", "SELECT name FROM item WHERE id = 'x'")
	b.wantValue("3", "SELECT count(*) FROM item")
	twin.wantSucceeded(old, foundFolder)
	for _, d := range []*testDevice{a, b, twin} {
		d.wantHealthy()
	}
}

// forkedPair makes a device, its twin, and another one that reads both: what the two have published apart, one batch and two, the
// sync client has not brought together yet. The folder is the twin's.
func forkedPair(t *testing.T) (a, twin, b *testDevice, name string, original []byte) {
	t.Helper()
	a, b = newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	settle(a, b)
	twin = copyOf(a)
	twin.open()
	keys, err := a.options.Keys.Load(t.Context(), a.id().String())
	must(t, err)
	a.exec("INSERT INTO item VALUES ('1', 'of the original', 1)")
	a.sync()
	name = a.lastSegment()
	original, err = os.ReadFile(name)
	must(t, err)
	must(t, os.Remove(name))
	must(t, a.options.Keys.Save(t.Context(), a.id().String(), keys)) // the twin has its own
	for i := 2; i <= 3; i++ {
		twin.exec("INSERT INTO item VALUES (?, 'of the copy', 1)", fmt.Sprint(i))
		twin.sync()
	}
	if twin.id() != a.id() {
		t.Fatal("it was noticed too early for the test")
	}
	return a, twin, b, name, original
}

// checkForked makes sure that nothing of either is lost, and nobody has a problem.
func checkForked(t *testing.T, devices ...*testDevice) {
	t.Helper()
	for range 3 {
		for _, d := range devices {
			_ = d.trySync()
			d.syncer.looked = nil // a while later
		}
	}
	settle(devices...)
	wantSame(t, devices)
	for _, d := range devices {
		d.wantValue("4", "SELECT count(*) FROM item")
		d.wantHealthy()
		if behind := d.syncer.Status().Behind; behind > 0 {
			t.Errorf("device %s is %d segments behind", d.id().Short(), behind)
		}
		if seen := d.examine(d.folder); seen.Status.Behind > 0 || slices.ContainsFunc(seen.Findings, func(found Finding) bool { return !found.Note }) {
			t.Errorf("device %s: doctor sees %d segments to read, and finds %+v", d.id().Short(), seen.Status.Behind, seen.Findings)
		}
	}
}

// The sync client keeps the original's file where each has one, and the second one of the copy.
func TestATwinOfWhichOnlyTheEndStands(t *testing.T) {
	t.Parallel()
	a, twin, b, name, original := forkedPair(t)
	before := twin.id()
	must(t, os.WriteFile(name, original, 0o600))
	checkForked(t, b, twin, a, b)
	twin.wantSucceeded(before, foundFolder)
}

// The second file of the copy comes first, and then its first one in the place of the original's.
func TestATwinWhoseFilesComeInDisorder(t *testing.T) {
	t.Parallel()
	a, twin, b, name, original := forkedPair(t)
	before := a.id()
	theirs, err := os.ReadFile(name)
	must(t, err)
	must(t, os.WriteFile(name, original, 0o600))
	_ = a.trySync()
	a.wantSucceeded(before, foundFolder)
	must(t, os.WriteFile(name, theirs, 0o600))
	checkForked(t, a, twin, b)
}

// A machine was cloned with everything, and both write the log of the one device
// anew that they still are.
func TestTwinsThatBothCompact(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.writeBatches(6, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	settle(a, b)
	twin := copyOf(a)
	clock := newTestClock(a, b, twin)
	twin.open()
	for _, d := range []*testDevice{a, twin} { // at the same time
		f, err := d.syncer.openFolder()
		must(t, err)
		d.compactNext()
		must(t, d.syncer.compact(t.Context(), f))
		must(t, f.Close())
	}
	for range 3 {
		settle(a, twin, b)
		clock.pass(graceTime)
	}
	settle(a, twin, b)
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments stand at rest", n)
	}
	must(t, os.Remove(a.lastSegment()))
	_ = twin.trySync()
	clock.pass(vanishedTime)
	_ = twin.trySync() // makes it again
	settle(twin, a, b)
	a.exec("UPDATE item SET n = 2 WHERE id = '1'")
	settle(a, twin, b)
	twin.exec("UPDATE item SET n = 3 WHERE id = '2'")
	settle(a, twin, b)
	wantSame(t, []*testDevice{a, b, twin})
	for _, d := range []*testDevice{a, b, twin} {
		d.wantHealthy()
	}
}

// The log was written anew after the backup, and then nothing more was written.
func TestADatabaseThatWasRestoredFromBeforeACompaction(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.writeBatches(6, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	settle(a, b)
	clock := newTestClock(a, b)
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	a.compactNext()
	quietDown(clock, a, b)
	old := a.id()
	a.restore(backup)
	a.open()
	clock.give(a)
	settle(a, b)
	a.wantHealthy()
	if a.id() != old {
		t.Error("it has become another device, though nothing is missing")
	}
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments stand", n)
	}
	wantQuiet(t, a, b)
}

// The backup was made when a range was about to go out, which has several changes
// of one row.
func TestADatabaseThatWasRestoredWithARangeInTheOutbox(t *testing.T) {
	t.Parallel()
	for _, refilled := range []bool{false, true} {
		t.Run(fmt.Sprint("refilled=", refilled), func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			clock := newTestClock(a, b)
			a.exec("INSERT INTO item VALUES ('1', 'x', 1), ('2', 'y', 1)")
			settle(a, b)
			for _, d := range []*testDevice{a, b} {
				must(t, d.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, "ALTER TABLE item ADD COLUMN more TEXT DEFAULT 'd'; UPDATE item SET more = 'migrated' WHERE id = '1'")
					return err
				}))
			}
			settle(a, b)
			a.sync()
			f, err := a.syncer.openFolder()
			must(t, err)
			a.compactNext()
			must(t, a.syncer.compact(t.Context(), f))
			if refilled {
				a.sync()
				a.sync()
				for _, path := range a.segments() {
					must(t, os.Remove(path))
				}
				_ = a.trySync()
				clock.pass(vanishedTime)
				var p problems
				must(t, a.syncer.confirm(t.Context(), f, &p))
			}
			must(t, f.Close())
			a.wantValue("1", "SELECT count(*) FROM sqlitesync_segments WHERE state = 0")
			backup := filepath.Join(t.TempDir(), "backup.db")
			a.exec("VACUUM INTO ?", backup)
			a.exec("INSERT INTO item VALUES ('3', 'after', 1, 'the backup')")
			settle(a, b)
			a.restore(backup)
			a.open()
			settle(a, b)
			settle(a, b)
			a.wantValue("3", "SELECT count(*) FROM item")
			a.wantValue("migrated", "SELECT more FROM item WHERE id = '1'")
			wantSame(t, []*testDevice{a, b})
			a.wantHealthy()
			b.wantHealthy()
			if !refilled {
				a.wantValue("0", "SELECT count(*) FROM sqlitesync_segments")
			}
		})
	}
}

// The backup was made when a segment was about to be made again, in the midst of the log. Of what the device has published since
// then it still reads all; who comes later, and lacks that segment, has all once it is relayed.
func TestADatabaseThatWasRestoredWithASegmentMadeAgainInTheOutbox(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	settle(a, b)
	lost := a.segments()[0]
	must(t, os.Remove(lost))
	_ = a.trySync()
	clock.pass(vanishedTime)
	f, err := a.syncer.openFolder()
	must(t, err)
	must(t, a.syncer.confirm(t.Context(), f, &problems{}))
	must(t, f.Close())
	a.wantValue("1", "SELECT count(*) FROM sqlitesync_segments WHERE state = 0")
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	a.exec("INSERT INTO item VALUES ('after', 'the backup', 1)")
	a.sync()
	must(t, os.Remove(a.segments()[0]))
	old := a.id()
	a.restore(backup)
	a.open()
	clock.give(a)
	settle(a, b)
	if a.id() == old {
		t.Error("it is still the same device")
	}
	for _, d := range []*testDevice{a, b} {
		d.wantValue("4", "SELECT count(*) FROM item")
	}
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, a.invite())
	clock.give(c)
	clock.pass(lostTime + 2*relayTurn)
	settle(a, b, c)
	c.waitedLongEnough() // for batches of the old device, which the others had seen
	settle(a, b, c)
	c.wantValue("4", "SELECT count(*) FROM item")
	wantSame(t, []*testDevice{a, b, c})
}

// Two clones published the same number into their copies of the folder. One was
// written anew before the other one saw it.
func TestTwinsOfWhichOneHasCompacted(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	settle(a, b)
	twin := copyOf(a)
	clock := newTestClock(a, b, twin)
	twin.open()
	old := a.id()
	keys, err := a.options.Keys.Load(t.Context(), old.String())
	must(t, err)
	twin.exec("INSERT INTO item VALUES ('2', 'of the copy', 1)")
	twin.sync() // into its copy of the folder
	twin.sync()
	must(t, os.Remove(a.lastSegment())) // which the sync client gives up for the original's
	must(t, a.options.Keys.Save(t.Context(), old.String(), keys))
	a.exec("INSERT INTO item VALUES ('1', 'of the original', 1)")
	a.sync()
	a.exec("INSERT INTO item VALUES ('3', 'of the original', 1)")
	a.sync()
	a.compactNext()
	quietDown(clock, a)
	for range 3 {
		_ = twin.trySync()
		clock.pass(vanishedTime)
	}
	settle(a, b, twin)
	settle(a, b, twin)
	wantSame(t, []*testDevice{a, b, twin})
	b.wantValue("4", "SELECT count(*) FROM item")
}

// Both have made a batch of one number, and the one that published it has written its log anew before the other's came out: the two
// stand in the folder under different names.
func TestATwinOfWhoseBatchARangeHasTakenThePlace(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	settle(a, b)
	twin := copyOf(a)
	twin.open()
	old := a.id()
	twin.exec("INSERT INTO item VALUES ('2', 'of the copy', 1)")
	away := a.folder + " of another time"
	must(t, os.Rename(a.folder, away))
	_ = twin.trySync() // it folds, and can't publish
	must(t, os.Rename(away, a.folder))
	keys, err := a.options.Keys.Load(t.Context(), old.String())
	must(t, err)
	a.exec("INSERT INTO item VALUES ('1', 'of the original', 1); UPDATE item SET name = 'z' WHERE id = 'x'")
	a.sync()
	for range 3 {
		a.compactNext()
		a.sync()
		clock.pass(graceTime)
	}
	a.sync()
	if n := len(a.segments()); n != 1 {
		t.Fatalf("%d segments stand, want one range", n)
	}
	must(t, a.options.Keys.Save(t.Context(), old.String(), keys))
	settle(twin, a, b)
	settle(twin, a, b)
	wantSame(t, []*testDevice{a, b, twin})
	b.wantValue("3", "SELECT count(*) FROM item")
	twin.wantSucceeded(old, foundFolder)
	for _, d := range []*testDevice{a, b, twin} {
		d.wantHealthy()
	}
	late := newTestDevice(t, itemSchema)
	late.join(a.folder, b.invite())
	settle(late, a, b, twin)
	wantSame(t, []*testDevice{a, late})
}

// A backup that holds what was not sent, and has lost a column or a table since that was written, or renamed a column, goes on
// with all that it still has.
func TestARestoredDatabaseSendsRowsThatLackAColumn(t *testing.T) {
	t.Parallel()
	for _, migration := range []string{
		"ALTER TABLE t DROP COLUMN w", "ALTER TABLE t RENAME COLUMN v TO x; ALTER TABLE t RENAME COLUMN x TO v; ALTER TABLE t RENAME COLUMN w TO y", "DROP TABLE u",
	} {
		t.Run(migration, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, w); CREATE TABLE u (id TEXT PRIMARY KEY NOT NULL, v)")
			a.exec("INSERT INTO t VALUES ('1', 'x', NULL), ('2', 'y', 7); INSERT INTO u VALUES ('1', 'x')")
			must(t, a.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error { // what was written before is not published yet
				_, err := db.ExecContext(ctx, migration)
				return err
			}))
			backup := filepath.Join(t.TempDir(), "backup.db")
			a.exec("VACUUM INTO ?", backup)
			a.exec("INSERT INTO t (id, v) VALUES ('3', 'z')")
			a.sync()
			old := a.id()
			a.restore(backup)
			a.open()
			a.wantSucceeded(old, foundBehind)
			b.exec(migration)
			settle(a, b)
			settle(a, b)
			wantEverywhere("1x,2y,3z", "SELECT group_concat(id || v) FROM (SELECT * FROM t ORDER BY id)", a, b)
			wantSame(t, []*testDevice{a, b}, "t")
			wantQuiet(t, a, b)
		})
	}
}

// A backup of database and keys does not know that it is one until it publishes. What the app wrote to it, and a migration told
// again under another name of the key, goes out all the same.
func TestTheKeyIsRenamedInARestoredDatabase(t *testing.T) {
	t.Parallel()
	const migration = "ALTER TABLE item RENAME COLUMN id TO key"
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	settle(a, b)
	moved, old := copyOf(a), a.id()
	moved.options.Keys = FileKeys(filepath.Join(t.TempDir(), "keys"))
	secret, err := a.options.Keys.Load(t.Context(), old.String())
	must(t, err)
	must(t, moved.options.Keys.Save(t.Context(), old.String(), secret))
	a.exec("INSERT INTO item VALUES ('2', 'of a, since the backup', 1)")
	for _, d := range []*testDevice{a, b} {
		d.exec(migration)
		settle(a, b)
	}
	a.close()
	moved.open()
	moved.exec("INSERT INTO item VALUES ('3', 'of the restored', 1)")
	must(t, moved.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, migration)
		return err
	}))
	settle(moved, b)
	settle(moved, b)
	moved.wantSucceeded(old, foundAhead)
	wantSame(t, []*testDevice{moved, b})
	b.wantValue("3", "SELECT count(*) FROM item")
	moved.wantHealthy()
	wantQuiet(t, moved, b)
}

// Of a log of which both a device and its twin have written a part, only that can be read again which goes together.
func TestATableIsMadeAnewBesideALogThatHasForked(t *testing.T) {
	t.Parallel()
	a, twin, b, name, original := forkedPair(t)
	b.sync() // has read what the twin has published
	must(t, os.WriteFile(name, original, 0o600))
	checkForked(t, b, twin, a, b)
	for _, d := range []*testDevice{a, b, twin} {
		d.exec("DROP TABLE item; " + itemSchema)
		for range 3 {
			_ = d.trySync()
		}
		d.wantValue("4", "SELECT count(*) FROM item")
		d.wantHealthy()
	}
}

// A backup of a device that was revoked since then is nobody's: who opens it is told so, and what to do.
func TestABackupOfADeviceThatWasRevoked(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('before', 'the backup', 1)")
	settle(a, b)
	backup := filepath.Join(t.TempDir(), "backup.db")
	b.exec("VACUUM INTO ?", backup)
	b.exec("INSERT INTO item VALUES ('after', 'the backup', 1)")
	settle(a, b)
	a.revoke(b)
	b.restore(backup)
	for range 2 {
		_, err := Open(b.context(), b.db, b.folder, &b.options)
		wantIs(t, err, ErrNotMember)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint, "Uninstall") {
			t.Errorf("error %v does not say what to do", err)
		}
	}
	b.wantValue("1", "SELECT count(*) FROM item")
}

// Of two edits of one moment devices decide. One that wins while it waits in the outbox, and goes out under another device's
// id, can lose: then it must lose here, too, though what it has beaten is forgotten.
func TestAnEditOfTheSameMomentGoesOutAgain(t *testing.T) {
	t.Parallel()
	moment := time.Now().Add(-time.Minute)
	for try, lost := 0, false; !lost; try++ {
		if try == 200 { // one in six does: the ids decide
			t.Fatal("no edit has lost as another device")
		}
		a, b := newPair(t, itemSchema)
		b.tolerates = folder.ErrNotRegular // what keeps a from publishing
		a.execAt(moment, "INSERT INTO item VALUES ('x', 'of a', 1)")
		b.execAt(moment, "INSERT INTO item VALUES ('x', 'of b', 1)")
		must(t, os.RemoveAll(a.directory()))
		must(t, os.WriteFile(a.directory(), nil, 0o600))
		b.sync()
		_ = a.trySync() // reads, and publishes nothing
		won := a.value("SELECT name FROM item") == "of a"
		moved := copyWithKeys(a)
		must(t, os.Remove(a.directory())) // and its device is lost
		moved.open()
		settle(moved, b)
		wantSame(t, []*testDevice{moved, b})
		if lost = won && b.value("SELECT name FROM item") == "of b"; lost {
			moved.wantValue("1", "SELECT count(*) FROM sqlitesync_conflicts WHERE loser_values GLOB '*of a*'")
		}
	}
}

// As another device's an edit can also win that has lost, or lose against one that is still known here: what the row is, or which of two
// rows has a unique value, is decided anew.
func TestEditsOfTheSameMomentAreDecidedAnew(t *testing.T) {
	t.Parallel()
	const claims = "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, n INTEGER)"
	for _, test := range []struct {
		title, schema, a, b string
		wins                bool   // the edit of a, as another device's
		loser               string // what the device that goes on as another one finds among the conflicts, or ""
	}{
		{"a delete wins", itemSchema, "DELETE FROM item", "UPDATE item SET name = 'of b'", true, "of b"},
		{"a delete is what wins", itemSchema, "UPDATE item SET name = 'of a'", "DELETE FROM item", false, "of a"},
		{"a held row wins", claims, "INSERT INTO item VALUES ('a', 'claimed', 2)", "INSERT INTO item VALUES ('b', 'claimed', 3)", true, ""},
		{"a held row is what wins", claims, "INSERT INTO item VALUES ('a', 'claimed', 2)", "INSERT INTO item VALUES ('b', 'claimed', 3)", false, ""},
	} {
		t.Run(test.title, func(t *testing.T) {
			t.Parallel()
			moment := time.Now().Add(-time.Minute)
			beats := func(d, other *testDevice) bool { return d.id().String() > other.id().String() }
			for try, decided := 0, false; !decided; try++ {
				if try == 200 { // one in three is: the ids decide
					t.Fatal("no edit was decided anew")
				}
				a, b := newPair(t, test.schema)
				if beats(a, b) == test.wins {
					a, b = b, a
				}
				b.tolerates = folder.ErrNotRegular // what keeps a from publishing
				a.execAt(moment.Add(-time.Hour), "INSERT INTO item VALUES ('x', 'before', 1)")
				settle(a, b)
				a.execAt(moment, test.a)
				b.execAt(moment, test.b)
				away := a.directory() + ".away"
				must(t, os.Rename(a.directory(), away))
				must(t, os.WriteFile(a.directory(), nil, 0o600))
				b.sync()
				_ = a.trySync() // reads, and publishes nothing
				moved := copyWithKeys(a)
				must(t, os.Remove(a.directory())) // and its device is lost
				must(t, os.Rename(away, a.directory()))
				moved.open()
				decided = beats(moved, b) == test.wins
				settle(moved, b)
				wantSame(t, []*testDevice{moved, b})
				moved.wantHealthy()
				b.wantHealthy()
				if decided && test.loser != "" {
					moved.wantValue("1", "SELECT count(*) FROM sqlitesync_conflicts WHERE loser_values GLOB ?", "*"+test.loser+"*")
				}
			}
		})
	}
}

// What a restored database numbers before it has become another device hides that it knows less than was published, also from
// the next process, if this one did not get so far.
func TestARestoredDatabaseThatCouldNotBecomeAnotherDevice(t *testing.T) {
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
	a.restore(backup)
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	a.exec("INSERT INTO item VALUES ('2', 'since', 1)")
	keys.broken = true
	_, err := Open(a.context(), a.db, a.folder, &a.options)
	wantText(t, err, "key ring is locked")
	keys.broken = false
	a.open()
	a.wantSucceeded(old, foundOther)
	must(t, os.Rename(away, a.folder))
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// A large transaction goes out in several files. Of one of which only a part is out when its author goes on as another device
// nobody could ever show the rows of that part: it goes out again whole.
func TestAPartOfATransactionIsOutWhenItsAuthorBecomesAnotherDevice(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('before', 'of a', 1)")
	a.sync()
	a.exec("WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9000) INSERT INTO item SELECT i, 'of a', 1 FROM n")
	a.sync()
	moved := copyWithKeys(a)
	segments := a.segments()
	if len(segments) < 4 {
		t.Fatalf("the transaction went out in %d files", len(segments)-1)
	}
	for _, lost := range segments[2:] {
		must(t, os.Remove(lost))
	}
	moved.open()
	settle(moved, b)
	wantSame(t, []*testDevice{moved, b})
	b.wantValue("9001", "SELECT count(*) FROM item")
	b.wantValue("0", "SELECT count(*) FROM sqlitesync_inbox")
	for _, d := range []*testDevice{moved, b} {
		if status := d.syncer.Status(); len(status.Problems) > 0 || len(status.Waiting) != 1 || status.Waiting[0].For != a.id() {
			t.Errorf("problems %v, waiting for %v, want the rest of the log of the device that the copy was", status.Problems, status.Waiting)
		}
	}
	moved.revoke(a) // it does not come back, and nobody uses what it has begun
	must(t, os.Remove(segments[1]))
	settle(moved, b)
	moved.wantHealthy()
	b.wantHealthy()
	wantSame(t, []*testDevice{moved, b})
}

// Whether the log of a device that goes on as another one still stands, the beginnings of its files tell: nobody reads all of it
// again each time that the app starts.
func TestAFormerLogIsNotReadAgainAtEachStart(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for id := range 5 {
		a.exec("INSERT INTO item VALUES (?, 'of a', 1)", id)
		a.sync()
	}
	before := a.id()
	moved := copyWithKeys(a)
	moved.open()
	moved.wantSucceeded(before, foundMachine)
	settle(moved, b)
	b.reopen()
	opened := 0
	b.environment.Step = func(step string, perform func() error) error {
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") {
			opened++
		}
		return perform()
	}
	b.sync()
	b.environment.Step = nil
	if opened > 1+5 { // it was looked whether the log has forked, too
		t.Errorf("files were opened %d times", opened)
	}
	wantSame(t, []*testDevice{moved, b})
}

// A sync client was not through with a file of a former log, and brings the rest of it just after it was read: it is read again, and
// not taken for lost for a day.
func TestAFileOfAFormerLogIsBroughtWhileItIsRead(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES (%d, 'of a', 1)", i) })
	before, last := a.id(), a.lastSegment()
	moved := copyWithKeys(a)
	clock := newTestClock(b)
	moved.open()
	settle(moved, b)
	content, err := os.ReadFile(last)
	must(t, err)
	must(t, os.Truncate(last, 100))
	clock.pass(relayTurn)
	whole := filepath.Join(t.TempDir(), "whole")
	must(t, os.WriteFile(whole, content, 0o600))
	b.environment.Step = func(step string, perform func() error) error {
		err := perform()
		if step == "close "+filepath.Base(last) {
			_ = os.Rename(whole, last)
		}
		return err
	}
	b.crowded = true
	b.sync()
	b.environment.Step = nil
	if _, err := os.Stat(whole); err == nil {
		t.Fatal("the file was not read")
	}
	if _, lost := b.syncer.lost[before]; !lost {
		t.Fatal("the log was not found lost")
	}
	b.sync()
	if _, lost := b.syncer.lost[before]; lost {
		t.Error("the log counts as lost though it is whole again")
	}
}
