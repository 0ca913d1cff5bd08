package sqlitesync

import (
	"strings"
	"testing"
)

// Local tables that the app's triggers keep follow merges whatever the triggers say after OR: SQLite takes what the statement says
// instead, if that says anything, and what an upsert says always.
func TestTriggersWithOrKeepLocalTables(t *testing.T) {
	t.Parallel()
	const (
		item    = "CREATE TABLE item (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, name TEXT)"
		without = item + " WITHOUT ROWID"
		keys    = "CREATE TABLE item (id TEXT COLLATE NOCASE, name TEXT, PRIMARY KEY (id, name))"
		exact   = "CREATE TABLE item (id TEXT, name TEXT, PRIMARY KEY (id, name))"
	)
	for _, test := range []struct{ schema, step, want string }{
		{item, "INSERT OR REPLACE INTO cache VALUES (lower(NEW.id), NEW.name)", "a new,b again,c c"},
		{without, "REPLACE INTO cache VALUES (lower(NEW.id), NEW.name)", "a new,b again,c c"},
		{item, "INSERT OR IGNORE INTO cache VALUES (lower(NEW.id), NEW.name)", "a a,b b,c c"},
		{item, "INSERT INTO cache VALUES (lower(NEW.id), NEW.name) ON CONFLICT DO UPDATE SET name = excluded.name", "a new,b again,c c"},
		{item, "INSERT OR IGNORE INTO cache VALUES (lower(NEW.id), ''); UPDATE OR REPLACE cache SET name = NEW.name WHERE id = lower(NEW.id)", "a new,b again,c c"},
		{exact, "INSERT OR REPLACE INTO cache VALUES (lower(NEW.id), NEW.name)", "a new,b again,c c"},
		{keys, "INSERT OR REPLACE INTO cache VALUES (lower(NEW.id), NEW.name)", "a new,b again,c c"},
	} {
		a := newTestDevice(t, test.schema)
		b := newTestDevice(t, test.schema+"; CREATE TABLE cache (id TEXT PRIMARY KEY, name TEXT UNIQUE); CREATE TRIGGER ti AFTER INSERT ON item BEGIN "+test.step+"; END;"+
			"CREATE TRIGGER tu BEFORE UPDATE ON item BEGIN "+test.step+"; END")
		b.options.Exclude = []string{"cache"}
		a.create(t.TempDir())
		b.join(a.folder, a.invite())
		a.exec("INSERT INTO item VALUES ('a', 'a'), ('b', 'b'), ('c', 'c')")
		settle(a, b)
		a.exec("UPDATE item SET name = 'new', id = 'A' WHERE id = 'a'; DELETE FROM item WHERE id = 'b'")
		settle(a, b)
		a.exec("INSERT INTO item VALUES ('b', 'again')")
		settle(a, b)
		wantSame(t, []*testDevice{a, b}, "item")
		b.wantValue(test.want, "SELECT group_concat(id || ' ' || name) FROM (SELECT * FROM cache ORDER BY id)")
		if warnings := b.syncer.Status().Warnings; len(warnings) > 0 {
			t.Errorf("%s: %s: %v", test.schema, test.step, warnings)
		}
		wantQuiet(t, a, b)
		b.wantVerified()
	}
}

// Constraints that say themselves what becomes of a conflict do not decide in a merge, also where the app has triggers.
func TestTriggersOnTablesThatDeclareConflicts(t *testing.T) {
	t.Parallel()
	for _, conflict := range []string{"REPLACE", "IGNORE", "FAIL", "ROLLBACK", "/* of names */ replace"} {
		schema := "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT, UNIQUE (name) ON CONFLICT " + conflict + ", CHECK (name <> 'on'));" +
			"CREATE TABLE seen (id TEXT); CREATE TRIGGER ti AFTER INSERT ON item BEGIN INSERT INTO seen VALUES (NEW.id); END"
		a, b := newPair(t, schema)
		a.exec("INSERT INTO item VALUES ('1', 'same'), ('2', 'two')")
		tick()
		b.exec("INSERT INTO item VALUES ('3', 'same')")
		settle(a, b)
		tick()
		a.exec("UPDATE item SET name = 'same, on a' WHERE id = '2'")
		tick()
		b.exec("UPDATE item SET name = 'same, on a' WHERE id = '3'")
		settle(a, b)
		wantEverywhere("1 same,3 same, on a", "SELECT group_concat(id || ' ' || name) FROM (SELECT * FROM item ORDER BY id)", a, b)
		if len(a.held()) != 1 || len(b.held()) != 1 {
			t.Errorf("%s: held %v and %v", conflict, a.held(), b.held())
		}
		wantQuiet(t, a, b)
		b.wantVerified()
	}
}

