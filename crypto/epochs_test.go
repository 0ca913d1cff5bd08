package crypto

import (
	"slices"
	"testing"
)

// enterOpen has a device enter with the code n+20 of an invite that a program would write.
func (h *history) enterOpen(author *DeviceKeys, n byte, role Role) {
	h.t.Helper()
	invite := h.add(h.roster().NewInvite(author, fixedInvite(h.t, n+20), role, 10, 100))
	h.add(h.roster().NewAdmit(fixedInvite(h.t, n+20), invite.Hash(), fixedDevice(h.t, n), 50))
}

// opens lists the epochs that the keys open in a roster, oldest first.
func opens(t *testing.T, r *Roster, keys *DeviceKeys) (ids []EpochID) {
	t.Helper()
	epochs, err := r.OpenEpochs(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, epoch := range epochs {
		ids = append(ids, epoch.ID())
	}
	return ids
}

// TestRevokeStartsEpoch: a revocation hands a new epoch to all who remain, the recovery key among them, and to nobody else.
func TestRevokeStartsEpoch(t *testing.T) {
	h := newHistory(t)
	founder, second, third, recovery := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3), fixedRecovery(t, 200)
	h.enterOpen(founder, 2, Admin)
	h.enterOpen(second, 3, Writer)
	before := h.roster().CurrentEpoch()
	if before != fixedEpoch(t, 9).ID() {
		t.Fatal("the first epoch is not current")
	}
	h.add(h.roster().NewRevoke(founder, []Cut{{Device: second.ID(), Last: 3}}, 60))
	roster := h.roster()
	current := roster.CurrentEpoch()
	for _, keys := range []*DeviceKeys{founder, third, recovery} {
		ids := opens(t, roster, keys)
		if len(ids) == 0 || ids[len(ids)-1] != current || current == before {
			t.Errorf("%s opens %v, the current one is %s", keys, ids, current)
		}
	}
	if ids := opens(t, roster, second); len(ids) != 0 {
		t.Errorf("the revoked device opens %v", ids)
	}
	if _, err := roster.NewRevoke(second, []Cut{{Device: founder.ID()}}, 70); err == nil {
		t.Error("a revoked device revokes")
	}
}

// TestCurrentEpoch: of epochs that did not see each other that of the most senior author is current, and an admin that sees
// both owes a join.
func TestCurrentEpoch(t *testing.T) {
	h := newHistory(t)
	founder, second, third, fourth := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3), fixedDevice(t, 4)
	epochs := []*Epoch{fixedEpoch(t, 9)}
	h.enterOpen(founder, 2, Admin)
	h.enterOpen(founder, 3, Writer)
	h.enterOpen(founder, 4, Writer)
	h.add(h.roster().NewInvite(founder, fixedInvite(t, 90), Reader, 10, 100)) // confirms who entered
	fork := h.roster()
	if fork.Duty(founder, epochs, 50).Join {
		t.Error("a join is due without need")
	}
	a := h.add(fork.NewRevoke(founder, []Cut{{Device: third.ID()}}, 60))
	b := h.add(fork.NewRevoke(second, []Cut{{Device: fourth.ID()}}, 60))
	roster := h.roster()
	if got, want := roster.CurrentEpoch(), a.epochs()[0].ID; got != want {
		t.Errorf("current epoch %s, want the senior's %s", got, want)
	}
	// Each of the two revoked devices can open one of the epochs.
	if !slices.Contains(opens(t, roster, fourth), a.epochs()[0].ID) || !slices.Contains(opens(t, roster, third), b.epochs()[0].ID) {
		t.Fatal("the branches are not as they should be")
	}
	if !roster.Duty(founder, epochs, 50).Join || !roster.Duty(second, epochs, 50).Join || roster.Duty(third, epochs, 50).Join {
		t.Error("a join is due for admins, and for them alone")
	}
	h.add(roster.NewJoin(second, epochs, nil, 70))
	h.add(roster.NewJoin(founder, epochs, nil, 70)) // at the same time
	roster = h.roster()
	current := roster.CurrentEpoch()
	for _, keys := range []*DeviceKeys{third, fourth} {
		if slices.Contains(opens(t, roster, keys), current) {
			t.Errorf("the revoked %s opens the current epoch", keys)
		}
	}
	for _, keys := range []*DeviceKeys{founder, second, fixedRecovery(t, 200)} {
		if ids := opens(t, roster, keys); ids[len(ids)-1] != current {
			t.Errorf("%s can't open the current epoch", keys)
		}
	}
	mine, err := roster.OpenEpochs(founder, epochs)
	if err != nil {
		t.Fatal(err)
	}
	if roster.Duty(founder, mine[:1], 50).Join {
		t.Error("two joins at once make a third one due")
	}
}

