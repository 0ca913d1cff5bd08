package folder

import (
	"errors"
	"fmt"
	"io/fs"
)

var (
	// ErrMissing says that the folder itself is not there: removed, replaced by another, or on a drive or share that
	// is not connected. It never comes together with fs.ErrNotExist.
	ErrMissing = errors.New("the folder is not there")

	// ErrTwin says that a file which is to be published stands there already with other bytes.
	ErrTwin = errors.New("the name is taken by other bytes")

	// ErrTooLarge says that a file is larger than the reader's limit, or a directory holds more than maxEntries names.
	ErrTooLarge = errors.New("too large")

	// ErrNotRegular says that a link, a FIFO, a device or the like stands where a plain file or directory belongs.
	ErrNotRegular = errors.New("not a plain file or directory")

	// ErrSlow says that a file or directory is there, and what it holds does not come: a sync service keeps it elsewhere, or
	// the drive does not answer.
	ErrSlow = errors.New("its content is elsewhere and does not come")

	// errStandIn says that of a file only what stands in for it is there.
	errStandIn = fmt.Errorf("%w: a file of iCloud Drive stands in for it", ErrSlow)

	// ErrMarker says that sqlitesync.json is there but is no marker.
	ErrMarker = errors.New("sqlitesync.json is unreadable")
)

// Reason returns a sentence for the person about what keeps the folder from being used, or "" if this package knows
// none for err.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrMissing):
		return "The folder is not there. Check that the drive is connected and that the file-sync service is set up on this machine."
	case errors.Is(err, errStandIn):
		return "iCloud Drive keeps the content elsewhere. Choose \"Download Now\" for the folder in the Finder, and turn \"Optimize Mac Storage\" off."
	case errors.Is(err, ErrSlow):
		return "The file-sync service keeps the content elsewhere and has not fetched it yet, or the drive does not answer. Check the network, and let the service keep the folder on this device (\"available offline\")."
	case full(err):
		return "There is no space left where the folder is kept."
	case readOnly(err):
		return "The folder is on a medium that can only be read."
	case errors.Is(err, fs.ErrPermission):
		return "This program is not permitted to read and write in the folder."
	case busy(err):
		return "Another program keeps a file in the folder busy."
	case errors.Is(err, ErrNotRegular):
		return "In the folder, something other than a plain file or directory stands under a name that sqlitesync uses. Give it another name, and let the file-sync service put back what belongs there."
	case errors.Is(err, ErrMarker):
		return "The file sqlitesync.json in the folder is damaged or not downloaded yet."
	}
	return ""
}

// failure puts the operation before err, and tells a file that is missing from a folder that is.
func (f *Folder) failure(operation string, err error) error {
	if err == nil {
		return nil
	}
	if unreachable(err) || errors.Is(err, fs.ErrNotExist) && !f.disk.Here() {
		// The cause is only quoted: an error that also is fs.ErrNotExist would let a caller conclude an absence.
		return fmt.Errorf("%s: %w: %v", operation, ErrMissing, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}
