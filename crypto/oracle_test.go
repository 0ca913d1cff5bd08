package crypto

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// An oracle decides which records count, straight from the text of FORMAT.md: sets are maps, every rule is a recursive
// function, nothing is kept, and it shares no code with the graph. It takes sound records only.
type oracle struct {
	records map[RecordHash]*Record
	order   map[RecordHash]int // pos
}

type oracleSet map[RecordHash]bool

func newOracle(records []*Record) *oracle {
	o := &oracle{records: map[RecordHash]*Record{}, order: map[RecordHash]int{}}
	for _, r := range records {
		o.records[r.Hash()] = r
	}
	for len(o.order) < len(o.records) {
		var next *Record
		for hash, r := range o.records {
			if _, taken := o.order[hash]; taken {
				continue
			}
			if slices.ContainsFunc(r.Parents, func(p RecordHash) bool { _, taken := o.order[p]; return !taken }) {
				continue
			}
			if next == nil || hash.String() < next.Hash().String() {
				next = r
			}
		}
		o.order[next.Hash()] = len(o.order)
	}
	return o
}

func (o *oracle) past(r *Record) oracleSet {
	past := oracleSet{}
	for _, p := range r.Parents {
		past[p] = true
		for q := range o.past(o.records[p]) {
			past[q] = true
		}
	}
	return past
}

type oracleRank [2]int

func (a oracleRank) less(b oracleRank) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }

// member returns grant, role and rank of a device in the roster of a set.
func (o *oracle) member(id DeviceID, set oracleSet) (grant *Record, role Role, rank oracleRank) {
	for hash := range set {
		r := o.records[hash]
		switch body := r.Body.(type) {
		case *Found:
			if r.Author == id {
				return r, Admin, oracleRank{0, 0}
			}
			if body.Recovery != nil && body.Recovery.ID() == id {
				return r, Admin, oracleRank{1, 0}
			}
		case *Admit:
			if r.Author == id && o.counts(r, set) {
				return r, o.records[body.Invite].Body.(*Invite).Role, o.rank(r)
			}
		}
	}
	return nil, 0, oracleRank{}
}

// class of the device that an invite admits.
func (o *oracle) class(invite *Record) int {
	if invite.Body.(*Invite).Role != Admin {
		return 2
	}
	return o.rank(invite)[0]
}

func (o *oracle) rank(r *Record) oracleRank {
	if admit, ok := r.Body.(*Admit); ok {
		return oracleRank{o.class(o.records[admit.Invite]), o.order[r.Hash()]}
	}
	if r.Kind == KindFound {
		return oracleRank{0, 0}
	}
	_, _, rank := o.member(r.Author, o.past(r))
	return rank
}

// valid is C1.
func (o *oracle) valid(r *Record) bool {
	past := o.past(r)
	switch body := r.Body.(type) {
	case *Invite:
		_, role, _ := o.member(r.Author, past)
		return role == Admin
	case *Admit:
		invite := o.records[body.Invite]
		if !o.counts(invite, past) || body.Created > invite.Body.(*Invite).Expires {
			return false
		}
		for hash := range past {
			if other, ok := o.records[hash].Body.(*Admit); ok && other.Invite == body.Invite && o.valid(o.records[hash]) {
				return false
			}
		}
		_, role, _ := o.member(r.Author, past)
		return role == 0
	}
	return true
}

func (o *oracle) counts(r *Record, set oracleSet) bool {
	if !o.valid(r) {
		return false
	}
	switch body := r.Body.(type) {
	case *Invite:
		grant, _, _ := o.member(r.Author, o.past(r))
		return o.counts(grant, set)
	case *Admit:
		if !o.counts(o.records[body.Invite], set) || o.chosen(body.Invite, set) != r.Hash() {
			return false
		}
		for hash := range set {
			other := o.records[hash]
			if other != r && other.Kind == KindAdmit && other.Author == r.Author && o.rank(other).less(o.rank(r)) && o.counts(other, set) {
				return false
			}
		}
		grant, _, _ := o.member(r.Author, oracleSet{o.foundHash(): true})
		return grant == nil // the founder and the recovery key are there already
	}
	return true
}

func (o *oracle) foundHash() RecordHash {
	for hash, r := range o.records {
		if r.Kind == KindFound {
			return hash
		}
	}
	return RecordHash{}
}

func (o *oracle) chosen(invite RecordHash, set oracleSet) RecordHash {
	candidates := oracleSet{}
	for hash := range set {
		if admit, ok := o.records[hash].Body.(*Admit); ok && admit.Invite == invite && o.valid(o.records[hash]) {
			candidates[hash] = true
		}
	}
	place := oracleRank{o.class(o.records[invite]), o.order[invite]}
	var confirming *Record
	var confirmed RecordHash
	for hash := range set {
		r := o.records[hash]
		if r.Kind == KindAdmit || !o.rank(r).less(place) || !o.counts(r, set) {
			continue
		}
		var seen []RecordHash
		for q := range o.past(r) {
			if candidates[q] {
				seen = append(seen, q)
			}
		}
		if len(seen) != 1 {
			continue
		}
		if confirming == nil || o.rank(r).less(o.rank(confirming)) ||
			o.rank(r) == o.rank(confirming) && hash.String() < confirming.Hash().String() {
			confirming, confirmed = r, seen[0]
		}
	}
	if confirming != nil {
		return confirmed
	}
	var best RecordHash
	for hash := range candidates {
		if best == (RecordHash{}) || hash.String() < best.String() {
			best = hash
		}
	}
	return best
}

