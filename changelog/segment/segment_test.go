package segment

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// TestRoundTrip encodes and decodes random segments of all kinds.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 8))
		want := randomSegment(random)
		body, err := Encode(want)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again := must(Encode(want)); !bytes.Equal(again, body) {
			t.Fatalf("seed %d: two encodings differ", seed)
		}
		packed := must(Pack(body))
		unpacked, err := Unpack(packed)
		if err != nil || !bytes.Equal(unpacked, body) {
			t.Fatalf("seed %d: unpacked another body, error %v", seed, err)
		}
		got, err := Decode(unpacked, want.Author, want.First, want.Last)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if difference := compare(got, grouped(want)); difference != "" {
			t.Fatalf("seed %d: %s", seed, difference)
		}
		if again := must(Encode(got)); !bytes.Equal(again, body) {
			t.Fatalf("seed %d: the decoded segment has another body", seed)
		}
	}
}

// TestLargeGroups has more rows than one group holds, with two shapes mixed.
func TestLargeGroups(t *testing.T) {
	put := changelog.NewShape(changelog.Full, "a", []string{"id"}, nil)
	gone := changelog.NewShape(changelog.Delete, "a", []string{"id"}, nil)
	s := testSegment()
	s.Changes = nil
	for i := range 3 * maxGroup {
		c := changelog.Change{Shape: put, Key: changelog.Key{int64(i)}, Stamp: stamp(1000 + int64(i))}
		c.Birth = c.Stamp
		if i%3 == 0 {
			c.Shape, c.Birth = gone, changelog.Stamp{}
		}
		s.Changes = append(s.Changes, c)
	}
	body := must(Encode(s))
	got, err := Decode(body, s.Author, s.First, s.Last)
	if err != nil {
		t.Fatal(err)
	}
	if difference := compare(got, grouped(s)); difference != "" {
		t.Fatal(difference)
	}
	if !bytes.Equal(must(Encode(got)), body) {
		t.Error("the decoded segment has another body")
	}
}

var (
	deviceA = changelog.DeviceID(bytes.Repeat([]byte{0xa1}, 16)) // the author in most tests
	deviceB = changelog.DeviceID(bytes.Repeat([]byte{0xb2}, 16))
	deviceC = changelog.DeviceID(bytes.Repeat([]byte{0xc3}, 16))
)

// stamp returns a stamp of batch 17 of device A, which testSegment has.
func stamp(time int64) changelog.Stamp {
	return changelog.Stamp{Time: time, Device: deviceA, Batch: 17}
}

var noteShape = changelog.NewShape(changelog.Full, "note", []string{"id"}, []string{"body", "done"})

// note returns a full put of a row in batch 17 of device A.
func note(id string, body changelog.Value) changelog.Change {
	return changelog.Change{
		Shape: noteShape, Key: changelog.Key{id}, Values: []changelog.Value{body, int64(0)},
		Stamp: stamp(1767225600000), Birth: stamp(1767225600000),
	}
}

// testSegment returns a small good segment for a test to alter.
func testSegment() *Segment {
	return &Segment{
		Author: deviceA, First: 17, Last: 17,
		Batches: []Batch{{Number: 17, Seen: changelog.Vector{deviceB: 3}}},
		Changes: []changelog.Change{note("n1", "milk"), note("n2", "bread")},
	}
}

// oddValues are those that an encoding may get wrong.
var oddValues = []changelog.Value{
	nil, "", []byte{}, "\x00", "a\x00b", "\xff\xfe\x80", []byte{0}, "ä€𝄞",
	int64(0), int64(1), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1) << 53,
	0.0, math.Copysign(0, -1), 1.0, -1.5, math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e300,
}

func randomValue(random *rand.Rand) changelog.Value {
	switch random.IntN(8) {
	case 0, 1:
		return oddValues[random.IntN(len(oddValues))]
	case 2:
		return random.Int64() - random.Int64()
	case 3:
		return random.Int64N(1000)
	case 4:
		return random.NormFloat64()
	case 5:
		return randomBytes(random, random.IntN(300))
	case 6:
		return string(randomBytes(random, random.IntN(40)))
	default:
		return strings.Repeat("word ", random.IntN(30))
	}
}

