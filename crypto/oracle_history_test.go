package crypto

import (
	"bytes"
	"cmp"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRosterOracle compares random histories with the oracle, in several orders of arrival.
func TestRosterOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("much work in one thread")
	}
	base := newHistory(t)
	reached := make(map[Reason]int)
	counting := make(map[Kind]int)
	confirmed, concurrent, lowered, exposed := 0, 0, 0, 0
	for seed := range uint64(400) {
		g := &generator{
			history: &history{t: t, space: base.space, found: base.found, records: []*Record{base.found}},
			random:  rand.New(rand.NewPCG(seed, 1)), codes: make(map[*Record]byte),
		}
		for len(g.records) < 16 {
			g.add()
		}
		o := newOracle(g.records)
		whole := describe(g.roster())
		for range 3 {
			g.random.Shuffle(len(g.records), func(i, j int) { g.records[i], g.records[j] = g.records[j], g.records[i] })
			if got := describe(g.roster()); got != whole {
				t.Fatalf("seed %d: another order gives another roster:\n%s\n\nnot\n\n%s", seed, got, whole)
			}
		}
		roster := g.roster()
		compareOracle(t, seed, o, roster)
		if t.Failed() {
			t.Fatal(whole)
		}
		if roster.Exposed() {
			exposed++
		}
		for _, refusal := range roster.Refused() {
			reached[refusal.Reason]++
			if refusal.Reason == ReasonOverruled && refusal.Kind == KindRevoke {
				concurrent++
			}
		}
		for i, r := range o.records {
			if o.counts(i, o.all()) {
				counting[r.Kind]++
			}
			if change, ok := r.Body.(*RoleChange); ok && o.counts(i, o.all()) && change.Role == Reader {
				lowered++
			}
			if candidates := o.candidates(r.Hash(), o.all()); r.Kind == KindInvite && bits.OnesCount64(uint64(candidates)) > 1 &&
				roster.graph.confirmed(i, candidates.list(), roster.counts) >= 0 {
				confirmed++
			}
		}
	}
	// A comparison that never meets a rule proves nothing about it.
	for reason := ReasonNotAdmin; reason <= ReasonOverruled; reason++ {
		if reached[reason] == 0 {
			t.Errorf("no history has a record that %s", reason)
		}
	}
	for kind := KindFound; kind <= KindJoin; kind++ {
		if counting[kind] == 0 {
			t.Errorf("no history has a %s record that counts", kind)
		}
	}
	if confirmed == 0 || concurrent == 0 || lowered == 0 || exposed == 0 {
		t.Errorf("confirmed admits among several: %d, revocations overruled: %d, devices lowered: %d, epochs exposed: %d", confirmed, concurrent, lowered, exposed)
	}
	t.Logf("refusals: %v, counting: %v, confirmed: %d", reached, counting, confirmed)
}

func compareOracle(t *testing.T, seed uint64, o *oracle, roster *Roster) {
	t.Helper()
	for i, r := range o.records {
		if place, ok := roster.graph.index[r.Hash()]; !ok || place != i {
			t.Errorf("seed %d: a record of the generator is not sound, or has another place", seed)
			return
		}
		if got, want := roster.counts.has(i), o.counts(i, o.all()); got != want {
			t.Errorf("seed %d: %s record %.8s counts: %v, the oracle says %v", seed, r.Kind, r.Hash(), got, want)
		}
		if n := roster.graph.nodes[i]; n.reason == 0 && (oracleRank{int(n.rank.class), n.rank.place}) != o.rank(i) {
			t.Errorf("seed %d: rank %v, the oracle says %v", seed, n.rank, o.rank(i))
		}
	}
	members := roster.Members()
	same := func(a, b Member) bool { return a.ID == b.ID && a.Role == b.Role }
	if want := o.members(); !slices.EqualFunc(members, want, same) {
		t.Errorf("seed %d: members %v, the oracle says %v", seed, members, want)
	}
	var open []RecordHash
	for _, invite := range roster.Invites() {
		open = append(open, invite.Record)
	}
	if want := o.openInvites(); !slices.Equal(open, want) {
		t.Errorf("seed %d: open invites %v, the oracle says %v", seed, open, want)
	}
	if want, exposed := o.currentEpoch(); roster.CurrentEpoch() != want || roster.Exposed() != exposed {
		t.Errorf("seed %d: current epoch %s, exposed: %v, the oracle says %s, %v", seed, roster.CurrentEpoch(), roster.Exposed(), want, exposed)
	}
	grant, recovery := o.recovery(o.all())
	if keys, ok := roster.Recovery(); ok != (grant >= 0) || ok && keys.ID() != recovery {
		t.Errorf("seed %d: recovery key %v, the oracle says %v", seed, keys.ID(), recovery)
	}
	for i := range o.records {
		for _, id := range o.admitted(i) {
			ended, last, files := o.cut(id)
			log, was := roster.Log(id)
			if was != o.wasMember(id, o.all()) {
				t.Errorf("seed %d: device %s was a member: %v", seed, id.Short(), was)
			}
			if was && (log.Cut != ended || log.Last != last || !slices.Equal(log.Files, files) || log.Keys.ID() != id) {
				t.Errorf("seed %d: log of device %s %+v, the oracle says %v %d %v", seed, id.Short(), log, ended, last, files)
			}
			if _, role, _ := o.member(id, o.all()); was && log.Writes != (role == Admin || role == Writer) {
				t.Errorf("seed %d: device %s writes: %v", seed, id.Short(), log.Writes)
			}
		}
	}
}

