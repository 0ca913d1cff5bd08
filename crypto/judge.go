package crypto

import "cmp"

// A rank orders authority: the smaller one is more senior. An admit has the rank that its device would have, every other
// record that of its author.
type rank struct {
	class uint8 // 0: admins; 1: the recovery key and admins by its authority; 2: writers and readers
	place int   // of the record that gave the role, in canonical order; 0: founding
}

const (
	classAdmin uint8 = iota
	classRecovery
	classOther
)

func (r rank) before(s rank) bool {
	return r.class < s.class || r.class == s.class && r.place < s.place
}

// compareRank puts nodes in the order in which they are judged: by rank, at equal rank by place. So what a judgement
// depends on has been judged before.
func compareRank(r, s rank, i, j int) int {
	return cmp.Or(cmp.Compare(r.class, s.class), cmp.Compare(r.place, s.place), cmp.Compare(i, j))
}

// validate judges a record by what its author could see, rule C1 of FORMAT.md, and gives it its rank. The answer is a
// function of the record's past, so it is given once and for all.
func (g *graph) validate(n *node, place int) {
	switch body := n.record.Body.(type) {
	case *Found:
		n.rank = rank{classAdmin, 0}
	case *Invite:
		role, grant, r := g.authority(n.record.Author, g.judge(n.past, nil))
		if role != Admin {
			n.reason = ReasonNotAdmin
		}
		n.grant, n.rank = grant, r
	case *Admit:
		invite := &g.nodes[n.invite]
		offer := invite.record.Body.(*Invite)
		n.rank = rank{g.classOf(n.invite), place}
		view := g.judge(n.past, nil)
		switch role, _, _ := g.authority(n.record.Author, view); {
		case !view.has(n.invite):
			n.reason = ReasonInviteVoid
		case len(g.candidates(n.invite, n.past)) > 0:
			n.reason = ReasonSpent
		case body.Created > offer.Expires:
			n.reason = ReasonExpired
		case role != 0:
			n.reason = ReasonDevice
		}
	}
}

// classOf returns the class of a device that the invite admits.
func (g *graph) classOf(invite int) uint8 {
	n := &g.nodes[invite]
	if n.record.Body.(*Invite).Role != Admin {
		return classOther
	}
	return n.rank.class
}

// authority finds the role of a device, the record that gave it, and the rank, where the given records count. A role of
// 0 means that the device is no member.
func (g *graph) authority(id DeviceID, counts bitset) (role Role, grant int, r rank) {
	for _, i := range g.grants[id] {
		if !counts.has(i) {
			continue
		}
		n := &g.nodes[i]
		switch n.record.Body.(type) {
		case *Found:
			if id == n.record.Author {
				return Admin, i, n.rank
			}
			return Admin, i, rank{classRecovery, 0} // the recovery key
		case *Admit:
			return g.nodes[n.invite].record.Body.(*Invite).Role, i, n.rank
		}
	}
	return 0, -1, rank{}
}

// judge decides which records of a set count. The set must contain the past of each of its records. If why is not nil,
// it receives the reason for each valid record that does not count.
func (g *graph) judge(set bitset, why []Reason) (counts bitset) {
	chosen := make(map[int]int) // invite -> admit, where there are several
	for _, i := range g.byRank {
		if !set.has(i) {
			continue
		}
		if reason := g.overruled(i, set, counts, chosen); reason == 0 {
			counts = counts.with(i)
		} else if why != nil {
			why[i] = reason
		}
	}
	return counts
}

// overruled applies the rules C2 to C5 of FORMAT.md to a valid record: what its author could not see. Of the set, counts
// holds those that count and have a smaller rank. C3 has nothing to apply to before there are kinds that take away.
func (g *graph) overruled(i int, set, counts bitset, chosen map[int]int) Reason {
	n := &g.nodes[i]
	switch n.record.Kind {
	case KindInvite:
		if !counts.has(n.grant) {
			return ReasonAuthorVoid
		}
	case KindAdmit:
		if !counts.has(n.invite) {
			return ReasonInviteVoid
		}
		if len(g.admits[n.invite]) > 1 {
			if _, ok := chosen[n.invite]; !ok {
				chosen[n.invite] = g.choose(n.invite, set, counts)
			}
			if chosen[n.invite] != i {
				return ReasonSpent
			}
		}
		for _, other := range g.grants[n.record.Author] {
			if counts.has(other) {
				return ReasonDevice
			}
		}
	}
	return 0
}

// candidates returns the valid admits by an invite in a set.
func (g *graph) candidates(invite int, set bitset) (list []int) {
	for _, i := range g.admits[invite] {
		if set.has(i) && g.nodes[i].reason == 0 {
			list = append(list, i)
		}
	}
	return list
}

// choose returns the one admit that spends the invite: the causally first one, of concurrent ones that with the smaller
// hash. But hashes can be ground: whoever finds an old code could push the rightful device out with a new "concurrent"
// admit. So once an admin's record has seen one of them and no other, that one stays.
func (g *graph) choose(invite int, set, counts bitset) int {
	candidates := g.candidates(invite, set)
	if confirmed := g.confirmed(invite, candidates, counts); confirmed >= 0 {
		return confirmed
	}
	// A valid admit has no valid one of the same invite in its past, so all candidates are concurrent.
	best := candidates[0]
	for _, i := range candidates[1:] {
		if compareHashes(g.nodes[i].record.hash, g.nodes[best].record.hash) < 0 {
			best = i
		}
	}
	return best
}

// confirmed returns the candidate that the most senior admin's record with exactly one of them in its past has there, or
// -1. Only authors who are more senior than the device that enters are asked, so that nobody confirms himself.
func (g *graph) confirmed(invite int, candidates []int, counts bitset) int {
	place := rank{g.classOf(invite), invite}
	confirming, confirmed := -1, -1
	for _, i := range g.byRank {
		n := &g.nodes[i]
		if n.rank.class == classOther || !n.rank.before(place) ||
			confirming >= 0 && n.rank != g.nodes[confirming].rank {
			break
		}
		if n.record.Kind == KindAdmit || !counts.has(i) {
			continue
		}
		seen, last := 0, -1
		for _, candidate := range candidates {
			if n.past.has(candidate) {
				seen, last = seen+1, candidate
			}
		}
		if seen == 1 && (confirming < 0 || compareHashes(n.record.hash, g.nodes[confirming].record.hash) < 0) {
			confirming, confirmed = i, last
		}
	}
	return confirmed
}
