package folder

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSegmentName(t *testing.T) {
	for _, test := range []struct {
		text string
		want SegmentName
	}{
		{"000000000001-000000000001-0000.seg", SegmentName{1, 1, 0}},
		{"000000000001-0000000000ff-0001.seg", SegmentName{1, 255, 1}},
		{"0000000000a0-0000000000a0-00ff.seg", SegmentName{160, 160, 255}},
		{"000000000001-ffffffffffff-ffff.seg", SegmentName{1, 1<<48 - 1, 65535}},
		{"ffffffffffff-ffffffffffff-0000.seg", SegmentName{1<<48 - 1, 1<<48 - 1, 0}},
	} {
		got, ok := ParseSegmentName(test.text)
		if !ok || got != test.want {
			t.Errorf("ParseSegmentName(%q) = %v, %v", test.text, got, ok)
		}
		if got := test.want.String(); got != test.text {
			t.Errorf("String of %+v = %q, want %q", test.want, got, test.text)
		}
	}
	for rule, text := range map[string]string{
		"empty":                     "",
		"batch 0":                   "000000000000-000000000000-0000.seg",
		"range from 0":              "000000000000-000000000001-0001.seg",
		"last before first":         "000000000002-000000000001-0001.seg",
		"original of two batches":   "000000000001-000000000002-0000.seg",
		"upper case":                "00000000000A-00000000000A-0000.seg",
		"upper case suffix":         "000000000001-000000000001-0000.SEG",
		"too short":                 "00000000001-00000000001-0000.seg",
		"too long":                  "0000000000001-0000000000001-0000.seg",
		"sign":                      "+00000000001-000000000001-0000.seg",
		"underscore":                "0000_0000001-0000_0000001-0000.seg",
		"prefix":                    "0x0000000001-0x0000000001-0000.seg",
		"wrong separator":           "000000000001_000000000001-0000.seg",
		"wrong second separator":    "000000000001-000000000001.0000.seg",
		"no suffix":                 "000000000001-000000000001-0000",
		"letter past f":             "00000000000g-00000000000g-0000.seg",
		"space before":              " 00000000001-000000000001-0000.seg",
		"directory before":          "x/000000000001-000000000001-0000.seg",
		"newline after":             "000000000001-000000000001-0000.seg\n",
		"NUL":                       "00000000000\x00-000000000001-0000.seg",
		"digit of another alphabet": "0000000001٣-000000000001-0000.seg",
	} {
		if got, ok := ParseSegmentName(text); ok {
			t.Errorf("%s: ParseSegmentName(%q) = %v", rule, text, got)
		}
	}
}

func TestSegmentNameOrder(t *testing.T) {
	sorted := []SegmentName{{1, 1, 0}, {1, 1, 1}, {1, 300, 1}, {2, 2, 0}, {2, 2, 16}, {16, 16, 0}, {255, 255, 0}, {256, 256, 0}}
	texts := make([]string, len(sorted))
	for i, name := range sorted {
		texts[i] = name.String()
	}
	if !slices.IsSorted(texts) {
		t.Fatalf("names as texts are in another order: %q", texts)
	}
	shuffled := slices.Clone(sorted)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, SegmentName.compare)
	if !slices.Equal(shuffled, sorted) {
		t.Fatalf("sorted to %v", shuffled)
	}
}

func FuzzParseSegmentName(f *testing.F) {
	f.Add("000000000001-000000000001-0000.seg")
	f.Add("000000000001-ffffffffffff-ffff.seg")
	f.Add("000000000001-000000000001-0000 (conflicted copy).seg")
	f.Fuzz(func(t *testing.T, text string) {
		name, ok := ParseSegmentName(text)
		if !ok {
			return
		}
		if !name.valid() || name.String() != text {
			t.Fatalf("ParseSegmentName(%q) = %+v, which is written %q", text, name, name)
		}
	})
}

func TestTemporaryNames(t *testing.T) {
	name := newTemporaryName()
	if !isTemporary(name) || newTemporaryName() == name {
		t.Errorf("%q is no temporary name, or comes twice", name)
	}
	for _, name := range []string{
		"", ".tmp", ".~sqs-.tmp", ".~sqs-0123456789abcde.tmp", ".~sqs-0123456789abcdef0.tmp", ".~sqs-0123456789ABCDEF.tmp",
		".~sqs-0123456789abcdef", ".syncthing.head.tmp", ".~sqs-0123456789abcdef.tmp ", "~sqs-0123456789abcdef.tmp",
		".~sqs-0123456789abcdef (1).tmp",
	} {
		if isTemporary(name) {
			t.Errorf("%q passes for a temporary name of ours", name)
		}
	}
}

