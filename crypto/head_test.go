package crypto

import (
	"bytes"
	"math"
	"testing"
)

func sealTestHead(t testing.TB, content []byte) []byte {
	t.Helper()
	file, err := SealHead(HeadHeader{Space: testSpace, Counter: 5}, content, fixedEpoch(t, 9), fixedDevice(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func openHead(file []byte, signer *DeviceKeys, epoch *Epoch, limit int) ([]byte, error) {
	head, err := ParseHead(file)
	if err != nil {
		return nil, err
	}
	if err := head.Verify(signer.Public().SigningKey()); err != nil {
		return nil, err
	}
	return head.Open(epoch, limit)
}

func TestHeadRoundTrip(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	for _, counter := range []uint64{1, math.MaxUint64} {
		file, err := SealHead(HeadHeader{Space: testSpace, Counter: counter}, []byte("vector"), epoch, device)
		if err != nil {
			t.Fatal(err)
		}
		head, err := ParseHead(file)
		if err != nil {
			t.Fatal(err)
		}
		got := head.Header()
		want := HeadHeader{testSpace, device.ID(), counter, epoch.ID(), got.PayloadLength, got.PayloadSum}
		if got != want {
			t.Errorf("header %+v, want %+v", got, want)
		}
		if content, err := openHead(file, device, epoch, 6); err != nil || string(content) != "vector" {
			t.Errorf("content %q, error %v", content, err)
		}
		_, err = openHead(file, device, epoch, 5)
		wantError(t, err, ErrTooLarge)
	}
}

func TestHeadRules(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	header := HeadHeader{Space: testSpace, Device: device.ID(), Counter: 1, Epoch: epoch.ID()}
	payload := []byte("payload")
	file := func(counter uint64, payload []byte) []byte {
		header := header
		header.Counter = counter
		return rawFile(&headFile, measured(header.bound(), payload), payload, device)
	}
	tests := []struct {
		name string
		file []byte
		want error
	}{
		{"good", file(1, payload), nil},
		{"longest payload", file(1, make([]byte, 1<<20)), nil},
		{"counter is 0", file(0, payload), ErrDamaged},
		{"payload above the limit", file(1, make([]byte, 1<<20+1)), ErrDamaged},
		{"no payload", file(1, nil), ErrDamaged},
		{"segment", sealTestSegment(t, nil), ErrNotOurs},
		{"newer", []byte("sqlitesync head 2\n"), ErrVersion},
		{"short header", rawFile(&headFile, make([]byte, 111), payload, device), ErrDamaged},
		{"long header", rawFile(&headFile, append(measured(header.bound(), payload), 0), payload, device), ErrDamaged},
		{"header above the envelope limit", rawFile(&headFile, make([]byte, 4097), payload, device), ErrDamaged},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseHead(test.file)
			wantError(t, err, test.want)
		})
	}
	if _, err := SealHead(HeadHeader{}, nil, epoch, device); err == nil {
		t.Error("sealed a head with counter 0")
	}
	_, err := SealHead(header, make([]byte, 1<<20), epoch, device)
	wantError(t, err, ErrTooLarge)
}

// TestHeadIsNoSegment puts the payload of one kind into a file of the other, signed by its own author.
func TestHeadIsNoSegment(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	segment, err := ParseSegment(sealTestSegment(t, []byte("content")))
	if err != nil {
		t.Fatal(err)
	}
	header := HeadHeader{Space: testSpace, Device: device.ID(), Counter: 1, Epoch: epoch.ID()}
	payload := segment.file.payload
	_, err = openHead(rawFile(&headFile, measured(header.bound(), payload), payload, device), device, epoch, 1000)
	wantError(t, err, ErrDamaged)
}

func TestHeadTamper(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	file := sealTestHead(t, []byte("v"))
	for i := range file {
		file[i] ^= 1 << (i % 8)
		if _, err := openHead(file, device, epoch, 100); err == nil {
			t.Errorf("byte %d changed, and accepted", i)
		}
		file[i] ^= 1 << (i % 8)
	}
	for n := range file {
		_, err := openHead(file[:n], device, epoch, 100)
		wantError(t, err, ErrDamaged)
	}
}

func FuzzHead(f *testing.F) {
	device, epoch := fixedDevice(f, 1), fixedEpoch(f, 9)
	f.Add(sealTestHead(f, []byte("content")))
	f.Add([]byte("sqlitesync head 2\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		head, err := ParseHead(file)
		if err != nil {
			wantOneOf(t, err)
			return
		}
		again := headFile.appendSigned(nil, head.file.header, head.file.signature)
		if !bytes.Equal(append(again, head.file.payload...), file) {
			t.Error("encodes to other bytes")
		}
		if head.Verify(device.Public().SigningKey()) == nil {
			if _, err := head.Open(epoch, 1<<20); err != nil {
				wantOneOf(t, err)
			}
		}
	})
}
