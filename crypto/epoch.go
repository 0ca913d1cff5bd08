package crypto

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"

	"filippo.io/age"
	"golang.org/x/crypto/cryptobyte"
)

// Sizes of age's texts for hybrid keys.
const (
	identitySize  = 77
	recipientSize = 1959
)

const (
	maxWraps     = 129  // 128 members and the recovery key: what fits a record
	maxWrapSize  = 4096 // an age file with one identity in it has 1,736 bytes
	maxEpochKeys = 1024 // in invite files and key entries
)

// An Epoch is one generation of the key of a space: an age identity that its members share. Whoever has it can read
// what was sealed for it.
type Epoch struct {
	id     EpochID
	secret func() *epochSecret
}

type epochSecret struct {
	identity  *age.HybridIdentity
	recipient *age.HybridRecipient
}

// NewEpoch makes a fresh epoch.
func NewEpoch() (*Epoch, error) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make epoch: %w", err)
	}
	return epochOf(identity), nil
}

// parseEpoch reads the identity of an epoch from its text.
func parseEpoch(identity []byte) (*Epoch, error) {
	parsed, err := parseIdentity(string(identity))
	if err != nil {
		return nil, err
	}
	return epochOf(parsed), nil
}

func epochOf(identity *age.HybridIdentity) *Epoch {
	recipient := identity.Recipient()
	sum := hashLabelled(labelEpoch, []byte(recipient.String()))
	return &Epoch{id: EpochID(sum[:16]), secret: hidden(&epochSecret{identity, recipient})}
}

// ID names the epoch.
func (e *Epoch) ID() EpochID { return e.id }

// String returns the id, nothing secret.
func (e Epoch) String() string { return "epoch " + e.id.String()[:8] }

// Format prints what String returns, whatever the verb.
func (e Epoch) Format(s fmt.State, _ rune) { show(s, e.String()) }

// LogValue returns what String returns.
func (e Epoch) LogValue() slog.Value { return slog.StringValue(e.String()) }

// A WrappedEpoch is an epoch as it stands in a record: sealed for each member that is to have it.
type WrappedEpoch struct {
	ID    EpochID
	Wraps []Wrap // rising by member
}

// A Wrap is an epoch sealed for one member.
type Wrap struct {
	Member DeviceID
	File   []byte // an age file; its plaintext is the identity of the epoch
}

// wrap seals the epoch for each of the members.
func (e *Epoch) wrap(members []PublicKeys) (WrappedEpoch, error) {
	wrapped := WrappedEpoch{ID: e.id}
	for _, member := range members {
		recipient, err := parseRecipient(member.Recipient)
		if err != nil {
			return WrappedEpoch{}, err
		}
		var file bytes.Buffer
		if err := sealTo(&file, recipient, []byte(e.secret().identity.String())); err != nil {
			return WrappedEpoch{}, err
		}
		wrapped.Wraps = append(wrapped.Wraps, Wrap{Member: member.ID(), File: file.Bytes()})
	}
	slices.SortFunc(wrapped.Wraps, func(a, b Wrap) int { return bytes.Compare(a.Member[:], b.Member[:]) })
	return wrapped, nil
}

// Open unwraps the epoch with a device's keys, or with the recovery keys. It returns ErrWrongKey if there is no wrap for
// them, and ErrDamaged if the wrap holds anything but the epoch that it is said to hold.
func (w WrappedEpoch) Open(keys *DeviceKeys) (*Epoch, error) {
	for _, wrap := range w.Wraps {
		if wrap.Member != keys.id {
			continue
		}
		identity, err := openFile(wrap.File, keys.secret().age, maxWrapSize)
		if err != nil {
			return nil, fmt.Errorf("open wrapped epoch %s: %w", w.ID, err)
		}
		epoch, err := parseEpoch(identity)
		if err != nil {
			return nil, fmt.Errorf("open wrapped epoch %s: %w", w.ID, err)
		}
		if epoch.id != w.ID {
			return nil, fmt.Errorf("open wrapped epoch %s: %w: holds epoch %s", w.ID, ErrDamaged, epoch.id)
		}
		return epoch, nil
	}
	return nil, fmt.Errorf("open wrapped epoch %s: %w: no wrap for device %s", w.ID, ErrWrongKey, keys.id.Short())
}

func (d *decoder) wrappedEpoch() (w WrappedEpoch) {
	d.fixed(w.ID[:])
	w.Wraps = make([]Wrap, d.count(1, maxWraps, len(DeviceID{})+2+1))
	for i := range w.Wraps {
		d.fixed(w.Wraps[i].Member[:])
		w.Wraps[i].File = d.bytes16(maxWrapSize)
		d.require(i == 0 || bytes.Compare(w.Wraps[i-1].Member[:], w.Wraps[i].Member[:]) < 0, "wraps are not in rising order")
	}
	return w
}

func addWrappedEpoch(b *cryptobyte.Builder, w WrappedEpoch) {
	b.AddBytes(w.ID[:])
	b.AddUint16(uint16(len(w.Wraps)))
	for _, wrap := range w.Wraps {
		b.AddBytes(wrap.Member[:])
		addBytes16(b, wrap.File)
	}
}

// epochKeys reads a list of identities, oldest first.
func (d *decoder) epochKeys() []*Epoch {
	n := d.count(1, maxEpochKeys, 2+identitySize)
	epochs := make([]*Epoch, 0, n)
	seen := make(map[EpochID]bool, n)
	for range n {
		text := d.bytes16(identitySize)
		if d.err != nil {
			return nil
		}
		epoch, err := parseEpoch(text)
		if err != nil {
			d.fail("not an age identity in its one spelling")
			return nil
		}
		d.require(!seen[epoch.id], "an epoch stands twice")
		seen[epoch.id] = true
		epochs = append(epochs, epoch)
	}
	return epochs
}

// checkEpochKeys refuses to write what a reader would reject.
func checkEpochKeys(epochs []*Epoch) error {
	if len(epochs) == 0 || len(epochs) > maxEpochKeys {
		return fmt.Errorf("%w: %d epochs", ErrTooLarge, len(epochs))
	}
	seen := make(map[EpochID]bool, len(epochs))
	for _, epoch := range epochs {
		if seen[epoch.id] {
			return fmt.Errorf("epoch %s stands twice", epoch.id)
		}
		seen[epoch.id] = true
	}
	return nil
}

func addEpochKeys(b *cryptobyte.Builder, epochs []*Epoch) {
	b.AddUint16(uint16(len(epochs)))
	for _, epoch := range epochs {
		addBytes16(b, []byte(epoch.secret().identity.String()))
	}
}
