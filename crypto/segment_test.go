package crypto

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

var testSpace = SpaceID{1, 2, 3}

func testHeader() SegmentHeader {
	return SegmentHeader{Space: testSpace, First: 2, Last: 2, Prev: Tail{7}}
}

func sealTestSegment(t testing.TB, content []byte) []byte {
	t.Helper()
	file, _, err := SealSegment(testHeader(), content, fixedEpoch(t, 9), fixedDevice(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// openSegment goes all the way.
func openSegment(file []byte, signer *DeviceKeys, epoch *Epoch, limit int) ([]byte, error) {
	segment, err := ParseSegment(file)
	if err != nil {
		return nil, err
	}
	if err := segment.Verify(signer.Public().SigningKey()); err != nil {
		return nil, err
	}
	return segment.Open(epoch, limit)
}

func TestSegmentRoundTrip(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	tests := []struct {
		name    string
		header  SegmentHeader
		content []byte
	}{
		{"first batch", SegmentHeader{Space: testSpace, First: 1, Last: 1}, []byte("hello")},
		{"empty content", testHeader(), nil},
		{"last batch", SegmentHeader{Space: testSpace, First: MaxBatch, Last: MaxBatch, Prev: Tail{1}}, []byte{0}},
		{"compacted", SegmentHeader{Space: testSpace, First: 1, Last: 9, Generation: MaxGeneration, Tail: Tail{4}}, []byte{0}},
		{"one chunk of age", testHeader(), make([]byte, 64<<10-148)},
		{"many chunks", testHeader(), bytes.Repeat([]byte("row "), 1<<18)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file, tail, err := SealSegment(test.header, test.content, epoch, device)
			if err != nil {
				t.Fatal(err)
			}
			segment, err := ParseSegment(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := segment.Tail(); got != tail || got == (Tail{}) {
				t.Errorf("tail %s, sealing said %s", got, tail)
			}
			if test.header.Generation > 0 && tail != test.header.Tail {
				t.Errorf("tail %s of a compacted segment is not the one in its header", tail)
			}
			want := test.header
			want.Device, want.Epoch = device.ID(), epoch.ID()
			got := segment.Header()
			want.PayloadLength, want.PayloadSum = got.PayloadLength, got.PayloadSum
			if got != want {
				t.Errorf("header %+v, want %+v", got, want)
			}
			if err := segment.Verify(device.Public().SigningKey()); err != nil {
				t.Fatal(err)
			}
			content, err := segment.Open(epoch, len(test.content))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(content, test.content) {
				t.Error("content differs")
			}
			if len(test.content) > 0 {
				_, err = segment.Open(epoch, len(test.content)-1)
				wantError(t, err, ErrTooLarge)
			}
		})
	}
}

func TestSegmentTailCommitsToContent(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	_, a, errA := SealSegment(testHeader(), []byte("a"), epoch, device)
	_, b, errB := SealSegment(testHeader(), []byte("b"), epoch, device)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if a == b {
		t.Error("two segments with different contents have one tail")
	}
}

// TestSegmentRules has one case for each header rule of FORMAT.md (S6 to S8). The files are signed and measured well, so
// nothing but the rule can refuse them, and SealSegment must refuse to write them.
func TestSegmentRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*SegmentHeader)
	}{
		{"first is 0", func(h *SegmentHeader) { h.First, h.Last = 0, 0 }},
		{"last is below first", func(h *SegmentHeader) { h.Last, h.Generation, h.Tail = 1, 1, Tail{1} }},
		{"last is above the limit", func(h *SegmentHeader) { h.First, h.Last = MaxBatch+1, MaxBatch+1 }},
		{"last is the largest number", func(h *SegmentHeader) { h.First, h.Last = math.MaxUint64, math.MaxUint64 }},
		{"generation is above the limit", func(h *SegmentHeader) { h.Generation, h.Tail = MaxGeneration+1, Tail{1} }},
		{"original of two batches", func(h *SegmentHeader) { h.Last = 3 }},
		{"original with a tail", func(h *SegmentHeader) { h.Tail = Tail{1} }},
		{"compacted without a tail", func(h *SegmentHeader) { h.Generation = 1 }},
		{"first batch with prev", func(h *SegmentHeader) { h.First, h.Last = 1, 1 }},
		{"later batch without prev", func(h *SegmentHeader) { h.Prev = Tail{} }},
	}
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := testHeader()
			test.change(&header)
			if _, _, err := SealSegment(header, nil, epoch, device); err == nil {
				t.Error("sealed")
			}
			header.Device, header.Epoch = device.ID(), epoch.ID()
			payload := []byte("payload")
			_, err := ParseSegment(rawFile(&segmentFile, measured(header.bound(), payload), payload, device))
			wantError(t, err, ErrDamaged)
		})
	}
}

