package sqlitesync

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// afterReading lets something happen in the midst of the next pass of a device, when the first segment of another one was read.
func (f *faults) afterReading(happen func()) {
	happened := false
	f.between(func(step string, perform func() error) error {
		err := perform()
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") && !happened {
			happened = true
			happen()
		}
		return err
	})
}

// A pass that reads for hours has seen its range in the folder long before it removes what the range has taken the place of.
// If a sync client has taken the range away since, the old files are the only ones that have what is forgotten here.
func TestWhatARangeHasReplacedStaysIfTheRangeGoesDuringThePass(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"gone":    os.Remove,
		"cut off": func(path string) error { return os.Truncate(path, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.a.exec("CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL)")
			s.a.exec("INSERT INTO gone VALUES ('1')")
			s.publish()
			s.publish()
			s.a.exec("DROP TABLE gone")
			s.a.sync()
			s.a.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
			s.a.sync() // writes a range
			s.a.sync() // finds it
			var ranges, run []string
			for _, path := range s.a.segments() {
				if strings.HasSuffix(path, "-0000.seg") {
					run = append(run, path)
				} else {
					ranges = append(ranges, path)
				}
			}
			if len(ranges) == 0 || len(run) == 0 {
				t.Fatalf("ranges %v, and what they take the place of %v", ranges, run)
			}
			s.clock.pass(graceTime)
			s.write(s.b)
			s.b.sync()
			s.faults.afterReading(func() {
				for _, path := range ranges {
					must(t, damage(path))
				}
			})
			_ = s.a.trySync()
			s.faults.between(nil)
			for _, path := range run {
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s went after what took its place: %v", filepath.Base(path), err)
				}
			}
			late := newTestDevice(t, itemSchema+"; CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL)")
			late.join(s.a.folder, s.b.invite())
			late.wantValue("1", "SELECT count(*) FROM gone")
		})
	}
}

// What stands in the folder can become something else while a pass reads. Nothing is written into it then, and nothing is lost.
func TestTheFolderBecomesAnotherDuringAPass(t *testing.T) {
	t.Parallel()
	other, _ := newPair(t, itemSchema)
	other.exec("INSERT INTO item VALUES ('x', 'of another space', 1)")
	other.sync()
	for name, becomes := range map[string]string{"another space's": other.folder, "empty": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.a.crowded = true // by others
			s.publish()
			s.check("before")
			s.write(s.b)
			s.b.sync()
			was := filepath.Join(t.TempDir(), "was")
			record, err := s.a.syncer.roster.NewRole(s.a.syncer.keys.entry().Device, crypto.Cut{Device: s.b.id()}, RoleWriter, s.a.syncer.now())
			must(t, err)
			s.faults.afterReading(func() {
				s.write(s.a) // and the head has news, too
				copyState(t, s.a.folder, was)
				copyState(t, becomes, s.a.folder)
				f, err := s.a.syncer.openFolder()
				must(t, err)
				wantIs(t, s.a.syncer.enact(t.Context(), f, record), ErrFolder)
				must(t, f.Close())
			})
			want := contents(t, becomes)
			wantIs(t, s.a.trySync(), ErrFolder)
			s.faults.between(nil)
			wantIs(t, s.a.trySync(), ErrFolder)
			if got := contents(t, s.a.folder); !maps.Equal(got, want) {
				t.Errorf("in the folder stand %v", slices.Sorted(maps.Keys(got)))
			}
			copyState(t, was, s.a.folder)
			s.check("when it is back")
		})
	}
}

// contents returns the hash of every file below dir, by its path there.
func contents(tb testing.TB, dir string) map[string][32]byte {
	tb.Helper()
	found := make(map[string][32]byte)
	for path, sum := range tree(tb, dir) {
		found[strings.TrimPrefix(path, dir)] = sum
	}
	return found
}

// A space is founded once. Who was killed after the marker was written, and before that was noted, does not found it again in
// a folder that is empty for now.
func TestAFolderThatWasEmptiedIsNotFoundedAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("UPDATE sqlitesync_settings SET value = 'true' WHERE name = 'founding'") // as it is between the two
	a.reopen()
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	settle(a, b)
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	must(t, os.Mkdir(a.folder, 0o700))
	a.exec("INSERT INTO item VALUES ('2', 'meanwhile', 1)")
	wantText(t, a.trySync(), "does not hold the space")
	wantText(t, a.syncer.Close(), "does not hold the space")
	a.open()
	wantText(t, a.trySync(), "does not hold the space")
	if entries, err := os.ReadDir(a.folder); err != nil || len(entries) > 0 {
		t.Errorf("the empty folder holds %v, error %v", entries, err)
	}
	must(t, os.Remove(a.folder))
	must(t, os.Rename(away, a.folder))
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantQuiet(t, a, b)
}
