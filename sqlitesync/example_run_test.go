package sqlitesync_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"

	"github.com/sqlitesync/go/sqlitesync"
)

// With Options.Manual data moves only here, which is what tests and scripts need.
func ExampleSyncer_Sync() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()

	laptop.exec("UPDATE note SET title = 'Milk, 2 l'")
	for _, s := range []*sqlitesync.Syncer{laptop.sync, phone.sync} { // one publishes, one reads
		if err := s.Sync(ctx); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(phone.value("SELECT title FROM note"))
	// Output:
	// Milk, 2 l
}

// What a line at the bottom of the window may say.
func ExampleSyncer_Status() {
	laptop, phone, done := pair()
	defer done()
	exchange(laptop, phone)

	switch status := laptop.sync.Status(); {
	case status.Err != nil:
		var known *sqlitesync.Error
		if errors.As(status.Err, &known) && known.Hint != "" {
			fmt.Println(known.Hint)
		} else {
			fmt.Println(status.Err)
		}
	case status.Pending > 0:
		fmt.Println(status.Pending, "changes to go out")
	case status.Conflicts > 0:
		fmt.Println("please look at", status.Conflicts, "conflicts")
	default:
		fmt.Println("all is in the folder")
	}
	// Output:
	// all is in the folder
}

// A migration that loses against every edit of a person that it had not seen.
func ExampleSyncer_Migrate() {
	laptop, phone, done := pair()
	defer done()

	err := laptop.sync.Migrate(context.Background(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "ALTER TABLE note ADD COLUMN slug TEXT; UPDATE note SET slug = lower(title)")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// The phone still has the old version, and goes on with it.
	phone.exec("UPDATE note SET title = 'Oat milk'")
	exchange(laptop, phone)
	fmt.Println(laptop.value("SELECT title || ', ' || slug FROM note"))
	// Output:
	// Oat milk, milk
}

// Nothing goes out or comes in, and every write is noted.
func ExampleSyncer_Pause() {
	laptop, phone, done := pair()
	defer done()

	laptop.sync.Pause()
	laptop.exec("UPDATE note SET title = 'Oat milk'")
	fmt.Println("paused:", errors.Is(laptop.sync.Sync(context.Background()), sqlitesync.ErrPaused))

	laptop.sync.Resume()
	exchange(laptop, phone)
	fmt.Println(phone.value("SELECT title FROM note"))
	// Output:
	// paused: true
	// Oat milk
}

// Resume undoes Pause: what was written meanwhile goes out with the next pass.
func ExampleSyncer_Resume() {
	laptop, _, done := pair()
	defer done()

	laptop.sync.Pause()
	fmt.Println(laptop.sync.Status().State)
	laptop.sync.Resume()
	laptop.pass()
	fmt.Println(laptop.sync.Status().State)
	// Output:
	// paused
	// idle
}

// Close publishes what is pending. The app's handle is closed after it.
func ExampleSyncer_Close() {
	laptop, phone, done := pair()
	defer done()

	laptop.exec("UPDATE note SET title = 'Oat milk'")
	if err := laptop.sync.Close(); err != nil {
		fmt.Println("not everything is in the folder yet:", err) // and nothing is lost
	}
	phone.pass()
	fmt.Println(phone.value("SELECT title FROM note"))
	// Output:
	// Oat milk
}

// Whether the tables, what is known of them and the logs agree: once a month, or
// when somebody doubts it.
func ExampleSyncer_Verify() {
	laptop, phone, done := pair()
	defer done()
	exchange(laptop, phone)

	report, err := laptop.sync.Verify(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Rows, "row, healthy:", report.Healthy())
	for _, fault := range report.Faults {
		fmt.Println(fault.Table, fault.Key, fault.Kind)
	}
	// Output:
	// 1 row, healthy: true
}

// What a program that does not sync can find out, here that nobody is syncing.
func ExampleLook() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()
	exchange(laptop, phone)
	laptop.exec("UPDATE note SET title = 'Oat milk'")

	view, err := sqlitesync.Look(ctx, laptop.path, "", laptop.keys)
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close()
	examined, err := view.Examine(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(examined.Status.Pending, "change to go out")
	for _, finding := range examined.Findings {
		if !finding.Note {
			fmt.Println(finding.Code, finding.Text)
		}
	}
	// Output:
	// 1 change to go out
}

// What a program that shows how things stand can look at, beside the one that syncs.
func ExampleView() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()
	exchange(laptop, phone)

	view, err := sqlitesync.Look(ctx, laptop.path, "", laptop.keys)
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close()
	devices, err := view.Devices(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, device := range devices {
		fmt.Println(device.Name, device.Role, "this one:", device.ID == view.Device())
	}
	invites, err := view.Invites(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(invites), "invites are open")
	for _, err := range view.Held(ctx) {
		fmt.Println("held", err)
	}
	for _, err := range view.Conflicts(ctx) {
		fmt.Println("conflict", err)
	}
	history, err := view.History(ctx, "note", "1")
	if err != nil {
		log.Fatal(err)
	}
	for _, change := range history.Changes {
		fmt.Println(history.Table, history.Key, change.Values, "shown:", history.Shown)
	}
	_, options := view.Opened()
	fmt.Println("called", options.DeviceName)
	used, err := view.InUse()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("synced just now:", used)
	// Output:
	// laptop admin this one: true
	// phone admin this one: false
	// 0 invites are open
	// note [1] map[title:Milk] shown: true
	// called laptop
	// synced just now: true
}
