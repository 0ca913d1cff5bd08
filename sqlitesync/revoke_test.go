package sqlitesync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
)

func (d *testDevice) revoke(other *testDevice) {
	d.tb.Helper()
	must(d.tb, d.alone(func() error { return d.syncer.Revoke(context.Background(), other.id()) }))
}

// own returns a folder of the device's own, in which everything of the common one
// stands: what it writes there reaches the others when it is delivered.
func (d *testDevice) own() {
	d.tb.Helper()
	own := d.tb.TempDir()
	must(d.tb, os.CopyFS(own, os.DirFS(d.folder)))
	d.close()
	d.folder = own
	d.open()
}

// deliver copies files from one folder into another, by patterns below them. What
// stands there is replaced.
func deliver(tb testing.TB, from, to string, patterns ...string) {
	tb.Helper()
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(from, pattern))
		must(tb, err)
		for _, path := range paths {
			name, err := filepath.Rel(from, path)
			must(tb, err)
			data, err := os.ReadFile(path)
			must(tb, err)
			must(tb, os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700))
			must(tb, os.WriteFile(filepath.Join(to, name), data, 0o600))
		}
	}
}

const (
	everyRecord = "roster/*"
	everySeg    = "devices/*/*.seg"
	everyHead   = "devices/*/head"
)

// refused returns whether the last pass named files of a device as not to be used.
func (d *testDevice) refused(other *testDevice) bool {
	for _, err := range d.syncer.Status().Problems {
		if strings.Contains(err.Error(), errCut.Error()) && strings.Contains(err.Error(), other.id().String()) {
			return true
		}
	}
	return false
}

// TestARevokedDeviceIsNotReadAndReadsNothing is the plain course of a revocation.
func TestARevokedDeviceIsNotReadAndReadsNothing(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	c.exec("INSERT INTO item VALUES ('c', 'before', 1)")
	settle(devices...)
	c.own() // from here on c does not see the others
	before := a.syncer.roster.CurrentEpoch()
	a.revoke(c)
	if current := a.syncer.roster.CurrentEpoch(); current == before || a.syncer.keys.newest().ID() != current {
		t.Fatal("no new epoch, or the revoking device has not saved it")
	}
	a.exec("INSERT INTO item VALUES ('a', 'after', 1)")
	c.exec("UPDATE item SET name = 'of the revoked' WHERE id = 'c'")
	c.sync() // it does not know yet
	deliver(t, c.folder, a.folder, "devices/"+c.id().String()+"/*")
	for range 2 {
		for _, d := range []*testDevice{a, b} {
			_ = d.trySync()
		}
	}
	wantSame(t, []*testDevice{a, b})
	b.wantValue("before", "SELECT name FROM item WHERE id = 'c'")
	b.wantValue("after", "SELECT name FROM item WHERE id = 'a'")
	for _, d := range []*testDevice{a, b} {
		if !d.refused(c) {
			t.Errorf("what the revoked device wrote is not named: %v", d.syncer.Status().Problems)
		}
	}
	// All that a and b wrote since is closed to c.
	for _, d := range []*testDevice{a, b} {
		segments := d.segments()
		if d == b {
			b.exec("INSERT INTO item VALUES ('b', 'after', 1)")
			_ = b.trySync()
			segments = b.segments()
		}
		file, err := os.ReadFile(segments[len(segments)-1])
		must(t, err)
		sealed, err := crypto.ParseSegment(file)
		must(t, err)
		if id := sealed.Header().Epoch; id == before || c.syncer.keys.entry().Epoch(id) != nil {
			t.Error("a segment was sealed for an epoch that the revoked device has")
		}
	}
	deliver(t, a.folder, c.folder, everyRecord, everySeg)
	err := c.trySync()
	wantIs(t, err, ErrNotMember)
	wantText(t, err, "revoked")
	c.wantValue("no row", "SELECT name FROM item WHERE id = 'a'")
	c.wantValue("of the revoked", "SELECT name FROM item WHERE id = 'c'") // it keeps what it has
	wantIs(t, b.syncer.Revoke(context.Background(), DeviceID{1}), ErrNotAllowed)
}

