package sqlitesync

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// target is a segment in the middle of the log of device a, which b is about
// to read while c goes on writing.
type target struct {
	t       *testing.T
	a, b, c *testDevice
	path    string // the segment file
	batch   uint64
	data    []byte // as a published it
	written int    // rows of c
}

func newTarget(t *testing.T) *target {
	t.Helper()
	devices := newSpace(t, itemSchema, 3)
	g := &target{t: t, a: devices[0], b: devices[1], c: devices[2], batch: 2}
	for _, id := range []string{"first", "second", "third"} {
		g.a.exec("INSERT INTO item VALUES (?, 'of a', 1)", id)
		g.a.sync()
	}
	g.path = filepath.Join(g.a.directory(), segmentName(g.batch))
	var err error
	g.data, err = os.ReadFile(g.path)
	must(t, err)
	return g
}

// check lets b sync while something else stands under the segment's name. It
// must name the file, keep its rows, and read what c writes.
func (g *target) check(says error) {
	g.t.Helper()
	g.written++
	g.c.exec("INSERT INTO item VALUES (?, 'of c', 1)", fmt.Sprint("c", g.written))
	must(g.t, g.c.syncer.export(context.Background())) // c need not read a's log itself
	err := g.b.trySync()
	e := g.b.problem()
	if !errors.Is(err, e) {
		g.t.Errorf("Sync returned %v, Status shows %v", err, e)
	}
	if e.Device != g.a.id() || e.Batch != g.batch || e.Path != "devices/"+g.a.id().String()+"/"+segmentName(g.batch) {
		g.t.Errorf("error names device %s, batch %d, path %s", e.Device.Short(), e.Batch, e.Path)
	}
	if says != nil {
		wantIs(g.t, e, says)
	}
	g.b.wantValue("first", "SELECT group_concat(id) FROM item WHERE name = 'of a'")
	g.b.wantValue(fmt.Sprint(g.written), "SELECT count(*) FROM item WHERE name = 'of c'")
}

// heal puts the right bytes back, and checks that b reads on.
func (g *target) heal() {
	g.t.Helper()
	must(g.t, os.RemoveAll(g.path))
	must(g.t, os.WriteFile(g.path, g.data, 0o600))
	g.b.sync()
	g.b.wantHealthy()
	g.b.wantValue("3", "SELECT count(*) FROM item WHERE name = 'of a'")
	settle(g.a, g.b, g.c)
	wantSame(g.t, []*testDevice{g.a, g.b, g.c})
	if conflicts := slices.Concat(g.a.conflicts(), g.b.conflicts(), g.c.conflicts()); len(conflicts) != 0 {
		g.t.Errorf("%d conflicts", len(conflicts))
	}
}

func TestATruncatedSegmentCostsOnlyItself(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	for size := 0; size < len(g.data); size += 97 {
		must(t, os.WriteFile(g.path, g.data[:size], 0o600))
		g.check(nil)
	}
	must(t, os.WriteFile(g.path, g.data[:len(g.data)-1], 0o600))
	g.check(crypto.ErrDamaged)
	must(t, os.WriteFile(g.path, append(bytes.Clone(g.data), 0), 0o600))
	g.check(crypto.ErrDamaged)
	g.heal()
}

func TestAFlippedBitCostsOnlyItsSegment(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	for at := 0; at < len(g.data); at += 97 {
		data := bytes.Clone(g.data)
		data[at] ^= 1 << (at % 8)
		must(t, os.WriteFile(g.path, data, 0o600))
		g.check(nil)
	}
	g.heal()
}

func TestForgedAndForeignSegmentsCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	other := newTarget(t) // of another space
	stranger, err := crypto.NewDeviceKeys()
	must(t, err)
	epoch := g.a.syncer.keys.newest()
	genuine, err := crypto.ParseSegment(g.data)
	must(t, err)
	content := func() []byte {
		must(t, genuine.Verify(g.a.syncer.keys.entry().Device.Public().SigningKey()))
		plain, err := genuine.Open(epoch, maxPacked)
		must(t, err)
		return plain
	}()
	seal := func(content []byte, signer *crypto.DeviceKeys, change func(*crypto.SegmentHeader)) []byte {
		header := genuine.Header()
		if change != nil {
			change(&header)
		}
		data, _, err := crypto.SealSegment(header, content, epoch, signer)
		must(t, err)
		return data
	}
	first, err := os.ReadFile(filepath.Join(g.a.directory(), segmentName(1)))
	must(t, err)
	third, err := os.ReadFile(filepath.Join(g.a.directory(), segmentName(3)))
	must(t, err)
	a := g.a.syncer.keys.entry().Device
	foreignEpoch, err := crypto.NewEpoch()
	must(t, err)

	for _, test := range []struct {
		name string
		data []byte
		says error
	}{
		{"signed by a stranger", seal(content, stranger, nil), crypto.ErrSignature},
		{"signed by another member", seal(content, g.c.syncer.keys.entry().Device, nil), crypto.ErrSignature},
		{"of another space", other.data, crypto.ErrSignature},
		{"for another space", seal(content, a, func(h *crypto.SegmentHeader) { h.Space[0] ^= 1 }), crypto.ErrSignature},
		{"the one before", first, crypto.ErrDamaged},
		{"the one after", third, crypto.ErrDamaged},
		{"of another past", seal(content, a, func(h *crypto.SegmentHeader) { h.Prev[0] ^= 1 }), crypto.ErrDamaged},
		{"without content", seal(nil, a, nil), nil},
		{"of nonsense", seal([]byte("nonsense"), a, nil), nil},
		{"of a bomb", seal([]byte{1, 0xff, 0xff, 0xff, 0xff}, a, nil), nil},
		{"of half its content", seal(content[:len(content)/2], a, nil), nil},
		{"for an epoch that nobody has", func() []byte {
			data, _, err := crypto.SealSegment(genuine.Header(), content, foreignEpoch, a)
			must(t, err)
			return data
		}(), crypto.ErrWrongKey},
		{"of a newer format", bytes.Replace(g.data, []byte("sqlitesync segment 1\n"), []byte("sqlitesync segment 2\n"), 1), ErrFormat},
		{"a head", func() []byte {
			data, err := os.ReadFile(filepath.Join(g.a.directory(), "head"))
			must(t, err)
			return data
		}(), crypto.ErrNotOurs},
		{"text", []byte("<html>Log in to continue</html>"), crypto.ErrNotOurs},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.t = t
			must(t, os.WriteFile(g.path, test.data, 0o600))
			g.check(test.says)
			if test.says == ErrFormat && !strings.Contains(g.b.problem().Hint, "Update") {
				t.Errorf("hint %q does not say to update", g.b.problem().Hint)
			}
		})
	}
	g.t = t
	g.heal()
}

