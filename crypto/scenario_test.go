package crypto

import (
	"errors"
	"slices"
	"testing"
)

// A scenario is a small history and what must come of it.
type scenario struct {
	name    string
	build   func(h *history) map[*Record]Reason // the records without effect
	members []byte                              // device numbers by seniority
	open    int                                 // number of open invites
	waiting int
	stops   bool // Supported returns an error
}

func scenarios(t testing.TB) []scenario {
	founder, second, third, stranger := fixedDevice(t, 1), fixedDevice(t, 2), fixedDevice(t, 3), fixedDevice(t, 99)
	recovery, err := fixedCode(RecoveryCode, 200).RecoveryKeys()
	if err != nil {
		t.Fatal(err)
	}
	return []scenario{
		{
			name:    "founder alone",
			build:   func(h *history) map[*Record]Reason { return nil },
			members: []byte{1},
		},
		{
			name: "one comes, one is still to come",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Writer, h.found)
				b := h.invite(founder, 21, Reader, a)
				h.admit(a, 20, 2, 50, b)
				return nil
			},
			members: []byte{1, 2},
			open:    1,
		},
		{
			name: "an admin invites an admin who invites",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				b := h.admit(a, 20, 2, 50, a)
				c := h.invite(second, 21, Admin, b)
				d := h.admit(c, 21, 3, 50, c)
				h.invite(third, 22, Writer, d)
				return nil
			},
			members: []byte{1, 2, 3},
			open:    1,
		},
		{
			name: "found has not arrived",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				h.admit(a, 20, 2, 50, a)
				h.records = h.records[1:]
				return nil
			},
			waiting: 2,
		},
		{
			name: "a record in between has not arrived",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				h.admit(a, 20, 2, 50, a)
				h.records = slices.Delete(h.records, 1, 2)
				return nil
			},
			members: []byte{1},
			waiting: 1,
		},
		{
			name: "records of another space",
			build: func(h *history) map[*Record]Reason {
				other := newHistory(h.t)
				a := other.invite(founder, 20, Admin, other.found)
				b := h.add(newInvite(founder, other.space, hashesOf([]*Record{h.found}), *a.Body.(*Invite)))
				c := h.invite(founder, 20, Admin, b)
				h.records = append(h.records, other.records...)
				return map[*Record]Reason{other.found: ReasonSpace, a: ReasonParent, b: ReasonSpace, c: ReasonParent}
			},
			members: []byte{1},
		},
		{
			name: "a writer and a reader invite",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Writer, h.found)
				b := h.admit(a, 20, 2, 50, a)
				c := h.invite(second, 21, Admin, b)
				d := h.admit(c, 21, 3, 50, c)
				return map[*Record]Reason{c: ReasonNotAdmin, d: ReasonInviteVoid}
			},
			members: []byte{1, 2},
		},
		{
			name: "a stranger invites",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(stranger, 20, Admin, h.found)
				b := h.admit(a, 20, 2, 50, a)
				return map[*Record]Reason{a: ReasonAuthor, b: ReasonParent}
			},
			members: []byte{1},
		},
		{
			name: "an admin invites before having seen its own admission",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				h.admit(a, 20, 2, 50, a)
				c := h.invite(second, 21, Admin, a)
				return map[*Record]Reason{c: ReasonAuthor}
			},
			members: []byte{1, 2},
		},
		{
			name: "a stranger signs in the founder's name",
			build: func(h *history) map[*Record]Reason {
				body := Invite{PublicKey: fixedInvite(h.t, 20).PublicKey(), Role: Admin, Expires: 100}
				forged := Record{Kind: KindInvite, Space: h.space, Parents: hashesOf([]*Record{h.found}), Author: founder.id, Body: &body}
				a := h.add(newRecord(forged, stranger.secret().signing))
				return map[*Record]Reason{a: ReasonSignature}
			},
			members: []byte{1},
		},
		{
			name: "a stranger admits itself without the code",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				b := h.admit(a, 77, 2, 50, a)
				return map[*Record]Reason{b: ReasonSignature}
			},
			members: []byte{1},
			open:    1,
		},
		{
			name: "an admit names what is no invite, or none before it",
			build: func(h *history) map[*Record]Reason {
				a := h.admit(h.found, 20, 2, 50, h.found)
				b := h.invite(founder, 20, Admin, h.found)
				c := h.admit(b, 20, 2, 50, h.found)
				return map[*Record]Reason{a: ReasonInvite, c: ReasonInvite}
			},
			members: []byte{1},
			open:    1,
		},
		{
			name: "expired, and at the last moment",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				b := h.invite(founder, 21, Admin, h.found)
				h.admit(a, 20, 2, 100, a)
				c := h.admit(b, 21, 3, 101, b)
				return map[*Record]Reason{c: ReasonExpired}
			},
			members: []byte{1, 2},
			open:    1,
		},
		{
			name: "a second device uses the code and has seen the first",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				b := h.admit(a, 20, 2, 50, a)
				c := h.admit(a, 20, 3, 50, b)
				return map[*Record]Reason{c: ReasonSpent}
			},
			members: []byte{1, 2},
		},
		{
			name: "a device enters twice, one after the other",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				b := h.invite(founder, 21, Reader, h.found)
				c := h.admit(a, 20, 2, 50, a, b)
				d := h.admit(b, 21, 2, 50, c)
				return map[*Record]Reason{d: ReasonDevice}
			},
			members: []byte{1, 2},
			open:    1,
		},
		{
			name: "a device enters twice at once: the more senior place counts",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				b := h.invite(founder, 21, Reader, h.found)
				h.admit(a, 20, 2, 50, a)
				d := h.admit(b, 21, 2, 50, b)
				return map[*Record]Reason{d: ReasonDevice}
			},
			members: []byte{1, 2},
		},
		{
			name: "the founder and the recovery key enter",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Admin, h.found)
				b := h.invite(founder, 21, Admin, h.found)
				c := h.admit(a, 20, 1, 50, a)
				d := h.add(newAdmit(fixedInvite(h.t, 21), h.space, hashesOf([]*Record{b}), b.Hash(), recovery, 50))
				return map[*Record]Reason{c: ReasonDevice, d: ReasonDevice}
			},
			members: []byte{1},
			open:    2,
		},
		{
			name: "who came by the recovery key is junior to all other admins",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(recovery, 20, Admin, h.found)
				b := h.admit(a, 20, 2, 50, a)
				c := h.invite(founder, 21, Admin, b)
				h.admit(c, 21, 3, 50, c)
				return nil
			},
			members: []byte{1, 3, 2},
		},
		{
			name: "an admin's record that this version does not know stops it",
			build: func(h *history) map[*Record]Reason {
				a := h.unsupported(9, founder, h.found)
				h.invite(founder, 20, Admin, a)
				return map[*Record]Reason{a: ReasonKind}
			},
			members: []byte{1},
			waiting: 1,
			stops:   true,
		},
		{
			name: "unknown kinds by who is no admin stop nobody",
			build: func(h *history) map[*Record]Reason {
				a := h.invite(founder, 20, Writer, h.found)
				b := h.admit(a, 20, 2, 50, a)
				c := h.unsupported(9, second, b)
				d := h.unsupported(200, second, b)
				e := h.unsupported(200, stranger, b)
				return map[*Record]Reason{c: ReasonNotAdmin, d: ReasonNotAdmin, e: ReasonAuthor}
			},
			members: []byte{1, 2},
		},
		{
			name: "unknown kinds by an admin whom a senior one has revoked stop nobody",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.revoke(founder, 9, second, a)
				c := h.unsupported(9, second, a)
				d := h.unsupported(9, second, b)
				return map[*Record]Reason{c: ReasonOverruled, d: ReasonNotAdmin}
			},
			members: []byte{1},
		},
		{
			name: "unknown kinds by an admin whose admission does not count stop nobody",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.invite(second, 23, Admin, a)
				h.revoke(founder, 9, second, a)
				c := h.admit(b, 23, 3, 50, b)
				d := h.unsupported(9, third, c)
				return map[*Record]Reason{b: ReasonOverruled, c: ReasonInviteVoid, d: ReasonAuthorVoid}
			},
			members: []byte{1},
		},
		{
			name: "an unknown kind by an admin stops, if a junior one revokes its author",
			build: func(h *history) map[*Record]Reason {
				a := h.enter(founder, 2, Admin, h.found)
				b := h.enter(founder, 3, Admin, a)
				h.revoke(third, 9, second, b)
				c := h.unsupported(9, second, b)
				return map[*Record]Reason{c: ReasonKind}
			},
			members: []byte{1, 3},
			stops:   true,
		},
	}
}

