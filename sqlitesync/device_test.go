package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/environment"
)

// testDevice is one device: a database, keys, and a Syncer once it has one.
type testDevice struct {
	tb          testing.TB
	path        string
	db          *sql.DB
	options     Options
	syncer      *Syncer
	folder      string
	crowded     bool  // others write into the folder while it syncs
	tolerates   error // of Sync
	differs     bool  // it may know something else than others, by right
	environment environment.Environment
}

// context returns the context for Create, Join and Open.
func (d *testDevice) context() context.Context {
	return environment.With(context.Background(), &d.environment)
}

// newTestDevice makes a database with the schema. Its Syncer will be manual.
func newTestDevice(tb testing.TB, schema string) *testDevice {
	tb.Helper()
	dir := tb.TempDir()
	d := &testDevice{tb: tb, path: filepath.Join(dir, "app.db")}
	d.options = Options{Manual: true, Keys: FileKeys(filepath.Join(dir, "keys")), DeviceName: filepath.Base(dir)}
	var err error
	d.db, err = OpenDB(d.path)
	must(tb, err)
	tb.Cleanup(func() {
		if d.syncer != nil {
			d.syncer.Close()
		}
		d.db.Close()
	})
	d.exec(schema)
	return d
}

func (d *testDevice) create(folder string) {
	d.tb.Helper()
	d.folder = folder
	d.begin(func() (*Syncer, error) { return Create(d.context(), d.db, folder, &d.options) })
}

func (d *testDevice) join(folder, code string) {
	d.tb.Helper()
	d.folder = folder
	d.begin(func() (*Syncer, error) { return Join(d.context(), d.db, folder, code, &d.options) })
}

// reopen closes the Syncer and opens it again.
func (d *testDevice) reopen() {
	d.tb.Helper()
	d.close()
	d.open()
}

func (d *testDevice) invite() string {
	d.tb.Helper()
	var invite Invite
	must(d.tb, d.alone(func() (err error) {
		invite, err = d.syncer.Invite(context.Background(), nil)
		return err
	}))
	return invite.Code
}

func (d *testDevice) sync() {
	d.tb.Helper()
	if err := d.trySync(); d.tolerates == nil || !errors.Is(err, d.tolerates) {
		must(d.tb, err)
	}
}

func (d *testDevice) exec(statement string, args ...any) {
	d.tb.Helper()
	if _, err := d.db.Exec(statement, args...); err != nil {
		d.tb.Fatalf("%s: %v", statement, err)
	}
}

// waitFor waits until the query yields true, looking whenever an event comes
// and every few milliseconds.
func (d *testDevice) waitFor(query string) {
	d.tb.Helper()
	deadline := time.After(20 * time.Second)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		var done bool
		must(d.tb, d.db.QueryRow(query).Scan(&done))
		if done {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			d.tb.Fatalf("%s: still false; status %+v", query, d.syncer.Status())
		}
	}
}