// TestSegmentSteps holds S10 to S13 of FORMAT.md and the order of the steps.
func TestSegmentSteps(t *testing.T) {
	alice, mallory := fixedDevice(t, 1), fixedDevice(t, 2)
	epoch, other := fixedEpoch(t, 9), fixedEpoch(t, 10)
	file := sealTestSegment(t, []byte("content"))
	parse := func(t *testing.T, file []byte) *Segment {
		t.Helper()
		segment, err := ParseSegment(file)
		if err != nil {
			t.Fatal(err)
		}
		return segment
	}
	verified := func(t *testing.T, file []byte, by *DeviceKeys) *Segment {
		t.Helper()
		segment := parse(t, file)
		if err := segment.Verify(by.Public().SigningKey()); err != nil {
			t.Fatal(err)
		}
		return segment
	}

	t.Run("open before verify", func(t *testing.T) {
		_, err := parse(t, file).Open(epoch, 100)
		wantError(t, err, ErrSignature)
	})
	t.Run("open after failed verify", func(t *testing.T) {
		segment := parse(t, file)
		wantError(t, segment.Verify(mallory.Public().SigningKey()), ErrSignature)
		_, err := segment.Open(epoch, 100)
		wantError(t, err, ErrSignature)
	})
	t.Run("no key", func(t *testing.T) { wantError(t, parse(t, file).Verify(nil), ErrSignature) })
	t.Run("signed by another member in the device's name", func(t *testing.T) {
		segment := parse(t, file)
		forged := rawFile(&segmentFile, segment.file.header, segment.file.payload, mallory)
		wantError(t, parse(t, forged).Verify(mallory.Public().SigningKey()), ErrSignature)
		wantError(t, parse(t, forged).Verify(alice.Public().SigningKey()), ErrSignature)
	})
	t.Run("signature for another kind", func(t *testing.T) {
		segment := parse(t, file)
		header := segment.file.header
		forged := append(segmentFile.appendSigned(nil, header, alice.sign(headFile.label, header)), segment.file.payload...)
		wantError(t, parse(t, forged).Verify(alice.Public().SigningKey()), ErrSignature)
	})
	t.Run("payload exchanged for one as long", func(t *testing.T) {
		a, b := parse(t, file), parse(t, sealTestSegment(t, []byte("CONTENT")))
		mixed := append(segmentFile.appendSigned(nil, a.file.header, a.file.signature), b.file.payload...)
		wantError(t, parse(t, mixed).Verify(alice.Public().SigningKey()), ErrDamaged)
	})
	t.Run("another device's ciphertext under one's own name", func(t *testing.T) {
		segment := parse(t, file)
		header := segment.Header()
		header.Device = mallory.ID()
		stolen := rawFile(&segmentFile, measured(header.bound(), segment.file.payload), segment.file.payload, mallory)
		_, err := verified(t, stolen, mallory).Open(epoch, 100)
		wantError(t, err, ErrDamaged)
	})
	t.Run("own ciphertext in another place", func(t *testing.T) {
		segment := parse(t, file)
		header := segment.Header()
		header.First, header.Last = 3, 3
		moved := rawFile(&segmentFile, measured(header.bound(), segment.file.payload), segment.file.payload, alice)
		_, err := verified(t, moved, alice).Open(epoch, 100)
		wantError(t, err, ErrDamaged)
	})
	t.Run("plaintext shorter than the bound part", func(t *testing.T) {
		header := testHeader()
		header.Device, header.Epoch = alice.ID(), epoch.ID()
		var payload bytes.Buffer
		if err := sealTo(&payload, epoch.secret().recipient, header.bound()[:147]); err != nil {
			t.Fatal(err)
		}
		short := rawFile(&segmentFile, measured(header.bound(), payload.Bytes()), payload.Bytes(), alice)
		_, err := verified(t, short, alice).Open(epoch, 100)
		wantError(t, err, ErrDamaged)
	})
	t.Run("other epoch", func(t *testing.T) {
		_, err := verified(t, file, alice).Open(other, 100)
		wantError(t, err, ErrWrongKey)
	})
	t.Run("no epoch", func(t *testing.T) {
		_, err := verified(t, file, alice).Open(nil, 100)
		wantError(t, err, ErrWrongKey)
	})
	t.Run("sealed for another key than the epoch named", func(t *testing.T) {
		header := testHeader()
		header.Device, header.Epoch = alice.ID(), epoch.ID()
		var payload bytes.Buffer
		if err := sealTo(&payload, other.secret().recipient, header.bound()); err != nil {
			t.Fatal(err)
		}
		wrong := rawFile(&segmentFile, measured(header.bound(), payload.Bytes()), payload.Bytes(), alice)
		_, err := verified(t, wrong, alice).Open(epoch, 100)
		wantError(t, err, ErrWrongKey)
	})
	t.Run("sealed for the key, but named another epoch", func(t *testing.T) {
		header := testHeader()
		header.Device, header.Epoch = alice.ID(), other.ID()
		var payload bytes.Buffer
		if err := sealTo(&payload, epoch.secret().recipient, header.bound()); err != nil {
			t.Fatal(err)
		}
		wrong := rawFile(&segmentFile, measured(header.bound(), payload.Bytes()), payload.Bytes(), alice)
		_, err := verified(t, wrong, alice).Open(epoch, 100)
		wantError(t, err, ErrWrongKey)
	})
	t.Run("payload is not age", func(t *testing.T) {
		header := testHeader()
		header.Device, header.Epoch = alice.ID(), epoch.ID()
		payload := []byte("age-encryption.org/v1\nbut not really")
		wrong := rawFile(&segmentFile, measured(header.bound(), payload), payload, alice)
		_, err := verified(t, wrong, alice).Open(epoch, 100)
		wantError(t, err, ErrDamaged)
	})
	t.Run("payload cut off and signed so", func(t *testing.T) {
		long := sealTestSegment(t, make([]byte, 200_000))
		segment := parse(t, long)
		header := segment.Header()
		for _, size := range []int{len(segment.file.payload) - 1, 150_000, 70_000, 2_000, 1_000} {
			payload := segment.file.payload[:size]
			cut := rawFile(&segmentFile, measured(header.bound(), payload), payload, alice)
			content, err := verified(t, cut, alice).Open(epoch, 1<<20)
			wantError(t, err, ErrDamaged)
			if content != nil {
				t.Errorf("%d bytes of content from a payload that was cut off at %d", len(content), size)
			}
		}
	})
	t.Run("negative limit", func(t *testing.T) {
		_, err := verified(t, file, alice).Open(epoch, -1)
		wantError(t, err, ErrTooLarge)
	})
	t.Run("largest limit", func(t *testing.T) {
		if content, err := verified(t, file, alice).Open(epoch, math.MaxInt); err != nil || string(content) != "content" {
			t.Errorf("content %q, error %v", content, err)
		}
	})
}

