package crypto

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
)

// Labels keep bytes that are hashed for one purpose from serving another.
const (
	labelDevice  = "sqlitesync/device/v1"
	labelSpace   = "sqlitesync/space/v1"
	labelEpoch   = "sqlitesync/epoch/v1"
	labelRecord  = "sqlitesync/record/v1"
	labelTail    = "sqlitesync/tail/v1"
	labelMachine = "sqlitesync/machine/v1"
)

// DeviceID names a device: a hash of its signing key.
type DeviceID [16]byte

// SpaceID names a space: the hash of its found record.
type SpaceID [32]byte

// EpochID names an epoch: a hash of its recipient. It is no secret; the recipient is.
type EpochID [16]byte

// RecordHash names a record, and is its file name below roster/.
type RecordHash [32]byte

// Tail is the end of a device's chain of segments after one segment, and what the next one names as Prev.
type Tail [32]byte

// DeviceIDOf returns the id of the device that signs with the key.
func DeviceIDOf(key ed25519.PublicKey) DeviceID {
	sum := hashLabelled(labelDevice, key)
	return DeviceID(sum[:16])
}

// ParseDeviceID reads the text form, 32 lower-case hexadecimal digits.
func ParseDeviceID(text string) (DeviceID, error) {
	var id DeviceID
	return id, parseHex("device id", id[:], text)
}

// String returns 32 lower-case hexadecimal digits.
func (id DeviceID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first eight digits, for people.
func (id DeviceID) Short() string { return hex.EncodeToString(id[:4]) }

// MarshalText returns the text form.
func (id DeviceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form. The id is unchanged if there is an error.
func (id *DeviceID) UnmarshalText(text []byte) error {
	parsed, err := ParseDeviceID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// LogValue returns the short form.
func (id DeviceID) LogValue() slog.Value { return slog.StringValue(id.Short()) }

// ParseSpaceID reads the text form, 64 lower-case hexadecimal digits.
func ParseSpaceID(text string) (SpaceID, error) {
	var id SpaceID
	return id, parseHex("space id", id[:], text)
}

// String returns 64 lower-case hexadecimal digits.
func (id SpaceID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first eight digits, for people.
func (id SpaceID) Short() string { return hex.EncodeToString(id[:4]) }

// MarshalText returns the text form.
func (id SpaceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form. The id is unchanged if there is an error.
func (id *SpaceID) UnmarshalText(text []byte) error {
	parsed, err := ParseSpaceID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// LogValue returns the short form.
func (id SpaceID) LogValue() slog.Value { return slog.StringValue(id.Short()) }

// String returns 32 lower-case hexadecimal digits.
func (id EpochID) String() string { return hex.EncodeToString(id[:]) }

// ParseRecordHash reads the text form, 64 lower-case hexadecimal digits.
func ParseRecordHash(text string) (RecordHash, error) {
	var hash RecordHash
	return hash, parseHex("record hash", hash[:], text)
}

// String returns 64 lower-case hexadecimal digits.
func (h RecordHash) String() string { return hex.EncodeToString(h[:]) }

// String returns 64 lower-case hexadecimal digits.
func (t Tail) String() string { return hex.EncodeToString(t[:]) }

// MachineHash binds a key entry to a machine. machine is the id that the system gives to itself; the device id is hashed
// with it, so that two entries do not show that they lie on one machine.
func MachineHash(device DeviceID, machine string) [32]byte {
	return hashLabelled(labelMachine, device[:], []byte(machine))
}

func hashLabelled(label string, parts ...[]byte) (sum [32]byte) {
	h := sha256.New()
	h.Write([]byte(label))
	for _, part := range parts {
		h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// parseHex accepts one spelling only, so that an id has one name. The text is not repeated in the error: it may be
// anything, of any length.
func parseHex(what string, dst []byte, text string) error {
	if len(text) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("parse %s: %d characters, want %d", what, len(text), hex.EncodedLen(len(dst)))
	}
	if strings.ContainsAny(text, "ABCDEF") {
		return fmt.Errorf("parse %s: upper-case digit", what)
	}
	if _, err := hex.Decode(dst, []byte(text)); err != nil {
		clear(dst)
		return fmt.Errorf("parse %s: not hexadecimal", what)
	}
	return nil
}
