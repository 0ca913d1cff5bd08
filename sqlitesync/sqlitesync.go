package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/environment"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// DeviceID names a device: 32 hexadecimal digits, the hash of its signing key.
type DeviceID = crypto.DeviceID

// Syncer keeps one database in sync with its space. Its methods may be called
// from several goroutines.
type Syncer struct {
	options     *Options
	environment *environment.Environment
	log         *slog.Logger
	app         *sql.DB // the app's handle; used only to open, and by Resolve
	handle      *handle
	path        string // of the folder
	lock        *flock.Flock
	events      hub
	slow        folder.SlowReads

	life    context.Context // ends when Close is called, and takes a pass that is under way along
	end     context.CancelFunc
	closing sync.Once
	loop    sync.WaitGroup

	// pass guards everything below: one pass at a time.
	pass          gate
	migrating     atomic.Bool // Migrate runs, which Close would wait for
	claim         claim
	identity      identity
	keys          *keyring
	db            *changelog.Database
	tables        []headTable               // how those that take part are declared, for the head
	records       map[string]*crypto.Record // every record seen, by hash
	roster        *crypto.Roster
	succeeded     map[DeviceID]bool // the devices that have gone on as others
	owed          time.Time         // since when a record is due from an admin's device; zero: none is
	guarded       map[string]bool   // tables that triggers of the app delete from or update
	quiet         map[string]bool   // triggers of the app that do not run in merges
	settings      []string          // what warnings said of the app's handle
	enforces      bool              // it enforces foreign keys
	warnings      []string
	broken        error // why this Syncer has stopped, see ErrBroken
	whole         bool  // capture is what the schema asks for, and was followed up
	seen          changelog.Vector
	pulling       time.Time          // when the pass began to merge
	out           uint64             // the batch up to which the outbox stands in the folder although publishing it has failed
	copied        int64              // PRAGMA data_version when Join copied the database
	copy          string             // the path of that copy
	succeeds      string             // what says that the database is a copy, which has yet to become another device
	heir          *crypto.DeviceKeys // of that device, while it could not be written down who it is
	untold        bool               // the database remembers which device it has been, for want of a pass since
	waiting       waits              // what the last pass waited for; nil before the first
	remembered    rememberedWaits
	outcomes      []outcome // of the transaction under way
	undone        int       // how many edits of the app it takes back
	incomplete    time.Time // since when not all was merged that the folder holds; zero if it was
	placed        bool      // the folder is remembered
	begun         bool      // Create, Join or Open has done its part
	looking       bool      // it belongs to a View, which writes nothing
	tidied        bool      // temporary files of an earlier run are gone
	lookedAhead   bool      // what others have read of this device was looked at before anything was published
	headTime      time.Time // when this device's head was last written
	headLooked    time.Time // when it was looked at
	headOwn       uint64    // the newest own batch that it names
	foldSize      int       // how many entries of the log to fold at once
	told          told      // of which batch the others were told, and when
	clocks        map[DeviceID]clockReading
	overdue       waits                  // what batches were merged without, although their authors had seen it
	conflicted    bool                   // the inbox has grown since it was pruned
	pruned        time.Time              // when
	looked        map[DeviceID]time.Time // when each log was last compared with what was read of it; nil: all are to be now
	listed        atomic.Uint64          // another one whenever other segments of others stand in the folder
	forksLooked   bool                   // all were in this pass
	lost          map[DeviceID]lostLog   // those whose files are missing in the folder; nil: to be read from the database
	rewound       map[DeviceID]uint64    // where logs go on with another branch that were read from the start
	opened        map[DeviceID]openedLog // logs of which names do not tell whether they stand, as they were seen last
	nextRecord    int                    // where the next pass begins to read records that are not known
	reread        map[DeviceID]uint64    // the gaps in logs when all were last read again in spite of them
	judged        *crypto.Roster         // the roster by whose cuts what was read has been judged; nil: there is something new
	readAgainLast time.Time              // when all logs were last read again for what a revoked device may have shown, by the steady clock
	badRecords    []string               // known records whose files were not as long as they are at the last look
	rosterTime    time.Time              // when all were looked at
	work          work
	scrubbed      scrubbing
	compaction    compaction
	unread        time.Time // when a part of the log could not be read that was to be written anew
	overruled     int       // how many changes have come since then that leave something of the own log without use
	copies        []string  // files under other names in the own directory when they were last looked at
	copiesLooked  time.Time
	vanished      bool // own segments are gone from the folder, or spoilt, and may come back
	spoilt        map[folder.SegmentName]bool
	altered       map[uint64]alteration // why units of segments can't be made again, by their first batch
	sizesLooked   time.Time             // when it was looked which are
	ranged        map[string]headRanges // what was found of the ranges of keys

	state state // what Status returns, behind its own mutex
}

