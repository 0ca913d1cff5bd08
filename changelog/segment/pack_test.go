package segment

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestPackMethod(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, test := range []struct {
		name   string
		body   []byte
		method byte
	}{
		{"empty", []byte{}, methodStored},
		{"one byte", []byte{7}, methodStored},
		{"random bytes", randomBytes(random, 100_000), methodStored},
		{"text", []byte(strings.Repeat("milk and bread ", 100)), methodZstd},
		{"largest", make([]byte, MaxBody), methodZstd},
		{"largest, random", bytes.Repeat(randomBytes(random, 1<<10), MaxBody>>10), methodZstd},
	} {
		packed, err := Pack(test.body)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if packed[0] != test.method || len(packed) > packHeader+len(test.body) {
			t.Errorf("%s: method %d, %d bytes of %d", test.name, packed[0], len(packed), len(test.body))
		}
		got, err := Unpack(packed)
		if err != nil || !bytes.Equal(got, test.body) {
			t.Errorf("%s: unpacked another body, error %v", test.name, err)
		}
	}
	if _, err := Pack(make([]byte, MaxBody+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a byte more than the limit: error %v", err)
	}
}

// TestUnpackForeign unpacks what other compressors may make: checksums, no
// content size, other levels.
func TestUnpackForeign(t *testing.T) {
	body := must(Encode(randomSegment(rand.New(rand.NewPCG(7, 8)))))
	for _, options := range [][]zstd.EOption{
		{zstd.WithEncoderCRC(true)},
		{zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithSingleSegment(true)},
		{zstd.WithWindowSize(1 << 10)},
	} {
		var stream bytes.Buffer
		w := must(zstd.NewWriter(&stream, options...))
		for part := range slices.Chunk(body, 100) { // in parts, so that the frame cannot state its length
			w.Write(part)
			w.Flush()
		}
		w.Close()
		for _, frame := range [][]byte{stream.Bytes(), must(zstd.NewWriter(nil, options...)).EncodeAll(body, nil)} {
			got, err := Unpack(pack(methodZstd, len(body), frame))
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("unpacked another body, error %v", err)
			}
			if _, err := Unpack(pack(methodZstd, len(body), frame[:len(frame)-1])); !errors.Is(err, ErrDamaged) {
				t.Errorf("without its last byte: error %v", err)
			}
			if _, err := Unpack(pack(methodZstd, len(body)-1, frame)); !errors.Is(err, ErrDamaged) {
				t.Errorf("as a byte shorter: error %v", err)
			}
		}
	}
}

// TestPackConcurrently is for the race detector: one encoder and one decoder serve all.
func TestPackConcurrently(t *testing.T) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			body := bytes.Repeat([]byte{byte(i), 1, 2, 3}, 5000*(i+1))
			for range 20 {
				packed, err := Pack(body)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := Unpack(packed); err != nil || !bytes.Equal(got, body) {
					t.Errorf("unpacked another body, error %v", err)
				}
			}
		})
	}
	group.Wait()
}