func TestWhatIsNoPlainFileIsNotRead(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	secret := filepath.Join(t.TempDir(), "elsewhere")
	must(t, os.WriteFile(secret, g.data, 0o600))
	for _, test := range []struct {
		name string
		make func() error
		says error
	}{
		{"link out of the folder", func() error { return os.Symlink(secret, g.path) }, folder.ErrNotRegular},
		{"link to another segment", func() error { return os.Symlink(segmentName(1), g.path) }, folder.ErrNotRegular},
		{"link to nothing", func() error { return os.Symlink("nothing", g.path) }, folder.ErrNotRegular},
		{"FIFO", func() error { return makeFIFO(g.path) }, folder.ErrNotRegular},
		{"directory", func() error { return os.Mkdir(g.path, 0o700) }, folder.ErrNotRegular},
		{"huge sparse file", func() error {
			if err := os.WriteFile(g.path, g.data, 0o600); err != nil {
				return err
			}
			return os.Truncate(g.path, 1<<40)
		}, folder.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.t = t
			must(t, os.RemoveAll(g.path))
			must(t, test.make())
			g.check(test.says)
		})
	}
	g.t = t
	g.heal()
}

func TestASegmentThatGrowsIsReadWhenItIsWhole(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	must(t, os.Remove(g.path))
	file, err := os.Create(g.path)
	must(t, err)
	defer file.Close()
	for part := range slices.Chunk(g.data, len(g.data)/5+1) {
		g.check(nil)
		_, err := file.Write(part)
		must(t, err)
	}
	g.b.sync()
	g.b.wantHealthy()
	g.b.wantValue("3", "SELECT count(*) FROM item WHERE name = 'of a'")
}

func TestAnOldSegmentUnderANewNumberIsNotReadAgain(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	settle(g.a, g.b, g.c)
	g.c.exec("UPDATE item SET name = 'edited' WHERE id = 'second'")
	settle(g.c, g.a, g.b)
	replayed := filepath.Join(g.a.directory(), segmentName(4))
	must(t, os.WriteFile(replayed, g.data, 0o600))
	g.b.trySync()
	if e := g.b.problem(); e.Device != g.a.id() || e.Batch != 4 {
		t.Errorf("error %v, want one about batch 4", e)
	}
	g.b.wantValue("edited", "SELECT name FROM item WHERE id = 'second'")
	// a finds a batch in its own directory that it has not made. It publishes
	// nothing more until that is settled.
	g.a.exec("INSERT INTO item VALUES ('fourth', 'of a', 1)")
	wantText(t, g.a.trySync(), "has not written")
	must(t, os.Remove(replayed))
	settle(g.a, g.b, g.c)
	wantSame(t, []*testDevice{g.a, g.b, g.c})
	g.b.wantValue("of a", "SELECT name FROM item WHERE id = 'fourth'")
}

func TestAGapIsWaitedForVisibly(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	must(t, os.Remove(g.path))
	since := time.Now()
	g.b.sync()
	g.b.sync()
	status := g.b.syncer.Status()
	want := Waiting{Device: g.a.id(), Batch: 2, For: g.a.id()}
	if len(status.Waiting) != 1 || status.Waiting[0].Since.Before(since) || status.Waiting[0].Since.After(time.Now()) {
		t.Fatalf("waiting %+v, want %+v", status.Waiting, want)
	}
	if got := status.Waiting[0]; got.Device != want.Device || got.Batch != want.Batch || got.For != want.For {
		t.Errorf("waiting %+v, want %+v", got, want)
	}
	if hint := status.Waiting[0].Hint(); !strings.Contains(hint, "it makes it again") {
		t.Errorf("hint %q does not say what would help", hint)
	}
	if status.Behind != 1 {
		t.Errorf("%d segments behind, want 1", status.Behind)
	}
	g.b.wantValue("first", "SELECT group_concat(id) FROM item")
	g.b.reopen()
	g.b.sync()
	if len(g.b.syncer.Status().Waiting) != 1 {
		t.Error("after opening again nothing is waited for")
	}
	g.heal()
}

