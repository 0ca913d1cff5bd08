package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// How the body stands in a packed segment.
const (
	methodStored = 0
	methodZstd   = 1
)

const packHeader = 1 + 4 // method, length of the body

// Pack returns body as it stands in the plaintext of a segment, after the copy
// of the header: compressed, or as it is where that is not longer. An error
// wraps [ErrTooLarge].
func Pack(body []byte) ([]byte, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("pack: body of %d bytes: %w", len(body), ErrTooLarge)
	}
	encoder, err := zstdEncoder()
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	packed := make([]byte, packHeader, packHeader+len(body)/2)
	packed[0] = methodZstd
	binary.BigEndian.PutUint32(packed[1:], uint32(len(body)))
	packed = encoder.EncodeAll(body, packed)
	if len(packed) >= packHeader+len(body) {
		packed[0] = methodStored
		packed = append(packed[:packHeader], body...)
	}
	return packed, nil
}

// Unpack returns the body that [Pack] was given, or that another implementation
// packed. Any error wraps [ErrDamaged]. A body that is not compressed is a part
// of packed.
func Unpack(packed []byte) ([]byte, error) {
	body, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w: %w", ErrDamaged, err)
	}
	return body, nil
}

func unpack(packed []byte) ([]byte, error) {
	if len(packed) < packHeader {
		return nil, errors.New(endsEarly)
	}
	length := binary.BigEndian.Uint32(packed[1:])
	if length > MaxBody {
		return nil, errors.New("length above its limit")
	}
	method, packed := packed[0], packed[packHeader:]
	switch method {
	case methodStored:
		if len(packed) != int(length) {
			return nil, errLength
		}
		return packed[:length:length], nil
	case methodZstd:
		return decompress(packed, int(length))
	default:
		return nil, errors.New("unknown method")
	}
}

var errLength = errors.New("body of another length than stated")

// decompress returns the content of a Zstandard frame, which has this length.
func decompress(frame []byte, length int) ([]byte, error) {
	if err := checkFrame(frame, length); err != nil {
		return nil, err
	}
	decoder, err := zstdDecoder()
	if err != nil {
		return nil, err
	}
	// The decoder stops where the capacity ends. With some bytes to spare it
	// takes its fast path to the end.
	const spare = 32
	body, err := decoder.DecodeAll(frame, make([]byte, 0, length+spare))
	if err != nil {
		return nil, err
	}
	if len(body) != length {
		return nil, errLength
	}
	return body, nil
}

// checkFrame checks that b is one frame and nothing else, by walking over its
// blocks: the decoder would take several frames and skip some that it does not
// know. Lengths that cannot be right are found before anything is allocated.
func checkFrame(b []byte, length int) error {
	var header zstd.Header
	if err := header.Decode(b); err != nil {
		return err
	}
	switch {
	case header.Skippable:
		return errors.New("skippable frame")
	case header.DictionaryID != 0:
		return errors.New("frame with a dictionary")
	case header.HasFCS && header.FrameContentSize != uint64(length):
		return errLength
	}
	const (
		blockHeader = 3 // bytes, little-endian: bit 0 = last, two bits of type, size
		repeat      = 1 // the type of a block of one byte that is repeated size times
		checksum    = 4
		maxBlock    = 128 << 10 // decompressed
	)
	most := 0 // what the blocks can decompress to
	rest := b[header.HeaderSize:]
	for last := false; !last; {
		if len(rest) < blockHeader {
			return errors.New(endsEarly)
		}
		block := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
		last = block&1 != 0
		size := block >> 3
		if block>>1&3 == repeat {
			size = 1
		}
		if size > len(rest)-blockHeader {
			return errors.New(endsEarly)
		}
		rest = rest[blockHeader+size:]
		most += maxBlock
	}
	if length > most {
		return errLength
	}
	if header.HasCheckSum {
		if len(rest) < checksum {
			return errors.New(endsEarly)
		}
		rest = rest[checksum:]
	}
	if len(rest) > 0 {
		return errors.New("bytes after the frame")
	}
	return nil
}

// The encoder and the decoder have no state between calls of EncodeAll and
// DecodeAll, are safe for concurrent use, and cost too much to be made for
// every segment. With a concurrency of 1 each keeps its tables once.

// There is no checksum: what is sealed cannot change unnoticed.
var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false))
})

var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(MaxBody), // of the window, too
		zstd.WithDecodeAllCapLimit(true))
})
