package sqlitesync

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// wantWhole checks that SQLite finds no row without its parent.
func wantWhole(tb testing.TB, devices ...*testDevice) {
	tb.Helper()
	for i, d := range devices {
		var orphans int
		must(tb, d.db.QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&orphans))
		if orphans > 0 {
			tb.Errorf("device %d has %d rows without their parents", i, orphans)
		}
	}
}

// heldRows lists the held rows as "table key", or "shown" if it is only without its parent.
func (d *testDevice) heldRows() string {
	d.tb.Helper()
	var list []string
	for _, held := range d.held() {
		if held.Shown {
			list = append(list, "shown")
			continue
		}
		list = append(list, fmt.Sprint(held.Table, held.Key))
		if !strings.Contains(held.Reason, "FOREIGN KEY") {
			d.tb.Errorf("%s is held because of %q", held.Table, held.Reason)
		}
	}
	return strings.Join(list, " ")
}

const familySchema = `CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL, name TEXT);
	CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL, parent TEXT DEFAULT 'd' REFERENCES parent ON DELETE %s, note TEXT)`

// One device deletes a row while another writes a child of it.
func TestAParentIsDeletedBesideANewChild(t *testing.T) {
	long(t)
	t.Parallel()
	for _, test := range []struct {
		action string
		parent string // its name afterwards
		child  string // its parent afterwards
		held   string
	}{
		{"CASCADE", "no row", "no row", "child[c]"},
		{"SET NULL", "no row", "<nil>", "shown"},
		{"SET DEFAULT", "no row", "d", "shown"},
		{"RESTRICT", "old", "p", ""},
		{"NO ACTION", "old", "p", ""},
	} {
		for _, first := range []int{0, 1} {
			t.Run(fmt.Sprint(test.action, " ", first), func(t *testing.T) {
				devices := newSpace(t, fmt.Sprintf(familySchema, test.action), 3)
				a, b := devices[0], devices[1]
				a.exec("INSERT INTO parent VALUES ('p', 'old'), ('d', 'default')")
				settle(devices...)
				a.exec("DELETE FROM parent WHERE id = 'p'")
				tick()
				b.exec("INSERT INTO child VALUES ('c', 'p', 'new')")
				written := len(b.segments())
				settle(devices[first], devices[1-first], devices[2])
				settle(devices...)
				wantSame(t, devices)
				wantWhole(t, devices...)
				for _, d := range devices {
					d.wantValue(test.parent, "SELECT name FROM parent WHERE id = 'p'")
					d.wantValue(test.child, "SELECT parent FROM child WHERE id = 'c'")
					if held := d.heldRows(); held != test.held || (d.syncer.Status().Held > 0) != (test.child == "no row") {
						t.Errorf("held: %q, want %q", held, test.held)
					}
				}
				wantQuiet(t, devices...)
				want := written + 1
				if test.parent != "no row" {
					want++
				}
				if n := len(b.segments()); n != want {
					t.Errorf("the child's author made %d segments, want %d", n, want)
				}
				for _, d := range devices {
					if list := d.conflicts(); len(list) > 0 {
						t.Errorf("conflicts %+v", list)
					}
				}

				// With a parent of that key the child is as it was written.
				devices[2].exec("INSERT OR IGNORE INTO parent VALUES ('p', 'again')")
				settle(devices...)
				wantSame(t, devices)
				a.wantValue("p", "SELECT parent FROM child WHERE id = 'c'")
				wantQuiet(t, devices...)
			})
		}
	}
}

