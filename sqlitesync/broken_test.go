package sqlitesync

import (
	"context"
	"database/sql"
	"testing"
)

// What is never so in a correct program stops the Syncer, not the app, and is tried again by the next one.
func TestABrokenInvariantStopsSync(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, script, mend string }{
		{"the chain of the log", "UPDATE sqlitesync_devices SET tail = zeroblob(32) WHERE batch > 0",
			"UPDATE sqlitesync_devices SET tail = (SELECT tail FROM sqlitesync_segments) WHERE batch > 0"},
		{"the numbers of batches", "UPDATE sqlitesync_devices SET batch = batch + 1 WHERE batch > 0", "UPDATE sqlitesync_devices SET batch = batch - 1 WHERE batch > 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newTestDevice(t, itemSchema)
			d.create(t.TempDir())
			d.exec("INSERT INTO item VALUES ('1', 'a', 1)")
			d.sync()
			d.wantHealthy()
			d.exec(test.script)
			d.exec("INSERT INTO item VALUES ('2', 'a', 1)")
			migrate := func(column string) {
				t.Helper()
				must(t, d.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
					_, err := db.ExecContext(ctx, "ALTER TABLE item ADD COLUMN "+column)
					return err
				}))
			}
			migrate("before") // before sync has found out
			wantIs(t, d.trySync(), ErrBroken)
			migrate("after")
			d.exec(test.mend)
			d.exec("INSERT INTO item (id, name, n) VALUES ('3', 'a', 1)") // the app goes on
			wantIs(t, d.trySync(), ErrBroken)
			if status := d.syncer.Status(); status.State != StateFailing || len(status.Problems) != 1 {
				t.Errorf("state %s, problems %v", status.State, status.Problems)
			}
			_, err := d.syncer.Verify(t.Context())
			wantIs(t, err, ErrBroken)
			wantIs(t, d.syncer.Relay(t.Context(), DeviceID{1}), ErrBroken)
			wantIs(t, d.syncer.Close(), ErrBroken)
			d.open()
			d.sync()
			d.wantHealthy()
			d.wantVerified()
			d.wantValue("0", "SELECT count(*) FROM sqlitesync_log")
		})
	}
}
