package crypto

import (
	"bytes"
	"slices"
	"testing"
)

// fakeEpochs is an epoch with wraps that nobody can open.
func fakeEpochs(n byte, members ...DeviceID) []WrappedEpoch {
	epoch := WrappedEpoch{ID: EpochID{n}}
	members = append(members, DeviceID{1})
	slices.SortFunc(members, func(a, b DeviceID) int { return bytes.Compare(a[:], b[:]) })
	for _, member := range members {
		epoch.Wraps = append(epoch.Wraps, Wrap{Member: member, File: []byte{1}})
	}
	return []WrappedEpoch{epoch}
}

func (h *history) revoke(author *DeviceKeys, epoch byte, device *DeviceKeys, parents ...*Record) *Record {
	h.t.Helper()
	return h.decision(author, &Revoke{Cuts: []Cut{{Device: device.ID()}}, Epochs: fakeEpochs(epoch)}, parents...)
}

func (h *history) role(author, device *DeviceKeys, role Role, parents ...*Record) *Record {
	h.t.Helper()
	return h.decision(author, &RoleChange{Cut: Cut{Device: device.ID()}, Role: role}, parents...)
}

func (h *history) withdraw(author *DeviceKeys, epoch byte, invite *Record, parents ...*Record) *Record {
	h.t.Helper()
	return h.decision(author, &Withdraw{Invite: invite.Hash(), Epochs: fakeEpochs(epoch)}, parents...)
}

// join sets a recovery key, if it is not nil.
func (h *history) join(author *DeviceKeys, epoch byte, recovery *DeviceKeys, parents ...*Record) *Record {
	h.t.Helper()
	body := &Join{Epochs: fakeEpochs(epoch)}
	if recovery != nil {
		body.Recovery, body.Epochs = &RecoveryKey{PublicKeys: recovery.Public()}, fakeEpochs(epoch, recovery.ID())
	}
	return h.decision(author, body, parents...)
}

func (h *history) succeed(author *DeviceKeys, next byte, parents ...*Record) *Record {
	h.t.Helper()
	return h.add(newSucceed(author, h.space, hashesOf(parents), fixedDevice(h.t, next), 50))
}

// enter invites device n with code n+20 and admits it.
func (h *history) enter(author *DeviceKeys, n byte, role Role, parents ...*Record) *Record {
	h.t.Helper()
	invite := h.invite(author, n+20, role, parents...)
	return h.admit(invite, n+20, n, 50, invite)
}

