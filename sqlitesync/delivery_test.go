package sqlitesync

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The tests in this file let the folder arrive as sync services deliver it: in any order, in pieces, twice, under other
// names, with other times, late, and not at all.

// deliverFile copies one file of a folder to another copy of it.
func deliverFile(tb testing.TB, from, to, name string, cut func(data []byte) []byte) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(from, name))
	must(tb, err)
	target := filepath.Join(to, name)
	must(tb, os.MkdirAll(filepath.Dir(target), 0o700))
	must(tb, os.WriteFile(target, cut(data), 0o600))
}

func whole(data []byte) []byte { return data }

// filesIn returns the plain files of a folder, relative to it, sorted.
func filesIn(tb testing.TB, dir string) (names []string) {
	tb.Helper()
	must(tb, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(path, dir+string(os.PathSeparator)))
		}
		return err
	}))
	return names
}

// Every file comes alone, in any order, first empty or as a part, then whole, and whole once more. Each device has a copy of
// the folder of its own.
func TestFilesArriveInAnyOrderInPartsAndTwice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 6))
			a, b := newPair(t, itemSchema)
			clock := newTestClock(a, b)
			reader := newTestDevice(t, itemSchema)
			clock.give(reader)
			reader.join(a.folder, a.invite())
			settle(a, b, reader)
			own := t.TempDir()
			copyTree(t, a.folder, own)
			for i := range 8 {
				a.exec("INSERT INTO item VALUES (?, 'of a', 1)", fmt.Sprint("a", i))
				a.exec("INSERT INTO item VALUES ('shared', ?, 1) ON CONFLICT DO UPDATE SET name = excluded.name", fmt.Sprint("a", i))
				settle(a, b)
				b.exec("UPDATE item SET name = ? WHERE id = 'shared'", fmt.Sprint("b", i))
				b.exec("DELETE FROM item WHERE id = ?", fmt.Sprint("a", i-1))
				settle(b, a)
			}
			reader.close()
			reader.folder = own
			reader.open()
			names := filesIn(t, a.folder)
			random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			for _, name := range names {
				for _, cut := range []func([]byte) []byte{
					func([]byte) []byte { return nil },
					func(data []byte) []byte { return data[:random.IntN(len(data)+1)] },
					whole,
				} {
					deliverFile(t, a.folder, own, name, cut)
					_ = reader.trySync() // what is not whole is named
				}
			}
			for _, name := range names {
				deliverFile(t, a.folder, own, name, whole)
			}
			reader.sync()
			wantSame(t, []*testDevice{a, b, reader})
			reader.wantHealthy()
			if n := len(reader.conflicts()); n != 0 {
				t.Errorf("%d conflicts between edits that had seen each other", n)
			}
		})
	}
}

// The log of a device that has joined arrives before the record that says so.
func TestSegmentsArriveBeforeTheRecordOfTheirAuthor(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	late := t.TempDir()
	copyTree(t, a.folder, late)
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, a.invite())
	c.exec("INSERT INTO item VALUES ('c', 'of c', 1)")
	c.sync()
	b.close()
	b.folder = late
	b.open()
	for _, name := range filesIn(t, a.folder) {
		if !strings.HasPrefix(name, "roster") {
			deliverFile(t, a.folder, late, name, whole)
		}
	}
	for range 2 {
		wantIs(t, b.trySync(), errStranger)
		wantText(t, errors.New(b.problem().Hint), "still on its way")
	}
	b.wantValue("0", "SELECT count(*) FROM item")
	carry(t, a.folder, late)
	b.sync()
	b.wantHealthy()
	b.wantValue("of c", "SELECT name FROM item")
}

// conflictPatterns are the ways in which services rename a file or directory that they take to be in conflict; # is the name without
// its ending.
var conflictPatterns = []string{
	"#.sync-conflict-20240102-030405-ABCDEFG", // Syncthing
	"# (laptop's conflicted copy 2024-01-02)", // Dropbox
	"# (Case Conflict)",
	"# (Unicode Encoding Conflict)",
	"# (white space conflict)",
	"# 2",                                        // iCloud Drive
	"# (1)",                                      // Google Drive
	"#-LAPTOP-17",                                // OneDrive
	"# (conflicted copy anna 2024-01-02 030405)", // Nextcloud
	"#_conflict-20240102-030405",
}

