package segment

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// TestSplit splits random batches of all sizes and puts them back together on
// the way that an engine goes.
func TestSplit(t *testing.T) {
	const target = minTarget
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 9))
		b := randomBatch(random)
		before := cloneBatch(b)
		segments, err := Split(b, target)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if difference := compareBatches(b, before); difference != "" {
			t.Fatalf("seed %d: split altered the batch: %s", seed, difference)
		}
		var joined []changelog.Change
		joiner := NewJoiner(100 << 20)
		for i, s := range segments {
			number := b.Number + uint64(i)
			last := i == len(segments)-1
			head := s.Batches[0]
			if s.Author != b.Device || s.First != number || s.Last != number || len(s.Batches) != 1 ||
				head.Number != number || head.Continued != (!last || b.Continued) || !maps.Equal(head.Seen, b.Seen) {
				t.Fatalf("seed %d: head of segment %d: %+v", seed, i, s.Batches)
			}
			body, err := Encode(s)
			if err != nil {
				t.Fatalf("seed %d: segment %d: %v", seed, i, err)
			}
			if len(body) > target {
				t.Errorf("seed %d: body of %d bytes", seed, len(body))
			}
			if err := joiner.Join(s); err != nil {
				t.Fatalf("seed %d: segment %d: %v", seed, i, err)
			}
			joined = append(joined, s.Changes...)
		}
		if len(joined) != len(b.Changes) {
			t.Fatalf("seed %d: %d changes of %d", seed, len(joined), len(b.Changes))
		}
		index := 0
		for i, s := range segments {
			for range s.Changes {
				want := b.Changes[index]
				if own := want.Stamp; own.Device == b.Device && own.Batch == b.Number {
					want.Stamp.Batch = b.Number + uint64(i)
					if want.Birth == own {
						want.Birth = want.Stamp
					}
				}
				if difference := compareChanges(&joined[index], &want); difference != "" {
					t.Fatalf("seed %d: change %d: %s", seed, index, difference)
				}
				index++
			}
		}
	}
}

// randomBatch returns a batch with rows of 0 to 100 KB, its own and relayed ones.
func randomBatch(random *rand.Rand) *changelog.Batch {
	b := &changelog.Batch{
		Device: deviceA, Number: 1 + random.Uint64N(1000), Continued: random.IntN(2) == 0,
		Seen: changelog.Vector{deviceB: 7, deviceC: 9},
	}
	gone := changelog.NewShape(changelog.Delete, "note", []string{"id"}, nil)
	length := 1 << random.IntN(17)
	for i := range random.IntN(200) {
		own := changelog.Stamp{Time: 1 + random.Int64N(1<<40), Device: b.Device, Batch: b.Number}
		c := changelog.Change{Shape: noteShape, Key: changelog.Key{int64(i)}, Stamp: own, Birth: own}
		for range noteShape.Columns {
			content := randomBytes(random, random.IntN(length))
			switch random.IntN(4) {
			case 0:
				c.Values = append(c.Values, string(content))
			case 1:
				c.Values = append(c.Values, content)
			case 2:
				c.Values = append(c.Values, strings.Repeat("same", length/4)) // in many rows
			default:
				c.Values = append(c.Values, randomValue(random))
			}
		}
		switch random.IntN(8) {
		case 0:
			c.Birth = changelog.Stamp{}
		case 1:
			c.Birth = changelog.Stamp{Time: 1, Device: deviceB, Batch: 3}
		case 2:
			c.Stamp = changelog.Stamp{Time: own.Time, Device: deviceC, Batch: b.Number}
			c.Birth = c.Stamp
		case 3:
			c.Shape, c.Values, c.Birth = gone, nil, changelog.Stamp{}
		case 4:
			c.Stamp, c.Birth = changelog.Stamp{}, changelog.Stamp{}
		}
		b.Changes = append(b.Changes, c)
	}
	return b
}

func cloneBatch(b *changelog.Batch) *changelog.Batch {
	clone := *b
	clone.Seen = maps.Clone(b.Seen)
	clone.Changes = slices.Clone(b.Changes)
	for i := range clone.Changes {
		clone.Changes[i].Values = slices.Clone(clone.Changes[i].Values)
	}
	return &clone
}

