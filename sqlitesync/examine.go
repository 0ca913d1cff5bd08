package sqlitesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
	"github.com/sqlitesync/go/sqlitesync/internal/watch"
)

// An examination goes the way of a pass, and only looks: what a pass would
// publish it counts, what it would merge it reads and forgets.
type examination struct {
	*Syncer
	view   *View
	status Status
	found  []Finding
}

// Examine looks at everything that can keep a database from being synced, and
// reads all that stands in the folder and is not merged yet. The order of what
// it finds is that of the steps of a pass.
func (v *View) Examine(ctx context.Context) (examined Examination, err error) {
	var dirs []string
	if v.s.path != "" {
		dirs = v.s.directories()
	}
	err = v.s.turn(ctx, "examine", func(ctx context.Context) error {
		e := &examination{Syncer: v.s, view: v}
		if err := e.lookAtDatabase(ctx); err != nil {
			return err
		}
		e.lookAtFolder(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := watch.Try(dirs); err != nil && !e.has(FindingFolderUnreadable) { // which is reason enough
			e.add(Finding{Code: FindingWatchLimit, Err: err,
				Text: "The system does not let the folder's directories be watched, mostly because a limit is reached: what others write is noticed with a delay."})
		}
		e.status.State = StateIdle
		for i := range e.found {
			if !e.found[i].Note {
				e.status.Problems = append(e.status.Problems, e.found[i].asError())
			}
		}
		if len(e.status.Problems) > 0 {
			e.status.State, e.status.Err = StateFailing, e.status.Problems[0]
		}
		examined = Examination{Status: e.status, Findings: e.found}
		return nil
	})
	return examined, err
}

func (e *examination) add(f Finding) { e.found = append(e.found, f) }

// lookAtDatabase looks at the database and the keys. The errors that it returns are
// those of SQLite.
func (e *examination) lookAtDatabase(ctx context.Context) error {
	conn := e.handle.conn
	used, err := e.view.InUse()
	if err != nil {
		return err
	}
	if used {
		e.add(Finding{Code: FindingInUse, Note: true, Text: "Another program syncs this database just now."})
	}
	if service, directory := folder.Carrier(e.handle.path); service != "" {
		e.add(Finding{Code: FindingDatabaseCarried, Note: true, Path: directory, Text: fmt.Sprintf("The database lies where %s seems to carry it, half-written, and can bring an old one back.", service)})
	}
	// SQLite gives the files beside the database its mode when it makes them.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := folder.MayChange(e.handle.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			e.add(Finding{Code: FindingDatabaseReadOnly, Err: err, Text: "This program is not permitted to write to the database, or to its files with -wal and -shm."})
			break
		}
	}
	if err := e.lookAtKeys(ctx); err != nil {
		return err
	}
	due, err := e.db.Look(ctx, e.selection())
	if err != nil {
		return err
	}
	for _, table := range due {
		e.add(Finding{Code: FindingTriggersMissing, Table: table,
			Text: fmt.Sprintf("Table %q is not captured, or not completely: what programs write to it is not noted until the next pass, which compares the table.", table)})
	}
	if err := e.lookAtHeld(ctx); err != nil {
		return err
	}
	e.status.Unsynced, e.status.ForeignKeys = slices.Clone(e.db.Unsynced), e.identity.foreignKeys
	for _, table := range e.db.Tables {
		null, err := e.db.NullKeys(ctx, table)
		if err != nil {
			return err
		}
		if null {
			e.status.Unsynced = append(e.status.Unsynced, nullKeys(table))
		}
	}
	for _, u := range e.status.Unsynced {
		e.add(Finding{Code: FindingTableLocal, Note: true, Table: u.Table,
			Text: fmt.Sprintf("Table %q, or some of its rows, stay on this device: %s.", u.Table, u.Reason)})
	}
	e.status.Warnings = e.migrationWarnings()
	for _, name := range e.toldMigrations() {
		e.add(Finding{Code: FindingMigrationsSynced, Note: true, Table: name,
			Text: fmt.Sprintf("Table %q is synced, and looks like the one in which a migration tool notes how far it has come: another device would take these migrations for its own.", name)})
	}
	if e.status.LastPublished, err = e.view.published(ctx); err != nil {
		return err
	}
	if e.status.Conflicts, e.status.Collisions, err = merge.CountConflicts(ctx, conn); err != nil {
		return err
	}
	if e.status.Undone, err = merge.CountUndone(ctx, conn); err != nil {
		return err
	}
	return conn.Get(ctx, `SELECT (SELECT coalesce(sum(rows), 0) FROM sqlitesync_segments WHERE state = 0)
		+ (SELECT count(*) FROM sqlitesync_log)`, nil, &e.status.Pending)
}