// TestRosterOracle compares random histories with the oracle, in several orders of arrival.
func TestRosterOracle(t *testing.T) {
	recovery, err := fixedCode(RecoveryCode, 200).RecoveryKeys()
	if err != nil {
		t.Fatal(err)
	}
	base := newHistory(t)
	reached := make(map[Reason]int)
	confirmed := 0
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := &history{t: t, space: base.space, found: base.found, records: []*Record{base.found}}
		codes := make(map[*Record]byte)
		for len(h.records) < 9 {
			h.addRandom(random, codes, recovery)
		}
		all := oracleSet{}
		for _, r := range h.records {
			all[r.Hash()] = true
		}
		o := newOracle(h.records)
		whole := describe(h.roster())
		for range 4 {
			random.Shuffle(len(h.records), func(i, j int) { h.records[i], h.records[j] = h.records[j], h.records[i] })
			roster := h.roster()
			if got := describe(roster); got != whole {
				t.Fatalf("seed %d: another order gives another roster:\n%s\n\nnot\n\n%s", seed, got, whole)
			}
		}
		roster := h.roster()
		for _, r := range h.records {
			i, ok := roster.graph.index[r.Hash()]
			if !ok {
				t.Fatalf("seed %d: a record of the generator is not sound: %s", seed, describe(roster))
			}
			if got, want := roster.counts.has(i), o.counts(r, all); got != want {
				t.Fatalf("seed %d: %s record %.8s counts: %v, the oracle says %v\n%s", seed, r.Kind, r.Hash(), got, want, whole)
			}
			if got := roster.graph.nodes[i]; got.reason == 0 && oracleRank([2]int{int(got.rank.class), got.rank.place}) != o.rank(r) {
				t.Fatalf("seed %d: rank %v, the oracle says %v", seed, got.rank, o.rank(r))
			}
		}
		for _, refusal := range roster.Refused() {
			reached[refusal.Reason]++
		}
		for _, r := range h.records {
			if i := roster.graph.index[r.Hash()]; r.Kind == KindInvite && roster.counts.has(i) {
				candidates := roster.graph.candidates(i, everything(len(h.records)))
				if len(candidates) > 1 && roster.graph.confirmed(i, candidates, roster.counts) >= 0 {
					confirmed++
				}
			}
		}
	}
	// A comparison that never meets a rule proves nothing about it.
	for _, reason := range []Reason{ReasonNotAdmin, ReasonAuthorVoid, ReasonInviteVoid, ReasonExpired, ReasonSpent, ReasonDevice} {
		if reached[reason] == 0 {
			t.Errorf("no history has a record that %s", reason)
		}
	}
	if confirmed == 0 {
		t.Error("no history has a confirmed admit among several")
	}
	t.Logf("refusals: %v, confirmed: %d", reached, confirmed)
}

func everything(n int) (all bitset) {
	for i := range n {
		all = all.with(i)
	}
	return all
}

// addRandom adds a sound record: any parents, any author known in its past, any device, any code.
func (h *history) addRandom(random *rand.Rand, codes map[*Record]byte, recovery *DeviceKeys) {
	h.t.Helper()
	parents := []*Record{h.records[random.IntN(len(h.records))]}
	if random.IntN(2) == 0 {
		parents = append(parents, h.records[random.IntN(len(h.records))])
	}
	o := newOracle(h.records)
	past := oracleSet{}
	for _, p := range parents {
		past[p.Hash()] = true
		for q := range o.past(p) {
			past[q] = true
		}
	}
	authors := []*DeviceKeys{fixedDevice(h.t, 1), fixedDevice(h.t, 1), recovery}
	var invites []*Record
	for _, r := range h.records { // not over the map: the seed must reproduce the history
		if !past[r.Hash()] {
			continue
		}
		switch r.Kind {
		case KindInvite:
			invites = append(invites, r)
		case KindAdmit:
			for n := byte(2); n < 6; n++ {
				if keys := fixedDevice(h.t, n); keys.ID() == r.Author {
					authors = append(authors, keys, keys)
				}
			}
		}
	}
	if len(invites) > 0 && random.IntN(5) < 3 {
		invite := invites[random.IntN(len(invites))]
		created := uint64(50)
		if random.IntN(12) == 0 {
			created = 101
		}
		h.admit(invite, codes[invite], byte(2+random.IntN(4)), created, parents...)
		return
	}
	role := Admin
	if random.IntN(4) == 0 {
		role = Writer
	}
	code := byte(20 + len(codes))
	invite := h.invite(authors[random.IntN(len(authors))], code, role, parents...)
	codes[invite] = code
}
