package folder

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What stands in copies of our directories at the top of the folder is found, and what looks like one is no harm.
func TestCopiesOfOurDirectories(t *testing.T) {
	for _, suffix := range []string{" 2", " (1)", " (Ada's conflicted copy 2026-11-23)", "-MacBook", "_conflict-20261123"} {
		for _, alone := range []bool{false, true} {
			f := openNew(t)
			if !alone {
				must(t, f.Own(bob).MakeDirectory())
				must(t, f.Own(bob).PublishRecord(record, []byte("record")))
			}
			other := record[1:] + "0"
			put(t, f, "roster"+suffix+"/"+other, "other record")
			put(t, f, "roster"+suffix+"/junk", "junk")
			put(t, f, "invites"+suffix+"/"+invite+".age", "invite")
			put(t, f, "devices"+suffix+"/"+alice+"/"+batch(1).String(), "one")
			put(t, f, "devices"+suffix+"/"+alice+"/head", "head")
			put(t, f, "devices"+suffix+"/junk", "junk")
			put(t, f, "devices"+suffix+".txt", "junk")

			want := []string{other}
			if !alone {
				want = []string{other, record}
				slices.Sort(want)
			}
			if records, err := f.Records(); err != nil || !slices.Equal(records, want) {
				t.Errorf("records %q, %v", records, err)
			}
			if data, err := f.ReadRecord(other, 100); err != nil || string(data) != "other record" {
				t.Errorf("record %q, %v", data, err)
			}
			if size, err := f.RecordSize(other); err != nil || size != int64(len("other record")) {
				t.Errorf("record of %d bytes, %v", size, err)
			}
			if data, err := f.ReadInvite(invite, 100); err != nil || string(data) != "invite" {
				t.Errorf("invite %q, %v", data, err)
			}
			if data, err := f.ReadHead(alice, 100); err != nil || string(data) != "head" {
				t.Errorf("head %q, %v", data, err)
			}
			if found, err := f.Lookalikes(); err != nil || fmt.Sprint(found) != fmt.Sprint(map[string]bool{alice: true}) {
				t.Errorf("lookalikes %v, %v", found, err)
			}
			strays, err := f.Strays(alice)
			segment := "devices" + suffix + "/" + alice + "/" + batch(1).String()
			if err != nil || !slices.Equal(strays, []string{segment, "devices" + suffix + "/" + alice + "/head"}) {
				t.Errorf("strays %q, %v", strays, err)
			}
			if data, err := f.ReadStray(segment, 100); err != nil || string(data) != "one" {
				t.Errorf("stray %q, %v", data, err)
			}
			_, err = f.List(alice)
			wantError(t, err, fs.ErrNotExist)
			_, err = f.ReadRecord(record[2:]+"00", 100)
			wantError(t, err, fs.ErrNotExist)
		}
	}
}

// The head of a device is found where a sync client has renamed the device's directory as a whole.
func TestTheHeadOfARenamedDirectoryIsFound(t *testing.T) {
	for _, top := range []string{"devices", "devices 2"} {
		for _, renamed := range []string{alice + " 2", alice + " (1)", strings.ToUpper(alice) + " (Case Conflict)"} {
			f := openNew(t, bob)
			put(t, f, "elsewhere/head", "head of nobody")
			_ = os.Symlink(filepath.Join("..", "elsewhere"), filepath.Join(f.Path(), "devices", alice+" 0")) // Windows may not let us
			put(t, f, top+"/"+renamed+"/head", "head")
			put(t, f, "devices/"+bob+" 2/head", "old head of bob")
			if data, err := f.ReadHead(alice, 100); err != nil || string(data) != "head" {
				t.Errorf("head %q in %s/%s, %v", data, top, renamed, err)
			}
			put(t, f, "devices/"+bob+"/head", "head of bob")
			if data, err := f.ReadHead(bob, 100); err != nil || string(data) != "head of bob" {
				t.Errorf("head %q, %v", data, err)
			}
		}
	}
}

// Of more copies of a directory than are looked through, the rest is told.
func TestWhichCopiesArePassedOver(t *testing.T) {
	f := openNew(t, bob)
	for i := range maxCopies {
		put(t, f, fmt.Sprintf("roster %02d/%s", i, record), "record")
		put(t, f, fmt.Sprintf("devices %02d/junk", i), "junk")
	}
	put(t, f, "roster.txt", "no directory")
	if passed, err := f.PassedOver(); err != nil || len(passed) != 0 {
		t.Errorf("passed over: %q, %v", passed, err)
	}
	for _, directory := range []string{"roster 16", "roster 17", "devices 16"} {
		put(t, f, directory+"/"+record[1:]+"0", "record")
	}
	if passed, err := f.PassedOver(); err != nil || !slices.Equal(passed, []string{"devices 16", "roster 16", "roster 17"}) {
		t.Errorf("passed over: %q, %v", passed, err)
	}
	if records, err := f.Records(); err != nil || !slices.Equal(records, []string{record}) {
		t.Errorf("records %q, %v", records, err)
	}
}

// Of more copies of a device's directory than are looked through, the rest is told, and its own is looked through.
func TestWhichCopiesOfADeviceArePassedOver(t *testing.T) {
	f := openNew(t, alice, bob)
	put(t, f, "devices/"+bob+"/mine", "of bob")
	for i := range maxCopies {
		put(t, f, fmt.Sprintf("devices/%s %02d/head", strings.ToUpper(bob), i), "copy")
		put(t, f, fmt.Sprintf("devices 2/%s %02d/head", alice, i), "copy")
	}
	if passed, err := f.PassedOver(); err != nil || len(passed) != 0 {
		t.Errorf("passed over: %q, %v", passed, err)
	}
	for _, directory := range []string{"devices/" + strings.ToUpper(bob) + " 16", "devices 2/" + alice + " 16", "devices 2/" + alice + " 17"} {
		put(t, f, directory+"/head", "copy")
	}
	want := []string{"devices 2/" + alice + " 17", "devices/" + strings.ToUpper(bob) + " 16"}
	if passed, err := f.PassedOver(); err != nil || !slices.Equal(passed, want) {
		t.Errorf("passed over: %q, %v", passed, err)
	}
	strays, err := f.Strays(bob)
	if err != nil || len(strays) != maxCopies+1 || !slices.Contains(strays, "devices/"+bob+"/mine") {
		t.Errorf("strays %q, %v", strays, err)
	}
}

// A link is no copy: it can lead to another device's files.
func TestALinkIsNoCopy(t *testing.T) {
	f := openNew(t)
	must(t, f.Own(alice).MakeDirectory())
	put(t, f, "elsewhere/"+record, "record")
	if err := os.Symlink("elsewhere", filepath.Join(f.Path(), "roster 2")); err != nil {
		t.Skip(err)
	}
	if records, err := f.Records(); err != nil || len(records) != 0 {
		t.Errorf("records %q, %v", records, err)
	}
}