// lookAtKeys looks whether this database may go on under its keys.
func (e *examination) lookAtKeys(ctx context.Context) error {
	if err := e.view.keys; err != nil {
		f := Finding{Code: FindingKeysDamaged, Device: e.identity.device, Err: err, Text: "This device's key entry can't be read."}
		var open *Error
		switch {
		case errors.As(err, &open):
			f.Code, f.Text = FindingKeysOpen, "Others on this machine can read, or replace, this device's keys."
		case errors.Is(err, ErrFormat):
			f.Code, f.Text = FindingFormatNewer, "A newer version of sqlitesync wrote this device's keys."
		case errors.Is(err, ErrNotMember):
			f.Code, f.Text = FindingKeysMissing, "This device's keys are not on this machine: the database was copied here, or the keys are kept elsewhere."
		}
		e.add(f)
	} else if copied, err := e.isCopy(ctx); err != nil {
		return err
	} else if copied != "" {
		e.addRestored(copied)
	}
	if err := e.view.membership; err != nil {
		e.add(memberFinding(e.identity.device, err))
	}
	return nil
}

func (e *examination) addRestored(found string) {
	e.add(Finding{Code: FindingRestored, Device: e.identity.device, Note: true,
		Text: "This database was copied, or restored from a backup, for " + found + ": it goes on as a new device when it is synced."})
}

func memberFinding(device DeviceID, err error) Finding {
	if errors.Is(err, ErrFormat) {
		return Finding{Code: FindingFormatNewer, Err: err, Text: "A newer version of sqlitesync has written into the folder."}
	}
	return Finding{Code: FindingNotMember, Device: device, Err: err, Text: "The space does not know this device, or does not count it as a member any more."}
}

// lookAtHeld looks at what this database can't show.
func (e *examination) lookAtHeld(ctx context.Context) error {
	held, err := merge.CountHeldByTable(ctx, e.handle.conn)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		e.status.Held += held[name]
		f := Finding{Code: FindingRowsHeld, Table: name, Count: held[name],
			Text: fmt.Sprintf("%s of table %q can't be shown here, because of a constraint, and %s kept.", plural(held[name], "row"), name, are(held[name]))}
		switch {
		case !e.selection().Takes(name):
			f.Code, f.Note = FindingTableLocal, true
			f.Text = fmt.Sprintf("Table %q was left out of sync on this device; %s that others have written %s kept.", name, plural(held[name], "row"), are(held[name]))
		case e.db.Table(name) == nil:
			f.Code, f.Text = FindingSchemaBehind, fmt.Sprintf("%s of table %q %s kept for the table, which this database does not have.", plural(held[name], "row"), name, are(held[name]))
		}
		e.add(f)
	}
	unknown, err := merge.Unknown(ctx, e.db)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		e.add(Finding{Code: FindingSchemaBehind, Table: name, Count: len(unknown[name]), Note: true,
			Text: fmt.Sprintf("Other devices have columns that table %q lacks here, and their values are kept: %s.", name, strings.Join(unknown[name], ", "))})
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// are returns the verb for n things.
func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// lookAtFolder looks at the folder.
func (e *examination) lookAtFolder(ctx context.Context) {
	if e.path == "" {
		e.add(Finding{Code: FindingFolderUnknown, Text: "Nobody has said yet which folder this database is synced with."})
		return
	}
	f, err := e.openFolder()
	if err != nil {
		e.add(folderFinding(err))
		return
	}
	defer f.Close()
	if inside, err := folder.Contains(e.path, e.handle.path); err == nil && inside {
		e.add(Finding{Code: FindingDatabaseInside, Text: "The database lies inside the folder, where a sync client copies it half-written."})
	}
	var p problems
	err = e.checkFolder(ctx, f, &p)
	for _, problem := range p.list {
		if errors.Is(problem, folder.ErrSlow) {
			e.add(folderFinding(problem))
			continue
		}
		e.add(e.markerFinding("is damaged, or someone has replaced it; sync goes on without it", problem))
	}
	if errors.Is(err, fs.ErrNotExist) && e.recognizes(f) {
		e.add(e.markerFinding("is gone, although the rest is there; nothing is synced until it is back", err))
		return
	}
	if err != nil {
		e.add(folderFinding(err))
		return
	}
	if err := f.Writable(e.identity.device.String()); err != nil {
		e.add(Finding{Code: FindingFolderReadOnly, Err: err, Text: cmp.Or(folder.Reason(err), "Nothing can be written into the folder.")})
	}
	e.lookAtRecords(f)
	e.lookAtOwn(ctx, f)
	e.lookAtLogs(ctx, f)
	e.lookAtOthers(f)
}