// TestCurrentEpochIsNotOfTheRevoked: a junior admin revokes a senior one, which goes on starting epochs as if it had not seen
// that. They are no more current than any that was made without knowledge of a revocation.
func TestCurrentEpochIsNotOfTheRevoked(t *testing.T) {
	h := newHistory(t)
	founder, second, third := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3)
	h.enterOpen(founder, 2, Admin)
	h.enterOpen(founder, 3, Admin)
	fork := h.roster()
	epochs := []*Epoch{fixedEpoch(t, 9)}
	revoke := h.add(fork.NewRevoke(third, []Cut{{Device: second.ID()}}, 60))
	h.add(fork.NewJoin(second, epochs, nil, 60))  // by the revoked
	h.add(fork.NewJoin(founder, epochs, nil, 60)) // by who does not know, and wraps for the revoked
	roster := h.roster()
	if got, want := roster.CurrentEpoch(), revoke.epochs()[0].ID; got != want {
		t.Errorf("current epoch %s, want that of the revocation %s", got, want)
	}
	if roster.Exposed() {
		t.Error("an epoch that the revoked device was not given is exposed")
	}
	// Of two revocations at once neither epoch is safe, until they are joined.
	h = newHistory(t)
	for n := byte(2); n < 6; n++ {
		h.enterOpen(founder, n, Admin)
	}
	fork = h.roster()
	if fork.Exposed() {
		t.Error("exposed without a revocation")
	}
	h.add(fork.NewRevoke(founder, []Cut{{Device: fixedDevice(t, 4).ID()}}, 60))
	h.add(fork.NewRevoke(second, []Cut{{Device: fixedDevice(t, 5).ID()}}, 60))
	roster = h.roster()
	if !roster.Exposed() || !roster.Duty(third, epochs, 60).Join {
		t.Error("an epoch that a revoked device has is not exposed, or nobody has to replace it")
	}
	h.add(roster.NewJoin(third, epochs, nil, 70))
	if h.roster().Exposed() {
		t.Error("exposed after the join")
	}
	// The same with a recovery code that is replaced while a more senior admin starts an epoch for the old one.
	h = newHistory(t)
	h.enterOpen(founder, 2, Admin)
	fork = h.roster()
	replaced := h.add(fork.NewJoin(second, epochs, fixedRecovery(t, 201), 60))
	h.add(fork.NewJoin(founder, epochs, nil, 60))
	roster = h.roster()
	if got, want := roster.CurrentEpoch(), replaced.epochs()[len(replaced.epochs())-1].ID; got != want || roster.Exposed() {
		t.Errorf("current epoch %s, exposed: %v, want that without the old code, %s", got, roster.Exposed(), want)
	}
}

// TestManySuccessors: a member, of whatever role, that makes itself more and more devices keeps nobody from revoking it.
func TestManySuccessors(t *testing.T) {
	h := newHistory(t)
	founder, second, third := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3)
	h.enterOpen(founder, 2, Reader)
	h.enterOpen(founder, 3, Writer)
	roster := h.roster()
	epochs := []*Epoch{fixedEpoch(t, 9)}
	for n := range 140 {
		h.add(roster.NewSucceed(second, fixedDevice(t, byte(100+n)), 60))
	}
	roster = h.roster()
	if got := len(roster.Members()); got != 143 {
		t.Fatalf("%d members, want 143", got)
	}
	h.add(roster.NewRevoke(founder, []Cut{{Device: second.ID()}}, 70))
	roster = h.roster()
	if _, member := roster.Member(second.ID()); member {
		t.Error("the device was not revoked")
	}
	for rounds := 0; roster.Duty(founder, epochs, 80).Join; rounds++ {
		if rounds == 10 {
			t.Fatal("there is no end of joins")
		}
		h.add(roster.NewJoin(founder, epochs, nil, 80))
		roster = h.roster()
	}
	for _, keys := range []*DeviceKeys{founder, third, fixedRecovery(t, 200)} {
		if _, err := roster.FindEpoch(keys, roster.CurrentEpoch()); err != nil {
			t.Errorf("who was there before the flood lacks the current epoch: %v", err)
		}
	}
}

