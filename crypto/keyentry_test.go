package crypto

import (
	"bytes"
	"slices"
	"testing"
)

func testKeyEntry(t testing.TB) *KeyEntry {
	t.Helper()
	device := fixedDevice(t, 1)
	return &KeyEntry{
		Device:  device,
		Space:   testSpace,
		Epochs:  []*Epoch{fixedEpoch(t, 8), fixedEpoch(t, 9)},
		Machine: MachineHash(device.ID(), "machine"),
		Batch:   12,
		Tail:    Tail{3},
	}
}

func encodeKeyEntry(t testing.TB, e *KeyEntry) []byte {
	t.Helper()
	entry, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// withChecksum replaces the checksum by the right one.
func withChecksum(entry []byte) []byte {
	sum := hashLabelled(labelKeyEntry, entry[:len(entry)-32])
	return append(bytes.Clone(entry[:len(entry)-32]), sum[:]...)
}

func TestKeyEntryRoundTrip(t *testing.T) {
	fresh := testKeyEntry(t)
	fresh.Batch, fresh.Tail = 0, Tail{}
	last := testKeyEntry(t)
	last.Batch = MaxBatch
	for _, want := range []*KeyEntry{testKeyEntry(t), fresh, last} {
		entry := encodeKeyEntry(t, want)
		got, err := ParseKeyEntry(entry)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encodeKeyEntry(t, got), entry) {
			t.Error("encodes to other bytes")
		}
		if got.Device.Public() != want.Device.Public() || got.Space != want.Space || got.Machine != want.Machine || got.Batch != want.Batch || got.Tail != want.Tail {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if !bytes.Equal(got.Device.sign("label", []byte("x")), want.Device.sign("label", []byte("x"))) {
			t.Error("signs with another key")
		}
		if got.Epoch(fixedEpoch(t, 8).ID()) == nil || got.Epoch(fixedEpoch(t, 9).ID()) == nil || got.Epoch(EpochID{}) != nil {
			t.Error("epochs are not found by their ids")
		}
	}
}

func TestKeyEntryRules(t *testing.T) {
	entry := encodeKeyEntry(t, testKeyEntry(t))
	const (
		identityAt = 18 + 32
		spaceAt    = identityAt + 2 + identitySize
		epochsAt   = spaceAt + 32
		batchAt    = epochsAt + 2 + 2*(2+identitySize) + 32
		tailAt     = batchAt + 8
	)
	set := func(at int, values ...byte) []byte {
		changed := bytes.Clone(entry)
		copy(changed[at:], values)
		return changed
	}
	one := entry[epochsAt+2 : epochsAt+2+2+identitySize]
	tests := []struct {
		name  string
		entry []byte
		want  error
	}{
		{"as it is", entry, nil},
		{"empty", nil, ErrDamaged},
		{"other magic", set(0, 'S'), ErrNotOurs},
		{"newer", set(16, '2'), ErrVersion},
		{"identity in lower case", set(identityAt+2, bytes.ToLower(entry[identityAt+2:spaceAt])...), ErrDamaged},
		{"empty identity", slices.Concat(entry[:identityAt], []byte{0, 0}, entry[spaceAt:]), ErrDamaged},
		{"no epochs", slices.Concat(entry[:epochsAt], []byte{0, 0}, entry[batchAt-32:]), ErrDamaged},
		{"1025 epochs", slices.Concat(entry[:epochsAt], []byte{4, 1}, bytes.Repeat(one, 1025), entry[batchAt-32:]), ErrDamaged},
		{"epoch twice", slices.Concat(entry[:epochsAt+2], one, one, entry[batchAt-32:]), ErrDamaged},
		{"batch above the limit", set(batchAt, 0, 1, 0, 0, 0, 0, 0, 0), ErrDamaged},
		{"batch without tail", set(tailAt, make([]byte, 32)...), ErrDamaged},
		{"tail without batch", set(batchAt, make([]byte, 8)...), ErrDamaged},
		{"byte after the end", append(bytes.Clone(entry), 0), ErrDamaged},
		{"above the limit", append(bytes.Clone(entry), make([]byte, MaxKeyEntry)...), ErrTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := test.entry
			if len(file) > 32 {
				file = withChecksum(file)
			}
			_, err := ParseKeyEntry(file)
			wantError(t, err, test.want)
		})
	}

	for i := range entry {
		entry[i] ^= 1 << (i % 8)
		if _, err := ParseKeyEntry(entry); err == nil {
			t.Errorf("accepted with byte %d changed", i)
		} else {
			wantOneOf(t, err)
		}
		entry[i] ^= 1 << (i % 8)
		_, err := ParseKeyEntry(entry[:i])
		wantError(t, err, ErrDamaged)
	}

	for name, change := range map[string]func(*KeyEntry){
		"no epochs":             func(e *KeyEntry) { e.Epochs = nil },
		"epoch twice":           func(e *KeyEntry) { e.Epochs[1] = e.Epochs[0] },
		"batch without tail":    func(e *KeyEntry) { e.Tail = Tail{} },
		"tail without batch":    func(e *KeyEntry) { e.Batch = 0 },
		"batch above the limit": func(e *KeyEntry) { e.Batch = MaxBatch + 1 },
	} {
		e := testKeyEntry(t)
		change(e)
		if _, err := e.Encode(); err == nil {
			t.Errorf("encoded: %s", name)
		}
	}
}

func FuzzKeyEntry(f *testing.F) {
	f.Add(encodeKeyEntry(f, testKeyEntry(f)))
	f.Fuzz(func(t *testing.T, entry []byte) {
		if len(entry) > 32 {
			entry = withChecksum(entry) // or nothing would be found behind it
		}
		e, err := ParseKeyEntry(entry)
		if err != nil {
			wantOneOf(t, err)
			return
		}
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, entry) {
			t.Errorf("encodes to other bytes, error %v", err)
		}
	})
}
