package sqlitesync_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sqlitesync/go/sqlitesync"
)

// A program that has no schema of its own has the tables made that others have.
func ExampleSyncer_MakeTables() {
	laptop, phone, done := pair()
	defer done()
	laptop.exec("CREATE TABLE task (id TEXT PRIMARY KEY NOT NULL, text TEXT)")
	laptop.exec("INSERT INTO task VALUES ('t', 'Buy milk')")
	laptop.pass()
	phone.pass()

	made, err := phone.sync.MakeTables(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	phone.pass()
	var text string
	if err := phone.db.QueryRow("SELECT text FROM task").Scan(&text); err != nil {
		log.Fatal(err)
	}
	fmt.Println(made, text)
	// Output: [task] Buy milk
}

// What is known of one row: what it is made of, who wrote that, and when.
func ExampleSyncer_History() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()
	phone.exec("UPDATE note SET title = 'Bread'")
	phone.pass()
	laptop.pass()

	devices, err := laptop.sync.Devices(ctx)
	if err != nil {
		log.Fatal(err)
	}
	names := make(map[sqlitesync.DeviceID]string)
	for _, device := range devices {
		names[device.ID] = device.Name
	}
	history, err := laptop.sync.History(ctx, "note", "1")
	if err != nil {
		log.Fatal(err)
	}
	for _, change := range history.Changes {
		fmt.Println(change.Values["title"], "by", names[change.Device])
	}
	// Output: Bread by phone
}
