package changelog_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// oddValues are values that get lost easily.
var oddValues = []changelog.Value{nil, int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1<<53 + 1), 0.0, math.Copysign(0, -1), 1.0,
	5e-324, math.MaxFloat64, math.Inf(1), math.Inf(-1), 0.1 + 0.2, "", "a", "\x00", "a\x00b", "\xff\xfe", "é", "e\u0301", "2024-01-02 03:04:05", []byte{}, []byte("a"), []byte{0}}

func sampleChanges() []changelog.Change {
	stamp := changelog.Stamp{Time: 1 << 61, Device: changelog.DeviceID{1, 2}, Batch: 1<<48 - 1}
	shapes := []*changelog.Shape{
		changelog.NewShape(changelog.Delete, "T", []string{"ID"}, nil),
		changelog.NewShape(changelog.Full, "t", []string{"b", "a"}, []string{"Z", "y", "é"}),
		changelog.NewShape(changelog.Partial, "odd \"t\" \x00", []string{"id"}, []string{"x"}),
	}
	var changes []changelog.Change
	for i, v := range oddValues {
		for _, shape := range shapes {
			c := changelog.Change{Shape: shape, Stamp: stamp}
			for range shape.Key {
				c.Key = append(c.Key, v)
			}
			for j := range shape.Columns {
				c.Values = append(c.Values, oddValues[(i+j)%len(oddValues)])
			}
			if shape.Kind != changelog.Delete {
				c.Birth = changelog.Stamp{Time: int64(i)}
			}
			changes = append(changes, c)
		}
	}
	return changes
}

func TestParseChange(t *testing.T) {
	for _, c := range sampleChanges() {
		encoded := changelog.AppendChange([]byte("before"), &c)[len("before"):]
		parsed, err := changelog.ParseChange(encoded)
		if err != nil {
			t.Fatalf("%x: %v", encoded, err)
		}
		if parsed.Image() != c.Image() || parsed.Compare(&c) != 0 || parsed.Stamp != c.Stamp || parsed.Birth != c.Birth || !parsed.Shape.Equal(c.Shape) {
			t.Errorf("%x became %+v", encoded, parsed)
		}
		for i := range c.Values {
			if !changelog.Equal(parsed.Values[i], c.Values[i]) {
				t.Errorf("%#v became %#v", c.Values[i], parsed.Values[i])
			}
		}
		for n := range encoded {
			if _, err := changelog.ParseChange(encoded[:n]); err == nil {
				t.Fatalf("%x was read although %d bytes are missing", encoded, len(encoded)-n)
			}
		}
		if _, err := changelog.ParseChange(append(encoded, 0)); err == nil {
			t.Fatalf("%x was read with a byte too many", encoded)
		}
	}
}

// One change has one encoding: anything else was not written by us.
func TestParseChangeIsStrict(t *testing.T) {
	tail := "02" + "00000000000000000000000000000000" + "01" + "00" + "00000000000000000000000000000000" + "00"
	for name, encoded := range map[string]string{
		"kind":                   "03" + "0174" + "010161" + "00" + tail + "0102",
		"upper case":             "00" + "0154" + "010161" + "00" + tail + "0102",
		"columns out of order":   "01" + "0174" + "010161" + "0201630162" + tail + "010200" + "00",
		"long varint":            "00" + "818000" + "74" + "010161" + "00" + tail + "0102",
		"long varint in a value": "00" + "0174" + "010161" + "00" + tail + "018200",
		"unknown kind of value":  "00" + "0174" + "010161" + "00" + tail + "05",
		"huge count":             "00" + "0174" + "ffffffffffffffffff01" + "00" + tail + "0102",
		"huge text":              "00" + "ffffffffffffffffff01" + "010161" + "00" + tail + "0102",
		"varint of eleven bytes": "00" + "ffffffffffffffffffff01" + "74" + "010161" + "00" + tail + "0102",
		"nothing":                "",
	} {
		b, err := hex.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := changelog.ParseChange(b); err == nil {
			t.Errorf("%s: was read as %+v", name, c)
		}
	}
	good, _ := hex.DecodeString("00" + "0174" + "010161" + "00" + tail + "0102")
	if _, err := changelog.ParseChange(good); err != nil {
		t.Errorf("the case that all others are made of is not read: %v", err)
	}
}

func FuzzParseChange(f *testing.F) {
	for _, c := range sampleChanges() {
		f.Add(changelog.AppendChange(nil, &c))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		c, err := changelog.ParseChange(encoded)
		if err != nil {
			return
		}
		if again := changelog.AppendChange(nil, c); !bytes.Equal(again, encoded) {
			t.Errorf("%x was read, but is written %x", encoded, again)
		}
		c.Image()
		_ = c.Key.Identity()
	})
}

