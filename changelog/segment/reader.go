package segment

import (
	"encoding/binary"
	"fmt"
)

// A reader walks through a body. After the first fault, which err keeps, it is
// at the end and reads zeros: so parsing needs to look at err only before it
// allocates and where it loops.
type reader struct {
	body []byte
	pos  int
	part string // of the body, for errors
	err  error

	// All texts are parts of one string, made when the first is read: an
	// allocation for each would be the larger half of the work.
	text      string
	textStart int
}

// fail notes the first fault. Faults name a rule, never a value.
func (r *reader) fail(fault string) {
	if r.err == nil {
		r.err = fmt.Errorf("decode: %w: %s: %s", ErrDamaged, r.part, fault)
	}
	r.pos = len(r.body)
}

const endsEarly = "ends early"

func (r *reader) rest() int { return len(r.body) - r.pos }

// uvarint reads an unsigned varint in its shortest form.
func (r *reader) uvarint() uint64 {
	if r.pos < len(r.body) && r.body[r.pos] < 0x80 {
		r.pos++
		return uint64(r.body[r.pos-1])
	}
	return r.longUvarint()
}

func (r *reader) longUvarint() uint64 {
	v, n := binary.Uvarint(r.body[r.pos:])
	switch {
	case n == 0:
		r.fail(endsEarly)
		return 0
	case n < 0:
		r.fail("varint above 64 bits")
		return 0
	case n > 1 && r.body[r.pos+n-1] == 0:
		r.fail("varint not in its shortest form")
		return 0
	}
	r.pos += n
	return v
}

// varint reads a signed integer in zigzag form.
func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// count reads a number of things of which each takes at least size bytes, and
// of which there may be at most limit.
func (r *reader) count(limit, size int) int {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail("count above its limit")
		return 0
	}
	if v > uint64(r.rest()/size) {
		r.fail(endsEarly)
		return 0
	}
	return int(v)
}

// length reads a length in bytes.
func (r *reader) length(limit int) int {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail("length above its limit")
		return 0
	}
	return int(v)
}

// take returns the next n bytes of the body itself, or nothing.
func (r *reader) take(n int) []byte {
	if n > r.rest() {
		r.fail(endsEarly)
		return nil
	}
	b := r.body[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return b
}

// string reads the next n bytes as a text.
func (r *reader) string(n int) string {
	if n > r.rest() {
		r.fail(endsEarly)
		return ""
	}
	if r.text == "" {
		r.text, r.textStart = string(r.body[r.pos:]), r.pos
	}
	start := r.pos - r.textStart
	r.pos += n
	return r.text[start : start+n]
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// time reads the time of a stamp. What is above the times' range stays above.
func (r *reader) time() int64 {
	return int64(min(r.uvarint(), endOfTimes))
}