// TestSchedule3AStolenAdminSignsNothingAfterItsRevocation: there is no key that all
// admins share. The thief admits a device with back-dated records, and uses an old
// invite.
func TestSchedule3AStolenAdminSignsNothingAfterItsRevocation(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 2)
	laptop, phone := devices[0], devices[1]
	old, err := phone.syncer.Invite(context.Background(), nil)
	must(t, err)
	settle(devices...)
	phone.own()
	laptop.revoke(phone)

	// The thief knows of no revocation: its records are siblings of it.
	code := phone.invite()
	thief := newTestDevice(t, itemSchema)
	thief.join(phone.folder, code)
	thief.exec("INSERT INTO item VALUES ('x', 'of the thief', 1)")
	thief.sync()
	deliver(t, phone.folder, laptop.folder, everyRecord, everySeg, everyHead)
	_ = laptop.trySync()
	laptop.wantValue("0", "SELECT count(*) FROM item")
	if _, member := laptop.syncer.roster.Member(thief.id()); member || len(laptop.syncer.roster.Members()) != 1 {
		t.Error("the thief has let somebody in")
	}
	if _, wrapped := laptop.syncer.roster.FindEpoch(thief.syncer.keys.entry().Device, laptop.syncer.roster.CurrentEpoch()); wrapped == nil {
		t.Error("the thief's device was given the current epoch")
	}
	// Nor does an invite that it had left open work.
	late := newTestDevice(t, itemSchema)
	_, err = Join(context.Background(), late.db, laptop.folder, old.Code, &late.options)
	wantIs(t, err, ErrCode)
}

// TestSchedule4NobodyUnmergesAndNobodyRewrites: a has read c up to 1 and revokes it
// there, b has merged 2 and 3 before it knows. And c, which still has the folder,
// writes its log anew below the cut.
func TestSchedule4NobodyUnmergesAndNobodyRewrites(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"record first", "segments first"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema, 4)
			a, b, c, d := devices[0], devices[1], devices[2], devices[3]
			c.exec("INSERT INTO item VALUES ('1', 'of c', 1)")
			settle(devices...)
			for _, apart := range []*testDevice{a, b, d} {
				apart.own()
			}
			for i := 2; i < 4; i++ {
				c.exec("INSERT INTO item VALUES (?, 'of c', 1)", fmt.Sprint(i))
				c.sync()
			}
			deliver(t, c.folder, b.folder, everySeg, everyHead)
			b.sync()
			b.wantValue("3", "SELECT count(*) FROM item")
			a.revoke(c)
			// After b has read them, c goes on, and makes another file of its batch 1.
			c.exec("INSERT INTO item VALUES ('4', 'late', 1)")
			c.sync()
			forge(t, c)
			mine := "devices/" + c.id().String() + "/*"
			deliver(t, c.folder, d.folder, mine)
			if order == "record first" {
				deliver(t, a.folder, d.folder, everyRecord)
				_ = d.trySync()
				d.wantValue("1", "SELECT count(*) FROM item") // nothing vouches for more yet
				deliver(t, b.folder, d.folder, "devices/"+b.id().String()+"/*")
			} else {
				deliver(t, b.folder, d.folder, "devices/"+b.id().String()+"/*")
				deliver(t, a.folder, d.folder, everyRecord)
				_ = d.trySync()
			}
			deliver(t, a.folder, b.folder, everyRecord)
			deliver(t, c.folder, b.folder, mine)
			_ = b.trySync()
			deliver(t, b.folder, a.folder, "devices/"+b.id().String()+"/*", everyRecord)
			deliver(t, b.folder, d.folder, "devices/"+b.id().String()+"/*", everyRecord)
			deliver(t, c.folder, a.folder, mine)
			for _, reader := range []*testDevice{a, b, d} {
				_ = reader.trySync()
				reader.wantValue("3", "SELECT count(*) FROM item WHERE name = 'of c'")
				reader.wantValue("0", "SELECT count(*) FROM item WHERE name <> 'of c'")
				if !reader.refused(c) {
					t.Errorf("what c wrote after its cut is not named: %v", reader.syncer.Status().Problems)
				}
			}
			wantSame(t, []*testDevice{a, b, d})

			// A newcomer, who reads everything from the start, comes to the same.
			deliver(t, b.folder, a.folder, everyRecord)
			deliver(t, c.folder, a.folder, mine)
			n := newTestDevice(t, itemSchema)
			n.join(a.folder, a.invite())
			wantSame(t, []*testDevice{a, n})
		})
	}
}

