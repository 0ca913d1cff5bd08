package crypto

import (
	"bytes"
	"fmt"
	"slices"
)

// NewInvite writes an invite record after all records of the roster. The author is an admin device, or the recovery keys.
// Times are in Unix milliseconds. It returns ErrTooLarge if members and open invites are 128 already.
func (r *Roster) NewInvite(author *DeviceKeys, keys *InviteKeys, role Role, created, expires uint64) (*Record, error) {
	if err := r.Supported(); err != nil {
		return nil, fmt.Errorf("write invite record: %w", err)
	}
	grant, err := r.adminGrant(author)
	if err != nil {
		return nil, fmt.Errorf("write invite record: %w", err)
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
	if r.graph.entered(device.id, r.counts) {
		return nil, fmt.Errorf("write admit record: %w: device %s was a member before", ErrInvite, device.id.Short())
	}
	record, err := newAdmit(keys, r.space, r.parents(r.graph.index[invite]), invite, device, created)
	if err != nil {
		return nil, fmt.Errorf("write admit record: %w", err)
	}
	return record, nil
}

// NewSucceed writes the record with which a member admits its own next device id, in the same role. created is in Unix
// milliseconds.
func (r *Roster) NewSucceed(author, device *DeviceKeys, created uint64) (*Record, error) {
	if err := r.Supported(); err != nil {
		return nil, fmt.Errorf("write succeed record: %w", err)
	}
	role, grant, _ := r.graph.authority(author.id, r.counts)
	if role == 0 || r.graph.isRecovery(grant, author.id) {
		return nil, fmt.Errorf("write succeed record: %w: device %s", ErrNotAllowed, author.id.Short())
	}
	record, err := newSucceed(author, r.space, r.parents(grant), device, created)
	if err != nil {
		return nil, fmt.Errorf("write succeed record: %w", err)
	}
	return record, r.check(record)
}

// NewWithdraw writes the record that ends an invite, spent or not, and starts an epoch, because who has the code could
// read the ones before. created is in Unix milliseconds.
func (r *Roster) NewWithdraw(author *DeviceKeys, invite RecordHash, created uint64) (*Record, error) {
	epochs, err := newEpochs(r.readers())
	if err != nil {
		return nil, fmt.Errorf("write withdraw record: %w", err)
	}
	return r.decide(KindWithdraw, author, &Withdraw{Created: created, Invite: invite, Epochs: epochs}, nil)
}

// NewRole writes the record that gives a device another role. The cut names the device; where it is to be a reader, or
// was one, the cut also says how far the author has read it. created is in Unix milliseconds.
func (r *Roster) NewRole(author *DeviceKeys, cut Cut, role Role, created uint64) (*Record, error) {
	return r.decide(KindRole, author, &RoleChange{Created: created, Cut: cut, Role: role}, nil)
}

// NewRevoke writes the record that ends devices, of which the cuts say how far the author has read them, and starts an
// epoch for those who remain. created is in Unix milliseconds. It is written whatever [Roster.Supported] says: to revoke who
// wrote what nobody knows is what ends that.
func (r *Roster) NewRevoke(author *DeviceKeys, cuts []Cut, created uint64) (*Record, error) {
	cuts = slices.Clone(cuts)
	slices.SortFunc(cuts, func(a, b Cut) int { return bytes.Compare(a.Device[:], b.Device[:]) })
	remain := slices.DeleteFunc(r.readers(), func(keys PublicKeys) bool {
		return slices.ContainsFunc(cuts, func(cut Cut) bool { return cut.Device == keys.ID() })
	})
	if len(remain) == 0 {
		return nil, fmt.Errorf("write revoke record: %w: nobody would remain", ErrNotAllowed)
	}
	epochs, err := newEpochs(remain)
	if err != nil {
		return nil, fmt.Errorf("write revoke record: %w", err)
	}
	return r.decide(KindRevoke, author, &Revoke{Created: created, Cuts: cuts, Epochs: epochs}, nil)
}

// NewJoin writes the record that joins all branches and starts an epoch for everybody. Of the given epochs it hands out
// those that somebody lacks, as many as fit. recovery, if not nil, are the keys of a new recovery code, which replaces the
// one before. created is in Unix milliseconds.
func (r *Roster) NewJoin(author *DeviceKeys, epochs []*Epoch, recovery *DeviceKeys, created uint64) (*Record, error) {
	readers := r.readers()
	body := &Join{Created: created}
	if recovery != nil {
		if old, ok := r.Recovery(); ok {
			readers = slices.DeleteFunc(readers, func(keys PublicKeys) bool { return keys == old })
		}
		body.Recovery = &RecoveryKey{PublicKeys: recovery.Public()}
		readers = append(readers, body.Recovery.PublicKeys)
	}
	started, err := newEpochs(readers)
	if err != nil {
		return nil, fmt.Errorf("write join record: %w", err)
	}
	older, err := r.handOut(readers, epochs, maxJoinWraps-len(readers))
	if err != nil {
		return nil, fmt.Errorf("write join record: %w", err)
	}
	body.Epochs = append(older, started...)
	return r.decide(KindJoin, author, body, recovery)
}

// maxJoinWraps is how many wraps fit a record beside 256 parents and recovery keys.
const maxJoinWraps = 142

// handOut wraps epochs for those readers who were not given them, the newest first, room wraps at most.
func (r *Roster) handOut(readers []PublicKeys, epochs []*Epoch, room int) (older []WrappedEpoch, err error) {
	given := r.given()
	for _, epoch := range slices.Backward(epochs) {
		var lack []PublicKeys
		for _, reader := range readers {
			if !given[gift{reader.ID(), epoch.id}] && len(lack) < room {
				lack = append(lack, reader)
			}
		}
		if len(lack) == 0 || len(older) == maxRecordEpochs-1 {
			continue
		}
		wrapped, err := epoch.wrap(lack)
		if err != nil {
			return nil, err
		}
		room -= len(lack)
		older = append(older, wrapped)
	}
	slices.Reverse(older)
	return older, nil
}

// newEpochs starts an epoch.
func newEpochs(readers []PublicKeys) ([]WrappedEpoch, error) {
	epoch, err := NewEpoch()
	if err != nil {
		return nil, err
	}
	wrapped, err := epoch.wrap(readers)
	return []WrappedEpoch{wrapped}, err
}

// decide writes an admin's record after all records of the roster. The keys are those of a recovery code that it sets,
// or nil.
func (r *Roster) decide(kind Kind, author *DeviceKeys, body Body, recovery *DeviceKeys) (*Record, error) {
	if err := r.Supported(); err != nil && kind != KindRevoke {
		return nil, fmt.Errorf("write %s record: %w", kind, err)
	}
	grant, err := r.adminGrant(author)
	if err != nil {
		return nil, fmt.Errorf("write %s record: %w", kind, err)
	}
	unsigned := Record{Kind: kind, Space: r.space, Parents: r.parents(grant), Author: author.id, Body: body}
	if recovery != nil {
		if err := unsigned.proveRecovery(unsigned.recovery(), recovery); err != nil {
			return nil, fmt.Errorf("write %s record: %w", kind, err)
		}
	}
	record, err := newRecord(unsigned, author.secret().signing)
	if err != nil {
		return nil, fmt.Errorf("write %s record: %w", kind, err)
	}
	return record, r.check(record)
}

// check makes sure that a record will count, as far as its author can see.
func (r *Roster) check(record *Record) error {
	n := node{record: record, past: r.graph.pastOf(record), invite: -1, grant: -1}
	n.view = r.graph.viewOf(&n)
	if reason := r.graph.validate(&n, len(r.graph.nodes)); reason != 0 {
		return fmt.Errorf("write %s record: %w: it %s", record.Kind, ErrNotAllowed, reason)
	}
	return nil
}

// adminGrant returns what gives the author the right to decide.
func (r *Roster) adminGrant(author *DeviceKeys) (int, error) {
	role, grant, _ := r.graph.authority(author.id, r.counts)
	if role != Admin {
		return -1, fmt.Errorf("%w: device %s is not an admin", ErrNotAllowed, author.id.Short())
	}
	return grant, nil
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