func TestConflictCopiesOfSyncClientsAreRead(t *testing.T) {
	t.Parallel()
	base := segmentName(2)
	for _, name := range []string{
		strings.Replace(base, ".seg", ".sync-conflict-20240102-030405-ABCDEFG.seg", 1),
		strings.Replace(base, ".seg", " (laptop's conflicted copy 2024-01-02).seg", 1),
		strings.Replace(base, ".seg", " 2.seg", 1),
		strings.ToUpper(base),
	} {
		t.Run(name, func(t *testing.T) {
			g := newTarget(t)
			stray := filepath.Join(g.a.directory(), name)
			must(t, os.Rename(g.path, stray))
			g.b.sync()
			g.b.wantValue("3", "SELECT count(*) FROM item")
			g.b.wantHealthy()
			if _, err := os.Stat(stray); err != nil {
				t.Error("a file that is not ours was touched")
			}

			// The client left half a file under the name, the whole one beside it.
			must(t, os.WriteFile(g.path, g.data[:100], 0o600))
			g.c.sync()
			g.c.wantValue("3", "SELECT count(*) FROM item")
			g.c.wantHealthy()
		})
	}
}

func TestTheDirectoryOfAStrangerIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	stranger, err := crypto.NewDeviceKeys()
	must(t, err)
	dir := filepath.Join(g.a.folder, "devices", stranger.ID().String())
	must(t, os.Mkdir(dir, 0o700))
	genuine, err := crypto.ParseSegment(g.data)
	must(t, err)
	header := genuine.Header()
	header.First, header.Last, header.Prev = 1, 1, crypto.Tail{}
	data, _, err := crypto.SealSegment(header, []byte("x"), g.a.syncer.keys.newest(), stranger)
	must(t, err)
	path := filepath.Join(dir, segmentName(1))
	must(t, os.WriteFile(path, data, 0o600))

	g.b.trySync()
	e := g.b.problem()
	wantIs(t, e, errStranger)
	if e.Device != stranger.ID() || e.Path != "devices/"+stranger.ID().String() {
		t.Errorf("error names %s, %s", e.Device.Short(), e.Path)
	}
	g.b.wantValue("3", "SELECT count(*) FROM item") // the others are read

	// A stranger keeps nobody from publishing the rows that it came with.
	d := newTestDevice(t, itemSchema)
	d.exec("INSERT INTO item VALUES ('d', 'of d', 1)")
	d.options.Existing = MergeExisting
	d.join(g.a.folder, g.a.invite())
	d.trySync()
	g.b.trySync()
	g.b.wantValue("of d", "SELECT name FROM item WHERE id = 'd'")
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, data) {
		t.Error("the stranger's file was touched")
	}
	must(t, os.RemoveAll(dir))
	settle(g.a, g.b, g.c, d)
	g.b.wantHealthy()
	wantSame(t, []*testDevice{g.a, g.b, g.c, d})
}

// Neither does a member whose log cannot be read: what is published twice
// costs bytes, what is never published is lost with its device.
func TestADamagedLogDelaysBaselineRowsButNotForEver(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	must(t, os.WriteFile(g.path, g.data[:100], 0o600))
	d := newTestDevice(t, itemSchema)
	d.exec("INSERT INTO item VALUES ('d', 'of d', 1)")
	d.options.Existing = MergeExisting
	d.join(g.a.folder, g.a.invite())
	d.problem()
	if len(d.segments()) != 0 {
		t.Error("published before it was known what the space has")
	}
	d.syncer.incomplete = time.Now().Add(-causalWait)
	d.trySync()
	g.c.trySync()
	g.c.wantValue("of d", "SELECT name FROM item WHERE id = 'd'")
	must(t, os.WriteFile(g.path, g.data, 0o600))
	settle(g.a, g.b, g.c, d)
	wantSame(t, []*testDevice{g.a, g.b, g.c, d})
}