// A child shows without its parent. What the app writes to it then does not
// make its parent forgotten.
func TestDerivedValuesDoNotTravel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		action, shown string
		edit          string
		parent        string // of the child, once its parent is there again
	}{
		{"SET NULL", "<nil>", "UPDATE child SET note = 'edited'", "p"},
		{"SET NULL", "<nil>", "UPDATE child SET note = 'edited', parent = NULL", "p"}, // nobody can tell
		{"SET NULL", "<nil>", "UPDATE child SET note = 'edited', parent = 'd'", "d"},
		{"SET DEFAULT", "d", "UPDATE child SET note = 'edited'", "p"},
		{"SET DEFAULT", "d", "UPDATE child SET note = 'edited', parent = NULL", "<nil>"},
	} {
		for author := range 2 {
			t.Run(fmt.Sprint(test.action, ", ", test.edit, " ", author), func(t *testing.T) {
				devices := newSpace(t, fmt.Sprintf(familySchema, test.action), 2)
				a, b := devices[0], devices[1]
				a.exec("INSERT INTO parent VALUES ('p', 'old'), ('d', 'default')")
				settle(a, b)
				a.exec("DELETE FROM parent WHERE id = 'p'")
				tick()
				b.exec("INSERT INTO child VALUES ('c', 'p', 'new')")
				settle(a, b)
				b.wantValue(test.shown, "SELECT parent FROM child")
				devices[author].exec(test.edit)
				settle(a, b)
				wantSame(t, devices)
				a.wantValue("edited", "SELECT note FROM child")
				b.exec("INSERT INTO parent VALUES ('p', 'again')")
				settle(a, b)
				wantSame(t, devices)
				wantWhole(t, devices...)
				a.wantValue(test.parent, "SELECT parent FROM child")
				a.wantValue("edited", "SELECT note FROM child")
				wantQuiet(t, devices...)
			})
		}
	}
}

