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
	db   *sql.DB
	sync *sqlitesync.Syncer
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

// pair returns two devices of one space that have a note each, and what is to
// be called when they are no longer needed.
func pair() (laptop, phone *exampleDevice, done func()) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "sqlitesync")
	if err != nil {
		log.Fatal(err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		log.Fatal(err)
	}
	open := func(name string) (*exampleDevice, *sqlitesync.Options) {
		db, err := sqlitesync.OpenDB(filepath.Join(dir, name+".db"))
		if err != nil {
			log.Fatal(err)
		}
		d := &exampleDevice{db: db}
		d.exec("CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT)")
		return d, &sqlitesync.Options{DeviceName: name, Manual: true, Keys: sqlitesync.FileKeys(filepath.Join(dir, name))}
	}
	laptop, options := open("laptop")
	laptop.exec("INSERT INTO note VALUES ('1', 'Milk')")
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
		os.RemoveAll(dir)
	}
}
