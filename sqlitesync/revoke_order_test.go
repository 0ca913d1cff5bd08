package sqlitesync

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// falseSegment makes a segment of a device's log, signed and sealed as it should be, with other rows than it has published:
// of generation 1 with the tail that the log has after it.
func (d *testDevice) falseSegment(first, last uint64, generation uint32, changes ...changelog.Change) (name string, file []byte) {
	d.tb.Helper()
	return d.falseSegmentOf(first, last, generation, segment.Batch{Number: last}, changes...)
}

// falseSegmentOf is falseSegment of this batch.
func (d *testDevice) falseSegmentOf(first, last uint64, generation uint32, batch segment.Batch, changes ...changelog.Change) (name string, file []byte) {
	d.tb.Helper()
	parsed := func(batch uint64) *crypto.Segment {
		data, err := os.ReadFile(filepath.Join(d.directory(), segmentName(batch)))
		must(d.tb, err)
		file, err := crypto.ParseSegment(data)
		must(d.tb, err)
		return file
	}
	for i := range changes {
		change := &changes[i]
		if change.Stamp == (changelog.Stamp{}) {
			change.Stamp = changelog.Stamp{Time: 1 << 41, Device: changelog.DeviceID(d.id()), Batch: last}
		}
		if change.Birth = change.Stamp; change.Shape.Kind == changelog.Delete {
			change.Birth = changelog.Stamp{}
		}
	}
	body, err := segment.Encode(&segment.Segment{
		Author: changelog.DeviceID(d.id()), First: first, Last: last, Batches: []segment.Batch{batch}, Changes: changes,
	})
	must(d.tb, err)
	packed, err := segment.Pack(body)
	must(d.tb, err)
	header := crypto.SegmentHeader{Space: d.syncer.identity.space, First: first, Last: last, Generation: generation, Prev: parsed(first).Header().Prev}
	if generation > 0 {
		newest, _, err := d.syncer.db.Position(d.tb.Context(), d.syncer.self())
		must(d.tb, err)
		header.Tail = parsed(min(last, newest)).Tail()
	}
	file, _, err = crypto.SealSegment(header, packed, d.syncer.keys.newest(), d.syncer.keys.entry().Device)
	must(d.tb, err)
	return folder.SegmentName{First: first, Last: last, Generation: generation}.String(), file
}

// forgedRow is a row of the table item that nobody has written.
func forgedRow(id string) changelog.Change {
	shape := &changelog.Shape{Kind: changelog.Full, Table: "item", Key: []string{"id"}, Columns: []string{"n", "name"}}
	return changelog.Change{Shape: shape, Key: changelog.Key{id}, Values: []changelog.Value{int64(1), "forged"}}
}

// forgedDelete is one of a row that nobody has deleted.
func forgedDelete(id string) changelog.Change {
	return changelog.Change{Shape: &changelog.Shape{Kind: changelog.Delete, Table: "item", Key: []string{"id"}}, Key: changelog.Key{id}}
}

// TestARevocationArrivesInEveryOrder: a device that was revoked goes on to write, and writes its log anew with other rows, below
// the cut and across it, in the name of others too. What devices have in the end does not depend on what reached them first,
// file by file.
func TestARevocationArrivesInEveryOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			revocationInRandomOrder(t, rand.New(rand.NewPCG(seed, 5)))
		})
	}
}

// delivery is one file on its way.
type delivery struct {
	path string
	data []byte
}

func (d *testDevice) take(file delivery) {
	d.tb.Helper()
	must(d.tb, os.MkdirAll(filepath.Dir(filepath.Join(d.folder, file.path)), 0o700))
	must(d.tb, os.WriteFile(filepath.Join(d.folder, file.path), file.data, 0o600))
}