// TestDutyNewcomer: who entered at the time of a revocation lacks its epoch until an admin hands one out, with the older
// ones that the admin has.
func TestDutyNewcomer(t *testing.T) {
	h := newHistory(t)
	founder, second := fixedDevice(t, 1), fixedDevice(t, 2)
	invite := h.add(h.roster().NewInvite(founder, fixedInvite(t, 22), Writer, 10, 100))
	admit, err := h.roster().NewAdmit(fixedInvite(t, 22), invite.Hash(), second, 50)
	if err != nil {
		t.Fatal(err)
	}
	h.add(h.roster().NewJoin(founder, nil, nil, 60))
	mine, err := h.roster().OpenEpochs(founder, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h.roster().Duty(founder, mine, 50).Join {
		t.Error("a join is due without need")
	}
	h.add(admit, nil)
	if !h.roster().Duty(founder, mine, 50).Join {
		t.Fatal("a member lacks the current epoch, and nothing is due")
	}
	h.add(h.roster().NewJoin(founder, mine, nil, 70))
	roster := h.roster()
	ids := opens(t, roster, second)
	if len(ids) != 2 || ids[0] != mine[1].ID() || ids[1] != roster.CurrentEpoch() {
		t.Errorf("the newcomer opens %v", ids) // the first epoch it has from the invite
	}
	if mine, err = roster.OpenEpochs(founder, mine); err != nil || roster.Duty(founder, mine, 50).Join {
		t.Errorf("it is still due, error %v", err)
	}
}

// TestDutyConfirm: an admit is confirmed by who can confirm it, once.
func TestDutyConfirm(t *testing.T) {
	h := newHistory(t)
	founder, second := fixedDevice(t, 1), fixedDevice(t, 2)
	epochs := []*Epoch{fixedEpoch(t, 9)}
	h.enterOpen(founder, 2, Admin)
	if !h.roster().Duty(founder, epochs, 50).Join || h.roster().Duty(second, epochs, 50).Join {
		t.Error("the founder alone is to confirm who entered")
	}
	h.add(h.roster().NewJoin(founder, epochs, nil, 60))
	if h.roster().Duty(founder, epochs, 50).Join {
		t.Error("confirmed, and still due")
	}
}

func TestDutyExpire(t *testing.T) {
	h := newHistory(t)
	founder := fixedDevice(t, 1)
	invite := h.add(h.roster().NewInvite(founder, fixedInvite(t, 22), Writer, 10, 100))
	if duty := h.roster().Duty(founder, nil, 100); len(duty.Expire) != 0 {
		t.Error("an invite expires early")
	}
	duty := h.roster().Duty(founder, nil, 101)
	if len(duty.Expire) != 1 || duty.Expire[0].Record != invite.Hash() {
		t.Fatalf("expired invites %v", duty.Expire)
	}
	h.add(h.roster().NewWithdraw(founder, invite.Hash(), 110))
	if roster := h.roster(); len(roster.Duty(founder, nil, 101).Expire) != 0 || len(roster.Invites()) != 0 {
		t.Error("it is still open")
	}
}

// TestRecoveryKey: a new recovery code opens all epochs, older ones too, and the one before opens no new one.
func TestRecoveryKey(t *testing.T) {
	h := newHistory(t)
	founder, old, next := fixedDevice(t, 1), fixedRecovery(t, 200), fixedRecovery(t, 201)
	h.add(h.roster().NewJoin(founder, []*Epoch{fixedEpoch(t, 9)}, nil, 50))
	mine, err := h.roster().OpenEpochs(founder, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.add(h.roster().NewJoin(founder, mine, next, 60))
	roster := h.roster()
	if keys, ok := roster.Recovery(); !ok || keys != next.Public() {
		t.Error("the recovery key was not replaced")
	}
	if ids := opens(t, roster, next); len(ids) != 3 || ids[2] != roster.CurrentEpoch() {
		t.Errorf("the new recovery key opens %v", ids)
	}
	if ids := opens(t, roster, old); len(ids) != 2 || slices.Contains(ids, roster.CurrentEpoch()) {
		t.Errorf("the old recovery key opens %v", ids)
	}
	if _, err := roster.NewInvite(old, fixedInvite(t, 30), Admin, 1, 100); err == nil {
		t.Error("the old recovery key invites")
	}
	h.add(roster.NewInvite(next, fixedInvite(t, 30), Admin, 1, 100))
	if roster = h.roster(); len(roster.Invites()) != 1 {
		t.Error(describe(roster))
	}
}

// TestFindEpoch: what a member sealed for the epoch of a record that was overruled later can still be read.
func TestFindEpoch(t *testing.T) {
	h := newHistory(t)
	founder, second, third := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3)
	h.enterOpen(founder, 2, Admin)
	h.enterOpen(founder, 3, Writer)
	fork := h.roster()
	overruled := h.add(fork.NewRevoke(second, []Cut{{Device: founder.ID()}}, 60))
	h.add(fork.NewRevoke(founder, []Cut{{Device: second.ID()}}, 60))
	roster := h.roster()
	id := overruled.epochs()[0].ID
	if slices.Contains(opens(t, roster, third), id) {
		t.Error("a void record hands out epochs")
	}
	if epoch, err := roster.FindEpoch(third, id); err != nil || epoch.ID() != id {
		t.Errorf("epoch %v, error %v", epoch, err)
	}
	_, err := roster.FindEpoch(founder, id)
	wantError(t, err, ErrWrongKey)
}

// TestOpenEpochsBadWrap: a wrap that holds something else costs nothing but itself.
func TestOpenEpochsBadWrap(t *testing.T) {
	h := newHistory(t)
	founder := fixedDevice(t, 1)
	h.decision(founder, &Join{Epochs: fakeEpochs(7, founder.ID())}, h.found)
	h.add(h.roster().NewJoin(founder, nil, nil, 50))
	epochs, err := h.roster().OpenEpochs(founder, nil)
	wantError(t, err, ErrDamaged)
	if len(epochs) != 2 || epochs[1].ID() != h.roster().CurrentEpoch() {
		t.Errorf("epochs %v", epochs)
	}
}

func TestNewRole(t *testing.T) {
	h := newHistory(t)
	founder, second := fixedDevice(t, 1), fixedDevice(t, 2)
	h.enterOpen(founder, 2, Writer)
	_, err := h.roster().NewRole(founder, Cut{Device: second.ID()}, Writer, 60)
	wantError(t, err, ErrNotAllowed)
	_, err = h.roster().NewRole(second, Cut{Device: second.ID()}, Admin, 60)
	wantError(t, err, ErrNotAllowed)
	h.add(h.roster().NewRole(founder, Cut{Device: second.ID(), Last: 4, Files: []FileHash{{1}}}, Reader, 60))
	lowered, _ := h.roster().Log(second.ID())
	if lowered.Writes || !lowered.Cut || lowered.Last != 4 || len(lowered.Files) != 1 {
		t.Errorf("log of a reader %+v", lowered)
	}
	h.add(h.roster().NewRole(founder, Cut{Device: second.ID(), Last: 6}, Writer, 70))
	raised, _ := h.roster().Log(second.ID())
	if !raised.Writes || raised.From != 6 || raised.Last != 4 {
		t.Errorf("log of a writer who was a reader %+v", raised)
	}
	if _, ok := h.roster().Log(fixedDevice(t, 3).ID()); ok {
		t.Error("a stranger has a log")
	}
}

func TestNewSucceed(t *testing.T) {
	h := newHistory(t)
	founder, second, third := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3)
	h.enterOpen(founder, 2, Reader)
	_, err := h.roster().NewSucceed(third, fixedDevice(t, 4), 60)
	wantError(t, err, ErrNotAllowed)
	_, err = h.roster().NewSucceed(second, founder, 60)
	wantError(t, err, ErrNotAllowed)
	_, err = h.roster().NewSucceed(fixedRecovery(t, 200), third, 60)
	wantError(t, err, ErrNotAllowed)
	h.add(h.roster().NewSucceed(second, third, 60))
	if m, ok := h.roster().Member(third.ID()); !ok || m.Role != Reader || m.Admitted != 60 || m.Keys != third.Public() {
		t.Errorf("member %+v", m)
	}
}

