package sqlitesync

import "errors"

// Finding is something that [View.Examine] has found. It holds no row values, no
// secrets, and no paths but those inside the folder.
type Finding struct {
	Code FindingCode
	// Text is a sentence for the person.
	Text string
	// Note: it is right, or harmless, or to be thought about. Nothing waits for it.
	Note   bool
	Device DeviceID // whose, if it is known
	Path   string   // relative to the folder, or ""
	Table  string   // or ""
	Count  int      // how many, where that has a meaning
	Err    error    // what it was found by, or nil; its text may contain paths
}

// FindingCode says what a [Finding] is about. Codes never change their meaning.
type FindingCode string

// The codes.
const (
	FindingFolderUnknown    FindingCode = "folder-unknown"    // nobody has said which folder it is
	FindingFolderMissing    FindingCode = "folder-missing"    // it is not there
	FindingFolderEmpty      FindingCode = "folder-empty"      // it holds no space: emptied, or not downloaded
	FindingFolderSwapped    FindingCode = "folder-swapped"    // it holds another space
	FindingFolderReadOnly   FindingCode = "folder-read-only"  // nothing can be published in it
	FindingFolderUnreadable FindingCode = "folder-unreadable" // it can't be listed
	FindingDatabaseInside   FindingCode = "database-inside"   // the database lies in the folder
	FindingDatabaseCarried  FindingCode = "database-carried"  // it lies in the folder of a file-sync service
	FindingDatabaseReadOnly FindingCode = "database-read-only"
	FindingMarkerDamaged    FindingCode = "marker-damaged" // sqlitesync.json is not what it was
	FindingFormatNewer      FindingCode = "format-newer"   // a newer version has written into the folder
	FindingNotDownloaded    FindingCode = "not-downloaded" // files that a device names are not here, or what they hold is not
	FindingGap              FindingCode = "gap"            // a file is missing among those of a device
	FindingSegmentDamaged   FindingCode = "segment-damaged"
	FindingRecordDamaged    FindingCode = "record-damaged"
	FindingKeyUnknown       FindingCode = "key-unknown"  // the record that brings the key to a file is not here
	FindingHeadDamaged      FindingCode = "head-damaged" // or an old one, or not its device's
	FindingQuarantine       FindingCode = "quarantine"   // files of devices that may not write, records without effect
	FindingOwnMissing       FindingCode = "own-missing"  // files of this device are gone from the folder
	FindingConflictCopies   FindingCode = "conflict-copies"
	FindingCopiesUnread     FindingCode = "copies-unread" // of the folder's directories are more than are looked through
	FindingForeignFiles     FindingCode = "foreign-files"
	FindingClockOff         FindingCode = "clock-off"
	FindingDiverged         FindingCode = "diverged"      // another device knows something else of a table, having read the same
	FindingSchemaBehind     FindingCode = "schema-behind" // tables or columns are missing that others have
	FindingRowsHeld         FindingCode = "rows-held"
	FindingTriggersMissing  FindingCode = "triggers-missing"
	FindingTableLocal       FindingCode = "table-local"       // it stays on this device
	FindingMigrationsSynced FindingCode = "migrations-synced" // a migration tool's own table travels
	FindingKeysMissing      FindingCode = "keys-missing"
	FindingKeysOpen         FindingCode = "keys-open" // others can read them
	FindingKeysDamaged      FindingCode = "keys-damaged"
	FindingNotMember        FindingCode = "not-member"
	FindingRestored         FindingCode = "restored" // from a backup
	FindingTwin             FindingCode = "twin"     // a copy of this device publishes too
	FindingInUse            FindingCode = "in-use"   // something syncs the database
	FindingWatchLimit       FindingCode = "watch-limit"
)

// Examination is what [View.Examine] returns.
type Examination struct {
	// Status is as that of a Syncer, as far as one can see without syncing:
	// what waits in the database, what stands in the folder. Waiting lists only
	// what is missing in the logs of single devices, and LastApplied is zero.
	// Problems holds the findings that are no notes.
	Status   Status
	Findings []Finding
}

// asError returns the Finding as an error.
func (f *Finding) asError() error {
	err := f.Err
	if err == nil {
		err = errors.New(f.Text)
	}
	return &Error{Op: string(f.Code), Device: f.Device, Path: f.Path, Err: err, Hint: f.Text}
}
