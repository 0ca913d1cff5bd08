package folder

import (
	"io/fs"
	"maps"
	"os"
	"testing"
)

// Whatever the callers do, a device changes nothing of others.
func TestNothingOfOthersCanBeChanged(t *testing.T) {
	f := openNew(t, alice, bob)
	for _, device := range []string{alice, bob} {
		must(t, f.Own(device).PublishSegment(batch(1), []byte("one")))
		must(t, f.Own(device).ReplaceHead([]byte("head")))
	}
	must(t, f.Own(bob).PublishRecord(record, []byte("record")))
	must(t, f.Own(bob).PublishInvite(invite, []byte("invite")))
	must(t, f.Own(bob).WriteMarker(space))
	put(t, f, "notes.txt", "of a person")
	before := tree(t, f.Path())

	disk, own := f.Own(alice).disk, "devices/"+alice+"/"+batch(1).String()
	for _, name := range []string{
		"devices/" + bob + "/" + batch(1).String(), "devices/" + bob + "/head", "devices/" + bob + "/" + batch(2).String(), "devices/" + bob,
		"devices/" + alice + "/../" + bob + "/head", "devices/" + alice + "/deeper/head", "devices/" + alice + " 2/head", "devices",
		"notes.txt", "others.txt", "roster/notes.txt", "invites/notes.txt", ".", "",
	} {
		for call, change := range map[string]func() error{
			"write": func() error {
				_, err := disk.OpenFile(name, os.O_WRONLY, 0)
				return err
			},
			"make": func() error {
				_, err := disk.OpenFile(name, os.O_RDWR|os.O_CREATE, filePermission)
				return err
			},
			"remove":      func() error { return disk.Remove(name) },
			"link to":     func() error { return disk.Link(own, name) },
			"link":        func() error { return disk.Link(name, "devices/"+alice+"/"+batch(3).String()) },
			"rename to":   func() error { return disk.Rename(own, name) },
			"rename":      func() error { return disk.Rename(name, "devices/"+alice+"/"+batch(3).String()) },
			"truncate":    func() error { _, err := disk.OpenFile(name, os.O_RDONLY|os.O_TRUNC, 0); return err },
			"append":      func() error { _, err := disk.OpenFile(name, os.O_RDWR|os.O_APPEND, 0); return err },
			"make beside": func() error { return disk.Mkdir(name+"x", directoryPermission) },
		} {
			t.Run(call+" "+name, func(t *testing.T) { wantError(t, change(), errForeign) })
		}
	}
	for _, name := range []string{"roster/" + record, "sqlitesync.json", "README.txt"} { // they stay as they were made
		wantError(t, disk.Remove(name), errForeign)
	}
	for _, name := range []string{"roster/" + record, "invites/" + invite + ".age", "sqlitesync.json", "README.txt", own} {
		wantError(t, disk.Link("devices/"+alice+"/head", name), fs.ErrExist)
		wantError(t, disk.Rename("devices/"+alice+"/head", name), fs.ErrExist) // of itself it replaces
	}
	_, err := f.Own("nobody").disk.OpenFile("devices/nobody/head", os.O_WRONLY|os.O_CREATE, filePermission)
	wantError(t, err, errForeign)
	if !maps.Equal(tree(t, f.Path()), before) {
		t.Error("something was changed")
	}
}