// A generator adds sound records: any parents, any author known in their past, about anything.
type generator struct {
	*history
	random *rand.Rand
	codes  map[*Record]byte
	made   int
	past   []*Record // of the record under way
	keys   []*DeviceKeys
}

// pick returns one of the elements, and the zero value if there are none.
func pick[T any](random *rand.Rand, list []T) (picked T) {
	if len(list) > 0 {
		picked = list[random.IntN(len(list))]
	}
	return picked
}

func (g *generator) add() {
	g.t.Helper()
	g.made++
	// Mostly after what is newest, so that histories get long; else back-dated.
	parent := func() *Record {
		if g.random.IntN(5) < 3 {
			return g.records[len(g.records)-1-g.random.IntN(min(3, len(g.records)))]
		}
		return pick(g.random, g.records)
	}
	parents := []*Record{parent()}
	if g.random.IntN(2) == 0 {
		parents = append(parents, parent())
	}
	g.look(parents)
	author := pick(g.random, g.keys)
	var invites []*Record
	for _, r := range g.past {
		if r.Kind == KindInvite {
			invites = append(invites, r)
		}
	}
	anyDevice := pick(g.random, g.keys).ID()
	var body Body
	created := uint64(g.made)
	switch n := g.random.IntN(20); {
	case n < 8 && len(invites) > 0:
		invite := pick(g.random, invites)
		if g.random.IntN(12) == 0 {
			created = 101 + uint64(g.made)
		}
		g.admit(invite, g.codes[invite], byte(2+g.random.IntN(4)), created, parents...)
		return
	case n == 8:
		next := fixedDevice(g.t, byte(2+g.random.IntN(7)))
		if next.ID() != author.ID() {
			g.history.add(newSucceed(author, g.space, hashesOf(parents), next, created))
		}
		return
	case n == 9 && len(invites) > 0:
		body = &Withdraw{Created: created, Invite: pick(g.random, invites).Hash(), Epochs: g.epochs(nil)}
		if g.random.IntN(10) == 0 {
			body.(*Withdraw).Invite = g.found.Hash()
		}
	case n < 12:
		body = &RoleChange{Created: created, Cut: g.cut(anyDevice), Role: Role(1 + g.random.IntN(3))}
	case n < 15:
		cuts := []Cut{g.cut(anyDevice)}
		if other := pick(g.random, g.keys).ID(); g.random.IntN(4) == 0 && other != anyDevice {
			cuts = append(cuts, g.cut(other))
			slices.SortFunc(cuts, func(a, b Cut) int { return bytes.Compare(a.Device[:], b.Device[:]) })
		}
		body = &Revoke{Created: created, Cuts: cuts, Epochs: g.epochs(nil)}
	case n == 15 || n == 9:
		join := &Join{Created: created}
		if g.random.IntN(3) < 2 {
			join.Recovery = &RecoveryKey{PublicKeys: fixedRecovery(g.t, byte(200+g.random.IntN(3))).Public()}
		}
		join.Epochs = g.epochs(join.Recovery)
		body = join
	default:
		role := cmp.Or(Role(max(0, g.random.IntN(6)-2)), Admin)
		code := byte(20 + len(g.codes))
		invite := g.invite(author, code, min(role, Reader), parents...)
		g.codes[invite] = code
		return
	}
	g.decision(author, body, parents...)
}

// look finds the past of the parents, and whose keys stand there.
func (g *generator) look(parents []*Record) {
	o := newOracle(g.records)
	var past oracleSet
	for _, p := range parents {
		i := o.pos[p.Hash()]
		past |= 1<<i | o.past(i)
	}
	g.past, g.keys = nil, nil
	known := map[DeviceID]bool{}
	for _, i := range past.list() {
		g.past = append(g.past, o.records[i])
		for _, id := range o.admitted(i) {
			known[id] = true
		}
	}
	for n := byte(1); n < 10; n++ {
		if keys := fixedDevice(g.t, n); known[keys.ID()] {
			g.keys = append(g.keys, keys, keys)
		}
	}
	g.keys = append(g.keys, fixedDevice(g.t, 1))
	for n := byte(200); n < 204; n++ {
		if keys := fixedRecovery(g.t, n); known[keys.ID()] {
			g.keys = append(g.keys, keys)
		}
	}
}

func (g *generator) cut(device DeviceID) Cut {
	return Cut{Device: device, Last: uint64(g.random.IntN(5)), Files: []FileHash{{byte(g.random.IntN(4))}}}
}

func (g *generator) epochs(recovery *RecoveryKey) []WrappedEpoch {
	id := EpochID{1, byte(g.made)}
	if g.random.IntN(10) == 0 {
		id = EpochID{1, byte(g.random.IntN(g.made + 1))}
	}
	members := map[DeviceID]bool{fixedDevice(g.t, 1).ID(): true}
	if recovery != nil {
		members = map[DeviceID]bool{recovery.ID(): true}
	}
	for _, keys := range g.keys {
		if g.random.IntN(4) == 0 {
			members[keys.ID()] = true
		}
	}
	epoch := WrappedEpoch{ID: id}
	for _, member := range slices.SortedFunc(maps.Keys(members), func(a, b DeviceID) int { return bytes.Compare(a[:], b[:]) }) {
		epoch.Wraps = append(epoch.Wraps, Wrap{Member: member, File: []byte{1}})
	}
	return []WrappedEpoch{epoch}
}
