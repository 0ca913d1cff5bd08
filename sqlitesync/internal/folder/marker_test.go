package folder

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestMarker(t *testing.T) {
	f := openNew(t, alice)
	_, err := f.Marker()
	wantError(t, err, fs.ErrNotExist)

	must(t, f.Own(alice).WriteMarker(space))
	marker, err := f.Marker()
	must(t, err)
	if marker != (Marker{Format: 1, Space: space}) {
		t.Fatalf("read %+v", marker)
	}
	must(t, f.Own(alice).WriteMarker(space))
	wantError(t, f.Own(alice).WriteMarker(strings.Repeat("0", spaceLength)), ErrTwin)

	files := tree(t, f.Path())
	if got, want := files[markerName], `{"format":1,"space":"`+space+"\"}\n"; got != want {
		t.Errorf("the marker is %q, want %q", got, want)
	}
	if !strings.Contains(files[readmeName], "do not edit, rename, move or delete") {
		t.Errorf("README.txt is %q", files[readmeName])
	}
}

func TestReadmeOfOthersStays(t *testing.T) {
	f := openNew(t, alice)
	put(t, f, readmeName, "mine")
	must(t, f.Own(alice).WriteMarker(space))
	if got := tree(t, f.Path())[readmeName]; got != "mine" {
		t.Errorf("README.txt is now %q", got)
	}
}

func TestParseMarker(t *testing.T) {
	for rule, test := range map[string]struct {
		text string
		want Marker // zero: ErrMarker
	}{
		"ours":              {`{"format":1,"space":"` + space + `"}`, Marker{1, space}},
		"spaced out":        {" {\n \"space\" : \"" + space + "\",\t\"format\" : 1 } \n", Marker{1, space}},
		"unknown fields":    {`{"format":1,"space":"` + space + `","later":[{"a":1}]}`, Marker{1, space}},
		"later format":      {`{"format":2,"space":7}`, Marker{Format: 2}},
		"empty":             {"", Marker{}},
		"zeros":             {"\x00\x00\x00\x00", Marker{}},
		"cut":               {`{"format":1,"space":"` + space, Marker{}},
		"more behind":       {`{"format":1,"space":"` + space + `"}{}`, Marker{}},
		"byte order mark":   {"\ufeff" + `{"format":1,"space":"` + space + `"}`, Marker{}},
		"null":              {"null", Marker{}},
		"array":             {"[]", Marker{}},
		"no format":         {`{"space":"` + space + `"}`, Marker{}},
		"format 0":          {`{"format":0,"space":"` + space + `"}`, Marker{}},
		"negative format":   {`{"format":-1,"space":"` + space + `"}`, Marker{}},
		"fraction":          {`{"format":1.5,"space":"` + space + `"}`, Marker{}},
		"format as text":    {`{"format":"1","space":"` + space + `"}`, Marker{}},
		"format null":       {`{"format":null,"space":"` + space + `"}`, Marker{}},
		"huge format":       {`{"format":99999999999999999999,"space":"` + space + `"}`, Marker{}},
		"no space":          {`{"format":1}`, Marker{}},
		"short space":       {`{"format":1,"space":"` + space[1:] + `"}`, Marker{}},
		"upper case space":  {`{"format":1,"space":"` + strings.ToUpper(space) + `"}`, Marker{}},
		"upper case fields": {`{"Format":1,"Space":"` + space + `"}`, Marker{}},
	} {
		got, err := parseMarker([]byte(test.text))
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", rule, got, test.want)
		}
		if (err != nil) != (test.want == Marker{}) || err != nil && !errors.Is(err, ErrMarker) {
			t.Errorf("%s: error %v", rule, err)
		}
	}
}

func TestMarkerTooLarge(t *testing.T) {
	f := openNew(t)
	text := `{"format":1,"space":"` + space + `"}`
	put(t, f, markerName, text+strings.Repeat(" ", markerLimit-len(text)))
	_, err := f.Marker()
	must(t, err)
	put(t, f, markerName, text+strings.Repeat(" ", markerLimit-len(text)+1))
	_, err = f.Marker()
	wantError(t, err, ErrMarker)
	wantError(t, err, ErrTooLarge)
}

func FuzzMarker(f *testing.F) {
	f.Add([]byte(`{"format":1,"space":"` + space + `"}`))
	f.Add([]byte(`{"format":2,"space":7}`))
	f.Add([]byte(`{"format":1,"space":null,"x":[[[[]]]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		marker, err := parseMarker(data)
		switch {
		case err != nil:
			if marker != (Marker{}) || !errors.Is(err, ErrMarker) {
				t.Fatalf("%+v with error %v", marker, err)
			}
		case marker.Format == Format:
			if !isHex(marker.Space, spaceLength) {
				t.Fatalf("space %q", marker.Space)
			}
		case marker.Format < 1 || marker.Space != "":
			t.Fatalf("%+v", marker)
		}
	})
}
