package crypto

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// maxTime is the end of the year 9999 in Unix milliseconds: every date library can hold a time below it.
const maxTime = 253402300799999

// A decoder reads fields one after another. After the first error all reads give zero, and the error stays, so that
// codecs list their fields without a check on each line. It never allocates for a length that the input only claims.
type decoder struct {
	s   cryptobyte.String
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
	}
	d.s = nil
}

func (d *decoder) require(ok bool, format string, args ...any) {
	if !ok {
		d.fail(format, args...)
	}
}

func (d *decoder) u8() (v uint8)   { d.require(d.s.ReadUint8(&v), "ends early"); return v }
func (d *decoder) u16() (v uint16) { d.require(d.s.ReadUint16(&v), "ends early"); return v }
func (d *decoder) u32() (v uint32) { d.require(d.s.ReadUint32(&v), "ends early"); return v }
func (d *decoder) u64() (v uint64) { d.require(d.s.ReadUint64(&v), "ends early"); return v }

// fixed fills dst.
func (d *decoder) fixed(dst []byte) { d.require(d.s.CopyBytes(dst), "ends early") }

// bytes16 reads a byte string of 1 to limit bytes, with a length of 16 bits before it. The result is a copy.
func (d *decoder) bytes16(limit int) []byte {
	var field cryptobyte.String
	d.require(d.s.ReadUint16LengthPrefixed(&field), "ends early")
	d.require(len(field) > 0 && len(field) <= limit, "byte string of %d bytes", len(field))
	if d.err != nil {
		return nil
	}
	return bytes.Clone(field)
}

// count reads the length of a list of elements that have at least size bytes each.
func (d *decoder) count(least, most, size int) int {
	n := int(d.u16())
	d.require(n >= least && n <= most, "list of %d elements", n)
	d.require(n*size <= len(d.s), "ends early")
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) time() uint64 {
	t := d.u64()
	d.require(t <= maxTime, "time %d", t)
	return t
}

// hashList reads a rising list.
func hashList[Hash ~[32]byte](d *decoder, least, most int) []Hash {
	list := make([]Hash, d.count(least, most, 32))
	for i := range list {
		var field [32]byte
		d.fixed(field[:])
		list[i] = field
		d.require(i == 0 || compareHashes(list[i-1], list[i]) < 0, "list is not in rising order")
	}
	return list
}

func compareHashes[Hash ~[32]byte](a, b Hash) int {
	x, y := [32]byte(a), [32]byte(b)
	return bytes.Compare(x[:], y[:])
}

func (d *decoder) keys() (k PublicKeys) {
	k.Signing = d.signingKey()
	k.Recipient = string(d.bytes16(recipientSize))
	if d.err == nil {
		_, err := parseRecipient(k.Recipient)
		d.require(err == nil, "not an age recipient in its one spelling")
	}
	return k
}

func (d *decoder) signingKey() (key [ed25519.PublicKeySize]byte) {
	d.fixed(key[:])
	d.require(usableSigningKey(key), "not a usable signing key")
	return key
}

// end requires that nothing is left.
func (d *decoder) end() error {
	d.require(len(d.s) == 0, "%d bytes after the last field", len(d.s))
	return d.err
}

func addBytes16(b *cryptobyte.Builder, field []byte) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(field) })
}

func addHashes[Hash ~[32]byte](b *cryptobyte.Builder, list []Hash) {
	b.AddUint16(uint16(len(list)))
	for _, hash := range list {
		field := [32]byte(hash)
		b.AddBytes(field[:])
	}
}

func addKeys(b *cryptobyte.Builder, k PublicKeys) {
	b.AddBytes(k.Signing[:])
	addBytes16(b, []byte(k.Recipient))
}