// Every way in which a service renames a file or directory that it takes to be in conflict, while that is the only good copy.
func TestEveryPatternOfConflictCopiesIsRead(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	foreign := make(map[string][]byte)
	for _, of := range []string{"file", "directory"} {
		for _, pattern := range conflictPatterns {
			a.exec("INSERT INTO item VALUES (?, 'x', 1)", of+pattern)
			a.sync()
			path := a.lastSegment()
			dir, base := filepath.Split(path)
			stray := filepath.Join(dir, strings.ReplaceAll(pattern, "#", strings.TrimSuffix(base, ".seg"))+".seg")
			if of == "directory" {
				dir = filepath.Join(a.folder, "devices", strings.ReplaceAll(pattern, "#", a.id().String()))
				must(t, os.MkdirAll(dir, 0o700))
				stray = filepath.Join(dir, base)
			}
			data, err := os.ReadFile(path)
			must(t, err)
			foreign[stray] = data
			must(t, os.WriteFile(stray, data, 0o600))
		}
	}
	a.sync() // it has found what it has published, and does not publish it again
	for _, path := range a.segments() {
		if foreign[path] == nil {
			must(t, os.Remove(path))
		}
	}
	if runtime.GOOS == "linux" { // where upper case is another name
		must(t, os.Rename(filepath.Join(a.folder, "devices", a.id().String()+" 2"), filepath.Join(a.folder, "devices", strings.ToUpper(a.id().String()))))
		for path, data := range foreign {
			if rest, ok := strings.CutPrefix(path, filepath.Join(a.folder, "devices", a.id().String()+" 2")); ok {
				delete(foreign, path)
				foreign[filepath.Join(a.folder, "devices", strings.ToUpper(a.id().String()))+rest] = data
			}
		}
	}
	b.sync()
	b.wantHealthy()
	wantSame(t, []*testDevice{a, b})
	b.wantValue(fmt.Sprint(2*len(conflictPatterns)), "SELECT count(*) FROM item")
	for path, data := range foreign {
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, data) {
			t.Errorf("%s was touched", path)
		}
	}
}

// So it is with membership records and invites, whether half a file has taken the name or nothing.
func TestEveryPatternOfConflictCopiesOfRecordsIsRead(t *testing.T) {
	t.Parallel()
	patterns := slices.Clone(conflictPatterns)
	if runtime.GOOS == "linux" { // where upper case is another name
		patterns = append(patterns, "UPPER")
	}
	for _, pattern := range patterns {
		for _, taken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s taken=%v", pattern, taken), func(t *testing.T) {
				t.Parallel()
				a, b := newPair(t, itemSchema)
				rename := func(path string) {
					dir, base := filepath.Split(path)
					ending := filepath.Ext(base)
					renamed := strings.ReplaceAll(pattern, "#", strings.TrimSuffix(base, ending)) + ending
					if pattern == "UPPER" {
						renamed = strings.ToUpper(base)
					}
					must(t, os.Rename(path, filepath.Join(dir, renamed)))
					if taken {
						must(t, os.WriteFile(path, []byte("half"), 0o600))
					}
				}
				before := tree(t, filepath.Join(a.folder, "roster"))
				c := newTestDevice(t, itemSchema)
				code := a.invite()
				for path := range tree(t, filepath.Join(a.folder, "invites")) {
					rename(path)
				}
				c.crowded = true // it removes the half of an invite that it has not made
				c.join(a.folder, code)
				c.exec("INSERT INTO item VALUES ('c', 'of c', 1)")
				c.sync()
				for path := range tree(t, filepath.Join(a.folder, "roster")) {
					if _, stood := before[path]; !stood {
						rename(path)
					}
				}
				c.close()
				_ = b.trySync() // it says what is spoilt
				b.wantValue("of c", "SELECT name FROM item")
				if taken {
					return // until somebody removes what has taken the name
				}
				b.wantHealthy()
				for _, record := range slices.Sorted(maps.Keys(b.syncer.records)) {
					if _, err := os.Stat(filepath.Join(b.folder, "roster", record)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// Services set the time of a file to anything: that of the download, of another machine, of 1970. It decides nothing.
func TestTimesOfFilesDecideNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 0))
	devices := newSpace(t, itemSchema, 2)
	a, b := devices[0], devices[1]
	shake := func() {
		for _, name := range filesIn(t, a.folder) {
			at := time.Unix(random.Int64N(5e9), 0)
			must(t, os.Chtimes(filepath.Join(a.folder, name), at, at))
		}
	}
	for i := range 5 {
		a.exec("INSERT INTO item VALUES (?, 'of a', 1)", fmt.Sprint(i))
		b.exec("INSERT INTO item VALUES ('shared', ?, 1) ON CONFLICT DO UPDATE SET name = excluded.name", fmt.Sprint(i))
		for _, d := range []*testDevice{a, b, a, b} {
			shake()
			d.sync()
		}
		wantSame(t, devices)
	}
	shake()
	wantQuiet(t, devices...)
}

// The folder can't be written to for a while: the disk is full, the quota is spent, the medium can only be read, a right is
// missing. What others write is merged all the same, what is written here goes out afterwards.
func TestAFolderThatCannotBeWrittenToOnlyDelays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		hint string
	}{
		{syscall.ENOSPC, "no space left"},
		{syscall.EDQUOT, "no space left"},
		{syscall.EROFS, "only be read"},
		{fs.ErrPermission, "not permitted"},
	} {
		t.Run(test.err.Error(), func(t *testing.T) {
			a, b := newPair(t, itemSchema)
			refusing := true
			a.environment.Step = func(step string, perform func() error) error {
				verb, _, _ := strings.Cut(step, " ")
				if refusing && slices.Contains([]string{"create", "write", "mkdir", "link", "rename"}, verb) {
					return test.err
				}
				return perform()
			}
			a.reopen()
			for i := range 3 {
				a.exec("INSERT INTO item VALUES (?, 'of a', 1)", fmt.Sprint("a", i))
				b.exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint("b", i))
				b.sync()
				wantIs(t, a.trySync(), ErrFolder, test.err)
				wantText(t, errors.New(a.problem().Hint), test.hint)
				a.wantValue(fmt.Sprint(i+1), "SELECT count(*) FROM item WHERE name = 'of b'")
				if n := a.syncer.Status().Pending; n != i+1 {
					t.Errorf("%d changes pending, want %d", n, i+1)
				}
			}
			refusing = false
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			a.wantHealthy()
			wantQuiet(t, a, b)
		})
	}
}

