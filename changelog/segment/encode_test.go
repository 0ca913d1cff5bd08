package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// TestEncodeRefuses has a case for every rule: what a reader would reject must
// never be written, since a published segment stands for ever.
func TestEncodeRefuses(t *testing.T) {
	shaped := func(kind changelog.Kind, table string, key, columns []string) func(*Segment) {
		return func(s *Segment) {
			shape := &changelog.Shape{Kind: kind, Table: table, Key: key, Columns: columns}
			s.Changes[1].Shape = shape
		}
	}
	valued := func(v changelog.Value) func(*Segment) {
		return func(s *Segment) { s.Changes[1].Values[0] = v }
	}
	keyed := func(v changelog.Value) func(*Segment) {
		return func(s *Segment) { s.Changes[1].Key[0] = v }
	}
	stamped := func(at changelog.Stamp) func(*Segment) {
		return func(s *Segment) { s.Changes[1].Stamp = at }
	}
	born := func(at changelog.Stamp) func(*Segment) {
		return func(s *Segment) { s.Changes[1].Birth = at }
	}
	names := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("%05d", i))
		}
		return names
	}
	time := stamp(0).Time + 1
	for _, test := range []struct {
		name  string
		alter func(*Segment)
		want  string // in the error
	}{
		{"no author", func(s *Segment) { s.Author = changelog.DeviceID{} }, "no author"},
		{"first is 0", func(s *Segment) { s.First = 0 }, "batch numbers out of range"},
		{"first above last", func(s *Segment) { s.First = 18 }, "batch numbers out of range"},
		{"last too high", func(s *Segment) { s.Last = endOfBatches }, "batch numbers out of range"},

		{"no batch", func(s *Segment) { s.Batches = nil }, "no batch"},
		{"batch before first", func(s *Segment) { s.Batches[0].Number = 16 }, "out of range or order"},
		{"batch after last", func(s *Segment) { s.Batches[0].Number = 18 }, "out of range or order"},
		{"batch twice", func(s *Segment) { s.Batches = append(s.Batches, s.Batches[0]) }, "out of range or order"},
		{"author in vector", func(s *Segment) { s.Batches[0].Seen[deviceA] = 1 }, "names the author"},
		{"no device in vector", func(s *Segment) { s.Batches[0].Seen[changelog.DeviceID{}] = 1 }, "seen vector out of range"},
		{"batch of vector", func(s *Segment) { s.Batches[0].Seen[deviceB] = endOfBatches }, "seen vector out of range"},

		{"empty piece", func(s *Segment) { s.Pieces = []Piece{{}} }, "piece out of range"},
		{"long piece", func(s *Segment) { s.Pieces = []Piece{{Bytes: make([]byte, MaxValue+1)}} }, "piece out of range"},
		{"piece far off", func(s *Segment) { s.Pieces = []Piece{{Offset: MaxLargeValue, Bytes: []byte{1}}} }, "piece out of range"},

		{"no shape", func(s *Segment) { s.Changes[1].Shape = nil }, "change 1: change without a shape"},
		{"kind", shaped(3, "t", []string{"id"}, nil), "unknown kind of change"},
		{"no table", shaped(changelog.Full, "", []string{"id"}, nil), "table without a name"},
		{"no key", shaped(changelog.Full, "t", nil, nil), "number of key columns"},
		{"many key columns", shaped(changelog.Full, "t", names(65), nil), "number of key columns"},
		{"many columns", shaped(changelog.Full, "t", []string{"id"}, names(2001)), "too many columns"},
		{"delete with columns", shaped(changelog.Delete, "t", []string{"id"}, []string{"a"}), "delete with columns"},
		{"table's case", shaped(changelog.Full, "T", []string{"id"}, nil), "not canonical"},
		{"key's case", shaped(changelog.Full, "t", []string{"iD"}, nil), "not canonical"},
		{"column's case", shaped(changelog.Full, "t", []string{"id"}, []string{"Z"}), "not canonical"},
		{"long name", shaped(changelog.Full, strings.Repeat("t", 1025), []string{"id"}, nil), "name too long"},
		{"column order", shaped(changelog.Full, "t", []string{"id"}, []string{"b", "a"}), "columns out of order"},
		{"column twice", shaped(changelog.Full, "t", []string{"id"}, []string{"a", "a"}), "column stands twice"},
		{"key column twice", shaped(changelog.Full, "t", []string{"id", "id"}, nil), "column stands twice"},
		{"key and column", shaped(changelog.Full, "t", []string{"id"}, []string{"id"}), "column stands twice"},

		{"missing value", func(s *Segment) { s.Changes[1].Values = s.Changes[1].Values[:1] }, "number of values"},
		{"missing key value", func(s *Segment) { s.Changes[1].Key = nil }, "number of values"},
		{"time 0", stamped(changelog.Stamp{Device: deviceA, Batch: 17}), "time out of range"},
		{"negative time", stamped(stamp(-1)), "time out of range"},
		{"late time", stamped(stamp(endOfTimes)), "time out of range"},
		{"stamp of nobody", stamped(changelog.Stamp{Time: time, Batch: 17}), "stamp without a device"},
		{"stamp's batch 0", stamped(changelog.Stamp{Time: time, Device: deviceB}), "stamp's batch out of range"},
		{"stamp's batch too high", stamped(changelog.Stamp{Time: time, Device: deviceB, Batch: endOfBatches}), "stamp's batch out of range"},
		{"another batch", stamped(changelog.Stamp{Time: time, Device: deviceA, Batch: 16}), "names no batch"},
		{"newer birth", born(stamp(1767225600001)), "birth newer"},
		{"bad birth", born(changelog.Stamp{Time: 5}), "birth: stamp without a device"},
		{"row twice", keyed("n1"), "change 1: row stands twice"},

		{"NULL key", keyed(nil), "change 1: NULL in a key"},
		{"NaN key", keyed(math.NaN()), "change 1: NaN"},
		{"NaN", valued(math.NaN()), "change 1: NaN"},
		{"ref in key", keyed(Ref{Kind: changelog.KindText, Length: 1}), "value in pieces in a key"},
		{"empty ref", valued(Ref{Kind: changelog.KindText}), "value in pieces out of range"},
		{"long ref", valued(Ref{Kind: changelog.KindText, Length: MaxLargeValue + 1}), "value in pieces out of range"},
		{"kind of ref", valued(Ref{Kind: changelog.KindReal, Length: 1}), "neither text nor blob"},
		{"other type", valued(true), "value of type bool"},
		{"long text", valued(strings.Repeat("x", MaxValue+1)), "too large"},
		{"long blob", valued(make([]byte, MaxValue+1)), "too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := testSegment()
			test.alter(s)
			body, err := Encode(s)
			if body != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if tooLarge := test.want == "too large"; errors.Is(err, ErrTooLarge) != tooLarge {
				t.Errorf("error %v is ErrTooLarge: %t", err, !tooLarge)
			}
		})
	}
	if _, err := Encode(testSegment()); err != nil {
		t.Error("the unaltered segment: ", err)
	}
}