// markerFinding says what is wrong with the file that says which space the folder
// holds, and what is to stand in it: who has lost it may have no history.
func (e *examination) markerFinding(what string, err error) Finding {
	return Finding{Code: FindingMarkerDamaged, Path: "sqlitesync.json", Err: err,
		Text: fmt.Sprintf(`The file sqlitesync.json %s. It shall hold {"format":1,"space":%q}.`, what, e.identity.space)}
}

// folderFinding says what keeps the folder from being used.
func folderFinding(err error) Finding {
	f := Finding{Code: FindingFolderUnreadable, Err: err, Text: cmp.Or(folder.Reason(err), "The folder can't be read.")}
	switch {
	case errors.Is(err, folder.ErrMissing):
		f.Code, f.Text = FindingFolderMissing, "The folder is not there."
	case errors.Is(err, folder.ErrSlow):
		f.Code = FindingNotDownloaded
	case errors.Is(err, fs.ErrNotExist):
		f.Code, f.Text = FindingFolderEmpty, "The folder does not hold the space: it is empty, is another one, or has not been downloaded yet."
	case errors.Is(err, ErrFormat):
		f.Code, f.Text = FindingFormatNewer, "A newer version of sqlitesync wrote the folder."
	case errors.Is(err, errOtherSpace):
		f.Code, f.Text = FindingFolderSwapped, "The folder is that of another database."
	case errors.Is(err, folder.ErrMarker):
		f.Code = FindingMarkerDamaged
	}
	return f
}

// lookAtRecords reads the membership records, new ones so that the logs of new
// devices are read too.
func (e *examination) lookAtRecords(f *folder.Folder) {
	names, err := f.Records()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.add(folderFinding(err))
		return
	}
	var fresh []*crypto.Record
	strays := strayRecords(f)
	for _, name := range withStrays(names, strays) {
		record, err := readRecord(f, name, strays[name])
		if err == nil && e.records[name] != nil || err != nil && !slices.Contains(names, name) {
			continue
		}
		if err != nil {
			e.add(Finding{Code: FindingRecordDamaged, Path: "roster/" + name, Err: err, Text: "A membership record is damaged, or has not been downloaded completely."})
			continue
		}
		fresh = append(fresh, record)
	}
	var p problems
	fresh = e.refuse(fresh, &p)
	for _, problem := range p.list {
		e.add(Finding{Code: FindingQuarantine, Path: "roster", Err: problem, Text: "Someone has flooded the folder with records."})
	}
	e.status.Refused = e.state.snapshot().Refused
	for _, refused := range e.status.Refused {
		e.add(Finding{Code: FindingQuarantine, Note: true, Device: refused.Device, Path: refused.Path, Text: "A membership record has no effect: the record " + refused.Reason + "."})
	}
	for _, record := range fresh {
		e.records[record.Hash().String()] = record
	}
	if err := e.computeRoster(); err != nil {
		e.add(Finding{Code: FindingRecordDamaged, Path: "roster", Err: err, Text: "The membership records make no roster."})
	} else if err := e.checkMembership(); err != nil && e.view.membership == nil {
		e.add(memberFinding(e.identity.device, err))
	}
}

// lookAtOthers looks at what is not ours.
func (e *examination) lookAtOthers(f *folder.Folder) {
	others, err := f.Others()
	if err != nil {
		e.add(folderFinding(err))
		return
	}
	if n := len(others.Copies); n > 0 {
		e.add(Finding{Code: FindingConflictCopies, Note: true, Count: n, Path: others.Copies[0],
			Text: fmt.Sprintf("What looks like copies that a sync client made: %s. They are read where they are needed, and harmless.", plural(n, "name"))})
	}
	if n := len(others.Foreign); n > 0 {
		e.add(Finding{Code: FindingForeignFiles, Note: true, Count: n, Path: others.Foreign[0],
			Text: fmt.Sprintf("What is none of ours: %s. It is left alone.", plural(n, "name"))})
	}
}
