package sqlitesync

import (
	"os"
	"testing"
)

// A device that has migrated makes a segment again that is gone, and has the rows by other names than they stood there. Who had read
// the segment, and who has not, know different things of the table until they migrate: neither is wrong.
func TestWhatAMigratedDeviceMakesAgainIsNoDivergence(t *testing.T) {
	t.Parallel()
	for what, migration := range map[string]string{
		"a table is renamed":   "ALTER TABLE item RENAME TO thing",
		"it is renamed twice":  "ALTER TABLE item RENAME TO thing; ALTER TABLE thing RENAME TO object",
		"its key is renamed":   "ALTER TABLE item RENAME COLUMN id TO key",
		"its key gets a type":  "CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT, n INTEGER); INSERT INTO new SELECT * FROM item; DROP TABLE item; ALTER TABLE new RENAME TO item",
		"a column is renamed":  "ALTER TABLE item RENAME COLUMN n TO number",
		"a column is dropped":  "ALTER TABLE item DROP COLUMN n",
		"a name is used again": "ALTER TABLE item RENAME TO thing; CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER)",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema+"; CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)", 4)
			clock := newTestClock(devices...)
			a, early, late, later := devices[0], devices[1], devices[2], devices[3]
			a.exec("INSERT INTO item VALUES ('1', 'x', 1), ('2', 'x', 1), ('3', 'gone', 1)")
			settle(a, early, a)
			a.exec("DELETE FROM item WHERE id = '3'")
			settle(a, early, a)
			a.exec(migration)
			settle(a, early, a)
			for _, segment := range a.segments()[:2] {
				must(t, os.Remove(segment))
			}
			for range 3 {
				_ = a.trySync() // it says what is gone
				clock.pass(vanishedTime)
			}
			a.wantHealthy()
			for range 3 {
				settle(early, late, a) // they complain if they differ
			}
			late.reopen()
			for range 2 {
				settle(early, late, a)
			}
			for _, d := range []*testDevice{early, late, a, later} {
				if d != a {
					d.exec(migration)
				}
				settle(devices...)
				settle(devices...)
			}
			wantSame(t, devices)
			wantQuiet(t, devices...)
		})
	}
}
