package folder

import (
	"errors"
	"io/fs"
	"os"
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
		must(t, f.Own(device).MakeDirectory())
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

// A recorder records the steps of a Folder, and can fail one of them.
type recorder struct {
	steps []string

	// fail decides what becomes of a step, if set. perform does it for real.
	fail func(step string, perform func() error) error
}

// watchSteps puts a recorder under f.
func watchSteps(f *Folder) *recorder {
	r := new(recorder)
	f.Interpose(func(step string, perform func() error) error {
		r.steps = append(r.steps, step)
		if r.fail != nil {
			return r.fail(step, perform)
		}
		return perform()
	})
	return r
}
