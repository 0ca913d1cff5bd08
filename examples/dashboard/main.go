// Command dashboard is a small dashboard of a person's life: habits, a few
// numbers a day, notes. It is a page on this machine, with an SQLite database
// behind it that is the same on all of the person's devices.
//
//	go run ./examples/dashboard                 # plays a laptop and a phone, with a page each
//
//	go run ./examples/dashboard -folder ~/Dropbox/life
//	go run ./examples/dashboard -folder ~/Dropbox/life -join CODE    # on another device
//
// Write on one page and watch the other: what changes in the database comes to
// the browser by server-sent events. See device.go for all that sync needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/sqlitesync/go/sqlitesync"
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

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("dashboard", flag.ContinueOnError)
	flags.SetOutput(out)
	var where place
	flags.StringVar(&where.folder, "folder", "", "the folder that Dropbox, Syncthing or their like carries between the devices")
	flags.StringVar(&where.database, "db", "", "the database (default: dashboard.db in the user's configuration directory)")
	flags.StringVar(&where.keys, "keys", "", "the directory of this device's keys (default: that of sqlitesync)")
	flags.StringVar(&where.device, "name", "", "what the other devices call this one (default: its host name)")
	flags.StringVar(&where.code, "join", "", "a code from another device, to have its dashboard here")
	port := flags.Int("port", 8321, "the port of the page, on 127.0.0.1")
	once := flags.Bool("once", false, "play the two devices without a browser, and end")
	quiet := flags.Bool("quiet", false, "do not open a browser")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	open := openBrowser
	if *quiet {
		open = func(string) error { return nil }
	}
	switch {
	case *once:
		return playOnce(ctx, out)
	case where.folder == "":
		return play(ctx, out, open)
	}
	return serveOne(ctx, out, where, *port, open)
}

// serveOne runs the dashboard of this device until ctx is done.
func serveOne(ctx context.Context, out io.Writer, where place, port int, open func(string) error) (err error) {
	if where.database == "" {
		home, err := os.UserConfigDir()
		if err != nil {
			return err
		}
		where.database = filepath.Join(home, "sqlitesync-dashboard", "dashboard.db")
	}
	if err := os.MkdirAll(filepath.Dir(where.database), 0o700); err != nil {
		return err
	}
	d, err := openDevice(ctx, where)
	if errors.Is(err, sqlitesync.ErrAlreadySetUp) {
		return fmt.Errorf("%s has the dashboard of another device: press Add a device there, and start this one with -join CODE", where.folder)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	page, err := listen(d, port)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Your dashboard, until you press Ctrl-C:\n\n    %s\n", page.address())
	if err := open(page.address()); err != nil {
		fmt.Fprintln(out, "\nOpen it in a browser.")
	}
	return page.serve(ctx)
}

// openBrowser asks the system to show an address.
func openBrowser(address string) error {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	return exec.Command(name, args...).Start()
}