func TestAChainOverThreeTables(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE area (id TEXT PRIMARY KEY NOT NULL);
		CREATE TABLE project (id TEXT PRIMARY KEY NOT NULL, area TEXT REFERENCES area ON DELETE %s);
		CREATE TABLE task (id TEXT PRIMARY KEY NOT NULL, project TEXT REFERENCES project ON DELETE %s);`
	for _, test := range []struct{ project, task, rows, held string }{
		{"CASCADE", "CASCADE", "0 0 0", "project[p] task[t]"},
		{"CASCADE", "SET NULL", "0 0 1", "project[p] shown"},
		{"SET NULL", "CASCADE", "0 1 1", "shown"},
		{"RESTRICT", "NO ACTION", "1 1 1", ""},
		{"CASCADE", "RESTRICT", "0 0 0", "project[p] task[t]"},
	} {
		t.Run(test.project+" "+test.task, func(t *testing.T) {
			devices := newSpace(t, fmt.Sprintf(schema, test.project, test.task), 3)
			a, b := devices[0], devices[1]
			a.exec("INSERT INTO area VALUES ('a')")
			settle(devices...)
			a.exec("DELETE FROM area")
			tick()
			b.exec("INSERT INTO project VALUES ('p', 'a')")
			b.sync()
			b.exec("INSERT INTO task VALUES ('t', 'p')")
			settle(devices...)
			wantSame(t, devices)
			wantWhole(t, devices...)
			for _, d := range devices {
				d.wantValue(test.rows, "SELECT (SELECT count(*) FROM area) || ' ' || (SELECT count(*) FROM project) || ' ' || (SELECT count(*) FROM task)")
				if held := d.heldRows(); held != test.held {
					t.Errorf("held: %q, want %q", held, test.held)
				}
			}
			wantQuiet(t, devices...)
			b.exec("INSERT OR IGNORE INTO area VALUES ('a')")
			settle(devices...)
			wantSame(t, devices)
			a.wantValue("a p", "SELECT (SELECT area FROM project) || ' ' || (SELECT project FROM task)")
			wantQuiet(t, devices...)
		})
	}
}

// Both the parent and the grandparent are deleted in one go, and both are needed.
func TestAParentIsPutAgainWithItsOwn(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, `CREATE TABLE area (id TEXT PRIMARY KEY NOT NULL, name TEXT);
		CREATE TABLE project (id TEXT PRIMARY KEY NOT NULL, area TEXT NOT NULL REFERENCES area, code INT UNIQUE, x);
		CREATE TABLE task (id TEXT PRIMARY KEY NOT NULL, project INT REFERENCES project (code))`, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO area VALUES ('a', 'home'); INSERT INTO project VALUES ('p', 'a', 7, x'')")
	settle(devices...)
	a.exec("DELETE FROM project; DELETE FROM area")
	tick()
	b.exec("INSERT INTO task VALUES ('of b', 7)")
	c.exec("INSERT INTO task VALUES ('of c', 7)")
	settle(devices...)
	wantSame(t, devices)
	wantWhole(t, devices...)
	a.wantValue("a home p 7 2", "SELECT a.id || ' ' || a.name || ' ' || p.id || ' ' || p.code || ' ' || (SELECT count(*) FROM task) FROM area a, project p")
	for _, d := range devices {
		if len(d.held()) > 0 || len(d.conflicts()) > 0 {
			t.Errorf("held %+v, conflicts %+v", d.held(), d.conflicts())
		}
	}
	wantQuiet(t, devices...)

	// A delete by somebody who knows the children is a delete.
	c.exec("DELETE FROM task; DELETE FROM project; DELETE FROM area")
	settle(devices...)
	wantSame(t, devices)
	a.wantValue("0", "SELECT (SELECT count(*) FROM area) + (SELECT count(*) FROM project)")
	wantQuiet(t, devices...)
}

func TestRowsOfLocalTablesFollow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		declared, shows, warning string
	}{
		{"TEXT REFERENCES item ON DELETE CASCADE", "0 rows", ""},
		{"TEXT REFERENCES item ON DELETE SET NULL", "<nil>", ""},
		{"TEXT DEFAULT 'y' REFERENCES item ON DELETE SET DEFAULT", "y", ""},
		{"TEXT DEFAULT 'nobody' REFERENCES item ON DELETE SET DEFAULT", "<nil>", ""},
		{"TEXT REFERENCES item ON DELETE RESTRICT", "<nil>", "refer to nothing now"},
		{"TEXT NOT NULL REFERENCES item", "0 rows", "were deleted"},
		{"TEXT CHECK (item IS NOT NULL) REFERENCES item ON DELETE SET NULL", "0 rows", "were deleted"},
		{"INT REFERENCES item (n) ON DELETE CASCADE", "0 rows", ""},
	} {
		t.Run(test.declared, func(t *testing.T) {
			a := newTestDevice(t, "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, n INT UNIQUE)")
			b := newTestDevice(t, `CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, n INT UNIQUE);
				CREATE TABLE pin (id INTEGER PRIMARY KEY, item `+test.declared+`);
				CREATE TABLE colour (pin INT REFERENCES pin ON DELETE CASCADE, name TEXT);
				CREATE TRIGGER guard BEFORE DELETE ON colour BEGIN SELECT RAISE(ABORT, 'not this way'); END`)
			b.options.Exclude = []string{"pin", "colour"}
			a.create(t.TempDir())
			b.join(a.folder, a.invite())
			a.exec("INSERT INTO item VALUES ('x', 1), ('y', 2)")
			settle(a, b)
			value := "'x'"
			if strings.HasPrefix(test.declared, "INT") {
				value = "1"
			}
			b.exec("INSERT INTO pin VALUES (1, " + value + "); INSERT INTO colour VALUES (1, 'red')")
			a.exec("DELETE FROM item WHERE id = 'x'")
			settle(a, b)
			wantSame(t, []*testDevice{a, b}, "item")
			wantWhole(t, b)
			if test.shows == "0 rows" {
				b.wantValue("0", "SELECT (SELECT count(*) FROM pin) + (SELECT count(*) FROM colour)")
			} else {
				b.wantValue(test.shows, "SELECT item FROM pin")
				b.wantValue("1", "SELECT count(*) FROM colour")
			}
			if warnings := strings.Join(b.syncer.Status().Warnings, "\n"); !strings.Contains(warnings, test.warning) || test.warning == "" && warnings != "" {
				t.Errorf("warnings %q, want %q", warnings, test.warning)
			}
			wantQuiet(t, a, b)
		})
	}
}

// What the app's triggers do with rows of local tables that follow stays here, and can't stop a merge.
func TestTriggersOfLocalTablesThatFollow(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, n INT)"
	for _, test := range []struct {
		trigger, pins, warning string
	}{
		{"BEGIN DELETE FROM item WHERE id = 'y'; UPDATE item SET n = 5; UPDATE OR REPLACE item SET id = 'z' WHERE id = 'y'; INSERT INTO seen VALUES (1); END", "0 1", ""},
		{"BEGIN INSERT INTO nowhere VALUES (1); END", "1 0", "can't be written here"},
		{"BEGIN SELECT RAISE(ROLLBACK, 'never'); END", "0 0", ""},
	} {
		a := newTestDevice(t, schema)
		b := newTestDevice(t, schema+`; CREATE TABLE pin (item TEXT REFERENCES item ON DELETE CASCADE); CREATE TABLE seen (n);
			CREATE TRIGGER t AFTER DELETE ON pin `+test.trigger)
		b.options.Exclude = []string{"pin", "seen"}
		a.create(t.TempDir())
		b.join(a.folder, a.invite())
		a.exec("INSERT INTO item VALUES ('x', 1), ('y', 2)")
		settle(a, b)
		b.exec("INSERT INTO pin VALUES ('x')")
		a.exec("DELETE FROM item WHERE id = 'x'")
		a.sync()
		if err := b.trySync(); (err != nil) != strings.Contains(test.trigger, "ROLLBACK") { // this takes two passes
			t.Errorf("%s: %v", test.trigger, err)
		}
		settle(a, b)
		wantSame(t, []*testDevice{a, b}, "item")
		b.wantValue("y 2", "SELECT id || ' ' || n FROM item")
		b.wantValue(test.pins, "SELECT (SELECT count(*) FROM pin) || ' ' || (SELECT count(*) FROM seen)")
		if warnings := strings.Join(b.syncer.Status().Warnings, "\n"); !strings.Contains(warnings, test.warning) || test.warning == "" && warnings != "" {
			t.Errorf("warnings %q, want %q", warnings, test.warning)
		}
		wantQuiet(t, a, b)
	}
}

// A row of a local table does not make its device show what others do not.
func TestAParentThatIsPutAgainKeepsItsLocalRows(t *testing.T) {
	t.Parallel()
	schema := fmt.Sprintf(familySchema, "RESTRICT")
	a := newTestDevice(t, schema)
	b := newTestDevice(t, schema+"; CREATE TABLE pin (parent TEXT REFERENCES parent ON DELETE CASCADE)")
	b.options.Exclude = []string{"pin"}
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO parent VALUES ('p', 'old')")
	settle(a, b)
	a.exec("DELETE FROM parent")
	b.exec("INSERT INTO child VALUES ('c', 'p', ''); INSERT INTO pin VALUES ('p')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b}, "parent", "child")
	b.wantValue("p", "SELECT parent FROM pin")
}

func TestASpaceThatDoesNotEnforceForeignKeys(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, fmt.Sprintf(familySchema, "CASCADE"))
	b := newTestDevice(t, fmt.Sprintf(familySchema, "CASCADE"))
	a.options.ForeignKeys = ForeignKeysOff
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	for _, d := range []*testDevice{a, b} {
		if status := d.syncer.Status(); status.ForeignKeys || !strings.Contains(strings.Join(status.Warnings, ""), "foreign_keys on") {
			t.Errorf("status %+v", status)
		}
	}
	a.exec("INSERT INTO parent VALUES ('p', 'old')")
	settle(a, b)
	a.exec("DELETE FROM parent")
	b.exec("INSERT INTO child VALUES ('c', 'p', '')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("p", "SELECT parent FROM child")
}

func TestAHandleThatDoesNotEnforceForeignKeys(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, fmt.Sprintf(familySchema, "CASCADE"))
	if warnings := a.syncer.Status().Warnings; len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	b.close()
	b.db.SetMaxOpenConns(1)
	b.exec("PRAGMA foreign_keys = OFF")
	b.open()
	if status := b.syncer.Status(); !status.ForeignKeys || !strings.Contains(strings.Join(status.Warnings, ""), "foreign_keys off") {
		t.Errorf("status %+v", status)
	}
	// The rule is the space's all the same, here too.
	b.exec("INSERT INTO child VALUES ('c', 'p', '')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantWhole(t, a, b)
	if held := b.heldRows(); held != "child[c]" || a.heldRows() != held {
		t.Errorf("held %q", held)
	}
	a.exec("INSERT INTO parent VALUES ('p', '')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("p", "SELECT parent FROM child")
	b.exec("DELETE FROM parent")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantWhole(t, a, b)
	wantQuiet(t, a, b)
}

func TestReferencesThatAreNotLookedAt(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE own (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE wide (id TEXT PRIMARY KEY NOT NULL, n INT);
		CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, own TEXT REFERENCES own, g TEXT AS (id) REFERENCES item)`
	a, b := newTestDevice(t, schema), newTestDevice(t, schema)
	a.options.Exclude, b.options.Exclude = []string{"own"}, []string{"own"}
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO own VALUES ('of a'); INSERT INTO item (id, own) VALUES ('x', 'of a')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b}, "item")
	warnings := strings.Join(b.syncer.Status().Warnings, "\n")
	for _, part := range []string{`(own) of table "item" is not looked at in merges: "own", which it refers to, is not synced`, "generated"} {
		if !strings.Contains(warnings, part) {
			t.Errorf("warnings %q do not say %q", warnings, part)
		}
	}
	// Once both take part, they are looked at.
	for _, d := range []*testDevice{a, b} {
		d.options.Exclude = nil
		d.reopen()
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantWhole(t, a, b)
	b.wantValue("of a", "SELECT own FROM item")
}

