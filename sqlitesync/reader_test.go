package sqlitesync

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
)

// newReader makes a reader of the space that the device is in.
func newReader(t *testing.T, a *testDevice, schema string) *testDevice {
	t.Helper()
	invite, err := a.syncer.Invite(context.Background(), &InviteOptions{Role: RoleReader})
	must(t, err)
	r := newTestDevice(t, schema)
	r.join(a.folder, invite.Code)
	return r
}

// TestSchedule28AReadersEditsAreUndone: they get no stamps, so what others write
// afterwards wins there as everywhere, and its tables are those of the space.
func TestSchedule28AReadersEditsAreUndone(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('edited', 'of the space', 1), ('deleted', 'of the space', 1), ('kept', 'of the space', 1), ('later', 'of the space', 1)")
	a.exec("INSERT INTO item VALUES ('gone', 'of the space', 1)")
	settle(a, b)
	a.exec("DELETE FROM item WHERE id = 'gone'")
	a.sync()
	r := newReader(t, a, itemSchema)
	settle(a, b, r)
	wantSame(t, []*testDevice{a, b, r})

	r.exec("UPDATE item SET name = 'of the reader' WHERE id IN ('edited', 'later')")
	r.exec("DELETE FROM item WHERE id = 'deleted'")
	r.exec("INSERT INTO item VALUES ('new', 'of the reader', 1), ('gone', 'of the reader', 1)")
	b.exec("UPDATE item SET name = 'written since' WHERE id = 'later'")
	b.sync()
	r.sync()
	a.sync()
	wantSame(t, []*testDevice{a, b, r})
	r.wantValue("written since", "SELECT name FROM item WHERE id = 'later'")
	r.wantHealthy()
	if n := len(r.segments()); n != 0 || r.syncer.Status().Pending != 0 {
		t.Errorf("a reader has %d segments", n)
	}
	// What was written is listed.
	if n := r.syncer.Status().Undone; n != 5 {
		t.Errorf("%d edits are counted as undone, want 5", n)
	}
	r.wantValue("5", "SELECT count(*) FROM sqlitesync_undone WHERE table_name = 'item' AND time > '2020'")
	r.wantValue("of the reader", `SELECT json_extract("values", '$.name') FROM sqlitesync_undone WHERE json_extract(row_key, '$.id') = 'new'`)
	r.wantValue("1", `SELECT "values" IS NULL FROM sqlitesync_undone WHERE json_extract(row_key, '$.id') = 'deleted'`)
	wantQuiet(t, a, b, r)

	// And it goes on so.
	r.reopen()
	r.exec("UPDATE item SET n = 2")
	b.exec("DELETE FROM item WHERE id = 'kept'")
	settle(r, b, a)
	settle(r)
	wantSame(t, []*testDevice{a, b, r})
}