// forge replaces a batch that the device has published by a compaction of it, with
// another row, that it has signed and sealed as it should be.
func forge(t *testing.T, d *testDevice) {
	t.Helper()
	path := d.segments()[0]
	file, err := os.ReadFile(path)
	must(t, err)
	header, _, err := d.syncer.openOwn(file)
	must(t, err)
	original, err := crypto.ParseSegment(file)
	must(t, err)
	last, err := os.ReadFile(d.lastSegment())
	must(t, err)
	_, packed, err := d.syncer.openOwn(last) // of another batch: good enough to be refused
	must(t, err)
	header.Generation, header.Tail = 1, original.Tail()
	sealed, _, err := crypto.SealSegment(header, packed, d.syncer.keys.newest(), d.syncer.keys.entry().Device)
	must(t, err)
	must(t, os.WriteFile(strings.TrimSuffix(path, "-0000.seg")+"-0001.seg", sealed, 0o600))
}

// TestSchedule26EpochsOfBranchesMeet: a revokes c while b revokes d; and a device
// joins while one is revoked. All who are left end up with one epoch that only
// they have.
func TestSchedule26EpochsOfBranchesMeet(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	a, b, c, d := devices[0], devices[1], devices[2], devices[3]
	code := a.invite()
	settle(devices...)
	b.own()
	// a revokes c and a newcomer enters, b revokes d, all without seeing each other.
	n := newTestDevice(t, itemSchema)
	apart := t.TempDir()
	must(t, os.CopyFS(apart, os.DirFS(a.folder)))
	n.join(apart, code)
	a.revoke(c)
	b.revoke(d)
	b.exec("INSERT INTO item VALUES ('b', 'for the epoch of b', 1)")
	b.sync()
	deliver(t, b.folder, a.folder, everyRecord, everySeg)
	deliver(t, apart, a.folder, everyRecord, "devices/"+n.id().String()+"/*")
	for _, device := range []*testDevice{b, n} {
		device.close()
		device.folder = a.folder
		device.open()
	}
	n.exec("INSERT INTO item VALUES ('n', 'before it has the epoch', 1)")
	err := n.trySync()
	wantIs(t, err, errNoEpoch) // nobody has handed it out
	if len(n.segments()) != 0 {
		t.Error("published for an epoch that the revoked have")
	}
	rest := []*testDevice{a, b, n}
	settle(rest...)
	settle(rest...)
	wantSame(t, rest)
	a.wantValue("2", "SELECT count(*) FROM item")
	current := a.syncer.roster.CurrentEpoch()
	for _, device := range rest {
		device.wantHealthy()
		if device.syncer.roster.CurrentEpoch() != current || device.syncer.keys.newest().ID() != current {
			t.Error("a member does not write for the current epoch")
		}
		if got := len(device.syncer.roster.Members()); got != 3 {
			t.Errorf("%d members, want 3", got)
		}
	}
	for _, revoked := range []*testDevice{c, d} {
		if _, err := a.syncer.roster.FindEpoch(revoked.syncer.keys.entry().Device, current); err == nil {
			t.Error("a revoked device has the current epoch")
		}
	}
	wantQuiet(t, rest...)
}

