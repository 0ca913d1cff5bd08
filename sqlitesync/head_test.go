package sqlitesync

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A database that is put back to a backup counts its heads again from there, and the folder has lost its own: the others read the
// next one all the same, though it has a number that they know, or a smaller one. What they have read before stays refused.
func TestHeadsOfADatabaseThatWasPutBack(t *testing.T) {
	t.Parallel()
	for name, heads := range map[string]int{"the same number": 1, "a smaller number": 3} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, itemSchema)
			clock := newTestClock(a, b)
			a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
			settle(a, b)
			settle(a, b)
			backup := filepath.Join(t.TempDir(), "backup.db")
			a.exec("VACUUM INTO ?", backup)
			path := filepath.Join(a.directory(), "head")
			write := func(n int) {
				for range n { // a says in a head of its own that it has read what b writes
					clock.pass(2 * time.Minute)
					b.exec("INSERT INTO item VALUES (hex(randomblob(8)), 'of b', 1)")
					settle(b, a, b)
					must(t, b.trySync())
				}
			}
			write(heads)
			read, err := os.ReadFile(path)
			must(t, err)
			before := a.id()
			a.restore(backup)
			must(t, os.Remove(path))
			a.open()
			if a.id() != before {
				t.Fatal("the database goes on as another device: nothing is tested")
			}
			write(1)
			settle(a, b)
			b.wantHealthy()
			wantSame(t, []*testDevice{a, b})
			must(t, os.WriteFile(path, read, 0o600))
			delete(b.syncer.clocks, a.id()) // it is to be looked at
			wantIs(t, b.trySync(), errFalseHead)
		})
	}
}

// The folder is put back to an older state after a device was lost: that one writes no newer head, and it is said what ends this.
func TestTheHeadOfALostDeviceIsPutBack(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, lost := devices[0], devices[1], devices[2]
	lost.exec("INSERT INTO item VALUES ('1', 'of the lost', 1)")
	settle(devices...)
	path := filepath.Join(lost.directory(), "head")
	older, err := os.ReadFile(path)
	must(t, err)
	lost.exec("INSERT INTO item VALUES ('2', 'of the lost', 1)")
	settle(lost, a, b)
	must(t, os.WriteFile(path, older, 0o600))
	a.reopen()
	wantIs(t, a.trySync(), errFalseHead)
	wantText(t, errors.New(a.problem().Hint), "if there is no such device any more, revoke it")
	a.revoke(lost)
	settle(a, b)
	a.wantHealthy()
	b.wantHealthy()
	wantSame(t, []*testDevice{a, b})
	a.wantValue("2", "SELECT count(*) FROM item")
}
