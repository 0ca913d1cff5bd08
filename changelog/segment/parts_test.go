package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/sqlitesync/go/changelog"
)

// parts are the six parts of a body and what follows it, as bytes, for bodies
// that Encode would not make.
type parts struct {
	horizon, devices, batches, pieces, shapes, groups, end []byte

	first, last uint64 // of the header
}

func (p parts) body() []byte {
	return bytes.Join([][]byte{p.horizon, p.devices, p.batches, p.pieces, p.shapes, p.groups, p.end}, nil)
}

// goodParts returns the parts of a small body that says the same as testSegment.
func goodParts() parts {
	return parts{
		horizon: uvarints(0),
		devices: cat(uvarints(2), deviceA[:], deviceB[:]),
		batches: uvarints(1, 0, 0, 1, 2, 3),
		pieces:  uvarints(0),
		shapes:  cat(uvarints(1), noteShape.Append(nil)),
		groups:  cat(uvarints(1), goodGroup().bytes()),
		first:   17,
		last:    17,
	}
}

// groupParts are the fields of a group (FORMAT.md, section 8.7).
type groupParts struct {
	shape, rows, times, devices, batches, births, keys, columns []byte
}

func (g groupParts) bytes() []byte {
	return bytes.Join([][]byte{g.shape, g.rows, g.times, g.devices, g.batches, g.births, g.keys, g.columns}, nil)
}

// goodGroup returns the group of goodParts, of two rows.
func goodGroup() groupParts {
	return groupParts{
		shape:   uvarints(0),
		rows:    uvarints(2),
		times:   varints(1767225600000, 0),
		devices: uvarints(1, 1),
		batches: uvarints(17, 17),
		births:  []byte{birthIsStamp, birthIsStamp},
		keys:    cat([]byte{changelog.KindText, changelog.KindText}, text("n1"), text("n2")),
		columns: cat(
			[]byte{changelog.KindText, changelog.KindText}, text("milk"), text("bread"),
			[]byte{changelog.KindInteger, changelog.KindInteger}, varints(0, 0),
		),
	}
}

// withGroup returns good parts with this group instead of theirs.
func withGroup(g groupParts) parts {
	p := goodParts()
	p.groups = cat(uvarints(1), g.bytes())
	return p
}

func cat(pieces ...[]byte) []byte { return bytes.Join(pieces, nil) }

func uvarints(values ...uint64) (b []byte) {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func varints(values ...int64) (b []byte) {
	for _, v := range values {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func text(s string) []byte { return append(uvarints(uint64(len(s))), s...) }

// shapeBytes encodes a shape as it is given, right or wrong.
func shapeBytes(kind byte, table string, key, columns []string) []byte {
	b := append([]byte{kind}, text(table)...)
	for _, names := range [][]string{key, columns} {
		b = append(b, uvarints(uint64(len(names)))...)
		for _, name := range names {
			b = append(b, text(name)...)
		}
	}
	return b
}

func sha(content string) [32]byte { return sha256.Sum256([]byte(content)) }

// frame makes a Zstandard frame by hand, so that golden files do not depend on
// the compressor: a header without a dictionary that states a length of one
// byte, then the blocks.
func frame(length byte, blocks ...[]byte) []byte {
	return cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, length}, cat(blocks...))
}

// The types of blocks of a frame.
const (
	rawBlock    = 0
	repeatBlock = 1
	wrongBlock  = 3
)

// block makes a block of a frame. Size is that of the content.
func block(last bool, kind, size int, content []byte) []byte {
	header := size<<3 | kind<<1
	if last {
		header |= 1
	}
	return cat([]byte{byte(header), byte(header >> 8), byte(header >> 16)}, content)
}

// pack puts the header of a packed body before content.
func pack(method byte, length int, content []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{method}, uint32(length)), content...)
}