func TestDeleteHasNoBirth(t *testing.T) {
	s := testSegment()
	s.Changes = s.Changes[:1]
	s.Changes[0].Shape = changelog.NewShape(changelog.Delete, "note", []string{"id"}, nil)
	s.Changes[0].Values = nil
	if _, err := Encode(s); err == nil || !strings.Contains(err.Error(), "delete with a birth") {
		t.Errorf("error %v", err)
	}
}

// TestRowTwice shows what makes two keys name one row.
func TestRowTwice(t *testing.T) {
	long := changelog.NewShape(changelog.Full, "ab", []string{"id"}, nil)
	short := changelog.NewShape(changelog.Full, "a", []string{"id"}, nil)
	gone := changelog.NewShape(changelog.Delete, "a", []string{"id"}, nil)
	for _, test := range []struct {
		name        string
		a, b        changelog.Value
		shapeA      *changelog.Shape
		shapeB      *changelog.Shape
		first, last uint64
		want        bool
	}{
		{"integer and real", int64(1), 1.0, short, short, 17, 17, true},
		{"minus zero", int64(0), math.Copysign(0, -1), short, short, 17, 17, true},
		{"put and delete", "x", "x", short, gone, 17, 17, true},
		{"two tables", "x", "x", short, long, 17, 17, false},
		{"text and blob", "x", []byte("x"), short, short, 17, 17, false},
		{"integer and text", int64(1), "1", short, short, 17, 17, false},
		{"reals", 1.5, 1.25, short, short, 17, 17, false},
		{"real above integers", float64(1 << 63), int64(math.MaxInt64), short, short, 17, 17, false},
		{"range", "x", "x", short, short, 16, 17, false},
	} {
		s := &Segment{Author: deviceA, First: test.first, Last: test.last, Batches: []Batch{{Number: 17}}}
		for i, key := range []changelog.Value{test.a, test.b} {
			c := changelog.Change{Shape: []*changelog.Shape{test.shapeA, test.shapeB}[i], Key: changelog.Key{key}, Stamp: stamp(1)}
			if c.Shape != gone {
				c.Birth = c.Stamp
			}
			s.Changes = append(s.Changes, c)
		}
		if _, err := Encode(s); (err != nil) != test.want {
			t.Errorf("%s: error %v", test.name, err)
		}
	}
}

