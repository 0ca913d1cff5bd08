package sqlitesync

import (
	"fmt"
	"slices"
	"testing"
)

// orders returns every order of the devices.
func orders(devices []*testDevice) (all [][]*testDevice) {
	if len(devices) == 0 {
		return [][]*testDevice{nil}
	}
	for i, d := range devices {
		for _, rest := range orders(slices.Delete(slices.Clone(devices), i, i+1)) {
			all = append(all, append([]*testDevice{d}, rest...))
		}
	}
	return all
}

// Three devices give one address to three people, in each order, and hear of one another in each order (in a third of the
// pairs of both). The newest shows everywhere; when it goes, whoever deletes it, the next one is back everywhere.
func TestThreeDevicesInsertTheSameMail(t *testing.T) {
	long(t)
	t.Parallel()
	const schema = "CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, mail TEXT NOT NULL UNIQUE)"
	devices := newSpace(t, schema, 3)
	for i, inserted := range orders(devices) {
		for j, synced := range orders(devices) {
			if (i+j)%3 != 0 {
				continue
			}
			mail := fmt.Sprintf("%d%d@example.org", i, j)
			for n, d := range inserted {
				d.exec("INSERT INTO person VALUES (?, ?)", fmt.Sprint(mail, n), mail)
				tick()
			}
			settle(synced...)
			for left := 2; left >= 0; left-- {
				for _, d := range devices {
					d.wantValue(fmt.Sprint(mail, left), "SELECT group_concat(id) FROM person WHERE mail = ?", mail)
					if held := d.syncer.Status().Held; held != left {
						t.Errorf("%d rows are held, want %d", held, left)
					}
				}
				synced[left].exec("DELETE FROM person WHERE mail = ?", mail)
				settle(synced...)
			}
			wantSame(t, devices)
			if t.Failed() {
				t.Fatalf("in the orders %d and %d", i, j)
			}
		}
	}
	wantEverywhere("0", "SELECT count(*) FROM person", devices...)
	wantQuiet(t, devices...)
}

// Rows exchange unique values, in twos, threes and fours, while another device edits beside them.
func TestCyclesOfUniqueValuesApplyAsAWhole(t *testing.T) {
	long(t)
	t.Parallel()
	const schema = "CREATE TABLE item (id INTEGER PRIMARY KEY, position INTEGER NOT NULL UNIQUE, name TEXT)"
	for _, length := range []int{2, 3, 4} {
		for _, meanwhile := range []string{
			"UPDATE item SET name = 'beside' WHERE id = 9",
			"INSERT INTO item VALUES (8, 8, 'beside')",
			"UPDATE item SET name = 'in it' WHERE id = 1",
			"DELETE FROM item WHERE id = 1",
		} {
			t.Run(fmt.Sprint(length, " ", meanwhile), func(t *testing.T) {
				devices := newSpace(t, schema, 3)
				a, b := devices[0], devices[1]
				for id := range length {
					a.exec("INSERT INTO item VALUES (?, ?, 'start')", id+1, id+1)
				}
				a.exec("INSERT INTO item VALUES (9, 9, 'start')")
				settle(devices...)
				b.exec(meanwhile)
				tick()
				a.exec("UPDATE item SET position = -position WHERE id < 9")
				a.exec("UPDATE item SET position = -position % ? + 1 WHERE id < 9", length)
				want := a.value("SELECT group_concat(id || ' ' || position) FROM (SELECT * FROM item WHERE id < 8 ORDER BY id)")
				settle(devices...)
				wantSame(t, devices)
				wantEverywhere(want, "SELECT group_concat(id || ' ' || position) FROM (SELECT * FROM item WHERE id < 8 ORDER BY id)", devices...)
				for _, d := range devices {
					if held := d.held(); len(held) > 0 {
						t.Errorf("held %+v", held)
					}
				}
				wantQuiet(t, devices...)
			})
		}
	}
}

// What a trigger writes to local tables, and fails with, does not decide which of two rows shows.
func TestAFailingTriggerDoesNotDecideWhoShows(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, u TEXT UNIQUE)")
	b.exec("CREATE TABLE audit (id TEXT CHECK (id <> 'newer')); CREATE TRIGGER audited AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (new.id); END")
	b.sync()
	b.exec("INSERT INTO t VALUES ('older', 'x')")
	tick()
	a.exec("INSERT INTO t VALUES ('newer', 'x')")
	settle(a, b)
	wantEverywhere("newer", "SELECT group_concat(id) FROM t", a, b)
	b.wantValue("older", "SELECT group_concat(id) FROM audit")
}
