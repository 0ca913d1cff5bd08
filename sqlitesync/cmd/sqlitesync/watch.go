package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "watch DB",
		GroupID: groupRun,
		Short:   "Sync until stopped: the daemon for programs in other languages",
		Long: `Keeps the database in sync until it is stopped (Ctrl-C, SIGTERM). It notices what programs of any language write within
a quarter of a second, and what the file-sync service brings at once. It prints a line, or with --json an object, for
each thing that happens; the first one says that it is watching, and what came in before it is in the database by then.
It needs no network and opens no port.

Start it with the session, or as a service: systemd's user units, launchd, or the Task Scheduler. Programs go on using
the database as before. If they write, they should have a busy timeout (PRAGMA busy_timeout = 5000).`,
		Example: "  sqlitesync watch notes.db\n  sqlitesync watch notes.db --json | while read event; do ./refresh; done",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.watch(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	cmd.Flags().BoolVar(&a.standBy, "stand-by", false, "while another program syncs the database, wait, and take over when it ends")
	return cmd
}

func (a *app) watch(ctx context.Context, path string) error {
	s, err := a.open(ctx, path, false)
	if a.standBy && errors.Is(err, sqlitesync.ErrInUse) {
		s, err = a.takeOver(ctx, path)
	}
	switch {
	case err != nil && a.standBy && ctx.Err() != nil:
		return nil //nolint:nilerr // it was stopped while it waited, as it is while it watches
	case errors.Is(err, sqlitesync.ErrInUse):
		return &failure{err, "One is enough. To take over when it ends: 'sqlitesync watch DB --stand-by'.", exitInUse}
	case err != nil:
		return err
	}
	events := s.Events(ctx)
	err = a.printEvent(path, s.folder, sqlitesync.Event{})
	for event := range events {
		if err == nil {
			err = a.printEvent(path, s.folder, event)
		}
		if err != nil { // nobody reads any more
			break
		}
	}
	if closed := s.close(); err == nil && !errors.Is(closed, sqlitesync.ErrFolder) { // what is pending goes out the next time
		err = closed
	}
	return err
}

// takeOver opens a database when nothing else syncs it any more. What it remembers can
// have changed while this program stood by: the name, the tables, the folder.
func (a *app) takeOver(ctx context.Context, path string) (s *session, err error) {
	if err := a.printStandBy(path); err != nil {
		return nil, err
	}
	for {
		if err := a.untilFree(ctx, path); err != nil {
			return nil, err
		}
		if s, err = a.open(ctx, path, false); !errors.Is(err, sqlitesync.ErrInUse) {
			return s, err
		}
	}
}

// untilFree waits until nothing syncs a database.
func (a *app) untilFree(ctx context.Context, path string) error {
	view, err := a.look(ctx, path)
	if err != nil {
		return err
	}
	defer view.Close()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for {
		if used, err := view.InUse(); err != nil || !used {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// printStandBy says that watching begins when nothing else syncs the database.
func (a *app) printStandBy(path string) error {
	if a.json {
		return a.printJSON(eventJSON{Event: "standing by"})
	}
	a.printf("Standing by for %s.", path)
	return nil
}

// eventJSON is a line of watch --json.
type eventJSON struct {
	Time      *string  `json:"time,omitempty"`
	Event     string   `json:"event"`
	Rows      int      `json:"rows,omitempty"`
	Tables    []string `json:"tables,omitempty"`
	Device    string   `json:"device,omitempty"`
	Conflicts int      `json:"conflicts,omitempty"`
	Found     string   `json:"found,omitempty"`
	Error     string   `json:"error,omitempty"`
	Hint      string   `json:"hint,omitempty"`
	Phase     string   `json:"phase,omitempty"`
	Files     int      `json:"files,omitempty"`
	Of        int      `json:"of,omitempty"`
	Missed    int      `json:"missed,omitempty"`
}

// printEvent prints an event; the zero value says that watching has begun.
func (a *app) printEvent(path, folder string, event sqlitesync.Event) error {
	if a.json {
		line := eventJSON{Time: stamp(event.Time), Event: event.Kind.String(), Rows: event.Rows, Tables: event.Tables, Conflicts: event.Count, Found: event.Found, Missed: event.Missed}
		if event.Kind == 0 {
			line.Event = "watching"
		}
		if event.Kind == sqlitesync.EventProgress {
			line.Phase, line.Files, line.Of, line.Rows = string(event.Progress.Phase), event.Progress.Files, event.Progress.Of, event.Progress.Rows
		}
		if event.Device != (sqlitesync.DeviceID{}) {
			line.Device = event.Device.String()
		}
		if event.Err != nil {
			line.Error, line.Hint, _ = explain(event.Err)
		}
		return a.printJSON(line)
	}
	if event.Kind == 0 {
		a.printf("Watching %s and %s.", path, folder)
		return nil
	}
	line := clock(event.Time) + " " + describe(event)
	if event.Missed > 0 {
		line += " (" + plural(event.Missed, "event") + " before it are not shown)"
	}
	a.printf("%s", line)
	return nil
}

// describe says what happened.
func describe(event sqlitesync.Event) string {
	switch event.Kind {
	case sqlitesync.EventPublished:
		return "published " + plural(event.Rows, "change")
	case sqlitesync.EventApplied:
		return "merged " + plural(event.Rows, "change") + " of device " + event.Device.Short() + ": " + strings.Join(event.Tables, ", ")
	case sqlitesync.EventConflict:
		return plural(event.Count, "conflict") + " with device " + event.Device.Short()
	case sqlitesync.EventMember:
		return "device " + event.Device.Short() + " joined"
	case sqlitesync.EventSucceeded:
		return "this database was copied, or restored from a backup, for " + event.Found + ": it goes on as device " + event.Device.Short()
	case sqlitesync.EventRefused:
		return "a membership record of device " + event.Device.Short() + " has no effect: see 'sqlitesync doctor'"
	case sqlitesync.EventProgress:
		return howFar(event.Progress)
	case sqlitesync.EventUndone:
		return "this device only reads: took back " + plural(event.Rows, "edit") + " of " + strings.Join(event.Tables, ", ") + ", see the view sqlitesync_undone"
	case sqlitesync.EventDiverged:
		return "device " + event.Device.Short() + " knows something else of " + strings.Join(event.Tables, ", ") + ", although both have read the same: run 'sqlitesync verify' on both"
	case sqlitesync.EventAltered:
		return plural(event.Rows, "row") + " of " + strings.Join(event.Tables, ", ") + " changed behind the triggers: run 'sqlitesync verify'"
	case sqlitesync.EventSolved:
		return "no problem is left"
	case sqlitesync.EventProblem:
		text, hint, _ := explain(event.Err)
		return strings.TrimSpace("problem: " + text + "\n  " + hint)
	}
	return event.String()
}