// Create founds a space: the rows of db are its first content, folder its
// folder. The folder must exist and hold no space yet. The database is
// switched to WAL mode for good. ctx bounds the call only. If the error comes
// from writing into the folder, the database is set up all the same: go on with
// [Open], which finishes.
//
// The other devices enter with codes from [Syncer.Invite].
func Create(ctx context.Context, db *sql.DB, folderPath string, opts *Options) (*Syncer, error) {
	return start(ctx, "create", db, folderPath, opts, (*Syncer).checkNewcomer, (*Syncer).create)
}

// Join enters the space that folder holds, with a code from [Syncer.Invite] of
// one of its devices, or with the code from [Syncer.Recovery], and reads what the
// space has. What it can't read in two seconds is read in the background, and
// [Status].Progress tells how far that has come; with [Options].Manual Join returns
// when all is read. The tables must exist:
// the app makes them, as on every device; changes to tables that are not here
// yet are kept until they are. Where there is no app, see [Options.MakeTables]. The database is switched to WAL mode for good.
// ctx bounds the call only; what was read until then stays, and [Open] goes on.
// What is wrong with single files of the folder is no error here: it stands in
// [Status].Problems. As with Create, an error from writing into the folder
// leaves the database set up.
func Join(ctx context.Context, db *sql.DB, folderPath, code string, opts *Options) (*Syncer, error) {
	return start(ctx, "join", db, folderPath, opts, (*Syncer).checkNewcomer, func(s *Syncer, ctx context.Context) error { return s.join(ctx, code) })
}

// Open goes on with a database that is in a space already; if it is not, the
// error is [ErrNotSetUp]. The folder may be missing for now: local changes
// are kept until it is there. ctx bounds the call only.
func Open(ctx context.Context, db *sql.DB, folderPath string, opts *Options) (*Syncer, error) {
	if err := checkSetUp(ctx, db); err != nil {
		return nil, fmt.Errorf("sqlitesync: open: %w", err)
	}
	return start(ctx, "open", db, folderPath, opts, (*Syncer).checkKeys, (*Syncer).open)
}

// start does what Create, Join and Open have in common around enter, for which
// nobody stands by any longer when check finds an error.
func start(ctx context.Context, op string, db *sql.DB, folderPath string, opts *Options, check, enter func(*Syncer, context.Context) error) (*Syncer, error) {
	s := &Syncer{app: db, environment: environment.From(ctx), path: folderPath, pass: newGate(), foldSize: maxFold}
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.start(ctx, opts, check, enter); err != nil {
		s.end()
		return nil, errors.Join(called(op, err), s.release())
	}
	return s, nil
}

func (s *Syncer) start(ctx context.Context, opts *Options, check, enter func(*Syncer, context.Context) error) (err error) {
	if s.options, err = opts.withDefaults(s.environment); err != nil {
		return err
	}
	s.log = s.options.Logger
	// Every pass opens the folder anew; the working directory may change.
	if s.path, err = filepath.Abs(s.path); err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	path, err := locate(ctx, s.app)
	if err != nil {
		return err
	}
	if inside, err := folder.Contains(s.path, path); err != nil && !errors.Is(err, folder.ErrMissing) {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	} else if inside {
		return fmt.Errorf("%w: the database lies inside it, where a sync client would copy it half-written; move one of them", ErrFolder)
	}
	if s.options.StandBy {
		err = s.standBy(ctx, path, check)
	} else {
		err = s.acquire(ctx, path)
	}
	if err != nil {
		return err
	}
	if s.handle, err = openHandle(ctx, path); err != nil {
		return err
	}
	s.settings = append(warnings(ctx, s.app), placeWarnings(path)...)
	s.enforces, err = enforces(ctx, s.app)
	if err != nil {
		return err
	}
	if err := enter(s, ctx); err != nil {
		return err
	}
	if err := s.checkHandle(ctx); err != nil {
		return err
	}
	s.begun = true
	s.begin()
	return nil
}

// checkSetUp makes sure that db is in a space, with the app's own handle: a
// database that is not is left as it is, in its journal mode too.
func checkSetUp(ctx context.Context, db *sql.DB) error {
	if _, err := locate(ctx, db); err != nil {
		return err
	}
	var set bool
	err := db.QueryRowContext(ctx, queryInstalled).Scan(&set)
	if err == nil && !set {
		err = ErrNotSetUp
	}
	return err
}

// checkNewcomer makes sure that the database is in no space, with the app's own handle:
// who waits to found or enter one while another process has done so must not wait until
// that one ends, to hear then that Open was to be called.
func (s *Syncer) checkNewcomer(ctx context.Context) error {
	var set bool
	err := s.app.QueryRowContext(ctx, queryInstalled).Scan(&set)
	switch {
	case changelog.Busy(err): // say, while the other one sets the database up
		return nil
	case err == nil && set:
		return errInSpace
	}
	return err
}

