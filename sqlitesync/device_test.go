package sqlitesync

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	var err error
	d.folder = folder
	d.syncer, err = Create(d.context(), d.db, folder, &d.options)
	must(d.tb, err)
}

func (d *testDevice) join(folder, code string) {
	d.tb.Helper()
	var err error
	d.folder = folder
	d.syncer, err = Join(d.context(), d.db, folder, code, &d.options)
	must(d.tb, err)
}

// reopen closes the Syncer and opens it again.
func (d *testDevice) reopen() {
	d.tb.Helper()
	must(d.tb, d.syncer.Close())
	var err error
	d.syncer, err = Open(d.context(), d.db, d.folder, &d.options)
	must(d.tb, err)
}

func (d *testDevice) invite() string {
	d.tb.Helper()
	invite, err := d.syncer.Invite(context.Background(), nil)
	must(d.tb, err)
	return invite.Code
}

func (d *testDevice) sync() {
	d.tb.Helper()
	if err := d.trySync(); d.tolerates == nil || !errors.Is(err, d.tolerates) {
		must(d.tb, err)
	}
}

// trySync syncs and returns the error. Whatever comes of it, the device has not touched what is not its own.
func (d *testDevice) trySync() error {
	d.tb.Helper()
	if d.crowded {
		return d.syncer.Sync(context.Background())
	}
	own := []string{d.directory()}
	before := d.others(own)
	err := d.syncer.Sync(context.Background())
	if diverged := d.syncer.Status().Diverged; len(diverged) > 0 && !d.differs {
		d.tb.Errorf("device %s, having read the same as device %s, knows something else of table %q", d.id().Short(), diverged[0].Device.Short(), diverged[0].Table)
	}
	after := d.others(append(own, d.directory())) // it may have become another device
	for path, is := range before {
		if now, stands := after[path]; !stands {
			d.tb.Errorf("device %s has removed %s", d.id().Short(), path)
		} else if now != is {
			d.tb.Errorf("device %s has changed %s", d.id().Short(), path)
		}
	}
	for path := range after {
		if _, stood := before[path]; !stood && !ours.MatchString(filepath.ToSlash(path)) {
			d.tb.Errorf("device %s has made %s", d.id().Short(), path)
		}
	}
	return err
}

// ours matches what a device adds to the folder outside its own directory.
var ours = regexp.MustCompile(`^(README\.txt|sqlitesync\.json|devices|roster|invites|roster/[0-9a-f]{64}|invites/[0-9a-f]{32}\.age)$`)

// others tells, for each name in the folder outside the device's own directories, what stands there: kind, size, time of the
// last change, and what it says, if it is not made to be too large to read.
func (d *testDevice) others(own []string) map[string]string {
	d.tb.Helper()
	found := make(map[string]string)
	root := d.folder
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case path == root:
			return nil
		case slices.Contains(own, path):
			return fs.SkipDir
		case err != nil:
			return nil //nolint:nilerr // what can't be looked at is not there, both times
		}
		is := entry.Type().String()
		if info, err := entry.Info(); err == nil && !entry.IsDir() {
			is += fmt.Sprint(" ", info.Size(), " ", info.ModTime().UnixNano())
			if info.Mode().IsRegular() && info.Size() < 1<<20 {
				content, err := os.ReadFile(path)
				is += fmt.Sprintf(" %x %v", sha256.Sum256(content), err)
			}
		}
		found[strings.TrimPrefix(path, root+string(os.PathSeparator))] = is
		return nil
	})
	return found
}

// A write that leaves name, size and time of a file alone is noticed too.
func TestOthersTellsFilesByTheirContent(t *testing.T) {
	t.Parallel()
	d := &testDevice{tb: t, folder: t.TempDir()}
	path, when := filepath.Join(d.folder, "file"), time.Unix(1e9, 0)
	var told []string
	for _, content := range []string{"one", "two"} {
		must(t, os.WriteFile(path, []byte(content), 0o600))
		must(t, os.Chtimes(path, when, when))
		told = append(told, d.others(nil)["file"])
	}
	if told[0] == told[1] {
		t.Errorf("both times the file is %q", told[0])
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