// The versions of a service, or its trash, bring back segments that a compaction has replaced.
func TestSegmentsThatComeBackAfterACompactionAreHarmless(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.writeBatches(10, func(i int) string {
		return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'written %d', 1) ON CONFLICT DO UPDATE SET name = excluded.name", i%3, i)
	})
	a.exec("DELETE FROM item WHERE id = '1'")
	settle(a, b)
	old := t.TempDir()
	copyTree(t, a.folder, old)
	a.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
	quietDown(clock, a, b)
	if n := len(a.segments()); n != 1 {
		t.Fatalf("%d segments stand, the test wants one range", n)
	}
	for _, name := range filesIn(t, old) {
		if strings.HasSuffix(name, ".seg") {
			deliverFile(t, old, a.folder, name, whole)
		}
	}
	wantQuiet(t, a, b)
	a.exec("INSERT INTO item VALUES ('new', 'x', 1)")
	settle(a, b)
	late := newTestDevice(t, itemSchema)
	late.join(a.folder, a.invite())
	settle(a, b, late)
	wantSame(t, []*testDevice{a, b, late})
	for _, d := range []*testDevice{a, b, late} {
		d.wantHealthy()
		d.wantValue("0", "SELECT count(*) FROM item WHERE id = '1'")
	}
}

// A directory changes after it was listed: the segment that is to be read next has given way to a range, or has gone.
func TestADirectoryChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.writeBatches(4, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	a.sync()
	var changed atomic.Bool // a file is read while the one before it is merged
	b.environment.Step = func(step string, perform func() error) error {
		if step == "open "+segmentName(2) && changed.CompareAndSwap(false, true) {
			a.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
			quietDown(clock, a)
		}
		return perform()
	}
	b.reopen()
	b.crowded = true
	b.syncer.slow.Patience = time.Hour // with the reading that a writes in the midst of
	_ = b.trySync()
	if !changed.Load() {
		t.Fatal("nothing happened meanwhile")
	}
	b.sync()
	b.wantHealthy()
	wantSame(t, []*testDevice{a, b})
}