func compareBatches(got, want *changelog.Batch) string {
	if len(got.Changes) != len(want.Changes) || got.Number != want.Number || !maps.Equal(got.Seen, want.Seen) {
		return "head"
	}
	for i := range got.Changes {
		if difference := compareChanges(&got.Changes[i], &want.Changes[i]); difference != "" {
			return fmt.Sprintf("change %d: %s", i, difference)
		}
	}
	return ""
}

// TestSplitSmall shows that the usual batch becomes one segment without a copy.
func TestSplitSmall(t *testing.T) {
	for _, n := range []int{0, 1, 100} {
		b := noteBatch(n)
		segments, err := Split(b, 16<<20)
		if err != nil || len(segments) != 1 {
			t.Fatalf("%d rows: %d segments, error %v", n, len(segments), err)
		}
		if n > 0 && &segments[0].Changes[0] != &b.Changes[0] {
			t.Errorf("%d rows: the changes were copied", n)
		}
	}
}

// TestSplitLimits has batches that fit into a body by size, but not by another limit.
func TestSplitLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("much work in one thread")
	}
	own := changelog.Stamp{Time: 1, Device: deviceA, Batch: 5}
	gone := changelog.NewShape(changelog.Delete, "t", []string{"id"}, nil)
	wide := make([]string, maxColumns)
	for i := range wide {
		wide[i] = fmt.Sprintf("%04d", i)
	}
	nothing := make([]changelog.Value, maxColumns)
	wideShape := changelog.NewShape(changelog.Full, "t", []string{"id"}, wide)
	for _, test := range []struct {
		name   string
		n      int
		change func(i int) changelog.Change
	}{
		{"rows", maxRows + 1, func(i int) changelog.Change {
			return changelog.Change{Shape: gone, Key: changelog.Key{int64(i)}, Stamp: own}
		}},
		{"values", maxValues/(maxColumns+1) + 1, func(i int) changelog.Change {
			return changelog.Change{Shape: wideShape, Key: changelog.Key{int64(i)}, Values: nothing, Stamp: own, Birth: own}
		}},
		{"shapes", maxShapes + 1, func(i int) changelog.Change {
			shape := changelog.NewShape(changelog.Delete, fmt.Sprint("t", i), []string{"id"}, nil)
			return changelog.Change{Shape: shape, Key: changelog.Key{int64(i)}, Stamp: own}
		}},
		{"names", maxNames/(maxColumns+2) + 1, func(i int) changelog.Change {
			shape := changelog.NewShape(changelog.Full, fmt.Sprint("t", i), []string{"id"}, wide)
			return changelog.Change{Shape: shape, Key: changelog.Key{int64(i)}, Values: nothing, Stamp: own, Birth: own}
		}},
		{"devices", maxDevices, func(i int) changelog.Change {
			relayed := changelog.Stamp{Time: 1, Device: changelog.DeviceID{1, byte(i), byte(i >> 8)}, Batch: 3}
			return changelog.Change{Shape: gone, Key: changelog.Key{int64(i)}, Stamp: relayed}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &changelog.Batch{Device: deviceA, Number: 5}
			for i := range test.n {
				b.Changes = append(b.Changes, test.change(i))
			}
			segments, err := Split(b, MaxBody)
			if err != nil {
				t.Fatal(err)
			}
			if len(segments) != 2 {
				t.Errorf("%d segments, want 2", len(segments))
			}
			rows := 0
			for i, s := range segments {
				if _, err := Encode(s); err != nil {
					t.Errorf("segment %d: %v", i, err)
				}
				rows += len(s.Changes)
			}
			if rows != test.n {
				t.Errorf("%d changes, want %d", rows, test.n)
			}
		})
	}
}

