package sqlitesync

import (
	"maps"
	"os"
	"path/filepath"
)

// lose deletes segments of a device, which it makes again; those that it can't, such
// as of a table that it has dropped, its user brings back.
func (run *stressRun) lose(d *stressDevice) {
	run.sync(d)
	run.sync(d)
	if d.left {
		return
	}
	gone := make(map[string][]byte)
	for _, name := range d.column("SELECT name FROM sqlitesync_segments WHERE state = 2 AND replaced IS NULL AND lost < 2") {
		if run.IntN(3) > 0 {
			continue
		}
		path := filepath.Join(d.directory(), name)
		data, err := os.ReadFile(path)
		must(run.t, err)
		must(run.t, os.Remove(path))
		gone[path] = data
		run.note(d, "lose %s", name)
		for _, other := range run.devices { // what stood there under former names is made again for none of them
			other.differs = other.differs || d.version > 0
		}
	}
	_ = d.trySync()
	run.clock.pass(vanishedTime)
	if err := d.trySync(); err != nil {
		run.note(d, "sync -- %v", err)
		for path, data := range gone {
			must(run.t, os.WriteFile(path, data, 0o600))
		}
	}
	run.sync(d)
}

// stressBackup is a backup of a database, and what its app had done.
type stressBackup struct {
	path    string
	version int
	unsent  map[string]bool // pages that come back if they are deleted before a pass
}

func (run *stressRun) backUp(d *stressDevice) {
	if d.left || d.rebuilt {
		return
	}
	d.backup = &stressBackup{filepath.Join(run.t.TempDir(), "backup.db"), d.version, maps.Clone(d.unsent)}
	d.exec("VACUUM INTO ?", d.backup.path)
	run.note(d, "back up %s", d.id().Short())
}

// restore puts a backup back when all that came after it is out.
func (run *stressRun) restore(d *stressDevice) {
	if d.backup == nil || d.left || d.rebuilt {
		return
	}
	run.sync(d)
	run.note(d, "restore")
	must(run.t, d.other.Close())
	d.testDevice.restore(d.backup.path)
	must(run.t, d.db.Close())
	run.handles(d)
	d.behind = max(d.behind, d.version)
	d.version = d.backup.version
	d.open()
	run.sync(d)
	run.sync(d)
}
