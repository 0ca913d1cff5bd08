package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestOpenMissing(t *testing.T) {
	here := t.TempDir()
	file := filepath.Join(here, "file")
	must(t, os.WriteFile(file, nil, 0o644))
	for _, path := range []string{filepath.Join(here, "absent"), file, filepath.Join(file, "below")} {
		f, err := Open(path)
		if f != nil || !errors.Is(err, ErrMissing) {
			t.Errorf("Open(%s) = %v, %v", path, f, err)
		}
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s): %v is ErrNotExist too", path, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	f := openNew(t, bob, alice)
	must(t, f.Own(alice).MakeDirectory()) // again

	devices, err := f.Devices()
	must(t, err)
	if !slices.Equal(devices, []string{alice, bob}) {
		t.Fatalf("devices %q", devices)
	}

	names := []SegmentName{{1, 4, 1}, {5, 5, 0}, {16, 16, 0}}
	for _, name := range slices.Backward(names) {
		must(t, f.Own(alice).PublishSegment(name, []byte(name.String())))
	}
	must(t, f.Own(alice).ReplaceHead([]byte("one")))
	must(t, f.Own(alice).ReplaceHead([]byte("two")))
	listing, err := f.List(alice)
	must(t, err)
	if !slices.Equal(listing.Segments, names) || !listing.Head || listing.Foreign != nil {
		t.Fatalf("listing %+v", listing)
	}
	for _, name := range names {
		data, err := f.ReadSegment(alice, name, 34)
		if err != nil || string(data) != name.String() {
			t.Errorf("read %q, %v", data, err)
		}
	}
	if data, err := f.ReadHead(alice, 3); err != nil || string(data) != "two" {
		t.Errorf("head %q, %v", data, err)
	}

	must(t, f.Own(alice).PublishRecord(record, []byte("record")))
	must(t, f.Own(bob).PublishRecord(record, []byte("record")))
	put(t, f, "roster/"+record+" 2", "record")
	records, err := f.Records()
	if err != nil || !slices.Equal(records, []string{record}) {
		t.Errorf("records %q, %v", records, err)
	}
	if data, err := f.ReadRecord(record, 100); err != nil || string(data) != "record" {
		t.Errorf("record %q, %v", data, err)
	}

	must(t, f.Own(alice).PublishInvite(invite, []byte("invite")))
	if data, err := f.ReadInvite(invite, 100); err != nil || string(data) != "invite" {
		t.Errorf("invite %q, %v", data, err)
	}
	must(t, f.Own(alice).RemoveInvite(invite))
	must(t, f.Own(alice).RemoveInvite(invite))
	_, err = f.ReadInvite(invite, 100)
	wantError(t, err, fs.ErrNotExist)
}

// An absence may be concluded only from a folder that is there.
func TestAbsence(t *testing.T) {
	calls := map[string]func(f *Folder) error{
		"Marker":      func(f *Folder) error { return second(f.Marker()) },
		"List":        func(f *Folder) error { return second(f.List(alice)) },
		"ReadSegment": func(f *Folder) error { return second(f.ReadSegment(alice, batch(1), 1)) },
		"ReadHead":    func(f *Folder) error { return second(f.ReadHead(alice, 1)) },
		"ReadRecord":  func(f *Folder) error { return second(f.ReadRecord(record, 1)) },
		"ReadInvite":  func(f *Folder) error { return second(f.ReadInvite(invite, 1)) },
		"Publish":     func(f *Folder) error { return f.Own(alice).PublishSegment(batch(1), nil) },
		"ReplaceHead": func(f *Folder) error { return f.Own(alice).ReplaceHead(nil) },
		"Record":      func(f *Folder) error { return f.Own(alice).PublishRecord(record, nil) },
		"Invite":      func(f *Folder) error { return f.Own(alice).PublishInvite(invite, nil) },
		"Strays":      func(f *Folder) error { return second(f.Strays(alice)) },
		"ReadStray":   func(f *Folder) error { return second(f.ReadStray("devices/x/y", 1)) },
	}
	harmless := map[string]func(f *Folder) error{
		"Devices":           func(f *Folder) error { return second(f.Devices()) },
		"Records":           func(f *Folder) error { return second(f.Records()) },
		"RemoveInvite":      func(f *Folder) error { return f.Own(alice).RemoveInvite(invite) },
		"RemoveTemporaries": func(f *Folder) error { return f.Own(alice).RemoveTemporaries() },
	}
	f := openNew(t)
	for name, call := range calls {
		if err := call(f); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrMissing) {
			t.Errorf("%s in an empty folder: %v", name, err)
		}
	}
	for name, call := range harmless {
		if err := call(f); err != nil {
			t.Errorf("%s in an empty folder: %v", name, err)
		}
	}

	if runtime.GOOS == "windows" {
		t.Skip("an open directory can be neither moved nor removed here")
	}
	maps.Copy(calls, harmless)
	for name, call := range calls {
		path := filepath.Join(t.TempDir(), "folder")
		must(t, os.Mkdir(path, 0o755))
		f := open(t, path)
		gone := func(how string) {
			if err := call(f); !errors.Is(err, ErrMissing) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s in a folder that was %s: %v", name, how, err)
			}
		}
		must(t, os.Rename(path, path+".old"))
		gone("moved")
		must(t, os.RemoveAll(path+".old"))
		gone("removed")
		must(t, os.Mkdir(path, 0o755))
		gone("replaced")
	}
}