// A function that only the app's other program has keeps its table here from
// being written to, and nothing else from being synced.
func TestATableThatCannotBeWrittenHereCostsOnlyItself(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + "; CREATE TABLE doc (id TEXT PRIMARY KEY NOT NULL, v); CREATE TABLE search (v)"
	devices := newSpace(t, schema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	b.exec("CREATE TRIGGER doc_slug AFTER INSERT ON doc BEGIN INSERT INTO search VALUES (slug(NEW.v)); END")
	a.exec("INSERT INTO doc VALUES ('x', 'v'); INSERT INTO item VALUES ('a', 'of a', 1)")
	b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	settle(a, b, c)
	wantSame(t, devices, "item")
	b.wantHealthy()
	b.wantValue("no row", "SELECT v FROM doc")
	status := b.syncer.Status()
	listed := slices.ContainsFunc(status.Unsynced, func(u Unsynced) bool {
		return u.Table == "doc" && strings.Contains(u.Reason, "slug") && u.Hint != ""
	})
	if !listed || status.Held != 1 {
		t.Errorf("unsynced %+v, %d held, want doc and its row", status.Unsynced, status.Held)
	}
	b.exec("DROP TRIGGER doc_slug")
	settle(a, b, c)
	wantSame(t, devices)
	if n := b.syncer.Status().Held; n != 0 {
		t.Errorf("%d rows still held", n)
	}
}

// A merge that is broken off leaves nothing in memory of what it did.
func TestAMergeThatIsBrokenOffIsRepeatedWhole(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	for i := range 300 {
		a.exec("INSERT INTO item VALUES (?, 'of a', ?)", fmt.Sprint(i), i)
	}
	a.sync()
	c.exec("INSERT INTO item VALUES ('c', 'of c', 1)")
	c.sync()
	for step := range 200 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(step)*100*time.Microsecond)
		err := b.syncer.Sync(ctx)
		cancel()
		if err == nil {
			break
		}
		wantIs(t, err, context.DeadlineExceeded)
		if state := b.syncer.Status().State; state != StateIdle {
			t.Fatalf("state %s after a pass that was broken off", state)
		}
	}
	settle(b, c, a)
	wantSame(t, devices)
	b.wantValue("301", "SELECT count(*) FROM item")
	b.exec("UPDATE item SET name = 'edited' WHERE id IN ('7', 'c')")
	settle(b, a, c)
	b.reopen()
	c.exec("UPDATE item SET name = 'edited again' WHERE id IN ('7', 'c')")
	settle(c, b, a)
	wantSame(t, devices)
	for _, d := range devices {
		d.wantHealthy()
		if n := len(d.conflicts()); n != 0 {
			t.Errorf("%d conflicts", n)
		}
	}
	wantQuiet(t, devices...)
}

// Each case takes the folder away from a device, in some way, and gives it back.
func TestWithoutItsFolderADeviceKeepsEverything(t *testing.T) {
	t.Parallel()
	other, _ := newPair(t, itemSchema)
	for _, test := range []struct {
		name      string
		take      func(t *testing.T, a *testDevice, away string)
		give      func(t *testing.T, a *testDevice, away string)
		says      error
		readsOn   bool // what others wrote is merged all the same
		goesOn    bool // so is what it writes itself: only people are told
		publishes bool
		forDevice bool // the error names the device
	}{
		{
			name: "missing",
			take: func(t *testing.T, a *testDevice, away string) { must(t, os.Rename(a.folder, away)) },
			give: func(t *testing.T, a *testDevice, away string) { must(t, os.Rename(away, a.folder)) },
			says: ErrFolder,
		},
		{
			name: "emptied",
			take: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Rename(a.folder, away))
				must(t, os.Mkdir(a.folder, 0o700))
			},
			give: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Remove(a.folder)) // still empty: nothing was published into it
				must(t, os.Rename(away, a.folder))
			},
			says: ErrFolder,
		},
		{
			name: "of another space",
			take: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Rename(a.folder, away))
				must(t, os.Symlink(other.folder, a.folder))
			},
			give: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Remove(a.folder))
				must(t, os.Rename(away, a.folder))
			},
			says: ErrFolder,
		},
		{
			name: "a plain file",
			take: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Rename(a.folder, away))
				must(t, os.WriteFile(a.folder, []byte("no directory"), 0o600))
			},
			give: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Remove(a.folder))
				must(t, os.Rename(away, a.folder))
			},
			says: ErrFolder,
		},
		{
			name: "not writable",
			take: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Rename(a.directory(), away))
				must(t, os.WriteFile(a.directory(), nil, 0o600))
			},
			give: func(t *testing.T, a *testDevice, away string) {
				must(t, os.Remove(a.directory()))
				must(t, os.Rename(away, a.directory()))
			},
			says: ErrFolder, readsOn: true, forDevice: true,
		},
		{
			name: "with a damaged marker",
			take: marker(`{"format":1,"spa`), give: giveMarker,
			says: folder.ErrMarker, readsOn: true, publishes: true, // nothing is trusted to it
		},
		{
			name: "with an empty marker",
			take: marker(``), give: giveMarker,
			says: folder.ErrMarker, readsOn: true, publishes: true, // nothing is trusted to it
		},
		{
			name: "with the marker of a newer format",
			take: marker(`{"format":2,"cosmos":"x"}`), give: giveMarker,
			says: ErrFormat, readsOn: true, publishes: true,
		},
		{
			name: "with a FIFO as marker",
			take: func(t *testing.T, a *testDevice, away string) {
				path := filepath.Join(a.folder, "sqlitesync.json")
				must(t, os.Rename(path, away))
				must(t, makeFIFO(path))
			}, give: func(t *testing.T, a *testDevice, away string) {
				must(t, os.RemoveAll(filepath.Join(a.folder, "sqlitesync.json")))
				giveMarker(t, a, away)
			},
			says: folder.ErrNotRegular, readsOn: true, publishes: true,
		},
		{
			name: "with the marker of another space",
			take: marker(`{"format":1,"space":"` + strings.Repeat("ab", 32) + `"}`), give: giveMarker,
			says: ErrFolder, readsOn: true, publishes: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('before', 'of a', 1)")
			settle(a, b)
			b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
			b.sync()
			before := tree(t, other.folder)

			away := filepath.Join(t.TempDir(), "away")
			test.take(t, a, away)
			for i := range 3 {
				a.exec("INSERT INTO item VALUES (?, 'meanwhile', 1)", fmt.Sprint(i))
				err := a.trySync()
				wantIs(t, err, test.says)
				e := a.problem()
				if test.forDevice && e.Device != a.id() {
					t.Errorf("error names device %s", e.Device.Short())
				}
				if test.publishes && (e.Path != "sqlitesync.json" || !strings.Contains(e.Hint, "goes on")) {
					t.Errorf("path %s, hint %q", e.Path, e.Hint)
				}
			}
			pending := 3
			if test.publishes {
				pending = 0
			}
			if status := a.syncer.Status(); status.Pending != pending {
				t.Errorf("%d changes pending, want %d", status.Pending, pending)
			}
			if _, err := a.syncer.Devices(context.Background()); err != nil {
				t.Errorf("Devices: %v", err)
			}
			want := "4"
			if test.readsOn {
				want = "5"
			}
			a.wantValue(want, "SELECT count(*) FROM item")
			if after := tree(t, other.folder); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("wrote into the folder of another space")
			}

			test.give(t, a, away)
			settle(a, b)
			a.wantHealthy()
			wantSame(t, []*testDevice{a, b})
			b.wantValue("5", "SELECT count(*) FROM item")
			if n := a.syncer.Status().Pending; n != 0 {
				t.Errorf("%d changes pending at the end", n)
			}
			wantQuiet(t, a, b)
		})
	}
}

