package crypto

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"

	"filippo.io/age"
)

// PublicKeys are the public halves of a device's keys, or of the recovery keys.
type PublicKeys struct {
	Signing   [ed25519.PublicKeySize]byte // checks what the device signs
	Recipient string                      // age recipient that epochs are wrapped for
}

// ID returns the id of the device that has these keys.
func (k PublicKeys) ID() DeviceID { return DeviceIDOf(k.Signing[:]) }

// SigningKey returns the key for the Verify methods.
func (k PublicKeys) SigningKey() ed25519.PublicKey { return slices.Clone(k.Signing[:]) }

// usableSigningKey refuses the encodings of Ed25519 keys that implementations disagree about, which would split the
// roster, and keys of small order, for which anyone can sign: y must be below p = 2^255 - 19, and not that of one of the
// eight points whose order divides 8. The sign bit does not matter to either.
func usableSigningKey(key [ed25519.PublicKeySize]byte) bool {
	key[31] &= 0x7f
	smallOrder := [...]string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	}
	if slices.Contains(smallOrder[:], hex.EncodeToString(key[:])) {
		return false
	}
	slices.Reverse(key[:])
	p := [ed25519.PublicKeySize]byte(bytes.Repeat([]byte{0xff}, ed25519.PublicKeySize))
	p[0], p[31] = 0x7f, 0xed
	return bytes.Compare(key[:], p[:]) < 0
}

// DeviceKeys are the keys of one device: one signs, one receives epochs. They are made on the device and never leave
// it. The recovery keys, which come from a code, have the same form and an id as if they were a device.
type DeviceKeys struct {
	id     DeviceID
	secret func() *deviceSecret
}

type deviceSecret struct {
	signing ed25519.PrivateKey
	age     *age.HybridIdentity
}

// NewDeviceKeys makes fresh keys and so a new device id.
func NewDeviceKeys() (*DeviceKeys, error) {
	_, signing, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("make device keys: %w", err)
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make device keys: %w", err)
	}
	return deviceKeysOf(signing, identity), nil
}

func deviceKeysOf(signing ed25519.PrivateKey, identity *age.HybridIdentity) *DeviceKeys {
	public := signing.Public().(ed25519.PublicKey)
	return &DeviceKeys{id: DeviceIDOf(public), secret: hidden(&deviceSecret{signing: signing, age: identity})}
}

// ID returns the device id.
func (k *DeviceKeys) ID() DeviceID { return k.id }

// Public returns the public halves.
func (k *DeviceKeys) Public() PublicKeys {
	return PublicKeys{
		Signing:   [ed25519.PublicKeySize]byte(k.secret().signing.Public().(ed25519.PublicKey)),
		Recipient: k.secret().age.Recipient().String(),
	}
}

func (k *DeviceKeys) sign(label string, message []byte) []byte {
	return ed25519.Sign(k.secret().signing, signedBytes(label, message))
}

// String returns the device id, nothing secret.
func (k DeviceKeys) String() string { return "keys of device " + k.id.Short() }

// Format prints what String returns, whatever the verb.
func (k DeviceKeys) Format(s fmt.State, _ rune) { show(s, k.String()) }

// LogValue returns what String returns.
func (k DeviceKeys) LogValue() slog.Value { return slog.StringValue(k.String()) }
