package sqlitesync

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// TestWhatARevokedDeviceHasShownToOneComesToAll: b reads of c what nobody else is shown, and is told of the revocation then.
func TestWhatARevokedDeviceHasShownToOneComesToAll(t *testing.T) {
	t.Parallel()
	stamped := func(id string, device changelog.DeviceID, batch uint64) changelog.Change {
		change := forgedRow(id)
		change.Stamp = changelog.Stamp{Time: 1 << 41, Device: device, Batch: batch}
		return change
	}
	type shown func(w *shownToOne)
	rangeWith := func(change func(w *shownToOne) changelog.Change) shown {
		return func(w *shownToOne) {
			name, data := w.c.falseSegment(1, 3, 1, change(w))
			w.show(name, data)
		}
	}
	for name, show := range map[string]shown{
		"its own row":             rangeWith(func(w *shownToOne) changelog.Change { return forgedRow("x") }),
		"a row of the reader":     rangeWith(func(w *shownToOne) changelog.Change { return stamped("x", changelog.DeviceID(w.b.id()), 1) }),
		"a row the reader writes": rangeWith(func(w *shownToOne) changelog.Change { return stamped("x", changelog.DeviceID(w.b.id()), 1<<20) }),
		"a row of nobody known":   rangeWith(func(w *shownToOne) changelog.Change { return stamped("x", changelog.DeviceID{9, 9}, 7) }),
		"a row another one will write": rangeWith(func(w *shownToOne) changelog.Change {
			return stamped("x", changelog.DeviceID(w.a.id()), 1<<20)
		}),
		"a delete of nobody known": rangeWith(func(w *shownToOne) changelog.Change {
			change := forgedDelete("1")
			change.Stamp = changelog.Stamp{Time: 1 << 42, Device: changelog.DeviceID{9, 9}, Batch: 7}
			return change
		}),
		"as much as a log can have": func(w *shownToOne) {
			name, data := w.c.falseSegment(1, crypto.MaxBatch, 1, forgedRow("x"))
			w.show(name, data)
			w.later = true // what c has said beside it is waited for
		},
		"a range that goes on in a batch": func(w *shownToOne) {
			name, data := w.c.falseSegmentOf(1, 2, 1, segment.Batch{Number: 2, Continued: true}, forgedRow("x"))
			w.put(name, data)
			deliver(t, w.c.folder, w.b.folder, "devices/"+w.c.id().String()+"/"+segmentName(3))
			_ = w.b.trySync()
		},
		"a batch that is written anew": func(w *shownToOne) {
			w.show(w.c.falseSegment(2, 2, 0, forgedRow("x")))
		},
		"a batch inside of a range": func(w *shownToOne) {
			deliver(t, w.c.folder, w.b.folder, "devices/"+w.c.id().String()+"/"+segmentName(1))
			w.show(w.c.falseSegment(2, 2, 0, forgedRow("x")))
			w.c.compactNext()
			quietDown(w.clock, w.c)
			directory := filepath.Join(w.a.folder, "devices", w.c.id().String())
			must(t, os.RemoveAll(directory))
			must(t, os.CopyFS(directory, os.DirFS(w.c.directory())))
			must(t, os.RemoveAll(filepath.Join(w.b.folder, "devices", w.c.id().String())))
		},
		"a range beyond the cut": func(w *shownToOne) {
			deliver(t, w.c.folder, w.b.folder, "devices/"+w.c.id().String()+"/*")
			for range 2 {
				w.c.exec("INSERT INTO item VALUES (hex(randomblob(8)), 'late', 1)")
				w.c.sync()
			}
			w.show(w.c.falseSegment(4, 5, 1, forgedRow("x")))
			w.after = func() { deliver(t, w.c.folder, w.a.folder, everySeg) } // what the range says it was
		},
		"batches beyond the cut of which a range says something else": func(w *shownToOne) {
			for range 2 {
				w.c.exec("INSERT INTO item VALUES (hex(randomblob(8)), 'late', 1)")
				w.c.sync()
			}
			deliver(t, w.c.folder, w.b.folder, "devices/"+w.c.id().String()+"/*")
			_ = w.b.trySync()
			name, data := w.c.falseSegment(4, 5, 1, forgedRow("x"))
			w.after = func() {
				path := filepath.Join("devices", w.c.id().String())
				must(t, os.RemoveAll(filepath.Join(w.b.folder, path)))
				must(t, os.WriteFile(filepath.Join(w.a.folder, path, name), data, 0o600))
			}
			w.later = true // b relays them as lost ones
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newShownToOne(t)
			show(w)
			w.wantSameInTheEnd()
		})
	}
}

