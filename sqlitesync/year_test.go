package sqlitesync

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

const day = 24 * time.Hour

const diarySchema = "CREATE TABLE diary (id TEXT PRIMARY KEY NOT NULL, mood INTEGER, text TEXT)"

// diaryEdit returns a statement such as a diary sees: mostly new entries and
// changes of recent ones.
func diaryEdit(random *rand.Rand, n int) string {
	recent := max(0, n-random.IntN(20))
	switch random.IntN(10) {
	case 0:
		return fmt.Sprintf("DELETE FROM diary WHERE id = '%d'", recent)
	case 1, 2, 3, 4:
		return fmt.Sprintf("UPDATE diary SET mood = %d, text = '%s' WHERE id = '%d'", random.IntN(9), diaryText(random), recent)
	}
	return fmt.Sprintf("INSERT OR IGNORE INTO diary VALUES ('%d', %d, '%s')", n, random.IntN(9), diaryText(random))
}

func diaryText(random *rand.Rand) string {
	words := strings.Fields("walked the dog along the river and met an old friend who told me about her garden where nothing grows but stones")
	entry := make([]string, 100)
	for i := range entry {
		entry[i] = words[random.IntN(len(words))]
	}
	return strings.Join(entry, " ")
}

// zstdSize returns the size of all rows as text under zstd.
func (d *testDevice) zstdSize() int {
	d.tb.Helper()
	encoder, err := zstd.NewWriter(nil)
	must(d.tb, err)
	defer encoder.Close()
	return len(encoder.EncodeAll([]byte(d.dump("diary")), nil))
}

// emptyRange is how many bytes a range has of which nothing is of use any more: its header, and that of its encryption.
const emptyRange = 2200

// headAtRest is how many bytes a head may have at rest, in a space of three devices.
const headAtRest = 12 << 10

// wantFewFiles makes sure that the device's directory has few files at rest, and none that is left over. It returns how many bytes
// they have without the head and the tail of the log, and how many segments that tail has: those that are newer than all that was
// compacted, of which there are not more than may stand before they are, too.
func (d *testDevice) wantFewFiles() (size, tail int) {
	d.tb.Helper()
	end, live := uint64(0), make(map[string]bool)
	own, err := d.syncer.ownSegments(context.Background(), "replaced IS NULL")
	must(d.tb, err)
	for _, segment := range own {
		live[segment.name.String()] = true
		if segment.name.Generation > 0 {
			end = max(end, segment.name.Last)
		}
	}
	if end == 0 {
		d.tb.Error("nothing was compacted")
	}
	segments, tailSize, headSize := 0, 0, 0
	must(d.tb, filepath.WalkDir(d.directory(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == d.directory() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, isSegment := folder.ParseSegmentName(entry.Name())
		switch {
		case !isSegment && entry.Name() == "head":
			headSize = int(info.Size())
			return nil
		case !isSegment:
			d.tb.Errorf("%s stands at rest", path)
		case !live[entry.Name()]:
			d.tb.Errorf("%s stands at rest, and was replaced", path)
		}
		if segments++; isSegment && name.Generation == 0 && name.First > end {
			tail++
			tailSize += int(info.Size())
			return nil
		}
		size += int(info.Size())
		return nil
	}))
	if segments > 64 || tail > maxLive || headSize == 0 || headSize > headAtRest {
		d.tb.Errorf("at rest stand %d segments, %d of them in the tail, and a head of %d bytes", segments, tail, headSize)
	}
	d.tb.Logf("%d segments have %d bytes, %d in the tail %d, the head %d", segments-tail, size, tail, tailSize, headSize)
	return size, tail
}

// A year of small edits on three devices leaves few files, which are not much
// larger than the rows.
func TestAYearOfEdits(t *testing.T) {
	long(t)
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 365))
	passAYear(t, 0, func(n int) (int, string) { return random.IntN(3), diaryEdit(random, n) })
}

// A year in which one device was used after another, so that what each has written is overruled by those that follow.
func TestAYearOfOneDeviceAfterAnother(t *testing.T) {
	long(t)
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 365))
	passAYear(t, 2, func(n int) (int, string) {
		return n * 3 / 365, fmt.Sprintf("INSERT OR REPLACE INTO diary VALUES ('%d', %d, '%s')", n%60, random.IntN(9), diaryText(random))
	})
}

