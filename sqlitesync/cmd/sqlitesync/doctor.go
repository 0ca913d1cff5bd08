package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "doctor DB",
		GroupID: groupLook,
		Short:   "Say why a database is not synced, and what mends it",
		Long: `Looks at everything that can keep a database from being synced, and says for each thing that it finds a code, a sentence
and what mends it. It changes nothing, and works while something else syncs the database.

The report can be shown to others: it holds no values of rows, no secrets and no paths but those that you gave and those
inside the folder. It holds names of tables and columns, and ids of devices.`,
		Example: "  sqlitesync doctor notes.db\n  sqlitesync doctor notes.db --json",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.doctor(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	return cmd
}

// Levels of findings.
const (
	levelMend = "mend" // something waits for it
	levelNote = "note" // it is right, or harmless, or to be thought about
)

// findingJSON is a finding of doctor and status.
type findingJSON struct {
	Code   string `json:"code"`
	Level  string `json:"level"`
	Text   string `json:"text"`
	Do     string `json:"do"` // a sentence, with a command where there is one
	Device string `json:"device,omitempty"`
	Path   string `json:"path,omitempty"` // relative to the folder
	Table  string `json:"table,omitempty"`
	Count  int    `json:"count,omitempty"`
}

func (a *app) doctor(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	examined, err := view.Examine(ctx)
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	list, sick := []findingJSON{}, false
	for i := range examined.Findings {
		finding := a.finding(path, &examined.Findings[i])
		list, sick = append(list, finding), sick || finding.Level == levelMend
	}
	if a.json {
		err = a.printJSON(struct {
			Healthy  bool          `json:"healthy"`
			Findings []findingJSON `json:"findings"`
		}{!sick, list})
	} else {
		a.printFindings(list)
	}
	if sick && err == nil {
		err = problemsError{exitProblems}
	}
	return err
}

func (a *app) printFindings(list []findingJSON) {
	sick := false
	for _, f := range list {
		colour := yellow
		if f.Level == levelMend {
			sick, colour = true, red
		}
		fmt.Fprintf(a.out, "%s  %s: %s\n", a.paint(colour, f.Level), a.paint(bold, f.Code), visible(f.Text))
		if f.Path != "" {
			a.printf("      At: %s", f.Path)
		}
		if f.Do != "" {
			a.printf("      Do: %s", f.Do)
		}
	}
	if !sick {
		a.printf("Nothing keeps this database from being synced.")
	}
}

// relayHelp is for what a device that is gone has taken with it. What is left of its
// log can't be read without it, and is listed until it is removed.
const relayHelp = ", on a device that has it: sqlitesync devices relay DB DEVICE. It is merged a minute after it has come; if the device itself is lost, too, its directory can go then: REMOVEDEVICE"

const newCode = ", with a new code from another device, or the recovery code. Rows are kept."

