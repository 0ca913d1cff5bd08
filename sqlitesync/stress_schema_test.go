package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sqlitesync/go/sqlitesync/internal/workload"
)

// migrate runs the next migration of a device, with Migrate or without. Without,
// it does not fill columns of the diary: that would be an edit like any other.
func (run *stressRun) migrate(d *stressDevice) {
	m := run.Migrations[d.version]
	if m == workload.RenameDiary || m == workload.RenameKey {
		run.include(d)
	}
	wrapped := run.IntN(2) == 0
	script := run.Script(d.version, wrapped)
	run.note(d, "Migrate %t: %s", wrapped, script)
	if wrapped {
		must(run.t, d.syncer.Migrate(run.t.Context(), func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "BEGIN IMMEDIATE; "+script+"COMMIT")
			return err
		}))
	} else {
		run.alone(d, "BEGIN IMMEDIATE; "+script+"COMMIT")
		d.rebuilt = d.rebuilt || m == workload.RebuildDiary
	}
	d.version++
}

// alone runs a script with foreign keys off.
func (run *stressRun) alone(d *stressDevice, script string) {
	d.exec("PRAGMA foreign_keys = 0; " + script + fmt.Sprintf("; PRAGMA foreign_keys = %t", d.enforced))
}