// TestSegmentTamper flips every bit of a file of 4 KiB and cuts it at every byte.
func TestSegmentTamper(t *testing.T) {
	if testing.Short() {
		t.Skip("much work in one thread")
	}
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	const limit = 4 << 10
	file := sealTestSegment(t, nil)
	file = sealTestSegment(t, make([]byte, limit-len(file)))
	if len(file) != limit {
		t.Fatalf("%d bytes", len(file))
	}
	if _, err := openSegment(file, device, epoch, limit); err != nil {
		t.Fatal(err)
	}
	key := device.Public().SigningKey()
	for i := range file {
		for bit := range 8 {
			file[i] ^= 1 << bit
			if _, err := PeekSegment(file[:512], limit, key); (err == nil) != (i >= 21+4+188+64) {
				t.Errorf("bit %d of byte %d flipped, and its beginning gives %v", bit, i, err)
			}
			if _, err := openSegment(file, device, epoch, limit); err == nil {
				t.Errorf("bit %d of byte %d flipped, and accepted", bit, i)
			} else {
				wantOneOf(t, err)
			}
			file[i] ^= 1 << bit
		}
	}
	for n := range file {
		_, err := openSegment(file[:n], device, epoch, limit)
		wantError(t, err, ErrDamaged)
		_, err = PeekSegment(file[:min(n, 512)], int64(n), key)
		wantError(t, err, ErrDamaged)
	}
	_, err := openSegment(append(bytes.Clone(file), 0), device, epoch, limit)
	wantError(t, err, ErrDamaged)
	_, err = PeekSegment(file[:512], limit+1, key)
	wantError(t, err, ErrDamaged)
	_, err = PeekSegment(file[:512], limit, fixedDevice(t, 2).Public().SigningKey())
	wantError(t, err, ErrSignature)
	if peeked, err := PeekSegment(file[:512], limit, key); err != nil || peeked.Header().First != 2 {
		t.Errorf("got %+v, error %v", peeked, err)
	}
}

