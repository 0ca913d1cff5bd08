package crypto

import (
	"fmt"
	"slices"
)

// NewInvite writes an invite record after all records of the roster. The author is an admin device, or the recovery keys.
// Times are in Unix milliseconds. It returns ErrTooLarge if members and open invites are 128 already.
func (r *Roster) NewInvite(author *DeviceKeys, keys *InviteKeys, role Role, created, expires uint64) (*Record, error) {
	if err := r.Supported(); err != nil {
		return nil, fmt.Errorf("write invite record: %w", err)
	}
	authority, grant, _ := r.graph.authority(author.id, r.counts)
	if authority != Admin {
		return nil, fmt.Errorf("write invite record: device %s is not an admin", author.id.Short())
	}
	if len(r.members)+len(r.invites) >= maxMembers {
		return nil, fmt.Errorf("write invite record: %w: %d members and open invites", ErrTooLarge, maxMembers)
	}
	body := Invite{PublicKey: keys.PublicKey(), Role: role, Created: created, Expires: expires}
	record, err := newInvite(author, r.space, r.parents(grant), body)
	if err != nil {
		return nil, fmt.Errorf("write invite record: %w", err)
	}
	return record, nil
}

// NewAdmit writes the admit record with which a new device enters by an open invite, after all records of the roster.
// created is in Unix milliseconds. The caller has held the roster against the invite file, see [InviteFile.Check]. It
// returns ErrInvite if the invite is not open, if created is after its expiry, or if the device is a member already.
func (r *Roster) NewAdmit(keys *InviteKeys, invite RecordHash, device *DeviceKeys, created uint64) (*Record, error) {
	if err := r.Supported(); err != nil {
		return nil, fmt.Errorf("write admit record: %w", err)
	}
	at := slices.IndexFunc(r.invites, func(open OpenInvite) bool { return open.Record == invite })
	if at < 0 || r.invites[at].PublicKey != keys.PublicKey() {
		return nil, fmt.Errorf("write admit record: %w", ErrInvite)
	}
	if created > r.invites[at].Expires {
		return nil, fmt.Errorf("write admit record: %w: expired", ErrInvite)
	}
	if role, _, _ := r.graph.authority(device.id, r.counts); role != 0 {
		return nil, fmt.Errorf("write admit record: %w: device %s is a member already", ErrInvite, device.id.Short())
	}
	record, err := newAdmit(keys, r.space, r.parents(r.graph.index[invite]), invite, device, created)
	if err != nil {
		return nil, fmt.Errorf("write admit record: %w", err)
	}
	return record, nil
}

// parents returns the heads, at most as many as a record can name. The record with number needed, which gives the right
// to write, is among them or in their past, so that someone who floods the roster with heads cannot keep others from
// writing.
func (r *Roster) parents(needed int) []RecordHash {
	if len(r.heads) <= maxParents {
		return r.Heads()
	}
	parents := make([]RecordHash, 0, maxParents)
	for _, pass := range []bool{true, false} {
		for _, hash := range r.heads {
			i := r.graph.index[hash]
			if (i == needed || r.graph.nodes[i].past.has(needed)) == pass && len(parents) < maxParents {
				parents = append(parents, hash)
			}
		}
	}
	slices.SortFunc(parents, compareHashes)
	return parents
}