// shownToOne is a space of which c has been stolen, and shows something to b only.
type shownToOne struct {
	t          *testing.T
	a, b, c, d *testDevice
	clock      *testClock
	after      func() // what happens when c was revoked
	later      bool   // they are the same only after files that are lost have been given up
}

func newShownToOne(t *testing.T) *shownToOne {
	t.Helper()
	devices := newSpace(t, itemSchema, 4)
	w := &shownToOne{t: t, a: devices[0], b: devices[1], c: devices[2], d: devices[3]}
	must(t, w.a.syncer.SetRole(t.Context(), w.b.id(), RoleWriter))
	for _, device := range []*testDevice{w.a, w.b} {
		device.exec("INSERT INTO item VALUES (?, 'honest', 1)", device.id().String())
	}
	settle(devices...)
	w.clock = newTestClock(devices...)
	for _, device := range devices {
		device.environment.Steady = w.clock.read
	}
	for _, device := range []*testDevice{w.b, w.c} {
		device.own()
	}
	for _, device := range devices {
		device.differs, device.crowded = true, true
	}
	for _, id := range []string{"1", "2", "3"} {
		w.c.exec("INSERT INTO item VALUES (?, 'of c', 1)", id)
		w.c.sync()
	}
	deliver(t, w.c.folder, w.a.folder, everySeg, everyHead)
	settle(w.a, w.d)
	return w
}

// show lets b read a file of c.
func (w *shownToOne) show(name string, data []byte) {
	w.t.Helper()
	w.put(name, data)
	_ = w.b.trySync()
}

