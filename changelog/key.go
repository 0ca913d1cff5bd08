package changelog

import (
	"cmp"
	"errors"
	"math"
)

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

// Compare orders keys as SQLite does under BINARY, column by column. Of keys that
// name one row under another collation it takes one for the greater; see
// [Table.Fold].
func (k Key) Compare(l Key) int {
	for i := range min(len(k), len(l)) {
		if c := compareValues(k[i], l[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(k), len(l))
}

// ParseKey reads what [Key.Identity] has returned of a key of so many columns.
func ParseKey(identity []byte, columns int) (Key, error) {
	p := parser{rest: identity}
	key := make(Key, columns)
	for i := range key {
		key[i] = p.value()
	}
	if p.failed || len(p.rest) > 0 || key.Identity() != string(identity) {
		return nil, errors.New("not the canonical encoding of a key")
	}
	return key, nil
}