// The same goes for triggers on local tables whose rows follow when a parent is deleted.
func TestTriggersWithOrOnLocalTablesThatFollow(t *testing.T) {
	t.Parallel()
	for declared, want := range map[string]string{"": "1 ,2 y,3 ", " NOT NULL": "2 y"} {
		a := newTestDevice(t, itemSchema)
		b := newTestDevice(t, itemSchema+`; CREATE TABLE pin (id INTEGER PRIMARY KEY, item TEXT`+declared+` REFERENCES item ON DELETE SET NULL);
			CREATE TABLE shown (id INTEGER PRIMARY KEY, item TEXT);
			CREATE TRIGGER ti AFTER INSERT ON pin BEGIN INSERT OR REPLACE INTO shown VALUES (NEW.id, NEW.item); END;
			CREATE TRIGGER tu AFTER UPDATE ON pin BEGIN INSERT OR REPLACE INTO shown VALUES (NEW.id, NEW.item); END;
			CREATE TRIGGER td AFTER DELETE ON pin BEGIN DELETE FROM shown WHERE id = OLD.id; END`)
		b.options.Exclude = []string{"pin", "shown"}
		a.create(t.TempDir())
		b.join(a.folder, a.invite())
		a.exec("INSERT INTO item (id) VALUES ('x'), ('y')")
		settle(a, b)
		b.exec("INSERT INTO pin VALUES (1, 'x'), (2, 'y'), (3, 'x')")
		a.exec("DELETE FROM item WHERE id = 'x'")
		settle(a, b)
		for _, table := range []string{"pin", "shown"} {
			b.wantValue(want, "SELECT group_concat(id || ' ' || ifnull(item, '')) FROM (SELECT * FROM "+table+" ORDER BY id)")
		}
		wantQuiet(t, a, b)
	}
}

// What constraints of a local table say becomes of a conflict removes no other row of it, and rolls nothing back, when one follows.
func TestLocalTablesThatDeclareConflictsFollow(t *testing.T) {
	t.Parallel()
	for _, conflict := range []string{"", "REPLACE", "IGNORE", "FAIL", "ROLLBACK"} {
		if conflict != "" {
			conflict = "ON /* a */ CONFLICT " + conflict
		}
		a := newTestDevice(t, itemSchema)
		b := newTestDevice(t, itemSchema+"; CREATE TABLE pin (id INTEGER PRIMARY KEY, item TEXT DEFAULT 'y' REFERENCES item ON DELETE SET DEFAULT, UNIQUE (item) "+conflict+")")
		b.options.Exclude = []string{"pin"}
		a.create(t.TempDir())
		b.join(a.folder, a.invite())
		a.exec("INSERT INTO item (id) VALUES ('x'), ('y')")
		settle(a, b)
		b.exec("INSERT INTO pin VALUES (1, 'x'), (2, 'y')")
		a.exec("DELETE FROM item WHERE id = 'x'")
		settle(a, b)
		b.wantValue("2 y", "SELECT group_concat(id || ' ' || item) FROM pin") // the first has nowhere to go
		if said := strings.Join(b.syncer.Status().Warnings, "\n"); !strings.Contains(said, "were deleted") {
			t.Errorf("%s: warnings %q", conflict, said)
		}
		wantQuiet(t, a, b)
	}
}

