package crypto

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	// MaxBatch is the largest batch number: twelve hexadecimal digits in a file name.
	MaxBatch = 1<<48 - 1

	// MaxGeneration is the largest generation of a segment.
	MaxGeneration = 1<<16 - 1

	segmentHeaderSize = 188
)

// A SegmentHeader says which segment a file is, whatever its name.
type SegmentHeader struct {
	Space      SpaceID
	Device     DeviceID // the author, who signs; filled in by SealSegment
	First      uint64   // first batch, from 1
	Last       uint64   // last batch, at most MaxBatch
	Generation uint32   // 0: an original batch, then First is Last; above: made by a compaction
	Prev       Tail     // tail of the segment that ends at First - 1; zero if and only if First is 1
	Tail       Tail     // zero in generation 0; above: tail of the last segment that this one replaces
	Epoch      EpochID  // what the payload is sealed for; filled in by SealSegment

	PayloadLength uint64   // filled in by SealSegment
	PayloadSum    [32]byte // SHA-256; filled in by SealSegment
}

// bound returns the encoding without payload length and hash.
func (h *SegmentHeader) bound() []byte {
	b := make([]byte, 0, segmentHeaderSize)
	b = append(b, h.Space[:]...)
	b = append(b, h.Device[:]...)
	b = binary.BigEndian.AppendUint64(b, h.First)
	b = binary.BigEndian.AppendUint64(b, h.Last)
	b = binary.BigEndian.AppendUint32(b, h.Generation)
	b = append(b, h.Prev[:]...)
	b = append(b, h.Tail[:]...)
	return append(b, h.Epoch[:]...)
}

func parseSegmentHeader(header []byte) (h SegmentHeader, err error) {
	d := decoder{s: header}
	d.fixed(h.Space[:])
	d.fixed(h.Device[:])
	h.First = d.u64()
	h.Last = d.u64()
	h.Generation = d.u32()
	d.fixed(h.Prev[:])
	d.fixed(h.Tail[:])
	d.fixed(h.Epoch[:])
	h.PayloadLength = d.u64()
	d.fixed(h.PayloadSum[:])
	if err := d.end(); err != nil {
		return SegmentHeader{}, err
	}
	if rule := h.broken(); rule != "" {
		return SegmentHeader{}, fmt.Errorf("%w: %s", ErrDamaged, rule)
	}
	return h, nil
}

// broken names a rule that the header breaks, or is empty.
func (h *SegmentHeader) broken() string {
	switch {
	case h.First == 0 || h.Last < h.First || h.Last > MaxBatch:
		return fmt.Sprintf("batches %d to %d", h.First, h.Last)
	case h.Generation > MaxGeneration:
		return fmt.Sprintf("generation %d", h.Generation)
	case h.Generation == 0 && h.First != h.Last:
		return "an original segment of more than one batch"
	case (h.Generation == 0) != (h.Tail == Tail{}):
		return "tail does not fit the generation"
	case (h.First == 1) != (h.Prev == Tail{}):
		return "prev does not fit the first batch"
	}
	return ""
}

// A Segment is a segment file that has been decoded. Nothing in it may be believed before Verify.
type Segment struct {
	header SegmentHeader
	file   signedFile
	hash   FileHash
}

// ParseSegment decodes the header of a segment file and checks lengths. The file is not copied and must not be changed
// while the segment is in use.
func ParseSegment(file []byte) (*Segment, error) {
	signed, err := segmentFile.split(file)
	if err != nil {
		return nil, fmt.Errorf("parse segment: %w", err)
	}
	header, err := parseSegmentHeader(signed.header)
	if err != nil {
		return nil, fmt.Errorf("parse segment: %w", err)
	}
	if err := signed.checkLength(header.PayloadLength); err != nil {
		return nil, fmt.Errorf("parse segment: %w", err)
	}
	return &Segment{header: header, file: signed, hash: sha256.Sum256(file)}, nil
}

// PeekSegment decodes the header of a segment file of size bytes from the beginning of it, of which 512 bytes are
// enough, and checks the signature as [Segment.Verify] does. It spares a reader from reading large files that are not
// what it looks for; of the payload it says nothing.
//
// The result is good for Header and Tail only.
func PeekSegment(start []byte, size int64, key ed25519.PublicKey) (*Segment, error) {
	signed, err := segmentFile.split(start)
	if err != nil {
		return nil, fmt.Errorf("parse segment: %w", err)
	}
	header, err := parseSegmentHeader(signed.header)
	if err != nil {
		return nil, fmt.Errorf("parse segment: %w", err)
	}
	if payload := size - int64(len(start)-len(signed.payload)); payload < 0 || uint64(payload) != header.PayloadLength {
		return nil, fmt.Errorf("parse segment: %w: payload of %d bytes, header says %d", ErrDamaged, payload, header.PayloadLength)
	}
	if DeviceIDOf(key) != header.Device {
		return nil, fmt.Errorf("verify segment: %w: file of another device", ErrSignature)
	}
	if err := signed.checkSignature(key); err != nil {
		return nil, fmt.Errorf("verify segment: %w", err)
	}
	return &Segment{header: header, file: signed}, nil
}

// Header returns what the file says about itself.
func (s *Segment) Header() SegmentHeader { return s.header }

// Hash returns the hash of the file, by which the cut of a device lists it. It is zero after [PeekSegment].
func (s *Segment) Hash() FileHash { return s.hash }

// Tail returns the end of the chain after this segment.
func (s *Segment) Tail() Tail {
	if s.header.Generation > 0 {
		return s.header.Tail
	}
	return hashLabelled(labelTail, s.file.header)
}

// Verify checks that the device that the segment names has this key, that it signed the file, and that the payload is
// whole. The caller takes the key from the [Roster], and has checked the space and the device's right to write.
func (s *Segment) Verify(key ed25519.PublicKey) error {
	if err := s.file.verify(key, s.header.Device, s.header.PayloadSum); err != nil {
		return fmt.Errorf("verify segment: %w", err)
	}
	return nil
}

// Open decrypts the segment to its end and returns the content. It refuses a segment that has not been verified, with
// ErrSignature, an epoch other than the one that the header names, with ErrWrongKey, and a content of more than limit
// bytes, with ErrTooLarge.
func (s *Segment) Open(epoch *Epoch, limit int) ([]byte, error) {
	content, err := s.file.open(epoch, s.header.Epoch, limit)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return content, nil
}

// SealSegment makes a segment file: it encrypts the content for the epoch and signs. It fills in Device, Epoch,
// PayloadLength and PayloadSum of the header. The second result is the tail of the segment. Sealing twice gives two
// different files: the bytes of a batch that may have been published must be kept.
func SealSegment(header SegmentHeader, content []byte, epoch *Epoch, signer *DeviceKeys) ([]byte, Tail, error) {
	header.Device = signer.id
	header.Epoch = epoch.id
	if rule := header.broken(); rule != "" {
		return nil, Tail{}, fmt.Errorf("seal segment: %s", rule)
	}
	file, signed, err := segmentFile.seal(header.bound(), content, epoch, signer)
	if err != nil {
		return nil, Tail{}, fmt.Errorf("seal segment: %w", err)
	}
	if header.Generation > 0 {
		return file, header.Tail, nil
	}
	return file, hashLabelled(labelTail, signed), nil
}