// decisionScenarios has cases for the rules C1 to C5 and for what each kind from succeed to join does.
func decisionScenarios(t testing.TB) []scenario {
	founder, second, third, fourth := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3), fixedDevice(t, 4)
	oldKey, newKey, otherKey := fixedRecovery(t, 200), fixedRecovery(t, 201), fixedRecovery(t, 202)
	return []scenario{
		{
			name: "a revoked device is no member, nor who it invites later",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.revoke(founder, 9, second, a)
				c := h.invite(second, 30, Admin, b)
				return map[*Record]Reason{c: ReasonNotAdmin}
			},
			members: []byte{1},
		},
		{
			name: "whom a device admitted before its revocation stays; its open invite admits nobody",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.enter(second, 3, Writer, a)
				open := h.invite(second, 30, Admin, b)
				c := h.revoke(founder, 9, second, open)
				d := h.admit(open, 30, 4, 50, c)
				return map[*Record]Reason{d: ReasonClosed}
			},
			members: []byte{1, 3},
		},
		{
			name: "two admins revoke each other at once: the more senior stays",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.enter(founder, 3, Admin, a)
				h.revoke(second, 9, third, b)
				c := h.revoke(third, 10, second, b)
				return map[*Record]Reason{c: ReasonOverruled}
			},
			members: []byte{1, 2},
		},
		{
			name: "a junior revokes a senior who has not seen it: both stand where nothing stands against them",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				h.revoke(second, 9, founder, a)
				h.invite(founder, 30, Writer, a) // concurrent, and the revocation is no senior's; but its author is gone
				return nil
			},
			members: []byte{2},
		},
		{
			name: "a revoked device goes on with back-dated records, which fall with all that descends from them",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				h.revoke(founder, 9, second, a)
				invite := h.invite(second, 23, Admin, a)
				admit := h.admit(invite, 23, 3, 50, invite)
				again := h.revoke(third, 10, founder, admit)
				return map[*Record]Reason{invite: ReasonOverruled, admit: ReasonInviteVoid, again: ReasonAuthorVoid}
			},
			members: []byte{1},
		},
		{
			name: "an admit at the time of its inviter's revocation falls",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				invite := h.invite(second, 30, Admin, a)
				h.revoke(founder, 9, second, invite)
				b := h.admit(invite, 30, 3, 50, invite)
				return map[*Record]Reason{b: ReasonOverruled}
			},
			members: []byte{1},
		},
		{
			name: "revoked again is no error, and a stranger can't be revoked",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.revoke(founder, 9, second, a)
				h.revoke(founder, 10, second, b)
				c := h.revoke(founder, 11, third, b)
				d := h.revoke(founder, 12, oldKey, b)
				return map[*Record]Reason{c: ReasonTarget, d: ReasonTarget}
			},
			members: []byte{1},
		},
		{
			name: "a revoked id never enters again",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.revoke(founder, 9, second, a)
				c := h.invite(founder, 30, Writer, b)
				d := h.admit(c, 30, 2, 50, c)
				e := h.succeed(founder, 2, b)
				return map[*Record]Reason{d: ReasonDevice, e: ReasonDevice}
			},
			members: []byte{1},
			open:    1,
		},
		{
			name: "a withdrawn invite admits nobody, whatever its state",
			build: func(h *history) map[*Record]Reason {
				spent := h.enter(founder, 2, Admin, h.found)
				open := h.invite(founder, 30, Admin, spent)
				a := h.withdraw(founder, 9, open, open)
				b := h.admit(open, 30, 3, 50, a)
				h.withdraw(second, 10, h.records[1], a)
				return map[*Record]Reason{b: ReasonClosed}
			},
			members: []byte{1, 2},
		},
		{
			name: "an admit at the time of the withdrawal falls",
			build: func(h *history) map[*Record]Reason {
				open := h.invite(founder, 30, Admin, h.found)
				h.withdraw(founder, 9, open, open)
				a := h.admit(open, 30, 3, 50, open)
				return map[*Record]Reason{a: ReasonOverruled}
			},
			members: []byte{1},
		},
		{
			name: "withdrawn is only what its author saw, by an admin",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Writer, h.found)
				open := h.invite(founder, 30, Admin, a)
				b := h.withdraw(founder, 9, open, a)
				c := h.withdraw(founder, 10, a, a)
				d := h.withdraw(second, 11, open, open)
				return map[*Record]Reason{b: ReasonTarget, c: ReasonTarget, d: ReasonNotAdmin}
			},
			members: []byte{1, 2},
			open:    1,
		},
		{
			name: "an epoch starts once",
			build: func(h *history) map[*Record]Reason {
				a := h.join(founder, 9, nil, h.found)
				b := h.join(founder, 9, nil, a)
				h.join(founder, 10, nil, h.found)
				h.join(founder, 10, nil, a) // its author could not know
				return map[*Record]Reason{b: ReasonEpoch}
			},
			members: []byte{1},
		},
		{
			name: "a writer becomes an admin, and is one from there on",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Writer, h.found)
				b := h.enter(founder, 3, Admin, a)
				c := h.invite(second, 30, Writer, b)
				d := h.role(founder, second, Admin, b)
				h.invite(second, 31, Writer, d)
				return map[*Record]Reason{c: ReasonNotAdmin}
			},
			members: []byte{1, 3, 2},
			open:    1,
		},
		{
			name: "a lowered admin's concurrent records fall, and its invites close",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				open := h.invite(second, 30, Writer, a)
				h.role(founder, second, Reader, open)
				b := h.invite(second, 31, Writer, open)
				return map[*Record]Reason{b: ReasonOverruled}
			},
			members: []byte{1, 2},
		},
		{
			name: "a lowered device does not keep its role by a successor",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				h.role(founder, second, Writer, a)
				b := h.succeed(second, 3, a)
				return map[*Record]Reason{b: ReasonOverruled}
			},
			members: []byte{1, 2},
		},
		{
			name: "a role is given to members, and is another one than before",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Writer, h.found)
				b := h.role(founder, second, Writer, a)
				c := h.role(founder, third, Writer, a)
				d := h.role(founder, oldKey, Writer, a)
				e := h.role(second, second, Admin, a)
				return map[*Record]Reason{b: ReasonTarget, c: ReasonTarget, d: ReasonTarget, e: ReasonNotAdmin}
			},
			members: []byte{1, 2},
		},
		{
			name: "a role keeps its device, though what admitted it falls; its id has entered",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				invite := h.invite(second, 30, Writer, a)
				admit := h.admit(invite, 30, 3, 50, invite)
				role := h.role(founder, third, Admin, admit)
				revoke := h.revoke(founder, 9, second, a) // pretends not to know of the invite
				again := h.invite(founder, 31, Writer, role, revoke)
				b := h.admit(again, 31, 3, 60, again)
				return map[*Record]Reason{invite: ReasonOverruled, admit: ReasonInviteVoid, b: ReasonDevice}
			},
			members: []byte{1, 3},
			open:    1,
		},
		{
			name: "a successor has the role and a place of its own, and the device stays",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.enter(founder, 3, Reader, a)
				c := h.succeed(second, 5, b)
				d := h.succeed(third, 6, c)
				h.invite(fixedDevice(h.t, 5), 30, Writer, d)
				return nil
			},
			members: []byte{1, 2, 5, 3, 6},
			open:    1,
		},
		{
			name: "the recovery key has no successor, and who is revoked has none",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.revoke(founder, 9, second, a)
				c := h.succeed(oldKey, 3, a)
				d := h.succeed(second, 4, b)
				e := h.succeed(second, 5, a) // concurrent
				return map[*Record]Reason{c: ReasonNotAdmin, d: ReasonNotAdmin, e: ReasonOverruled}
			},
			members: []byte{1},
		},
		{
			name: "two successors of one id at once: the first in canonical order",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Writer, h.found)
				invite := h.invite(founder, 30, Reader, a)
				h.succeed(second, 3, invite)               // rank of a writer
				b := h.admit(invite, 30, 3, 50, invite)    // of a reader who comes later
				h.revoke(founder, 9, fixedDevice(t, 3), b) // whatever it is, it is gone
				return map[*Record]Reason{b: ReasonDevice}
			},
			members: []byte{1, 2},
		},
		{
			name: "a replaced recovery key writes nothing, and what it left open is closed",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(oldKey, 22, Admin, h.found)
				open := h.invite(oldKey, 30, Admin, a)
				b := h.join(founder, 9, newKey, open)
				c := h.invite(oldKey, 31, Admin, b)    // later
				d := h.invite(oldKey, 32, Admin, open) // concurrent
				e := h.admit(open, 30, 4, 50, b)
				h.enter(newKey, 5, Admin, b)
				f := h.admit(a, 22, 2, 50, open) // had not seen the join
				return map[*Record]Reason{c: ReasonNotAdmin, d: ReasonOverruled, e: ReasonClosed, f: ReasonOverruled}
			},
			members: []byte{1, 5},
		},
		{
			name: "who came by the recovery key before it was replaced stays",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(oldKey, 2, Admin, h.found)
				b := h.join(second, 9, newKey, a)
				h.enter(second, 3, Writer, b)
				return nil
			},
			members: []byte{1, 2, 3},
		},
		{
			name: "a recovery key was nothing before, and one set twice at once counts once",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.join(founder, 9, oldKey, a)
				c := h.join(founder, 10, second, a)
				h.join(founder, 11, otherKey, a)
				d := h.join(second, 12, otherKey, a)
				return map[*Record]Reason{b: ReasonDevice, c: ReasonDevice, d: ReasonDevice}
			},
			members: []byte{1, 2},
		},
		{
			name: "the recovery key revokes juniors and is overruled by seniors",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.revoke(oldKey, 9, second, a)
				h.join(second, 10, newKey, a)
				h.enter(founder, 4, Writer, a)
				return map[*Record]Reason{b: ReasonOverruled}
			},
			members: []byte{1, 2, 4},
		},
		{
			name: "all devices lost: one comes by the recovery key and ends the others",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Writer, h.found)
				b := h.enter(oldKey, 4, Admin, a)
				body := &Revoke{Cuts: []Cut{{Device: founder.ID()}, {Device: second.ID()}}, Epochs: fakeEpochs(9)}
				slices.SortFunc(body.Cuts, func(a, b Cut) int { return bytes.Compare(a.Device[:], b.Device[:]) })
				c := h.decision(fourth, body, b)
				d := h.invite(founder, 30, Admin, c)
				return map[*Record]Reason{d: ReasonNotAdmin}
			},
			members: []byte{4},
		},
	}
}
