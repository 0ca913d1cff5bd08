package sqlitesync

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

const itemSchema = "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER)"

// newSpace makes a space of n devices with the schema over one folder.
func newSpace(tb testing.TB, schema string, n int) []*testDevice {
	tb.Helper()
	devices := []*testDevice{newTestDevice(tb, schema)}
	devices[0].create(tb.TempDir())
	for len(devices) < n {
		d := newTestDevice(tb, schema)
		d.join(devices[0].folder, devices[0].invite())
		devices = append(devices, d)
	}
	settle(devices...)
	return devices
}

// long skips a test of one thread and much work where tests are to be short: with the race detector it takes minutes.
func long(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("much work in one thread")
	}
}

func newPair(tb testing.TB, schema string) (a, b *testDevice) {
	tb.Helper()
	devices := newSpace(tb, schema, 2)
	return devices[0], devices[1]
}

// settle syncs all devices until each has what the others wrote before the call.
func settle(devices ...*testDevice) {
	for range 2 {
		for _, d := range devices {
			d.tb.Helper()
			d.sync()
		}
	}
}

func (d *testDevice) close() {
	d.tb.Helper()
	must(d.tb, d.alone(d.syncer.Close))
	if !d.syncer.options.Manual {
		working.add(d.folder, -1)
	}
	d.syncer = nil
}

func (d *testDevice) open() {
	d.tb.Helper()
	d.begin(func() (*Syncer, error) { return Open(d.context(), d.db, d.folder, &d.options) })
}

// value returns the only value of a query as text.
func (d *testDevice) value(query string, args ...any) string {
	d.tb.Helper()
	var v any
	err := d.db.QueryRow(query, args...).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "no row"
	}
	must(d.tb, err)
	return fmt.Sprint(v)
}

func (d *testDevice) wantValue(want, query string, args ...any) {
	d.tb.Helper()
	if got := d.value(query, args...); got != want {
		d.tb.Errorf("%s: got %s, want %s", query, got, want)
	}
}

// wantNotDiverged makes sure that the device is not told of others that have read the same and know something else.
func (d *testDevice) wantNotDiverged() {
	d.tb.Helper()
	if diverged := d.syncer.Status().Diverged; len(diverged) > 0 {
		d.tb.Errorf("device %s has diverged: %v", d.id().Short(), diverged)
	}
}

func (d *testDevice) id() DeviceID { return d.syncer.identity.device }

// directory returns the device's directory in the folder.
func (d *testDevice) directory() string {
	return filepath.Join(d.folder, "devices", d.id().String())
}

// segments returns the paths of the device's segment files, oldest first.
func (d *testDevice) segments() []string {
	d.tb.Helper()
	paths, err := filepath.Glob(filepath.Join(d.directory(), "*.seg"))
	must(d.tb, err)
	return paths
}

func (d *testDevice) lastSegment() string {
	d.tb.Helper()
	paths := d.segments()
	if len(paths) == 0 {
		d.tb.Fatal("no segment was published")
	}
	return paths[len(paths)-1]
}

// logged counts the changes of a row in the device's segment files.
func (d *testDevice) logged(table string, key changelog.Value) (n int) {
	d.tb.Helper()
	for _, path := range d.segments() {
		name, ok := folder.ParseSegmentName(filepath.Base(path))
		if !ok {
			d.tb.Fatalf("%s is no segment", path)
		}
		data, err := os.ReadFile(path)
		must(d.tb, err)
		part, err := d.syncer.decodeSealed(name, data)
		must(d.tb, err)
		for _, change := range part.Changes {
			if change.Shape.Table == table && change.Key[0] == key {
				n++
			}
		}
	}
	return n
}

func (d *testDevice) conflicts() []Conflict {
	d.tb.Helper()
	var list []Conflict
	for c, err := range d.syncer.Conflicts(context.Background()) {
		must(d.tb, err)
		list = append(list, c)
	}
	return list
}

func (d *testDevice) held() []Held {
	d.tb.Helper()
	var list []Held
	for h, err := range d.syncer.Held(context.Background()) {
		must(d.tb, err)
		list = append(list, h)
	}
	return list
}

// tables returns the names of the app's tables.
func (d *testDevice) tables() []string {
	d.tb.Helper()
	rows, err := d.db.Query(`SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
		AND name NOT LIKE 'sqlite%' ORDER BY name`)
	must(d.tb, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		must(d.tb, rows.Scan(&name))
		names = append(names, name)
	}
	must(d.tb, rows.Err())
	return names
}

