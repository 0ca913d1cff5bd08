package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sqlitesync/go/sqlitesync"
)

func (a *app) joinCommand() *cobra.Command {
	var e entry
	var merge, replace bool
	cmd := &cobra.Command{
		Use:     "join DB FOLDER [CODE]",
		GroupID: groupSetUp,
		Short:   "Enter the space that a folder holds",
		Long: `Enters the space that a folder holds, with a code from invite on a device that is in, or with the recovery code, and reads
what the space has.

The tables must exist: the app makes them, as on every device. Rows of tables that are missing are kept until they are
there. Without CODE it asks for it, or reads it from the standard input: a code on the command line can be seen by
other users of this machine, and stays in the shell's history.

If the database has rows of its own, say what shall become of them.`,
		Example: "  sqlitesync join notes.db ~/Dropbox/notes\n  sqlitesync join notes.db ~/Dropbox/notes --merge < code.txt",
		Args:    usage(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := a.options(&e)
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
	cmd.Flags().BoolVar(&replace, "replace", false, "remove rows that are here already, after a copy of the database was written beside it")
	return cmd
}

func (a *app) join(ctx context.Context, args []string, opts *sqlitesync.Options) error {
	path, folder := args[0], args[1]
	if err := a.mustBeNew(ctx, path); err != nil {
		return err
	}
	code, err := a.code(args[2:])
	if err != nil {
		return err
	}
	s, err := a.start(path, folder, "joining", func(db *sql.DB) (*sqlitesync.Syncer, error) { return sqlitesync.Join(ctx, db, folder, code, opts) })
	if errors.Is(err, sqlitesync.ErrNotEmpty) {
		text, _, _ := strings.Cut(sentence(err), ";") // behind it stands what a program would do
		_, hint, exit := explain(err)
		return &failure{errors.New(text), hint, exit}
	}
	if err != nil {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	if s, err = a.open(ctx, path, true); err != nil { // now with the rules of the space
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

// code returns the code that was given, or asks for it.
func (a *app) code(given []string) (code string, err error) {
	if len(given) > 0 {
		return given[0], nil
	}
	if file, ok := a.in.(*os.File); ok && a.inTerminal {
		fmt.Fprint(a.errs, "Code (it is not shown): ")
		var typed []byte
		typed, err = term.ReadPassword(int(file.Fd()))
		code = string(typed)
		fmt.Fprintln(a.errs)
	} else {
		code, err = bufio.NewReader(io.LimitReader(a.in, 1000)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err == nil && strings.TrimSpace(code) == "" {
		return "", usageErrorf("join needs a code: from 'sqlitesync invite DB' on a device that is in")
	}
	return code, err
}