// TestAReadersEditsGiveWay: a unique value, a parent and its children.
func TestAReadersEditsGiveWay(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL, code TEXT UNIQUE);
		CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES parent ON DELETE CASCADE)`
	a := newTestDevice(t, schema)
	a.create(t.TempDir())
	a.exec("INSERT INTO parent VALUES ('p', 'one'), ('q', 'two')")
	a.exec("INSERT INTO child VALUES ('c', 'p'), ('d', 'q')")
	a.sync()
	r := newReader(t, a, schema)
	settle(a, r)
	wantSame(t, []*testDevice{a, r})
	r.exec("DELETE FROM parent WHERE id = 'p'") // and its child
	r.exec("INSERT INTO parent VALUES ('x', 'one')")
	r.exec("UPDATE parent SET code = 'three' WHERE id = 'q'")
	a.exec("INSERT INTO parent VALUES ('y', 'three')")
	a.exec("INSERT INTO child VALUES ('e', 'y')")
	a.sync()
	r.sync()
	wantSame(t, []*testDevice{a, r})
	r.wantHealthy()
	if n := len(r.held()); n != 0 {
		t.Errorf("%d rows are held", n)
	}
}

// TestWhatAReaderPublishesIsRefused, everywhere, before and after it is made a
// writer.
func TestWhatAReaderPublishesIsRefused(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	r := newReader(t, a, itemSchema)
	settle(a, b, r)
	put := &changelog.Shape{Kind: changelog.Full, Table: "item", Key: []string{"id"}, Columns: []string{"n", "name"}}
	publish := func(batch uint64, prev crypto.Tail) crypto.Tail {
		stamp := changelog.Stamp{Time: 1 << 50, Device: changelog.DeviceID(r.id()), Batch: batch}
		body, err := segment.Encode(&segment.Segment{
			Author: changelog.DeviceID(r.id()), First: batch, Last: batch, Batches: []segment.Batch{{Number: batch}},
			Changes: []changelog.Change{{Shape: put, Key: changelog.Key{fmt.Sprint(batch)}, Values: []changelog.Value{int64(1), "forced"}, Stamp: stamp, Birth: stamp}},
		})
		must(t, err)
		packed, err := segment.Pack(body)
		must(t, err)
		header := crypto.SegmentHeader{Space: r.syncer.identity.space, First: batch, Last: batch, Prev: prev}
		file, tail, err := crypto.SealSegment(header, packed, r.syncer.keys.newest(), r.syncer.keys.entry().Device)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(r.directory(), segmentName(batch)), file, 0o600))
		return tail
	}
	tail := publish(1, crypto.Tail{})
	for _, d := range []*testDevice{a, b} {
		if err := d.trySync(); err == nil {
			t.Error("a reader's segment is not named")
		}
		wantIs(t, d.problem(), errStranger)
		d.wantValue("0", "SELECT count(*) FROM item")
	}
	must(t, a.syncer.SetRole(context.Background(), r.id(), RoleWriter))
	for _, d := range []*testDevice{a, b} {
		_ = d.trySync()
		d.wantValue("0", "SELECT count(*) FROM item")
	}
	tail = publish(2, tail) // from here on it may
	publish(3, tail)
	first, aside := filepath.Join(r.directory(), segmentName(2)), filepath.Join(t.TempDir(), "first")
	must(t, os.Rename(first, aside))
	for _, d := range []*testDevice{a, b} { // and this is what they wait for, and not what is refused
		d.sync()
		if waiting := d.syncer.Status().Waiting; len(waiting) != 1 || waiting[0].Device != r.id() || waiting[0].Batch != 2 {
			t.Errorf("waiting for %+v", waiting)
		}
		d.wantValue("0", "SELECT count(*) FROM item")
	}
	must(t, os.Rename(aside, first))
	must(t, os.Remove(filepath.Join(r.directory(), segmentName(3))))
	for _, d := range []*testDevice{a, b} {
		d.sync()
		d.wantValue("2", "SELECT group_concat(id) FROM item")
	}
	b.exec("DROP TABLE item; " + itemSchema) // and is read again
	b.sync()
	b.wantValue("2", "SELECT group_concat(id) FROM item")
}

// TestAReaderBecomesAWriter, and what it writes from then on counts.
func TestAReaderBecomesAWriter(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	r := newReader(t, a, itemSchema)
	r.exec("INSERT INTO item VALUES ('x', 'too early', 1)")
	r.sync()
	r.wantValue("0", "SELECT count(*) FROM item")
	_, err := r.syncer.Invite(ctx, nil)
	wantIs(t, err, ErrNotAllowed)
	wantIs(t, a.syncer.SetRole(ctx, b.id(), RoleReader), ErrNotAllowed)
	must(t, a.syncer.SetRole(ctx, r.id(), RoleWriter))
	settle(a, b, r)
	r.exec("INSERT INTO item VALUES ('x', 'in time', 1)")
	settle(r, a, b)
	wantSame(t, []*testDevice{a, b, r})
	a.wantValue("in time", "SELECT name FROM item")
	r.wantHealthy()
}

// TestAReaderJoinsWithRowsOfItsOwn: they can be replaced, not merged.
func TestAReaderJoinsWithRowsOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, _ := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('a', 'of the space', 1)")
	a.sync()
	invite, err := a.syncer.Invite(ctx, &InviteOptions{Role: RoleReader})
	must(t, err)
	r := newTestDevice(t, itemSchema)
	r.exec("INSERT INTO item VALUES ('r', 'mine', 1)")
	r.options.Existing = MergeExisting
	_, err = Join(ctx, r.db, a.folder, invite.Code, &r.options)
	wantIs(t, err, ErrNotEmpty)
	wantText(t, err, "ReplaceExisting")
	r.options.Existing = ReplaceExisting
	r.join(a.folder, invite.Code)
	wantSame(t, []*testDevice{a, r})
}

// TestAReaderOfManyRows undoes more than one page of edits.
func TestAReaderOfManyRows(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	for i := range 50 {
		a.exec("INSERT INTO item VALUES (?, 'of the space', 1)", fmt.Sprint(i))
	}
	a.sync()
	r := newReader(t, a, itemSchema)
	settle(a, r)
	r.syncer.foldSize = 7
	r.exec("UPDATE item SET name = 'of the reader'")
	r.sync()
	r.sync()
	wantSame(t, []*testDevice{a, r})
	if n := r.syncer.Status().Undone; n != 50 {
		t.Errorf("%d edits undone", n)
	}
}

// An edit that comes while all logs are read again, to give back what another one has overwritten, is undone too.
func TestAReadersEditInTheMidstOfReadingAgain(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	for _, id := range []string{"1", "2"} {
		a.exec("INSERT INTO item VALUES (?, 'of the space', 1)", id)
		a.sync()
	}
	r := newReader(t, a, itemSchema)
	settle(a, r)
	r.close()
	var reading, edited atomic.Bool
	r.options.Logger = slog.New(&hookLog{message: "reading all logs again", fn: func() { reading.Store(true) }})
	last := filepath.Base(a.lastSegment())
	r.environment.Step = func(step string, perform func() error) error {
		if step == "open "+last && reading.Load() && edited.CompareAndSwap(false, true) {
			r.exec("UPDATE item SET name = 'once more' WHERE id = '1'")
		}
		return perform()
	}
	r.open()
	r.exec("UPDATE item SET name = 'of the reader' WHERE id = '1'")
	r.sync()
	if !edited.Load() {
		t.Fatal("all logs were not read again")
	}
	r.sync()
	wantSame(t, []*testDevice{a, r})
	r.wantHealthy()
}
