package synctest

import (
	"fmt"
	"slices"
	"syscall"
)

// A Fault is a class of things that go wrong. Its text says what happens.
type Fault string

// What happens to files on their way.
const (
	Delay         Fault = "a file is late"
	Reorder       Fault = "the newest files come first, and the others later"
	Duplicate     Fault = "a file comes a second time, under another name"
	Truncate      Fault = "a file is cut off until later"
	GrowFromEmpty Fault = "a file is empty until later"
	Zeros         Fault = "a file has its length but none of its bytes until later"
	Evict         Fault = "a stub stands in the place of a file until later"
	Slow          Fault = "the content of a file does not come when it is read"
	Revert        Fault = "an old version of a file is back"
	Delete        Fault = "a file is deleted everywhere"
	DeleteDevice  Fault = "the files of a device are deleted everywhere"
	Resurrect     Fault = "a deleted file is back"
)

// What sync clients make of two versions of a file, and people of files.
const (
	CopyDropbox   Fault = "a conflict copy of Dropbox"
	CopySyncthing Fault = "a conflict copy of Syncthing"
	CopyOneDrive  Fault = "a conflict copy of OneDrive"
	CopyGoogle    Fault = "a conflict copy of Google Drive"
	CopyICloud    Fault = "a conflict copy of iCloud Drive"
	CopyNextcloud Fault = "a conflict copy of Nextcloud"
	CopySeafile   Fault = "a conflict copy of Seafile"
	CopyOnly      Fault = "only a conflict copy is whole"
	CopyDirectory Fault = "a device's directory has a conflict copy"
	CaseRename    Fault = "a file is renamed to upper case"
	Touch         Fault = "the times of files are others"
	Junk          Fault = "a file of somebody else"
	Temporary     Fault = "a temporary file of a sync client, or of another device"
	Symlink       Fault = "a link stands in the place of a file"
	Pipe          Fault = "a FIFO stands in the place of a file"
)

// What happens to a folder. It is as before some steps later.
const (
	Emptied   Fault = "the folder is emptied"
	Unmounted Fault = "the folder is gone"
	Swapped   Fault = "another folder is in its place"
	ReadOnly  Fault = "the folder can only be read"
)

// What happens to a device.
const (
	Restart            Fault = "the app is closed and started"
	Crash              Fault = "the process dies between two passes"
	CrashAtStep        Fault = "the process dies at a step of a pass"
	PowerLoss          Fault = "the power is cut between two passes"
	PowerLossAtStep    Fault = "the power is cut at a step of a pass"
	RestoreWithKeys    Fault = "a backup of database and keys is put back"
	RestoreWithoutKeys Fault = "a backup of the database is put back"
	Clone              Fault = "the machine is copied, and both go on"
	Vacuum             Fault = "the app calls VACUUM"
	KeysNotSaved       Fault = "keys can't be saved"
	KeysSavedWithError Fault = "keys are saved, and an error says otherwise"
	ClockForwards      Fault = "a clock jumps forwards by up to a year"
	ClockBackwards     Fault = "a clock jumps backwards by up to a year"
	ClockDrift         Fault = "a clock goes wrong"
	Clock1970          Fault = "a clock starts in 1970"
	Clock2099          Fault = "a clock is in 2099"
	ClockRight         Fault = "a clock is set right"
	CancelledPass      Fault = "a pass is broken off"
	Compaction         Fault = "a log is written anew though it is short"
	Meanwhile          Fault = "the app writes in the midst of a pass" // if World.Meanwhile has said what
)

// A diskFault is a failure of a step in the folder.
type diskFault struct {
	err   syscall.Errno
	verbs []string // of the steps that fail so
	name  string
}

var diskFaults = []diskFault{
	{syscall.EIO, []string{"open", "create", "write", "sync", "link", "rename", "remove", "mkdir", "close"}, "EIO"},
	{syscall.ENOSPC, []string{"create", "write", "sync", "link", "rename", "mkdir"}, "ENOSPC"},
	{syscall.EACCES, []string{"open", "create", "link", "rename", "remove", "mkdir"}, "EACCES"},
	{syscall.EBUSY, []string{"open", "rename", "remove"}, "sharing violation"}, // as it comes from SMB and FUSE
}

// fault returns the class of a failure. persisted: the step is taken all the same.
func (f diskFault) fault(verb string, persisted bool) Fault {
	form := "not done"
	if persisted {
		form = "done all the same"
	}
	return Fault(fmt.Sprintf("%s at %s, %s", f.name, verb, form))
}

// DiskFaults returns the failures of single steps in the folder: of each error and each step that it can come from, not
// done, or done all the same.
func DiskFaults() (faults []Fault) {
	for _, f := range diskFaults {
		for _, verb := range f.verbs {
			faults = append(faults, f.fault(verb, false))
			if verb != "open" && verb != "close" {
				faults = append(faults, f.fault(verb, true))
			}
		}
	}
	return faults
}

var conflictCopies = []Fault{CopyDropbox, CopySyncthing, CopyOneDrive, CopyGoogle, CopyICloud, CopyNextcloud, CopySeafile}

// Faults returns all classes.
func Faults() []Fault {
	return slices.Concat(
		[]Fault{Delay, Reorder, Duplicate, Truncate, GrowFromEmpty, Zeros, Evict, Slow, Revert, Delete, DeleteDevice, Resurrect},
		conflictCopies,
		[]Fault{CopyOnly, CopyDirectory, CaseRename, Touch, Junk, Temporary, Symlink, Pipe},
		[]Fault{Emptied, Unmounted, Swapped, ReadOnly},
		[]Fault{Restart, Crash, CrashAtStep, PowerLoss, PowerLossAtStep, RestoreWithKeys, RestoreWithoutKeys, Clone, Vacuum,
			KeysNotSaved, KeysSavedWithError, ClockForwards, ClockBackwards, ClockDrift, Clock1970, Clock2099, ClockRight,
			CancelledPass, Compaction, Meanwhile},
		DiskFaults())
}
