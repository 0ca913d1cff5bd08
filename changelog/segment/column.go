package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/sqlitesync/go/changelog"
)

// A column is one stream of values (FORMAT.md, section 8.6): the kinds of all,
// then the values of all. Values of one column are alike, kinds even more so,
// and differences of integers that count up are small: so it compresses well.

// appendColumn appends values as one stream. If one of them cannot be written,
// it returns that one's index and an error.
func appendColumn(b []byte, values []changelog.Value, key bool) ([]byte, int, error) {
	for i, v := range values {
		kind, err := kindOf(v, key)
		if err != nil {
			return nil, i, err
		}
		b = append(b, kind)
	}
	last := int64(0)
	for _, v := range values {
		switch v := v.(type) {
		case int64:
			b = binary.AppendVarint(b, v-last) // wraps around, and so does the reader
			last = v
		case float64:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
		case string:
			b = binary.AppendUvarint(b, uint64(len(v)))
			b = append(b, v...)
		case []byte:
			b = binary.AppendUvarint(b, uint64(len(v)))
			b = append(b, v...)
		case Ref:
			b = binary.AppendUvarint(b, v.Length)
			b = append(b, v.Hash[:]...)
		}
	}
	return b, 0, nil
}

// kindOf returns the kind byte of a value that may stand in a column.
func kindOf(v changelog.Value, key bool) (byte, error) {
	length := 0
	kind := byte(changelog.KindNull)
	switch v := v.(type) {
	case nil:
		if key {
			return 0, errors.New("NULL in a key")
		}
	case int64:
		return changelog.KindInteger, nil
	case float64:
		if math.IsNaN(v) {
			return 0, errors.New("NaN") // SQLite stores it as NULL
		}
		return changelog.KindReal, nil
	case string:
		kind, length = changelog.KindText, len(v)
	case []byte:
		kind, length = changelog.KindBlob, len(v)
	case Ref:
		if key {
			return 0, errors.New("value in pieces in a key")
		}
		if fault := refFault(v); fault != "" {
			return 0, errors.New(fault)
		}
		switch v.Kind {
		case changelog.KindText:
			return kindLargeText, nil
		case changelog.KindBlob:
			return kindLargeBlob, nil
		}
		return 0, errors.New("value in pieces that is neither text nor blob")
	default:
		return 0, fmt.Errorf("value of type %T", v)
	}
	if length > MaxValue {
		return 0, fmt.Errorf("value of %d bytes: %w", length, ErrTooLarge)
	}
	return kind, nil
}

// column reads a stream of n values into cells[0], cells[stride], …
func (r *reader) column(cells []changelog.Value, stride, n int, key bool) {
	kinds := r.take(n)
	last := int64(0)
	for i, kind := range kinds {
		var v changelog.Value
		switch kind {
		case changelog.KindNull:
			if key {
				r.fail("NULL in a key")
			}
		case changelog.KindInteger:
			last += r.varint()
			v = last
		case changelog.KindReal:
			f := math.Float64frombits(r.uint64())
			if math.IsNaN(f) {
				r.fail("NaN")
			}
			v = f
		case changelog.KindText:
			v = r.string(r.length(MaxValue))
		case changelog.KindBlob:
			v = r.take(r.length(MaxValue))
		case kindLargeText, kindLargeBlob:
			if key {
				r.fail("value in pieces in a key")
			}
			v = r.ref(kind)
		default:
			r.fail("unknown kind of value")
		}
		if r.err != nil {
			return
		}
		cells[i*stride] = v
	}
}

func (r *reader) ref(kind byte) Ref {
	ref := Ref{Kind: changelog.KindText, Length: r.uvarint()}
	if kind == kindLargeBlob {
		ref.Kind = changelog.KindBlob
	}
	copy(ref.Hash[:], r.take(len(ref.Hash)))
	if fault := refFault(ref); fault != "" {
		r.fail(fault)
	}
	return ref
}
