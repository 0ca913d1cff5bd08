package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status DB",
		GroupID: groupLook,
		Short:   "Show how things stand",
		Long: `Shows how things stand: what waits to go out and to come in, what is held, how many conflicts are kept, and what does
not work. It changes nothing, and works while something else syncs the database.`,
		Example: "  sqlitesync status notes.db\n  sqlitesync status notes.db --json",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.status(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	return cmd
}

// statusJSON is what status --json prints.
type statusJSON struct {
	State         string         `json:"state"` // idle or failing
	Running       bool           `json:"running"`
	Device        string         `json:"device"`
	Folder        string         `json:"folder"`
	ToPublish     int            `json:"to_publish"` // changes
	ToMerge       int            `json:"to_merge"`   // files
	LastPublished *string        `json:"last_published"`
	Held          int            `json:"held"`
	Conflicts     int            `json:"conflicts"`
	Collisions    int            `json:"collisions"`
	Undone        int            `json:"undone"`
	ForeignKeys   bool           `json:"foreign_keys"`
	Only          []string       `json:"only"`    // the tables that were chosen, null if all that can take part
	Exclude       []string       `json:"exclude"` // those that were left out
	Unsynced      []unsyncedJSON `json:"unsynced"`
	Findings      []findingJSON  `json:"findings"`
}

func (a *app) status(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	examined, err := view.Examine(ctx)
	folder, opts := view.Opened()
	device := view.Device()
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	status := examined.Status
	report := statusJSON{
		State: string(status.State), Device: device.String(), Folder: folder, ToPublish: status.Pending, ToMerge: status.Behind,
		LastPublished: stamp(status.LastPublished), Held: status.Held, Conflicts: status.Conflicts, Collisions: status.Collisions, Undone: status.Undone,
		ForeignKeys: status.ForeignKeys, Only: opts.Tables, Exclude: append([]string{}, opts.Exclude...), Unsynced: unsynced(status), Findings: []findingJSON{},
	}
	for i := range examined.Findings {
		if examined.Findings[i].Code == sqlitesync.FindingInUse {
			report.Running = true
		}
		report.Findings = append(report.Findings, a.finding(path, &examined.Findings[i]))
	}
	if a.json {
		return a.printJSON(report)
	}
	return a.printStatus(path, &report, &status)
}

func (a *app) printStatus(path string, report *statusJSON, status *sqlitesync.Status) error {
	state := a.paint(green, report.State)
	if status.State == sqlitesync.StateFailing {
		state = a.paint(red, report.State)
	}
	running := "nothing syncs it just now"
	if report.Running {
		running = "a program syncs it"
	}
	for _, line := range [][2]string{
		{"folder", visible(report.Folder)},
		{"device", report.Device},
		{"state", state + ", " + running},
		{"to publish", plural(report.ToPublish, "change")},
		{"to merge", plural(report.ToMerge, "file")},
		{"last published", clock(status.LastPublished)},
		{"held", plural(report.Held, "row")},
		{"conflicts", fmt.Sprint(report.Conflicts)},
	} {
		fmt.Fprintf(a.out, "%-15s %s\n", line[0], line[1])
	}
	if report.Undone > 0 {
		a.printf("%-15s %s that this device, a reader, may not make: see the view sqlitesync_undone", "undone", plural(report.Undone, "edit"))
	}
	if report.Only != nil {
		a.printf("%-15s %s", "only", strings.Join(report.Only, ", "))
	}
	if len(report.Exclude) > 0 {
		a.printf("%-15s %s", "excluded", strings.Join(report.Exclude, ", "))
	}
	for _, u := range report.Unsynced {
		a.printf("%-15s %s: %s; %s", "stays here", u.Table, u.Reason, u.Hint)
	}
	for _, warning := range status.Warnings {
		a.printf("%-15s %s", "note", warning)
	}
	for _, f := range report.Findings {
		if f.Level == levelMend {
			a.printf("%-15s %s", "problem", f.Text)
		}
	}
	if status.State == sqlitesync.StateFailing {
		a.printf("What to do: 'sqlitesync doctor %s'.", word(path))
	}
	return nil
}
