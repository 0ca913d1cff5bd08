package changelog

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Value is one SQLite value: nil, int64, float64, string or []byte, and
// nothing else. A []byte is never nil: the driver scans an empty blob as a nil
// slice and would bind a nil slice as NULL, so [Scanned] makes it empty, not
// nil, on the way in.
type Value = any

// The kinds of values, as they stand in encodings.
const (
	KindNull    = 0
	KindInteger = 1
	KindReal    = 2
	KindText    = 3
	KindBlob    = 4
)

// Scanned returns v as a Value. Every value read from the database passes
// through it.
func Scanned(v any) (Value, error) {
	switch v := v.(type) {
	case nil, int64, float64, string:
		return v, nil
	case []byte:
		if v == nil {
			return []byte{}, nil
		}
		return v, nil
	default:
		// Only a column read without the leading "+" that strips its declared
		// type arrives as anything else (time.Time, bool).
		return nil, fmt.Errorf("driver returned a value of type %T", v)
	}
}

// size returns about how many bytes of memory the values hold.
func size(values []Value) int {
	n := 0
	for _, v := range values {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
		n += 32
	}
	return n
}

// AppendValue appends the canonical encoding of v: a kind byte, then nothing,
// a zigzag varint, the eight bytes of the IEEE 754 value (big-endian), or a
// length and the bytes. It is what image hashes and stored changes are made of.
func AppendValue(b []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, KindNull)
	case int64:
		return binary.AppendVarint(append(b, KindInteger), v)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, KindReal), math.Float64bits(v))
	case string:
		b = binary.AppendUvarint(append(b, KindText), uint64(len(v)))
		return append(b, v...)
	case []byte:
		b = binary.AppendUvarint(append(b, KindBlob), uint64(len(v)))
		return append(b, v...)
	default:
		panic(fmt.Sprintf("changelog: value of type %T", v))
	}
}

// Key holds the values of a row's key columns, in the order of the table's
// PRIMARY KEY, as they are stored.
type Key []Value

// Identity returns the canonical encoding of k: two keys name the same row if
// and only if their identities are equal. It differs from the stored values in
// one point: SQLite's key 1.0 is the key 1.
func (k Key) Identity() string {
	var space [64]byte
	return string(k.AppendIdentity(space[:0]))
}

// AppendIdentity appends the bytes of [Key.Identity].
func (k Key) AppendIdentity(b []byte) []byte {
	for _, v := range k {
		if f, ok := v.(float64); ok && f == math.Trunc(f) && f >= -1<<63 && f < 1<<63 {
			v = int64(f)
		}
		b = AppendValue(b, v)
	}
	return b
}
