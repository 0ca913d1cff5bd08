package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A history builds records that nobody checked: what a member, a thief or a broken program might write.
type history struct {
	t       testing.TB
	space   SpaceID
	records []*Record
	found   *Record
}

// newHistory founds a space with device 1, and recovery code 200.
func newHistory(t testing.TB) *history {
	t.Helper()
	found, err := NewFound(fixedDevice(t, 1), fixedEpoch(t, 9), 1, true, fixedRecovery(t, 200))
	if err != nil {
		t.Fatal(err)
	}
	return &history{t: t, space: found.SpaceID(), records: []*Record{found}, found: found}
}

func (h *history) add(record *Record, err error) *Record {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	h.records = append(h.records, record)
	return record
}

func hashesOf(records []*Record) []RecordHash {
	hashes := make([]RecordHash, 0, len(records))
	for _, record := range records {
		hashes = append(hashes, record.Hash())
	}
	slices.SortFunc(hashes, compareHashes)
	return slices.Compact(hashes)
}

// invite writes an invite with the keys of code n.
func (h *history) invite(author *DeviceKeys, n byte, role Role, parents ...*Record) *Record {
	h.t.Helper()
	body := Invite{PublicKey: fixedInvite(h.t, n).PublicKey(), Role: role, Created: 10, Expires: 100}
	return h.add(newInvite(author, h.space, hashesOf(parents), body))
}

// admit lets device n in with the code of the invite, which is n of the invite.
func (h *history) admit(invite *Record, code, device byte, created uint64, parents ...*Record) *Record {
	h.t.Helper()
	return h.add(newAdmit(fixedInvite(h.t, code), h.space, hashesOf(parents), invite.Hash(), fixedDevice(h.t, device), created))
}