func marker(text string) func(*testing.T, *testDevice, string) {
	return func(t *testing.T, a *testDevice, away string) {
		path := filepath.Join(a.folder, "sqlitesync.json")
		must(t, os.Rename(path, away))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

func giveMarker(t *testing.T, a *testDevice, away string) {
	must(t, os.Rename(away, filepath.Join(a.folder, "sqlitesync.json")))
}

func TestAMarkerThatWasDeletedIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	path := filepath.Join(a.folder, "sqlitesync.json")
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	for _, d := range []*testDevice{a, b} {
		wantIs(t, d.trySync(), ErrFolder)
		d.problem()
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the marker was made again")
	}
	must(t, os.WriteFile(path, data, 0o600))
	settle(a, b)
	a.wantHealthy()
}

// A marker whose content is elsewhere is not damaged: nobody has to restore it.
func TestAMarkerThatIsKeptElsewhereIsNotDamaged(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	path := filepath.Join(a.folder, "sqlitesync.json")
	must(t, os.Rename(path, filepath.Join(a.folder, ".sqlitesync.json.icloud")))
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	wantIs(t, a.trySync(), folder.ErrSlow)
	hint := a.problem().Hint
	wantText(t, errors.New(hint), "in the Finder", "goes on without it")
	if strings.Contains(hint, "damaged") {
		t.Error(hint)
	}
	must(t, os.Rename(filepath.Join(a.folder, ".sqlitesync.json.icloud"), path))
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantHealthy()
}

// Whatever Close published and nobody has looked at since is published again.
func TestAPublishedSegmentThatVanishesBeforeItWasSeenComesBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for _, vanish := range []string{"by Close", "by Sync"} {
		a.exec("INSERT INTO item VALUES (?, 'dear', 1)", vanish)
		if vanish == "by Close" {
			a.close()
			must(t, os.Remove(a.lastOf(b)))
			a.open()
		} else {
			a.sync()
			must(t, os.Remove(a.lastSegment()))
		}
		settle(a, b)
		wantSame(t, []*testDevice{a, b})
		b.wantValue("dear", "SELECT name FROM item WHERE id = ?", vanish)
		a.wantHealthy()
		b.wantHealthy()
	}
	var n int
	a.sync()
	must(t, a.db.QueryRow("SELECT count(*) FROM sqlitesync_segments WHERE sealed IS NOT NULL").Scan(&n))
	if n != 0 {
		t.Errorf("the outbox still has %d batches", n)
	}
}

// lastOf returns the newest segment of a closed device, of which other is a peer.
func (d *testDevice) lastOf(other *testDevice) string {
	d.tb.Helper()
	paths, err := filepath.Glob(filepath.Join(d.folder, "devices", "*", "*.seg"))
	must(d.tb, err)
	paths = slices.DeleteFunc(paths, func(path string) bool { return strings.HasPrefix(path, other.directory()) })
	return paths[len(paths)-1]
}