// passAYear lets a year of edits pass, each by the device of a number, and looks at what stands in the folder then, in which the ranges of
// so many devices may be empty.
func passAYear(t *testing.T, empty int, edit func(n int) (device int, statement string)) {
	t.Helper()
	devices := newSpace(t, diarySchema, 3)
	clock := newTestClock(devices...)
	for n := range 365 {
		device, statement := edit(n)
		d := devices[device]
		d.exec(statement)
		d.sync()
		if n%5 == 0 {
			settle(devices...)
		}
		clock.pass(day)
	}
	quietDown(clock, devices...)
	wantSame(t, devices)
	for _, rest := range []string{"as it is", "without tails"} {
		if rest == "without tails" { // as if they had grown until they are compacted
			for _, d := range devices {
				d.compactNext()
			}
			quietDown(clock, devices...)
		}
		total := 0
		for _, d := range devices {
			size, tail := d.wantFewFiles()
			if total += size; tail > 0 && rest == "without tails" {
				t.Errorf("%d segments of the tail were not compacted", tail)
			}
			d.wantHealthy()
		}
		if entries, err := os.ReadDir(filepath.Join(devices[0].folder, "devices")); err != nil || len(entries) != len(devices) {
			t.Errorf("devices/ has %v: %v", entries, err)
		}
		if limit := 2*devices[0].zstdSize() + empty*emptyRange; total > limit {
			t.Errorf("%s, devices/ has %d bytes beside heads and tails, want at most %d", rest, total, limit)
		}
	}
	wantQuiet(t, devices...)
}

// A device is away for a year, with edits of its own. What the others have deleted
// meanwhile, and compacted, does not come back; the edits stand, and those that
// others have overruled are kept where they were made.
func TestADeviceThatWasAwayForAYear(t *testing.T) {
	long(t)
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 365))
	devices := newSpace(t, diarySchema, 3)
	a, b, away := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	a.exec("INSERT INTO diary VALUES ('deleted', 1, 'x'), ('deleted and edited', 1, 'x'), ('kept', 1, 'x'), ('edited by both', 1, 'x')")
	settle(devices...)
	away.exec("INSERT INTO diary VALUES ('written far away', 2, 'y')")
	away.exec("UPDATE diary SET text = 'edited far away' WHERE id = 'kept'")
	away.exec("UPDATE diary SET text = 'edited far away' WHERE id = 'edited by both'")
	away.exec("UPDATE diary SET text = 'edited far away' WHERE id = 'deleted and edited'")
	tick()
	a.exec("DELETE FROM diary WHERE id LIKE 'deleted%'")
	b.exec("UPDATE diary SET text = 'edited here' WHERE id = 'edited by both'")
	for n := range 180 {
		d := devices[n%2]
		d.exec(diaryEdit(random, n))
		d.sync()
		clock.pass(2 * day)
	}
	quietDown(clock, a, b)
	if n := len(a.segments()); n > maxLive+1 {
		t.Fatalf("%d segments: nothing was compacted", n)
	}
	settle(away, a, b)
	settle(devices...)
	wantSame(t, devices)
	a.wantValue("edited far away,y", "SELECT group_concat(text) FROM (SELECT text FROM diary WHERE id IN ('kept', 'written far away') ORDER BY id)")
	a.wantValue("edited here", "SELECT text FROM diary WHERE id = 'edited by both'")
	wantEverywhere("0", "SELECT count(*) FROM diary WHERE id LIKE 'deleted%'", devices...)
	for _, d := range devices {
		d.wantHealthy()
	}
	// What is overruled is kept by who has written it.
	kept := make(map[any]any)
	for _, conflict := range away.conflicts() {
		kept[conflict.Key[0]] = conflict.Loser.Values["text"]
	}
	for _, id := range []string{"edited by both", "deleted and edited"} {
		if kept[id] != "edited far away" {
			t.Errorf("of %s is kept: %v", id, kept[id])
		}
	}
}

