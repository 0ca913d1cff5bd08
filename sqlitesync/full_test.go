package sqlitesync

import (
	"errors"
	"fmt"
	"os"
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
