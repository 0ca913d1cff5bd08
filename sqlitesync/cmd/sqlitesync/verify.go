package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify DB",
		GroupID: groupRun,
		Short:   "Compare all rows with what is known of them, and that with all logs",
		Long: `Does one pass, then compares every row with what is known of it, and that with the logs of all devices, which it reads again.
It names the rows that something changed without triggers, and, of two devices that know different things, those of the
one that is wrong: run it on both. It alters nothing, and takes about as long as joining.`,
		Example: "  sqlitesync verify notes.db",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	alone(cmd)
	return cmd
}

type verifyJSON struct {
	Healthy  bool            `json:"healthy"`
	Rows     int             `json:"rows"`    // that were compared
	Changes  int             `json:"changes"` // in the logs
	Whole    bool            `json:"whole"`   // all logs could be read
	Faults   []faultJSON     `json:"faults"`
	More     int             `json:"more"` // faults that are not listed
	Digests  []string        `json:"digests"`
	Diverged []divergentJSON `json:"diverged"`
}

type faultJSON struct {
	Table string            `json:"table"`
	Key   []json.RawMessage `json:"key"`
	Kind  string            `json:"kind"`
}

type divergentJSON struct {
	Device string      `json:"device"`
	Table  string      `json:"table"`
	Ranges []rangeJSON `json:"ranges"` // of keys; none: the other device has not told yet
}

// rangeJSON has no end that is not said.
type rangeJSON struct {
	After   []json.RawMessage `json:"after,omitempty"`
	Through []json.RawMessage `json:"through,omitempty"`
}

func (a *app) verify(ctx context.Context, path string) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	var report *sqlitesync.Report
	err = a.during("verifying", func() (err error) {
		report, err = s.Verify(ctx)
		return err
	})
	self, unknown := ownDevice(ctx, s)
	if err == nil {
		err = unknown
	}
	if closed := s.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(verifyReport(report))
	} else {
		a.printVerified(path, self, report)
	}
	if err == nil && !report.Healthy() {
		err = problemsError{exitProblems}
	}
	return err
}

// ownDevice returns the device of a session's database.
func ownDevice(ctx context.Context, s *session) (sqlitesync.DeviceID, error) {
	devices, err := s.Devices(ctx)
	for _, d := range devices {
		if d.Self {
			return d.ID, nil
		}
	}
	return sqlitesync.DeviceID{}, err
}

func verifyReport(r *sqlitesync.Report) verifyJSON {
	report := verifyJSON{r.Healthy(), r.Rows, r.Changes, r.Whole, []faultJSON{}, r.More, append([]string{}, r.Digests...), []divergentJSON{}}
	for _, f := range r.Faults {
		report.Faults = append(report.Faults, faultJSON{f.Table, array(f.Key), string(f.Kind)})
	}
	for _, d := range r.Diverged {
		divergent := divergentJSON{d.Device.String(), d.Table, []rangeJSON{}}
		for _, r := range d.Ranges {
			divergent.Ranges = append(divergent.Ranges, rangeJSON{array(r.After), array(r.Through)})
		}
		report.Diverged = append(report.Diverged, divergent)
	}
	return report
}

// faultTexts says what each kind of fault is.
var faultTexts = map[sqlitesync.FaultKind]string{
	sqlitesync.FaultAltered:   "was changed without triggers; write it again to send what it shows",
	sqlitesync.FaultAdded:     "was inserted without triggers; write it again to send it",
	sqlitesync.FaultGone:      "was deleted without triggers; insert and delete it to delete it everywhere",
	sqlitesync.FaultMissing:   "has a change in a log that is not known here",
	sqlitesync.FaultUnfounded: "is known here by a change that stands in no log",
}

// unfit reports whether what the database knows of its rows is wrong, which writing
// them again does not mend.
func unfit(r *sqlitesync.Report) bool {
	return len(r.Digests) > 0 || slices.ContainsFunc(r.Faults, func(f sqlitesync.Fault) bool {
		return r.Whole && (f.Kind == sqlitesync.FaultMissing || f.Kind == sqlitesync.FaultUnfounded)
	})
}

// rangeText says in which range of its keys a table differs.
func rangeText(r sqlitesync.KeyRange) string {
	switch {
	case r.After == nil && r.Through == nil:
		return "among all keys"
	case r.After == nil:
		return "among the keys up to " + keyText(r.Through)
	case r.Through == nil:
		return "among the keys after " + keyText(r.After)
	default:
		return "among the keys after " + keyText(r.After) + " and up to " + keyText(r.Through)
	}
}

func (a *app) printVerified(path string, device sqlitesync.DeviceID, r *sqlitesync.Report) {
	for _, f := range r.Faults {
		a.printf("%s %s %s", visible(f.Table), keyText(f.Key), faultTexts[f.Kind])
	}
	if r.More > 0 {
		a.printf("and %s more", plural(r.More, "row"))
	}
	for _, rows := range r.Digests {
		a.printf("%s: the digest is not that of what is known of the rows; something has written to sqlitesync's tables", visible(rows))
	}
	for _, d := range r.Diverged {
		a.printf("%s: device %s knows something else, although both have read the same; verify there, too", visible(d.Table), d.Device.Short())
		for _, r := range d.Ranges {
			a.printf("    %s", rangeText(r))
		}
	}
	if unfit(r) {
		a.printf("What this database knows of its rows is wrong. Let it enter anew, which keeps the rows:")
		a.printf("    sqlitesync uninstall %s --force", word(path))
		a.printf("    sqlitesync join %s FOLDER --merge        # with a new code from another device", word(path))
		a.printf("    sqlitesync devices revoke DB %s    # there: the device that this one was", device.Short())
	}
	a.printf("Compared %s, and %s in the logs.", plural(r.Rows, "row"), plural(r.Changes, "change"))
	if !r.Whole {
		a.printf("Not all logs could be read whole: 'sqlitesync doctor' says what is missing.")
	}
	if r.Healthy() {
		a.printf("Nothing is wrong.")
	}
}
