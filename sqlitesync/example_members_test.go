package sqlitesync_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// A code for one more device, to be shown on this one and typed on the other.
func ExampleSyncer_Invite() {
	laptop, _, done := pair()
	defer done()

	invite, err := laptop.sync.Invite(context.Background(), &sqlitesync.InviteOptions{
		Role:    sqlitesync.RoleReader, // a screen on the wall
		Expires: 10 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(invite.Code), "characters for a", invite.Role) // show invite.Code to the person
	// Output:
	// 41 characters for a reader
}

// Invites that are open, without their codes.
func ExampleSyncer_Invites() {
	ctx := context.Background()
	laptop, _, done := pair()
	defer done()

	if _, err := laptop.sync.Invite(ctx, nil); err != nil {
		log.Fatal(err)
	}
	invites, err := laptop.sync.Invites(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, invite := range invites {
		fmt.Printf("for a device that will be %s, code %q\n", invite.Role, invite.Code)
	}
	// Output:
	// for a device that will be admin, code ""
}

// A code that the wrong person has seen is ended before it is used.
func ExampleSyncer_Withdraw() {
	ctx := context.Background()
	laptop, _, done := pair()
	defer done()

	invite, err := laptop.sync.Invite(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := laptop.sync.Withdraw(ctx, invite.ID); err != nil {
		log.Fatal(err)
	}
	dir, _, remove := scratch()
	defer remove()
	db, err := sqlitesync.OpenDB(filepath.Join(dir, "thief.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_, err = sqlitesync.Join(ctx, db, laptop.folder, invite.Code, &sqlitesync.Options{Manual: true, Keys: sqlitesync.FileKeys(dir)})
	fmt.Println("does not work:", errors.Is(err, sqlitesync.ErrCode))
	// Output:
	// does not work: true
}

// Who is in, and what each has read of this device's changes.
func ExampleSyncer_Devices() {
	laptop, phone, done := pair()
	defer done()
	exchange(laptop, phone)

	devices, err := laptop.sync.Devices(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, device := range devices {
		fmt.Printf("%s: %s, this one: %v\n", device.Name, device.Role, device.Self)
	}
	// Output:
	// laptop: admin, this one: true
	// phone: admin, this one: false
}

// memberNamed returns the id of the device with a name.
func memberNamed(d *exampleDevice, name string) sqlitesync.DeviceID {
	devices, err := d.sync.Devices(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, device := range devices {
		if device.Name == name {
			return device.ID
		}
	}
	log.Fatal("no such device: ", name)
	return sqlitesync.DeviceID{}
}

// The name by which people know this device, for all others.
func ExampleSyncer_Rename() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()

	if err := phone.sync.Rename(ctx, "Ann's phone"); err != nil {
		log.Fatal(err)
	}
	exchange(laptop, phone)
	devices, err := laptop.sync.Devices(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, device := range devices {
		fmt.Println(device.Name)
	}
	// Output:
	// laptop
	// Ann's phone
}

// A device that shall write rows but not decide who is in.
func ExampleSyncer_SetRole() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()
	exchange(laptop, phone)

	if err := laptop.sync.SetRole(ctx, memberNamed(laptop, "phone"), sqlitesync.RoleWriter); err != nil {
		log.Fatal(err)
	}
	exchange(laptop, phone)
	_, err := phone.sync.Invite(ctx, nil)
	fmt.Println("the phone may not invite:", errors.Is(err, sqlitesync.ErrNotAllowed))
	// Output:
	// the phone may not invite: true
}

// The phone was stolen. What it writes from now on nobody reads, and it can't
// read what the others write.
func ExampleSyncer_Revoke() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()
	exchange(laptop, phone)

	if err := laptop.sync.Revoke(ctx, memberNamed(laptop, "phone")); err != nil {
		log.Fatal(err)
	}
	phone.exec("UPDATE note SET title = 'written by the thief'")
	_ = phone.sync.Sync(ctx) // which now says that it is no member
	laptop.pass()
	fmt.Println(laptop.value("SELECT title FROM note"))
	// Output:
	// Milk
}

// The day on which all devices are lost: with the folder and the recovery code a
// new one enters.
func ExampleSyncer_Recovery() {
	ctx := context.Background()
	laptop, _, done := pair()
	defer done()
	code, err := laptop.sync.Recovery(ctx) // shown once, for the safe
	if err != nil {
		log.Fatal(err)
	}

	dir, _, remove := scratch()
	defer remove()
	db, err := sqlitesync.OpenDB(filepath.Join(dir, "new.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT)"); err != nil {
		log.Fatal(err)
	}
	s, err := sqlitesync.Join(ctx, db, laptop.folder, code, &sqlitesync.Options{Manual: true, Keys: sqlitesync.FileKeys(dir)})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	var title string
	if err := db.QueryRow("SELECT title FROM note").Scan(&title); err != nil {
		log.Fatal(err)
	}
	fmt.Println(title)
	// Output:
	// Milk
}

// What a lost device wrote goes on in the log of one that has read it.
func ExampleSyncer_Relay() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()
	phone.exec("INSERT INTO note VALUES ('2', 'Bread')")
	exchange(laptop, phone)

	if err := laptop.sync.Relay(ctx, memberNamed(laptop, "phone")); err != nil {
		log.Fatal(err)
	}
	laptop.pass() // publishes it
	fmt.Println(laptop.value("SELECT title FROM note WHERE id = '2'"))
	// Output:
	// Bread
}
