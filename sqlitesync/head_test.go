package sqlitesync

import (
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