// A trigger that rolls back where its own write conflicts is left out for that row, like others that fail: the pass goes on, the trigger
// does what it can for other rows, and the app is told.
func TestTriggersThatRollBackWhereTheyConflict(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ cache, step string }{
		{"id TEXT PRIMARY KEY", "INSERT OR ROLLBACK INTO cache VALUES (NEW.id)"},
		{"id TEXT PRIMARY KEY ON CONFLICT ROLLBACK", "INSERT INTO cache VALUES (NEW.id)"},
		{"id TEXT PRIMARY KEY", "INSERT OR FAIL INTO cache VALUES (NEW.id)"},
	} {
		a := newTestDevice(t, itemSchema)
		b := newTestDevice(t, itemSchema+"; CREATE TABLE cache ("+test.cache+"); CREATE TRIGGER ti AFTER INSERT ON item BEGIN "+test.step+"; END; CREATE TRIGGER tu AFTER UPDATE ON item BEGIN "+test.step+"; END")
		b.options.Exclude = []string{"cache"}
		a.create(t.TempDir())
		b.join(a.folder, a.invite())
		a.exec("INSERT INTO item VALUES ('x', 'x', 1)")
		settle(a, b)
		a.exec("UPDATE item SET name = 'new'; INSERT INTO item VALUES ('y', 'y', 1)")
		settle(a, b)
		a.exec("INSERT INTO item VALUES ('z', 'z', 1)")
		settle(a, b)
		wantSame(t, []*testDevice{a, b}, "item")
		b.wantValue("x,y,z", "SELECT group_concat(id) FROM (SELECT id FROM cache ORDER BY id)")
		if said := strings.Join(b.syncer.Status().Warnings, "\n"); !strings.Contains(said, "failed in a merge") {
			t.Errorf("%s, %s: warnings %q", test.cache, test.step, said)
		}
		wantQuiet(t, a, b)
	}
}

// The same goes for triggers on a local table whose rows follow.
func TestTriggersThatRollBackWhereLocalRowsFollow(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	b := newTestDevice(t, itemSchema+`; CREATE TABLE pin (id INTEGER PRIMARY KEY, item TEXT REFERENCES item ON DELETE SET NULL);
		CREATE TABLE seen (id INTEGER PRIMARY KEY); CREATE TRIGGER tu AFTER UPDATE ON pin BEGIN INSERT OR ROLLBACK INTO seen VALUES (NEW.id); END`)
	b.options.Exclude = []string{"pin", "seen"}
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO item (id) VALUES ('x')")
	settle(a, b)
	b.exec("INSERT INTO pin VALUES (1, 'x'), (2, 'x'); INSERT INTO seen VALUES (1)")
	a.exec("DELETE FROM item")
	settle(a, b)
	b.wantValue("2", "SELECT count(*) FROM pin WHERE item IS NULL")
	b.wantValue("1,2", "SELECT group_concat(id) FROM (SELECT id FROM seen ORDER BY id)")
	wantQuiet(t, a, b)
}

// Local rows follow the tables that take part in the order of these: what triggers of the app make of it is the same each time.
func TestLocalRowsFollowInTheOrderOfTables(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c", "d", "e", "f"}
	var schema, columns, deletes strings.Builder
	local := "CREATE TABLE seen (name TEXT);"
	for _, name := range names {
		schema.WriteString("CREATE TABLE " + name + " (id TEXT PRIMARY KEY NOT NULL);")
		columns.WriteString(", " + name + " TEXT DEFAULT 'x' REFERENCES " + name + " ON DELETE SET NULL")
		deletes.WriteString("DELETE FROM " + name + ";")
		local += "CREATE TRIGGER t" + name + " AFTER UPDATE OF " + name + " ON pin BEGIN INSERT INTO seen VALUES ('" + name + "'); END;"
	}
	one := newTestDevice(t, schema.String())
	other := newTestDevice(t, schema.String()+"CREATE TABLE pin (id INTEGER PRIMARY KEY"+columns.String()+");"+local)
	other.options.Exclude = []string{"pin", "seen"}
	one.create(t.TempDir())
	other.join(one.folder, one.invite())
	for _, name := range names {
		one.exec("INSERT INTO " + name + " VALUES ('x')")
	}
	settle(one, other)
	other.exec("INSERT INTO pin (id) VALUES (1)")
	one.exec(deletes.String())
	settle(one, other)
	other.wantValue("a,b,c,d,e,f", "SELECT group_concat(name) FROM (SELECT name FROM seen ORDER BY rowid)")
}