// TestNothingIsSealedForEpochsOfTheRevoked: two admins revoke at once, so each of the revoked has one of the epochs. A
// writer that has both records waits until an admin has joined them.
func TestNothingIsSealedForEpochsOfTheRevoked(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	a, b, c, d := devices[0], devices[1], devices[2], devices[3]
	w := newTestDevice(t, itemSchema)
	invite, err := a.syncer.Invite(context.Background(), &InviteOptions{Role: RoleWriter})
	must(t, err)
	w.join(a.folder, invite.Code)
	settle(a, b, c, d, w)
	b.own()
	a.revoke(c)
	b.revoke(d)
	deliver(t, b.folder, a.folder, everyRecord)
	w.exec("INSERT INTO item VALUES ('w', 'not for the revoked', 1)")
	wantIs(t, w.trySync(), errExposed)
	if p := w.problem(); !strings.Contains(p.Hint, "admin") {
		t.Errorf("hint %q", p.Hint)
	}
	sealed := len(w.segments())
	b.close()
	b.folder = a.folder
	b.open()
	settle(a, b, w)
	settle(a, b, w)
	wantSame(t, []*testDevice{a, b, w})
	a.wantValue("not for the revoked", "SELECT name FROM item WHERE id = 'w'")
	if sealed != 0 || len(w.segments()) != 1 {
		t.Errorf("%d segments were published while the revoked could read them, then %d", sealed, len(w.segments()))
	}
	file, err := os.ReadFile(w.lastSegment())
	must(t, err)
	header, _, err := w.syncer.openOwn(file)
	must(t, err)
	for _, revoked := range []*testDevice{c, d} {
		if _, err := a.syncer.roster.FindEpoch(revoked.syncer.keys.entry().Device, header.Epoch); err == nil {
			t.Error("a revoked device can read what was written by who knew of its revocation")
		}
	}
}

// TestAStolenAdminStopsNobody: a record of a kind that this version does not know stops everybody, since it may be a
// revocation. A more senior admin can revoke the device that wrote it, and then it stops nobody, nor does a later one.
func TestAStolenAdminStopsNobody(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	rogue := func() {
		name, file := b.recordOf(9, b.syncer.identity.space, []byte(fmt.Sprint("of a later version ", time.Now())))
		must(t, os.WriteFile(filepath.Join(a.folder, "roster", name), file, 0o600))
	}
	rogue()
	for _, d := range []*testDevice{a, c} {
		wantIs(t, d.trySync(), ErrFormat)
		if p := d.problem(); p.Device != b.id() {
			t.Errorf("the error names device %s, not the one that wrote the record", p.Device.Short())
		}
		wantIs(t, d.syncer.SetRole(context.Background(), b.id(), RoleWriter), ErrFormat)
	}
	wantIs(t, c.syncer.Revoke(context.Background(), b.id()), ErrFormat) // it may be about c
	wantIs(t, a.syncer.Revoke(context.Background(), c.id()), ErrFormat)
	must(t, a.syncer.Close())
	a.open()
	a.revoke(b)
	rogue()
	a.exec("INSERT INTO item VALUES ('a', 'goes on', 1)")
	settle(a, c)
	a.wantHealthy()
	c.wantHealthy()
	wantSame(t, []*testDevice{a, c})
	for _, d := range []*testDevice{a, c} {
		d.reopen()
		d.sync()
	}
	if len(a.syncer.Status().Refused) != 2 {
		t.Errorf("the records of the revoked are not named: %v", a.syncer.Status().Refused)
	}
}

// TestTwoAdminsRevokeEachOther: the one that has been admin for longer stays.
func TestTwoAdminsRevokeEachOther(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	c.own()
	b.revoke(c)
	c.revoke(b)
	deliver(t, c.folder, b.folder, everyRecord)
	settle(a, b)
	a.wantHealthy()
	b.wantHealthy()
	deliver(t, b.folder, c.folder, everyRecord)
	wantIs(t, c.trySync(), ErrNotMember)
	if members := a.syncer.roster.Members(); len(members) != 2 || members[1].ID != b.id() {
		t.Errorf("members %v", members)
	}
}

