package synctest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync"
	"github.com/sqlitesync/go/sqlitesync/internal/environment"
)

// An App opens the database of a device, at [Device.Path], and its Syncer on [Device.Folder]: the first time with Create or,
// if [Device.Code] is not empty, with Join, later with Open. It is called when the device is made and each time it starts again.
// The World closes what it returns. If it fails it closes what it has opened.
type App func(ctx context.Context, d *Device) (*sql.DB, *sqlitesync.Syncer, error)

// Schema returns an App that has nothing but tables. Foreign keys are on, see [sqlitesync.OpenDB].
func Schema(statements string) App { return tables(statements, nil) }

// tables is Schema, with options.
func tables(statements string, options *sqlitesync.Options) App {
	return func(ctx context.Context, d *Device) (db *sql.DB, s *sqlitesync.Syncer, err error) {
		if db, err = sqlitesync.OpenDB(d.Path()); err != nil {
			return nil, nil, err
		}
		s, err = sqlitesync.Open(ctx, db, d.Folder(), options)
		if errors.Is(err, sqlitesync.ErrNotSetUp) {
			s, err = enter(ctx, db, d, statements, options)
		}
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		return db, s, nil
	}
}

// enter makes the tables, if they are not there, and founds or joins the space.
func enter(ctx context.Context, db *sql.DB, d *Device, statements string, options *sqlitesync.Options) (*sqlitesync.Syncer, error) {
	var made bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema)").Scan(&made)
	if err == nil && !made {
		_, err = db.ExecContext(ctx, statements)
	}
	switch {
	case err != nil:
		return nil, err
	case d.Code() == "":
		return sqlitesync.Create(ctx, db, d.Folder(), options)
	}
	return sqlitesync.Join(ctx, db, d.Folder(), d.Code(), options)
}

// A Device is a database file with its keys, its folder and its clock, and the app that has it open.
type Device struct {
	world   *World
	name    string
	app     App
	code    string
	dir     string
	db      *sql.DB
	syncer  *sqlitesync.Syncer
	clock   clock
	keys    *keys
	disk    disk
	carrier context.Context // carries the environment
	known   map[string]known
	lost    map[string]spoilt // what of its folder is not as the courier has brought it
	junk    map[string]string // files of somebody else, with their content
	away    *away             // what has happened to the folder as a whole
	backup  *state
	seen    map[string]int64 // how far it had read the logs of others
	been    map[string]bool  // the ids that it had, this one too
	losses  int
	passed  bool // the last pass went well, and the app has not started since
}

// Device makes a device that runs the app: the first one founds the space, the others join it. Nothing goes wrong meanwhile.
func (w *World) Device(app App) *Device {
	code := ""
	if len(w.devices) > 0 {
		w.undisturbed(func() { code = w.invite() })
	}
	d := w.newDevice(app)
	d.code = code
	w.devices = append(w.devices, d)
	w.undisturbed(func() {
		w.carry(d)
		w.must(d.start())
		w.carry(d)
	})
	w.Notef("%s: made", d.name)
	return d
}

// invite has a device invite another one.
func (w *World) invite() string {
	host := w.devices[0]
	if host.away != nil {
		w.bringBack(host)
	}
	w.carry(host)
	invite, err := host.syncer.Invite(host.carrier, &sqlitesync.InviteOptions{Role: sqlitesync.RoleAdmin, Expires: 200 * 365 * 24 * time.Hour})
	w.must(err)
	w.carry(host)
	return invite.Code
}

func (w *World) newDevice(app App) *Device {
	n := w.made
	w.made++
	d := &Device{
		world: w, name: fmt.Sprint("device ", n), app: app, dir: w.path(fmt.Sprint(n)), clock: clock{now: w.now}, keys: newKeys(),
		known: make(map[string]known), lost: make(map[string]spoilt), junk: make(map[string]string), been: make(map[string]bool),
	}
	d.disk = disk{device: d, taken: make(map[string]int)}
	w.must(os.MkdirAll(d.Folder(), 0o700))
	d.carrier = environment.With(context.Background(), &environment.Environment{
		Wall:   func() time.Time { return d.clock.now },
		Steady: func() time.Time { return w.now },
		Step:   d.disk.step,
		Keys:   keysOnDisk{d},
		Manual: true,
	})
	return d
}

// Path returns the path of the device's database file.
func (d *Device) Path() string { return filepath.Join(d.dir, "app.db") }

// Folder returns the path of the device's folder.
func (d *Device) Folder() string { return filepath.Join(d.dir, "folder") }

// Code returns the invite code with which the device enters the space, or "" if it founds it.
func (d *Device) Code() string { return d.code }

// Name returns what traces call the device.
func (d *Device) Name() string { return d.name }

// DB returns the app's handle. It is another one after each start.
func (d *Device) DB() *sql.DB { return d.db }

// Syncer returns the app's Syncer. It is another one after each start.
func (d *Device) Syncer() *sqlitesync.Syncer { return d.syncer }

// Lost counts how often the device has forgotten what it knew: with a power cut, or a backup that was put back. What the app wrote
// before, and no folder held, may be gone then.
func (d *Device) Lost() int { return d.losses }

// Exec runs a statement of the app. The run ends if it fails.
func (d *Device) Exec(statement string, args ...any) {
	if _, err := d.db.ExecContext(d.carrier, statement, args...); err != nil {
		d.world.Fatalf("%s: %s: %w", d.name, statement, err)
	}
	d.world.Notef("%s: %s %q", d.name, statement, args)
}

