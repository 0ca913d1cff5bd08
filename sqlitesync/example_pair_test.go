package sqlitesync_test

import (
	"context"
	"database/sql"
	"log"
	"os"
	"path/filepath"

	"github.com/sqlitesync/go/sqlitesync"
)

// exampleDevice is a device of the examples.
type exampleDevice struct {
	path, folder string
	keys         sqlitesync.KeyStore
	db           *sql.DB
	sync         *sqlitesync.Syncer
}

func (d *exampleDevice) exec(statement string, args ...any) {
	if _, err := d.db.Exec(statement, args...); err != nil {
		log.Fatal(err)
	}
}

func (d *exampleDevice) pass() {
	if err := d.sync.Sync(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// value returns what a query says of one row.
func (d *exampleDevice) value(query string) (value string) {
	if err := d.db.QueryRow(query).Scan(&value); err != nil {
		log.Fatal(err)
	}
	return value
}

// exchange lets all devices have what the others wrote.
func exchange(devices ...*exampleDevice) {
	for range 2 {
		for _, d := range devices {
			d.pass()
		}
	}
}

// scratch returns a temporary directory with an empty folder in it, and what is
// to be called when they are no longer needed.
func scratch() (dir, folder string, done func()) {
	dir, err := os.MkdirTemp("", "sqlitesync")
	if err != nil {
		log.Fatal(err)
	}
	folder = filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		log.Fatal(err)
	}
	return dir, folder, func() { os.RemoveAll(dir) }
}

// pair returns two devices of one space that have a note each, and what is to
// be called when they are no longer needed.
func pair() (laptop, phone *exampleDevice, done func()) {
	ctx := context.Background()
	dir, folder, remove := scratch()
	open := func(name string) (*exampleDevice, *sqlitesync.Options) {
		d := &exampleDevice{path: filepath.Join(dir, name+".db"), folder: folder, keys: sqlitesync.FileKeys(filepath.Join(dir, name))}
		var err error
		if d.db, err = sqlitesync.OpenDB(d.path); err != nil {
			log.Fatal(err)
		}
		d.exec("CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT)")
		return d, &sqlitesync.Options{DeviceName: name, Manual: true, Keys: d.keys}
	}
	laptop, options := open("laptop")
	laptop.exec("INSERT INTO note VALUES ('1', 'Milk')")
	var err error
	if laptop.sync, err = sqlitesync.Create(ctx, laptop.db, folder, options); err != nil {
		log.Fatal(err)
	}
	laptop.pass()
	invite, err := laptop.sync.Invite(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	phone, options = open("phone")
	if phone.sync, err = sqlitesync.Join(ctx, phone.db, folder, invite.Code, options); err != nil {
		log.Fatal(err)
	}
	return laptop, phone, func() {
		for _, d := range []*exampleDevice{laptop, phone} {
			d.sync.Close()
			d.db.Close()
		}
		remove()
	}
}