func TestHeads(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	a.options.DeviceName = "the laptop"
	a.reopen()
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	path := filepath.Join(a.directory(), "head")
	old, err := os.ReadFile(path)
	must(t, err)
	peer := func() Device {
		t.Helper()
		devices, err := b.syncer.Devices(ctx)
		must(t, err)
		if len(devices) != 2 || devices[0].ID != a.id() || devices[0].Self || !devices[1].Self || devices[0].Role != RoleAdmin {
			t.Fatalf("devices %+v", devices)
		}
		return devices[0]
	}
	if d := peer(); d.Name != "the laptop" || d.Merged != 1 || d.LastSeen.IsZero() || d.Err != nil {
		t.Errorf("device %+v", d)
	}
	b.exec("UPDATE item SET n = 2")
	settle(b, a)
	if d := peer(); d.Has != 1 {
		t.Errorf("a has merged batch %d of b, want 1", d.Has)
	}
	present, err := os.ReadFile(path)
	must(t, err)
	ofB, err := os.ReadFile(filepath.Join(b.directory(), "head"))
	must(t, err)
	for _, test := range []struct {
		name string
		data []byte
		says error
	}{
		{"older", old, crypto.ErrDamaged},
		{"half", present[:len(present)/2], crypto.ErrDamaged},
		{"empty", nil, crypto.ErrDamaged},
		{"of another device", ofB, crypto.ErrSignature},
		{"of a newer format", bytes.Replace(present, []byte("head 1\n"), []byte("head 2\n"), 1), ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			must(t, os.WriteFile(path, test.data, 0o600))
			var e *Error
			if d := peer(); !errors.As(d.Err, &e) || !errors.Is(d.Err, test.says) || e.Device != a.id() || e.Hint == "" || !strings.HasSuffix(e.Path, "/head") {
				t.Errorf("device has error %v, want %v", d.Err, test.says)
			}
			b.sync()
			b.wantHealthy()
		})
	}
	must(t, os.Remove(path))
	if d := peer(); d.Err != nil || d.Name != "" {
		t.Errorf("without a head: %+v", d)
	}
	a.sync() // writes it again
	if d := peer(); d.Err != nil || d.Name != "the laptop" {
		t.Errorf("after the head came back: %+v", d)
	}
}

// A head that could not be written is written when it can be.
func TestAHeadThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	path := filepath.Join(b.directory(), "head")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	if err := b.trySync(); err == nil {
		t.Fatal("no error although the head is a directory")
	}
	b.problem()
	b.wantValue("y", "SELECT name FROM item")
	must(t, os.Remove(path))
	b.sync()
	devices, err := a.syncer.Devices(context.Background())
	must(t, err)
	if devices[1].Has != 1 || devices[1].Err != nil {
		t.Errorf("b's head: %+v", devices[1])
	}
}

// A membership record that this version does not understand may be a
// revocation. It must stop the device at every pass, and after Open too.
func TestARecordOfANewerVersionStopsEveryPass(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'before', 1)")
	settle(a, b)
	code := a.invite()

	// A record of a, of a kind that only a later version knows.
	var header []byte
	for _, record := range a.syncer.records {
		if record.Kind == crypto.KindInvite {
			file := record.File()
			header = bytes.Clone(file[bytes.IndexByte(file, '\n')+1+4 : len(file)-ed25519.SignatureSize])
		}
	}
	header[0] = 9
	secret, err := a.options.Keys.Load(ctx, a.id().String())
	must(t, err)
	seed := secret[bytes.IndexByte(secret, '\n')+1:][:ed25519.SeedSize]
	file := binary.BigEndian.AppendUint32([]byte("sqlitesync record 1\n"), uint32(len(header)))
	file = append(file, header...)
	file = append(file, ed25519.Sign(ed25519.NewKeyFromSeed(seed), append([]byte("sqlitesync/record/v1"), header...))...)
	record, err := crypto.ParseRecord(file)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(a.folder, "roster", record.Hash().String()), file, 0o600))

	a.exec("UPDATE item SET name = 'after'")
	a.close() // publishes without looking at the records
	b.exec("INSERT INTO item VALUES ('y', 'of b', 1)")
	for range 3 {
		wantIs(t, b.trySync(), ErrFormat)
		if e := b.problem(); !strings.Contains(e.Hint, "Update") {
			t.Errorf("hint %q does not say to update", e.Hint)
		}
	}
	b.wantValue("before", "SELECT name FROM item WHERE id = 'x'")
	if n := len(b.segments()); n != 0 {
		t.Errorf("%d segments were published", n)
	}
	if _, err := b.syncer.Invite(ctx, nil); err == nil {
		t.Error("invited another device")
	}
	wantIs(t, b.syncer.Close(), ErrFormat) // what is pending could not be published
	b.syncer = nil
	_, err = Open(ctx, b.db, b.folder, &b.options)
	wantIs(t, err, ErrFormat)
	c := newTestDevice(t, itemSchema)
	_, err = Join(ctx, c.db, a.folder, code, &c.options)
	wantIs(t, err, ErrFormat)
}

func TestDamagedAndForeignRecordsCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	other, _ := newPair(t, itemSchema)
	foreign, err := filepath.Glob(filepath.Join(other.folder, "roster", "*"))
	must(t, err)
	for _, path := range foreign { // of another space, each genuine
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(a.folder, "roster", filepath.Base(path)), data, 0o600))
	}
	settle(a, b)
	junk := filepath.Join(a.folder, "roster", strings.Repeat("0", 64))
	must(t, os.WriteFile(junk, []byte("junk"), 0o600))
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.trySync()
	if e := a.problem(); e.Path != "roster/"+filepath.Base(junk) {
		t.Errorf("path %s", e.Path)
	}
	b.trySync()
	b.wantValue("y", "SELECT name FROM item")
	must(t, os.Remove(junk))
	settle(a, b)
	a.wantHealthy()

	// Records that vanish come back: everyone has seen them.
	own, err := filepath.Glob(filepath.Join(a.folder, "roster", "*"))
	must(t, err)
	for _, path := range own {
		must(t, os.Remove(path))
	}
	b.sync()
	if back, _ := filepath.Glob(filepath.Join(a.folder, "roster", "*")); len(back) < 3 {
		t.Errorf("records %v came back", back)
	}
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, b.invite())
	settle(a, b, c)
	wantSame(t, []*testDevice{a, b, c})
}

// Nobody who has read a record reads its file again, but who enters needs it. Those who have it name the file, and put it back
// once it is out of the way.
func TestARecordThatIsSpoiltAfterItWasReadIsNamed(t *testing.T) {
	t.Parallel()
	for how, spoil := range map[string]func(path string, data []byte) error{
		"emptied":  func(path string, _ []byte) error { return os.Truncate(path, 0) },
		"cut off":  func(path string, data []byte) error { return os.Truncate(path, int64(len(data)/2)) },
		"appended": func(path string, data []byte) error { return os.WriteFile(path, append(data, 0), 0o600) },
		"a directory": func(path string, _ []byte) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			settle(a, b)
			records, err := filepath.Glob(filepath.Join(a.folder, "roster", "*"))
			must(t, err)
			path := records[0]
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, spoil(path, data))
			a.syncer.rosterTime = time.Time{} // a minute has passed
			for range 2 {                     // what was told holds until it is mended
				a.exec("INSERT INTO item (id) VALUES (hex(randomblob(8)))")
				if err := a.trySync(); err == nil {
					t.Fatal("nothing is said")
				}
				e := a.problem()
				if e.Path != "roster/"+filepath.Base(path) || !strings.Contains(e.Hint, "remove it") {
					t.Errorf("path %s, hint %s", e.Path, e.Hint)
				}
			}
			_ = b.trySync()
			b.wantValue("2", "SELECT count(*) FROM item")
			must(t, os.Remove(path))
			settle(a, b)
			a.wantHealthy()
			c := newTestDevice(t, itemSchema)
			c.join(a.folder, a.invite())
			settle(a, b, c)
			wantSame(t, []*testDevice{a, b, c})
		})
	}
}

// A record is spoilt under a name that is not listed, as where names fold case, or came between the listing and the write: no copy
// of the database is behind that.
func TestARecordWhoseNameIsTakenIsNoTwin(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	f := new(faults)
	f.give(a)
	a.create(t.TempDir())
	f.between(func(step string, perform func() error) error {
		if verb, name, _ := strings.Cut(step, " "); verb == "link" && len(name) == 2*sha256.Size {
			must(t, os.WriteFile(filepath.Join(a.folder, "roster", name), []byte("junk"), 0o600))
		}
		return perform()
	})
	_, err := a.syncer.Invite(context.Background(), nil)
	var e *Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Path, "roster/") || !strings.Contains(e.Hint, "remove it") {
		t.Fatalf("%+v", e)
	}
	f.between(nil)
	must(t, os.Remove(filepath.Join(a.folder, filepath.FromSlash(e.Path))))
	a.sync()
	a.wantHealthy()
}

