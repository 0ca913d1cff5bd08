package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

const signatureSize = ed25519.SignatureSize

// measureSize is the size of the last two fields of a header, payload length and payload hash. The bound part, which
// the plaintext repeats, is the header without them: they cannot stand inside what they measure.
const measureSize = 8 + sha256.Size

// A fileKind is one of the three kinds of signed files.
type fileKind struct {
	name       string // in the magic line
	label      string // before the header, where it is signed
	maxHeader  int
	maxPayload uint64
}

var (
	segmentFile = fileKind{"segment", "sqlitesync/segment/v1", 4 << 10, math.MaxInt32}
	headFile    = fileKind{"head", "sqlitesync/head/v1", 4 << 10, 1 << 20}
	recordFile  = fileKind{"record", "sqlitesync/record/v1", 256 << 10, 0}
)

// magicLine returns the first line of a file of format 1.
func magicLine(name string) string { return "sqlitesync " + name + " 1\n" }

// cutMagic removes the magic line. It tells a file of a newer format, and the beginning of one of ours, from other files.
func cutMagic(name string, file []byte) (rest []byte, err error) {
	prefix := []byte("sqlitesync " + name + " ")
	if len(file) < len(prefix) && bytes.HasPrefix(prefix, file) {
		return nil, fmt.Errorf("%w: ends in the first line", ErrDamaged)
	}
	rest, ok := bytes.CutPrefix(file, prefix)
	if !ok {
		return nil, ErrNotOurs
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	switch {
	case digits > 9 || digits > 0 && rest[0] == '0':
		return nil, ErrNotOurs
	case digits == len(rest):
		return nil, fmt.Errorf("%w: ends in the first line", ErrDamaged)
	case digits == 0 || rest[digits] != '\n':
		return nil, ErrNotOurs
	case digits > 1 || rest[0] != '1':
		return nil, ErrVersion
	}
	return rest[2:], nil
}

// A signedFile is a file cut into its parts. They alias the file: nothing is copied.
type signedFile struct {
	kind      *fileKind
	header    []byte
	signature []byte
	payload   []byte
	verified  bool
}

// split cuts a file into its parts and checks lengths, nothing else.
func (k *fileKind) split(file []byte) (signedFile, error) {
	rest, err := cutMagic(k.name, file)
	if err != nil {
		return signedFile{}, err
	}
	if len(rest) < 4 {
		return signedFile{}, fmt.Errorf("%w: ends before the header", ErrDamaged)
	}
	size := binary.BigEndian.Uint32(rest)
	rest = rest[4:]
	if size == 0 || uint64(size) > uint64(k.maxHeader) {
		return signedFile{}, fmt.Errorf("%w: header of %d bytes", ErrDamaged, size)
	}
	if len(rest) < int(size)+signatureSize {
		return signedFile{}, fmt.Errorf("%w: ends before the payload", ErrDamaged)
	}
	header, rest := rest[:size:size], rest[size:]
	return signedFile{
		kind:      k,
		header:    header,
		signature: rest[:signatureSize:signatureSize],
		payload:   rest[signatureSize:],
	}, nil
}

// checkLength compares the payload with the length that the header states.
func (f *signedFile) checkLength(stated uint64) error {
	if stated == 0 || stated > f.kind.maxPayload || stated != uint64(len(f.payload)) {
		return fmt.Errorf("%w: payload of %d bytes, header says %d", ErrDamaged, len(f.payload), stated)
	}
	return nil
}

// checkSignature checks the signature alone.
func (f *signedFile) checkSignature(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signedBytes(f.kind.label, f.header), f.signature) {
		return ErrSignature
	}
	return nil
}

// verify checks that the key is the device's, the signature, and the payload against its hash.
func (f *signedFile) verify(key ed25519.PublicKey, device DeviceID, payloadSum [32]byte) error {
	if DeviceIDOf(key) != device {
		return fmt.Errorf("%w: file of another device", ErrSignature)
	}
	if err := f.checkSignature(key); err != nil {
		return err
	}
	if sha256.Sum256(f.payload) != payloadSum {
		return fmt.Errorf("%w: payload has another hash", ErrDamaged)
	}
	f.verified = true
	return nil
}

// open decrypts the payload, compares the bound part and strips it.
func (f *signedFile) open(epoch *Epoch, id EpochID, limit int) ([]byte, error) {
	if !f.verified {
		return nil, fmt.Errorf("%w: not verified yet", ErrSignature)
	}
	if epoch == nil || epoch.id != id {
		return nil, fmt.Errorf("%w: sealed for epoch %s", ErrWrongKey, id)
	}
	if limit < 0 {
		return nil, fmt.Errorf("%w: negative limit", ErrTooLarge)
	}
	bound := f.header[:len(f.header)-measureSize]
	plaintext, err := openFile(f.payload, epoch.secret().identity, min(limit, math.MaxInt-len(bound)-1)+len(bound))
	if err != nil {
		return nil, err
	}
	content, ok := bytes.CutPrefix(plaintext, bound)
	if !ok {
		return nil, fmt.Errorf("%w: payload belongs to another file", ErrDamaged)
	}
	return content, nil
}

// seal makes a file. bound is the header without its measures, which seal appends. The payload is written where it
// stays, and the parts before it into the room kept for them: a segment of many megabytes is never copied.
func (k *fileKind) seal(bound, content []byte, epoch *Epoch, signer *DeviceKeys) (file, header []byte, err error) {
	magic := magicLine(k.name)
	headerSize := len(bound) + measureSize
	before := len(magic) + 4 + headerSize + signatureSize

	var buf bytes.Buffer
	buf.Grow(before + sealedSizeHint(len(bound)+len(content)))
	buf.Write(make([]byte, before))
	if err := sealTo(&buf, epoch.secret().recipient, bound, content); err != nil {
		return nil, nil, err
	}
	file = buf.Bytes()
	payload := file[before:]
	if uint64(len(payload)) > k.maxPayload {
		return nil, nil, fmt.Errorf("%w: payload of %d bytes", ErrTooLarge, len(payload))
	}

	sum := sha256.Sum256(payload)
	header = make([]byte, 0, headerSize)
	header = append(header, bound...)
	header = binary.BigEndian.AppendUint64(header, uint64(len(payload)))
	header = append(header, sum[:]...)
	k.appendSigned(file[:0], header, signer.sign(k.label, header))
	return file, header, nil
}

// appendSigned appends all parts before the payload.
func (k *fileKind) appendSigned(dst, header, signature []byte) []byte {
	dst = append(dst, magicLine(k.name)...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(header)))
	dst = append(dst, header...)
	return append(dst, signature...)
}

// signedBytes is what an Ed25519 signature covers.
func signedBytes(label string, message []byte) []byte {
	return append([]byte(label), message...)
}
