package crypto

import (
	"crypto/ed25519"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// A Role says what a member may do.
type Role uint8

// The roles.
const (
	Admin  Role = 1 + iota // writes, and decides about members
	Writer                 // writes
	Reader                 // reads
)

// String returns the name of the role.
func (r Role) String() string {
	switch r {
	case Admin:
		return "admin"
	case Writer:
		return "writer"
	case Reader:
		return "reader"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Found is the body of a found record: the rules of the space and its first member.
type Found struct {
	Created     uint64 // Unix milliseconds
	ForeignKeys bool   // the space enforces foreign keys
	Founder     PublicKeys
	Recovery    *RecoveryKey // of the recovery code; nil: none
	Epoch       WrappedEpoch // the first, for the founder and the recovery key
}

func (f *Found) addStart(b *cryptobyte.Builder) {
	b.AddUint64(f.Created)
	if f.ForeignKeys {
		b.AddUint8(2)
	} else {
		b.AddUint8(1)
	}
	addKeys(b, f.Founder)
	f.Recovery.addKeys(b)
}

func (f *Found) add(b *cryptobyte.Builder) {
	f.addStart(b)
	f.Recovery.addProof(b)
	addWrappedEpoch(b, f.Epoch)
}

func (d *decoder) found(r *Record) *Found {
	f := &Found{Created: d.time()}
	foreignKeys := d.u8()
	d.require(foreignKeys == 1 || foreignKeys == 2, "foreign_keys %d", foreignKeys)
	f.ForeignKeys = foreignKeys == 2
	f.Founder = d.keys()
	d.require(f.Founder.ID() == r.Author, "author is not the id of the signing key")
	f.Recovery = d.recovery(r)
	d.require(f.Recovery == nil || f.Recovery.ID() != f.Founder.ID(), "recovery key is the founder's")
	f.Epoch = d.wrappedEpoch()
	d.require(f.Epoch.isFor(f.Founder.ID()), "no wrap for the founder")
	d.require(f.Recovery == nil || f.Epoch.isFor(f.Recovery.ID()), "no wrap for the recovery key")
	if d.err == nil {
		d.require(r.verify(f.Founder.Signing[:]) == nil, "not signed by the founder")
	}
	return f
}

func (w WrappedEpoch) isFor(member DeviceID) bool {
	for _, wrap := range w.Wraps {
		if wrap.Member == member {
			return true
		}
	}
	return false
}

// NewFound writes the found record of a new space: the founder's keys, its first epoch and its rules. created is in Unix
// milliseconds. recovery, the keys of a recovery code, may be nil.
func NewFound(founder *DeviceKeys, epoch *Epoch, created uint64, foreignKeys bool, recovery *DeviceKeys) (*Record, error) {
	body := &Found{Created: created, ForeignKeys: foreignKeys, Founder: founder.Public()}
	record := Record{Kind: KindFound, Author: founder.id, Body: body}
	members := []PublicKeys{body.Founder}
	if recovery != nil {
		body.Recovery = &RecoveryKey{PublicKeys: recovery.Public()}
		if err := record.proveRecovery(body.Recovery, recovery); err != nil {
			return nil, fmt.Errorf("write found record: %w", err)
		}
		members = append(members, body.Recovery.PublicKeys)
	}
	var err error
	if body.Epoch, err = epoch.wrap(members); err != nil {
		return nil, fmt.Errorf("write found record: %w", err)
	}
	signed, err := newRecord(record, founder.secret().signing)
	if err != nil {
		return nil, fmt.Errorf("write found record: %w", err)
	}
	return signed, nil
}

// Invite is the body of an invite record.
type Invite struct {
	PublicKey [ed25519.PublicKeySize]byte // checks the admit record
	Role      Role
	Created   uint64 // Unix milliseconds
	Expires   uint64 // Unix milliseconds
}

func (i *Invite) add(b *cryptobyte.Builder) {
	b.AddBytes(i.PublicKey[:])
	b.AddUint8(uint8(i.Role))
	b.AddUint64(i.Created)
	b.AddUint64(i.Expires)
}

func (d *decoder) invite() *Invite {
	i := &Invite{PublicKey: d.signingKey()}
	i.Role = d.role()
	i.Created = d.time()
	i.Expires = d.time()
	d.require(i.Expires >= i.Created, "expires before it was created")
	return i
}

func newInvite(author *DeviceKeys, space SpaceID, parents []RecordHash, body Invite) (*Record, error) {
	return newRecord(Record{
		Kind:    KindInvite,
		Space:   space,
		Parents: parents,
		Author:  author.id,
		Body:    &body,
	}, author.secret().signing)
}
