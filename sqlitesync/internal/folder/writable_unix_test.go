//go:build unix

package folder

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWritable(t *testing.T) {
	t.Parallel()
	f := openNew(t)
	must(t, f.Writable(alice)) // would be made
	must(t, f.Own(alice).MakeDirectory())
	must(t, f.Writable(alice))
	if os.Geteuid() == 0 {
		t.Skip("the superuser may write everywhere")
	}
	directory := filepath.Join(f.Path(), "devices", alice)
	must(t, os.Chmod(directory, 0o500))
	t.Cleanup(func() { os.Chmod(directory, 0o700) })
	wantError(t, f.Writable(alice), fs.ErrPermission)
}

func TestWritableWithoutAFolder(t *testing.T) {
	t.Parallel()
	f := openNew(t)
	must(t, os.Remove(f.Path()))
	wantError(t, f.Writable(alice), ErrMissing)
}