// TestAWriterThatSealedForTheLoserOfTwo: two admins revoke each other, and a writer met the loser's record first. What it
// has sealed for the loser's epoch the winner can't read, until somebody who has the key may hand it out.
func TestAWriterThatSealedForTheLoserOfTwo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	w := newTestDevice(t, itemSchema)
	invite, err := a.syncer.Invite(ctx, &InviteOptions{Role: RoleWriter})
	must(t, err)
	w.join(a.folder, invite.Code)
	settle(a, b, w)
	for _, d := range []*testDevice{b, w} {
		d.own()
	}
	a.revoke(b)
	b.revoke(a)
	b.exec("INSERT INTO item VALUES ('b', 'of the loser', 1)")
	b.sync()
	deliver(t, b.folder, w.folder, everyRecord, everySeg, everyHead)
	w.exec("INSERT INTO item VALUES ('w', 'for its epoch', 1)")
	w.sync()
	w.wantValue("2", "SELECT count(*) FROM item") // it has merged what b wrote
	deliver(t, w.folder, a.folder, everyRecord, everySeg, everyHead)
	w.close()
	w.folder = a.folder
	w.open()
	for range 2 {
		_ = a.trySync()
		w.sync()
	}
	wantIs(t, a.trySync(), crypto.ErrWrongKey)
	for _, problem := range a.syncer.Status().Problems {
		if e := (*Error)(nil); !errors.As(problem, &e) || !strings.Contains(e.Hint, "admin") {
			t.Errorf("problem %v, hint %q", problem, e.Hint)
		}
	}
	must(t, a.syncer.SetRole(ctx, w.id(), RoleAdmin))
	w.sync()
	w.syncer.owed = time.Now().Add(-time.Hour) // a more senior admin does not do it
	settle(w, a)
	a.wantHealthy()
	a.wantValue("2", "SELECT count(*) FROM item")
	wantSame(t, []*testDevice{a, w})
}

// TestARevocationWhileALogIsWrittenAnew: the log of the device stands in the folder twice, in batches and in the range that
// takes their place. Who has not got the range, or has read half of it, comes to the same as all others.
func TestARevocationWhileALogIsWrittenAnew(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	a, b, c, d := devices[0], devices[1], devices[2], devices[3]
	newTestClock(devices...)
	settle(devices...)
	c.writeBatches(20, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'of c', %d)", i, i) })
	settle(devices...)
	d.own() // it has read 20 of the batches, and sees nothing of what follows
	c.writeBatches(60, func(i int) string {
		return fmt.Sprintf("INSERT OR REPLACE INTO item VALUES ('%d', 'again', %d)", i%30, i)
	})
	for range 3 {
		settle(a, c)
	}
	batches, ranges := 0, 0
	for _, path := range c.segments() {
		if strings.HasSuffix(path, "-0000.seg") {
			batches++
		} else {
			ranges++
		}
	}
	if batches < 60 || ranges == 0 {
		t.Fatalf("%d batches and %d ranges stand in the folder", batches, ranges)
	}
	// The batches are on their way to d and to a newcomer, of the ranges nothing.
	a.revoke(c)
	mine := "devices/" + c.id().String() + "/*-0000.seg"
	deliver(t, a.folder, d.folder, mine, everyRecord)
	_ = d.trySync()
	wantSame(t, []*testDevice{a, d})
	deliver(t, a.folder, d.folder, everySeg, everyHead)
	for _, device := range []*testDevice{a, b, d} {
		device.sync()
		device.wantHealthy()
	}
	wantSame(t, []*testDevice{a, b, d})
}

// TestUnpublishedBatchesAreSealedAnew: what was sealed before the revocation was
// known and did not get out is not for the revoked to read.
func TestUnpublishedBatchesAreSealedAnew(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, a.invite())
	settle(a, b, c)
	before := a.syncer.roster.CurrentEpoch()
	for i := range 3 {
		b.exec("INSERT INTO item VALUES (?, 'pending', 1)", fmt.Sprint(i))
		must(t, b.syncer.prepare(context.Background())) // folded and sealed, not published
	}
	a.revoke(c)
	b.exec("INSERT INTO item VALUES ('3', 'pending', 1)")
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	a.wantValue("4", "SELECT count(*) FROM item")
	if n := len(b.segments()); n < 4 {
		t.Fatalf("%d segments", n)
	}
	for _, path := range b.segments() {
		file, err := os.ReadFile(path)
		must(t, err)
		header, _, err := b.syncer.openOwn(file)
		must(t, err)
		if header.Epoch == before {
			t.Errorf("%s is for the old epoch", filepath.Base(path))
		}
	}
	b.reopen()
	b.exec("DELETE FROM item WHERE id = '0'") // the chain goes on
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	a.wantHealthy()
}

