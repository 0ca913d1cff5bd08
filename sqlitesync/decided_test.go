package sqlitesync

import (
	"os"
	"testing"
)

// newFaultyAdmin returns a device of the space with faults under it.
func newFaultyAdmin(t *testing.T, a *testDevice) *faults {
	t.Helper()
	f := new(faults)
	a.close()
	f.give(a)
	a.open()
	return f
}

// A revocation holds once it is written down. The caller is told so, with the error that the folder did not take it, others are
// told of it as of any, and what the cut can't list is relayed at once.
func TestARevocationThatDoesNotReachTheFolderAtOnce(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	f := newFaultyAdmin(t, a)
	c.exec("INSERT INTO item VALUES ('1', 'of c, read by a', 1)")
	c.sync()
	a.sync()
	must(t, os.Remove(c.lastSegment()))
	events := a.syncer.events.subscribe()
	f.arm(0, false)
	wantText(t, a.syncer.Revoke(t.Context(), c.id()), "it is decided", "input/output error")
	f.disarm()
	told := 0
	for event, ok := events.take(); ok; event, ok = events.take() {
		if event.Kind == EventMember && event.Device == c.id() {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times that it is no member any more, want once", told)
	}
	settle(a, b)
	b.wantValue("1", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// Who was told that a decision could not be written into the folder tries again.
func TestARoleThatDidNotReachTheFolderIsGivenAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	f := newFaultyAdmin(t, a)
	for _, role := range []Role{RoleWriter, RoleAdmin} {
		f.arm(0, false)
		wantText(t, a.syncer.SetRole(t.Context(), b.id(), role), "it is decided", "input/output error")
		f.disarm()
		must(t, a.syncer.SetRole(t.Context(), b.id(), role))
		b.sync()
		if self, _ := b.syncer.roster.Member(b.id()); self.Role != role {
			t.Errorf("its role is %s, want %s", self.Role, role)
		}
	}
	wantIs(t, a.syncer.SetRole(t.Context(), DeviceID{1}, RoleWriter), ErrNotAllowed)
	settle(a, b)
	wantQuiet(t, a, b)
}
