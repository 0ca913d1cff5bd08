package sqlitesync

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/crypto"
)

// look opens a View of the device's database, which remembers its folder.
func (d *testDevice) look(folderPath string) *View {
	d.tb.Helper()
	v, err := Look(context.Background(), d.path, folderPath, d.options.Keys)
	must(d.tb, err)
	d.tb.Cleanup(func() { v.Close() })
	return v
}

func (d *testDevice) examine(folderPath string) Examination {
	d.tb.Helper()
	examined, err := d.look(folderPath).Examine(context.Background())
	must(d.tb, err)
	return examined
}

func codes(findings []Finding) (codes []FindingCode) {
	for _, f := range findings {
		codes = append(codes, f.Code)
	}
	return codes
}

// Each state that keeps a database from being synced has a finding, and a pass
// that goes well leaves none.
func TestExamine(t *testing.T) {
	t.Parallel()
	rename := func(d *testDevice, from, to string) {
		t.Helper()
		must(t, os.Rename(filepath.Join(d.folder, from), filepath.Join(d.folder, to)))
	}
	write := func(d *testDevice, name, text string) {
		t.Helper()
		path := filepath.Join(d.folder, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	tests := []struct {
		name   string
		break_ func(t *testing.T, a, b *testDevice)
		want   []FindingCode // about b, but for "in-use" and the like
	}{
		{"nothing", func(*testing.T, *testDevice, *testDevice) {}, nil},
		{"folder missing", func(t *testing.T, a, b *testDevice) { must(t, os.Rename(b.folder, b.folder+"-away")) }, []FindingCode{FindingFolderMissing}},
		{"folder empty", func(t *testing.T, a, b *testDevice) {
			must(t, os.Rename(b.folder, b.folder+"-away"))
			must(t, os.Mkdir(b.folder, 0o700))
		}, []FindingCode{FindingFolderEmpty}},
		{"folder empty while the space is founded", func(t *testing.T, a, b *testDevice) {
			b.exec("UPDATE sqlitesync_settings SET value = 'true' WHERE name = 'founding'")
			must(t, os.Rename(b.folder, b.folder+"-away"))
			must(t, os.Mkdir(b.folder, 0o700))
		}, []FindingCode{FindingFolderEmpty}},
		{"folder swapped", func(t *testing.T, a, b *testDevice) {
			other := newTestDevice(t, itemSchema)
			other.create(t.TempDir())
			must(t, os.Rename(b.folder, b.folder+"-away"))
			must(t, os.Rename(other.folder, b.folder))
		}, []FindingCode{FindingFolderSwapped}},
		{"folder unknown", func(t *testing.T, a, b *testDevice) { b.exec("DELETE FROM sqlitesync_settings WHERE name = 'folder'") }, []FindingCode{FindingFolderUnknown}},
		{"marker gone", func(t *testing.T, a, b *testDevice) { must(t, os.Remove(filepath.Join(b.folder, "sqlitesync.json"))) }, []FindingCode{FindingMarkerDamaged}},
		{"marker damaged", func(t *testing.T, a, b *testDevice) { write(b, "sqlitesync.json", "{") }, []FindingCode{FindingMarkerDamaged}},
		{"marker elsewhere", func(t *testing.T, a, b *testDevice) {
			must(t, os.Rename(filepath.Join(b.folder, "sqlitesync.json"), filepath.Join(b.folder, ".sqlitesync.json.icloud")))
		}, []FindingCode{FindingNotDownloaded}},
		{"newer format", func(t *testing.T, a, b *testDevice) {
			must(t, os.RemoveAll(b.directory()))
			write(b, "sqlitesync.json", `{"format": 2}`)
		}, []FindingCode{FindingFormatNewer}},
		{"gap", func(t *testing.T, a, b *testDevice) {
			for range 2 {
				a.exec("INSERT INTO item (id) VALUES (hex(randomblob(8)))")
				a.sync()
			}
			names := a.segments()
			must(t, os.Remove(names[len(names)-2]))
		}, []FindingCode{FindingGap, FindingNotDownloaded}},
		{"not downloaded", func(t *testing.T, a, b *testDevice) {
			a.exec("INSERT INTO item (id) VALUES ('x')")
			a.sync()
			must(t, os.Remove(a.lastSegment()))
		}, []FindingCode{FindingNotDownloaded}},
		{"segment damaged", func(t *testing.T, a, b *testDevice) {
			a.exec("INSERT INTO item (id) VALUES ('x')")
			a.sync()
			data, err := os.ReadFile(a.lastSegment())
			must(t, err)
			data[len(data)-1] ^= 1
			must(t, os.WriteFile(a.lastSegment(), data, 0o600))
		}, []FindingCode{FindingSegmentDamaged}},
		{"head damaged", func(t *testing.T, a, b *testDevice) {
			must(t, os.WriteFile(filepath.Join(a.directory(), "head"), []byte("x"), 0o600))
		}, []FindingCode{FindingHeadDamaged}},
		{"known record damaged", func(t *testing.T, a, b *testDevice) {
			records, err := os.ReadDir(filepath.Join(b.folder, "roster"))
			must(t, err)
			write(b, "roster/"+records[0].Name(), "x")
		}, []FindingCode{FindingRecordDamaged}},
		{"record damaged", func(t *testing.T, a, b *testDevice) { write(b, "roster/"+strings.Repeat("ab", 32), "x") }, []FindingCode{FindingRecordDamaged}},
		{"stranger", func(t *testing.T, a, b *testDevice) {
			write(b, "devices/"+strings.Repeat("ab", 16)+"/"+segmentName(1), "x")
		}, []FindingCode{FindingQuarantine}},
		{"own file missing", func(t *testing.T, a, b *testDevice) {
			b.exec("INSERT INTO item (id) VALUES ('x')")
			b.sync()
			must(t, os.Remove(b.lastSegment()))
		}, []FindingCode{FindingOwnMissing}},
		{"own file damaged", func(t *testing.T, a, b *testDevice) {
			b.exec("INSERT INTO item (id) VALUES ('x')")
			b.sync()
			must(t, os.WriteFile(b.lastSegment(), []byte("x"), 0o600))
		}, []FindingCode{FindingSegmentDamaged}},
		{"own file damaged that was found whole", func(t *testing.T, a, b *testDevice) {
			b.exec("INSERT INTO item (id) VALUES ('x')")
			b.sync()
			b.sync()
			must(t, os.WriteFile(b.lastSegment(), []byte("x"), 0o600))
		}, []FindingCode{FindingSegmentDamaged}},
		{"copies and foreign files", func(t *testing.T, a, b *testDevice) {
			rename(b, "README.txt", "README (1).txt")
			write(b, "desktop.ini", "")
		}, []FindingCode{FindingConflictCopies, FindingForeignFiles}},
		{"more copies than are read", func(t *testing.T, a, b *testDevice) {
			for i := range 17 {
				write(b, fmt.Sprintf("devices %d/junk", 10+i), "")
			}
		}, []FindingCode{FindingCopiesUnread, FindingConflictCopies}},
		{"clock", func(t *testing.T, a, b *testDevice) {
			a.environment.Wall = func() time.Time { return time.Now().Add(100 * time.Hour) }
			a.reopen()
			a.exec("INSERT INTO item (id) VALUES ('x')")
			a.sync()
		}, []FindingCode{FindingClockOff}},
		{"table missing", func(t *testing.T, a, b *testDevice) {
			a.exec("CREATE TABLE other (id TEXT PRIMARY KEY); INSERT INTO other VALUES ('x')")
			settle(a, b)
		}, []FindingCode{FindingSchemaBehind}},
		{"column missing", func(t *testing.T, a, b *testDevice) {
			a.exec("ALTER TABLE item ADD COLUMN new; INSERT INTO item (id, new) VALUES ('x', 'y')")
			settle(a, b)
		}, []FindingCode{FindingSchemaBehind}},
		{"row held", func(t *testing.T, a, b *testDevice) {
			b.exec("CREATE TRIGGER t BEFORE INSERT ON item BEGIN SELECT 1; END") // known before what comes
			b.exec("CREATE UNIQUE INDEX u ON item (name)")
			a.exec("INSERT INTO item (id, name) VALUES ('x', 'y'), ('z', 'y')")
			settle(a, b)
		}, []FindingCode{FindingRowsHeld}},
		{"triggers missing", func(t *testing.T, a, b *testDevice) { b.exec("DROP TRIGGER sqlitesync_1_insert") }, []FindingCode{FindingTriggersMissing}},
		{"table that stays", func(t *testing.T, a, b *testDevice) {
			b.exec("CREATE TABLE log (line)")
			b.sync()
		}, []FindingCode{FindingTableLocal}},
		{"keys missing", func(t *testing.T, a, b *testDevice) { b.options.Keys = FileKeys(filepath.Join(t.TempDir(), "keys")) }, []FindingCode{FindingKeysMissing}},
		{"keys open", func(t *testing.T, a, b *testDevice) {
			if runtime.GOOS == "windows" {
				t.Skip("Windows has no such modes")
			}
			must(t, os.Chmod(filepath.Join(filepath.Dir(b.path), "keys", b.id().String()+".key"), 0o644))
		}, []FindingCode{FindingKeysOpen}},
		{"keys damaged", func(t *testing.T, a, b *testDevice) {
			must(t, os.WriteFile(filepath.Join(filepath.Dir(b.path), "keys", b.id().String()+".key"), []byte("x"), 0o600))
		}, []FindingCode{FindingKeysDamaged}},
		{"restored", func(t *testing.T, a, b *testDevice) {
			b.exec("INSERT INTO item (id) VALUES ('x')")
			b.sync()
			b.exec("UPDATE sqlitesync_devices SET batch = 0 WHERE number = (SELECT number FROM sqlitesync_devices WHERE lower(hex(id)) = ?)", b.id().String())
		}, []FindingCode{FindingRestored, FindingTwin}},
		{"restored, and others have read what it knows nothing of", func(t *testing.T, a, b *testDevice) {
			b.exec("INSERT INTO item (id) VALUES ('x')")
			settle(b, a)
			a.exec("INSERT INTO item (id) VALUES ('z')") // so that its head says what it has read
			settle(a, b)
			b.exec("UPDATE sqlitesync_devices SET batch = 0 WHERE number = (SELECT number FROM sqlitesync_devices WHERE lower(hex(id)) = ?)", b.id().String())
		}, []FindingCode{FindingRestored, FindingTwin}},
		{"a copy publishes too, and its file was renamed", func(t *testing.T, a, b *testDevice) {
			twin := copyOf(b)
			twin.open()
			twin.exec("INSERT INTO item (id) VALUES ('x')")
			twin.sync()
			file := twin.lastSegment()
			must(t, os.Rename(file, strings.TrimSuffix(file, ".seg")+" (1).seg"))
			must(t, os.Remove(filepath.Join(b.directory(), "head"))) // it is the copy's
		}, []FindingCode{FindingRestored, FindingTwin, FindingConflictCopies}},
		{"restored with its keys, and others have read what they know nothing of", func(t *testing.T, a, b *testDevice) {
			restore := b.backupOfAll()
			b.exec("INSERT INTO item (id) VALUES ('x')")
			settle(b, a)
			restore()
			b.open()
		}, []FindingCode{FindingRestored}},
		{"a record that brings a key is not here", func(t *testing.T, a, b *testDevice) {
			c := newTestDevice(t, itemSchema)
			c.join(a.folder, a.invite())
			settle(a, b, c)
			before := tree(t, filepath.Join(b.folder, "roster"))
			must(t, a.syncer.Revoke(t.Context(), c.id()))
			a.exec("INSERT INTO item VALUES ('after', 'x', 1)")
			a.sync()
			for name := range tree(t, filepath.Join(b.folder, "roster")) {
				if _, known := before[name]; !known {
					must(t, os.Remove(name))
				}
			}
		}, []FindingCode{FindingKeyUnknown, FindingKeyUnknown}},
		{"revoked", func(t *testing.T, a, b *testDevice) { // it can't read what is written from then on
			must(t, a.syncer.Revoke(t.Context(), b.id()))
			a.exec("INSERT INTO item VALUES ('after', 'x', 1)")
			a.sync()
			_ = b.trySync()
		}, []FindingCode{FindingNotMember}},
		{"no member", func(t *testing.T, a, b *testDevice) {
			for hash, record := range b.syncer.records {
				if _, admits := record.Body.(*crypto.Admit); admits {
					b.exec("DELETE FROM sqlitesync_records WHERE hash = ?", hash)
					must(t, os.Remove(filepath.Join(b.folder, "roster", hash)))
				}
			}
		}, []FindingCode{FindingNotMember}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			test.break_(t, a, b)
			before := fmt.Sprint(folderTree(t, b.folder))
			examined := b.examine("")
			want := append([]FindingCode{FindingInUse}, test.want...)
			if got := codes(examined.Findings); !slices.Equal(got, want) {
				t.Errorf("found %+v, want %q", examined.Findings, want)
			}
			for _, f := range examined.Findings {
				if f.Text == "" || strings.Contains(f.Text, filepath.Dir(b.path)) || strings.Contains(f.Text, b.folder) {
					t.Errorf("%s says %q", f.Code, f.Text)
				}
			}
			if after := fmt.Sprint(folderTree(t, b.folder)); before != after {
				t.Errorf("the folder was changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// folderTree is tree of a folder that may be missing.
func folderTree(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	return tree(t, dir)
}

func TestLook(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newTestDevice(t, itemSchema)
	_, err := Look(ctx, d.path, "", d.options.Keys)
	wantIs(t, err, ErrNotSetUp)
	missing := filepath.Join(t.TempDir(), "missing.db")
	_, err = Look(ctx, missing, "", nil)
	wantIs(t, err, fs.ErrNotExist)
	if _, err := os.Stat(missing); err == nil {
		t.Error("a database was made where there was none")
	}
	must(t, os.WriteFile(missing, []byte(strings.Repeat("no database ", 100)), 0o600))
	if _, err := Look(ctx, missing, "", nil); err == nil {
		t.Error("a text file was taken for a database")
	}

	d.options.Exclude, d.options.DeviceName = []string{"other"}, "the laptop"
	d.create(t.TempDir())
	must(t, d.trySync())
	v := d.look("")
	if folder, opened := v.Opened(); folder != d.folder || !slices.Equal(opened.Exclude, d.options.Exclude) || opened.DeviceName != "the laptop" || opened.Tables != nil || opened.ForeignKeys != ForeignKeysOn {
		t.Errorf("opened %q with %+v", folder, opened)
	}
	devices, err := v.Devices(ctx)
	must(t, err)
	if len(devices) != 1 || devices[0].Name != "the laptop" || devices[0].ID != v.Device() {
		t.Errorf("devices %+v", devices)
	}

	// A folder that is not the space's is used by those who name it, and not remembered.
	elsewhere := t.TempDir()
	if got := codes(d.examine(elsewhere).Findings); !slices.Contains(got, FindingFolderEmpty) {
		t.Errorf("found %q", got)
	}
	if got := codes(d.examine(filepath.Dir(d.path)).Findings); !slices.Contains(got, FindingDatabaseInside) {
		t.Errorf("found %q", got)
	}
	d.close()
	d.folder, elsewhere = elsewhere, d.folder
	d.open()
	if d.trySync() == nil {
		t.Error("an empty folder was taken")
	}
	if folder, _ := d.look("").Opened(); folder != elsewhere {
		t.Errorf("the folder is %q now", folder)
	}
}

// A file of which there is only a placeholder is told from a damaged one.
func TestExamineAPlaceholder(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item (id) VALUES ('x')")
	a.sync()
	released := make(chan struct{})
	v := b.look("")
	v.s.slow.Patience = time.Second // 50 ms were too few for a listing on a busy machine
	v.s.environment.Step = func(step string, perform func() error) error {
		if step == "open "+filepath.Base(a.lastSegment()) {
			<-released
		}
		return perform()
	}
	examined, err := v.Examine(context.Background())
	close(released)
	must(t, err)
	if got := codes(examined.Findings); !slices.Contains(got, FindingNotDownloaded) || slices.Contains(got, FindingSegmentDamaged) {
		t.Errorf("found %+v", examined.Findings)
	}
}

// What waits in a database and in the folder is counted without a pass.
func TestExamineCounts(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item (id, name) VALUES ('x', 'of a')")
	b.exec("INSERT INTO item (id, name) VALUES ('x', 'of b')")
	settle(a, b)
	a.exec("INSERT INTO item (id) VALUES ('y')")
	a.sync()
	b.exec("INSERT INTO item (id) VALUES ('z'), ('q')")
	v := b.look("")
	examined, err := v.Examine(context.Background())
	must(t, err)
	if s := examined.Status; s.State != StateIdle || s.Behind != 1 || s.Pending != 2 || s.Conflicts != 1 || s.Collisions != 1 || s.LastPublished.IsZero() {
		t.Errorf("status %+v", s)
	}
	for c, err := range v.Conflicts(context.Background()) {
		must(t, err)
		if c.Table != "item" {
			t.Errorf("conflict %+v", c)
		}
	}
	b.close()
	if examined, err = v.Examine(context.Background()); err != nil || len(examined.Findings) != 0 {
		t.Errorf("found %+v, error %v", examined.Findings, err)
	}
	must(t, v.Close())
	_, err = v.Examine(context.Background())
	wantIs(t, err, ErrClosed)
}
