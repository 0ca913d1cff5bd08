package segment

import (
	"crypto/sha256"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// minPiece is the length up to which a value is never cut, in bytes, and the
// least room that is worth a piece.
const minPiece = 1 << 10

// cutValues returns the values of the change with index i, with refs for all
// that are too long and for as many others, the longest first, as it takes to
// save excess bytes. It puts their pieces into the segment and, when it is
// full, the ones after it, before the change.
func (s *splitter) cutValues(i, excess int) []changelog.Value {
	values := slices.Clone(s.batch.Changes[i].Values)
	longest := make([]int, len(values))
	for k := range values {
		longest[k] = k
	}
	slices.SortStableFunc(longest, func(a, b int) int { return valueLength(values[b]) - valueLength(values[a]) })
	for _, k := range longest {
		v := values[k]
		if !tooLong(v) && (excess <= 0 || valueLength(v) <= minPiece) {
			break
		}
		ref, content := cut(v)
		if !s.placed[ref.Hash] {
			s.place(ref.Hash, content, i)
			s.placed[ref.Hash] = true
		}
		values[k] = ref
		excess -= valueSize(v) - valueSize(ref)
	}
	return values
}

// cut returns what stands for a text or blob, and its bytes.
func cut(v changelog.Value) (Ref, []byte) {
	kind := byte(changelog.KindBlob)
	content, ok := v.([]byte)
	if !ok {
		kind = changelog.KindText
		content = []byte(v.(string))
	}
	return Ref{Kind: kind, Length: uint64(len(content)), Hash: sha256.Sum256(content)}, content
}

// place puts the pieces of a value before the change with index i.
func (s *splitter) place(hash [32]byte, content []byte, i int) {
	for offset := 0; offset < len(content); {
		room := s.target - s.load.size - pieceSize
		if room < minPiece {
			s.close(i)
			s.open()
			continue
		}
		n := min(room, MaxValue, len(content)-offset)
		s.current.Pieces = append(s.current.Pieces, Piece{
			Hash:   hash,
			Offset: uint64(offset),
			Bytes:  content[offset : offset+n : offset+n],
		})
		s.load.size += pieceSize + n
		offset += n
	}
}

// refsLength returns the length of all values that refs stand for.
func refsLength(values []changelog.Value) int {
	n := 0
	for _, v := range values {
		if ref, ok := v.(Ref); ok {
			n += int(ref.Length)
		}
	}
	return n
}

// tooLong reports whether v must travel in pieces.
func tooLong(v changelog.Value) bool { return valueLength(v) > MaxValue }

// valueLength returns the length of a text or blob, and 0 for anything else.
func valueLength(v changelog.Value) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 0
}