// decision writes an admin's record, whether it may or not.
func (h *history) decision(author *DeviceKeys, body Body, parents ...*Record) *Record {
	h.t.Helper()
	kinds := map[string]Kind{
		"*crypto.Withdraw": KindWithdraw, "*crypto.RoleChange": KindRole, "*crypto.Revoke": KindRevoke, "*crypto.Join": KindJoin,
	}
	record := Record{
		Kind: kinds[fmt.Sprintf("%T", body)], Space: h.space, Parents: hashesOf(parents), Author: author.id, Body: body,
	}
	if key := record.recovery(); key != nil {
		if err := record.proveRecovery(key, fixedKeys(h.t, key.ID())); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.add(newRecord(record, author.secret().signing))
}

func (h *history) unsupported(kind Kind, author *DeviceKeys, parents ...*Record) *Record {
	h.t.Helper()
	return h.add(ParseRecord(unsupportedRecord(kind, h.space, hashesOf(parents), author)))
}

func (h *history) roster() *Roster {
	h.t.Helper()
	roster, err := ReadRoster(h.space, h.records)
	if err != nil {
		h.t.Fatal(err)
	}
	return roster
}

// describe says everything about a roster.
func describe(r *Roster) string {
	var b strings.Builder
	for _, m := range r.Members() {
		fmt.Fprintf(&b, "member %s %s %d %d\n", m.ID, m.Role, m.Admitted, m.Seniority)
	}
	for _, i := range r.Invites() {
		fmt.Fprintf(&b, "invite %s %s\n", i.Record, i.Role)
	}
	for _, refusal := range r.Refused() {
		fmt.Fprintf(&b, "refused %s %s\n", refusal.Record, refusal.Reason)
	}
	recovery, _ := r.Recovery()
	fmt.Fprintf(&b, "epoch %s recovery %s\n", r.CurrentEpoch(), recovery.ID())
	for _, m := range slices.SortedFunc(maps.Keys(r.graph.grants), func(a, b DeviceID) int { return bytes.Compare(a[:], b[:]) }) {
		log, ok := r.Log(m)
		fmt.Fprintf(&b, "log %s %v %v\n", m, ok, log)
	}
	fmt.Fprintf(&b, "waiting %s\nheads %s\nhash %x\nsupported %v", r.Waiting(), r.Heads(), r.Hash(), r.Supported())
	return b.String()
}

// permute calls f with every order of the records.
func permute(records []*Record, f func([]*Record)) {
	var step func(n int)
	step = func(n int) {
		if n == 1 {
			f(records)
			return
		}
		for i := range n {
			step(n - 1)
			if n%2 == 0 {
				records[i], records[n-1] = records[n-1], records[i]
			} else {
				records[0], records[n-1] = records[n-1], records[0]
			}
		}
	}
	step(len(records))
}

// bigger returns the two admits with the larger hash first.
func bigger(a, b *Record) (large, small *Record) {
	if x, y := a.Hash(), b.Hash(); compareHashes(x, y) > 0 {
		return a, b
	}
	return b, a
}

// TestRosterConcurrentAdmits covers two devices with one code that did not see each other.
func TestRosterConcurrentAdmits(t *testing.T) {
	founder := fixedDevice(t, 1)
	winner := func(h *history) DeviceID {
		t.Helper()
		members := h.roster().Members()
		if len(members) != 2 {
			t.Fatalf("%d members, want 2", len(members))
		}
		return members[1].ID
	}

	t.Run("the smaller hash", func(t *testing.T) {
		h := newHistory(t)
		a := h.invite(founder, 20, Writer, h.found)
		_, small := bigger(h.admit(a, 20, 2, 50, a), h.admit(a, 20, 3, 50, a))
		if got := winner(h); got != small.Author {
			t.Errorf("member %s, want %s", got.Short(), small.Author.Short())
		}
	})
	t.Run("what an admin saw first, whatever the hash", func(t *testing.T) {
		h := newHistory(t)
		a := h.invite(founder, 20, Admin, h.found)
		large, small := bigger(h.admit(a, 20, 2, 50, a), h.admit(a, 20, 3, 50, a))
		h.invite(founder, 21, Writer, large)
		if got := winner(h); got != large.Author {
			t.Errorf("member %s, want %s", got.Short(), large.Author.Short())
		}
		h.invite(founder, 22, Writer, large, small) // knows both, and decides nothing
		if got := winner(h); got != large.Author {
			t.Errorf("later: member %s, want %s", got.Short(), large.Author.Short())
		}
	})
	t.Run("the one that entered does not confirm itself", func(t *testing.T) {
		h := newHistory(t)
		a := h.invite(founder, 20, Admin, h.found)
		large, small := bigger(h.admit(a, 20, 2, 50, a), h.admit(a, 20, 3, 50, a))
		author := fixedDevice(t, 2)
		if large.Author != author.ID() {
			author = fixedDevice(t, 3)
		}
		void := h.invite(author, 21, Admin, large)
		if got := winner(h); got != small.Author {
			t.Errorf("member %s, want %s", got.Short(), small.Author.Short())
		}
		after := h.admit(void, 21, 4, 50, void)
		if got := winner(h); got != small.Author {
			t.Errorf("member %s, want %s", got.Short(), small.Author.Short())
		}
		reasons := make(map[RecordHash]Reason)
		for _, refusal := range h.roster().Refused() {
			reasons[refusal.Record] = refusal.Reason
		}
		if len(reasons) != 3 || reasons[large.Hash()] != ReasonSpent || reasons[void.Hash()] != ReasonAuthorVoid || reasons[after.Hash()] != ReasonInviteVoid {
			t.Errorf("refused %v", reasons)
		}
	})
	t.Run("two admins saw different ones: the more senior", func(t *testing.T) {
		h := newHistory(t)
		x := h.invite(founder, 30, Admin, h.found)
		junior := h.admit(x, 30, 5, 50, x)
		a := h.invite(founder, 20, Writer, junior)
		large, small := bigger(h.admit(a, 20, 2, 50, a), h.admit(a, 20, 3, 50, a))
		h.invite(fixedDevice(t, 5), 21, Writer, small)
		h.invite(founder, 22, Writer, large)
		members := h.roster().Members()
		if len(members) != 3 || members[2].ID != large.Author {
			t.Errorf("members %v", members)
		}
	})
}

func TestRosterFoundSignedTwice(t *testing.T) {
	h := newHistory(t)
	twin := *h.found
	twin.signature = slices.Clone(twin.signature) // as a signer with random nonces would make it
	twin.signature[0] ^= 1
	twin.hash = hashLabelled(labelRecord, twin.header, twin.signature)
	h.records = append(h.records, &twin)
	a := h.invite(fixedDevice(t, 1), 20, Admin, h.found)
	b := h.invite(fixedDevice(t, 1), 21, Admin, &twin)
	h.admit(a, 20, 2, 50, a)
	h.admit(b, 21, 3, 50, b)
	roster := h.roster()
	if len(roster.Members()) != 3 || len(roster.Refused()) != 0 || roster.Members()[0].ID != fixedDevice(t, 1).ID() {
		t.Error(describe(roster))
	}
}

func TestRosterPins(t *testing.T) {
	h := newHistory(t)
	a := h.invite(fixedDevice(t, 1), 20, Admin, h.found)
	older := h.roster()
	b := h.admit(a, 20, 2, 50, a)
	newer := h.roster()
	if got := newer.Heads(); !slices.Equal(got, []RecordHash{b.Hash()}) {
		t.Errorf("heads %v", got)
	}
	if got := newer.Missing(older.Heads()); got != nil {
		t.Errorf("newer roster lacks %v", got)
	}
	if got := older.Missing(newer.Heads()); !slices.Equal(got, []RecordHash{b.Hash()}) {
		t.Errorf("older roster lacks %v", got)
	}
	if older.Hash() == newer.Hash() || !newer.Has(a.Hash()) || older.Has(b.Hash()) {
		t.Error("rosters are not told apart")
	}
	if newer.Found() != h.found.Body || len(newer.Epochs()) != 1 || newer.Epochs()[0].ID != fixedEpoch(t, 9).ID() {
		t.Error("found record and its epoch are not there")
	}
	empty, err := ReadRoster(h.space, nil)
	if err != nil || empty.Found() != nil || empty.Epochs() != nil || empty.CurrentEpoch() != (EpochID{}) || len(empty.Members()) != 0 || empty.Supported() != nil {
		t.Error("empty roster is not empty")
	}
}

func TestRosterLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("much work in one thread")
	}
	h := newHistory(t)
	parents := hashesOf(h.records)
	for i := range maxRecords {
		body := Invite{PublicKey: fixedInvite(t, 20).PublicKey(), Role: Reader, Created: uint64(i), Expires: uint64(i)}
		h.add(newInvite(fixedDevice(t, 1), h.space, parents, body))
	}
	_, err := ReadRoster(h.space, h.records)
	wantError(t, err, ErrTooLarge)
	roster, err := ReadRoster(h.space, h.records[:maxRecords])
	if err != nil {
		t.Fatal(err)
	}
	// More heads than a record can name: the next record must still be valid.
	_, err = roster.NewInvite(fixedDevice(t, 1), fixedInvite(t, 20), Reader, 1, 2)
	wantError(t, err, ErrTooLarge) // too many open invites
	if got := roster.parents(0); len(got) != maxParents || !slices.IsSortedFunc(got, compareHashes) {
		t.Errorf("%d parents", len(got))
	}
	needed := roster.graph.index[roster.heads[5000]]
	if got := roster.parents(needed); !slices.Contains(got, roster.heads[5000]) || len(got) != maxParents {
		t.Error("the parent that gives the right to write is not among the parents")
	}
}

