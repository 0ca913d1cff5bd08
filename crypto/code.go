package crypto

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
)

const (
	codeAlphabet  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base 32, https://www.crockford.com/base32.html
	codeGroups    = 7
	codeGroupSize = 5 // four characters of data, one that checks them
	codeMaxInput  = 256

	labelCode = "sqlitesync/code/v1"
)

// A CodeKind says what a code is for.
type CodeKind uint8

// The kinds of codes.
const (
	AnyCode      CodeKind = 0 // for ParseCode: the code says which kind it is
	InviteCode   CodeKind = 1
	RecoveryCode CodeKind = 2
)

// A Code is a secret of 128 bits that a person can carry: it invites one device, or recovers a space.
type Code struct {
	kind   CodeKind
	secret func() [16]byte
}

// NewCode makes a fresh code.
func NewCode(kind CodeKind) *Code {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails, see crypto/rand
	return &Code{kind: kind, secret: hidden(secret)}
}

// Kind says what the code is for.
func (c *Code) Kind() CodeKind { return c.kind }

// String says that there is a code, and does not show it: see Text.
func (c Code) String() string { return "code (not shown)" }

// Format prints what String returns, whatever the verb.
func (c Code) Format(s fmt.State, _ rune) { show(s, c.String()) }

// LogValue returns what String returns.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Text returns the code as people read it: seven groups of five characters, 41 characters in all, fit for a QR code in
// alphanumeric mode. It is the secret.
func (c *Code) Text() string {
	// 140 bits: four of kind, 128 of secret, eight of checksum. Shifting them through in numbers of five bits.
	secret := c.secret()
	data := make([]byte, 0, 18)
	data = append(data, byte(c.kind))
	data = append(data, secret[:]...)
	data = append(data, codeChecksum(c.kind, secret))
	text := make([]byte, 0, codeGroups*(codeGroupSize+1)-1)
	var bits, count uint
	var group []byte
	for i, b := range data {
		width := uint(8)
		if i == 0 {
			width = 4
		}
		bits = bits<<width | uint(b)
		for count += width; count >= 5; count -= 5 {
			group = append(group, byte(bits>>(count-5))&31)
			if len(group) < codeGroupSize-1 {
				continue
			}
			if len(text) > 0 {
				text = append(text, '-')
			}
			for _, v := range append(group, codeCheck(1+len(text)/(codeGroupSize+1), group)) {
				text = append(text, codeAlphabet[v])
			}
			group = group[:0]
		}
		bits &= 1<<count - 1
	}
	return string(text)
}

func codeChecksum(kind CodeKind, secret [16]byte) byte {
	return hashLabelled(labelCode, []byte{byte(kind)}, secret[:])[0]
}

// codeCheck returns the check number of the k-th group: k + 2·d1 + 4·d2 + 8·d3 + 16·d4 in GF(32). The weights differ from
// each other and from the check number's own, which is 1, so one wrong character and two swapped ones both show; k
// differs from group to group, so swapped groups show.
func codeCheck(k int, data []byte) byte {
	sum := byte(k)
	for i, v := range data[:codeGroupSize-1] {
		for range i + 1 {
			v = v << 1 // times x, modulo x^5 + x^2 + 1
			if v > 31 {
				v ^= 0b100101
			}
		}
		sum ^= v
	}
	return sum
}

// A CodeError says which part of a code is wrong. It does not repeat the code.
type CodeError struct {
	Group   int    // 1 to 7; 0: the code as a whole
	Problem string // for people
}

func (e *CodeError) Error() string {
	if e.Group == 0 {
		return "code " + e.Problem
	}
	return fmt.Sprintf("code: group %d of %d %s", e.Group, codeGroups, e.Problem)
}

// ParseCode reads a code of the given kind as people type it: lower case, blanks and missing dashes do not matter, nor
// does O for 0, or I and L for 1. Every error is a [*CodeError].
func ParseCode(kind CodeKind, text string) (*Code, error) {
	values, err := codeValues(text)
	if err != nil {
		return nil, err
	}
	for k := 1; k <= codeGroups; k++ {
		group := values[(k-1)*codeGroupSize : k*codeGroupSize]
		if codeCheck(k, group) != group[codeGroupSize-1] {
			return nil, &CodeError{k, "has a wrong or misplaced character"}
		}
	}

	data := make([]byte, 0, 18)
	bits, count := uint(0), uint(4) // four bits of nothing in front make the kind a whole byte
	for i, v := range values {
		if i%codeGroupSize == codeGroupSize-1 {
			continue
		}
		bits = bits<<5 | uint(v)
		if count += 5; count >= 8 {
			count -= 8
			data = append(data, byte(bits>>count))
			bits &= 1<<count - 1
		}
	}
	found, secret := CodeKind(data[0]), [16]byte(data[1:17])
	switch {
	case !sameSecret(data[17:], []byte{codeChecksum(found, secret)}):
		return nil, &CodeError{0, "is wrong in more than one place"}
	case found != InviteCode && found != RecoveryCode:
		return nil, &CodeError{0, "was made by a newer version, update the program"}
	case kind == AnyCode:
	case found != kind && kind == InviteCode:
		return nil, &CodeError{0, "is a recovery code, not an invite code"}
	case found != kind:
		return nil, &CodeError{0, "is an invite code, not a recovery code"}
	}
	return &Code{kind: found, secret: hidden(secret)}, nil
}

// codeValues returns the numbers of the 35 characters.
func codeValues(text string) ([]byte, error) {
	if len(text) > codeMaxInput {
		return nil, &CodeError{0, "is too long, it has 35 letters and digits"}
	}
	values := make([]byte, 0, codeGroups*codeGroupSize)
	parts := []int{0} // number of characters between dashes
	for _, r := range text {
		if r >= 'a' && r <= 'z' {
			r += 'A' - 'a'
		}
		switch r {
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if v := strings.IndexRune(codeAlphabet, r); v >= 0 {
			values = append(values, byte(v))
			parts[len(parts)-1]++
		} else if unicode.Is(unicode.Dash, r) {
			parts = append(parts, 0)
		} else if !unicode.IsSpace(r) {
			group := len(values)/codeGroupSize + 1
			if group > codeGroups {
				group = 0
			}
			return nil, &CodeError{group, "has a character that codes do not have"}
		}
	}
	if len(values) == codeGroups*codeGroupSize {
		return values, nil
	}
	if len(parts) == codeGroups {
		for i, n := range parts {
			if n != codeGroupSize {
				return nil, &CodeError{i + 1, fmt.Sprintf("has %d characters, not %d", n, codeGroupSize)}
			}
		}
	}
	return nil, &CodeError{0, fmt.Sprintf("has %d letters and digits, not %d", len(values), codeGroups*codeGroupSize)}
}