func TestForeignFilesAreNeverTouched(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	junk := map[string]string{
		"notes.txt": "mine", ".DS_Store": "x", "devices/readme": "x", "devices/" + a.id().String() + "/desktop.ini": "x",
		"devices/" + b.id().String() + "/.~sqs-0123456789abcdef.tmp":          "half a file of b",
		"devices/" + b.id().String() + "/000000000001-000000000001-0000.seg~": "x",
		"roster/.DS_Store":  "x",
		"invites/Thumbs.db": "x",
		"devices/" + strings.ToUpper(a.id().String()) + "/x":                   "x",
		"devices/" + a.id().String() + " 2/" + segmentName(9):                  "x",
		"sub/devices/" + a.id().String() + "/" + segmentName(1):                "x",
		"devices/" + a.id().String() + "/deep/deeper/" + segmentName(1):        "x",
		"devices/" + b.id().String() + "/tmp":                                  "x",
		"devices/" + b.id().String() + "/head (conflicted copy 2024-01-02)":    "x",
		"roster/" + strings.Repeat("0", 64) + ".sync-conflict-20240102-030405": "x",
	}
	for name, text := range junk {
		path := filepath.Join(a.folder, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	a.sync()
	b.syncer.tidied = true // a temporary file of its own it may remove
	b.sync()
	a.sync()
	wantSame(t, []*testDevice{a, b})
	for name, text := range junk {
		data, err := os.ReadFile(filepath.Join(a.folder, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) || string(data) != text {
			t.Errorf("%s was touched", name)
		}
	}
}

// A sync service keeps the content of a file elsewhere, and whoever reads it waits, for ever without a network. Nobody else's
// files are kept from being read, nor one's own edits from being published, and the file is read when its content has come.
func TestAPlaceholderThatDoesNotComeHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	var stalled atomic.Bool
	g.b.environment.Step = func(step string, perform func() error) error {
		if step == "open "+segmentName(g.batch) && stalled.CompareAndSwap(false, true) { // the first is a's, later c has one of that name
			<-released
		}
		return perform()
	}
	g.b.reopen()
	g.b.syncer.slow.Patience = 200 * time.Millisecond
	for range 3 {
		g.b.exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint("b", g.written))
		g.check(folder.ErrSlow)
		wantText(t, errors.New(g.b.problem().Hint), "available offline")
		if n := len(g.b.segments()); n != g.written {
			t.Errorf("%d segments were published, want %d", n, g.written)
		}
	}
	release()
	for deadline := time.Now().Add(10 * time.Second); g.b.trySync() != nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	g.b.syncer.slow.Patience = 0
	g.heal()
}

// Up to macOS 13 iCloud Drive puts a file of another name where it keeps the content of one elsewhere. That one is not missing:
// who needs it says what to do, and its author does not make it again.
func TestWhatICloudDriveKeepsElsewhereIsNotMissing(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	clock := newTestClock(g.a, g.b, g.c)
	for _, d := range []*testDevice{g.a, g.b, g.c} {
		d.reopen()
	}
	g.a.sync() // it has found what it has published
	standIn := filepath.Join(filepath.Dir(g.path), "."+filepath.Base(g.path)+".icloud")
	must(t, os.Remove(g.path))
	must(t, os.WriteFile(standIn, []byte("bplist00"), 0o600))
	for range 3 {
		clock.pass(2 * vanishedTime)
		g.check(folder.ErrSlow)
		wantText(t, errors.New(g.b.problem().Hint), "in the Finder")
		g.a.sync()
		g.a.wantHealthy()
	}
	if _, err := os.Stat(g.path); err == nil {
		t.Error("the file was made again")
	}
	must(t, os.Remove(standIn))
	g.heal()
}

// Where something else stands than the directory of a member, nothing is read of the member, and that is said.
func TestADirectoryThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	for kind, put := range map[string]func(path, moved string) error{
		"a file":           func(path, _ string) error { return os.WriteFile(path, []byte("no directory"), 0o600) },
		"a link":           func(path, moved string) error { return os.Symlink(moved, path) },
		"a link to nobody": func(path, moved string) error { return os.Symlink(moved+"x", path) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			b.exec("INSERT INTO item VALUES ('1', 'of b', 1)")
			b.sync()
			path, moved := b.directory(), filepath.Join(t.TempDir(), "moved")
			must(t, os.Rename(path, moved))
			must(t, put(path, moved))
			must(t, os.WriteFile(filepath.Join(a.folder, "devices", strings.Repeat("0", 32)), nil, 0o600)) // a stranger's is junk
			a.tolerates = folder.ErrNotRegular
			a.sync()
			if problem := a.problem(); problem.Device != b.id() || !errors.Is(problem, folder.ErrNotRegular) || !strings.Contains(problem.Hint, "other than") {
				t.Errorf("problem %v of device %s, hint %q", problem, problem.Device.Short(), problem.Hint)
			}
			must(t, os.Remove(path))
			a.sync()
			a.wantHealthy() // absence says nothing
			must(t, os.Rename(moved, path))
			a.sync()
			a.wantHealthy()
			a.wantValue("1", "SELECT count(*) FROM item")
		})
	}
}

// Only a file that is damaged is called so, and is to be removed: of one that can't be read just now, the device has no other copy in
// the folder.
func TestAFileThatCannotBeReadJustNowIsNotCalledDamaged(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	a.sync()
	var failing error
	a.environment.Step = func(step string, perform func() error) error {
		if strings.HasSuffix(step, ".seg") && strings.HasPrefix(step, "open ") && failing != nil {
			return failing
		}
		return perform()
	}
	a.reopen()
	for _, failing = range []error{syscall.EACCES, syscall.EIO, syscall.EBUSY} {
		_ = a.trySync()
		wantText(t, a.problem(), failing.Error())
		if hint := a.problem().Hint; strings.Contains(hint, "damaged") || strings.Contains(hint, "Remove") {
			t.Errorf("%v: %s", failing, hint)
		}
	}
	failing = nil
	a.sync()
	b.environment.Step = func(step string, perform func() error) error {
		if name, opens := strings.CutPrefix(step, "open "); opens && failing != nil && (name == "head" || strings.HasSuffix(name, ".seg")) {
			return failing
		}
		return perform()
	}
	b.reopen()
	for cause, says := range map[error]string{syscall.EACCES: "not permitted", syscall.EBUSY: "busy", syscall.ENOTCONN: "is not there"} {
		failing = cause
		_ = b.trySync()
		for _, problem := range b.syncer.Status().Problems {
			if hint := problem.(*Error).Hint; !strings.Contains(hint, says) {
				t.Errorf("%v: %s", problem, hint)
			}
		}
		wantText(t, b.problem(), cause.Error())
	}
	failing = nil
	settle(a, b)
	a.wantHealthy()
	wantSame(t, []*testDevice{a, b})
}
