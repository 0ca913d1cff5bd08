package sqlitesync_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// Two devices, here in one program, share a folder. Each has a database of its
// own, and the second enters with a code of the first.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "sqlitesync")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	folder := filepath.Join(dir, "folder") // Dropbox, Syncthing, … would carry it
	if err := os.Mkdir(folder, 0o700); err != nil {
		log.Fatal(err)
	}
	const schema = "CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT)"
	// Keys keeps the keys of the two apart, which on two machines they are
	// anyway; Manual lets this example say when data moves.
	options := func(name string) *sqlitesync.Options {
		return &sqlitesync.Options{DeviceName: name, Manual: true, Keys: sqlitesync.FileKeys(filepath.Join(dir, name))}
	}

	laptopDB, err := sqlitesync.OpenDB(filepath.Join(dir, "laptop.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer laptopDB.Close()
	if _, err := laptopDB.Exec(schema + "; INSERT INTO note VALUES ('1', 'Milk'), ('2', 'Bread')"); err != nil {
		log.Fatal(err)
	}
	laptop, err := sqlitesync.Create(ctx, laptopDB, folder, options("laptop"))
	if err != nil {
		log.Fatal(err)
	}
	defer laptop.Close()
	if err := laptop.Sync(ctx); err != nil {
		log.Fatal(err)
	}
	invite, err := laptop.Invite(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}

	phoneDB, err := sqlitesync.OpenDB(filepath.Join(dir, "phone.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer phoneDB.Close()
	if _, err := phoneDB.Exec(schema); err != nil {
		log.Fatal(err)
	}
	phone, err := sqlitesync.Join(ctx, phoneDB, folder, invite.Code, options("phone"))
	if err != nil {
		log.Fatal(err)
	}
	defer phone.Close()

	// Writes need nothing.
	if _, err := phoneDB.Exec("UPDATE note SET title = 'Milk, 2 l' WHERE id = '1'"); err != nil {
		log.Fatal(err)
	}
	for _, s := range []*sqlitesync.Syncer{phone, laptop} {
		if err := s.Sync(ctx); err != nil {
			log.Fatal(err)
		}
	}
	rows, err := laptopDB.Query("SELECT title FROM note ORDER BY id")
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var title string
		if err := rows.Scan(&title); err != nil {
			log.Fatal(err)
		}
		fmt.Println(title)
	}
	// Output:
	// Milk, 2 l
	// Bread
}

// An app opens its database, and sets up sync if that was not done yet.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "sqlitesync")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		log.Fatal(err)
	}
	options := &sqlitesync.Options{Manual: true, Keys: sqlitesync.FileKeys(filepath.Join(dir, "keys"))}

	firstDevice, code := true, "" // what the person says
	for range 2 {                 // the first start of the app, and the second
		db, err := sqlitesync.OpenDB(filepath.Join(dir, "app.db"))
		if err != nil {
			log.Fatal(err)
		}
		s, err := sqlitesync.Open(ctx, db, folder, options)
		if errors.Is(err, sqlitesync.ErrNotSetUp) {
			if firstDevice { // the person says so: an empty folder may not be downloaded yet
				s, err = sqlitesync.Create(ctx, db, folder, options)
			} else {
				s, err = sqlitesync.Join(ctx, db, folder, code, options) // a code from a device that is in: s.Invite
			}
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(s.Status().State)
		if err := s.Close(); err != nil {
			log.Fatal(err)
		}
		db.Close()
	}
	// Output:
	// idle
	// idle
}

// Events tells a user interface which tables to read again.
func ExampleSyncer_Events() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()

	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for event := range phone.sync.Events(ctx) {
			if event.Missed > 0 {
				fmt.Println("too slow: read everything again")
			}
			if event.Kind == sqlitesync.EventApplied {
				fmt.Println("read again:", event.Tables)
				return
			}
		}
	}()
	for i := 0; ; i++ {
		laptop.exec("INSERT INTO note VALUES (?, 'news')", fmt.Sprint("news ", i))
		laptop.pass()
		phone.pass()
		select {
		case <-heard:
			return
		case <-time.After(10 * time.Millisecond): // the reader was not listening yet
		}
	}
	// Output:
	// read again: [note]
}

// Two devices edit one row before they hear of each other. The later edit
// wins, and the other one is kept.
func ExampleSyncer_Conflicts() {
	ctx := context.Background()
	laptop, phone, done := pair()
	defer done()

	laptop.exec("UPDATE note SET title = 'Oat milk' WHERE id = '1'")
	time.Sleep(2 * time.Millisecond)
	phone.exec("UPDATE note SET title = 'Soy milk' WHERE id = '1'")
	laptop.pass()
	phone.pass()
	laptop.pass()

	for conflict, err := range laptop.sync.Conflicts(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %v: %v won over %v\n", conflict.Table, conflict.Key, conflict.Winner.Values["title"], conflict.Loser.Values["title"])
		if err := laptop.sync.Resolve(ctx, conflict.ID, sqlitesync.TakeLoser); err != nil {
			log.Fatal(err)
		}
	}
	laptop.pass()
	phone.pass()
	var title string
	if err := phone.db.QueryRow("SELECT title FROM note WHERE id = '1'").Scan(&title); err != nil {
		log.Fatal(err)
	}
	fmt.Println("taken back:", title)
	// Output:
	// note [1]: Soy milk won over Oat milk
	// taken back: Oat milk
}