// A file of which only the stand-in of iCloud Drive is there is listed, and reading it says that its content does not come.
func TestStandIns(t *testing.T) {
	f := openNew(t, alice)
	hash, invite := strings.Repeat("a", recordLength), strings.Repeat("b", inviteLength)
	must(t, f.Own(alice).PublishSegment(batch(1), []byte("one")))
	must(t, f.Own(alice).PublishSegment(batch(2), []byte("two")))
	must(t, f.Own(alice).ReplaceHead([]byte("head")))
	must(t, f.Own(alice).PublishRecord(hash, []byte("record")))
	must(t, f.Own(alice).PublishInvite(invite, []byte("invite")))
	device := "devices/" + alice + "/"
	for _, name := range []string{device + batch(1).String(), device + "head", "roster/" + hash, "invites/" + invite + ".age", "sqlitesync.json"} {
		_ = os.Remove(filepath.Join(f.Path(), filepath.FromSlash(name)))
		put(t, f, path.Dir(name)+"/."+path.Base(name)+".icloud", "bplist00")
	}
	put(t, f, device+"."+batch(2).String()+".icloud", "what stood in for it may be left")

	listing, err := f.List(alice)
	must(t, err)
	if !slices.Equal(listing.Segments, []SegmentName{batch(1), batch(2)}) || !listing.Head || len(listing.Foreign) != 0 {
		t.Errorf("listing %+v", listing)
	}
	records, err := f.Records()
	if err != nil || !slices.Equal(records, []string{hash}) {
		t.Errorf("records %q, %v", records, err)
	}
	_, err = f.ReadSegment(alice, batch(1), 100)
	wantError(t, err, ErrSlow)
	_, err = f.SegmentSize(alice, batch(1))
	wantError(t, err, ErrSlow)
	_, err = f.ReadHead(alice, 100)
	wantError(t, err, ErrSlow)
	_, err = f.ReadRecord(hash, 100)
	wantError(t, err, ErrSlow)
	_, err = f.ReadInvite(invite, 100)
	wantError(t, err, ErrSlow)
	_, err = f.Marker()
	wantError(t, err, ErrSlow)
	_, err = f.ReadSegment(alice, batch(2), 100)
	must(t, err)
	put(t, f, device+"head 2", "a copy")
	if strays, err := f.Strays(alice); err != nil || !slices.Equal(strays, []string{device + "head 2"}) {
		t.Errorf("strays %q, %v", strays, err) // a stand-in has nothing of what it stands for
	}
	must(t, os.Remove(filepath.Join(f.Path(), filepath.FromSlash(device+"head 2"))))
	must(t, f.Own(alice).RemoveInvite(invite))
	_, err = f.ReadInvite(invite, 100)
	wantError(t, err, fs.ErrNotExist)
	must(t, f.Own(alice).RemoveSegment(batch(1)))
	must(t, f.Own(alice).RemoveSegment(batch(2)))
	if listing, err = f.List(alice); err != nil || len(listing.Segments) != 0 {
		t.Errorf("listing %+v, %v", listing, err)
	}
}

