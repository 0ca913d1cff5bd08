package sqlitesync

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
)

// Two people edit a row while they are apart, and the log of one is written anew before the other reads it. That other one is the
// author of one of the two edits, whichever wins, and notices; who has seen the other edit before is in no conflict with it.
func TestAConflictWithARange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		later     time.Duration // that b writes after a
		seen      bool
		conflicts string
	}{
		{"the reader's edit wins", time.Second, false, "1"},
		{"the reader's edit loses", -time.Second, false, "1"},
		{"the reader's edit was seen", -time.Second, true, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			clock := newTestClock(a, b)
			moment := clock.read().Add(-time.Hour)
			a.execAt(moment, "INSERT INTO item VALUES ('1', 'before', 0), ('2', 'before', 0)")
			settle(a, b)
			b.execAt(moment.Add(test.later), "UPDATE item SET name = 'of b' WHERE id = '1'")
			if test.seen {
				settle(b, a)
			}
			a.execAt(moment, "UPDATE item SET name = 'of a' WHERE id = '1'")
			a.sync()
			a.execAt(moment, "UPDATE item SET name = 'of a' WHERE id = '2'")
			a.sync()
			a.compactNext()
			quietDown(clock, a)
			if stands := len(a.segments()); stands > 1 {
				t.Fatalf("%d segments stand", stands)
			}
			settle(b, a)
			wantSame(t, []*testDevice{a, b})
			b.wantValue(test.conflicts, "SELECT count(*) FROM sqlitesync_conflicts")
			wantQuiet(t, a, b)
		})
	}
}

// Two databases had a row before they met, each its own. Who enters with one of them notices, though the log of the other was written
// anew meanwhile.
func TestAConflictWithARangeThatHasABaseline(t *testing.T) {
	t.Parallel()
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprint(compacted), func(t *testing.T) {
			t.Parallel()
			a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
			clock := newTestClock(a, b)
			for i := range 8 { // of each pair, chance decides
				a.exec("INSERT INTO item VALUES (?, ?, 1)", fmt.Sprint("old ", i), fmt.Sprint("of a ", i))
				b.exec("INSERT INTO item VALUES (?, ?, 1)", fmt.Sprint("old ", i), fmt.Sprint("of b ", i))
			}
			for _, d := range []*testDevice{a, b} {
				d.exec("INSERT INTO item VALUES ('2', 'of both', 1)")
			}
			a.create(t.TempDir())
			a.sync()
			a.exec("INSERT INTO item VALUES ('3', 'of a', 1)")
			a.sync()
			if compacted {
				a.compactNext()
				quietDown(clock, a)
				if stands := len(a.segments()); stands > 1 {
					t.Fatalf("%d segments stand", stands)
				}
			}
			b.options.Existing = MergeExisting
			b.join(a.folder, a.invite())
			b.sync()
			b.wantValue("8", "SELECT count(*) FROM sqlitesync_conflicts")
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
		})
	}
}

// A range waits for nobody. Who enters and reads an edit before what its author had seen is told of no conflict.
func TestRangesThatAreReadInAnotherOrderAreInNoConflict(t *testing.T) {
	t.Parallel()
	admin, other := newPair(t, itemSchema)
	editor, author := admin, other
	if editor.id().String() > author.id().String() { // logs are read by the ids of their devices
		editor, author = author, editor
	}
	clock := newTestClock(editor, author)
	rewrite := func(d *testDevice) {
		d.compactNext()
		quietDown(clock, d)
		if stands := len(d.segments()); stands > 1 {
			t.Fatalf("%d segments stand", stands)
		}
	}
	author.exec("INSERT INTO item VALUES ('1', 'before', 1)")
	author.sync()
	author.exec("INSERT INTO item VALUES ('2', 'before', 1)")
	author.sync()
	rewrite(author)
	editor.sync()
	editor.exec("UPDATE item SET name = 'after' WHERE id = '1'")
	editor.sync()
	editor.exec("INSERT INTO item VALUES ('3', 'new', 1)")
	editor.sync()
	rewrite(editor)
	late := newTestDevice(t, itemSchema)
	late.join(admin.folder, admin.invite())
	late.sync()
	wantSame(t, []*testDevice{editor, late})
	late.wantValue("0", "SELECT count(*) FROM sqlitesync_conflicts")
}

// A range is merged in steps. Who is broken off between two of them reads it from the start, and lists a conflict once.
func TestAConflictWithARangeThatIsBrokenOff(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	moment := clock.read().Add(-time.Hour)
	b.execAt(moment.Add(time.Second), "INSERT INTO item VALUES ('0001', 'of b', 1)")
	for _, first := range []int{0, 3000} {
		a.execAt(moment, fmt.Sprintf("WITH RECURSIVE n (i) AS (VALUES (%d) UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO item SELECT printf('%%04d', i), 'of a', 1 FROM n",
			first, first+2999))
		a.sync()
	}
	a.compactNext()
	quietDown(clock, a)
	for statement := 0; b.value("SELECT count(*) FROM item") == "1"; statement += 16 {
		if !b.passUntil(statement) {
			t.Fatal("no pass was broken off in the midst of the range")
		}
	}
	b.wantValue("1", "SELECT count(*) FROM sqlitesync_conflicts")
	b.sync()
	b.wantValue("6000", "SELECT count(*) FROM item")
	b.wantValue("1", "SELECT count(*) FROM sqlitesync_conflicts")
}

// What the author of a batch had seen is lost with its file. Where it is made again out of the database, nobody takes for a
// conflict what is none.
func TestWhatWasMadeAgainIsInNoConflict(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	b.exec("INSERT INTO item VALUES ('1', 'of b', 1)")
	settle(b, a)
	a.exec("UPDATE item SET name = 'of a, who has seen it'")
	a.sync()
	a.sync() // finds the file
	must(t, os.Remove(a.lastSegment()))
	for range 3 {
		_ = a.trySync()
		clock.pass(vanishedTime)
	}
	a.sync()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("0", "SELECT count(*) FROM sqlitesync_conflicts")
}

// A range names each batch that has changes, and the format knows a limit: what does not go into one stays two.
func TestRangesOfVeryManyBatches(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.exec("INSERT INTO item VALUES ('1', 'x', 1)")
	a.sync()
	s, ctx := a.syncer, t.Context()
	const each = segment.MaxBatches/2 + 1
	var run []unit
	for n := range uint64(2) {
		r := compactedRange{first: n*each + 1, last: (n + 1) * each, prev: crypto.Tail{byte(n)}, tail: crypto.Tail{byte(n + 1)}}
		for batch := r.first; batch <= r.last; batch++ {
			stamp := changelog.Stamp{Time: int64(batch), Device: s.self(), Batch: batch}
			r.batches = append(r.batches, segment.Batch{Number: batch})
			r.changes = append(r.changes, changelog.Change{Shape: s.db.Table("item").Put, Key: changelog.Key{fmt.Sprintf("row %d", batch)},
				Values: []changelog.Value{int64(1), "x"}, Stamp: stamp, Birth: stamp})
		}
		own, err := s.sealRange(&r, ownSegment{})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(a.directory(), own.name.String()), own.sealed, 0o600))
		hash := sha256.Sum256(own.sealed)
		own.hash, own.state = hash[:], segmentFound
		run = append(run, unit{segments: []ownSegment{*own}, rows: each, live: each})
	}
	f, err := s.openFolder()
	must(t, err)
	defer f.Close()
	must(t, s.rewrite(ctx, f, run))
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_segments WHERE name GLOB '*-0002.seg'")
}