// Sync lets the device make a pass. Its error is no reason to end a test in which faults are allowed: the next pass tries again.
func (d *Device) Sync() error {
	d.stampWrites()
	before := d.others()
	d.disk.begin()
	ctx, cancel := context.WithCancel(d.carrier)
	if d.world.happens(CancelledPass, 40) {
		d.disk.cancel = cancel
	}
	err := d.syncer.Sync(ctx)
	cancel()
	d.disk.cancel = nil
	if died := d.disk.end(); died != nil {
		d.die(died)
		return fmt.Errorf("the process has died")
	}
	d.passed = err == nil
	d.world.must(d.touched(before))
	d.world.must(d.remembers())
	return err
}

// start runs the app, which may fail while things go wrong.
func (d *Device) start() (err error) {
	d.passed = false
	if d.db, d.syncer, err = d.app(d.carrier, d); err != nil {
		d.db, d.syncer = nil, nil
		return fmt.Errorf("%s: start: %w", d.name, err)
	}
	return nil
}

// close closes the Syncer and the handle, as apps do that end.
func (d *Device) close() error {
	if d.db == nil {
		return nil
	}
	d.stampWrites()
	_ = d.syncer.Close() // it could not publish, perhaps
	err := d.db.Close()
	d.db, d.syncer = nil, nil
	return err
}

// Restart closes the app and starts it again.
func (d *Device) Restart() {
	d.world.must(d.close())
	d.revive()
}

// revive starts the app. If it can't start with what goes wrong, it can without.
func (d *Device) revive() {
	if err := d.start(); err != nil {
		d.world.Notef("%s: %.200v", d.name, err)
		d.world.undisturbed(func() { d.world.must(d.start()) })
	}
}

// Crash lets the process of the app die: what SQLite has not written is gone, and nothing is closed.
func (d *Device) Crash() {
	d.stampWrites()
	d.die(d.save())
}

// CutPower is Crash, with all that was not synced to the disk.
func (d *Device) CutPower() {
	d.stampWrites()
	s := d.save()
	d.cut(s)
	d.die(s)
}

// die ends the process, so that nothing but the state is left, and starts the app again.
func (d *Device) die(left *state) {
	d.disk.dead = true
	_ = d.close() // it can't write into the folder any more, or save keys
	d.disk.dead = false
	d.world.must(left.restore(d))
	d.revive()
}

// BackUp keeps a copy of the database, and of the keys.
func (d *Device) BackUp() {
	d.stampWrites()
	d.backup = d.save()
	d.backup.settle()
}

// PutBack puts the last backup back, with the keys of then or those of now. Without a backup it does nothing.
func (d *Device) PutBack(withKeys bool) {
	if d.backup == nil {
		return
	}
	s := *d.backup
	if !withKeys {
		s.keys = nil
	}
	d.losses++
	d.seen = nil
	d.die(&s)
}

// trouble lets the device have an accident before its next pass.
func (w *World) trouble(d *Device) {
	if w.calm {
		return
	}
	w.troubleClock(d)
	w.troubleFolder(d)
	const once = 30
	if w.IntN(6) == 0 {
		d.BackUp()
	}
	switch {
	case w.happens(Restart, once):
		d.Restart()
	case w.happens(Crash, once):
		d.Crash()
	case w.happens(PowerLoss, once):
		d.CutPower()
	case d.backup != nil && w.happens(RestoreWithKeys, once):
		d.PutBack(true)
	case d.backup != nil && w.happens(RestoreWithoutKeys, once):
		d.PutBack(false)
	case len(w.devices) < maxDevices && d.away == nil && w.happens(Clone, once):
		w.clone(d)
	case w.happens(Vacuum, once):
		_, err := d.db.ExecContext(d.carrier, "VACUUM")
		w.must(err)
	}
	environment.From(d.carrier).Compact = w.happens(Compaction, once/2)
}

// maxDevices bounds how many devices clones make of a few.
const maxDevices = 8

// clone makes a device of a copy of everything that another one has.
func (w *World) clone(d *Device) {
	d.stampWrites()
	twin := w.newDevice(d.app)
	w.devices = append(w.devices, twin)
	s := d.save()
	s.settle()
	w.must(s.restore(twin))
	twin.learn(d)
	twin.clock = d.clock
	maps.Copy(twin.been, d.been)
	twin.been[d.id()] = true
	twin.revive()
}

// Revoke lets the first of the other devices revoke this one, and ends it: what it has written others may have seen or not. If a
// fault keeps them from it the device is only gone, as one is that was thrown away.
func (d *Device) Revoke() {
	w := d.world
	w.devices = slices.DeleteFunc(w.Devices(), func(other *Device) bool { return other == d })
	id, err := crypto.ParseDeviceID(d.id())
	w.must(err)
	err = w.devices[0].syncer.Revoke(w.devices[0].carrier, id)
	w.Notef("%s: revoked -- %v", d.name, err)
	w.ended[id], w.gone[id] = true, err != nil
	w.must(d.close())
}

// undisturbed runs fn while nothing goes wrong.
func (w *World) undisturbed(fn func()) {
	before := w.calm
	w.calm = true
	fn()
	w.calm = before
}

// own returns the path of what the device calls name in its folder, or "" if it does not stand there.
func (d *Device) own(name string) string {
	for _, dir := range []string{"devices/" + d.disk.id, "roster", "invites", "."} {
		path := filepath.Join(d.Folder(), dir, name)
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return ""
}
