package crypto

import (
	"crypto/ed25519"
	"crypto/sha256"

	"golang.org/x/crypto/cryptobyte"
)

const (
	labelAdmit   = "sqlitesync/admit/v1"
	labelSucceed = "sqlitesync/succeed/v1"
)

// A Proof is the last field of a record by which a device enters: the device signs what stands before it, and so shows
// that it holds the key that it enters with.
type Proof [signatureSize]byte

// proofMessage returns what a proof signs, of a header that ends in one.
func proofMessage(label string, header []byte) []byte {
	sum := sha256.Sum256(header[:len(header)-signatureSize])
	return signedBytes(label, sum[:])
}

// prove makes the proof of a record by which the device enters. Its own proof is still empty.
func (r *Record) prove(label string, device *DeviceKeys) (Proof, error) {
	header, err := r.encode()
	if err != nil {
		return Proof{}, err
	}
	return Proof(ed25519.Sign(device.secret().signing, proofMessage(label, header))), nil
}

// checkProof is for the end of a body.
func (d *decoder) checkProof(label string, r *Record, keys PublicKeys, proof Proof) {
	if d.err == nil {
		d.require(ed25519.Verify(keys.Signing[:], proofMessage(label, r.header), proof[:]), "proof does not verify")
	}
}

// Admit is the body of an admit record. It is signed with the private half of the invite's key, which the code gives.
type Admit struct {
	Invite  RecordHash
	Created uint64 // Unix milliseconds, by the clock of the new device
	Keys    PublicKeys
	Proof   Proof
}

func (a *Admit) add(b *cryptobyte.Builder) {
	b.AddBytes(a.Invite[:])
	b.AddUint64(a.Created)
	addKeys(b, a.Keys)
	b.AddBytes(a.Proof[:])
}

func (d *decoder) admit(r *Record) *Admit {
	a := &Admit{}
	d.fixed(a.Invite[:])
	a.Created = d.time()
	a.Keys = d.keys()
	d.fixed(a.Proof[:])
	d.require(a.Keys.ID() == r.Author, "author is not the id of the signing key")
	d.checkProof(labelAdmit, r, a.Keys, a.Proof)
	return a
}

func newAdmit(invite *InviteKeys, space SpaceID, parents []RecordHash, hash RecordHash, device *DeviceKeys, created uint64) (*Record, error) {
	body := &Admit{Invite: hash, Created: created, Keys: device.Public()}
	record := Record{Kind: KindAdmit, Space: space, Parents: parents, Author: device.id, Body: body}
	var err error
	if body.Proof, err = record.prove(labelAdmit, device); err != nil {
		return nil, err
	}
	return newRecord(record, invite.secret().signing)
}

// Succeed is the body of a record with which a member's key admits that member's next device id, in the same role.
type Succeed struct {
	Created uint64 // Unix milliseconds
	Keys    PublicKeys
	Proof   Proof
}

func (s *Succeed) add(b *cryptobyte.Builder) {
	b.AddUint64(s.Created)
	addKeys(b, s.Keys)
	b.AddBytes(s.Proof[:])
}

func (d *decoder) succeed(r *Record) *Succeed {
	s := &Succeed{Created: d.time(), Keys: d.keys()}
	d.fixed(s.Proof[:])
	d.require(s.Keys.ID() != r.Author, "author is the id of the signing key")
	d.checkProof(labelSucceed, r, s.Keys, s.Proof)
	return s
}

func newSucceed(author *DeviceKeys, space SpaceID, parents []RecordHash, device *DeviceKeys, created uint64) (*Record, error) {
	body := &Succeed{Created: created, Keys: device.Public()}
	record := Record{Kind: KindSucceed, Space: space, Parents: parents, Author: author.id, Body: body}
	var err error
	if body.Proof, err = record.prove(labelSucceed, device); err != nil {
		return nil, err
	}
	return newRecord(record, author.secret().signing)
}