// mends says what to do about each finding. The words of systemCommands, DB,
// DEVICE, TABLE and KEYS are replaced; FOLDER is for the person to fill in.
var mends = map[sqlitesync.FindingCode]string{
	sqlitesync.FindingFolderUnknown:    "Say which it is: sqlitesync sync DB --folder FOLDER",
	sqlitesync.FindingFolderMissing:    "Connect the drive, or start the file-sync service. If the folder has moved: sqlitesync sync DB --folder FOLDER",
	sqlitesync.FindingFolderEmpty:      "Let the file-sync service finish downloading; restore the folder from its history if it was emptied. If it is elsewhere: sqlitesync sync DB --folder FOLDER. If it is lost for good, begin a new space: sqlitesync uninstall DB --force, then sqlitesync create DB FOLDER; on the other devices uninstall, too, then sqlitesync join DB FOLDER --merge, with codes from there",
	sqlitesync.FindingFolderSwapped:    "Name the folder that this database was set up with: sqlitesync sync DB --folder FOLDER",
	sqlitesync.FindingFolderReadOnly:   "Allow writing, or free some space, where the folder is. Then: sqlitesync sync DB",
	sqlitesync.FindingFolderUnreadable: "Look at who may read the folder: SHOWRIGHTS",
	sqlitesync.FindingDatabaseInside:   "Stop the app, and move the database with its -wal and -shm files out of the folder. Then: sqlitesync sync NEWDB",
	sqlitesync.FindingDatabaseCarried:  "Stop the app, and move the database with its -wal and -shm files to a place that no service carries. Then: sqlitesync sync NEWDB",
	sqlitesync.FindingDatabaseReadOnly: "Allow it: ALLOWWRITING. Then: sqlitesync sync DB",
	sqlitesync.FindingMarkerDamaged:    "Restore sqlitesync.json from the file-sync service's history, or write it anew, with what it shall hold, as text. Then: sqlitesync sync DB",
	sqlitesync.FindingFormatNewer:      "Update sqlitesync, and the app: sqlitesync --version",
	sqlitesync.FindingNotDownloaded:    "Wait for the file-sync service, and set the folder to be available offline. If files stay away, bring them back from the service's history. If they are lost for good" + relayHelp,
	sqlitesync.FindingGap:              "Wait for the file-sync service, or bring the file back from its history. If the author's device still has it, it publishes it again; there: sqlitesync sync DB. If it is lost for good" + relayHelp,
	sqlitesync.FindingSegmentDamaged:   "Restore the file from the file-sync service's history, or remove it: the device that wrote it makes it again, by two passes a minute apart at most; there: sqlitesync sync DB. If that device is lost" + relayHelp,
	sqlitesync.FindingRecordDamaged:    "Restore the file from the file-sync service's history, or remove it: a device that has it puts it back. Then: sqlitesync sync DB",
	sqlitesync.FindingHeadDamaged:      "Nothing waits for it but this list: the device writes a new one when it syncs. There: sqlitesync sync DB",
	sqlitesync.FindingKeyUnknown:       "Wait for the file-sync service: a file in roster brings it. If it does not come, an admin's device hands the key out when it syncs next; there: sqlitesync sync DB. If none has it, make a device an admin that has merged these changes: sqlitesync devices role DB DEVICE admin",
	sqlitesync.FindingQuarantine:       "If a device has just joined, wait: a record is on its way. If it stays so, look at who may write to the folder, and who is in: sqlitesync devices DB",
	sqlitesync.FindingOwnMissing:       "Bring them back from the file-sync service's history, or let them be made again, by two passes a minute apart: sqlitesync sync DB",
	sqlitesync.FindingConflictCopies:   "",
	sqlitesync.FindingCopiesUnread:     "Move what only a copy holds into the directory of the same name without the addition, such as devices, and remove the copy. Then: sqlitesync sync DB",
	sqlitesync.FindingForeignFiles:     "",
	sqlitesync.FindingClockOff:         "Set the clock right; until then it decides wrongly between edits that were made apart: SETCLOCK",
	sqlitesync.FindingDiverged:         "Find out which of the two is wrong, and about which rows; on both: sqlitesync verify DB. It says what mends the one that is wrong",
	sqlitesync.FindingSchemaBehind:     "Update the app on this device, so that it makes what is missing. Then: sqlitesync sync DB. For tables that no app makes here: sqlitesync make-tables DB",
	sqlitesync.FindingRowsHeld:         "Look which, and why: sqlitesync held DB. Change or delete, on any device, the row or what stands in its way; it shows with the next pass",
	sqlitesync.FindingTriggersMissing:  "sqlitesync sync DB",
	sqlitesync.FindingTableLocal:       "If it shall travel, this says what to change: sqlitesync status DB. If it was left out: sqlitesync sync DB --include TABLE",
	sqlitesync.FindingMigrationsSynced: "If it is a migration tool's, let it stay at home, on each device: sqlitesync sync DB --exclude TABLE",
	sqlitesync.FindingKeysMissing:      "If they are in another place: sqlitesync doctor DB --keys DIRECTORY. If the database was copied here: sqlitesync uninstall DB --force, then sqlitesync join DB FOLDER --merge" + newCode,
	sqlitesync.FindingKeysOpen:         "chmod 700 KEYS && chmod 600 KEYS/DEVICE.key. If others can have read them: sqlitesync uninstall DB, then sqlitesync join DB FOLDER --merge" + newCode,
	sqlitesync.FindingKeysDamaged:      "Restore KEYS/DEVICE.key from a backup of this machine. If there is none: sqlitesync uninstall DB --force, then sqlitesync join DB FOLDER --merge" + newCode,
	sqlitesync.FindingNotMember:        "sqlitesync uninstall DB --force, then sqlitesync join DB FOLDER --merge" + newCode,
	sqlitesync.FindingRestored:         "sqlitesync sync DB",
	sqlitesync.FindingTwin:             "sqlitesync sync DB",
	sqlitesync.FindingInUse:            "That is as it should be while 'sqlitesync watch' or the app runs.",
	sqlitesync.FindingWatchLimit:       "WATCHMORE",
}

// strangerMend is for what a device has left that is in no roster. The other
// findings in quarantine are of devices whose directories are needed.
const strangerMend = "If the device has just joined, wait: its record is on its way. If no device knows it, someone has written into the folder: sqlitesync devices DB. Then it can go: REMOVEDEVICE"

// mendOf returns what to do about a finding, with the words that mends has.
func mendOf(f *sqlitesync.Finding) string {
	if f.Code == sqlitesync.FindingQuarantine && !f.Note && f.Device != (sqlitesync.DeviceID{}) {
		return strangerMend
	}
	return mends[f.Code]
}

// finding returns a finding with what to do about it.
func (a *app) finding(path string, f *sqlitesync.Finding) findingJSON {
	finding := findingJSON{Code: string(f.Code), Level: levelMend, Text: f.Text, Path: f.Path, Table: f.Table, Count: f.Count}
	if f.Note {
		finding.Level = levelNote
	}
	device := ""
	if f.Device != (sqlitesync.DeviceID{}) {
		device = f.Device.String()
		finding.Device = device
	}
	// NEWDB and DB differ in what stands before them, so "NEWDB" is kept.
	finding.Do = strings.NewReplacer("NEWDB", "NEWDB", "DB", word(path), "DEVICE", device, "TABLE", word(f.Table), "KEYS", a.shownKeyDirectory()).Replace(onSystem(runtime.GOOS, mendOf(f)))
	return finding
}
