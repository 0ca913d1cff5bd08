package crypto

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
)

const headHeaderSize = 112

// A HeadHeader is the part of a device's head that stands in clear.
type HeadHeader struct {
	Space   SpaceID
	Device  DeviceID // the author, who signs; filled in by SealHead
	Counter uint64   // from 1; a device never publishes a smaller one, nor the same one for other bytes
	Epoch   EpochID  // what the payload is sealed for; filled in by SealHead

	PayloadLength uint64   // filled in by SealHead
	PayloadSum    [32]byte // SHA-256; filled in by SealHead
}

// bound returns the encoding without payload length and hash.
func (h *HeadHeader) bound() []byte {
	b := make([]byte, 0, headHeaderSize)
	b = append(b, h.Space[:]...)
	b = append(b, h.Device[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Counter)
	return append(b, h.Epoch[:]...)
}

func parseHeadHeader(header []byte) (h HeadHeader, err error) {
	d := decoder{s: header}
	d.fixed(h.Space[:])
	d.fixed(h.Device[:])
	h.Counter = d.u64()
	d.fixed(h.Epoch[:])
	h.PayloadLength = d.u64()
	d.fixed(h.PayloadSum[:])
	if err := d.end(); err != nil {
		return HeadHeader{}, err
	}
	if h.Counter == 0 {
		return HeadHeader{}, fmt.Errorf("%w: counter is 0", ErrDamaged)
	}
	return h, nil
}

// A Head is a head file that has been decoded. Nothing in it may be believed before Verify.
type Head struct {
	header HeadHeader
	file   signedFile
}

// ParseHead decodes the header of a head file and checks lengths. The file is not copied and must not be changed while
// the head is in use.
func ParseHead(file []byte) (*Head, error) {
	signed, err := headFile.split(file)
	if err != nil {
		return nil, fmt.Errorf("parse head: %w", err)
	}
	header, err := parseHeadHeader(signed.header)
	if err != nil {
		return nil, fmt.Errorf("parse head: %w", err)
	}
	if err := signed.checkLength(header.PayloadLength); err != nil {
		return nil, fmt.Errorf("parse head: %w", err)
	}
	return &Head{header: header, file: signed}, nil
}

// Header returns what the file says about itself.
func (h *Head) Header() HeadHeader { return h.header }

// Verify checks that the device that the head names has this key, that it signed the file, and that the payload is
// whole. The caller takes the key from the [Roster], and compares space and counter with what it knows.
func (h *Head) Verify(key ed25519.PublicKey) error {
	if err := h.file.verify(key, h.header.Device, h.header.PayloadSum); err != nil {
		return fmt.Errorf("verify head: %w", err)
	}
	return nil
}

// Open decrypts the head to its end and returns the content. Its errors are those of [Segment.Open].
func (h *Head) Open(epoch *Epoch, limit int) ([]byte, error) {
	content, err := h.file.open(epoch, h.header.Epoch, limit)
	if err != nil {
		return nil, fmt.Errorf("open head: %w", err)
	}
	return content, nil
}

// SealHead makes a head file: it encrypts the content for the epoch and signs. It fills in Device, Epoch, PayloadLength
// and PayloadSum of the header. It returns ErrTooLarge if the content does not fit 1 MiB.
func SealHead(header HeadHeader, content []byte, epoch *Epoch, signer *DeviceKeys) ([]byte, error) {
	header.Device = signer.id
	header.Epoch = epoch.id
	if header.Counter == 0 {
		return nil, fmt.Errorf("seal head: counter is 0")
	}
	file, _, err := headFile.seal(header.bound(), content, epoch, signer)
	if err != nil {
		return nil, fmt.Errorf("seal head: %w", err)
	}
	return file, nil
}
