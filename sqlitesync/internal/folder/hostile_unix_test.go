//go:build unix

package folder

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Everything that can stand under a name of ours without being a plain file is refused, by every reader.
func TestHostileFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o644))
	plants := map[string]func(name string) error{
		"link out of the folder": func(name string) error { return os.Symlink(secret, name) },
		"relative link out":      func(name string) error { return os.Symlink("../../../../../../../../../../etc/hosts", name) },
		"link inside":            func(name string) error { return os.Symlink("target", name) },
		"link to nothing":        func(name string) error { return os.Symlink("nothing", name) },
		"link to itself":         func(name string) error { return os.Symlink(filepath.Base(name), name) },
		"FIFO":                   func(name string) error { return syscall.Mkfifo(name, 0o644) },
		"directory":              func(name string) error { return os.Mkdir(name, 0o755) },
	}
	for kind, plant := range plants {
		t.Run(kind, func(t *testing.T) {
			f := openNew(t, alice)
			put(t, f, "roster/target", "target")
			put(t, f, "invites/target", "target")
			put(t, f, "target", "target")
			put(t, f, "devices/"+alice+"/target", "target")
			device := filepath.Join(f.Path(), "devices", alice)
			for _, name := range []string{
				filepath.Join(device, batch(1).String()), filepath.Join(device, "head"),
				filepath.Join(f.Path(), "roster", record), filepath.Join(f.Path(), "invites", invite+".age"),
				filepath.Join(f.Path(), markerName),
			} {
				must(t, plant(name))
			}
			before := tree(t, f.Path())
			for call, err := range map[string]error{
				"ReadSegment":    second(f.ReadSegment(alice, batch(1), 100)),
				"ReadHead":       second(f.ReadHead(alice, 100)),
				"ReadRecord":     second(f.ReadRecord(record, 100)),
				"ReadInvite":     second(f.ReadInvite(invite, 100)),
				"Marker":         second(f.Marker()),
				"PublishSegment": f.Own(alice).PublishSegment(batch(1), []byte("data")),
				"PublishRecord":  f.Own(alice).PublishRecord(record, []byte("data")),
				"PublishInvite":  f.Own(alice).PublishInvite(invite, []byte("data")),
				"RemoveInvite":   f.Own(alice).RemoveInvite(invite),
			} {
				t.Run(call, func(t *testing.T) { wantError(t, err, ErrNotRegular) })
			}
			if strays, err := f.Strays(alice); err != nil || !slices.Equal(strays, []string{"devices/" + alice + "/target"}) {
				t.Errorf("strays %q, %v", strays, err)
			}
			after := tree(t, f.Path())
			delete(after, readmeName)
			if len(before) != len(after) {
				t.Errorf("before %q\nafter %q", before, after)
			}
			for name, content := range before {
				if after[name] != content {
					t.Errorf("%s was %q and is %q", name, content, after[name])
				}
			}
			// The head is replaced in place whatever it was, but for a directory, which rename does not replace.
			if err := f.Own(alice).ReplaceHead([]byte("head")); (err == nil) != (kind != "directory") {
				t.Errorf("ReplaceHead: %v", err)
			}
			content, err := os.ReadFile(secret)
			if err != nil || string(content) != "secret" {
				t.Errorf("the file outside is %q, %v", content, err)
			}
		})
	}
}

func TestLinkedDirectories(t *testing.T) {
	outside := t.TempDir()
	for step, plant := range map[string]func(path string) error{
		"devices": func(path string) error {
			return os.Symlink(outside, filepath.Join(path, "devices"))
		},
		"device out": func(path string) error {
			must(t, os.Mkdir(filepath.Join(path, "devices"), 0o755))
			return os.Symlink(outside, filepath.Join(path, "devices", alice))
		},
		"device to another": func(path string) error {
			must(t, os.MkdirAll(filepath.Join(path, "devices", bob), 0o755))
			return os.Symlink(bob, filepath.Join(path, "devices", alice))
		},
	} {
		t.Run(step, func(t *testing.T) {
			f := openNew(t)
			must(t, plant(f.Path()))
			for call, err := range map[string]error{
				"MakeDevice":        f.Own(alice).MakeDirectory(),
				"List":              second(f.List(alice)),
				"ReadHead":          second(f.ReadHead(alice, 100)),
				"PublishSegment":    f.Own(alice).PublishSegment(batch(1), nil),
				"ReplaceHead":       f.Own(alice).ReplaceHead(nil),
				"PublishRecord":     f.Own(alice).PublishRecord(record, nil),
				"RemoveTemporaries": f.Own(alice).RemoveTemporaries(),
			} {
				t.Run(call, func(t *testing.T) { wantError(t, err, ErrNotRegular) })
			}
		})
	}
	for _, shared := range []string{"roster", "invites"} {
		f := openNew(t, alice)
		must(t, os.Symlink(outside, filepath.Join(f.Path(), shared)))
		publish, read := f.Own(alice).PublishRecord(record, nil), second(f.Records())
		if shared == "invites" {
			publish, read = f.Own(alice).PublishInvite(invite, nil), f.Own(alice).RemoveInvite(invite)
		}
		wantError(t, publish, ErrNotRegular)
		wantError(t, read, ErrNotRegular)
	}
	if left := tree(t, outside); len(left) != 1 {
		t.Errorf("written outside: %q", left)
	}
}

// A swappingDisk lets a FIFO without a writer take the name between the look at a file and its opening.
type swappingDisk struct {
	disk
	path string
}

func (d swappingDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	if strings.HasSuffix(name, ".seg") {
		full := filepath.Join(d.path, name)
		if err := os.Remove(full); err != nil {
			return nil, err
		}
		if err := syscall.Mkfifo(full, 0o644); err != nil {
			return nil, err
		}
	}
	return d.disk.OpenFile(name, flag, perm)
}

func TestFIFOAfterTheLook(t *testing.T) {
	f := openNew(t, alice)
	must(t, f.Own(alice).PublishSegment(batch(1), []byte("data")))
	f.disk = swappingDisk{f.disk, f.Path()}
	_, err := f.ReadSegment(alice, batch(1), 100) // hangs for ever if the opening waits for a writer
	wantError(t, err, ErrNotRegular)
}