func randomBytes(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func randomRef(random *rand.Rand) Ref {
	return Ref{
		Kind:   changelog.KindText + byte(random.IntN(2)),
		Length: 1 + random.Uint64N(MaxLargeValue),
		Hash:   [32]byte(randomBytes(random, 32)),
	}
}

// randomSegment returns a segment of a single batch or of a range, with rows of
// the author and of others, in shapes of every kind.
func randomSegment(random *rand.Rand) *Segment {
	s := &Segment{Author: deviceA, First: 1 + random.Uint64N(1<<40)}
	s.Last = s.First
	others := []changelog.DeviceID{deviceB, deviceC}
	for range random.IntN(5) {
		others = append(others, changelog.DeviceID(randomBytes(random, 16)))
	}
	if random.IntN(2) == 0 {
		s.Last += random.Uint64N(40)
	}
	for number := s.First; number <= s.Last; number += 1 + random.Uint64N(3) {
		b := Batch{Number: number, Continued: random.IntN(5) == 0, Seen: changelog.Vector{}}
		for _, device := range others {
			if random.IntN(3) > 0 {
				b.Seen[device] = random.Uint64N(4) << random.UintN(46)
			}
		}
		s.Batches = append(s.Batches, b)
	}
	for range random.IntN(3) {
		s.Pieces = append(s.Pieces, Piece{
			Hash:   [32]byte(randomBytes(random, 32)),
			Offset: random.Uint64N(MaxLargeValue - 100),
			Bytes:  randomBytes(random, 1+random.IntN(100)),
		})
	}
	randomStamp := func() changelog.Stamp {
		at := changelog.Stamp{Time: 1 + random.Int64N(1<<random.UintN(62)), Device: s.Author}
		switch random.IntN(6) {
		case 0:
			return changelog.Stamp{}
		case 1:
			at.Device, at.Batch = others[random.IntN(len(others))], 1+random.Uint64N(endOfBatches-1)
		default:
			at.Batch = s.Batches[random.IntN(len(s.Batches))].Number
		}
		return at
	}
	var shapes []*changelog.Shape
	for i := range 1 + random.IntN(6) {
		shapes = append(shapes, randomShape(random, i))
	}
	rows := make(map[string]bool)
	for range random.IntN(60) {
		c := changelog.Change{Shape: shapes[random.IntN(len(shapes))], Stamp: randomStamp()}
		for range c.Shape.Key {
			v := randomValue(random)
			for v == nil {
				v = randomValue(random)
			}
			c.Key = append(c.Key, v)
		}
		for range c.Shape.Columns {
			v := randomValue(random)
			if random.IntN(40) == 0 {
				v = randomRef(random)
			}
			c.Values = append(c.Values, v)
		}
		if c.Shape.Kind != changelog.Delete {
			c.Birth = c.Stamp
			if earlier := randomStamp(); earlier.Compare(c.Stamp) < 0 {
				c.Birth = earlier
				c.Birth.Batch /= 2
				c.Birth.Batch = max(c.Birth.Batch, min(earlier.Batch, 1))
			}
		}
		row := c.Shape.Table + "\x00" + c.Key.Identity()
		if !rows[row] || s.First != s.Last {
			s.Changes = append(s.Changes, c)
		}
		rows[row] = true
	}
	return s
}

func randomShape(random *rand.Rand, i int) *changelog.Shape {
	kind := changelog.Kind(random.IntN(3))
	key := []string{"id", "lang", ""}[:1+random.IntN(3)]
	var columns []string
	if kind != changelog.Delete {
		for c := range random.IntN(5) {
			columns = append(columns, fmt.Sprintf("column %d", c))
		}
		columns = append(columns, fmt.Sprint("ü", i))
	}
	return changelog.NewShape(kind, fmt.Sprint("table", random.IntN(2)), key, columns)
}

// grouped returns s with its changes in the order in which Decode has them.
func grouped(s *Segment) *Segment {
	var order []string
	groups := make(map[string][]changelog.Change)
	for _, c := range s.Changes {
		shape := string(c.Shape.Append(nil))
		if groups[shape] == nil {
			order = append(order, shape)
		}
		groups[shape] = append(groups[shape], c)
	}
	sorted := *s
	sorted.Changes = nil
	for _, shape := range order {
		sorted.Changes = append(sorted.Changes, groups[shape]...)
	}
	return &sorted
}

// compare returns the first difference between two segments, or "".
func compare(got, want *Segment) string {
	if got.Author != want.Author || got.First != want.First || got.Last != want.Last {
		return "header differs"
	}
	sameBatch := func(a, b Batch) bool {
		return a.Number == b.Number && a.Continued == b.Continued && maps.Equal(withoutZeros(a.Seen), withoutZeros(b.Seen))
	}
	if !slices.EqualFunc(got.Batches, want.Batches, sameBatch) {
		return fmt.Sprintf("batches %v, want %v", got.Batches, want.Batches)
	}
	samePiece := func(a, b Piece) bool {
		return a.Hash == b.Hash && a.Offset == b.Offset && bytes.Equal(a.Bytes, b.Bytes)
	}
	if !slices.EqualFunc(got.Pieces, want.Pieces, samePiece) {
		return "pieces differ"
	}
	if len(got.Changes) != len(want.Changes) {
		return fmt.Sprintf("%d changes, want %d", len(got.Changes), len(want.Changes))
	}
	for i := range got.Changes {
		if difference := compareChanges(&got.Changes[i], &want.Changes[i]); difference != "" {
			return fmt.Sprintf("change %d: %s", i, difference)
		}
	}
	return ""
}

func compareChanges(got, want *changelog.Change) string {
	switch {
	case !got.Shape.Equal(want.Shape):
		return "shape differs"
	case got.Stamp != want.Stamp:
		return fmt.Sprintf("stamp %v, want %v", got.Stamp, want.Stamp)
	case got.Birth != want.Birth:
		return fmt.Sprintf("birth %v, want %v", got.Birth, want.Birth)
	case !slices.EqualFunc(got.Key, want.Key, sameValue):
		return fmt.Sprintf("key %v, want %v", got.Key, want.Key)
	case !slices.EqualFunc(got.Values, want.Values, sameValue):
		return fmt.Sprintf("values %v, want %v", got.Values, want.Values)
	}
	return ""
}

// sameValue compares bit by bit, so that -0.0 is not 0.0 and an empty blob not NULL.
func sameValue(a, b changelog.Value) bool {
	ra, aIsRef := a.(Ref)
	rb, bIsRef := b.(Ref)
	if aIsRef || bIsRef {
		return aIsRef && bIsRef && ra == rb
	}
	if blob, ok := a.([]byte); ok && blob == nil {
		return false // would be bound as NULL
	}
	return bytes.Equal(changelog.AppendValue(nil, a), changelog.AppendValue(nil, b))
}

func withoutZeros(v changelog.Vector) changelog.Vector {
	v = maps.Clone(v)
	maps.DeleteFunc(v, func(_ changelog.DeviceID, batch uint64) bool { return batch == 0 })
	return v
}