func TestRosterScenarios(t *testing.T) {
	for _, s := range slices.Concat(scenarios(t), decisionScenarios(t)) {
		t.Run(s.name, func(t *testing.T) {
			h := newHistory(t)
			refused := s.build(h)
			roster := h.roster()

			var members []DeviceID
			for i, m := range roster.Members() {
				members = append(members, m.ID)
				if m.Keys.ID() != m.ID || m.Seniority != i {
					t.Errorf("member %+v", m)
				}
				if got, ok := roster.Member(m.ID); !ok || got != m {
					t.Errorf("member %+v is not found by its id", m)
				}
			}
			var want []DeviceID
			for _, n := range s.members {
				want = append(want, fixedDevice(t, n).ID())
			}
			if !slices.Equal(members, want) {
				t.Errorf("members %v, want %v", members, want)
			}
			if got := len(roster.Invites()); got != s.open {
				t.Errorf("%d open invites, want %d", got, s.open)
			}
			if got := len(roster.Waiting()); got != s.waiting {
				t.Errorf("%d records wait, want %d", got, s.waiting)
			}
			got := make(map[RecordHash]Reason)
			for _, refusal := range roster.Refused() {
				got[refusal.Record] = refusal.Reason
			}
			if len(got) != len(refused) || len(got) != len(roster.Refused()) {
				t.Errorf("%d records refused, want %d", len(got), len(refused))
			}
			for record, reason := range refused {
				if got[record.Hash()] != reason {
					t.Errorf("a %s record %q, want one that %q", record.Kind, got[record.Hash()], reason)
				}
			}
			kindErr, stops := errors.AsType[*KindError](roster.Supported())
			if stops != s.stops || stops && refused[mustFind(h, kindErr.Record)] != ReasonKind {
				t.Errorf("supported: %v", roster.Supported())
			}

			if len(h.records) > 6 {
				return
			}
			whole := describe(roster)
			permute(slices.Clone(h.records), func(records []*Record) {
				again, err := ReadRoster(h.space, append(records, records[0]))
				if err != nil {
					t.Fatal(err)
				}
				if got := describe(again); got != whole {
					t.Fatalf("another order gives another roster:\n%s\n\nnot\n\n%s", got, whole)
				}
			})
		})
	}
}

func mustFind(h *history, hash RecordHash) *Record {
	for _, record := range h.records {
		if record.Hash() == hash {
			return record
		}
	}
	return nil
}
