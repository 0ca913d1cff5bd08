package sqlitesync

import (
	"context"
	"os"
	"path/filepath"
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

// An invite is open only if who has asked for it gets its code, and then that works, whatever could not be written at once.
func TestAnInviteThatDoesNotReachTheFolderAtOnce(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	a.sync()
	f := newFaultyAdmin(t, a)
	codes := 0
	for step, failed := 0, true; failed; step++ {
		if !sampled(step) {
			continue
		}
		for _, persisted := range []bool{false, true} {
			f.arm(step, persisted)
			invite, err := a.syncer.Invite(t.Context(), nil)
			if failed = f.failed != ""; failed && err == nil && invite.Code == "" {
				t.Errorf("%s: neither a code nor an error", f.failed)
			}
			f.disarm()
			a.sync()
			open, err := a.syncer.Invites(t.Context())
			must(t, err)
			files, err := filepath.Glob(filepath.Join(a.folder, "invites", "*"))
			must(t, err)
			if want := min(1, len(invite.Code)); len(open) != want || len(files) != want {
				t.Fatalf("step %d: %d invites are open, with %d files, want %d", step, len(open), len(files), want)
			}
			if invite.Code == "" {
				continue
			}
			codes++
			n := newTestDevice(t, itemSchema)
			n.join(a.folder, invite.Code)
			settle(a, n)
			wantSame(t, []*testDevice{a, n})
			n.close()
		}
	}
	if codes < 2 {
		t.Errorf("%d codes, want some with an error", codes)
	}
}

// A decision of which nothing could be written down was not taken, and leaves nothing in the folder.
func TestAnInviteThatCouldNotBeWrittenDown(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.exec("CREATE TRIGGER refuses BEFORE INSERT ON sqlitesync_records BEGIN SELECT RAISE(ABORT, 'refused'); END")
	invite, err := a.syncer.Invite(context.Background(), nil)
	wantText(t, err, "refused")
	a.exec("DROP TRIGGER refuses")
	a.sync()
	files, err := filepath.Glob(filepath.Join(a.folder, "invites", "*"))
	must(t, err)
	if open, _ := a.syncer.Invites(t.Context()); len(open) != 0 || len(files) != 0 || invite.Code != "" {
		t.Errorf("%d invites are open, with files %v", len(open), files)
	}
}