func TestRosterWrite(t *testing.T) {
	h := newHistory(t)
	founder, second := fixedDevice(t, 1), fixedDevice(t, 2)
	keys := fixedInvite(t, 20)
	roster := h.roster()
	if _, err := roster.NewInvite(second, keys, Admin, 1, 100); err == nil {
		t.Error("a stranger wrote an invite")
	}
	if _, err := roster.NewInvite(founder, keys, Admin, 100, 1); err == nil {
		t.Error("wrote an invite that expires before it was made")
	}
	invite := h.add(roster.NewInvite(founder, keys, Writer, 1, 100))
	roster = h.roster()
	if open := roster.Invites(); len(open) != 1 || open[0].Record != invite.Hash() || open[0].Author != founder.ID() || open[0].Role != Writer {
		t.Fatalf("open invites %v", open)
	}
	_, err := roster.NewAdmit(keys, RecordHash{1}, second, 50)
	wantError(t, err, ErrInvite)
	_, err = roster.NewAdmit(fixedInvite(t, 21), invite.Hash(), second, 50)
	wantError(t, err, ErrInvite)
	_, err = roster.NewAdmit(keys, invite.Hash(), second, 101)
	wantError(t, err, ErrInvite)
	_, err = roster.NewAdmit(keys, invite.Hash(), founder, 50)
	wantError(t, err, ErrInvite)
	h.add(roster.NewAdmit(keys, invite.Hash(), second, 100))
	roster = h.roster()
	if m, ok := roster.Member(second.ID()); !ok || m.Role != Writer || m.Admitted != 100 || m.Keys != second.Public() {
		t.Errorf("member %+v", m)
	}
	_, err = roster.NewAdmit(keys, invite.Hash(), fixedDevice(t, 3), 50)
	wantError(t, err, ErrInvite)
	if _, err := roster.NewInvite(second, fixedInvite(t, 22), Reader, 1, 100); err == nil {
		t.Error("a writer wrote an invite")
	}

	recovery, err := fixedCode(RecoveryCode, 200).RecoveryKeys()
	if err != nil {
		t.Fatal(err)
	}
	h.add(roster.NewInvite(recovery, fixedInvite(t, 23), Admin, 1, 100))
	if roster = h.roster(); len(roster.Invites()) != 1 || len(roster.Refused()) != 0 {
		t.Error(describe(roster))
	}

	h.unsupported(9, founder, h.records[len(h.records)-1])
	roster = h.roster()
	_, err = roster.NewInvite(founder, fixedInvite(t, 24), Reader, 1, 100)
	if _, ok := errors.AsType[*KindError](err); !ok {
		t.Errorf("wrote past a revocation: %v", err)
	}
	_, err = roster.NewAdmit(fixedInvite(t, 23), h.records[3].Hash(), fixedDevice(t, 3), 50)
	if _, ok := errors.AsType[*KindError](err); !ok {
		t.Errorf("wrote past a revocation: %v", err)
	}
}

