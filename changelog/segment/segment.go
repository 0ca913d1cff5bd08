package segment

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// A Segment is the plaintext of one segment: one batch of its author, or the
// range of batches that a compaction made of several.
type Segment struct {
	Author      changelog.DeviceID
	First, Last uint64 // numbers of the author's batches, equal for a single batch
	Batches     []Batch
	Pieces      []Piece
	Changes     []changelog.Change
}

// holds reports whether batch is one of the segment's batches, which stand in order.
func (s *Segment) holds(batch uint64) bool {
	if len(s.Batches) == 1 {
		return s.Batches[0].Number == batch
	}
	_, found := slices.BinarySearchFunc(s.Batches, batch, func(b Batch, number uint64) int {
		return cmp.Compare(b.Number, number)
	})
	return found
}

// A Batch is the head of one of the batches in a segment. Which changes belong
// to it, their stamps say.
type Batch struct {
	Number uint64

	// Continued means that the transactions of this batch go on in the next
	// one: a reader applies both, or neither.
	Continued bool

	// Seen is the author's seen vector when it made the batch, without the
	// author itself. An entry 0 says the same as none.
	Seen changelog.Vector
}

// A Piece is a part of a large value, see [Ref].
type Piece struct {
	Hash   [32]byte // SHA-256 of the whole value
	Offset uint64   // of this piece in the value, in bytes
	Bytes  []byte
}

// A Ref stands in a change for a value that travels in pieces. It is a
// [changelog.Value] only between [Split] or [Decode] and [Joiner.Join]: no
// other package knows it, and [changelog.Change.Image] panics at it.
type Ref struct {
	Kind   byte // changelog.KindText or changelog.KindBlob
	Length uint64
	Hash   [32]byte // SHA-256 of the value
}

var (
	// ErrDamaged is wrapped by every error about bytes that are not what
	// FORMAT.md prescribes. Nothing of such a segment may be used.
	ErrDamaged = errors.New("damaged segment")

	// ErrTooLarge is wrapped by errors about what exceeds a limit of the
	// format, or a Joiner's limit.
	ErrTooLarge = errors.New("too large")
)

// A ChangeError says which of the changes given to [Split] or [Encode] cannot
// be written, so that a caller can set one bad row aside and write the others.
type ChangeError struct {
	Index int // in the Changes given
	Err   error
}

// Error names the change by its index, never by its key.
func (e *ChangeError) Error() string { return fmt.Sprintf("change %d: %v", e.Index, e.Err) }

// Unwrap returns Err.
func (e *ChangeError) Unwrap() error { return e.Err }
