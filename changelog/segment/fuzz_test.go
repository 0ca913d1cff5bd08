package segment

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecode holds that what Decode takes is canonical, and that it takes it or
// says ErrDamaged.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		if !v.packed {
			f.Add(v.bytes, v.first, v.last)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, first, last uint64) {
		s, err := Decode(body, deviceA, first, last)
		if err != nil {
			if !errors.Is(err, ErrDamaged) || s != nil {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, body) {
			t.Errorf("encoded again, the body differs: %x", again)
		}
		err = NewJoiner(1 << 20).Join(s)
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("join: error %v", err)
		}
	})
}

// FuzzUnpack holds that Unpack keeps to the stated length.
func FuzzUnpack(f *testing.F) {
	for _, v := range vectors(f) {
		if v.packed {
			f.Add(v.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		body, err := Unpack(packed)
		if err != nil {
			if !errors.Is(err, ErrDamaged) || body != nil {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := Pack(body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Unpack(again); err != nil || !bytes.Equal(got, body) {
			t.Errorf("packed and unpacked, the body differs, error %v", err)
		}
	})
}