// TestPublishedNames holds what every file-sync service and file system is known to carry.
func TestPublishedNames(t *testing.T) {
	f := openNew(t, alice)
	must(t, f.Own(alice).PublishSegment(SegmentName{1, maxBatch, maxGeneration}, nil))
	must(t, f.Own(alice).PublishSegment(batch(1), nil))
	must(t, f.Own(alice).ReplaceHead(nil))
	must(t, f.Own(alice).PublishRecord(record, nil))
	must(t, f.Own(alice).PublishInvite(invite, nil))
	must(t, f.Own(alice).WriteMarker(space))

	plainName := regexp.MustCompile(`^[0-9a-z][0-9a-z.-]*[0-9a-z]$`)
	reserved := regexp.MustCompile(`^(con|prn|aux|nul|com[0-9]|lpt[0-9]|desktop\.ini|thumbs\.db|icon)(\..*)?$`)
	files := 0
	for name := range tree(t, f.Path()) {
		if name == "." || name == readmeName {
			continue
		}
		files++
		if len(name) >= 120 {
			t.Errorf("%s has %d characters", name, len(name))
		}
		base := path.Base(name)
		if !plainName.MatchString(base) || strings.Contains(base, "..") {
			t.Errorf("%s has characters that some service or system changes", name)
		}
		if reserved.MatchString(base) {
			t.Errorf("%s is reserved", name)
		}
		for _, word := range []string{"tmp", "temp", "part", "lock", "conflict", "_vti_", "nosync", "crdownload"} {
			if strings.Contains(base, word) {
				t.Errorf("%s contains %q", name, word)
			}
		}
	}
	if files != 10 { // devices, its directory, three files in it; roster and invites with a file each; the marker
		t.Errorf("looked at %d names", files)
	}
}

func TestBadIDs(t *testing.T) {
	f := openNew(t, alice)
	for _, id := range []string{"", "..", alice[1:], alice + "0", strings.ToUpper(alice), strings.Repeat("../", 10) + "ab", alice[:30] + "/."} {
		for call, err := range map[string]error{
			"MakeDevice":          f.Own(id).MakeDirectory(),
			"List":                second(f.List(id)),
			"ReadSegment":         second(f.ReadSegment(id, batch(1), 10)),
			"PublishSegment":      f.Own(id).PublishSegment(batch(1), nil),
			"ReadHead":            second(f.ReadHead(id, 10)),
			"ReplaceHead":         f.Own(id).ReplaceHead(nil),
			"RemoveTemporaries":   f.Own(id).RemoveTemporaries(),
			"Strays":              second(f.Strays(id)),
			"ReadRecord":          second(f.ReadRecord(id, 10)),
			"PublishRecord":       f.Own(alice).PublishRecord(id, nil),
			"PublishRecord by it": f.Own(id).PublishRecord(record, nil),
			"ReadInvite":          second(f.ReadInvite(id, 10)),
			"PublishInvite":       f.Own(alice).PublishInvite(id, nil),
			"RemoveInvite":        f.Own(alice).RemoveInvite(id),
			"WriteMarker":         f.Own(alice).WriteMarker(id),
		} {
			if err == nil {
				t.Errorf("%s(%q) succeeds", call, id)
			}
		}
	}
	for _, name := range []SegmentName{{}, {1, 2, 0}, {2, 1, 1}, {1, 1 << 48, 1}, {1, 1, 1 << 16}} {
		if err := f.Own(alice).PublishSegment(name, nil); err == nil {
			t.Errorf("PublishSegment(%+v) succeeds", name)
		}
	}
	for _, name := range []string{"", "/", "/etc/passwd", "../x", "devices/../../x", "devices//x"} {
		if _, err := f.ReadStray(name, 1<<20); err == nil {
			t.Errorf("ReadStray(%q) succeeds", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What stands in for a file has a name in which there is one.
func TestStandInNames(t *testing.T) {
	for name, want := range map[string]string{
		".head.icloud": "head", "..x.icloud": ".x", "head.icloud": "head.icloud", ".icloud": ".icloud",
		"..icloud": "..icloud", "...icloud": "...icloud", "....icloud": "....icloud",
	} {
		if got := standsInFor(name); got != want {
			t.Errorf("%q stands in for %q, want %q", name, got, want)
		}
	}
}
