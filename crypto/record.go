package crypto

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

const maxParents = 256

// A Kind says what a record does.
type Kind uint8

// The kinds of records. Of kinds above these this version reads who wrote them and where they stand.
const (
	KindFound    Kind = 1 + iota // makes the space; the author is its first member
	KindInvite                   // opens a place
	KindAdmit                    // takes it
	KindSucceed                  // a member's next device id
	KindWithdraw                 // closes a place
	KindRole                     // changes a role
	KindRevoke                   // ends devices
	KindJoin                     // joins branches
)

// String returns the name of the kind.
func (k Kind) String() string {
	names := [...]string{"found", "invite", "admit", "succeed", "withdraw", "role", "revoke", "join"}
	if k < 1 || int(k) > len(names) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k-1]
}

// A KindError reports a record of a kind that this version cannot compute. It may be a revocation: a program that goes
// on without it may trust a device that it must not trust.
type KindError struct {
	Kind   Kind
	Record RecordHash
	Author DeviceID
}

func (e *KindError) Error() string {
	return fmt.Sprintf("record %.8s: kind %q is not supported by this version, update the program", e.Record, e.Kind)
}

// A Record is one signed step in the history of who is a member. Its fields must not be changed.
type Record struct {
	Kind    Kind
	Space   SpaceID      // zero in a found record, whose hash it is
	Parents []RecordHash // rising; empty in a found record only
	Author  DeviceID
	Body    Body // nil for a kind that this version does not know

	header    []byte
	signature []byte
	hash      RecordHash
}

// A Body is the part of a record that depends on its kind: *[Found], *[Invite], *[Admit], *[Succeed], *[Withdraw],
// *[RoleChange], *[Revoke] or *[Join].
type Body interface {
	add(b *cryptobyte.Builder)
}

// ParseRecord decodes a record file. The signature is checked by [ReadRoster], which knows the keys. A record of a kind
// that this version does not know has no Body; it must be given to ReadRoster all the same, which reports it.
func ParseRecord(file []byte) (*Record, error) {
	signed, err := recordFile.split(file)
	if err != nil {
		return nil, fmt.Errorf("parse record: %w", err)
	}
	if len(signed.payload) > 0 {
		return nil, fmt.Errorf("parse record: %w: %d bytes after the signature", ErrDamaged, len(signed.payload))
	}
	// The record outlives the buffer that it was read into.
	r := &Record{header: slices.Clone(signed.header), signature: slices.Clone(signed.signature)}
	if err := r.decode(); err != nil {
		return nil, fmt.Errorf("parse record: %w", err)
	}
	r.hash = hashLabelled(labelRecord, r.header, r.signature)
	return r, nil
}

func (r *Record) decode() error {
	d := decoder{s: r.header}
	r.Kind = Kind(d.u8())
	d.fixed(r.Space[:])
	r.Parents = hashList[RecordHash](&d, 0, maxParents)
	d.fixed(r.Author[:])
	d.require(r.Kind != 0, "kind 0")
	d.require((r.Kind == KindFound) == (len(r.Parents) == 0), "parents do not fit the kind")

	switch r.Kind {
	case KindFound:
		d.require(r.Space == SpaceID{}, "space is not zero")
		r.Body = d.found(r)
	case KindInvite:
		r.Body = d.invite()
	case KindAdmit:
		r.Body = d.admit(r)
	case KindSucceed:
		r.Body = d.succeed(r)
	case KindWithdraw:
		r.Body = d.withdraw()
	case KindRole:
		r.Body = d.roleChange()
	case KindRevoke:
		r.Body = d.revoke()
	case KindJoin:
		r.Body = d.join(r)
	default:
		return d.err // the body is for a later version to read
	}
	return d.end()
}

// File returns the bytes of the record file.
func (r *Record) File() []byte { return recordFile.appendSigned(nil, r.header, r.signature) }

// Hash names the record and its file.
func (r *Record) Hash() RecordHash { return r.hash }

// epochs returns the epochs that the record hands out; the last one is the one that it starts.
func (r *Record) epochs() []WrappedEpoch {
	switch body := r.Body.(type) {
	case *Found:
		return []WrappedEpoch{body.Epoch}
	case *Withdraw:
		return body.Epochs
	case *Revoke:
		return body.Epochs
	case *Join:
		return body.Epochs
	}
	return nil
}

// recovery returns the recovery key that the record sets, or nil.
func (r *Record) recovery() *RecoveryKey {
	switch body := r.Body.(type) {
	case *Found:
		return body.Recovery
	case *Join:
		return body.Recovery
	}
	return nil
}

// SpaceID returns the space that the record belongs to, for a found record the one that it makes.
func (r *Record) SpaceID() SpaceID {
	if r.Kind == KindFound {
		return hashLabelled(labelSpace, r.header)
	}
	return r.Space
}

// verify checks the signature alone.
func (r *Record) verify(key ed25519.PublicKey) error {
	f := signedFile{kind: &recordFile, header: r.header, signature: r.signature}
	return f.checkSignature(key)
}

// newRecord encodes and signs a record, then decodes it as a reader will: what a reader would reject is never written.
func newRecord(r Record, signer ed25519.PrivateKey) (*Record, error) {
	header, err := r.encode()
	if err != nil {
		return nil, err
	}
	if len(header) > recordFile.maxHeader {
		return nil, fmt.Errorf("%w: record of %d bytes", ErrTooLarge, len(header))
	}
	signature := ed25519.Sign(signer, signedBytes(recordFile.label, header))
	return ParseRecord(recordFile.appendSigned(nil, header, signature))
}

func (r *Record) encode() ([]byte, error) {
	var b cryptobyte.Builder
	r.addCommon(&b)
	r.Body.add(&b)
	return b.Bytes()
}

// addCommon writes the part that all kinds have.
func (r *Record) addCommon(b *cryptobyte.Builder) {
	b.AddUint8(uint8(r.Kind))
	b.AddBytes(r.Space[:])
	addHashes(b, r.Parents)
	b.AddBytes(r.Author[:])
}
