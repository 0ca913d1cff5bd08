package synctest

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
	"github.com/sqlitesync/go/sqlitesync/internal/environment"
)

// maxRounds bounds how long Settle waits for rest.
const maxRounds = 15

// maxFiles is how many files a device may have in the folder at rest: 64 segments, its head, and what is about to be replaced.
const maxFiles = 70

// Settle ends all faults, lets files travel and devices make passes until nothing moves any more, and checks what must hold; see
// the package. Files that were deleted, or put back to an older state, and that no device can make again, it brings back after a while. Faults may happen again
// afterwards.
func (w *World) Settle() {
	w.undisturbed(func() {
		for _, d := range w.devices {
			if d.away != nil {
				w.bringBack(d)
			}
			environment.From(d.carrier).Compact = false
		}
		before := w.round(time.Hour)
		for n := range maxRounds {
			if n == maxRounds/2 {
				w.courier.bringBack()
			}
			after := w.round(time.Duration(1+n*n) * time.Hour) // some things wait for a week
			if maps.Equal(before, after) && w.healthy() == nil && (n > maxRounds/2 || !w.courier.lacksAny()) && (n == maxRounds-1 || !w.branched()) {
				w.check()
				return
			}
			before = after
		}
		w.must(w.healthy())
		w.Fatalf("the folders do not come to rest")
	})
}

// round lets time pass, files travel twice, and returns what stands in all folders.
func (w *World) round(pass time.Duration) map[string][32]byte {
	w.Pass(pass + time.Second)
	for _, d := range w.devices {
		w.carry(d)
		_ = d.Sync() // what is wrong stands in Status
		w.carry(d)
	}
	standing := make(map[string][32]byte)
	for _, d := range w.devices {
		for name := range d.files() {
			data, err := os.ReadFile(d.path(name))
			w.must(err)
			standing[d.name+"/"+name] = sha256.Sum256(data)
		}
	}
	return standing
}

// branched reports whether a device waits, or has begun, to publish what it knows of a branch of a log that may stand nowhere any more.
// It waits for a week by its own clock, which can be so slow that no round is the last.
func (w *World) branched() bool {
	for _, d := range w.devices {
		if waits := d.column("SELECT name FROM sqlitesync_settings WHERE name GLOB 'branches *' AND value NOT GLOB '0 *' OR name = 'read again'"); len(waits) > 0 {
			return true
		}
	}
	return false
}

// healthy returns what a device says is not well. Two things no device can mend: what a revoked device has published late stays
// refused, and what one has lost that is another one now, or gone, stays overdue; others tell what they know of it.
func (w *World) healthy() error {
	living := make(map[string]bool)
	for _, d := range w.devices {
		living[d.id()] = true
	}
	for _, d := range w.devices {
		s := d.syncer.Status()
		s.Problems = slices.DeleteFunc(s.Problems, func(err error) bool {
			var known *sqlitesync.Error
			return errors.As(err, &known) && w.ended[known.Device]
		})
		s.Waiting = slices.DeleteFunc(s.Waiting, func(wait sqlitesync.Waiting) bool {
			gap := w.gone[wait.Device] && wait.For == wait.Device // before all had come that it has written
			if gap {
				s.Behind = 0 // nothing of its log is read after that
			}
			return gap || wait.Overdue && !living[wait.Device.String()]
		})
		if len(s.Diverged) > 0 {
			return fmt.Errorf("%s: knows something else than those that have read the same: %v", d.name, s.Diverged)
		}
		if len(s.Problems) > 0 || len(s.Waiting) > 0 || s.Behind > 0 || s.Pending > 0 {
			return fmt.Errorf("%s: problems %v, waiting %v, behind %d, pending %d", d.name, s.Problems, s.Waiting, s.Behind, s.Pending)
		}
	}
	return nil
}

// check checks what must hold at rest.
func (w *World) check() {
	first := w.devices[0]
	want := first.Rows()
	for _, d := range w.devices {
		if got := d.Rows(); got != want {
			w.Fatalf("%s and %s show different rows:\n%s", first.name, d.name, difference(want, got))
		}
		w.must(d.whole())
		w.must(d.tidy())
	}
	w.must(w.secret())
}

