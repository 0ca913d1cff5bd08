package crypto

import "slices"

// validate judges a record by what its author could see, rule C1 of FORMAT.md, and gives it its rank. The answer is a
// function of the record's past, so it is given once and for all.
func (g *graph) validate(n *node, place int) Reason {
	switch body := n.record.Body.(type) {
	case *Found:
		n.device, n.rank = n.record.Author, rank{classAdmin, 0}
		if body.Recovery != nil {
			n.recovery = body.Recovery.ID()
		}
		return 0
	case *Admit:
		return g.validateAdmit(n, body, place)
	}
	role, grant, r := g.authority(n.record.Author, n.view)
	n.grant, n.rank = grant, r
	if body, ok := n.record.Body.(*Succeed); ok {
		n.role, n.device = role, body.Keys.ID()
		switch {
		case role == 0 || g.isRecovery(grant, n.record.Author):
			return ReasonNotAdmin
		case g.entered(n.device, n.view):
			return ReasonDevice
		}
		return 0
	}
	if body, ok := n.record.Body.(*Join); ok && body.Recovery != nil {
		n.recovery = body.Recovery.ID() // its keys can be asked for, whether it counts or not
	}
	if role != Admin {
		return ReasonNotAdmin
	}
	return g.validateDecision(n)
}

// validateAdmit sees to what an admit must find in its past.
func (g *graph) validateAdmit(n *node, body *Admit, place int) Reason {
	n.device, n.rank = n.record.Author, rank{g.classOf(n.invite), place}
	switch {
	case !n.view.has(n.invite):
		return ReasonInviteVoid
	case g.closed(n.invite, n.view):
		return ReasonClosed
	case len(g.candidates(n.invite, n.past)) > 0:
		return ReasonSpent
	case body.Created > g.offer(n.invite).Expires:
		return ReasonExpired
	case g.entered(n.device, n.view):
		return ReasonDevice
	}
	return 0
}

// validateDecision sees to what an admin's record must find in its past.
func (g *graph) validateDecision(n *node) Reason {
	switch body := n.record.Body.(type) {
	case *Withdraw:
		invite, ok := g.index[body.Invite]
		if !ok || !n.past.has(invite) || g.nodes[invite].record.Kind != KindInvite {
			return ReasonTarget
		}
		n.invite = invite
	case *RoleChange:
		role, grant, _ := g.authority(body.Cut.Device, n.view)
		if role == 0 || role == body.Role && role != Reader || g.isRecovery(grant, body.Cut.Device) {
			return ReasonTarget
		}
		n.role = role
	case *Revoke:
		if slices.ContainsFunc(body.Cuts, func(cut Cut) bool { return !g.grants[cut.Device].meets(n.view) }) {
			return ReasonTarget
		}
	case *Join:
		if body.Recovery != nil && g.entered(n.recovery, n.view) {
			return ReasonDevice
		}
		if i := g.keys.lastIn(n.view); body.Recovery != nil && i >= 0 {
			n.replaced = g.nodes[i].recovery
		}
	}
	if epochs := n.record.epochs(); len(epochs) > 0 && g.started[epochs[len(epochs)-1].ID].meets(n.past) {
		return ReasonEpoch
	}
	return 0
}

// entered reports whether a device was ever a member where the given records count, or its id is that of a recovery key.
func (g *graph) entered(id DeviceID, counts bitset) bool {
	return g.enters[id].meets(counts) || g.grants[id].meets(counts)
}

// closed reports whether an invite admits nobody any more where the given records count, spent or not: it was withdrawn,
// or its author has lost since what the invite needs.
func (g *graph) closed(invite int, counts bitset) bool {
	n := &g.nodes[invite]
	return g.ends[invite].meets(counts) || g.takers[taking{n.record.Author, Admin}].meets(counts, n.past)
}