// What sync services leave beside our files is listed and not touched.
func TestForeignFiles(t *testing.T) {
	f := openNew(t, alice, bob)
	must(t, f.Own(alice).PublishSegment(batch(1), []byte("one")))
	must(t, f.Own(alice).ReplaceHead([]byte("head")))
	temporary := newTemporaryName()
	foreign := []string{
		"000000000001-000000000001-0000.sync-conflict-20260801-101112-ABCDEFG.seg", // Syncthing
		".syncthing.000000000002-000000000002-0000.seg.tmp",
		"~syncthing~000000000002-000000000002-0000.seg.tmp",
		"head.sync-conflict-20260801-101112-ABCDEFG",
		"000000000001-000000000001-0000 (Ann's conflicted copy 2026-08-01).seg", // Dropbox
		"000000000001-000000000001-0000 (Case Conflict).seg",
		"000000000001-000000000001-0000 2.seg", // iCloud Drive
		".000000000001-000000000001-0000 2.seg.icloud.seg",
		"000000000001-000000000001-0000 (1).seg",                                 // Google Drive
		"000000000001-000000000001-0000-LAPTOP.seg",                              // OneDrive
		"000000000001-000000000001-0000 (conflicted copy 2026-08-01 101112).seg", // Nextcloud
		"000000000001-000000000001-0000_conflict-20260801-101112.seg",
		".000000000002-000000000002-0000.seg.~1a2b",
		"000000000002-000000000002-0000.seg.nextcloud",
		"00000000000A-00000000000A-0000.seg",
		"HEAD.txt",
		".DS_Store",
		"desktop.ini",
		"Thumbs.db",
		".~sqs-0123456789ABCDEF.tmp",
		"notes.txt",
	}
	if runtime.GOOS == "linux" { // other systems do not take such a name
		foreign = append(foreign, "\xff\xfe not UTF-8")
	}
	for _, name := range foreign {
		put(t, f, "devices/"+alice+"/"+name, "foreign")
	}
	put(t, f, "devices/"+alice+"/"+temporary, "left by a crash")
	put(t, f, "devices/"+bob+"/"+temporary, "left by another's crash")
	must(t, os.Mkdir(filepath.Join(f.Path(), "devices", alice, batch(9).String()), 0o755))
	put(t, f, "devices/"+alice+" 2/"+batch(3).String(), "lookalike")
	put(t, f, "devices/"+alice+" 2/head", "lookalike")
	put(t, f, "devices/"+strings.ToUpper(alice)+" (1)/"+batch(4).String(), "lookalike")
	put(t, f, "devices/.stversions/"+alice+"/"+batch(5).String(), "foreign")
	put(t, f, "devices/"+alice[:31]+"/head", "foreign")
	put(t, f, "devices/"+strings.Repeat("f", 32), "a file")
	put(t, f, "roster/"+temporary, "foreign")

	listing, err := f.List(alice)
	must(t, err)
	want := slices.Sorted(slices.Values(foreign))
	if !slices.Equal(listing.Segments, []SegmentName{batch(1), batch(9)}) || !listing.Head {
		t.Errorf("listing %+v", listing)
	}
	if !slices.Equal(listing.Foreign, want) {
		t.Errorf("foreign %q\nwant    %q", listing.Foreign, want)
	}
	_, err = f.ReadSegment(alice, batch(9), 100) // a directory
	wantError(t, err, ErrNotRegular)
	devices, err := f.Devices()
	if err != nil || !slices.Equal(devices, []string{alice, bob}) {
		t.Errorf("devices %q, %v", devices, err)
	}

	strays, err := f.Strays(alice)
	must(t, err)
	var wantStrays []string
	for _, name := range foreign {
		wantStrays = append(wantStrays, "devices/"+alice+"/"+name)
	}
	wantStrays = append(wantStrays,
		"devices/"+alice+" 2/"+batch(3).String(), "devices/"+alice+" 2/head",
		"devices/"+strings.ToUpper(alice)+" (1)/"+batch(4).String())
	slices.Sort(wantStrays)
	if !slices.Equal(strays, wantStrays) {
		t.Errorf("strays %q\nwant   %q", strays, wantStrays)
	}
	for _, stray := range strays {
		if data, err := f.ReadStray(stray, 9); err != nil || len(data) == 0 {
			t.Errorf("read %q, %v", data, err)
		}
	}

	// All that may change is one temporary file of the device's own.
	before := tree(t, f.Path())
	must(t, f.Own(alice).RemoveTemporaries())
	after := tree(t, f.Path())
	delete(before, "devices/"+alice+"/"+temporary)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before %q\nafter %q", before, after)
	}
}

