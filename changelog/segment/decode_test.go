package segment

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// TestByHand compares both directions with a body that was written by hand.
func TestByHand(t *testing.T) {
	body := goodParts().body()
	encoded, err := Encode(testSegment())
	if err != nil || !bytes.Equal(encoded, body) {
		t.Errorf("encoded %x, want %x, error %v", encoded, body, err)
	}
	got, err := Decode(body, deviceA, 17, 17)
	if err != nil {
		t.Fatal(err)
	}
	if difference := compare(got, testSegment()); difference != "" {
		t.Error(difference)
	}
}

func TestDecodeHeader(t *testing.T) {
	body := goodParts().body()
	for _, test := range []struct {
		name        string
		author      changelog.DeviceID
		first, last uint64
		want        string
	}{
		{"no author", changelog.DeviceID{}, 17, 17, "header: no author"},
		{"another author", deviceB, 17, 17, "devices: the first is not the author"},
		{"first is 0", deviceA, 0, 17, "header: batch numbers out of range"},
		{"first above last", deviceA, 18, 17, "header: batch numbers out of range"},
		{"last too high", deviceA, 17, 1 << 48, "header: batch numbers out of range"},
		{"another first", deviceA, 16, 16, "author's stamp names no batch of the segment"},
	} {
		_, err := Decode(body, test.author, test.first, test.last)
		if !errors.Is(err, ErrDamaged) || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

// TestSumsDamaged has a body above each limit on a sum. TestSumsTooLarge shows
// that bodies at the limits are good.
func TestSumsDamaged(t *testing.T) {
	devices := func(n int) (b []byte) {
		b = append(uvarints(uint64(n+1)), deviceA[:]...)
		for i := range n {
			b = append(b, bytes.Repeat([]byte{byte(i + 1)}, 16)...)
		}
		return b
	}
	entries := func(n int) (b []byte) {
		b = uvarints(uint64(n))
		for i := range n {
			b = append(b, uvarints(uint64(i)+2, 1)...)
		}
		return b
	}
	// A group of n deletes, with keys of integers of which the first is given.
	deletes := func(n int, first int64) []byte {
		return groupParts{
			shape: uvarints(0), rows: uvarints(uint64(n)),
			times:   append(varints(1), make([]byte, n-1)...),
			devices: bytes.Repeat([]byte{1}, n),
			batches: bytes.Repeat([]byte{17}, n),
			keys:    cat(bytes.Repeat([]byte{changelog.KindInteger}, n), varints(first), bytes.Repeat(varints(1), n-1)),
		}.bytes()
	}
	columns := make([]string, maxColumns)
	for i := range columns {
		columns[i] = fmt.Sprintf("%04d", i)
	}
	for _, test := range []struct {
		name, want string
		alter      func(p *parts)
	}{
		{"seen vectors", "batches: too many entries of seen vectors", func(p *parts) {
			p.devices = devices(64)
			p.last = 1 << 20
			// Every entry after the first is three bytes long and stands for 64 entries in full.
			n := MaxSeen/64 + 1
			p.batches = cat(uvarints(uint64(n), 0, 0), entries(64), bytes.Repeat(uvarints(1, 0, 0), n-1))
		}},
		{"names", "shapes: too many names", func(p *parts) {
			n := maxNames/(maxColumns+2) + 1
			p.shapes = uvarints(uint64(n))
			for i := range n {
				p.shapes = append(p.shapes, shapeBytes(1, fmt.Sprint("t", i), []string{"id"}, columns)...)
			}
		}},
		{"rows", "groups: too many rows", func(p *parts) {
			n := maxRows / maxGroup
			p.shapes = append(uvarints(1), shapeBytes(0, "t", []string{"id"}, nil)...)
			p.groups = uvarints(uint64(n) + 1)
			for i := range n {
				p.groups = append(p.groups, deletes(maxGroup, int64(i*maxGroup))...)
			}
			p.groups = append(p.groups, deletes(1, -1)...)
		}},
		{"values", "groups: too many values", func(p *parts) {
			n := maxValues/(maxColumns+1) + 1
			p.shapes = append(uvarints(1), shapeBytes(1, "t", []string{"id"}, columns)...)
			p.groups = cat(uvarints(1, 0, uint64(n)), make([]byte, n*(4+maxColumns+1)))
		}},
		{"body", "body: length above its limit", func(p *parts) {
			p.end = make([]byte, MaxBody)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := goodParts()
			test.alter(&p)
			_, err := Decode(p.body(), deviceA, p.first, p.last)
			if !errors.Is(err, ErrDamaged) || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestDecodeEveryCut cuts a body off after each of its bytes.
func TestDecodeEveryCut(t *testing.T) {
	for _, s := range []*Segment{valuesSegment(), rangeSegment(), piecesSegment(), shapesSegment(), stampsSegment()} {
		body := must(Encode(s))
		for n := range body {
			if _, err := Decode(body[:n:n], s.Author, s.First, s.Last); !errors.Is(err, ErrDamaged) {
				t.Fatalf("cut off after %d of %d bytes: error %v", n, len(body), err)
			}
		}
	}
}

// TestDecodeMemory decodes bodies that claim much, or say much, in few bytes.
func TestDecodeMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("much work in one thread")
	}
	allocated := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	for _, v := range vectors(t) {
		if v.reason == "" {
			continue
		}
		n := allocated(func() {
			if v.packed {
				Unpack(v.bytes)
			} else {
				Decode(v.bytes, deviceA, v.first, v.last)
			}
		})
		if n > 1<<20 {
			t.Errorf("%s: rejecting %d bytes took %d bytes of memory", v.fileName(), len(v.bytes), n)
		}
	}
	// The most rows with the most values, in the fewest bytes: integers that count up and are boxed.
	const columns = maxValues/maxRows - 1
	names := []string{"a", "b", "c", "d", "e", "f", "g"}[:columns]
	p := goodParts()
	p.shapes = append(uvarints(1), shapeBytes(1, "t", []string{"id"}, names)...)
	p.groups = uvarints(maxRows / maxGroup)
	kinds := bytes.Repeat([]byte{changelog.KindInteger}, maxGroup)
	for i := range int64(maxRows / maxGroup) {
		column := cat(kinds, varints(1000+i*maxGroup), bytes.Repeat(varints(1), maxGroup-1))
		p.groups = append(p.groups, groupParts{
			shape: uvarints(0), rows: uvarints(maxGroup),
			times:   append(varints(1), make([]byte, maxGroup-1)...),
			devices: bytes.Repeat([]byte{1}, maxGroup),
			batches: bytes.Repeat([]byte{17}, maxGroup),
			births:  make([]byte, maxGroup),
			keys:    column,
			columns: bytes.Repeat(column, columns),
		}.bytes()...)
	}
	body := p.body()
	n := allocated(func() { must(Decode(body, deviceA, 17, 17)) })
	if n > 12*MaxBody {
		t.Errorf("decoding a body of %d bytes took %d bytes of memory", len(body), n)
	}
	t.Logf("decoding a body of %d MiB allocated %d MiB in all", len(body)>>20, n>>20)
}

// TestDecodeAliases holds what the documentation of Decode says about memory.
func TestDecodeAliases(t *testing.T) {
	body := must(Encode(piecesSegment()))
	s := must(Decode(body, deviceA, 17, 17))
	i := bytes.Index(body, []byte("a value in"))
	body[i] = 'A'
	if got := string(s.Pieces[0].Bytes); got != "A value in" {
		t.Errorf("a piece is a copy: %q", got)
	}
	if piece := s.Pieces[0].Bytes; cap(piece) != len(piece) {
		t.Error("appending to a piece would alter the body")
	}
	j := bytes.LastIndex(body, []byte("n1"))
	body[j] = 'N'
	if got := s.Changes[0].Key[0]; got != "n1" {
		t.Errorf("a text changed with the body to %v", got)
	}
}
