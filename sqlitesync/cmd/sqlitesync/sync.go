package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) syncCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sync DB",
		GroupID: groupRun,
		Short:   "Do one pass: publish what is new here, merge what is new there",
		Long: `Does one full pass: it publishes what programs have written to the database, reads what the folder has, and merges it.
For scripts and timers; watch does it whenever something changes.

--exclude leaves tables out on this device from now on, beside those that are left out already, and --include lets them
take part again: what was written to them meanwhile, here and elsewhere, counts then. Say it on each device that shall do so. The rows
stay where they are.

What stood in the way of one device or one file is printed, and all else was done.`,
		Example: "  sqlitesync sync notes.db\n  sqlitesync sync notes.db --folder /media/stick/notes",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.sync(cmd.Context(), args[0]) },
	}
	a.folderFlag(cmd)
	alone(cmd)
	cmd.Flags().StringSliceVar(&a.exclude, "exclude", nil, "more `TABLES` that stay on this device from now on")
	cmd.Flags().StringSliceVar(&a.include, "include", nil, "`TABLES` that were left out and take part from now on")
	return cmd
}

func (a *app) sync(ctx context.Context, path string) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	return a.finish(ctx, s, func(t tally) error {
		if a.json {
			return a.printJSON(passReport(t, s.Status()))
		}
		a.printPass(t, s.Status())
		return nil
	})
}

// tally is what a pass has done.
type tally struct{ published, merged, conflicts int }

// finish does one pass, reports it, prints what it could not do, and closes the
// session.
func (a *app) finish(ctx context.Context, s *session, report func(tally) error) error {
	var t tally
	err := a.during("syncing", func() (err error) {
		t, err = a.pass(ctx, s)
		return err
	})
	problems := s.Status().Problems
	if err != nil && len(problems) == 0 { // it was broken off
		return errors.Join(err, s.close())
	}
	// What was done is said also if something else could not be: who has revoked a
	// stolen device must not think that it failed.
	done := report(t)
	if err != nil {
		err = a.printProblems(problems)
	}
	err = errors.Join(done, err)
	if closed := s.close(); err == nil {
		err = closed
	}
	return err
}

// pass does one pass, counts what it does, and shows how far it has come.
func (a *app) pass(ctx context.Context, s *session) (t tally, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listening, stop := context.WithCancel(ctx)
	events, counted := s.Events(listening), make(chan struct{})
	go func() {
		defer close(counted)
		for event := range events {
			t.add(event)
			if event.Kind == sqlitesync.EventProgress {
				a.progress.reached(howFar(event.Progress))
			}
		}
	}()
	err = s.Sync(ctx)
	stop()
	<-counted
	a.progress.reached("")
	return t, err
}

// plus returns what two passes have done.
func (t tally) plus(other tally) tally {
	return tally{t.published + other.published, t.merged + other.merged, t.conflicts + other.conflicts}
}

func (t *tally) add(event sqlitesync.Event) {
	switch event.Kind {
	case sqlitesync.EventPublished:
		t.published += event.Rows
	case sqlitesync.EventApplied:
		t.merged += event.Rows
	case sqlitesync.EventConflict:
		t.conflicts += event.Count
	}
}

func (a *app) printPass(t tally, status sqlitesync.Status) {
	a.printf("Published %s, merged %s.", plural(t.published, "change"), plural(t.merged, "change"))
	if t.conflicts > 0 {
		a.printf("%s of this pass: see 'sqlitesync conflicts'.", plural(t.conflicts, "conflict"))
	}
	for _, w := range status.Waiting {
		a.printf("Batch %d of device %s is still on its way.", w.Batch, w.Device.Short())
	}
	a.printWarnings(status)
}

// passJSON is what create, join and sync print.
type passJSON struct {
	Published int            `json:"published"`
	Merged    int            `json:"merged"`
	Held      int            `json:"held"`
	Conflicts int            `json:"conflicts"`
	Unsynced  []unsyncedJSON `json:"unsynced"`
	Warnings  []string       `json:"warnings"`
}

type unsyncedJSON struct {
	Table  string `json:"table"`
	Reason string `json:"reason"`
	Hint   string `json:"hint"`
}

func passReport(t tally, status sqlitesync.Status) passJSON {
	return passJSON{Published: t.published, Merged: t.merged, Held: status.Held, Conflicts: status.Conflicts, Unsynced: unsynced(status), Warnings: append([]string{}, status.Warnings...)}
}

func unsynced(status sqlitesync.Status) []unsyncedJSON {
	list := []unsyncedJSON{}
	for _, u := range status.Unsynced {
		list = append(list, unsyncedJSON{u.Table, u.Reason, u.Hint})
	}
	return list
}
