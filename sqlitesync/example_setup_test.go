package sqlitesync_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"

	"github.com/sqlitesync/go/sqlitesync"
)

// OpenDB opens a database with the settings that suit sync and most apps.
func ExampleOpenDB() {
	dir, _, done := scratch()
	defer done()

	db, err := sqlitesync.OpenDB(filepath.Join(dir, "app.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, setting := range []string{"journal_mode", "busy_timeout", "foreign_keys"} {
		var value string
		if err := db.QueryRow("PRAGMA " + setting).Scan(&value); err != nil {
			log.Fatal(err)
		}
		fmt.Println(setting, value)
	}
	// Output:
	// journal_mode wal
	// busy_timeout 5000
	// foreign_keys 1
}

// The first device founds the space. What its database has is the first content.
func ExampleCreate() {
	ctx := context.Background()
	dir, folder, done := scratch()
	defer done()
	db, err := sqlitesync.OpenDB(filepath.Join(dir, "app.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT); CREATE TABLE cache (id TEXT PRIMARY KEY); CREATE TABLE log (line)"); err != nil {
		log.Fatal(err)
	}

	s, err := sqlitesync.Create(ctx, db, folder, &sqlitesync.Options{
		Keys:    sqlitesync.FileKeys(filepath.Join(dir, "keys")), // an app leaves this out
		Exclude: []string{"cache"},                               // stays on each device
		Manual:  true,                                            // and this
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	fmt.Println(s.Status().State)
	for _, table := range s.Status().Unsynced {
		fmt.Printf("%s stays on this device: %s\n", table.Table, table.Reason)
	}
	// Output:
	// idle
	// log stays on this device: it has no declared PRIMARY KEY
}

// A device that has rows of its own says what shall become of them.
func ExampleJoin() {
	ctx := context.Background()
	laptop, _, done := pair()
	defer done()
	invite, err := laptop.sync.Invite(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}

	dir, _, remove := scratch()
	defer remove()
	db, err := sqlitesync.OpenDB(filepath.Join(dir, "tablet.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT); INSERT INTO note VALUES ('2', 'Bread')"); err != nil {
		log.Fatal(err)
	}
	options := &sqlitesync.Options{DeviceName: "tablet", Manual: true, Keys: sqlitesync.FileKeys(filepath.Join(dir, "keys"))}
	_, err = sqlitesync.Join(ctx, db, laptop.folder, invite.Code, options)
	fmt.Println("has rows of its own:", errors.Is(err, sqlitesync.ErrNotEmpty))

	options.Existing = sqlitesync.MergeExisting
	s, err := sqlitesync.Join(ctx, db, laptop.folder, invite.Code, options)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	var titles string
	if err := db.QueryRow("SELECT group_concat(title, ', ' ORDER BY id) FROM note").Scan(&titles); err != nil {
		log.Fatal(err)
	}
	fmt.Println(titles)
	// Output:
	// has rows of its own: true
	// Milk, Bread
}

// A code that was mistyped says where.
func ExampleJoin_code() {
	ctx := context.Background()
	dir, folder, done := scratch()
	defer done()
	db, err := sqlitesync.OpenDB(filepath.Join(dir, "app.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	_, err = sqlitesync.Join(ctx, db, folder, "K7QWM-not-a-code", nil)
	fmt.Println(errors.Is(err, sqlitesync.ErrCode))
	// Output:
	// true
}

// Uninstall takes sync out of a database, and leaves the app's rows.
func ExampleUninstall() {
	ctx := context.Background()
	laptop, _, done := pair()
	defer done()

	if err := laptop.sync.Close(); err != nil { // first
		log.Fatal(err)
	}
	if err := sqlitesync.Uninstall(ctx, laptop.db); err != nil {
		log.Fatal(err)
	}
	fmt.Println(laptop.value("SELECT count(*) FROM note"), "note")
	fmt.Println(laptop.value("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'"), "tables and triggers of ours")
	// Output:
	// 1 note
	// 0 tables and triggers of ours
}

// Keys may stand elsewhere than in the user's configuration directory: an app
// that is portable keeps them beside itself, but never in the folder.
func ExampleFileKeys() {
	dir, folder, done := scratch()
	defer done()
	db, err := sqlitesync.OpenDB(filepath.Join(dir, "app.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	keys := filepath.Join(dir, "keys")
	s, err := sqlitesync.Create(context.Background(), db, folder, &sqlitesync.Options{Keys: sqlitesync.FileKeys(keys), Manual: true})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	files, err := filepath.Glob(filepath.Join(keys, "*.key"))
	fmt.Println(len(files), "file,", err)
	// Output:
	// 1 file, <nil>
}

// A key for each new row, which no other device makes.
func ExampleNewKey() {
	laptop, _, done := pair()
	defer done()

	laptop.exec("INSERT INTO note VALUES (?, 'Bread')", sqlitesync.NewKey())
	fmt.Println(len(sqlitesync.NewKey()), "characters")
	fmt.Println("made later, sorts later:", sqlitesync.NewKey() < sqlitesync.NewKey())
	// Output:
	// 36 characters
	// made later, sorts later: true
}