// TestAnEpochThatCouldNotBeSavedIsSavedLater: a disk that is full for a moment, or a keychain that is locked, must not keep
// a device from writing for longer.
func TestAnEpochThatCouldNotBeSavedIsSavedLater(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	working := map[*testDevice]KeyStore{}
	for _, d := range []*testDevice{a, b} {
		working[d] = d.syncer.keys.store
		d.syncer.keys.store = failingKeys{working[d]}
	}
	if err := a.syncer.Revoke(ctx, c.id()); err == nil {
		t.Fatal("nothing was saved")
	}
	a.syncer.keys.store = working[a]
	a.sync()
	if err := b.trySync(); err == nil {
		t.Fatal("nothing was saved")
	}
	b.syncer.keys.store = working[b]
	for _, d := range []*testDevice{a, b} {
		d.exec("INSERT INTO item VALUES (?, 'after', 1)", d.id().String())
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	for _, d := range []*testDevice{a, b} {
		d.wantHealthy()
		d.wantValue("2", "SELECT count(*) FROM item")
	}
}

// A key that stands in no file is lost with the database that made it: what was sealed with it nobody could ever read.
func TestNothingGoesOutUnderAKeyThatIsNotInTheFolder(t *testing.T) {
	t.Parallel()
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	f := new(faults)
	f.give(a)
	a.create(t.TempDir())
	a.sync()
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	refused := 0
	f.between(func(step string, perform func() error) error {
		if _, name, _ := strings.Cut(step, " "); len(name) == 2*sha256.Size {
			refused++
			return fmt.Errorf("%s: %w", step, syscall.EACCES)
		}
		return perform()
	})
	if err := a.trySync(); !errors.Is(err, ErrFolder) || refused == 0 {
		t.Fatalf("%v, after %d steps that failed: want one that begins an epoch for b, and can't tell of it", err, refused)
	}
	b.sync()
	if len(a.segments()) > 0 {
		t.Errorf("%d segments stand in the folder", len(a.segments()))
	}
	b.exec("INSERT INTO item VALUES ('y', 'of b', 1)")
	b.sync()
	_ = a.trySync()
	a.wantValue("of b", "SELECT name FROM item WHERE id = 'y'") // it reads all the same
	if err := a.syncer.Close(); !errors.Is(err, ErrFolder) || len(a.segments()) > 0 {
		t.Errorf("Close says %v, and %d segments stand in the folder", err, len(a.segments()))
	}
	f.between(nil)
	a.open()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("2", "SELECT count(*) FROM item")
}

// TestAWithdrawnInviteAdmitsNobody, and starts an epoch.
func TestAWithdrawnInviteAdmitsNobody(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	invite, err := a.syncer.Invite(ctx, &InviteOptions{Role: RoleWriter})
	must(t, err)
	settle(b, a)
	open, err := b.syncer.Invites(ctx)
	must(t, err)
	if len(open) != 1 || open[0].ID != invite.ID || open[0].Code != "" || open[0].Role != RoleWriter || !open[0].Expires.Equal(invite.Expires.Truncate(time.Millisecond)) {
		t.Errorf("open invites %v", open)
	}
	before := b.syncer.roster.CurrentEpoch()
	must(t, b.syncer.Withdraw(ctx, invite.ID))
	if b.syncer.roster.CurrentEpoch() == before {
		t.Error("no new epoch")
	}
	c := newTestDevice(t, itemSchema)
	_, err = Join(ctx, c.db, a.folder, invite.Code, &c.options)
	wantIs(t, err, ErrCode)
	if open, err = b.syncer.Invites(ctx); err != nil || len(open) != 0 {
		t.Errorf("open invites %v, error %v", open, err)
	}
	wantIs(t, b.syncer.Withdraw(ctx, InviteID{1}), ErrNotAllowed)
	settle(a, b)
	wantQuiet(t, a, b)
}

// TestAnExpiredInviteIsWithdrawn by the next pass of an admin, and no pass of
// another one repeats it.
func TestAnExpiredInviteIsWithdrawn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	_, err := b.syncer.Invite(ctx, &InviteOptions{Expires: time.Nanosecond})
	must(t, err)
	tick()
	tick()
	b.sync() // its turn has not come: a is more senior
	if open, err := b.syncer.Invites(ctx); err != nil || len(open) != 1 {
		t.Errorf("open invites %v, error %v", open, err)
	}
	settle(a, b)
	if open, err := b.syncer.Invites(ctx); err != nil || len(open) != 0 {
		t.Errorf("open invites %v, error %v", open, err)
	}
	wantQuiet(t, a, b)
}