// Images are part of the format (FORMAT.md, 8.6): these were computed by another program.
func TestImage(t *testing.T) {
	for _, test := range []struct {
		kind    changelog.Kind
		key     changelog.Key
		columns []string
		values  []changelog.Value
		want    string
	}{
		{changelog.Delete, changelog.Key{int64(1)}, nil, nil, "b5313615dd3d9b29550e5822fcaf8271"},
		{changelog.Full, changelog.Key{int64(1)}, []string{"a", "b"}, []changelog.Value{nil, "x"}, "54c5dfa635324ea0f7c06d8d10b89393"},
		{changelog.Full, changelog.Key{1.0}, []string{"a", "b"}, []changelog.Value{nil, "x"}, "48caeedfe5459b95078d626f281684a2"},
	} {
		c := changelog.Change{Shape: changelog.NewShape(test.kind, "t", []string{"id"}, test.columns), Key: test.key, Values: test.values}
		if image := c.Image(); hex.EncodeToString(image[:]) != test.want {
			t.Errorf("image of %v %v is %x, want %s", test.key, test.values, image, test.want)
		}
	}
	seen := make(map[changelog.Image]changelog.Value)
	for _, v := range oddValues {
		c := changelog.Change{Shape: changelog.NewShape(changelog.Full, "t", []string{"id"}, []string{"a"}), Key: changelog.Key{int64(1)}, Values: []changelog.Value{v}}
		if other, there := seen[c.Image()]; there {
			t.Errorf("%#v and %#v have one image", v, other)
		}
		seen[c.Image()] = v
	}
}

// Identities are equal exactly if SQLite takes the keys for one.
func TestIdentity(t *testing.T) {
	d := newApp(t, "CREATE TABLE t (k PRIMARY KEY) WITHOUT ROWID")
	keys := append(slices.Clone(oddValues[1:]), -1.0, float64(1<<53), float64(math.MinInt64), float64(math.MaxInt64), 9.223372036854774784e18,
		int64(math.MaxInt64-1023), int64(1<<53), int64(1), "1", []byte("1"), 1.5)
	for _, a := range keys {
		for _, b := range keys {
			d.exec("DELETE FROM t; INSERT INTO t VALUES (?)", a)
			_, err := d.app.Exec("INSERT INTO t VALUES (?)", b)
			if same := (changelog.Key{a}).Identity() == (changelog.Key{b}).Identity(); same != (err != nil) {
				t.Errorf("%#v and %#v: identities equal %t, SQLite says %v", a, b, same, err)
			}
		}
	}
	if (changelog.Key{"a", "b"}).Identity() == (changelog.Key{"ab", ""}).Identity() {
		t.Error("identities of composite keys run together")
	}
}

func TestShape(t *testing.T) {
	full := changelog.NewShape(changelog.Full, "Tä", []string{"ID"}, []string{"Ü", "b", "A"})
	if full.Table != "tä" || !slices.Equal(full.Key, []string{"id"}) || !slices.Equal(full.Columns, []string{"a", "b", "Ü"}) {
		t.Errorf("names are %q %q %q", full.Table, full.Key, full.Columns)
	}
	if !full.Contains("b") || full.Contains("id") || full.Contains("B") || full.Contains("c") {
		t.Error("Contains is wrong")
	}
	if !changelog.NewShape(changelog.Delete, "t", []string{"id"}, nil).Contains("whatever") {
		t.Error("a delete does not contain every column")
	}
	for _, other := range []*changelog.Shape{
		changelog.NewShape(changelog.Partial, "tä", []string{"id"}, []string{"a", "b", "Ü"}),
		changelog.NewShape(changelog.Full, "t", []string{"id"}, []string{"a", "b", "Ü"}),
		changelog.NewShape(changelog.Full, "tä", []string{"id", "a"}, []string{"b", "Ü"}),
		changelog.NewShape(changelog.Full, "tä", []string{"id"}, []string{"a", "b"}),
	} {
		if full.Equal(other) {
			t.Errorf("%+v and %+v are said to be equal", full, other)
		}
	}
	if !full.Equal(changelog.NewShape(changelog.Full, "TÄ"[:1]+"ä", []string{"iD"}, []string{"B", "a", "Ü"})) {
		t.Error("case and order of names make a difference")
	}
}

func TestStampCompare(t *testing.T) {
	rising := []changelog.Stamp{
		{}, {Time: 1}, {Time: 1, Batch: 1}, {Time: 1, Device: changelog.DeviceID{1}}, {Time: 1, Device: changelog.DeviceID{1}, Batch: 2},
		{Time: 1, Device: changelog.DeviceID{1, 1}}, {Time: 1, Device: changelog.DeviceID{0xff}}, {Time: 2}, {Time: math.MaxInt64},
	}
	for i, a := range rising {
		for j, b := range rising {
			if got := a.Compare(b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v compared with %v is %d", a, b, got)
			}
		}
	}
	seen := changelog.Vector{changelog.DeviceID{1}: 3}
	for _, test := range []struct {
		stamp changelog.Stamp
		want  bool
	}{
		{changelog.Stamp{}, true},
		{changelog.Stamp{Time: 9, Device: changelog.DeviceID{1}, Batch: 3}, true},
		{changelog.Stamp{Time: 1, Device: changelog.DeviceID{1}, Batch: 4}, false},
		{changelog.Stamp{Time: 1, Device: changelog.DeviceID{2}, Batch: 1}, false},
	} {
		if got := seen.Covers(test.stamp); got != test.want {
			t.Errorf("%v covers %v: %t", seen, test.stamp, got)
		}
	}
}
