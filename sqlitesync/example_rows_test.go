package sqlitesync_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// apart lets both devices write without having heard of each other, the phone
// later than the laptop, and then hear.
func apart(laptop, phone *exampleDevice, onLaptop, onPhone string) {
	laptop.exec(onLaptop)
	time.Sleep(2 * time.Millisecond) // whose clocks are the same here
	phone.exec(onPhone)
	exchange(laptop, phone)
}

// firstConflict returns the one conflict of a device.
func firstConflict(d *exampleDevice) sqlitesync.Conflict {
	for conflict, err := range d.sync.Conflicts(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		return conflict
	}
	log.Fatal("no conflict")
	return sqlitesync.Conflict{}
}

// What is right so is forgotten; TakeLoser would take the other version.
func ExampleSyncer_Resolve() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()
	apart(laptop, phone, "UPDATE note SET title = 'Oat milk'", "UPDATE note SET title = 'Soy milk'")

	conflict := firstConflict(laptop)
	fmt.Printf("%v or %v?\n", conflict.Winner.Values["title"], conflict.Loser.Values["title"])
	if err := laptop.sync.Resolve(ctx, conflict.ID, sqlitesync.KeepWinner); err != nil {
		log.Fatal(err)
	}
	fmt.Println(laptop.value("SELECT title FROM note"), "and", laptop.sync.Status().Conflicts, "conflicts")
	// Output:
	// Soy milk or Oat milk?
	// Soy milk and 0 conflicts
}

// A person has put both together.
func ExampleTakeValues() {
	laptop, phone, done := pair()
	defer done()
	apart(laptop, phone, "UPDATE note SET title = 'Milk and bread'", "UPDATE note SET title = 'Milk, 2 l'")

	conflict := firstConflict(laptop)
	together := sqlitesync.TakeValues(map[string]any{"title": "Milk, 2 l, and bread"})
	if err := laptop.sync.Resolve(context.Background(), conflict.ID, together); err != nil {
		log.Fatal(err)
	}
	exchange(laptop, phone)
	fmt.Println(phone.value("SELECT title FROM note"))
	// Output:
	// Milk, 2 l, and bread
}

// Two devices have given one key to two rows: both stay, under two keys.
func ExampleBringBackAs() {
	laptop, phone, done := pair()
	defer done()
	apart(laptop, phone, "INSERT INTO note VALUES ('2', 'Bread')", "INSERT INTO note VALUES ('2', 'Cheese')")

	conflict := firstConflict(laptop)
	fmt.Println("two rows with one key:", conflict.Collision)
	if err := laptop.sync.Resolve(context.Background(), conflict.ID, sqlitesync.BringBackAs("3")); err != nil {
		log.Fatal(err)
	}
	exchange(laptop, phone)
	fmt.Println(phone.value("SELECT group_concat(title, ', ' ORDER BY id) FROM note"))
	// Output:
	// two rows with one key: true
	// Milk, Cheese, Bread
}

// A row of a table that this app does not have yet is kept until it has.
func ExampleSyncer_Held() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()

	const table = "CREATE TABLE tag (note TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (note, name))"
	laptop.exec(table)
	laptop.exec("INSERT INTO tag VALUES ('1', 'shop')")
	exchange(laptop, phone)
	for held, err := range phone.sync.Held(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(held.Table, held.Key)
	}

	phone.exec(table) // the phone's app is updated, too
	phone.pass()
	fmt.Println(phone.value("SELECT name FROM tag"))
	// Output:
	// tag [1 shop]
	// shop
}
