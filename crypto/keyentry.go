package crypto

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"

	"golang.org/x/crypto/cryptobyte"
)

const (
	// MaxKeyEntry is the largest key entry in bytes.
	MaxKeyEntry = 128 << 10

	keyEntryName  = "keys"
	labelKeyEntry = "sqlitesync/keys/v1"
)

// A KeyEntry is what a device keeps at home, outside of its database and of the folder. It never goes to another machine.
type KeyEntry struct {
	Device  *DeviceKeys
	Space   SpaceID
	Epochs  []*Epoch // oldest first
	Machine [32]byte // from MachineHash
	Batch   uint64   // newest batch that was made durable before it was published; 0: none
	Tail    Tail     // of that batch's segment; zero if and only if Batch is 0
}

// Encode returns the entry as bytes, which are secret. The bytes are canonical: the same entry gives the same bytes.
func (e *KeyEntry) Encode() ([]byte, error) {
	if err := checkEpochKeys(e.Epochs); err != nil {
		return nil, fmt.Errorf("encode key entry: %w", err)
	}
	var b cryptobyte.Builder
	b.AddBytes([]byte(magicLine(keyEntryName)))
	b.AddBytes(e.Device.secret().signing.Seed())
	addBytes16(&b, []byte(e.Device.secret().age.String()))
	b.AddBytes(e.Space[:])
	addEpochKeys(&b, e.Epochs)
	b.AddBytes(e.Machine[:])
	b.AddUint64(e.Batch)
	b.AddBytes(e.Tail[:])
	entry, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode key entry: %w", err)
	}
	sum := hashLabelled(labelKeyEntry, entry)
	entry = append(entry, sum[:]...)
	if _, err := ParseKeyEntry(entry); err != nil { // an entry that cannot be read again is the loss of a device
		return nil, fmt.Errorf("encode key entry: %w", err)
	}
	return entry, nil
}

// ParseKeyEntry reads an entry. The checksum finds accidents; it keeps nobody from writing another entry.
func ParseKeyEntry(entry []byte) (*KeyEntry, error) {
	e, err := parseKeyEntry(entry)
	if err != nil {
		return nil, fmt.Errorf("parse key entry: %w", err)
	}
	return e, nil
}

func parseKeyEntry(entry []byte) (*KeyEntry, error) {
	if len(entry) > MaxKeyEntry {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(entry))
	}
	rest, err := cutMagic(keyEntryName, entry)
	if err != nil {
		return nil, err
	}
	sum := hashLabelled(labelKeyEntry, entry[:max(0, len(entry)-32)])
	if len(rest) < len(sum) || !sameSecret(rest[len(rest)-len(sum):], sum[:]) {
		return nil, fmt.Errorf("%w: checksum is wrong", ErrDamaged)
	}

	d := decoder{s: rest[:len(rest)-len(sum)]}
	e := &KeyEntry{}
	var seed [ed25519.SeedSize]byte
	d.fixed(seed[:])
	identityText := d.bytes16(identitySize)
	d.fixed(e.Space[:])
	e.Epochs = d.epochKeys()
	d.fixed(e.Machine[:])
	e.Batch = d.u64()
	d.fixed(e.Tail[:])
	d.require(e.Batch <= MaxBatch, "batch %d", e.Batch)
	d.require((e.Batch == 0) == (e.Tail == Tail{}), "tail does not fit the batch")
	if err := d.end(); err != nil {
		return nil, err
	}
	identity, err := parseIdentity(string(identityText))
	if err != nil {
		return nil, err
	}
	e.Device = deviceKeysOf(ed25519.NewKeyFromSeed(seed[:]), identity)
	return e, nil
}

// Epoch returns the epoch with the id, or nil.
func (e *KeyEntry) Epoch(id EpochID) *Epoch {
	for _, epoch := range e.Epochs {
		if epoch.id == id {
			return epoch
		}
	}
	return nil
}

// String names device and space, nothing secret.
func (e KeyEntry) String() string {
	if e.Device == nil {
		return "key entry (empty)"
	}
	return fmt.Sprintf("key entry of device %s in space %s", e.Device.id.Short(), e.Space.Short())
}

// Format prints what String returns, whatever the verb.
func (e KeyEntry) Format(s fmt.State, _ rune) { show(s, e.String()) }

// LogValue returns what String returns.
func (e KeyEntry) LogValue() slog.Value { return slog.StringValue(e.String()) }