// Rows returns all rows of the tables that are synced, as text, sorted. Devices that show the same have the same.
func (d *Device) Rows() string {
	var lines []string
	for _, table := range d.column("SELECT DISTINCT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'sqlitesync_*'") {
		var columns []string
		for _, column := range d.column("SELECT name FROM pragma_table_xinfo(?) ORDER BY name", table) {
			columns = append(columns, "quote("+quoted(column)+")")
		}
		for _, row := range d.column("SELECT " + strings.Join(columns, " || ', ' || ") + " FROM " + quoted(table)) {
			lines = append(lines, table+": "+row)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// column returns the first column of a query.
func (d *Device) column(query string, args ...any) (values []string) {
	rows, err := d.db.QueryContext(d.carrier, query, args...)
	d.world.must(err)
	defer rows.Close()
	for rows.Next() {
		var value sql.NullString
		d.world.must(rows.Scan(&value))
		values = append(values, value.String)
	}
	d.world.must(rows.Err())
	return values
}

// difference returns the lines that only one of two texts has.
func difference(one, two string) string {
	a, b := strings.Split(one, "\n"), strings.Split(two, "\n")
	var lines []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// whole checks the database file.
func (d *Device) whole() error {
	if found := d.column("PRAGMA integrity_check"); !slices.Equal(found, []string{"ok"}) {
		return fmt.Errorf("%s: integrity_check: %v", d.name, found)
	}
	if d.syncer.Status().ForeignKeys {
		if found := d.column("SELECT DISTINCT \"table\" FROM pragma_foreign_key_check"); len(found) > 0 {
			return fmt.Errorf("%s: foreign_key_check: %v", d.name, found)
		}
	}
	return nil
}

// tidy checks that the folder has few files, and those of somebody else as they were.
func (d *Device) tidy() error {
	count := make(map[string]int)
	for name := range d.files() {
		if ours.MatchString(name) {
			count[filepath.Dir(name)]++
		}
	}
	for dir, n := range count {
		if n > maxFiles && strings.HasPrefix(dir, "devices/") {
			return fmt.Errorf("%s: %s has %d files", d.name, dir, n)
		}
	}
	for name, content := range d.junk {
		if data, err := os.ReadFile(d.path(name)); err != nil || string(data) != content {
			return fmt.Errorf("%s: %s, of somebody else, is not what it was: %w", d.name, name, err)
		}
	}
	return nil
}

// secret checks that what stands in tables does not stand in the folder.
func (w *World) secret() error {
	d := w.devices[0]
	var values [][]byte
	for _, value := range longText.FindAllString(d.Rows(), -1) {
		values = append(values, []byte(strings.Trim(value, "'")))
	}
	for name := range d.files() {
		data, err := os.ReadFile(d.path(name))
		w.must(err)
		for _, value := range values {
			if bytes.Contains(data, value) {
				return fmt.Errorf("%s holds %q of a row", name, value)
			}
		}
	}
	return nil
}

// longText matches texts that are in no file by chance.
var longText = regexp.MustCompile(`'[^',]{8,}'`)

// ours matches the names of files that devices write.
var ours = regexp.MustCompile(`^(README\.txt|sqlitesync\.json|devices/[0-9a-f]{32}/(head|[0-9a-f-]{30}\.seg)|roster/[0-9a-f]{64}|invites/[0-9a-f]{32}\.age)$`)

// others returns the files of the folder that are not in the device's own directory.
func (d *Device) others() map[string]fs.FileInfo {
	if d.away != nil && d.away.fault != ReadOnly {
		return nil
	}
	files := d.files()
	own := "devices/" + d.id() + "/"
	maps.DeleteFunc(files, func(name string, _ fs.FileInfo) bool { return strings.HasPrefix(name, own) })
	return files
}

// touched checks, after a pass, that the device has left alone what is not its own. Invites that were used it may remove, and it may
// have become another device.
func (d *Device) touched(before map[string]fs.FileInfo) error {
	if before == nil {
		return nil
	}
	after := d.files()
	for name, info := range before {
		now, stands := after[name]
		if !stands && strings.HasPrefix(name, "invites/") {
			continue
		}
		if !stands || !unchanged(now, info) {
			return fmt.Errorf("%s has touched %s", d.name, name)
		}
	}
	then, now := "devices/"+d.disk.id+"/", "devices/"+d.id()+"/"
	for name := range after {
		_, stood := before[name]
		shared := ours.MatchString(name) && !strings.HasPrefix(name, "devices/")
		if !stood && !shared && !strings.HasPrefix(name, then) && !strings.HasPrefix(name, now) {
			return fmt.Errorf("%s has made %s", d.name, name)
		}
	}
	return nil
}

// remembers checks that the device has not forgotten what it had read; of devices that it was itself it may read anew what a twin
// of it has written.
func (d *Device) remembers() error {
	seen := make(map[string]int64)
	rows, err := d.db.QueryContext(d.carrier, "SELECT lower(hex(id)), batch FROM sqlitesync_devices")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var batch int64
		if err := rows.Scan(&id, &batch); err != nil {
			return err
		}
		seen[id] = batch
	}
	d.been[d.id()] = true
	for id, batch := range d.seen {
		if seen[id] < batch && !d.been[id] {
			return fmt.Errorf("%s had read batch %d of %s, and knows of %d", d.name, batch, id, seen[id])
		}
	}
	d.seen = seen
	return rows.Err()
}

// id returns the id of the device.
func (d *Device) id() string {
	return d.column("SELECT value FROM sqlitesync_settings WHERE name = 'device'")[0]
}