// A directory that can't be watched, as when the system's limit is reached, is said to be polled.
func TestWhatCannotBeWatchedIsSaid(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for _, d := range []*testDevice{a, b} {
		d.options.Manual, d.options.FlushDelay, d.options.PollInterval = false, 5*time.Millisecond, 50*time.Millisecond
	}
	a.close()
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(b.directory(), away))
	if err := os.Symlink(filepath.Base(b.directory()), b.directory()); err != nil { // a link to itself
		t.Skip(err)
	}
	a.open()
	until(t, "it is said that the directory can't be watched", func() bool { return a.syncer.Status().WatchErr != nil })
	must(t, os.Remove(b.directory()))
	must(t, os.Rename(away, b.directory()))
	b.reopen()
	b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	a.waitFor("SELECT count(*) = 1 FROM item")
	until(t, "it can be watched again", func() bool { return a.syncer.Status().WatchErr == nil })
}

// A folder of which the system tells nothing, as on a network drive, is polled, and that is said.
func TestAFolderOfWhichNothingIsHeardIsPolled(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.options.Manual, a.options.PollInterval, a.environment.Deaf = false, 20*time.Millisecond, true
	a.reopen()
	told := func() bool { return a.syncer.Status().WatchErr != nil }
	for i := 0; !told(); i++ { // how many changes one look finds at once is up to the clock
		if i == 100 {
			t.Fatal("nobody says that nothing is heard")
		}
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", i)
		b.sync()
		a.waitFor(fmt.Sprintf("SELECT count(*) = %d FROM item", i+1))
	}
	wantText(t, a.syncer.Status().WatchErr, "the system tells nothing of it")
}

// until waits until a condition holds.
func until(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("it does not come so far that %s", what)
		}
	}
}

// Two devices have made the directories at the top at the same time, and the sync client shows each the other's under another
// name. Nobody renames them back: both read what stands there, and a device that enters does.
func TestDirectoriesThatTwoDevicesHaveMade(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{" 2", " (1)", " (conflicted copy)"} {
		t.Run(suffix, func(t *testing.T) {
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			b.own()
			c.own()
			for _, d := range []*testDevice{b, c} { // what it has is its own alone
				must(t, os.RemoveAll(filepath.Join(d.folder, "devices")))
				must(t, os.RemoveAll(filepath.Join(d.folder, "roster")))
			}
			courier := func(from, to *testDevice) {
				for top, below := range map[string]string{"devices": from.id().String(), "roster": ".", "invites": "."} {
					if _, err := os.Stat(filepath.Join(from.folder, top)); err != nil {
						continue
					}
					target := filepath.Join(to.folder, top+suffix, below)
					must(t, os.RemoveAll(target))
					must(t, os.MkdirAll(filepath.Dir(target), 0o700))
					must(t, os.CopyFS(target, os.DirFS(filepath.Join(from.folder, top, below))))
				}
			}
			a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
			b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
			a.revoke(c) // a record that only a copy of the roster has
			for range 2 {
				for _, d := range []*testDevice{a, b} {
					d.sync()
				}
				courier(a, b)
				courier(b, a)
			}
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			a.wantValue("2", "SELECT count(*) FROM item")
			if n := len(b.syncer.roster.Members()); n != 2 {
				t.Errorf("b knows %d members, want 2", n)
			}
			for _, d := range []*testDevice{a, b} {
				listed, err := d.syncer.Devices(t.Context())
				must(t, err)
				for _, device := range listed {
					if device.Err != nil {
						t.Errorf("device %s: %v", device.ID.Short(), device.Err)
					}
				}
			}
			wantQuiet(t, a, b)
			late := newTestDevice(t, itemSchema)
			code := a.invite()
			courier(a, b)
			late.join(b.folder, code)
			late.sync()
			wantSame(t, []*testDevice{b, late})
		})
	}
}

// A sync client has made more copies of a directory than are read. What only the last one holds is missing, and that is said.
func TestCopiesThatAreNotReadAreToldOf(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
	a.sync()
	for i := range 17 {
		must(t, os.Mkdir(filepath.Join(a.folder, fmt.Sprintf("devices (%d)", 10+i)), 0o700))
	}
	last := filepath.Join(a.folder, "devices (26)", a.id().String())
	must(t, os.Rename(a.directory(), last))
	wantIs(t, b.trySync(), errCrowded)
	if problem := b.problem(); problem.Path != "devices (26)" {
		t.Errorf("problem at %s", problem.Path)
	}
	b.wantValue("0", "SELECT count(*) FROM item")
	must(t, os.Rename(last, a.directory()))
	must(t, os.Remove(filepath.Dir(last)))
	b.sync()
	b.wantValue("1", "SELECT count(*) FROM item")
	b.wantHealthy()
}

