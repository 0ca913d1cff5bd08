package folder

import (
	"slices"
	"testing"
)

func TestOthers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string // of a file
		want string // "ours", "copy", "foreign"
		as   string // what is listed, if it is not the file itself
	}{
		{name: "sqlitesync.json", want: "ours"},
		{name: "README.txt", want: "ours"},
		{name: "devices/" + alice + "/" + batch(1).String(), want: "ours"},
		{name: "devices/" + alice + "/head", want: "ours"},
		{name: "devices/" + alice + "/.~sqs-0123456789abcdef.tmp", want: "ours"},
		{name: "roster/" + record, want: "ours"},
		{name: "invites/" + invite + ".age", want: "ours"},
		{name: "roster/." + record + ".icloud", want: "ours"},

		{name: "sqlitesync (conflicted copy).json", want: "copy"},
		{name: "sqlitesync.sync-conflict-20260101-000000-ABCDEFG.json", want: "copy"},
		{name: "devices 2/x", want: "copy", as: "devices 2"},
		{name: "devices/" + alice + " (1)/head", want: "copy", as: "devices/" + alice + " (1)"},
		{name: "devices/" + alice + "/head (laptop's conflicted copy)", want: "copy"},
		{name: "devices/" + alice + "/000000000001-000000000001-0000 (1).seg", want: "copy"},
		{name: "devices/" + alice + "/000000000001-000000000001-0000.SEG", want: "copy"},
		{name: "roster/" + record + ".sync-conflict-20260101", want: "copy"},
		{name: "invites/" + invite + " 2.age", want: "copy"},

		{name: ".stfolder/x", want: "foreign", as: ".stfolder"},
		{name: "holiday.jpg", want: "foreign"},
		{name: "devices/desktop.ini", want: "foreign"},
		{name: "devices/" + alice + "/notes.txt", want: "foreign"},
		{name: "devices/" + alice + "/000000000001-zz.seg", want: "foreign"},
		{name: "roster/notes.txt", want: "foreign"},
		{name: "roster/.notes.txt.icloud", want: "foreign"},
		{name: "invites/" + record[:10], want: "foreign"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := openNew(t, alice)
			put(t, f, test.name, "x")
			got, err := f.Others()
			must(t, err)
			listed := test.as
			if listed == "" {
				listed = test.name
			}
			want := Others{}
			switch test.want {
			case "copy":
				want.Copies = []string{listed}
			case "foreign":
				want.Foreign = []string{listed}
			}
			if !slices.Equal(got.Copies, want.Copies) || !slices.Equal(got.Foreign, want.Foreign) {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}
