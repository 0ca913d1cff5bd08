package crypto

import "slices"

// A Duty is what an admin device is to write, so that branches close and nobody is left without the current epoch.
type Duty struct {
	Join   bool         // see Roster.NewJoin
	Expire []OpenInvite // expired, to be withdrawn, see Roster.NewWithdraw
}

// Duty returns what a device is to write, at a time in Unix milliseconds and with the epochs that it has. It is nothing
// for who is no admin. Several admins may do the same at once: each has then closed what the others have.
func (r *Roster) Duty(author *DeviceKeys, epochs []*Epoch, now uint64) Duty {
	var duty Duty
	role, _, rank := r.graph.authority(author.id, r.counts)
	if role != Admin || r.current < 0 || r.Supported() != nil {
		return duty
	}
	for _, invite := range r.invites {
		if invite.Expires < now {
			duty.Expire = append(duty.Expire, invite)
		}
	}
	duty.Join = r.uncovered() || r.unconfirmed(rank) || r.lacking(epochs)
	return duty
}

// uncovered reports whether the current epoch was started without knowledge of a record that takes the right to read from
// somebody.
func (r *Roster) uncovered() bool {
	current := &r.graph.nodes[r.current]
	for i := range r.counts.all {
		n := &r.graph.nodes[i]
		ends := n.record.Kind == KindWithdraw || n.record.Kind == KindRevoke || n.record.Kind == KindJoin && n.replaced != (DeviceID{})
		if ends && i != r.current && !current.past.has(i) {
			return true
		}
	}
	return false
}

// unconfirmed reports whether a device entered that a record of this rank would confirm and none has.
func (r *Roster) unconfirmed(author rank) bool {
	g := r.graph
	for i := range r.counts.all {
		n := &g.nodes[i]
		if n.record.Kind == KindAdmit && g.mayConfirm(author, n.invite) && g.confirmed(n.invite, []int{i}, r.counts) < 0 {
			return true
		}
	}
	return false
}

// lacking reports whether somebody was not given the current epoch, or an older one of those given.
func (r *Roster) lacking(epochs []*Epoch) bool {
	given := r.given()
	for _, reader := range r.readers() {
		id := reader.ID()
		if !given[gift{id, r.CurrentEpoch()}] || slices.ContainsFunc(epochs, func(e *Epoch) bool { return !given[gift{id, e.id}] }) {
			return true
		}
	}
	return false
}