// TestRolesChange: a writer decides nothing, and an admin's right can be taken.
func TestRolesChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	must(t, a.syncer.SetRole(ctx, b.id(), RoleWriter))
	b.sync()
	_, err := b.syncer.Invite(ctx, nil)
	wantIs(t, err, ErrNotAllowed)
	wantIs(t, b.syncer.Revoke(ctx, a.id()), ErrNotAllowed)
	wantIs(t, b.syncer.SetRole(ctx, b.id(), RoleAdmin), ErrNotAllowed)
	b.exec("INSERT INTO item VALUES ('b', 'of a writer', 1)")
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	must(t, a.syncer.SetRole(ctx, b.id(), RoleAdmin))
	b.sync()
	must(t, b.syncer.Revoke(ctx, a.id()))
	wantIs(t, a.trySync(), ErrNotMember)
}

// TestACutOfMisnamedFiles: a file of the log under the name of a later one does not lead the listing in circles.
func TestACutOfMisnamedFiles(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	for i := range 4 {
		c.exec("INSERT INTO item VALUES (?, 'of c', 1)", fmt.Sprint(i))
		settle(devices...)
	}
	first, err := os.ReadFile(c.segments()[0])
	must(t, err)
	last, err := os.ReadFile(c.lastSegment())
	must(t, err)
	must(t, os.WriteFile(c.lastSegment(), first, 0o600))
	done := make(chan error, 1)
	go func() { done <- a.syncer.Revoke(context.Background(), c.id()) }()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the listing does not end")
	}
	must(t, os.WriteFile(c.lastSegment(), last, 0o600))
	log, _ := a.syncer.roster.Log(c.id())
	if log.Last != 4 || len(log.Files) != 3 {
		t.Errorf("cut at %d with %d files, want 4 and 3", log.Last, len(log.Files))
	}
	_ = b.trySync()
	b.wantValue("4", "SELECT count(*) FROM item")
}

// TestACutOfManyFiles: one record can't list them all, so there are several.
func TestACutOfManyFiles(t *testing.T) {
	long(t)
	t.Parallel()
	a, b := newPair(t, itemSchema)
	ctx := context.Background()
	for i := range maxCutFiles + 3 {
		b.exec("INSERT INTO item VALUES (?, 'x', 1)", fmt.Sprint(i))
		must(t, b.syncer.prepare(ctx))
	}
	settle(b, a)
	position, _, err := a.syncer.db.Position(ctx, changelog.DeviceID(b.id()))
	must(t, err)
	if int(position) != maxCutFiles+3 {
		t.Fatalf("%d batches", position)
	}
	a.revoke(b)
	n := newTestDevice(t, itemSchema)
	n.join(a.folder, a.invite())
	wantSame(t, []*testDevice{a, n})
	n.wantHealthy()
}

// TestWhatARevocationCannotListIsRelayed: a file that is not there, or can't be read, while a device is revoked is accepted by
// nobody afterwards. What this device has merged of it the others get all the same, and at once.
func TestWhatARevocationCannotListIsRelayed(t *testing.T) {
	t.Parallel()
	t.Run("whole", func(t *testing.T) { whatARevocationCannotListIsRelayed(t, false) })
	t.Run("broken off", func(t *testing.T) { whatARevocationCannotListIsRelayed(t, true) })
}

