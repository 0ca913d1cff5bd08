package changelog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
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

// compareValues orders values as SQLite does under BINARY: NULL, numbers by what
// they are worth, texts and blobs by their bytes.
func compareValues(v, w Value) int {
	if c := cmp.Compare(class(v), class(w)); c != 0 {
		return c
	}
	switch v := v.(type) {
	case int64:
		if w, ok := w.(float64); ok {
			return compareMixed(v, w)
		}
		return cmp.Compare(v, w.(int64))
	case float64:
		if w, ok := w.(int64); ok {
			return -compareMixed(w, v)
		}
		return cmp.Compare(v, w.(float64))
	case string:
		return strings.Compare(v, w.(string))
	case []byte:
		return bytes.Compare(v, w.([]byte))
	}
	return 0
}

// class returns where the values of v's type stand among those of others.
func class(v Value) int {
	switch v.(type) {
	case nil:
		return 0
	case int64, float64:
		return 1
	case string:
		return 2
	default:
		return 3
	}
}

// compareMixed compares an integer with a real without rounding the integer.
func compareMixed(n int64, f float64) int {
	switch {
	case f < -1<<63:
		return 1
	case f >= 1<<63:
		return -1
	}
	if c := cmp.Compare(n, int64(f)); c != 0 {
		return c
	}
	return cmp.Compare(0, f-math.Trunc(f))
}
