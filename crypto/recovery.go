package crypto

import (
	"crypto/ed25519"
	"crypto/sha256"

	"golang.org/x/crypto/cryptobyte"
)

const labelRecovery = "sqlitesync/recovery/v1"

// A RecoveryKey is what a record says of a recovery code: its public halves, and a proof by the code's own key. The keys
// stand in clear, so without the proof anyone could found another space with them, for who has nothing but the code.
type RecoveryKey struct {
	PublicKeys
	Proof Proof // signs what stands before it
}

// addKeys and addProof write the key, if there is one.
func (k *RecoveryKey) addKeys(b *cryptobyte.Builder) {
	if k == nil {
		b.AddUint8(0)
		return
	}
	b.AddUint8(1)
	addKeys(b, k.PublicKeys)
}

func (k *RecoveryKey) addProof(b *cryptobyte.Builder) {
	if k != nil {
		b.AddBytes(k.Proof[:])
	}
}

// recovery reads a recovery key, if there is one.
func (d *decoder) recovery(r *Record) *RecoveryKey {
	presence := d.u8()
	d.require(presence <= 1, "presence byte %d", presence)
	if presence != 1 {
		return nil
	}
	key := &RecoveryKey{PublicKeys: d.keys()}
	before := r.header[:len(r.header)-len(d.s)]
	d.fixed(key.Proof[:])
	if d.err == nil {
		d.require(ed25519.Verify(key.Signing[:], recoveryMessage(before), key.Proof[:]), "proof of the recovery key does not verify")
	}
	return key
}

func recoveryMessage(before []byte) []byte {
	sum := sha256.Sum256(before)
	return signedBytes(labelRecovery, sum[:])
}

// A recoveryBody is a body that can set a recovery key. addStart writes what stands before the proof.
type recoveryBody interface {
	Body
	addStart(b *cryptobyte.Builder)
}

// proveRecovery completes the key, which stands in the record already, with its proof.
func (r *Record) proveRecovery(key *RecoveryKey, recovery *DeviceKeys) error {
	var b cryptobyte.Builder
	r.addCommon(&b)
	r.Body.(recoveryBody).addStart(&b)
	before, err := b.Bytes()
	if err != nil {
		return err
	}
	key.Proof = Proof(ed25519.Sign(recovery.secret().signing, recoveryMessage(before)))
	return nil
}
