package crypto

import "slices"

// judge decides which records of a set count, rules C2 to C5 of FORMAT.md. The set must contain the past of each of its
// records. If why is not nil, it receives the reason for each valid record that does not count.
func (g *graph) judge(set bitset, why []Reason) (counts bitset) {
	var senior bitset // those that count and have a smaller rank
	var last rank
	chosen := make(map[int]int) // invite -> admit, where there are several
	for _, i := range g.byRank {
		if !set.has(i) {
			continue
		}
		if g.nodes[i].rank != last {
			senior, last = append(senior[:0], counts...), g.nodes[i].rank
		}
		if reason := g.overruled(i, set, counts, senior, chosen); reason == 0 {
			counts = counts.with(i)
		} else if why != nil {
			why[i] = reason
		}
	}
	return counts
}

// overruled applies the rules to a valid record. Of the set, counts holds those that count and were judged before.
func (g *graph) overruled(i int, set, counts, senior bitset, chosen map[int]int) Reason {
	n := &g.nodes[i]
	if n.record.Kind == KindFound {
		return 0
	}
	if n.record.Kind == KindAdmit {
		if !counts.has(n.invite) {
			return ReasonInviteVoid
		}
	} else if !counts.has(n.grant) {
		return ReasonAuthorVoid
	}
	if g.takenAway(n, senior) {
		return ReasonOverruled
	}
	if n.record.Kind == KindAdmit && len(g.admits[n.invite]) > 1 {
		if _, ok := chosen[n.invite]; !ok {
			chosen[n.invite] = g.choose(n.invite, set, counts)
		}
		if chosen[n.invite] != i {
			return ReasonSpent
		}
	}
	if g.enters[n.device].meets(counts) || g.enters[n.recovery].meets(counts) {
		return ReasonDevice
	}
	return 0
}

// takenAway reports whether a more senior record that the author had not seen, and that had not seen this one, takes
// away what this one needs.
func (g *graph) takenAway(n *node, senior bitset) bool {
	author, need := n.record.Author, Admin
	switch n.record.Kind {
	case KindAdmit:
		if g.ends[n.invite].meets(senior, n.past, n.future) {
			return true
		}
		author = g.nodes[n.invite].record.Author
	case KindSucceed:
		need = n.role // it must not save its author's role from being lowered
	}
	return g.takers[taking{author, need}].meets(senior, n.past, n.future)
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
	return slices.MinFunc(candidates, func(a, b int) int {
		return compareHashes(g.nodes[a].record.hash, g.nodes[b].record.hash)
	})
}

// confirmed returns the candidate that the most senior admin's record with exactly one of them in its past has there, or
// -1. Only authors who are more senior than the device that enters are asked, so that nobody confirms himself.
func (g *graph) confirmed(invite int, candidates []int, counts bitset) int {
	confirming, confirmed := -1, -1
	for _, i := range g.byRank {
		n := &g.nodes[i]
		if !g.mayConfirm(n.rank, invite) || confirming >= 0 && n.rank != g.nodes[confirming].rank {
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

// mayConfirm reports whether records of the rank confirm who enters by an invite.
func (g *graph) mayConfirm(r rank, invite int) bool {
	return r.class != classOther && r.before(rank{g.classOf(invite), invite})
}
