package sqlitesync

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"
)

// The power goes, on a disk that has not written what it said it had: the end of the WAL is cut off, anywhere, after what it held
// was published. The main file is whole, and no error of SQLite tells of it.
func TestAWALThatIsCutOffAfterPublishing(t *testing.T) {
	t.Parallel()
	const parts = 8
	for kept := range parts + 1 {
		t.Run(fmt.Sprintf("%d of %d are kept", kept, parts), func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('both', 'before', 1)")
			settle(a, b)
			settle(a, b)
			a.exec("PRAGMA wal_checkpoint(TRUNCATE)")
			for i := range 4 {
				a.exec("INSERT INTO item VALUES (?, 'published', 1)", fmt.Sprint(i))
				a.exec("UPDATE item SET name = ? WHERE id = 'both'", fmt.Sprint("after ", i))
				settle(a, b)
			}
			standing := make(history)
			standing.look(t, a.folder)
			main, err := os.ReadFile(a.path)
			must(t, err)
			wal, err := os.ReadFile(a.path + "-wal")
			must(t, err)
			old := a.id()
			a.close()
			must(t, a.db.Close())
			for _, suffix := range []string{"-wal", "-shm"} {
				if err := os.Remove(a.path + suffix); !errors.Is(err, os.ErrNotExist) {
					must(t, err)
				}
			}
			must(t, os.WriteFile(a.path, main, 0o600))
			must(t, os.WriteFile(a.path+"-wal", wal[:max(0, len(wal)*kept/parts-1)], 0o600))
			a.db, err = OpenDB(a.path)
			must(t, err)
			forgotten := a.value("SELECT count(*) FROM item WHERE name = 'published'") != "4"
			if !forgotten && kept < parts/2 {
				t.Errorf("%d bytes of %d hold all that was written: the test shows nothing", len(wal)*kept/parts, len(wal))
			}
			a.exec("INSERT INTO item VALUES ('since', 'the cut', 1)")
			a.open()
			if forgotten {
				a.wantSucceeded(old, foundBehind)
			}
			settle(a, b)
			settle(a, b)
			standing.look(t, a.folder) // no number has got another content
			wantSame(t, []*testDevice{a, b})
			a.wantValue("4", "SELECT count(*) FROM item WHERE name = 'published'")
			a.wantValue("after 3", "SELECT name FROM item WHERE id = 'both'")
			a.wantValue("1", "SELECT count(*) FROM item WHERE id = 'since'")
			for _, d := range []*testDevice{a, b} {
				d.wantHealthy()
				// Of one edit at most it is not known any more that it had a number: it goes out once more, as the new device's,
				// and is overruled by what was written after it.
				if n := len(d.conflicts()); n > 1 {
					t.Errorf("%d conflicts", n)
				}
			}
			wantQuiet(t, a, b)
		})
	}
}

// The app's database is deleted, keys and folder stay, and the app makes it anew. It is not set up then, whatever its keys say;
// with a new code it enters as another device, and has back all that was published. Its former log stays as it was.
func TestADatabaseThatWasDeletedAndMadeAnew(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'published', 1), ('2', 'deleted by b', 1)")
	settle(a, b)
	b.exec("DELETE FROM item WHERE id = '2'")
	settle(a, b)
	standing := make(history)
	standing.look(t, a.folder)
	old := a.id()
	a.close()
	must(t, a.db.Close())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(a.path + suffix); !errors.Is(err, os.ErrNotExist) {
			must(t, err)
		}
	}
	var err error
	a.db, err = OpenDB(a.path)
	must(t, err)
	a.exec(itemSchema)
	a.exec("INSERT INTO item VALUES ('3', 'of the new file', 1)")
	a.syncer, err = Open(a.context(), a.db, a.folder, &a.options)
	wantIs(t, err, ErrNotSetUp)
	_, err = Create(a.context(), a.db, a.folder, &a.options)
	wantIs(t, err, ErrAlreadySetUp) // the folder has a space
	a.options.Existing = MergeExisting
	a.join(a.folder, b.invite())
	if a.id() == old {
		t.Error("it took the keys of the device that it was")
	}
	settle(a, b)
	standing.look(t, a.folder)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("1,3", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)")
	a.wantHealthy()
	b.wantHealthy()
	wantQuiet(t, a, b)
}

// The power goes after a pass, and takes a delete but not the insert before it. If others had got the row its delete stands in the
// folder, and holds. If the row was made since the last pass nobody was told of either: what is on the disk is what SQLite leaves of
// such commits, with sync or without, and goes on like any edit.
func TestADeleteThatAPowerCutTakes(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		t.Run(fmt.Sprintf("others have the row: %t", told), func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			settle(a, b)
			settle(a, b)
			standing := make(history)
			standing.look(t, a.folder)
			before := tree(t, a.folder)
			a.exec("PRAGMA wal_checkpoint(TRUNCATE)")
			a.exec("INSERT INTO item VALUES ('1', 'made', 1)")
			if told {
				settle(a, b)
			}
			info, err := os.Stat(a.path + "-wal")
			must(t, err)
			a.exec("DELETE FROM item WHERE id = '1'")
			settle(a, b)
			standing.look(t, a.folder)
			if unchanged := maps.Equal(before, tree(t, a.folder)); unchanged == told {
				t.Fatalf("the folder is as before: %t", unchanged)
			}
			main, err := os.ReadFile(a.path)
			must(t, err)
			wal, err := os.ReadFile(a.path + "-wal")
			must(t, err)
			old := a.id()
			a.close()
			must(t, a.db.Close())
			if err := os.Remove(a.path + "-shm"); !errors.Is(err, os.ErrNotExist) {
				must(t, err)
			}
			must(t, os.WriteFile(a.path, main, 0o600))
			must(t, os.WriteFile(a.path+"-wal", wal[:info.Size()], 0o600))
			a.db, err = OpenDB(a.path)
			must(t, err)
			a.wantValue("1", "SELECT count(*) FROM item") // no Syncer has looked at it
			a.open()
			if told {
				a.wantSucceeded(old, foundBehind)
			} else if a.id() != old {
				t.Error("it goes on as another device, though it has forgotten nothing that others know")
			}
			settle(a, b)
			settle(a, b)
			standing.look(t, a.folder)
			wantSame(t, []*testDevice{a, b})
			b.wantValue(map[bool]string{false: "1", true: "0"}[told], "SELECT count(*) FROM item")
			for _, d := range []*testDevice{a, b} {
				d.wantHealthy()
			}
			wantQuiet(t, a, b)
		})
	}
}
