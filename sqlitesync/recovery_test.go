package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func (d *testDevice) recovery() string {
	d.tb.Helper()
	var code string
	must(d.tb, d.alone(func() (err error) {
		code, err = d.syncer.Recovery(context.Background())
		return err
	}))
	return code
}

// TestSchedule27ARecoveryCodeWorksForEver: over all epochs that come after it, with
// all devices lost, until it is replaced.
func TestSchedule27ARecoveryCodeWorksForEver(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	a, b, c, d := devices[0], devices[1], devices[2], devices[3]
	a.exec("INSERT INTO item VALUES ('a', 'of the first epoch', 1)")
	settle(devices...)
	code := b.recovery()
	settle(devices...)
	for i, revoked := range []*testDevice{c, d} { // each starts an epoch
		a.revoke(revoked)
		b.exec("INSERT INTO item VALUES (?, 'of a later epoch', 1)", fmt.Sprint(i))
		settle(a, b)
	}
	before := a.dump()
	// All devices are lost; there is the folder, and the code.
	n := newTestDevice(t, itemSchema)
	n.join(a.folder, strings.ToLower(code))
	if n.dump() != before || n.value("SELECT count(*) FROM item") != "3" {
		t.Errorf("the recovered device has\n%s\nwant\n%s", n.dump(), before)
	}
	n.exec("INSERT INTO item VALUES ('n', 'of the recovered', 1)")
	n.sync()
	n.wantHealthy()
	// It is an admin: it ends what was lost, and goes on.
	n.revoke(a)
	n.revoke(b)
	m := newTestDevice(t, itemSchema)
	m.join(n.folder, n.invite())
	settle(n, m)
	wantSame(t, []*testDevice{n, m})
	m.wantValue("4", "SELECT count(*) FROM item")
	m.wantHealthy()
	// The code still works.
	again := newTestDevice(t, itemSchema)
	again.join(n.folder, code)
	settle(n, m, again)
	wantSame(t, []*testDevice{n, m, again})
	wantQuiet(t, n, m, again)
}

func TestARecoveryCodeThatWasReplaced(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'old', 1)")
	settle(a, b)
	old := a.recovery()
	settle(a, b)
	next := b.recovery()
	if old == next {
		t.Fatal("codes repeat")
	}
	n := newTestDevice(t, itemSchema)
	_, err := Join(ctx, n.db, a.folder, old, &n.options)
	wantIs(t, err, ErrCode)
	wantText(t, err, "replaced")
	n.join(a.folder, next)
	wantSame(t, []*testDevice{a, n})

	// A code of another space, and one with a wrong letter.
	other := newTestDevice(t, itemSchema)
	other.create(t.TempDir())
	m := newTestDevice(t, itemSchema)
	_, err = Join(ctx, m.db, a.folder, other.recovery(), &m.options)
	wantIs(t, err, ErrCode)
	letter := "A"
	if strings.HasPrefix(next, letter) {
		letter = "B"
	}
	_, err = Join(ctx, m.db, a.folder, letter+next[1:], &m.options)
	wantIs(t, err, ErrCode)
	wantText(t, err, "group 1")
	must(t, a.syncer.SetRole(ctx, b.id(), RoleWriter))
	b.sync()
	_, err = b.syncer.Recovery(ctx)
	wantIs(t, err, ErrNotAllowed)
}

// TestARecoveryCodeOpensNoOtherSpace: whoever has the folder founds a space in it that
// seems to have the recovery key, in place of the real one.
func TestARecoveryCodeOpensNoOtherSpace(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	code := a.recovery()
	host := newTestDevice(t, itemSchema)
	host.create(t.TempDir())
	deliver(t, a.folder, host.folder, everyRecord) // all that the host knows of the key
	for _, record := range a.syncer.records {      // and without the record that founds the real space
		if len(record.Parents) == 0 {
			must(t, os.Remove(filepath.Join(host.folder, "roster", record.Hash().String())))
		}
	}
	n := newTestDevice(t, itemSchema)
	_, err := Join(context.Background(), n.db, host.folder, code, &n.options)
	wantIs(t, err, ErrCode)
}

