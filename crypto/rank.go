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

// authority finds the role of a device or recovery key, the record that gave it, and the rank, where the given records
// count. A role of 0 means that it is no member.
func (g *graph) authority(id DeviceID, counts bitset) (role Role, grant int, r rank) {
	if i := g.keys.lastIn(counts); i >= 0 && g.nodes[i].recovery == id {
		return Admin, i, g.recoveryRank(i)
	}
	if g.revoked(id, counts) {
		return 0, -1, rank{}
	}
	i := g.grants[id].lastIn(counts)
	if i < 0 {
		return 0, -1, rank{}
	}
	n := &g.nodes[i]
	switch body := n.record.Body.(type) {
	case *Found:
		return Admin, i, n.rank
	case *Admit:
		return g.offer(n.invite).Role, i, n.rank
	case *Succeed:
		role = n.role
	case *RoleChange:
		role = body.Role
	}
	if role != Admin {
		return role, i, rank{classOther, i}
	}
	return role, i, rank{n.rank.class, i}
}

// recoveryRank returns the rank of the recovery key that a record sets.
func (g *graph) recoveryRank(i int) rank {
	if g.nodes[i].record.Kind == KindFound {
		i = 0
	}
	return rank{classRecovery, i}
}

// isRecovery reports whether it is as the recovery key that a record gives the id its role.
func (g *graph) isRecovery(grant int, id DeviceID) bool { return g.nodes[grant].recovery == id }

// revoked reports whether a record that counts revokes the device: nothing else takes from a reader. A recovery key that was
// replaced has no other grant.
func (g *graph) revoked(id DeviceID, counts bitset) bool {
	return g.takers[taking{id, Reader}].meets(counts)
}

// offer returns what an invite offers.
func (g *graph) offer(invite int) *Invite { return g.nodes[invite].record.Body.(*Invite) }

// classOf returns the class of a device that the invite admits.
func (g *graph) classOf(invite int) uint8 {
	if g.offer(invite).Role != Admin {
		return classOther
	}
	return g.nodes[invite].rank.class
}
