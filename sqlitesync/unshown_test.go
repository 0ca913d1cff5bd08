package sqlitesync

import "testing"

// A save of a row between a migration and the next pass says nothing of what other devices know of a new or renamed column and
// the table does not show yet, unless the app has written to that column.
func TestASaveLeavesWhatIsNotShownYet(t *testing.T) {
	t.Parallel()
	const add, rename = "ALTER TABLE t ADD COLUMN w DEFAULT 5", "ALTER TABLE t RENAME COLUMN v TO w"
	for _, test := range []struct {
		name, migration, there string // what the other device writes after its migration
		before, here           string // what this one writes before and after its own
		want                   string
		conflicts              string
	}{
		{"a new column", add, "UPDATE t SET w = 7", "", "UPDATE t SET n = 2", "7,2", "0"},
		{"a new column, which is NULL", add, "UPDATE t SET w = NULL", "", "UPDATE t SET n = 2", "-,2", "0"},
		{"a new column that is saved twice", add, "UPDATE t SET w = 7", "", "UPDATE t SET n = 2; UPDATE t SET n = 3", "7,3", "0"},
		{"a new column that is written", add, "UPDATE t SET w = 7", "", "UPDATE t SET n = 2, w = 3", "3,2", "1"},
		{"a renamed column", rename, "UPDATE t SET w = 'new'", "", "UPDATE t SET n = 2", "new,2", "0"},
		{"a renamed column that is written", rename, "UPDATE t SET w = 'new'", "", "UPDATE t SET n = 2, w = 'mine'", "mine,2", "1"},
		{"a renamed column that was written", rename, "UPDATE t SET w = 'new'", "UPDATE t SET v = 'mine'", "UPDATE t SET n = 2", "mine,2", "1"},
		{"a renamed column that was cleared", rename, "UPDATE t SET w = 'new'", "UPDATE t SET v = NULL", "UPDATE t SET n = 2", "-,2", "1"},
		{"a renamed column that is cleared", rename, "", "", "UPDATE t SET n = 2, w = NULL", "-,2", "1"},
		{"a new column beside one that goes", add + "; ALTER TABLE t DROP COLUMN v", "UPDATE t SET w = 7", "", "UPDATE t SET n = 2", "5,2", "1"},
		{"a row that is made anew", add, "UPDATE t SET w = 7", "", "REPLACE INTO t (id, n, w) VALUES ('1', 2, 6)", "6,2", "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v, n)")
			a.exec("INSERT INTO t VALUES ('1', 'old', 1)")
			settle(a, b)
			b.exec(test.migration)
			settle(b, a)
			tick()
			b.exec(test.there)
			settle(b, a)
			tick()
			a.exec(test.before)
			a.sync()
			tick()
			a.exec(test.migration + ";" + test.here)
			settle(a, b)
			wantEverywhere(test.want, "SELECT coalesce(w, '-') || ',' || n FROM t", a, b)
			wantQuiet(t, a, b)
			a.wantValue(test.conflicts, "SELECT count(*) FROM sqlitesync_conflicts")
		})
	}
}