// TestSplitRelayed shows that a device and a shape count once in a segment, not
// in every row.
func TestSplitRelayed(t *testing.T) {
	b := &changelog.Batch{Device: deviceA, Number: 5}
	relayed := changelog.Stamp{Time: 1, Device: deviceB, Batch: 3}
	shape := changelog.NewShape(changelog.Full, "t", []string{"id"}, nil)
	for i := range 2 * maxDevices {
		b.Changes = append(b.Changes, changelog.Change{Shape: shape, Key: changelog.Key{int64(i)}, Stamp: relayed, Birth: relayed})
	}
	segments, err := Split(b, 2*maxDevices*(stampSize+1+valueSize(int64(0)))+1<<10)
	if err != nil || len(segments) != 1 {
		t.Errorf("%d segments, error %v, want one", len(segments), err)
	}
}

// TestSplitJoinable shows that no segment refers to more than a Joiner puts
// together at once, even where the pieces stand in segments before.
func TestSplitJoinable(t *testing.T) {
	b := &changelog.Batch{Device: deviceA, Number: 5}
	own := changelog.Stamp{Time: 1, Device: deviceA, Batch: 5}
	same := make([]byte, MaxLargeValue/4)
	for i := range 9 {
		b.Changes = append(b.Changes, changelog.Change{
			Shape: noteShape, Key: changelog.Key{int64(i)}, Values: []changelog.Value{same, nil}, Stamp: own, Birth: own,
		})
	}
	segments, err := Split(b, MaxBody)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for i, s := range segments {
		large := 0
		for _, c := range s.Changes {
			large += refsLength(c.Values)
			rows++
		}
		if large > MaxLargeValue {
			t.Errorf("segment %d refers to %d bytes", i, large)
		}
	}
	if rows != len(b.Changes) {
		t.Errorf("%d rows, want %d", rows, len(b.Changes))
	}
}