// TestNoRecipientInFiles looks for what must not stand in the folder.
func TestNoRecipientInFiles(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	segment := sealTestSegment(t, []byte("canary row"))
	head, err := SealHead(HeadHeader{Space: testSpace, Counter: 1}, []byte("canary row"), epoch, device)
	if err != nil {
		t.Fatal(err)
	}
	found, err := NewFound(device, epoch, 1, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"segment": segment, "head": head, "found": found.File()} {
		for _, secret := range []string{epoch.secret().recipient.String(), epoch.secret().identity.String(), device.secret().age.String(), "canary"} {
			if strings.Contains(string(file), secret) {
				t.Errorf("%s holds %.12s…", name, secret)
			}
		}
	}
}

// Ciphertexts are recorded by who hosts the folder, for machines to come. Each that stands there is for one hybrid,
// post-quantum recipient.
func TestCiphertextsAreForPostQuantumRecipients(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	segment, err := ParseSegment(sealTestSegment(t, []byte("content")))
	if err != nil {
		t.Fatal(err)
	}
	file, err := SealHead(HeadHeader{Space: testSpace, Counter: 1}, nil, epoch, device)
	if err != nil {
		t.Fatal(err)
	}
	head, err := ParseHead(file)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := fixedInvite(t, 4).Seal(testInviteFile(t))
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := epoch.wrap([]PublicKeys{device.Public()})
	if err != nil {
		t.Fatal(err)
	}
	for name, ciphertext := range map[string][]byte{
		"segment": segment.file.payload, "head": head.file.payload, "invite": invite, "wrap": wrapped.Wraps[0].File,
	} {
		text := string(ciphertext)
		if !strings.HasPrefix(text, "age-encryption.org/v1\n-> mlkem768x25519 ") || strings.Count(text[:strings.Index(text, "\n---")], "->") != 1 {
			t.Errorf("%s begins with %.60q", name, text)
		}
	}
}

func FuzzSegment(f *testing.F) {
	device, epoch := fixedDevice(f, 1), fixedEpoch(f, 9)
	f.Add(sealTestSegment(f, []byte("content")))
	f.Add([]byte("sqlitesync segment 2\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		segment, err := ParseSegment(file)
		if err != nil {
			wantOneOf(t, err)
			return
		}
		header := segment.Header()
		if rule := header.broken(); rule != "" {
			t.Errorf("accepted: %s", rule)
		}
		again := segmentFile.appendSigned(nil, segment.file.header, segment.file.signature)
		if !bytes.Equal(append(again, segment.file.payload...), file) {
			t.Error("encodes to other bytes")
		}
		if !bytes.Equal(header.bound(), segment.file.header[:148]) {
			t.Error("header encodes to other bytes")
		}
		peeked, err := PeekSegment(file[:min(len(file), 512)], int64(len(file)), device.Public().SigningKey())
		if err == nil && (peeked.Header() != header || peeked.Tail() != segment.Tail()) {
			t.Errorf("its beginning gives another header, %+v", peeked.Header())
		}
		if segment.Verify(device.Public().SigningKey()) == nil {
			if err != nil {
				t.Errorf("its beginning gives %v", err)
			}
			if _, err := segment.Open(epoch, 1<<20); err != nil {
				wantOneOf(t, err)
			}
		}
	})
}

func BenchmarkSealSegment(b *testing.B) {
	device, epoch := fixedDevice(b, 1), fixedEpoch(b, 9)
	content := make([]byte, 16<<20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, _, err := SealSegment(testHeader(), content, epoch, device); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSegment(b *testing.B) {
	device, epoch := fixedDevice(b, 1), fixedEpoch(b, 9)
	file := sealTestSegment(b, make([]byte, 16<<20))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := openSegment(file, device, epoch, len(file)); err != nil {
			b.Fatal(err)
		}
	}
}
