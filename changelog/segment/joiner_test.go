package segment

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

func TestJoiner(t *testing.T) {
	const value = "a value in pieces"
	piece := func(offset, end int) Piece {
		return Piece{Hash: sha(value), Offset: uint64(offset), Bytes: []byte(value[offset:end])}
	}
	ref := Ref{Kind: changelog.KindText, Length: uint64(len(value)), Hash: sha(value)}
	blob := ref
	blob.Kind = changelog.KindBlob
	short, long := ref, ref
	short.Length--
	long.Length++
	wrong := piece(5, 17)
	wrong.Bytes[3]++
	refs := func(values ...changelog.Value) (changes []changelog.Change) {
		for _, v := range values {
			changes = append(changes, note("n", v))
		}
		return changes
	}
	for _, test := range []struct {
		name     string
		limit    int
		segments []Segment
		want     error
	}{
		{"one piece", 100, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(ref)}}, nil},
		{"two pieces", 100, []Segment{{Pieces: []Piece{piece(0, 5), piece(5, 17)}, Changes: refs(ref)}}, nil},
		{"two segments", 100, []Segment{{Pieces: []Piece{piece(0, 5)}}, {Pieces: []Piece{piece(5, 17)}, Changes: refs(ref)}}, nil},
		{"later segment", 100, []Segment{{Pieces: []Piece{piece(0, 17)}}, {}, {Changes: refs(ref)}}, nil},
		{"text and blob, twice", 100, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(ref, blob, ref, blob)}}, nil},
		{"second copy", 100, []Segment{{Pieces: []Piece{piece(0, 5), piece(5, 17), piece(0, 10), piece(10, 17)}, Changes: refs(ref)}}, nil},
		{"no piece", 100, []Segment{{Changes: refs(ref)}}, ErrDamaged},
		{"piece after the ref", 100, []Segment{{Changes: refs(ref)}, {Pieces: []Piece{piece(0, 17)}}}, ErrDamaged},
		{"last piece missing", 100, []Segment{{Pieces: []Piece{piece(0, 5)}, Changes: refs(ref)}}, ErrDamaged},
		{"gap", 100, []Segment{{Pieces: []Piece{piece(0, 4), piece(5, 17)}, Changes: refs(ref)}}, ErrDamaged},
		{"overlap", 100, []Segment{{Pieces: []Piece{piece(0, 6), piece(5, 17)}, Changes: refs(ref)}}, ErrDamaged},
		{"order", 100, []Segment{{Pieces: []Piece{piece(5, 17), piece(0, 5)}, Changes: refs(ref)}}, ErrDamaged},
		{"shorter", 100, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(short)}}, ErrDamaged},
		{"longer", 100, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(long)}}, ErrDamaged},
		{"hash", 100, []Segment{{Pieces: []Piece{piece(0, 5), wrong}, Changes: refs(ref)}}, ErrDamaged},
		{"just room enough", 17, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(ref, ref)}}, nil},
		{"room for both", 34, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(ref, blob)}}, nil},
		{"room in every segment", 17, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(ref)}, {Changes: refs(blob)}}, nil},
		{"no room for the value", 16, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(ref)}}, ErrTooLarge},
		{"no room for the blob", 33, []Segment{{Pieces: []Piece{piece(0, 17)}, Changes: refs(ref, blob)}}, ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			joiner := NewJoiner(test.limit)
			var err error
			for i := range test.segments {
				if err = joiner.Join(&test.segments[i]); err != nil {
					break
				}
			}
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err != nil {
				return
			}
			for i, s := range test.segments {
				for k, c := range s.Changes {
					switch v := c.Values[0].(type) {
					case string:
						if v != value {
							t.Errorf("segment %d, change %d: text %q", i, k, v)
						}
					case []byte:
						if !bytes.Equal(v, []byte(value)) {
							t.Errorf("segment %d, change %d: blob %q", i, k, v)
						}
					default:
						t.Errorf("segment %d, change %d: %T", i, k, v)
					}
				}
			}
		})
	}
}