func (w *shownToOne) put(name string, data []byte) {
	w.t.Helper()
	path := filepath.Join(w.b.folder, "devices", w.c.id().String(), name)
	must(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(w.t, os.WriteFile(path, data, 0o600))
}

// wantSameInTheEnd revokes c, lets all have all files, and wants that they show the same, and come to rest.
func (w *shownToOne) wantSameInTheEnd() {
	w.t.Helper()
	w.a.revoke(w.c)
	if w.after != nil {
		w.after()
	}
	w.exchange()
	left := []*testDevice{w.a, w.b, w.d}
	if !w.later {
		wantSame(w.t, left)
	}
	w.clock.pass(lostTime + 4*relayTurn)
	w.exchange()
	wantSame(w.t, left)
	segments := len(w.a.segments()) + len(w.b.segments()) + len(w.d.segments())
	w.clock.pass(lostTime + 4*relayTurn)
	w.exchange()
	if now := len(w.a.segments()) + len(w.b.segments()) + len(w.d.segments()); now != segments {
		w.t.Errorf("%d segments, %d before: it does not come to rest", now, segments)
	}
	for _, device := range left {
		device.differs = false
	}
	w.exchange()
}

func (w *shownToOne) exchange() {
	w.t.Helper()
	for range 4 {
		deliver(w.t, w.a.folder, w.b.folder, everyRecord, "devices/"+w.a.id().String()+"/*", "devices/"+w.d.id().String()+"/*", "devices/"+w.c.id().String()+"/*")
		deliver(w.t, w.b.folder, w.a.folder, "devices/"+w.b.id().String()+"/*")
		for _, device := range []*testDevice{w.b, w.a, w.d} {
			_ = device.trySync()
		}
	}
}

// What was read of a device that may write again, and has written it since, misleads nobody: no logs are read again for it.
func TestWhatIsTakenForMisleading(t *testing.T) {
	t.Parallel()
	listed := crypto.FileHash{1}
	revoked := crypto.Log{Cut: true, Last: 4, Files: []crypto.FileHash{listed}}
	raised := crypto.Log{Cut: true, Last: 4, Files: []crypto.FileHash{listed}, Writes: true, From: 6}
	file := func(first, last uint64) []string {
		return []string{folder.SegmentName{First: first, Last: last, Generation: 1}.String()}
	}
	for name, test := range map[string]struct {
		log   crypto.Log
		file  []string
		value string
		want  bool
	}{
		"revoked: a listed range":       {revoked, file(1, 4), hex.EncodeToString(listed[:]), true},
		"revoked: another one":          {revoked, file(1, 4), strings.Repeat("02", 32), false},
		"revoked: one above the cut":    {revoked, file(5, 6), strings.Repeat("02", 32), false},
		"revoked: a fork":               {revoked, nil, "9", false},
		"raised: a listed range":        {raised, file(1, 4), hex.EncodeToString(listed[:]), true},
		"raised: another one":           {raised, file(1, 4), strings.Repeat("02", 32), false},
		"raised: one since then":        {raised, file(7, 9), strings.Repeat("02", 32), true},
		"raised: a fork before":         {raised, nil, "6", false},
		"raised: a fork since then":     {raised, nil, "7", true},
		"raised: one of whatever batch": {raised, nil, "", false},
	} {
		if got := accepts(&test.log, test.file, test.value); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What was published because it stood in no log is lost with the file that it stands in: it goes out once more when that is made again,
// or who enters then would never have it.
func TestWhatStoodInNoLogIsLostOnceMore(t *testing.T) {
	t.Parallel()
	w := newShownToOne(t)
	w.show(w.c.falseSegment(1, 3, 1, forgedRow("x")))
	w.wantSameInTheEnd()
	w.b.wantValue("1", "SELECT count(*) FROM item WHERE id = 'x'")
	for _, directory := range []string{w.b.directory(), filepath.Join(w.a.folder, "devices", w.b.id().String())} {
		files, err := filepath.Glob(filepath.Join(directory, "*.seg"))
		must(t, err)
		for _, file := range files {
			must(t, os.Remove(file))
		}
	}
	for range 3 {
		w.exchange()
		w.clock.pass(readAgainInterval)
	}
	w.exchange()
	e := newTestDevice(t, itemSchema)
	w.clock.give(e)
	e.join(w.a.folder, w.a.invite())
	e.sync()
	e.waitedLongEnough()
	e.sync()
	wantSame(t, []*testDevice{w.a, w.b, w.d, e})
}

// A device has entered by a record that turns out not to count, and others have merged what it wrote by then: nobody else will ever read
// its log. So they tell all of it in theirs.
func TestWhatWasMergedOfADeviceWhoseAdmissionDoesNotCount(t *testing.T) {
	t.Parallel()
	const toAll = "devices/*/*"
	for _, test := range []struct {
		name   string
		invite func(a, b *testDevice) string // before a and b know what the other one does
		decide func(a, b *testDevice, code string)
	}{
		{"invited by a revoked admin", func(_, b *testDevice) string { return b.invite() }, func(a, b *testDevice, _ string) { a.revoke(b) }},
		{"a code used twice", func(a, b *testDevice) string {
			code := a.invite()
			deliver(a.tb, a.folder, b.folder, everyRecord, "invites/*")
			return code
		}, func(a, _ *testDevice, code string) {
			other := newTestDevice(a.tb, itemSchema)
			other.join(a.folder, code)
			a.sync()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			must(t, a.syncer.SetRole(t.Context(), b.id(), RoleAdmin))
			settle(devices...)
			a.own()
			code := test.invite(a, b)
			x := newTestDevice(t, itemSchema)
			x.exec("INSERT INTO item VALUES ('1', 'of x, there before', 1)")
			x.options.Existing = MergeExisting
			x.join(b.folder, code)
			x.exec("INSERT INTO item VALUES ('2', 'of x', 1)")
			x.sync()
			c.sync()
			c.wantValue("2", "SELECT count(*) FROM item")
			test.decide(a, b, code)
			deliver(t, a.folder, b.folder, everyRecord, toAll)
			a.close()
			a.folder = b.folder
			a.open()
			for _, d := range []*testDevice{c, a, c, a} { // baselines go out a pass later
				d.tolerates = errStranger
				d.sync()
			}
			wantSame(t, []*testDevice{a, c})
			a.wantValue("2", "SELECT count(*) FROM item")
			for _, d := range []*testDevice{a, c} {
				wantIs(t, d.syncer.Status().Err, errStranger)
			}
			// It does as it is told.
			hint := a.problem().Hint
			wantText(t, errors.New(hint), "Status().Refused", "once more", "directory")
			if len(a.syncer.Status().Refused) == 0 {
				t.Error("no record is listed that does not count")
			}
			directory := x.directory()
			wantIs(t, x.trySync(), ErrNotMember)
			must(t, x.syncer.Close())
			x.syncer = nil
			must(t, Uninstall(t.Context(), x.db))
			must(t, os.RemoveAll(directory))
			x.join(a.folder, a.invite())
			settle(a, c, x)
			wantSame(t, []*testDevice{a, c, x})
			x.wantValue("2", "SELECT count(*) FROM item")
			a.wantHealthy()
			c.wantHealthy()
			wantQuiet(t, a, c, x)
		})
	}
}