var errInSpace = fmt.Errorf("%w: the database is in a space; call Open", ErrAlreadySetUp)

// open is what Open does once the database is ours.
func (s *Syncer) open(ctx context.Context) error {
	set, err := installed(ctx, s.handle.conn)
	if err != nil {
		return err
	}
	if !set {
		return ErrNotSetUp
	}
	if s.identity, err = loadIdentity(ctx, s.handle.conn); err != nil {
		return err
	}
	if err := s.takeClaim(ctx); err != nil {
		return err
	}
	if s.keys, err = loadKeys(ctx, s.options.Keys, s.identity); err != nil {
		return err
	}
	if s.db, err = changelog.Open(ctx, s.handle.conn, s.self()); err != nil {
		return err
	}
	s.db.ForeignKeys = s.identity.foreignKeys
	copied, err := s.isCopy(ctx) // before anything gets a number
	if err != nil {
		return err
	}
	if err := s.loadRoster(ctx); err != nil {
		return err
	}
	if s.succeeds = copied; copied == "" {
		if err := s.adoptEpochs(ctx); err != nil { // it may have ended before it did
			return err
		}
	}
	if err := s.capture(ctx); err != nil {
		return err
	}
	if err := s.tellFormer(ctx); err != nil {
		return err
	}
	if copied != "" {
		err := s.succeedAtOnce(ctx, copied)
		if errors.Is(err, errMadeWriter) {
			s.whole = false // the next pass tries again before it does anything
		} else if err != nil {
			return err
		}
	}
	if err := s.rememberOptions(ctx); err != nil {
		return err
	}
	return s.countConflicts(ctx)
}

// Sync does one full pass: it publishes what the database has, reads what the
// folder has, and merges it. When it returns nil, every local change committed
// before the call stands in the folder, and every change of other devices that
// the folder holds whole stands in the database, but for batches that wait for
// others ([Status].Waiting). What stood in the way of one device or one file is
// in the error, joined, and in [Status]; all else was done.
func (s *Syncer) Sync(ctx context.Context) error {
	return s.run(ctx)
}

// Pause stops background work and makes Sync fail with [ErrPaused] until
// Resume. A pass that is under way goes on to its end. Local writes are captured
// all the while.
func (s *Syncer) Pause() { s.state.setPaused(true) }

// Resume undoes Pause.
func (s *Syncer) Resume() { s.state.setPaused(false) }

// closeTime bounds how long Close tries to publish what is pending.
const closeTime = 30 * time.Second

// Close publishes what is pending, unless sync is paused, and stops. If the
// folder is not there, the error says so and nothing is lost: writes of the app
// are captured after Close as before it, and the next Open publishes them.
// While Migrate runs it is an error and does nothing. Close the app's handle
// after the Syncer.
func (s *Syncer) Close() error {
	if s.migrating.Load() {
		return fmt.Errorf("sqlitesync: close: %w", errInsideMigrate)
	}
	err := ErrClosed
	s.closing.Do(func() {
		s.end()
		s.loop.Wait()
		_ = s.pass.lock(context.Background()) // what is under way ends soon, its context is done
		defer s.pass.unlock()
		err = nil
		if !s.state.paused() {
			ctx, cancel := context.WithTimeout(context.Background(), closeTime)
			defer cancel()
			if err = s.export(ctx); err != nil {
				err = called("close", err)
			}
		}
		err = errors.Join(err, s.release())
	})
	return err
}

// release gives back what start took.
func (s *Syncer) release() error {
	var errs []error
	if s.handle != nil {
		errs = append(errs, s.handle.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Unlock())
	}
	return errors.Join(errs...)
}

// Uninstall takes sync out of a database: triggers and all tables whose names
// begin with sqlitesync_. The app's tables and rows stay; so does WAL mode.
// What other devices have stays there, and so does the device's entry in the
// KeyStore: a backup of the database that is restored later needs it, and its
// keys read what stands in the folder. Remove it by hand before you give the
// machine away; with [FileKeys] it is the file <device id>.key. Close the Syncer
// first.
func Uninstall(ctx context.Context, db *sql.DB) error {
	if err := checkSetUp(ctx, db); errors.Is(err, ErrNotSetUp) {
		return nil // there is nothing of ours in it
	}
	path, err := locate(ctx, db)
	if err != nil {
		return called("uninstall", err)
	}
	s := &Syncer{}
	defer func() { _ = s.release() }()
	if err := s.acquire(ctx, path); err != nil {
		return called("uninstall", err)
	}
	if s.handle, err = openHandle(ctx, path); err != nil {
		return called("uninstall", err)
	}
	err = s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		return changelog.Uninstall(ctx, s.handle.conn)
	})
	if err != nil {
		return called("uninstall", err)
	}
	return nil
}
