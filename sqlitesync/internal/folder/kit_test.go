package folder

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Ids for tests.
var (
	alice  = strings.Repeat("a1", deviceLength/2)
	bob    = strings.Repeat("b2", deviceLength/2)
	record = strings.Repeat("c3", recordLength/2)
	invite = strings.Repeat("d4", inviteLength/2)
	space  = strings.Repeat("e5", spaceLength/2)
)

func batch(n uint64) SegmentName { return SegmentName{First: n, Last: n} }

// openNew opens a new folder in which the devices have directories.
func openNew(t testing.TB, devices ...string) *Folder {
	t.Helper()
	f := open(t, t.TempDir())
	for _, device := range devices {
		must(t, f.MakeDevice(device))
	}
	return f
}

func open(t testing.TB, path string) *Folder {
	t.Helper()
	f, err := Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// put writes a file behind the package's back.
func put(t testing.TB, f *Folder, name, content string) {
	t.Helper()
	file := filepath.Join(f.Path(), filepath.FromSlash(name))
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(content), 0o644))
}

// tree returns every path in the folder with the file's content, or "/" for a directory.
func tree(t testing.TB, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		switch {
		case entry.IsDir():
			found[name] = "/"
		case entry.Type().IsRegular():
			content, err := os.ReadFile(file)
			found[name] = string(content)
			return err
		default:
			found[name] = entry.Type().String()
		}
		return nil
	}))
	return found
}

// A stepDisk is a disk that records its steps and can fail one of them.
type stepDisk struct {
	disk
	steps  []string
	opened []file

	// fail decides what becomes of a step, if set. perform does it for real.
	fail func(step string, perform func() error) error
}

// watchSteps puts a stepDisk under f.
func watchSteps(f *Folder) *stepDisk {
	d := &stepDisk{disk: f.disk}
	f.disk = d
	return d
}

func (d *stepDisk) step(step string, perform func() error) error {
	d.steps = append(d.steps, step)
	if d.fail != nil {
		return d.fail(step, perform)
	}
	return perform()
}

// short replaces what differs from run to run in a name.
func short(name string) string {
	if isTemporary(path.Base(name)) {
		return "temporary"
	}
	return path.Base(name)
}

func (d *stepDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	var opened file
	verb := "open "
	if flag&os.O_CREATE != 0 {
		verb = "create "
	}
	err := d.step(verb+short(name), func() (err error) {
		opened, err = d.disk.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		if opened != nil {
			opened.Close()
		}
		return nil, err
	}
	d.opened = append(d.opened, opened)
	return stepFile{file: opened, disk: d, name: short(name)}, nil
}

func (d *stepDisk) Mkdir(name string, perm fs.FileMode) error {
	return d.step("mkdir "+short(name), func() error { return d.disk.Mkdir(name, perm) })
}

func (d *stepDisk) Link(oldname, newname string) error {
	return d.step("link "+short(newname), func() error { return d.disk.Link(oldname, newname) })
}

func (d *stepDisk) Rename(oldname, newname string) error {
	return d.step("rename "+short(newname), func() error { return d.disk.Rename(oldname, newname) })
}

func (d *stepDisk) Remove(name string) error {
	return d.step("remove "+short(name), func() error { return d.disk.Remove(name) })
}

type stepFile struct {
	file
	disk *stepDisk
	name string
}

func (f stepFile) Write(data []byte) (n int, err error) {
	err = f.disk.step("write "+f.name, func() error {
		n, err = f.file.Write(data)
		return err
	})
	return n, err
}

func (f stepFile) Sync() error {
	return f.disk.step("sync "+f.name, f.file.Sync)
}

func (f stepFile) Close() error {
	closed := false
	err := f.disk.step("close "+f.name, func() error {
		closed = true
		return f.file.Close()
	})
	if !closed {
		f.file.Close()
	}
	return err
}