func whatARevocationCannotListIsRelayed(t *testing.T, brokenOff bool) {
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	for _, d := range devices[1:] {
		d.own()
	}
	for _, id := range []string{"1", "2", "3"} {
		c.exec("INSERT INTO item VALUES (?, 'of c', 1)", id)
		c.sync()
	}
	deliver(t, c.folder, a.folder, everySeg, everyHead)
	deliver(t, c.folder, b.folder, "devices/*/"+segmentName(1), "devices/*/"+segmentName(2))
	settle(a, b)
	second := filepath.Join(a.folder, "devices", c.id().String(), segmentName(2))
	must(t, os.Rename(second, second+".away"))
	if !brokenOff {
		a.revoke(c)
	} else { // between the record and what is relayed
		ctx, cancel := context.WithCancel(t.Context())
		a.environment.Step = func(_ string, perform func() error) error {
			if _, member := a.syncer.roster.Member(c.id()); !member {
				cancel()
			}
			return perform()
		}
		wantIs(t, a.syncer.Revoke(ctx, c.id()), context.Canceled)
		a.environment.Step = nil
		a.reopen()
	}
	must(t, os.Rename(second+".away", second))
	a.sync()
	d := newTestDevice(t, itemSchema)
	d.join(a.folder, a.invite())
	_ = d.trySync()
	d.wantValue("1,2,3", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)")
	if !d.refused(c) {
		t.Error("it is not told that a file is not used")
	}
	if n := d.syncer.Status().Behind; n > 0 {
		t.Errorf("behind by %d files that are not used", n)
	}
	deliver(t, a.folder, b.folder, everyRecord, everySeg, everyHead)
	_ = b.trySync()
	wantSame(t, []*testDevice{a, b, d})
}

// Nobody waits for a file of a revoked device that would not be accepted, though a later one has come.
func TestNobodyWaitsForWhatARevokedDeviceHasWritten(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	c.own()
	c.writeBatches(2, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'of c', 1)", i) })
	deliver(t, c.folder, a.folder, "devices/*/"+segmentName(2), everyHead)
	a.sync()
	if n := len(a.syncer.Status().Waiting); n != 1 {
		t.Fatalf("%d waits before the device is revoked, want 1", n)
	}
	a.revoke(c)
	settle(a, b)
	a.wantHealthy()
	b.wantHealthy()
}

// Whether the log of a device that was revoked still stands takes reading all of it. Nobody who closes the app waits for that.
func TestAPassThatLooksThroughTheLogOfARevokedDeviceIsBrokenOff(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	for id := range 5 {
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", id)
		b.sync()
	}
	a.sync()
	a.revoke(b)
	a.reopen()
	ctx, cancel := context.WithCancel(t.Context())
	opened := 0
	a.environment.Step = func(step string, perform func() error) error {
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") {
			if opened++; opened == 2 { // the first time it was looked whether the log has forked
				cancel()
			}
		}
		return perform()
	}
	wantIs(t, a.syncer.Sync(ctx), context.Canceled)
	if opened < 2 || opened > 3 {
		t.Errorf("%d files were opened, want 3 at most", opened)
	}
	opened = 0
	a.sync()
	if opened != 2*5 { // of each the beginning, and all of it
		t.Errorf("the next pass has opened files %d times, want 10 times: it is not known yet whether the log stands", opened)
	}
	step := a.environment.Step
	a.reopen()
	a.environment.Step = step
	opened = 0
	a.sync()
	if opened > 1 { // whether it has forked
		t.Errorf("the next process has opened files %d times, although all is as it was", opened)
	}
	clock.pass(relayTurn)
	a.sync()
	if opened < 2*5 {
		t.Errorf("a day later, files were opened %d times: one can be damaged", opened)
	}
	a.environment.Step = nil
}

// Nor does anybody who gives up revoking a device wait until all its files were read for the record.
func TestARevocationIsGivenUp(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for id := range 5 {
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", id)
		b.sync()
	}
	a.sync()
	ctx, cancel := context.WithCancel(t.Context())
	opened := 0
	a.environment.Step = func(step string, perform func() error) error {
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") {
			opened++
			cancel()
		}
		return perform()
	}
	wantIs(t, a.syncer.Revoke(ctx, b.id()), context.Canceled)
	if opened < 1 || opened > 2 {
		t.Errorf("%d files were opened, want 2 at most", opened)
	}
	a.environment.Step = nil
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
}
