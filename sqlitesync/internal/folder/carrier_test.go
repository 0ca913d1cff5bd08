package folder

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCarrier(t *testing.T) {
	for _, test := range []struct{ directory, marker, want string }{
		{"Documents", "", ""},
		{"Dropbox", "", "Dropbox"},
		{"Dropbox (Personal)", "", "Dropbox"},
		{"Dropbox notes", "", ""},
		{"files", ".dropbox.cache", "Dropbox"},
		{"Google Drive", "", "Google Drive"},
		{"GoogleDrive-ann@example.com", "", "Google Drive"},
		{"files", ".tmp.driveupload", "Google Drive"},
		{"Mobile Documents", "", "iCloud Drive"},
		{"iCloudDrive", "", "iCloud Drive"},
		{"Nextcloud2", "", "Nextcloud"},
		{"OneDrive", "", "OneDrive"},
		{"OneDrive - Example Inc", "", "OneDrive"},
		{"OneDrive-Personal", "", "OneDrive"},
		{"OneDriver", "", ""},
		{"files", ".stfolder", "Syncthing"},
	} {
		root := t.TempDir()
		resolved, err := filepath.EvalSymlinks(root)
		must(t, err)
		deep := filepath.Join(root, test.directory, "a", "b")
		must(t, os.MkdirAll(deep, 0o755))
		if test.marker != "" {
			must(t, os.Mkdir(filepath.Join(root, test.directory, test.marker), 0o755))
		}
		service, directory := Carrier(filepath.Join(deep, "not made yet.db"))
		if test.want != "" && directory != filepath.Join(resolved, test.directory) {
			t.Errorf("%s with %q: the directory is %q", test.directory, test.marker, directory)
		}
		if service != test.want {
			t.Errorf("%s with %q: %q, want %q", test.directory, test.marker, service, test.want)
		}
		must(t, os.Symlink(deep, filepath.Join(root, "link")))
		if service, _ = Carrier(filepath.Join(root, "link", "not made yet.db")); service != test.want {
			t.Errorf("%s with %q, by a link: %q, want %q", test.directory, test.marker, service, test.want)
		}
	}
}