// TestSplitLarge has values and rows above the sizes of pieces and bodies.
func TestSplitLarge(t *testing.T) {
	own := changelog.Stamp{Time: 1, Device: deviceA, Batch: 5}
	columns := make([]string, 6)
	for i := range columns {
		columns[i] = fmt.Sprint("c", i)
	}
	shape := changelog.NewShape(changelog.Full, "t", []string{"id"}, columns)
	row := func(id string, values ...changelog.Value) changelog.Change {
		for len(values) < len(columns) {
			values = append(values, nil)
		}
		return changelog.Change{Shape: shape, Key: changelog.Key{id}, Values: values, Stamp: own, Birth: own}
	}
	exact := bytes.Repeat([]byte{1}, MaxValue)
	long := bytes.Repeat([]byte{2}, MaxValue+1)
	for _, test := range []struct {
		name     string
		target   int
		rows     []changelog.Change
		segments int
		refs     int
	}{
		{"largest value in one piece", MaxBody, []changelog.Change{row("a", exact)}, 1, 0},
		{"a byte more", MaxBody, []changelog.Change{row("a", long)}, 1, 1},
		{"one value in two rows", MaxBody, []changelog.Change{row("a", long), row("b", string(long))}, 1, 2},
		{"between rows", 16 << 20, []changelog.Change{row("a", "x"), row("b", long), row("c", "y")}, 2, 1},
		{"row above the body", MaxBody, []changelog.Change{row("a", exact, exact[1:], exact[2:], exact[3:], "x")}, 2, 1},
		{"target above the limit", math.MaxInt, []changelog.Change{
			row("a", exact), row("b", exact), row("c", exact), row("d", exact), row("e", exact),
		}, 2, 0},
		{"row above the target", 1 << 20, []changelog.Change{row("a", strings.Repeat("a", 600<<10), strings.Repeat("b", 500<<10))}, 2, 1},
		{"values too short to cut", minTarget, []changelog.Change{row(strings.Repeat("k", minTarget), strings.Repeat("a", minPiece))}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &changelog.Batch{Device: deviceA, Number: 5, Changes: test.rows}
			segments, err := Split(b, test.target)
			if err != nil {
				t.Fatal(err)
			}
			refs, pieces := 0, 0
			lengths := make(map[[32]byte]int)
			joiner := NewJoiner(200 << 20)
			var joined []changelog.Change
			for i, s := range segments {
				body, err := Encode(s)
				if err != nil {
					t.Fatalf("segment %d: %v", i, err)
				}
				s, err = Decode(body, s.Author, s.First, s.Last)
				if err != nil {
					t.Fatalf("segment %d: %v", i, err)
				}
				for _, c := range s.Changes {
					for _, v := range c.Values {
						if ref, ok := v.(Ref); ok {
							refs++
							lengths[ref.Hash] = int(ref.Length)
						}
					}
				}
				for _, p := range s.Pieces {
					pieces += len(p.Bytes)
				}
				if err := joiner.Join(s); err != nil {
					t.Fatalf("segment %d: %v", i, err)
				}
				joined = append(joined, s.Changes...)
			}
			if len(segments) != test.segments || refs != test.refs {
				t.Errorf("%d segments with %d refs, want %d with %d", len(segments), refs, test.segments, test.refs)
			}
			for _, length := range lengths {
				pieces -= length
			}
			if pieces != 0 {
				t.Errorf("pieces have %d bytes more than the values that were cut", pieces)
			}
			for i := range b.Changes {
				if !slices.EqualFunc(joined[i].Values, b.Changes[i].Values, sameValue) {
					t.Errorf("change %d: the values differ", i)
				}
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	own := stamp(1)
	row := func(key, body changelog.Value) changelog.Change {
		return changelog.Change{Shape: noteShape, Key: changelog.Key{key}, Values: []changelog.Value{body, nil}, Stamp: own, Birth: own}
	}
	half := make([]byte, MaxLargeValue/2)
	keys := make([]string, 5)
	values := make(changelog.Key, len(keys))
	for i := range keys {
		keys[i] = fmt.Sprint("k", i)
		values[i] = strings.Repeat("k", MaxValue-i)
	}
	longKeys := changelog.Change{Shape: changelog.NewShape(changelog.Full, "t", keys, nil), Key: values, Stamp: own, Birth: own}
	seen := make(changelog.Vector)
	for i := range maxDevices {
		seen[changelog.DeviceID{9, byte(i), byte(i >> 8)}] = 1
	}
	most := maps.Clone(seen)
	delete(most, changelog.DeviceID{9, 0, 0})
	relayed := row("a", nil)
	relayed.Stamp, relayed.Birth = changelog.Stamp{Time: 2, Device: deviceB, Batch: 1}, changelog.Stamp{}
	for _, test := range []struct {
		name  string
		batch changelog.Batch
		index int // of the change, or -1
	}{
		{"long key", changelog.Batch{Changes: []changelog.Change{row("a", nil), row(strings.Repeat("k", MaxValue+1), nil)}}, 1},
		{"long keys", changelog.Batch{Changes: []changelog.Change{longKeys}}, 0},
		{"long value", changelog.Batch{Changes: []changelog.Change{row("a", make([]byte, MaxLargeValue+1))}}, 0},
		{"long row", changelog.Batch{Changes: []changelog.Change{
			{Shape: noteShape, Key: changelog.Key{"a"}, Values: []changelog.Value{half, half}, Stamp: own, Birth: own},
		}}, 0},
		{"large vector", changelog.Batch{Seen: seen}, -1},
		{"another device", changelog.Batch{Seen: most, Changes: []changelog.Change{relayed}}, 0},
		{"last number", changelog.Batch{Number: endOfBatches}, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := test.batch
			b.Device, b.Number = deviceA, max(b.Number, 17)
			_, err := Split(&b, MaxBody)
			if !errors.Is(err, ErrTooLarge) {
				t.Fatalf("error %v, want one that wraps ErrTooLarge", err)
			}
			var bad *ChangeError
			if got := errors.As(err, &bad); got != (test.index >= 0) || got && bad.Index != test.index {
				t.Errorf("error %v, want one for change %d", err, test.index)
			}
		})
	}
	if _, err := Split(&changelog.Batch{Device: deviceA, Number: 1, Changes: make([]changelog.Change, 1)}, MaxBody); err == nil {
		t.Error("a change without a shape was taken")
	}
}
