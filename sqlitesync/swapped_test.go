package sqlitesync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// afterReading lets something happen in the midst of the next pass of a device, when the first segment of another one was read.
func (f *faults) afterReading(happen func()) {
	happened := false
	f.between(func(step string, perform func() error) error {
		err := perform()
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") && !happened {
			happened = true
			happen()
		}
		return err
	})
}

// A pass that reads for hours has seen its range in the folder long before it removes what the range has taken the place of.
// If a sync client has taken the range away since, the old files are the only ones that have what is forgotten here.
func TestWhatARangeHasReplacedStaysIfTheRangeGoesDuringThePass(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.a.exec("CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL)")
	s.a.exec("INSERT INTO gone VALUES ('1')")
	s.publish()
	s.publish()
	s.a.exec("DROP TABLE gone")
	s.a.sync()
	s.a.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
	s.a.sync() // writes a range
	s.a.sync() // finds it
	var ranges, run []string
	for _, path := range s.a.segments() {
		if strings.HasSuffix(path, "-0000.seg") {
			run = append(run, path)
		} else {
			ranges = append(ranges, path)
		}
	}
	if len(ranges) == 0 || len(run) == 0 {
		t.Fatalf("ranges %v, and what they take the place of %v", ranges, run)
	}
	s.clock.pass(graceTime)
	s.write(s.b)
	s.b.sync()
	s.faults.afterReading(func() {
		for _, path := range ranges {
			must(t, os.Remove(path))
		}
	})
	_ = s.a.trySync()
	s.faults.between(nil)
	for _, path := range run {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s went after what took its place: %v", filepath.Base(path), err)
		}
	}
	late := newTestDevice(t, itemSchema+"; CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL)")
	late.join(s.a.folder, s.b.invite())
	late.wantValue("1", "SELECT count(*) FROM gone")
}