// The whole folder is put back to how it was a year ago.
func TestAFolderThatIsRewoundByAYear(t *testing.T) {
	long(t)
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 365))
	a, b := newPair(t, diarySchema)
	clock := newTestClock(a, b)
	a.exec("INSERT INTO diary VALUES ('deleted', 1, 'x'), ('kept', 1, 'x')")
	settle(a, b)
	before := filepath.Join(t.TempDir(), "before")
	must(t, os.CopyFS(before, os.DirFS(a.folder)))
	a.exec("DELETE FROM diary WHERE id = 'deleted'")
	for n := range 120 {
		d := []*testDevice{a, b}[n%2]
		d.exec(diaryEdit(random, n))
		d.sync()
		clock.pass(3 * day)
	}
	quietDown(clock, a, b)
	want := a.dump()
	must(t, filepath.WalkDir(a.folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			err = os.Remove(path)
		}
		return err
	}))
	deliverAll(t, before, a.folder)
	for range 4 {
		for _, d := range []*testDevice{a, b} {
			_ = d.trySync() // it says what is gone, and makes it again
			clock.pass(vanishedTime)
		}
	}
	settle(a, b)
	late := newTestDevice(t, diarySchema)
	clock.give(late)
	late.join(a.folder, a.invite())
	late.waitedLongEnough()
	settle(a, b, late)
	wantSame(t, []*testDevice{a, b, late})
	if got := late.dump(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	late.wantValue("0", "SELECT count(*) FROM diary WHERE id = 'deleted'")
	for _, d := range []*testDevice{a, b, late} {
		d.wantHealthy()
	}
}

// deliverAll copies all files of one folder over another.
func deliverAll(tb testing.TB, from, to string) {
	tb.Helper()
	for _, name := range filesIn(tb, from) {
		deliverFile(tb, from, to, name, whole)
	}
}

// A newcomer gets the folder in several sittings, between which the others write,
// delete and compact.
func TestANewcomerInSeveralSittings(t *testing.T) {
	long(t)
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 365))
	a, b := newPair(t, diarySchema)
	clock := newTestClock(a, b)
	a.exec("INSERT INTO diary VALUES ('deleted', 1, 'x'), ('kept', 1, 'x')")
	settle(a, b)
	write := func(from, to int) {
		for n := from; n < to; n++ {
			d := []*testDevice{a, b}[n%2]
			d.exec(diaryEdit(random, n))
			d.sync()
		}
	}
	write(0, 60)
	newcomer := newTestDevice(t, diarySchema)
	clock.give(newcomer)
	newcomer.crowded = true // its copy of the folder is written to by the test
	code := a.invite()
	own := filepath.Join(t.TempDir(), "own")
	for sitting := range 4 {
		// Records, and some of what has not come yet; what is gone here goes there.
		for _, name := range filesIn(t, a.folder) {
			if !strings.HasSuffix(name, ".seg") || random.IntN(3) == 0 {
				deliverFile(t, a.folder, own, name, whole)
			}
		}
		for _, name := range filesIn(t, own) {
			if _, err := os.Stat(filepath.Join(a.folder, name)); err != nil && strings.HasSuffix(name, ".seg") {
				must(t, os.Remove(filepath.Join(own, name)))
			}
		}
		if sitting == 0 {
			newcomer.join(own, code)
		}
		_ = newcomer.trySync()
		newcomer.waitedLongEnough()
		_ = newcomer.trySync()
		if sitting == 1 {
			a.exec("DELETE FROM diary WHERE id = 'deleted'")
		}
		write(60+60*sitting, 120+60*sitting)
		quietDown(clock, a, b)
		for _, d := range []*testDevice{a, b} {
			if sitting > 0 && !slices.ContainsFunc(d.segments(), compacted) {
				t.Errorf("after sitting %d, nothing of %s is compacted", sitting, d.id().Short())
			}
		}
	}
	deliverAll(t, own, a.folder)
	newcomer.close()
	newcomer.folder = a.folder
	newcomer.crowded = false
	newcomer.open()
	settle(newcomer, a, b)
	newcomer.waitedLongEnough()
	settle(newcomer, a, b)
	devices := []*testDevice{a, b, newcomer}
	wantSame(t, devices)
	newcomer.wantValue("0", "SELECT count(*) FROM diary WHERE id = 'deleted'")
	for _, d := range devices {
		d.wantHealthy()
	}
}