// TestLogAccepts is the rule of the cut.
func TestLogAccepts(t *testing.T) {
	listed, other := FileHash{1}, FileHash{2}
	tests := []struct {
		name        string
		log         Log
		first, last uint64
		generation  uint32
		file        FileHash
		vouched     uint64
		want        bool
	}{
		{"a writer", Log{Writes: true}, 1, 1, 0, other, 0, true},
		{"a reader", Log{}, 1, 1, 0, other, 5, false},
		{"revoked: a listed file", Log{Cut: true, Last: 5, Files: []FileHash{listed}}, 1, 5, 0, listed, 0, true},
		{"revoked: other bytes below the cut", Log{Cut: true, Last: 5, Files: []FileHash{listed}}, 5, 5, 0, other, 9, false},
		{"revoked: above the cut", Log{Cut: true, Last: 5, Files: []FileHash{listed}}, 6, 6, 0, other, 5, false},
		{"revoked: above it, and vouched for", Log{Cut: true, Last: 5, Files: []FileHash{listed}}, 6, 6, 0, other, 6, true},
		{"revoked: a range above it", Log{Cut: true, Last: 5}, 6, 7, 1, other, 7, false},
		{"revoked: further than vouched for", Log{Cut: true, Last: 5}, 6, 7, 0, other, 6, false},
		{"revoked: a range over the cut", Log{Cut: true, Last: 5}, 5, 6, 0, other, 6, false},
		{"raised: from its time as reader", Log{Writes: true, From: 5}, 5, 5, 0, other, 9, false},
		{"raised: since then", Log{Writes: true, From: 5}, 6, 6, 0, other, 0, true},
		{"raised: from before it was lowered", Log{Writes: true, From: 5, Cut: true, Last: 2, Files: []FileHash{listed}}, 1, 2, 0, listed, 0, true},
	}
	for _, test := range tests {
		header := SegmentHeader{First: test.first, Last: test.last, Generation: test.generation}
		if got := test.log.Accepts(&header, test.file, test.vouched); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
