package sqlitesync

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
)

// A statement goes out as a whole up to a limit of rows and one of bytes: others hold it in memory to apply it at once.
func TestAStatementIsCutWhereOthersCouldNotHoldIt(t *testing.T) {
	t.Parallel()
	for before, want := range map[runSize]string{
		{maxRun.changes, maxRun.bytes}:      "true true false",
		{maxStatement.changes, 0}:           "false true false",
		{0, maxStatement.bytes}:             "false true false",
		{maxStatement.changes - maxFold, 1}: "true false false",
	} {
		a, b := newPair(t, itemSchema)
		a.syncer.Pause()
		must(t, save(t.Context(), a.syncer.handle.conn, "run", fmt.Sprint(before.changes, " ", before.bytes)))
		a.exec("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO item SELECT printf('%08d', i), 'x', i FROM c", 3*maxFold)
		a.syncer.Resume()
		settle(a, b)
		var continued []bool
		segments, err := a.syncer.ownSegments(t.Context(), "true")
		must(t, err)
		for _, own := range segments {
			if own.name.Generation == 0 {
				continued = append(continued, own.continued)
			}
		}
		if got := fmt.Sprint(continued); got != "["+want+"]" {
			t.Errorf("after %+v, segments are continued: %s, want %s", before, got, want)
		}
		b.wantValue(fmt.Sprint(3*maxFold), "SELECT count(*) FROM item")
	}
}

// What is counted of a run is what a reader holds of it.
func TestRunSize(t *testing.T) {
	piece := make([]byte, 1<<20)
	part := &segment.Segment{
		Changes: slices.Repeat([]changelog.Change{{Key: changelog.Key{"1234"}, Values: []changelog.Value{piece, int64(1)}}}, 3),
		Pieces:  slices.Repeat([]segment.Piece{{Bytes: piece}}, 4),
	}
	var size runSize
	size.add(part)
	if size.changes != 3 || size.bytes < 7<<20 || size.bytes > 7<<20+500 {
		t.Errorf("%+v", size)
	}
	for limit, want := range map[runSize]bool{{4, 8 << 20}: true, {3, 8 << 20}: false, {4, 7 << 20}: false} {
		if size.below(limit) != want {
			t.Errorf("%+v is below %+v: %v", size, limit, !want)
		}
	}
}

// A member that says more at once than memory can hold is refused, and costs others nothing but its own rows. SQLITESYNC_BIG=1
// in the environment runs it: it takes some GB of memory and of the disk.
func TestARunThatMemoryCannotHoldIsRefused(t *testing.T) {
	if os.Getenv("SQLITESYNC_BIG") == "" {
		t.Skip("it takes long: run it with SQLITESYNC_BIG=1")
	}
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('first', 'one', 1)")
	settle(a, b)
	a.syncer.Pause()
	must(t, save(t.Context(), a.syncer.handle.conn, "run", fmt.Sprint(0, " ", -2*maxReadRun.bytes)))
	a.exec("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO item SELECT i, zeroblob(?), i FROM c", maxReadRun.bytes>>24+1, 1<<24)
	a.syncer.Resume()
	a.sync()
	if err := b.trySync(); !errors.Is(err, segment.ErrTooLarge) {
		t.Errorf("the run was read: %v", err)
	}
	b.wantValue("1", "SELECT count(*) FROM item")
}
