package segment

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// A Joiner puts values that were cut into pieces back together. Use one for a
// run of segments whose batches are joined by Continued, and for every other
// segment one of its own. It is not safe for concurrent use.
//
// A Joiner refers to the pieces, and so to the bodies of all segments that it
// was given: how long a run may be is for its user to bound.
type Joiner struct {
	limit  int
	values map[[32]byte]*largeValue
}

// A largeValue is what a Joiner has of a value.
type largeValue struct {
	pieces  [][]byte
	length  uint64
	checked bool // against its hash
}

// NewJoiner returns a Joiner of which each [Joiner.Join] puts together at most
// limit bytes. With [MaxLargeValue], every segment that [Split] makes can be joined.
func NewJoiner(limit int) *Joiner {
	return &Joiner{limit: limit, values: make(map[[32]byte]*largeValue)}
}

// Join takes the pieces of s, then replaces every [Ref] in the changes of s by
// the whole value, which is new memory. Call it for the segments of a run in
// their order: pieces stand before what refers to them.
//
// An error wraps [ErrDamaged] if pieces do not make up the value that a Ref
// names, in length or hash, or [ErrTooLarge] at the Joiner's limit. After an
// error, nothing of the run may be used.
//
// Changes that have the same value share it: it must not be altered.
func (j *Joiner) Join(s *Segment) error {
	for _, p := range s.Pieces {
		if err := j.add(p); err != nil {
			return fmt.Errorf("join: %w", err)
		}
	}
	joined := make(map[Ref]changelog.Value)
	room := j.limit
	for i := range s.Changes {
		values := s.Changes[i].Values
		for k, v := range values {
			ref, ok := v.(Ref)
			if !ok {
				continue
			}
			whole, known := joined[ref]
			if !known {
				large, err := j.find(ref)
				if err != nil {
					return fmt.Errorf("join: %w", err)
				}
				if ref.Length > uint64(room) {
					return fmt.Errorf("join: values in pieces: %w", ErrTooLarge)
				}
				room -= int(ref.Length)
				whole = large.join(ref.Kind)
				joined[ref] = whole
			}
			values[k] = whole
		}
	}
	return nil
}

func (j *Joiner) add(p Piece) error {
	v := j.values[p.Hash]
	if v == nil {
		v = &largeValue{}
		j.values[p.Hash] = v
	}
	length := uint64(len(p.Bytes))
	switch {
	case p.Offset == v.length:
		v.pieces = append(v.pieces, p.Bytes)
		v.length += length
	case p.Offset < v.length && length <= v.length-p.Offset:
		// A second copy, as where a range holds two batches with this value.
	default:
		return fmt.Errorf("%w: pieces: gap or overlap", ErrDamaged)
	}
	return nil
}

// find returns the value that ref names.
func (j *Joiner) find(ref Ref) (*largeValue, error) {
	v := j.values[ref.Hash]
	if v == nil || v.length != ref.Length {
		return nil, fmt.Errorf("%w: pieces: value without all its pieces", ErrDamaged)
	}
	if !v.checked {
		hash := sha256.New()
		for _, piece := range v.pieces {
			hash.Write(piece)
		}
		if [32]byte(hash.Sum(nil)) != ref.Hash {
			return nil, fmt.Errorf("%w: pieces: hash differs", ErrDamaged)
		}
		v.checked = true
	}
	return v, nil
}

func (v *largeValue) join(kind byte) changelog.Value {
	if kind == changelog.KindText {
		var text strings.Builder
		text.Grow(int(v.length))
		for _, piece := range v.pieces {
			text.Write(piece)
		}
		return text.String()
	}
	blob := make([]byte, 0, v.length)
	for _, piece := range v.pieces {
		blob = append(blob, piece...)
	}
	return blob
}
