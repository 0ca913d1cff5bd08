package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlitesync/go/sqlitesync"
)

// A device is an app's database in a space.
type device struct {
	t      *testing.T
	db     *sql.DB
	syncer *sqlitesync.Syncer
}

// newPair makes two devices whose apps have made their tables with setUp.
func newPair(t *testing.T, setUp func(*sql.DB) error) (a, b *device) {
	t.Helper()
	folder := t.TempDir()
	open := func(name string) *device {
		db, err := sqlitesync.OpenDB(filepath.Join(t.TempDir(), name+".db"))
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		must(t, setUp(db))
		return &device{t: t, db: db}
	}
	options := func() *sqlitesync.Options {
		return &sqlitesync.Options{Manual: true, Keys: sqlitesync.FileKeys(filepath.Join(t.TempDir(), "keys")), Exclude: []string{"goose_db_version"}}
	}
	a, b = open("a"), open("b")
	var err error
	a.syncer, err = sqlitesync.Create(t.Context(), a.db, folder, options())
	must(t, err)
	t.Cleanup(func() { must(t, a.syncer.Close()) })
	invite, err := a.syncer.Invite(t.Context(), nil)
	must(t, err)
	b.syncer, err = sqlitesync.Join(t.Context(), b.db, folder, invite.Code, options())
	must(t, err)
	t.Cleanup(func() { must(t, b.syncer.Close()) })
	return a, b
}

// migrate runs a migration plainly, as an app does that knows nothing of Migrate, or through it.
func (d *device) migrate(plainly bool, migration func(context.Context, *sql.DB) error) {
	d.t.Helper()
	if plainly {
		must(d.t, migration(d.t.Context(), d.db))
	} else {
		must(d.t, d.syncer.Migrate(d.t.Context(), migration))
	}
}

func (d *device) exec(query string) {
	d.t.Helper()
	_, err := d.db.Exec(query)
	must(d.t, err)
}

// settle lets all devices have what the others wrote.
func settle(devices ...*device) {
	for range 3 {
		for _, d := range devices {
			d.t.Helper()
			must(d.t, d.syncer.Sync(d.t.Context()))
		}
	}
}

// expect compares what a query returns on every device, and makes sure that sync is at rest.
func expect(query, want string, devices ...*device) {
	for _, d := range devices {
		d.t.Helper()
		rows, err := d.db.Query(query)
		must(d.t, err)
		var lines []string
		for rows.Next() {
			var line string
			must(d.t, rows.Scan(&line))
			lines = append(lines, line)
		}
		must(d.t, rows.Err())
		if got := strings.Join(lines, ", "); got != want {
			d.t.Errorf("%s: %s, want %s", query, got, want)
		}
		if status := d.syncer.Status(); status.Pending+status.Behind+status.Held > 0 || status.Err != nil {
			d.t.Errorf("not at rest: %+v", status)
		}
		for _, unsynced := range d.syncer.Status().Unsynced {
			d.t.Errorf("stays local: %+v", unsynced)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ways runs a test for each way in which two devices can migrate.
func ways(t *testing.T, test func(t *testing.T, plainly [2]bool)) {
	for _, plainly := range [][2]bool{{true, true}, {true, false}, {false, false}} {
		t.Run(fmt.Sprint("plainly=", plainly), func(t *testing.T) { test(t, plainly) })
	}
}
