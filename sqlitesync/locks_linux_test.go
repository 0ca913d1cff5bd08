package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// unlocked returns the names of the files of the database on which this process has no lock.
func (d *testDevice) unlocked() (names []string) {
	d.tb.Helper()
	for _, suffix := range []string{"", "-shm"} {
		info, err := os.Stat(d.path + suffix)
		must(d.tb, err)
		file, locked := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino), false
		for try := 0; try < 10 && !locked; try++ { // the list can lack some while others are taken and given back
			text, err := os.ReadFile("/proc/locks")
			must(d.tb, err)
			for line := range strings.Lines(string(text)) {
				fields := strings.Fields(line)
				locked = locked || len(fields) > 4 && fields[1] == "POSIX" && fields[4] == fmt.Sprint(os.Getpid()) && strings.Contains(line, file)
			}
		}
		if !locked {
			names = append(names, filepath.Base(d.path+suffix))
		}
	}
	return names
}

// On Unix a process that closes a file loses all locks that it has on it, SQLite's among them: two programs could write at once
// then, and spoil the database. So nothing but SQLite may open a file of the database.
func TestNothingDropsTheLocksOfTheDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	for _, d := range []*testDevice{a, b} {
		d.exec("INSERT INTO item VALUES ('x', 'there before', 1)")
		reader, err := d.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // it holds locks until the end
		must(t, err)
		t.Cleanup(func() { _ = reader.Rollback() })
		var n int
		must(t, reader.QueryRow("SELECT count(*) FROM item").Scan(&n))
	}
	if len(a.unlocked()) == 2 {
		t.Skip("the system does not tell of locks")
	}
	b.options.Existing = ReplaceExisting
	var code string
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"Create", func() error { a.create(t.TempDir()); return nil }},
		{"Sync", func() error { return a.trySync() }},
		{"Invite", func() error { code = a.invite(); return nil }},
		{"Join", func() error { b.join(a.folder, code); return nil }},
		{"a merge", func() error {
			b.exec("INSERT INTO item VALUES ('y', 'of b', 1)")
			settle(a, b)
			return nil
		}},
		{"Open beside it", func() error {
			_, err := Open(ctx, a.db, a.folder, &a.options)
			wantIs(t, err, ErrInUse)
			return nil
		}},
		{"Recovery", func() error { _, err := a.syncer.Recovery(ctx); return err }},
		{"Rename", func() error { return a.syncer.Rename(ctx, "another") }},
		{"Verify", func() error { _, err := a.syncer.Verify(ctx); return err }},
		{"Migrate", func() error {
			return a.syncer.Migrate(ctx, func(ctx context.Context, db *sql.DB) error {
				_, err := db.ExecContext(ctx, "ALTER TABLE item ADD COLUMN more")
				return err
			})
		}},
		{"Look", func() error {
			view, err := Look(ctx, a.path, a.folder, a.options.Keys)
			if err != nil {
				return err
			}
			defer view.Close()
			_, err = view.Examine(ctx)
			return err
		}},
		{"Revoke", func() error { return a.syncer.Revoke(ctx, b.id()) }},
		{"Close", func() error { a.close(); b.close(); return nil }},
		{"Uninstall", func() error { return Uninstall(ctx, a.db) }},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		for _, d := range []*testDevice{a, b} {
			if names := d.unlocked(); len(names) > 0 {
				t.Fatalf("%s has dropped the locks of %q", step.name, names)
			}
		}
	}
	// The check finds what it is for.
	file, err := os.Open(a.path)
	must(t, err)
	must(t, file.Close())
	if names := a.unlocked(); len(names) != 1 {
		t.Errorf("after a file of the database was closed %q are without locks", names)
	}
}
