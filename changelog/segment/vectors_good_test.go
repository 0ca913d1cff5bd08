package segment

import (
	"math"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// vectors returns all vectors, good and bad.
func vectors(tb testing.TB) []*vector {
	var all []*vector
	good := func(name, comment string, s *Segment) {
		body, err := Encode(s)
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		all = append(all, &vector{name: name, comment: comment, bytes: body, first: s.First, last: s.Last})
	}
	good("notes", "two rows of one table", testSegment())
	good("empty", "a batch without changes", &Segment{Author: deviceA, First: 1, Last: 1, Batches: []Batch{{Number: 1}}})
	good("values", "every kind of value, and those that are easily taken for others", valuesSegment())
	good("keys", "composite keys, keys of every kind, reals that are integers", keysSegment())
	good("shapes", "a full put, a partial put and a delete, in two tables; groups in order of first appearance", shapesSegment())
	good("stamps", "baselines, relayed changes, births that follow", stampsSegment())
	good("range", "a range of batches: gaps, vectors by difference, a row that stands twice, a device that the vector no longer names", rangeSegment())
	good("pieces", "a continued batch with the pieces of a text and a blob, and refs to them", piecesSegment())
	good("integers", "differences of integers that wrap around", integersSegment())
	good("highest", "the highest batch and time", highestSegment())

	body := must(Encode(testSegment()))
	zeros := make([]byte, 100)
	for _, v := range []vector{
		{name: "pack-stored", comment: "a body as it is", bytes: pack(methodStored, len(body), body)},
		{name: "pack-zstd", comment: "a frame of two raw blocks", bytes: pack(methodZstd, len(body),
			frame(byte(len(body)), block(false, rawBlock, 10, body[:10]), block(true, rawBlock, len(body)-10, body[10:])))},
		{name: "pack-zstd-repeat", comment: "a frame of one block that repeats a byte 100 times", bytes: pack(methodZstd, 100,
			frame(100, block(true, repeatBlock, 100, zeros[:1])))},
	} {
		v.packed = true
		all = append(all, &v)
	}
	return append(all, badVectors()...)
}

func valuesSegment() *Segment {
	shape := changelog.NewShape(changelog.Full, "value", []string{"id"}, []string{"v"})
	s := testSegment()
	s.Changes = nil
	for i, v := range oddValues {
		s.Changes = append(s.Changes, changelog.Change{
			Shape: shape, Key: changelog.Key{int64(i)}, Values: []changelog.Value{v}, Stamp: stamp(1000 - int64(i)), Birth: stamp(1000 - int64(i)),
		})
	}
	return s
}

func keysSegment() *Segment {
	shape := changelog.NewShape(changelog.Full, "pair", []string{"Second", "first"}, nil)
	s := testSegment()
	s.Changes = nil
	for i, v := range oddValues {
		if v == nil || v == 0.0 || v == 1.0 { // the same rows as other keys
			continue
		}
		s.Changes = append(s.Changes, changelog.Change{Shape: shape, Key: changelog.Key{v, int64(i % 2)}, Stamp: stamp(5), Birth: stamp(5)})
	}
	s.Changes = append(s.Changes, changelog.Change{Shape: shape, Key: changelog.Key{2.0, math.Copysign(0, -1)}, Stamp: stamp(5), Birth: stamp(5)})
	return s
}

func shapesSegment() *Segment {
	gone := changelog.NewShape(changelog.Delete, "note", []string{"id"}, nil)
	partial := changelog.NewShape(changelog.Partial, "note", []string{"id"}, []string{"done"})
	other := changelog.NewShape(changelog.Full, "größe", []string{"ID", "Land"}, []string{"Zahl", "\x00", "", "a b"})
	s := testSegment()
	s.Changes = []changelog.Change{
		note("n1", "milk"),
		{Shape: gone, Key: changelog.Key{"n2"}, Stamp: stamp(7)},
		note("n3", nil),
		{Shape: other, Key: changelog.Key{int64(1), "fi"}, Values: []changelog.Value{nil, 1.5, []byte{}, ""}, Stamp: stamp(8), Birth: stamp(8)},
		{Shape: partial, Key: changelog.Key{"n4"}, Values: []changelog.Value{int64(1)}, Stamp: stamp(9), Birth: stamp(9)},
		{Shape: gone, Key: changelog.Key{"n5"}, Stamp: stamp(6)},
	}
	return s
}

func stampsSegment() *Segment {
	s := testSegment()
	for i, at := range []struct{ stamp, birth changelog.Stamp }{
		{stamp: stamp(10), birth: stamp(10)},
		{stamp: stamp(10), birth: changelog.Stamp{}},
		{stamp: stamp(10), birth: changelog.Stamp{Time: 9, Device: deviceA, Batch: 3}},
		{stamp: stamp(10), birth: changelog.Stamp{Time: 9, Device: deviceC, Batch: 400}},
		{stamp: changelog.Stamp{Time: 10, Device: deviceC, Batch: 5}, birth: changelog.Stamp{Time: 10, Device: deviceB, Batch: 6}},
		{stamp: changelog.Stamp{Time: 10, Device: deviceC, Batch: 5}, birth: changelog.Stamp{Time: 10, Device: deviceC, Batch: 4}},
		{stamp: changelog.Stamp{}, birth: changelog.Stamp{}},
	} {
		c := note(string(rune('a'+i)), "x")
		c.Stamp, c.Birth = at.stamp, at.birth
		s.Changes = append(s.Changes, c)
	}
	return s
}

func rangeSegment() *Segment {
	second := note("n1", "oats")
	second.Stamp.Batch = 19
	return &Segment{
		Author: deviceA, First: 16, Last: 40,
		Batches: []Batch{
			{Number: 17, Seen: changelog.Vector{deviceB: 3}},
			{Number: 18, Seen: changelog.Vector{deviceB: 3}},
			{Number: 19, Seen: changelog.Vector{deviceB: 4, deviceC: 1}, Continued: true},
			{Number: 40, Seen: changelog.Vector{deviceC: 2}},
		},
		Changes: []changelog.Change{note("n1", "milk"), second},
	}
}

func piecesSegment() *Segment {
	s := testSegment()
	s.Batches[0].Continued = true
	long, blob := "a value in two pieces", "\x00\x01\x02"
	s.Pieces = []Piece{
		{Hash: sha(long), Offset: 0, Bytes: []byte(long[:10])},
		{Hash: sha(blob), Offset: 0, Bytes: []byte(blob)},
		{Hash: sha(long), Offset: 10, Bytes: []byte(long[10:])},
	}
	s.Changes = []changelog.Change{
		note("n1", Ref{Kind: changelog.KindText, Length: uint64(len(long)), Hash: sha(long)}),
		note("n2", Ref{Kind: changelog.KindBlob, Length: uint64(len(blob)), Hash: sha(blob)}),
		note("n3", Ref{Kind: changelog.KindBlob, Length: MaxLargeValue, Hash: sha("in batches before")}),
	}
	return s
}

func integersSegment() *Segment {
	shape := changelog.NewShape(changelog.Full, "n", []string{"id"}, nil)
	s := testSegment()
	s.Changes = nil
	for _, id := range []int64{0, -1 << 63, 1<<63 - 1, -1, 1, 63, 64, -64, -65, 1 << 40} {
		s.Changes = append(s.Changes, changelog.Change{Shape: shape, Key: changelog.Key{id}, Stamp: stamp(1), Birth: stamp(1)})
	}
	return s
}

func highestSegment() *Segment {
	s := testSegment()
	highest := uint64(endOfBatches - 1)
	s.First, s.Last = highest, highest
	s.Batches[0].Number = highest
	s.Batches[0].Seen[deviceB] = highest
	s.Changes = s.Changes[:1]
	s.Changes[0].Stamp = changelog.Stamp{Time: endOfTimes - 1, Device: deviceA, Batch: highest}
	s.Changes[0].Birth = changelog.Stamp{Time: 1, Device: deviceB, Batch: highest}
	return s
}