func revocationInRandomOrder(t *testing.T, random *rand.Rand) {
	devices := newSpace(t, itemSchema, 6)
	a, b, c, rest := devices[0], devices[1], devices[2], devices[3:]
	settle(devices...)
	clock := newTestClock(devices...)
	for _, d := range devices {
		d.crowded = true
		d.environment.Steady = clock.read
		if d != c {
			d.own()
		}
	}
	const batches, cut = 6, 3
	for batch := uint64(1); batch <= batches; batch++ {
		c.exec("INSERT INTO item VALUES (?, 'of c', 1)", fmt.Sprint(batch))
		c.sync()
		for reader, last := range map[*testDevice]uint64{a: cut, b: cut + 1} {
			if batch == last {
				deliver(t, c.folder, reader.folder, everySeg, everyHead)
				reader.sync()
			}
		}
	}
	a.revoke(c)
	b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	b.sync()

	var files []delivery
	collect := func(from string, patterns ...string) {
		for _, pattern := range patterns {
			paths, err := filepath.Glob(filepath.Join(from, pattern))
			must(t, err)
			for _, path := range paths {
				name, err := filepath.Rel(from, path)
				must(t, err)
				data, err := os.ReadFile(path)
				must(t, err)
				files = append(files, delivery{name, data})
			}
		}
	}
	for _, d := range []*testDevice{a, b, c} {
		collect(d.folder, everyRecord, "devices/"+d.id().String()+"/*")
	}
	ofB := forgedRow("b")
	ofB.Stamp = changelog.Stamp{Time: 1 << 42, Device: changelog.DeviceID(b.id()), Batch: 1}
	forge := func(first, last uint64, generation uint32) {
		name, data := c.falseSegment(first, last, generation, forgedRow(fmt.Sprint("forged ", first, last, generation)), ofB, forgedDelete(fmt.Sprint(first)))
		files = append(files, delivery{"devices/" + c.id().String() + "/" + name, data})
	}
	for _, last := range []uint64{2, cut, cut + 1, batches} {
		forge(1+random.Uint64N(min(last, cut)), last, 1)
	}
	batch := 1 + random.Uint64N(cut)
	forge(batch, batch, 0)
	for _, d := range rest {
		random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		for _, file := range files {
			d.take(file)
			if random.IntN(2) == 0 {
				_ = d.trySync()
			}
		}
	}
	left := append([]*testDevice{a, b}, rest...)
	for range 4 {
		clock.pass(relayTurn)
		for _, to := range left {
			for _, file := range files {
				if strings.Contains(file.path, c.id().String()) {
					to.take(file)
				}
			}
			for _, from := range left {
				deliver(t, from.folder, to.folder, everyRecord, "devices/"+from.id().String()+"/*")
			}
			deliver(t, c.folder, to.folder, "devices/"+c.id().String()+"/*")
		}
		for _, d := range left {
			_ = d.trySync()
		}
	}
	for _, d := range left {
		if n := len(d.syncer.Status().Diverged); n > 0 {
			t.Errorf("device %s knows something else", d.id().Short())
		}
	}
	wantSame(t, left)
	a.wantValue("1", "SELECT count(*) FROM item WHERE id = 'b'")
}

// TestTwoContentsAfterTheCutAreKnownToAll: each was shown to one device before it was told, and one of the files, or none, is all
// that stands there.
func TestTwoContentsAfterTheCutAreKnownToAll(t *testing.T) {
	t.Parallel()
	for _, none := range []bool{false, true} {
		t.Run(fmt.Sprint("none ", none), func(t *testing.T) {
			t.Parallel()
			twoContentsAfterTheCut(t, none)
		})
	}
}

func twoContentsAfterTheCut(t *testing.T, none bool) {
	devices := newSpace(t, itemSchema, 4)
	a, b, c, d := devices[0], devices[1], devices[2], devices[3]
	must(t, a.syncer.SetRole(t.Context(), b.id(), RoleWriter))
	settle(devices...)
	clock := newTestClock(devices...)
	c.exec("INSERT INTO item VALUES ('1', 'of c', 1)")
	settle(c, a, b, d)
	for _, device := range []*testDevice{b, c, d} {
		device.own()
	}
	c.exec("INSERT INTO item VALUES ('2', 'of c', 1)")
	c.sync()
	name, data := c.falseSegment(2, 2, 0, forgedRow("3"))
	file := delivery{"devices/" + c.id().String() + "/" + name, data}
	deliver(t, c.folder, b.folder, everySeg)
	d.take(file)
	settle(b, d)
	a.revoke(c)
	a.take(file)
	left := []*testDevice{a, b, d}
	for _, device := range left {
		device.differs = true
	}
	if none {
		for _, device := range left {
			must(t, os.Remove(filepath.Join(device.folder, file.path)))
		}
	}
	exchange := func() {
		for range 3 {
			for _, from := range left {
				for _, to := range left {
					deliver(t, from.folder, to.folder, everyRecord, "devices/"+from.id().String()+"/*")
				}
			}
			deliver(t, a.folder, b.folder, "devices/"+c.id().String()+"/*")
			for _, device := range left {
				_ = device.trySync()
			}
		}
	}
	exchange()
	if none {
		b.wantValue("1,2", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)")
		clock.pass(lostTime + 4*relayTurn)
		exchange()
	}
	for _, device := range left {
		device.wantValue("1,2,3", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)")
	}
	for _, device := range left {
		device.differs = false
	}
	for range 3 {
		clock.pass(lostTime + 4*relayTurn)
		exchange()
	}
	wantSame(t, left)
	before := b.segments()
	clock.pass(lostTime + 4*relayTurn)
	exchange()
	if after := b.segments(); !slices.Equal(before, after) {
		t.Errorf("it is relayed again and again: %v, before %v", after, before)
	}
}
