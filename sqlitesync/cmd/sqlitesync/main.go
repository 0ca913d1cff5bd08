// Command sqlitesync keeps SQLite databases the same on all of a person's, or a
// team's, devices, through a folder that Dropbox, Syncthing, iCloud Drive, Google
// Drive, OneDrive or a USB stick carries between them. It is for databases of
// programs in any language: triggers note what they write, and the command
// carries it.
//
//	sqlitesync create notes.db ~/Dropbox/notes     # on the first device
//	sqlitesync invite notes.db
//	sqlitesync join notes.db ~/Dropbox/notes       # on the others
//	sqlitesync watch notes.db                      # on each
//
// Run it without arguments for all that it can do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends what does not heed the first
	code := run(ctx, os.Args[1:], standardStreams())
	os.Exit(code)
}

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, streams streams) int {
	a := &app{streams: streams}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	if err := root.ExecuteContext(ctx); err != nil {
		return a.fail(err)
	}
	return exitDone
}
