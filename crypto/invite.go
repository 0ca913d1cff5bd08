package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"filippo.io/age"
	"golang.org/x/crypto/cryptobyte"
)

const (
	// MaxInviteFile is the largest invite file in bytes.
	MaxInviteFile = 128 << 10

	inviteName = "invite"

	labelInviteFile   = "sqlitesync/invite/file/v1"
	labelInviteAge    = "sqlitesync/invite/age/v1"
	labelInviteSign   = "sqlitesync/invite/sign/v1"
	labelRecoveryAge  = "sqlitesync/recovery/age/v1"
	labelRecoverySign = "sqlitesync/recovery/sign/v1"
)

// InviteKeys are what an invite code yields: the name of the invite file, the key that opens it, and the key that signs
// the one admit record.
type InviteKeys struct {
	secret func() *inviteSecret
}

type inviteSecret struct {
	file      [16]byte
	signing   ed25519.PrivateKey
	age       *age.HybridIdentity
	recipient *age.HybridRecipient
}

// InviteKeys derives the keys of an invite code.
func (c *Code) InviteKeys() (*InviteKeys, error) {
	if c.kind != InviteCode {
		return nil, errors.New("derive invite keys: not an invite code")
	}
	file, err := c.derive(labelInviteFile, 16)
	if err != nil {
		return nil, fmt.Errorf("derive invite keys: %w", err)
	}
	signing, identity, err := c.deriveKeys(labelInviteSign, labelInviteAge)
	if err != nil {
		return nil, fmt.Errorf("derive invite keys: %w", err)
	}
	return &InviteKeys{secret: hidden(&inviteSecret{
		file:      [16]byte(file),
		signing:   signing,
		age:       identity,
		recipient: identity.Recipient(),
	})}, nil
}

// RecoveryKeys derives the keys of a recovery code. Their public halves stand in the found record.
func (c *Code) RecoveryKeys() (*DeviceKeys, error) {
	if c.kind != RecoveryCode {
		return nil, errors.New("derive recovery keys: not a recovery code")
	}
	signing, identity, err := c.deriveKeys(labelRecoverySign, labelRecoveryAge)
	if err != nil {
		return nil, fmt.Errorf("derive recovery keys: %w", err)
	}
	return deviceKeysOf(signing, identity), nil
}

func (c *Code) deriveKeys(labelSign, labelAge string) (ed25519.PrivateKey, *age.HybridIdentity, error) {
	seed, err := c.derive(labelSign, ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	ageSeed, err := c.derive(labelAge, 32)
	if err != nil {
		return nil, nil, err
	}
	identity, err := identityFromSeed(ageSeed)
	if err != nil {
		return nil, nil, err
	}
	return ed25519.NewKeyFromSeed(seed), identity, nil
}

// derive is HKDF-SHA256 (RFC 5869) without salt.
func (c *Code) derive(label string, size int) ([]byte, error) {
	secret := c.secret()
	return hkdf.Key(sha256.New, secret[:], nil, label, size)
}

// FileName returns the name of the invite file below invites/.
func (k *InviteKeys) FileName() string { return fmt.Sprintf("%x.age", k.secret().file) }

// PublicKey returns the key that stands in the invite record.
func (k *InviteKeys) PublicKey() [ed25519.PublicKeySize]byte {
	return [ed25519.PublicKeySize]byte(k.secret().signing.Public().(ed25519.PublicKey))
}

// String returns nothing secret, and nothing that leads to the file.
func (k InviteKeys) String() string { return "invite keys (not shown)" }

// Format prints what String returns, whatever the verb.
func (k InviteKeys) Format(s fmt.State, _ rune) { show(s, k.String()) }

// LogValue returns what String returns.
func (k InviteKeys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// An InviteFile is what an invite tells the device that comes: which space, and the keys to read it.
type InviteFile struct {
	Space   SpaceID
	Invite  RecordHash   // the invite record
	Newest  []RecordHash // heads of the inviter's roster, rising; a roster without them is too old to trust
	Epochs  []*Epoch     // oldest first, the last one is current
	Expires uint64       // Unix milliseconds, as in the invite record
}

// Seal makes the invite file.
func (k *InviteKeys) Seal(f *InviteFile) ([]byte, error) {
	if err := checkEpochKeys(f.Epochs); err != nil {
		return nil, fmt.Errorf("seal invite: %w", err)
	}
	plaintext, err := f.encode()
	if err != nil {
		return nil, fmt.Errorf("seal invite: %w", err)
	}
	if _, err := parseInviteFile(plaintext); err != nil { // what a reader would reject is never written
		return nil, fmt.Errorf("seal invite: %w", err)
	}
	var file bytes.Buffer
	if err := sealTo(&file, k.secret().recipient, plaintext); err != nil {
		return nil, fmt.Errorf("seal invite: %w", err)
	}
	return file.Bytes(), nil
}

// Open reads an invite file. It returns ErrWrongKey if the file belongs to another code.
func (k *InviteKeys) Open(file []byte) (*InviteFile, error) {
	if len(file) > MaxInviteFile {
		return nil, fmt.Errorf("open invite: %w: %d bytes", ErrTooLarge, len(file))
	}
	plaintext, err := openFile(file, k.secret().age, MaxInviteFile)
	if err != nil {
		return nil, fmt.Errorf("open invite: %w", err)
	}
	f, err := parseInviteFile(plaintext)
	if err != nil {
		return nil, fmt.Errorf("open invite: %w", err)
	}
	return f, nil
}

func (f *InviteFile) encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddBytes([]byte(magicLine(inviteName)))
	b.AddBytes(f.Space[:])
	b.AddBytes(f.Invite[:])
	addHashes(&b, f.Newest)
	addEpochKeys(&b, f.Epochs)
	b.AddUint64(f.Expires)
	return b.Bytes()
}

func parseInviteFile(plaintext []byte) (*InviteFile, error) {
	rest, err := cutMagic(inviteName, plaintext)
	if err != nil {
		return nil, err
	}
	d := decoder{s: rest}
	f := &InviteFile{}
	d.fixed(f.Space[:])
	d.fixed(f.Invite[:])
	f.Newest = hashList[RecordHash](&d, 1, maxParents)
	f.Epochs = d.epochKeys()
	f.Expires = d.time()
	if err := d.end(); err != nil {
		return nil, err
	}
	return f, nil
}

// A MissingError says that a roster lacks records that were there before: it is older than it can be, or some files have
// not arrived yet.
type MissingError struct {
	Records []RecordHash
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("roster lacks %d records that it must have, the first is %.8s", len(e.Records), e.Records[0])
}

// Check holds the roster that the joiner computed against the invite. It returns a [*MissingError] while the roster lacks
// a record that the inviter had, so that nobody can show a newcomer an older roster, and ErrInvite if the invite is not
// open, or is not the one of these keys.
func (f *InviteFile) Check(r *Roster, keys *InviteKeys) error {
	if r.Space() != f.Space {
		return fmt.Errorf("check invite: %w: roster of another space", ErrInvite)
	}
	if missing := r.Missing(append(slices.Clone(f.Newest), f.Invite)); len(missing) > 0 {
		return fmt.Errorf("check invite: %w", &MissingError{missing})
	}
	for _, open := range r.Invites() {
		if open.Record == f.Invite && open.PublicKey == keys.PublicKey() {
			return nil
		}
	}
	return fmt.Errorf("check invite: %w", ErrInvite)
}