// What a device has written stands in a copy of its directory alone, and is counted like all else; so is what is missing there.
func TestWhatStandsInCopiesAloneIsCounted(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	settle(a, b)
	before := filesIn(t, a.directory())
	a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'of a', 1)", i) })
	var segments []string
	for _, name := range filesIn(t, a.directory()) {
		if !slices.Contains(before, name) && strings.HasSuffix(name, ".seg") {
			segments = append(segments, name)
		}
	}
	if len(segments) != 3 {
		t.Fatalf("segments %q, want three", segments)
	}
	copied := filepath.Join(a.folder, "devices 2", a.id().String())
	must(t, os.MkdirAll(filepath.Dir(copied), 0o700))
	must(t, os.Rename(a.directory(), copied))
	must(t, os.CopyFS(a.directory()+" (1)", os.DirFS(copied)))
	examined := b.examine("")
	if n := examined.Status.Behind; n != 3 {
		t.Errorf("behind by %d, want 3", n)
	}
	if slices.Contains(codes(examined.Findings), FindingNotDownloaded) {
		t.Errorf("found %+v", examined.Findings)
	}
	for _, directory := range []string{copied, a.directory() + " (1)"} {
		must(t, os.Rename(filepath.Join(directory, segments[1]), filepath.Join(b.path+filepath.Base(directory))))
	}
	b.sync()
	missing, _ := folder.ParseSegmentName(segments[1])
	status := b.syncer.Status()
	if status.Behind != 1 || len(status.Waiting) != 1 || status.Waiting[0].Device != a.id() || status.Waiting[0].Batch != missing.First {
		t.Errorf("behind by %d, waiting for %+v", status.Behind, status.Waiting)
	}
	must(t, os.Rename(b.path+filepath.Base(copied), filepath.Join(copied, segments[1])))
	b.sync()
	wantSame(t, []*testDevice{a, b})
	if n := b.syncer.Status().Behind; n != 0 {
		t.Errorf("behind by %d, want 0", n)
	}
	b.wantHealthy()
}

// A sync client has given the directory of a device another name as a whole, while its author is away. Nothing else holds what it
// has written.
func TestADirectoryThatWasRenamedIsRead(t *testing.T) {
	t.Parallel()
	for _, rename := range []func(string) string{strings.ToUpper, func(name string) string { return name + " (Case Conflict)" }} {
		a, b := newPair(t, itemSchema)
		a.writeBatches(3, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'of a', 1)", i) })
		settle(a, b)
		settle(a, b)
		clock := newTestClock(b)
		dir, base := filepath.Split(a.directory())
		name := rename(base)
		must(t, os.Rename(a.directory(), filepath.Join(dir, name)))
		c := newTestDevice(t, itemSchema)
		c.join(a.folder, b.invite())
		c.sync()
		c.wantValue("3", "SELECT count(*) FROM item")
		c.wantHealthy()
		listed, err := c.syncer.Devices(t.Context())
		must(t, err)
		for _, device := range listed {
			if device.Err != nil || device.ID == a.id() && device.LastSeen.IsZero() {
				t.Errorf("device %+v", device)
			}
		}
		for range 2 { // it is not lost
			b.sync()
			clock.pass(lostTime + 4*relayTurn)
		}
		if n := len(b.segments()); n != 0 {
			t.Errorf("%s: %d segments were relayed", name, n)
		}
		b.wantHealthy()
	}
}

// What tells that changes come without events: other files of others, and nothing else.
func TestOtherFilesOfOthersAreNoticed(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	settle(a, b)
	before := a.syncer.listed.Load()
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing", func() {}, false},
		{"an edit here", func() { a.exec("INSERT INTO item VALUES ('a', 'of a', 1)") }, false},
		{"an edit there", func() { b.exec("INSERT INTO item VALUES ('b', 'of b', 1)"); b.sync() }, true},
	} {
		step.do()
		a.sync()
		now := a.syncer.listed.Load()
		if (now != before) != step.want {
			t.Errorf("%s: %x and then %x", step.name, before, now)
		}
		before = now
	}
}
