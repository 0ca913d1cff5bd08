package sqlitesync

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// trySync syncs and returns the error.
func (d *testDevice) trySync() error {
	d.tb.Helper()
	return d.alone(func() error {
		err := d.syncer.Sync(context.Background())
		if diverged := d.syncer.Status().Diverged; len(diverged) > 0 && !d.differs && !d.crowded {
			d.tb.Errorf("device %s, having read the same as device %s, knows something else of table %q", d.id().Short(), diverged[0].Device.Short(), diverged[0].Table)
		}
		return err
	})
}

// alone makes a call while no other device does anything. Whatever comes of it, the device has not touched what is not its own.
func (d *testDevice) alone(call func() error) error {
	d.tb.Helper()
	if d.crowded || working.in(d.folder) {
		return call()
	}
	own := d.directories()
	before := d.others(own)
	err := call()
	d.wantUntouched(before, append(own, d.directories()...), len(own) == 0) // it may have become another device, or have been none
	return err
}

// wantUntouched compares what others told before with what stands there now. Nothing but what any device may add may be new;
// who joins ends with the invite.
func (d *testDevice) wantUntouched(before map[string]string, own []string, joins bool) {
	d.tb.Helper()
	after := d.others(own)
	for path, is := range before {
		if now, stands := after[path]; !stands && joins && spent.MatchString(filepath.ToSlash(path)) {
			continue
		} else if !stands {
			d.tb.Errorf("device %s has removed %s", d.options.DeviceName, path)
		} else if now != is {
			d.tb.Errorf("device %s has changed %s", d.options.DeviceName, path)
		}
	}
	for path := range after {
		if _, stood := before[path]; !stood && !ours.MatchString(filepath.ToSlash(path)) {
			d.tb.Errorf("device %s has made %s", d.options.DeviceName, path)
		}
	}
}

// working knows in which folders devices work in the background: they write while another one makes a call.
var working folders

type folders struct {
	mu      sync.Mutex
	devices map[string]int
}

func (f *folders) in(folder string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.devices[folder] > 0
}

// add notes that so many devices more work there, or less.
func (f *folders) add(folder string, devices int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.devices == nil {
		f.devices = make(map[string]int)
	}
	f.devices[folder] += devices
}

// begin lets the device begin as call says.
func (d *testDevice) begin(call func() (*Syncer, error)) {
	d.tb.Helper()
	if !d.options.Manual {
		working.add(d.folder, 1)
	}
	must(d.tb, d.alone(func() (err error) {
		d.syncer, err = call()
		return err
	}))
}

// directories returns the device's own directory in the folder, if it is a device.
func (d *testDevice) directories() []string {
	if d.syncer != nil {
		return []string{d.directory()}
	}
	var id string
	if err := d.db.QueryRow("SELECT value FROM sqlitesync_settings WHERE name = 'device'").Scan(&id); err != nil {
		return nil
	}
	return []string{filepath.Join(d.folder, "devices", id)}
}

// ours matches what a device adds to the folder outside its own directory.
var ours = regexp.MustCompile(`^(README\.txt|sqlitesync\.json|devices|roster|invites|roster/[0-9a-f]{64}|invites/[0-9a-f]{32}\.age)$`)

// spent matches the invite that Join removes.
var spent = regexp.MustCompile(`^invites/[0-9a-f]{32}\.age$`)

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
			if target, err := os.Readlink(path); err == nil {
				is += " to " + target
			}
			if info.Mode().IsRegular() && info.Size() < 64<<20 {
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
