package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) joinCommand() *cobra.Command {
	var e entry
	var merge, replace, makeTables bool
	cmd := &cobra.Command{
		Use:     "join DB FOLDER [CODE]",
		GroupID: groupSetUp,
		Short:   "Enter the space that a folder holds",
		Long: `Enters the space that a folder holds, with a code from invite on a device that is in, or with the recovery code, and reads
what the space has.

The tables must exist: the app makes them, as on every device. Rows of tables that are missing are kept until they are
there. Where there is no app, --make-tables makes them, and the database if it is missing, as the other devices have
declared them: tables and indexes, nothing else. Without CODE it asks for it, or reads it from the standard input: a code on the command line can be seen by
other users of this machine, and stays in the shell's history.

If the database has rows of its own, say what shall become of them.`,
		Example: "  sqlitesync join notes.db ~/Dropbox/notes\n  sqlitesync join notes.db ~/Dropbox/notes --merge < code.txt",
		Args:    usage(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := a.options(&e)
			opts.MakeTables = makeTables
			switch {
			case merge && replace:
				return usageErrorf("say --merge or --replace, not both")
			case merge:
				opts.Existing = sqlitesync.MergeExisting
			case replace:
				opts.Existing = sqlitesync.ReplaceExisting
			}
			return a.join(cmd.Context(), args, opts)
		},
	}
	e.flags(cmd)
	cmd.Flags().BoolVar(&merge, "merge", false, "keep rows that are here already, and add them to the space")
	cmd.Flags().BoolVar(&makeTables, "make-tables", false, "make the tables that are missing, and the database")
	cmd.Flags().BoolVar(&replace, "replace", false, "remove rows that are here already, after a copy of the database was written beside it")
	return cmd
}

func (a *app) join(ctx context.Context, args []string, opts *sqlitesync.Options) error {
	path, folder := args[0], args[1]
	if err := a.mustBeNew(ctx, path); err != nil {
		return err
	}
	if !opts.MakeTables {
		if err := mustExist(path, "Let the app make it, with its tables; where there is no app, say --make-tables."); err != nil {
			return err
		}
	}
	if err := folderMustExist(folder, hintNoFolder); err != nil {
		return err
	}
	code, err := a.code(ctx, args[2:], "Code", "join needs a code: from 'sqlitesync invite DB' on a device that is in")
	if err != nil {
		return err
	}
	s, err := a.enter(ctx, path, folder, code, "joining", opts)
	if err != nil {
		return err
	}
	return a.finish(ctx, s, func(t tally) error {
		status := s.Status()
		if a.json {
			return a.printJSON(passReport(t, status))
		}
		devices, err := s.Devices(ctx)
		if err != nil {
			return err
		}
		a.printf("Joined the space in %s: it has %s.", folder, plural(len(devices), "device"))
		if status.Held > 0 {
			a.printf("%s can't be shown yet, see 'sqlitesync held %s'.", plural(status.Held, "row"), word(path))
		}
		a.printRemarks(status)
		a.printf("Next: 'sqlitesync watch %s'.", word(path))
		return nil
	})
}

const hintNoFolder = "Connect the drive, or let the file-sync service carry the folder here first."

// enter enters a space, and opens the database with the rules of the space. If
// that fails, a database that was made for it is removed again.
func (a *app) enter(ctx context.Context, path, folder, code, doing string, opts *sqlitesync.Options) (*session, error) {
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	joining := *opts
	joining.Manual = false // so that Join leaves what takes long to the pass that follows, which shows how far it has come
	s, err := a.start(path, folder, doing, func(db *sql.DB) (*sqlitesync.Syncer, error) {
		return sqlitesync.Join(ctx, db, folder, code, &joining)
	})
	if err != nil {
		if fresh {
			a.removeUnused(ctx, path)
		}
		return nil, entryFailure(err, opts)
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	return a.open(ctx, path, true)
}

// entryFailure says what those who use the command can do, where the error says
// what a program would.
func entryFailure(err error, opts *sqlitesync.Options) error {
	_, hint, exit := explain(err)
	switch {
	case errors.Is(err, sqlitesync.ErrNotEmpty):
	case errors.Is(err, sqlitesync.ErrSchema) && opts.MakeTables:
		hint = "Leave the table out with --exclude, or make it yourself first and use 'sqlitesync join DB FOLDER --make-tables'."
	default:
		return err
	}
	text, _, _ := strings.Cut(sentence(err), ";")
	return &failure{errors.New(text), hint, exit}
}

// removeUnused removes a database that was just made, if it has certainly not
// entered a space: else its device is known there.
func (a *app) removeUnused(ctx context.Context, path string) {
	view, err := sqlitesync.Look(context.WithoutCancel(ctx), path, "", a.keyStore())
	if err == nil {
		_ = view.Close()
	}
	if !errors.Is(err, sqlitesync.ErrNotSetUp) {
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-sqlitesync.lock"} {
		_ = os.Remove(path + suffix) // what is left is empty
	}
}

// code returns the code that was given, or asks for it.
func (a *app) code(ctx context.Context, given []string, question, missing string) (code string, err error) {
	if len(given) > 0 {
		if strings.TrimSpace(given[0]) == "" { // as of a variable that was not set
			return "", usageError{errors.New(missing)}
		}
		return given[0], nil
	}
	if file, ok := a.in.(*os.File); ok && a.inTerminal {
		code, err = a.ask(ctx, int(file.Fd()), question)
	} else {
		code, err = untilDone(ctx, func() (string, error) {
			line, err := bufio.NewReader(io.LimitReader(a.in, 1000)).ReadString('\n')
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return line, err
		})
	}
	if err == nil && strings.TrimSpace(code) == "" {
		return "", usageError{errors.New(missing)}
	}
	return code, err
}

// ask asks for a secret at a terminal, and leaves the terminal as it was.
func (a *app) ask(ctx context.Context, terminal int, question string) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(a.errs, "%s (it is not shown): ", question)
	typed, err := untilDone(ctx, func() (string, error) {
		typed, err := term.ReadPassword(terminal)
		return string(typed), err
	})
	fmt.Fprintln(a.errs)
	return typed, errors.Join(err, term.Restore(terminal, before))
}

// untilDone returns what read returns, or the error of ctx: Ctrl-C does not end a
// read. The read goes on then, until the process ends.
func untilDone(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case answer := <-answers:
		return answer.text, answer.err
	}
}
