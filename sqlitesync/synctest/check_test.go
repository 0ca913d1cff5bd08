package synctest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const noteSchema = "CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, text TEXT)"

// What must hold is checked: each of these does what no engine may do, and the run says so.
func TestARunFails(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(w *World, d, other *Device)
		want string
	}{
		{"nothing is wrong", func(*World, *Device, *Device) {}, ""},
		{"an edit is forgotten", func(_ *World, d, _ *Device) {
			d.Exec("UPDATE note SET text = 'forgotten'")
			d.Exec("DELETE FROM sqlitesync_log")
		}, "show different rows"},
		{"a device writes into the directory of another one", func(w *World, d, other *Device) {
			w.Allow(Meanwhile)
			w.Meanwhile(func(d *Device) {
				if head := d.path("devices/" + other.id() + "/head"); d != other {
					w.must(os.WriteFile(head, []byte("mine"), 0o600))
				}
			})
			d.Exec("UPDATE note SET text = 'something to publish'")
			for range 3 {
				w.Step()
			}
		}, "has touched devices/"},
		{"a file of somebody else is changed", func(_ *World, d, _ *Device) {
			d.junk["notes.txt"] = "mine"
			d.put("notes.txt", []byte("not mine"))
		}, "is not what it was"},
		{"a row is readable in the folder", func(_ *World, d, _ *Device) {
			d.put("devices/leak", []byte("… a text that nobody may read …"))
		}, "holds"},
		{"a device forgets what it has read", func(w *World, d, other *Device) {
			w.Step()
			_, err := d.db.Exec("UPDATE sqlitesync_devices SET batch = 0 WHERE id = unhex(?)", other.id())
			w.must(err)
			w.must(d.remembers()) // a pass would read it again
		}, "had read batch"},
		{"a device writes into a folder that is not the space's", func(w *World, d, _ *Device) {
			w.must(os.Rename(d.Folder(), filepath.Join(d.dir, "aside")))
			w.must(os.Mkdir(d.Folder(), 0o700))
			d.away = &away{fault: Emptied}
			w.must(os.WriteFile(d.path("README.txt"), nil, 0o600))
		}, "wrote README.txt although the folder is emptied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Run(1, func(w *World) {
				d, other := w.Device(Schema(noteSchema)), w.Device(Schema(noteSchema))
				d.Exec("INSERT INTO note VALUES ('1', 'a text that nobody may read')")
				other.Exec("INSERT INTO note VALUES ('2', 'another one')")
				w.Settle()
				test.do(w, d, other)
				w.Settle()
			})
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// A power cut takes what was not synced, and nothing else.
func TestAPowerCut(t *testing.T) {
	kept := 0
	for seed := range uint64(8) {
		err := Run(seed, func(w *World) {
			d, other := w.Device(Schema(noteSchema)), w.Device(Schema(noteSchema))
			d.Exec("INSERT INTO note VALUES ('1', 'published')")
			w.must(d.Sync())
			d.Exec("INSERT INTO note VALUES ('2', 'not even folded')")
			d.CutPower()
			kept += len(d.column("SELECT 1 FROM note WHERE id = '2'"))
			w.Settle()
			if len(other.column("SELECT 1 FROM note WHERE id = '1'")) == 0 {
				w.Fatalf("what was published is lost")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if kept == 0 || kept == 8 {
		t.Errorf("what was not synced was kept in %d runs of 8", kept)
	}
}

// Of a row that is made and deleted between two passes nobody is told. A power cut may take the delete alone, as it may without
// sync; then the row is back, and no simulation says that it must not be. Once others have the row its delete stays.
func TestAPowerCutTakesADeleteOfWhatNobodyHas(t *testing.T) {
	back := 0
	for seed := range uint64(24) {
		told := seed%4 == 0
		err := Run(seed, func(w *World) {
			s := newSimulation(w)
			d := w.Device(Schema(ledgerSchema))
			w.Device(Schema(ledgerSchema))
			w.Settle() // no head is written any more
			s.keep(d, "row", false)
			if told {
				w.Step()
				s.look()
			}
			s.keep(d, "row", true)
			w.Step()
			s.look()
			d.CutPower()
			s.look()
			w.Settle()
			s.look()
			s.verify()
			shown := len(d.column("SELECT 1 FROM ledger"))
			if back += shown; told && shown > 0 {
				w.Fatalf("a row that others had, and whose delete was published, is back")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if back == 0 {
		t.Error("no power cut has taken the delete alone: the test shows nothing")
	}
}
