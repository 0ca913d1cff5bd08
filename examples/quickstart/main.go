// Command quickstart shows sqlitesync at work: two devices, one folder, the
// same rows.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -db my.sqlite -folder shared
//
// Without flags it makes everything in a temporary directory. With -db it
// works on a copy of that database, and with -folder in that folder, which it
// makes if it is not there.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

func main() {
	database := flag.String("db", "", "an SQLite database of yours; a copy of it is synced")
	folder := flag.String("folder", "", "the shared folder (default: one in a temporary directory)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *database, *folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run plays both devices. They share nothing but the folder: each has its own
// database, its own keys, its own Syncer.
func run(ctx context.Context, out io.Writer, database, folder string) error {
	dir, err := os.MkdirTemp("", "sqlitesync-quickstart-")
	if err != nil {
		return err
	}
	if folder == "" {
		folder = filepath.Join(dir, "folder")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if database != "" {
		if err := copyDatabase(ctx, database, filepath.Join(dir, "laptop.db")); err != nil {
			return err
		}
	}
	laptop, err := openDevice(dir, "laptop")
	if err != nil {
		return err
	}
	defer laptop.close()
	phone, err := openDevice(dir, "phone")
	if err != nil {
		return err
	}
	defer phone.close()

	subject, err := fill(ctx, laptop.db, phone.db, database)
	if err != nil {
		return err
	}
	rows, err := countRows(ctx, laptop.db)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The laptop has %s: %d rows.\n", subject, rows)

	// The first device founds the space.
	start := time.Now()
	laptop.sync, err = sqlitesync.Create(ctx, laptop.db, folder, laptop.options())
	if err != nil {
		return err
	}
	if err := laptop.pass(ctx, out, "publishing"); err != nil {
		return err
	}
	files, bytes, err := folderSize(folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Published %d rows in %v: %d files, %s, all encrypted.\n", rows, since(start), files, size(bytes))

	// The second enters with a code.
	invite, err := laptop.sync.Invite(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nTo pair the phone, type this code on it:\n\n    %s\n\n", invite.Code)
	start = time.Now()
	phone.sync, err = sqlitesync.Join(ctx, phone.db, folder, invite.Code, phone.options())
	if err != nil {
		return err
	}
	if err := phone.pass(ctx, out, "reading"); err != nil {
		return err
	}
	fmt.Fprintf(out, "The phone joined and has every row after %v.\n", since(start))

	// Both edit one row before they hear of each other: a conflict.
	edit, err := chooseEdit(ctx, laptop.db)
	if err != nil {
		return err
	}
	if edit != nil {
		fmt.Fprintf(out, "\nBoth now edit the same row, %s, without having heard of each other.\n", edit)
		if err := conflict(ctx, out, laptop, phone, edit); err != nil {
			return err
		}
	}

	difference, err := compare(ctx, laptop.db, phone.db, laptop.sync.Status().Unsynced)
	if err != nil {
		return err
	}
	if difference != "" {
		return fmt.Errorf("the databases differ: %s", difference)
	}
	for _, unsynced := range laptop.sync.Status().Unsynced {
		fmt.Fprintf(out, "Note: %s stays on each device: %s; %s.\n", unsynced.Table, unsynced.Reason, unsynced.Hint)
	}
	fmt.Fprintf(out, "\nBoth databases have the same rows.\n\n")
	fmt.Fprintf(out, "    laptop  %s\n    phone   %s\n    folder  %s\n", laptop.path, phone.path, folder)
	fmt.Fprintf(out, "\nOpen them with any SQLite tool. Remove %s when you are done.\n", dir)
	return nil
}

// conflict lets both devices change the row, syncs, and shows who won.
func conflict(ctx context.Context, out io.Writer, laptop, phone *device, edit *edit) error {
	if err := edit.write(ctx, laptop.db, "changed on the laptop"); err != nil {
		return err
	}
	time.Sleep(10 * time.Millisecond) // so that nobody wonders which edit was the later one
	if err := edit.write(ctx, phone.db, "changed on the phone"); err != nil {
		return err
	}
	// Each publishes and reads; the first reads again what the second wrote.
	start := time.Now()
	for _, d := range []*device{laptop, phone, laptop} {
		if err := d.sync.Sync(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "Both edits travelled in %v.\n", since(start))
	value, err := edit.read(ctx, laptop.db)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The later edit won on both: %q.\n", value)
	for c, err := range laptop.sync.Conflicts(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "The other one is kept: conflict %d, table %s, columns %v:\n    won   %v  by %s\n    lost  %v  by %s\n",
			c.ID, c.Table, c.Columns,
			c.Winner.Time.Format("15:04:05.000"), name(laptop, c.Winner.Device),
			c.Loser.Time.Format("15:04:05.000"), name(laptop, c.Loser.Device))
		fmt.Fprintln(out, "One call, Resolve, would take it back.")
	}
	return nil
}

func name(laptop *device, id sqlitesync.DeviceID) string {
	if devices, err := laptop.sync.Devices(context.Background()); err == nil {
		for _, d := range devices {
			if d.ID == id {
				return d.Name
			}
		}
	}
	return id.Short()
}

// device is one of the two machines.
type device struct {
	name, path, keys string
	db               *sql.DB
	sync             *sqlitesync.Syncer
}

func openDevice(dir, name string) (*device, error) {
	d := &device{name: name, path: filepath.Join(dir, name+".db"), keys: filepath.Join(dir, name+"-keys")}
	var err error
	d.db, err = sqlitesync.OpenDB(d.path)
	return d, err
}

// options turns background work off, so that each step can be shown; an app
// would leave Manual out. Keys keeps the two devices' keys apart, which on two
// machines they are anyway.
func (d *device) options() *sqlitesync.Options {
	return &sqlitesync.Options{DeviceName: d.name, Keys: sqlitesync.FileKeys(d.keys), Manual: true}
}

func (d *device) close() {
	if d.sync != nil {
		if err := d.sync.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if err := d.db.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// pass runs Sync, and shows how far it is if it takes long.
func (d *device) pass(ctx context.Context, out io.Writer, doing string) error {
	done := make(chan error, 1)
	go func() { done <- d.sync.Sync(ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			status := d.sync.Status()
			fmt.Fprintf(out, "  %s: %d changes to go out, %d segments to come in …\n", doing, status.Pending, status.Behind)
		}
	}
}

func since(start time.Time) time.Duration { return time.Since(start).Round(time.Millisecond) }
