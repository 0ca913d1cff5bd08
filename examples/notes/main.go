// Command notes is a small notes app whose notes are the same on all of a
// person's devices, also while these run different versions of it.
//
//	go run ./examples/notes     # plays two devices in a temporary directory
//
//	go run ./examples/notes -folder ~/Dropbox/notes add Buy bread
//	go run ./examples/notes -folder ~/Dropbox/notes list
//	go run ./examples/notes -folder ~/Dropbox/notes invite   # shows a code; on another device:
//	go run ./examples/notes -folder ~/Dropbox/notes join CODE
//
// Its tables are made by migrations of goose, its queries by sqlc, and neither
// knows of sync: see app.go for all that does.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// run does what one call of the program asks for.
func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("notes", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, "usage: notes -folder DIRECTORY [-db FILE] COMMAND …\n\n", usage, "\nWithout a command it plays two devices in a temporary directory.\n")
	}
	var where place
	flags.StringVar(&where.folder, "folder", "", "the folder that Dropbox, Syncthing or their like carries between the devices")
	flags.StringVar(&where.database, "db", "", "the database (default: notes.db in the user's configuration directory)")
	flags.StringVar(&where.keys, "keys", "", "the directory of this device's keys (default: that of sqlitesync)")
	flags.StringVar(&where.device, "name", "", "what the other devices call this one (default: its host name)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return play(ctx, out)
	}
	if where.folder == "" {
		return fmt.Errorf("which folder? say -folder DIRECTORY")
	}
	if where.database == "" {
		home, err := os.UserConfigDir()
		if err != nil {
			return err
		}
		where.database = filepath.Join(home, "sqlitesync-notes", "notes.db")
	}
	if err := os.MkdirAll(filepath.Dir(where.database), 0o700); err != nil {
		return err
	}
	return command(ctx, out, where, flags.Arg(0), flags.Args()[1:])
}