// Parents that come later than their children, by way of the schema.
func TestAParentTableThatIsMadeLater(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, fmt.Sprintf(familySchema, "CASCADE"))
	b := newTestDevice(t, "CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL, parent TEXT DEFAULT 'd' REFERENCES parent ON DELETE CASCADE, note TEXT)")
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO parent VALUES ('p', ''); INSERT INTO child VALUES ('c', 'p', ''), ('free', NULL, '')")
	settle(a, b)
	b.wantValue("free", "SELECT group_concat(id) FROM child")
	b.exec("CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL, name TEXT)")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantWhole(t, a, b)
	wantQuiet(t, a, b)
}

// Rows that had no parent before their database entered a space.
func TestOrphansThatStoodBeforeCreate(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, "PRAGMA foreign_keys = OFF;"+fmt.Sprintf(familySchema, "CASCADE")+
		";INSERT INTO child VALUES ('c', 'nobody', ''); INSERT INTO parent VALUES ('p', ''); INSERT INTO child VALUES ('d', 'p', ''); PRAGMA foreign_keys = ON")
	a.create(t.TempDir())
	b := newTestDevice(t, fmt.Sprintf(familySchema, "CASCADE"))
	b.join(a.folder, a.invite())
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantWhole(t, a, b)
	if a.heldRows() != "child[c]" || b.heldRows() != "child[c]" {
		t.Errorf("held %q and %q", a.heldRows(), b.heldRows())
	}
	b.exec("INSERT INTO parent VALUES ('nobody', '')")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("c,d", "SELECT group_concat(id) FROM (SELECT id FROM child ORDER BY id)")
	wantQuiet(t, a, b)
}

// A table that the app makes anew, and fills only later, makes no orphans.
func TestAParentTableThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, fmt.Sprintf(familySchema, "CASCADE"))
	a.exec("INSERT INTO parent VALUES ('p', ''), ('q', ''); INSERT INTO child VALUES ('c', 'p', '')")
	settle(a, b)
	b.exec("PRAGMA foreign_keys = OFF")
	b.db.SetMaxOpenConns(1)
	b.exec("PRAGMA foreign_keys = OFF; DROP TABLE parent; CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL, name TEXT, more TEXT)")
	a.exec("INSERT INTO child VALUES ('d', 'q', '')")
	a.sync()
	must(t, b.syncer.export(context.Background()))
	b.wantValue("c", "SELECT group_concat(id) FROM child")
	settle(a, b)
	b.wantValue("c,d", "SELECT group_concat(id) FROM (SELECT id FROM child ORDER BY id)")
	b.wantValue("2", "SELECT count(*) FROM parent")
	wantWhole(t, a, b)
}