func TestSizeLimit(t *testing.T) {
	f := openNew(t, alice)
	must(t, f.Own(alice).PublishSegment(batch(1), []byte("12345")))
	data, err := f.ReadSegment(alice, batch(1), 5)
	if err != nil || string(data) != "12345" {
		t.Errorf("read %q, %v", data, err)
	}
	_, err = f.ReadSegment(alice, batch(1), 4)
	wantError(t, err, ErrTooLarge)

	must(t, f.Own(alice).PublishSegment(batch(2), nil))
	data, err = f.ReadSegment(alice, batch(2), 0)
	if err != nil || len(data) != 0 {
		t.Errorf("read %q, %v", data, err)
	}

	sparse := filepath.Join(f.Path(), "devices", alice, batch(3).String())
	must(t, os.WriteFile(sparse, nil, 0o644))
	must(t, os.Truncate(sparse, 1<<40))
	_, err = f.ReadSegment(alice, batch(3), 1<<20)
	wantError(t, err, ErrTooLarge)
}

// A growingDisk hands out files that have more bytes than their size says, for ever.
type growingDisk struct{ disk }

type growingFile struct{ file }

func (d growingDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	opened, err := d.disk.OpenFile(name, flag, perm)
	return growingFile{opened}, err
}

func (growingFile) Read(data []byte) (int, error) { return len(data), nil }

func TestFileThatGrows(t *testing.T) {
	f := openNew(t, alice)
	must(t, f.Own(alice).PublishSegment(batch(1), []byte("12345")))
	f.disk = growingDisk{f.disk}
	_, err := f.ReadSegment(alice, batch(1), 1<<16)
	wantError(t, err, ErrTooLarge)
}

// A crowdedDisk has directories without end, and breaks after so many names if broken is set.
type crowdedDisk struct {
	disk
	broken error
}

type crowdedFile struct {
	file
	broken error
}

func (d crowdedDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	opened, err := d.disk.OpenFile(name, flag, perm)
	return &crowdedFile{opened, d.broken}, err
}

func (f *crowdedFile) Readdirnames(n int) ([]string, error) {
	return slices.Repeat([]string{"junk"}, n), f.broken
}

func TestCrowdedDirectory(t *testing.T) {
	f := openNew(t, alice)
	genuine := f.disk
	f.disk = crowdedDisk{disk: genuine}
	_, err := f.List(alice)
	wantError(t, err, ErrTooLarge)

	f.disk = crowdedDisk{disk: genuine, broken: syscall.EIO}
	listing, err := f.List(alice)
	wantError(t, err, syscall.EIO)
	if listing.Foreign != nil {
		t.Error("half a listing is handed out")
	}
}

func TestErrorTexts(t *testing.T) {
	f := openNew(t, alice)
	_, err := f.ReadInvite("the code itself", 10)
	if err == nil || strings.Contains(err.Error(), "the code itself") {
		t.Errorf("error %v", err)
	}
	_, err = f.List(bob)
	if text := err.Error(); !strings.HasPrefix(text, "list a device: ") || strings.Contains(text, f.Path()) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkScan50x64(b *testing.B) {
	f := openNew(b)
	for device := range 50 {
		id := fmt.Sprintf("%032x", device)
		must(b, f.Own(id).MakeDirectory())
		put(b, f, "devices/"+id+"/head", "head")
		for n := range 64 {
			put(b, f, "devices/"+id+"/"+batch(uint64(n)+1).String(), string(bytes.Repeat([]byte("x"), 100)))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		opened, err := Open(f.Path())
		must(b, err)
		devices, err := opened.Devices()
		must(b, err)
		segments := 0
		for _, device := range devices {
			listing, err := opened.List(device)
			must(b, err)
			segments += len(listing.Segments)
		}
		if segments != 50*64 {
			b.Fatalf("%d segments", segments)
		}
		opened.Close()
	}
}
