package sqlitesync

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// The disk of the database is full, while that of the folder is not, when a device has something to do: it says so, and what to do,
// and does it when there is room.
func TestADiskThatIsFullForTheDatabase(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(s *stage){
		"fold":  func(s *stage) { s.writeLarge(s.a) },
		"merge": func(s *stage) { s.writeLarge(s.b); s.b.sync() },
		"compact": func(s *stage) {
			for range 2 {
				s.writeLarge(s.a)
				s.a.sync()
			}
			s.a.sync() // finds them
			s.a.environment.Compact = true
		},
		"refill": func(s *stage) {
			s.writeLarge(s.a)
			s.a.sync()
			s.a.sync()
			must(s.t, os.Remove(s.a.lastSegment()))
			_ = s.a.trySync() // misses it
			s.clock.pass(vanishedTime)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			prepare(s)
			s.a.exec("VACUUM") // what was in the outbox has left pages
			limit := func(pages int) {
				t.Helper()
				must(t, s.a.syncer.handle.conn.Script(t.Context(), fmt.Sprint("PRAGMA max_page_count = ", pages)))
			}
			limit(1) // SQLite makes it what there is
			for range 2 {
				if err := s.a.trySync(); changelog.ErrorCode(err) != codeFull {
					t.Fatalf("a pass on a full disk says %v", err)
				}
				wantText(t, errors.New(s.a.problem().Hint), "no space left where the database is kept", "Nothing is lost")
			}
			limit(1_000_000)
			s.check("with room")
			s.a.reopen()
			s.check("at the end")
			late := newTestDevice(t, itemSchema)
			late.join(s.a.folder, s.a.invite())
			late.sync()
			wantSame(t, []*testDevice{s.a, s.b, late})
		})
	}
}

// writeLarge writes a row that no page has room for.
func (s *stage) writeLarge(d *testDevice) {
	s.t.Helper()
	d.exec("INSERT INTO item VALUES (?, 'dear', hex(randomblob(50000)))", fmt.Sprint("large ", s.written))
	s.written++
}

// A database that has to become another device, and for which the disk has no room, makes keys of that device once.
func TestADatabaseThatSucceedsOnAFullDiskMakesKeysOnce(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	backup := filepath.Join(t.TempDir(), "backup.db")
	a.exec("VACUUM INTO ?", backup)
	a.exec("INSERT INTO item VALUES ('1', 'since', 1)")
	settle(a, b)
	a.restoreInPlace(backup)
	before := len(a.keyFiles())
	limit := func(pages int) {
		t.Helper()
		must(t, a.syncer.handle.conn.Script(t.Context(), fmt.Sprint("PRAGMA max_page_count = ", pages)))
	}
	limit(1)
	for range 3 {
		if err := a.trySync(); changelog.ErrorCode(err) != codeFull {
			t.Fatalf("a pass on a full disk says %v", err)
		}
	}
	if made := len(a.keyFiles()) - before; made != 1 {
		t.Errorf("keys of %d devices were made, want one", made)
	}
	limit(1_000_000)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("1", "SELECT count(*) FROM item")
	a.wantHealthy()
	if made := len(a.keyFiles()) - before; made != 1 {
		t.Errorf("keys of %d devices were made, want one", made)
	}
}

// keyFiles returns the names of the device's entries in the KeyStore.
func (d *testDevice) keyFiles() []string {
	d.tb.Helper()
	names, err := filepath.Glob(filepath.Join(string(d.options.Keys.(fileKeys)), "*.key"))
	must(d.tb, err)
	return names
}