// dump returns the rows of tables (none: of all) as sorted text, bit for bit.
func (d *testDevice) dump(tables ...string) string {
	d.tb.Helper()
	if len(tables) == 0 {
		tables = d.tables()
	}
	var lines []string
	for _, table := range tables {
		for _, row := range d.rows(table) {
			lines = append(lines, table+": "+row)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (d *testDevice) rows(table string) []string {
	d.tb.Helper()
	var names []string
	rows, err := d.db.Query("SELECT name FROM pragma_table_xinfo(?) ORDER BY name", table)
	must(d.tb, err)
	for rows.Next() {
		var name string
		must(d.tb, rows.Scan(&name))
		names = append(names, `+"`+strings.ReplaceAll(name, `"`, `""`)+`"`) // the driver converts columns that are declared as dates, expressions not
	}
	must(d.tb, rows.Err())
	rows, err = d.db.Query("SELECT " + strings.Join(names, ", ") + " FROM " + changelog.Quote(table))
	must(d.tb, err)
	defer rows.Close()
	values, dest := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		dest[i] = &values[i]
	}
	var lines []string
	for rows.Next() {
		must(d.tb, rows.Scan(dest...))
		var line []string
		for _, v := range values {
			switch v := v.(type) {
			case float64:
				line = append(line, fmt.Sprintf("real %x", math.Float64bits(v)))
			case []byte:
				line = append(line, fmt.Sprintf("blob %d %x", len(v), sha256.Sum256(v)))
			default:
				line = append(line, fmt.Sprintf("%T %q", v, fmt.Sprint(v)))
			}
		}
		lines = append(lines, strings.Join(line, ", "))
	}
	must(d.tb, rows.Err())
	return lines
}

// wantSame checks that all devices show the same rows in tables (none: all).
func wantSame(tb testing.TB, devices []*testDevice, tables ...string) {
	tb.Helper()
	want := devices[0].dump(tables...)
	for i, d := range devices[1:] {
		if got := d.dump(tables...); got != want {
			tb.Fatalf("device %d shows\n%.2000s\nand device 0\n%.2000s", i+1, got, want)
		}
	}
}

// tree returns the hash of every file below dir, by path.
func tree(tb testing.TB, dir string) map[string][32]byte {
	tb.Helper()
	files := make(map[string][32]byte)
	must(tb, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = sha256.Sum256(data)
		return err
	}))
	return files
}

// wantQuiet checks that nothing in the folder changes while the devices sync
// three more times.
func wantQuiet(tb testing.TB, devices ...*testDevice) {
	tb.Helper()
	before := tree(tb, devices[0].folder)
	for range 3 {
		settle(devices...)
	}
	after := tree(tb, devices[0].folder)
	for path, sum := range after {
		if old, stood := before[path]; !stood {
			tb.Errorf("%s was made although nobody wrote anything", path)
		} else if old != sum {
			tb.Errorf("%s was rewritten although nobody wrote anything", path)
		}
		delete(before, path)
	}
	for path := range maps.Keys(before) {
		tb.Errorf("%s was removed", path)
	}
}

// problem returns the only problem of the device's last pass, and checks that
// it is fit to be shown to a person.
func (d *testDevice) problem() *Error {
	d.tb.Helper()
	status := d.syncer.Status()
	if status.State != StateFailing || len(status.Problems) != 1 {
		d.tb.Fatalf("state %s with problems %v, want one problem", status.State, status.Problems)
	}
	var e *Error
	if !errors.As(status.Err, &e) {
		d.tb.Fatalf("problem %v is not an *Error", status.Err)
	}
	if e.Op == "" || e.Hint == "" || e.Err == nil {
		d.tb.Errorf("problem %+v lacks Op, Hint or Err", e)
	}
	return e
}

func (d *testDevice) wantHealthy() {
	d.tb.Helper()
	if status := d.syncer.Status(); status.State != StateIdle || status.Err != nil || len(status.Waiting) != 0 {
		d.tb.Errorf("state %s, problems %v, waiting %v", status.State, status.Problems, status.Waiting)
	}
}

func wantIs(tb testing.TB, err error, targets ...error) {
	tb.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			tb.Errorf("got error %v, want %v", err, target)
		}
	}
}

func wantText(tb testing.TB, err error, parts ...string) {
	tb.Helper()
	if err == nil {
		tb.Errorf("no error, want one that says %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			tb.Errorf("error %q does not say %q", err, part)
		}
	}
}

// tick returns when the wall clock shows another millisecond, so that what is
// written next has a later stamp.
func tick() {
	for start := time.Now().UnixMilli(); time.Now().UnixMilli() == start; {
		time.Sleep(100 * time.Microsecond)
	}
}

// segmentName returns the file name of a device's batch.
func segmentName(batch uint64) string { return folder.SegmentName{First: batch, Last: batch}.String() }

// column returns the first column of a query.
func (d *testDevice) column(query string) (found []string) {
	d.tb.Helper()
	rows, err := d.db.Query(query)
	must(d.tb, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		must(d.tb, rows.Scan(&text))
		found = append(found, text)
	}
	must(d.tb, rows.Err())
	return found
}