// TestTheRecoveryCodeOfARevokedDevice outlives it, as it is to, and whoever revokes a device whose holder knows the code is told that
// it does.
func TestTheRecoveryCodeOfARevokedDevice(t *testing.T) {
	t.Parallel()
	warned := func(d *testDevice, of DeviceID) bool {
		return slices.ContainsFunc(d.syncer.Status().Warnings, func(warning string) bool {
			return strings.Contains(warning, "recovery code") && strings.Contains(warning, of.Short())
		})
	}
	for _, maker := range []int{0, 1} {
		t.Run(fmt.Sprint("made by device ", maker), func(t *testing.T) {
			t.Parallel()
			devices := newSpace(t, itemSchema, 3)
			a, stolen, c := devices[0], devices[1], devices[2]
			code := devices[maker].recovery()
			settle(devices...)
			a.revoke(c)
			if warned(a, c.id()) {
				t.Error("warned of a device that has made no code")
			}
			a.revoke(stolen)
			if warned(a, stolen.id()) != (maker == 1) {
				t.Errorf("warnings %q", a.syncer.Status().Warnings)
			}
			thief := newTestDevice(t, itemSchema)
			thief.join(a.folder, code)
			a.sync()
			a.revoke(thief)
			if !warned(a, thief.id()) {
				t.Errorf("not warned of a device that has entered with the code: %q", a.syncer.Status().Warnings)
			}
			// What the warning advises ends it.
			thief = newTestDevice(t, itemSchema)
			thief.join(a.folder, code)
			a.sync()
			a.recovery()
			other := newTestDevice(t, itemSchema)
			_, err := Join(t.Context(), other.db, a.folder, code, &other.options)
			wantIs(t, err, ErrCode)
			a.revoke(thief)
			if warned(a, thief.id()) {
				t.Error("warned of a code that works no longer")
			}
		})
	}
	t.Run("made before the device went on as another one", func(t *testing.T) {
		t.Parallel()
		a, stolen := newPair(t, itemSchema)
		stolen.recovery()
		settle(a, stolen)
		moved := copyWithKeys(stolen)
		moved.open()
		moved.wantSucceeded(stolen.id(), foundMachine)
		settle(a, moved)
		a.revoke(moved)
		if !warned(a, moved.id()) {
			t.Errorf("warnings %q", a.syncer.Status().Warnings)
		}
	})
}

// A code that is in force, for it was written down, must not be kept from who is to write it on paper: the one made before
// works no longer.
func TestARecoveryCodeThatDoesNotReachTheFolderAtOnce(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	settle(a, b)
	a.recovery()
	settle(a, b)
	a.environment.Step = func(step string, perform func() error) error {
		if strings.HasPrefix(step, "create ") {
			return errors.New("the disk is full")
		}
		return perform()
	}
	code, err := a.syncer.Recovery(context.Background())
	wantText(t, err, "disk is full")
	a.environment.Step = nil
	settle(a, b)
	n := newTestDevice(t, itemSchema)
	n.join(a.folder, code)
	settle(a, b, n)
	wantSame(t, []*testDevice{a, b, n})
	wantQuiet(t, a, b, n)
}

// Who enters with the recovery code when the newest records are missing has an older epoch. The records come, and no other admin is left
// to hand out the key: the code opens it, once more.
func TestARecoveryWithoutTheNewestRecordsIsRepeated(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	code := a.recovery()
	settle(devices...)
	a.own()
	deliver(t, a.folder, b.folder, everyHead)
	a.revoke(c)
	a.exec("INSERT INTO item VALUES ('2', 'of the new epoch', 1)")
	a.sync()
	deliver(t, a.folder, b.folder, everySeg)

	n, m := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	clock := newTestClock(n, m)
	n.join(b.folder, code)
	n.exec("INSERT INTO item VALUES ('3', 'of the recovered', 1)")
	_ = n.trySync()
	deliver(t, a.folder, n.folder, everyRecord)
	n.exec("UPDATE item SET n = 2")
	_ = n.trySync()
	problems := n.syncer.Status().Problems
	if len(problems) == 0 {
		t.Fatal("nothing is wrong")
	}
	for _, problem := range problems {
		var e *Error
		if errors.As(problem, &e); !strings.Contains(e.Hint, "recovery code") {
			t.Errorf("%v: hint %q", problem, e.Hint)
		}
	}
	m.join(n.folder, code)
	_ = m.trySync()
	clock.pass(3 * dutyWait) // after a, and after n, which has not got the key
	m.reopen()
	settle(m, n)
	m.wantHealthy()
	n.wantHealthy()
	wantSame(t, []*testDevice{m, n})
	m.wantValue("1,2,3", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)")
	m.wantValue("2", "SELECT count(*) FROM item WHERE n = 2")
	wantQuiet(t, m, n)
}
