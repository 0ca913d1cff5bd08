package changelog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Kind says what a change does to its row.
type Kind byte

// The kinds of changes.
const (
	// Delete contains every column, as absent.
	Delete Kind = 0
	// Full is a put that contains every column that its author's schema has.
	Full Kind = 1
	// Partial is a put that contains only some of them. It never revives a row.
	Partial Kind = 2
)

// Shape says what a change contains: a kind, a table, its key columns and the
// other columns that have a value in it. Names are canonical (ASCII folded to
// lower case, as SQLite compares them), key columns stand in the
// order of the PRIMARY KEY, columns in byte order. Changes share shapes; a
// Shape is never altered after [NewShape] made it.
type Shape struct {
	Kind    Kind
	Table   string
	Key     []string
	Columns []string

	digest [sha256.Size]byte
}

// NewShape returns the shape with these names, which may stand in any case and
// the columns in any order.
func NewShape(kind Kind, table string, key, columns []string) *Shape {
	s := &Shape{Kind: kind, Table: CanonicalName(table)}
	for _, name := range key {
		s.Key = append(s.Key, CanonicalName(name))
	}
	for _, name := range columns {
		s.Columns = append(s.Columns, CanonicalName(name))
	}
	slices.Sort(s.Columns)
	s.digest = sha256.Sum256(s.Append(nil))
	return s
}

// Append appends the canonical encoding of s: its kind, then its names, each
// list after its length, each name after its length.
func (s *Shape) Append(b []byte) []byte {
	b = append(b, byte(s.Kind))
	b = appendString(b, s.Table)
	for _, names := range [][]string{s.Key, s.Columns} {
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, name := range names {
			b = appendString(b, name)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Rows names the rows that changes of this shape are about: those of its table,
// while that has this key. With other key columns it has other rows, even where
// the values are the same.
func (s *Shape) Rows() string {
	key := make([]string, len(s.Key))
	for i, column := range s.Key {
		key[i] = Quote(column)
	}
	return Quote(s.Table) + " (" + strings.Join(key, ", ") + ")"
}

// Size returns about how many bytes of memory the change's values hold.
func (c *Change) Size() int { return size(c.Key) + size(c.Values) }

// Equal reports whether s and t contain the same.
func (s *Shape) Equal(t *Shape) bool { return s == t || s.digest == t.digest }

// Contains reports whether a change of this shape says something about the
// column with this canonical name.
func (s *Shape) Contains(column string) bool {
	if s.Kind == Delete {
		return true
	}
	_, found := slices.BinarySearch(s.Columns, column)
	return found
}

// CanonicalName returns the form in which the names of tables and columns
// travel and are compared: SQLite ignores the case of A to Z and of nothing else.
func CanonicalName(name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}

// Change is news about one row. Values stand in the order of Shape.Columns; a
// delete has none. Birth is the stamp of the row's first put since it was last
// absent in its author's database; a delete has the zero Birth.
type Change struct {
	Shape  *Shape
	Key    Key
	Values []Value
	Stamp  Stamp
	Birth  Stamp
}

// Image identifies what a change says, apart from when and by whom: the first
// 16 bytes of a SHA-256. Equal images mean that a row did not change.
type Image [16]byte

// Image computes the image hash of c: SHA-256 over "sqlitesync/image/v1", the
// digest of the shape, the identity of the key, the stored key and the values.
func (c *Change) Image() Image {
	var space [512]byte
	return c.image(space[:0])
}

// image uses scratch for the bytes to hash, to spare an allocation a row.
func (c *Change) image(scratch []byte) Image {
	b := append(scratch, "sqlitesync/image/v1"...)
	b = append(b, c.Shape.digest[:]...)
	b = c.Key.AppendIdentity(b)
	for _, v := range c.Key {
		b = AppendValue(b, v)
	}
	for _, v := range c.Values {
		b = AppendValue(b, v)
	}
	sum := sha256.Sum256(b)
	return Image(sum[:16])
}

// Restamp replaces a stamp, wherever it stands in the change, and reports whether
// it did.
func (c *Change) Restamp(was, now Stamp) (found bool) { return restamp(was, now, &c.Stamp, &c.Birth) }

// Compare orders two changes of one row: by stamp, and by image when the
// stamps are equal. It returns 0 only for one and the same change.
func (c *Change) Compare(d *Change) int {
	if o := c.Stamp.Compare(d.Stamp); o != 0 {
		return o
	}
	ci, di := c.Image(), d.Image()
	return bytes.Compare(ci[:], di[:])
}

// Batch holds all changes that one device committed between two exports: whole
// transactions, numbered 1, 2, 3 … per device.
type Batch struct {
	Device DeviceID
	Number uint64

	// Continued means that the transactions of this batch go on in the next
	// one: a reader applies both, or neither.
	Continued bool

	// Seen is the author's seen vector when it made the batch.
	Seen Vector

	// Vectors is for a compacted range, which holds changes of several batches: the
	// author's seen vector when it made each of them, by number; under 0 the newest of
	// these, for the rows of a baseline, if none of the batches was merged before.
	Vectors map[uint64]Vector

	Changes []Change
}