func BenchmarkReadRoster(b *testing.B) {
	h := newHistory(b)
	last := h.found
	for n := range byte(126) {
		last = h.invite(fixedDevice(b, 1), n+20, Writer, last)
		last = h.admit(last, n+20, n+2, 50, last)
	}
	for b.Loop() {
		if len(h.roster().Members()) != 127 {
			b.Fatal("members are missing")
		}
	}
}

// BenchmarkReadRosterFull reads histories of the greatest length: in one line, and as somebody would make them who wants
// them to cost much.
func BenchmarkReadRosterFull(b *testing.B) {
	for _, name := range []string{"line", "branches"} {
		b.Run(name, func(b *testing.B) {
			h := newHistory(b)
			random := rand.New(rand.NewPCG(1, 1))
			last := h.found
			for n := byte(2); n < 5; n++ {
				last = h.enter(fixedDevice(b, 1), n, Admin, last)
			}
			for i := len(h.records); i < maxRecords; i++ {
				parents := []*Record{last}
				if name == "branches" {
					parents = nil
					for range 3 {
						parents = append(parents, h.records[max(6, len(h.records)-1-random.IntN(200))])
					}
				}
				cut := Cut{Device: fixedDevice(b, byte(2+random.IntN(3))).ID()}
				body := &RoleChange{Created: uint64(i), Cut: cut, Role: Role(1 + random.IntN(3))}
				last = h.decision(fixedDevice(b, byte(1+i%4)), body, parents...)
			}
			for b.Loop() {
				h.roster()
			}
		})
	}
}
