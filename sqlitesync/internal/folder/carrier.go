package folder

import (
	"os"
	"path/filepath"
	"regexp"
)

// carriers says how the directories that file-sync services carry are told: by their names, as the services choose them, or by
// what stands in them.
var carriers = []struct {
	service string
	name    *regexp.Regexp
	marker  string
}{
	{"Dropbox", regexp.MustCompile(`^Dropbox( \(.*\)|-.*)?$`), ".dropbox.cache"},
	{"Google Drive", regexp.MustCompile(`^Google ?Drive(-.*)?$`), ".tmp.driveupload"},
	{"iCloud Drive", regexp.MustCompile(`^(Mobile Documents|iCloudDrive|iCloud Drive)$`), ""},
	{"Nextcloud", regexp.MustCompile(`^(Nextcloud|ownCloud)\d*$`), ""},
	{"OneDrive", regexp.MustCompile(`^OneDrive( ?- ?.*)?$`), ""},
	{"Syncthing", nil, ".stfolder"},
}

// Carrier returns the name of the file-sync service in whose directory a file lies, and that directory, or "" if it can't be told.
func Carrier(file string) (service, directory string) {
	resolved, err := existing(file)
	if err != nil {
		return "", ""
	}
	for directory := filepath.Dir(resolved); ; directory = filepath.Dir(directory) {
		for _, c := range carriers {
			if c.name != nil && c.name.MatchString(filepath.Base(directory)) {
				return c.service, directory
			}
			if c.marker == "" {
				continue
			}
			if _, err := os.Lstat(filepath.Join(directory, c.marker)); err == nil {
				return c.service, directory
			}
		}
		if directory == filepath.Dir(directory) {
			return "", ""
		}
	}
}