// TestSumsTooLarge has a segment above each limit on a sum, and below it.
func TestSumsTooLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("much work in one thread")
	}
	deletes := changelog.NewShape(changelog.Delete, "t", []string{"id"}, nil)
	wide := make([]string, maxColumns)
	for i := range wide {
		wide[i] = fmt.Sprintf("%04d", i)
	}
	wideShape := changelog.NewShape(changelog.Full, "t", []string{"id"}, wide)
	nothing := make([]changelog.Value, maxColumns)
	for _, test := range []struct {
		name  string
		limit int
		build func(s *Segment, n int)
	}{
		{"batches", MaxBatches, func(s *Segment, n int) {
			s.First, s.Last, s.Changes, s.Batches = 1, 1<<20, nil, nil
			for i := range n {
				s.Batches = append(s.Batches, Batch{Number: uint64(i) + 1})
			}
		}},
		{"seen vectors", MaxSeen / 32, func(s *Segment, n int) {
			s.First, s.Last, s.Changes, s.Batches = 1, 1<<20, nil, nil
			seen := make(changelog.Vector)
			for i := range 32 {
				seen[changelog.DeviceID{1, byte(i)}] = 1
			}
			for i := range n {
				s.Batches = append(s.Batches, Batch{Number: uint64(i) + 1, Seen: seen})
			}
		}},
		{"devices", maxDevices - 1, func(s *Segment, n int) {
			for i := range n {
				device := changelog.DeviceID{1}
				binary.BigEndian.PutUint16(device[1:], uint16(i))
				s.Batches[0].Seen[device] = 1
			}
			delete(s.Batches[0].Seen, deviceB)
		}},
		{"shapes", maxShapes, func(s *Segment, n int) {
			s.Changes = nil
			for i := range n {
				shape := changelog.NewShape(changelog.Delete, fmt.Sprint("t", i), []string{"id"}, nil)
				s.Changes = append(s.Changes, changelog.Change{Shape: shape, Key: changelog.Key{int64(1)}, Stamp: stamp(1)})
			}
		}},
		{"names", 65, func(s *Segment, n int) {
			s.Changes = nil
			for i := range n {
				shape := changelog.NewShape(changelog.Full, fmt.Sprint("t", i), []string{"id"}, wide)
				s.Changes = append(s.Changes, changelog.Change{
					Shape: shape, Key: changelog.Key{int64(1)}, Values: nothing, Stamp: stamp(1), Birth: stamp(1),
				})
			}
		}},
		{"rows", maxRows, func(s *Segment, n int) {
			s.Changes = make([]changelog.Change, n)
			keys := make([]changelog.Value, n)
			for i := range s.Changes {
				keys[i] = int64(i)
				s.Changes[i] = changelog.Change{Shape: deletes, Key: keys[i : i+1], Stamp: stamp(1)}
			}
		}},
		{"values", maxValues / (maxColumns + 1), func(s *Segment, n int) {
			s.Changes = nil
			for i := range n {
				s.Changes = append(s.Changes, changelog.Change{
					Shape: wideShape, Key: changelog.Key{int64(i)}, Values: nothing, Stamp: stamp(1), Birth: stamp(1),
				})
			}
		}},
		{"body", 3, func(s *Segment, n int) {
			for i := range n {
				s.Changes = append(s.Changes, note(fmt.Sprint("large", i), make([]byte, MaxValue)))
			}
			s.Changes = append(s.Changes, note("rest", make([]byte, MaxBody-3*MaxValue-300)))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := testSegment()
			test.build(s, test.limit)
			body, err := Encode(s)
			if err != nil {
				t.Fatal("at the limit: ", err)
			}
			got, err := Decode(body, s.Author, s.First, s.Last)
			if err != nil {
				t.Fatal("at the limit: ", err)
			}
			if difference := compare(got, s); difference != "" {
				t.Error("at the limit: ", difference)
			}
			s = testSegment()
			test.build(s, test.limit+1)
			if _, err := Encode(s); !errors.Is(err, ErrTooLarge) {
				t.Errorf("above the limit: error %v", err)
			}
		})
	}
}
