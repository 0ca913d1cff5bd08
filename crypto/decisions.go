package crypto

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
)

const (
	maxCuts         = 64
	maxCutFiles     = 512
	maxRecordEpochs = 64
)

// A FileHash is the SHA-256 of a whole file.
type FileHash [32]byte

// A Cut says how far the log of a device is read: what the author of a record that ends the device's writing knows of it.
type Cut struct {
	Device DeviceID
	Last   uint64     // newest batch of the device that the author has read; 0: none
	Files  []FileHash // the device's live segment files that the author has verified, rising, at most 512
}

func (c *Cut) add(b *cryptobyte.Builder) {
	b.AddBytes(c.Device[:])
	b.AddUint64(c.Last)
	addHashes(b, c.Files)
}

func (d *decoder) cut() (c Cut) {
	d.fixed(c.Device[:])
	c.Last = d.u64()
	d.require(c.Last <= MaxBatch, "batch %d", c.Last)
	c.Files = hashList[FileHash](d, 0, maxCutFiles)
	return c
}

// epochs reads the epochs of a record; the last one is the one that it starts.
func (d *decoder) epochs() []WrappedEpoch {
	list := make([]WrappedEpoch, d.count(1, maxRecordEpochs, len(EpochID{})+2+len(DeviceID{})+2+1))
	seen := make(map[EpochID]bool, len(list))
	for i := range list {
		list[i] = d.wrappedEpoch()
		d.require(!seen[list[i].ID], "an epoch stands twice")
		seen[list[i].ID] = true
	}
	return list
}

func addEpochs(b *cryptobyte.Builder, list []WrappedEpoch) {
	b.AddUint16(uint16(len(list)))
	for _, epoch := range list {
		addWrappedEpoch(b, epoch)
	}
}

// Withdraw is the body of a record that ends an invite.
type Withdraw struct {
	Created uint64 // Unix milliseconds
	Invite  RecordHash
	Epochs  []WrappedEpoch // the last one starts here: who has the code could read the ones before
}

func (w *Withdraw) add(b *cryptobyte.Builder) {
	b.AddUint64(w.Created)
	b.AddBytes(w.Invite[:])
	addEpochs(b, w.Epochs)
}

func (d *decoder) withdraw() *Withdraw {
	w := &Withdraw{Created: d.time()}
	d.fixed(w.Invite[:])
	w.Epochs = d.epochs()
	return w
}

// RoleChange is the body of a role record.
type RoleChange struct {
	Created uint64 // Unix milliseconds
	Cut     Cut    // of the device; empty but for its id, unless it becomes a reader or was one
	Role    Role
}

func (c *RoleChange) add(b *cryptobyte.Builder) {
	b.AddUint64(c.Created)
	c.Cut.add(b)
	b.AddUint8(uint8(c.Role))
}

func (d *decoder) roleChange() *RoleChange {
	return &RoleChange{Created: d.time(), Cut: d.cut(), Role: d.role()}
}

func (d *decoder) role() Role {
	role := Role(d.u8())
	d.require(role >= Admin && role <= Reader, "role %d", uint8(role))
	return role
}

// Revoke is the body of a record that ends devices.
type Revoke struct {
	Created uint64         // Unix milliseconds
	Cuts    []Cut          // rising by device
	Epochs  []WrappedEpoch // the last one starts here, for those who remain
}

func (r *Revoke) add(b *cryptobyte.Builder) {
	b.AddUint64(r.Created)
	b.AddUint16(uint16(len(r.Cuts)))
	for i := range r.Cuts {
		r.Cuts[i].add(b)
	}
	addEpochs(b, r.Epochs)
}

func (d *decoder) revoke() *Revoke {
	r := &Revoke{Created: d.time()}
	r.Cuts = make([]Cut, d.count(1, maxCuts, len(DeviceID{})+8+2))
	for i := range r.Cuts {
		r.Cuts[i] = d.cut()
		d.require(i == 0 || bytes.Compare(r.Cuts[i-1].Device[:], r.Cuts[i].Device[:]) < 0, "cuts are not in rising order")
	}
	r.Epochs = d.epochs()
	return r
}

// Join is the body of a record that joins branches, hands out epochs, and may set the recovery key.
type Join struct {
	Created  uint64         // Unix milliseconds
	Recovery *RecoveryKey   // of a new recovery code, which replaces the one before; nil: unchanged
	Epochs   []WrappedEpoch // the last one starts here; the others are older ones for members who lack them
}

func (j *Join) addStart(b *cryptobyte.Builder) {
	b.AddUint64(j.Created)
	j.Recovery.addKeys(b)
}

func (j *Join) add(b *cryptobyte.Builder) {
	j.addStart(b)
	j.Recovery.addProof(b)
	addEpochs(b, j.Epochs)
}

func (d *decoder) join(r *Record) *Join {
	j := &Join{Created: d.time(), Recovery: d.recovery(r)}
	j.Epochs = d.epochs()
	if d.err == nil && j.Recovery != nil {
		d.require(j.Epochs[len(j.Epochs)-1].isFor(j.Recovery.ID()), "no wrap for the recovery key")
	}
	return j
}
