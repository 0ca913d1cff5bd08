package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

func TestOpenSaysThatADatabaseIsNotSetUp(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t, itemSchema)
	d.exec("INSERT INTO item VALUES ('x', 'mine', 1)")
	before := d.dump()
	_, err := Open(context.Background(), d.db, t.TempDir(), &d.options)
	wantIs(t, err, ErrNotSetUp)
	d.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")
	if d.dump() != before {
		t.Error("rows have changed")
	}
}

func TestCreateRefusesWhatIsSetUpAlready(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	_, err := Create(ctx, a.db, t.TempDir(), &a.options)
	wantIs(t, err, ErrInUse)
	a.close()
	_, err = Create(ctx, a.db, t.TempDir(), &a.options)
	wantIs(t, err, ErrAlreadySetUp)
	wantText(t, err, "Open")

	b := newTestDevice(t, itemSchema)
	_, err = Create(ctx, b.db, a.folder, &b.options)
	wantIs(t, err, ErrAlreadySetUp)
	wantText(t, err, "Join")
	b.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")

	// The marker has not been downloaded yet, the rest has.
	must(t, os.Remove(filepath.Join(a.folder, "sqlitesync.json")))
	_, err = Create(ctx, b.db, a.folder, &b.options)
	wantIs(t, err, ErrAlreadySetUp)

	_, err = Join(ctx, a.db, a.folder, "whatever", &a.options)
	wantIs(t, err, ErrCode)
}

// Two devices found a space in one folder, and neither sees what the other writes until it has: the second is told what is so,
// and what to do. As it says, it can join the other space, or found its own elsewhere; either way it has its rows.
func TestTwoDevicesFoundASpaceInOneFolder(t *testing.T) {
	t.Parallel()
	found := func(t *testing.T) (a, b *testDevice) {
		t.Helper()
		a, b = newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
		a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
		b.exec("INSERT INTO item VALUES ('2', 'of b', 1)")
		a.folder = t.TempDir()
		a.environment.Step = func(step string, perform func() error) error {
			if step == "mkdir devices" && b.syncer == nil { // a has seen an empty folder
				b.create(a.folder)
				b.sync()
			}
			return perform()
		}
		_, err := Create(a.context(), a.db, a.folder, &a.options)
		wantIs(t, err, ErrFolder)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		wantText(t, errors.New(e.Hint), "founded its own space", "Uninstall", "MergeExisting", "empty folder")
		a.open()
		wantIs(t, a.trySync(), ErrFolder)
		if hint := a.problem().Hint; hint != e.Hint {
			t.Errorf("a pass says %q", hint)
		}
		b.sync()
		b.wantHealthy()
		return a, b
	}
	t.Run("join", func(t *testing.T) {
		t.Parallel()
		a, b := found(t)
		_ = a.syncer.Close()
		a.syncer = nil
		must(t, Uninstall(t.Context(), a.db))
		a.options.Existing = MergeExisting
		a.join(b.folder, b.invite())
		settle(a, b)
		wantSame(t, []*testDevice{a, b})
		b.wantValue("2", "SELECT count(*) FROM item")
	})
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		a, _ := found(t)
		_ = a.syncer.Close()
		a.folder = t.TempDir()
		a.open()
		a.sync()
		a.wantHealthy()
		c := newTestDevice(t, itemSchema)
		c.join(a.folder, a.invite())
		wantSame(t, []*testDevice{a, c})
	})
	t.Run("brought together", func(t *testing.T) { // by the courier, who lets one marker stand
		t.Parallel()
		a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
		a.create(t.TempDir())
		b.create(t.TempDir())
		a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
		a.sync()
		marker, err := os.ReadFile(filepath.Join(b.folder, "sqlitesync.json"))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(a.folder, "sqlitesync.json"), marker, 0o600))
		_ = a.trySync()
		wantText(t, errors.New(a.problem().Hint), "someone has replaced it", "founded its own space", "MergeExisting")
	})
}

func TestCreateNeedsItsFolder(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t, itemSchema)
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := Create(context.Background(), d.db, missing, &d.options)
	wantIs(t, err, ErrFolder)
	d.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")
	must(t, os.Mkdir(missing, 0o700))
	d.create(missing)
}

// A second Syncer that stands by goes on when the first one ends, and gives up
// when it was not to wait any longer.
func TestTheSecondSyncerOfADatabaseStandsBy(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	other, err := OpenDB(a.path)
	must(t, err)
	defer other.Close()
	options := a.options
	options.StandBy = true
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Open(impatient, other, a.folder, &options)
	wantIs(t, err, context.Canceled)

	took := make(chan *Syncer)
	go func() {
		s, err := Open(t.Context(), other, a.folder, &options)
		if err != nil {
			t.Error(err)
		}
		took <- s
	}()
	_, err = other.Exec("INSERT INTO item VALUES ('x', 'written while it stands by', 1)")
	must(t, err)
	settle(a, b)
	b.wantValue("1", "SELECT count(*) FROM item")
	select {
	case <-took:
		t.Fatal("both work")
	default:
	}
	_, err = other.Exec("INSERT INTO item VALUES ('y', 'published by the second', 1)")
	must(t, err)
	must(t, a.syncer.Close())
	a.syncer = <-took
	settle(a, b)
	b.wantValue("2", "SELECT count(*) FROM item")
	a.wantHealthy()
}

// Nobody stands by to found or enter a space in which the database is already, or comes to be meanwhile: the call would fail when
// the other one has ended, weeks later, and nobody would take over from it.
func TestNobodyStandsByToEnterASpaceThatTheDatabaseIsIn(t *testing.T) {
	t.Parallel()
	b := newTestDevice(t, itemSchema)
	b.create(t.TempDir())
	a := newTestDevice(t, itemSchema)
	a.folder = b.folder
	code := b.invite()
	other, err := OpenDB(a.path)
	must(t, err)
	defer other.Close()
	options := a.options
	options.StandBy = true
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	refused := make(chan error, 1)
	var once sync.Once
	a.environment.Step = func(_ string, perform func() error) error {
		once.Do(func() { // a has the lock, and is in no space yet
			go func() {
				_, err := Join(ctx, other, a.folder, code, &options)
				refused <- err
			}()
		})
		return perform()
	}
	a.join(a.folder, code)
	wantIs(t, <-refused, ErrAlreadySetUp)
	_, err = Create(ctx, other, t.TempDir(), &options)
	wantIs(t, err, ErrAlreadySetUp)
	wantText(t, err, "call Open")
}

// Nobody stands by with a KeyStore that lacks the device's keys: the call would fail when the other one has ended, weeks later, and
// nobody would take over from it. Nothing says that the database was copied here: the keys can be in another place.
func TestNobodyStandsByWithoutKeys(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	other, err := OpenDB(a.path)
	must(t, err)
	defer other.Close()
	options := a.options
	options.StandBy, options.Keys = true, FileKeys(filepath.Join(t.TempDir(), "keys"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = Open(ctx, other, a.folder, &options)
	wantIs(t, err, ErrNotMember)
	wantText(t, err, "Options.Keys", "if it was copied to this machine")
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1)")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
}

func TestTheSecondSyncerOfADatabaseIsRefused(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	other, err := OpenDB(a.path)
	must(t, err)
	defer other.Close()
	_, err = Open(context.Background(), other, a.folder, &a.options)
	wantIs(t, err, ErrInUse)
	wantIs(t, Uninstall(context.Background(), other), ErrInUse)
	if _, err := other.Exec("INSERT INTO item VALUES ('x', 'captured all the same', 1)"); err != nil {
		t.Fatal(err)
	}
	a.sync()
	if n := len(a.segments()); n != 1 {
		t.Errorf("%d segments, want 1", n)
	}
	a.close()
	s, err := Open(context.Background(), other, a.folder, &a.options)
	must(t, err)
	must(t, s.Close())
}

func TestACloseIsTheEnd(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'published by Close', 1)")
	b.exec("INSERT INTO item VALUES ('x', 'other', 2)")
	syncer := a.syncer
	a.close()
	wantIs(t, syncer.Close(), ErrClosed)
	wantIs(t, syncer.Sync(ctx), ErrClosed)
	wantIs(t, syncer.Resolve(ctx, 1, KeepWinner), ErrClosed)
	_, err := syncer.Invite(ctx, nil)
	wantIs(t, err, ErrClosed)
	_, err = syncer.Devices(ctx)
	wantIs(t, err, ErrClosed)
	for _, err := range syncer.Conflicts(ctx) {
		wantIs(t, err, ErrClosed)
	}
	for _, err := range syncer.Held(ctx) {
		wantIs(t, err, ErrClosed)
	}
	for range syncer.Events(ctx) {
		t.Error("event after Close")
	}
	syncer.Status()
	syncer.Pause()
	syncer.Resume()

	b.sync()
	b.wantValue("1", "SELECT count(*) FROM item WHERE name IN ('published by Close', 'other')")
	a.exec("INSERT INTO item VALUES ('y', 'captured after Close', 3)")
	a.open()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("captured after Close", "SELECT name FROM item WHERE id = 'y'")
}

func TestPauseKeepsEverythingForLater(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.syncer.Pause()
	a.exec("INSERT INTO item VALUES ('x', 'written in the pause', 1)")
	wantIs(t, a.trySync(), ErrPaused)
	if state := a.syncer.Status().State; state != StatePaused {
		t.Errorf("state %s, want paused", state)
	}
	if len(a.segments()) != 0 {
		t.Error("published in the pause")
	}
	a.close() // does not publish either
	if names, _ := filepath.Glob(filepath.Join(a.folder, "devices", "*", "*.seg")); len(names) != 0 {
		t.Error("published by Close in the pause")
	}
	a.open() // a pause ends with the Syncer
	settle(a, b)
	b.wantValue("written in the pause", "SELECT name FROM item")
	a.syncer.Pause()
	a.syncer.Resume()
	a.sync()
	a.wantHealthy()
}

// What waited for its turn when sync was paused does not begin.
func TestWhatWaitsWhenSyncIsPaused(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	for name, wait := range map[string]func(context.Context) error{
		"Sync":   a.syncer.Sync,
		"Verify": func(ctx context.Context) error { _, err := a.syncer.Verify(ctx); return err },
	} {
		must(t, a.syncer.pass.lock(t.Context()))
		ctx := &askedContext{Context: t.Context(), asked: make(chan struct{})}
		done := make(chan error)
		go func() { done <- wait(ctx) }()
		<-ctx.asked
		a.syncer.Pause()
		a.exec("INSERT INTO item VALUES (?, 'written in the pause', 1)", name)
		a.syncer.pass.unlock()
		wantIs(t, <-done, ErrPaused)
		if len(a.segments()) != 0 {
			t.Errorf("%s has published in the pause", name)
		}
		a.syncer.Resume()
	}
}

// askedContext tells when somebody begins to wait for its end.
type askedContext struct {
	context.Context
	once  sync.Once
	asked chan struct{}
}

func (c *askedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.asked) })
	return c.Context.Done()
}

// Each device is closed and opened again between every two steps.
func TestReopenAtEveryStage(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('old', 'before Create', 1)")
	a.create(t.TempDir())
	a.reopen()
	code := a.invite()
	a.reopen()
	b.join(a.folder, code)
	b.reopen()
	a.sync()
	a.reopen()
	b.sync()
	b.wantValue("before Create", "SELECT name FROM item")
	b.exec("UPDATE item SET name = 'edited' WHERE id = 'old'")
	b.reopen()
	a.sync()
	a.wantValue("edited", "SELECT name FROM item")

	// With the folder missing, writes are kept through any number of sessions.
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	for _, key := range []string{"1", "2", "3"} {
		a.exec("INSERT INTO item VALUES (?, 'offline', 1)", key)
		wantIs(t, a.trySync(), ErrFolder)
		wantIs(t, a.syncer.Close(), ErrFolder)
		a.exec("UPDATE item SET name = 'offline, closed' WHERE id = ?", key)
		var err error
		a.syncer, err = Open(ctx, a.db, a.folder, &a.options)
		if err != nil {
			t.Fatalf("Open with the folder missing: %v", err)
		}
	}
	wantIs(t, a.trySync(), ErrFolder)
	if pending := a.syncer.Status().Pending; pending == 0 {
		t.Error("nothing pending although nothing could be published")
	}
	wantIs(t, a.syncer.Close(), ErrFolder)
	a.syncer = nil
	must(t, os.Rename(away, a.folder))
	a.open()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("3", "SELECT count(*) FROM item WHERE name = 'offline, closed'")
	a.wantHealthy()

	// A log that was read halfway is read on.
	for i := range 10 {
		a.exec("INSERT INTO item VALUES (?, 'one of ten', ?)", i+100, i)
		a.sync()
	}
	names := a.segments()
	aside := t.TempDir()
	for _, name := range names[len(names)-5:] {
		must(t, os.Rename(name, filepath.Join(aside, filepath.Base(name))))
	}
	b.sync()
	b.wantValue("5", "SELECT count(*) FROM item WHERE name = 'one of ten'")
	b.reopen()
	for _, name := range names[len(names)-5:] {
		must(t, os.Rename(filepath.Join(aside, filepath.Base(name)), name))
	}
	b.sync()
	wantSame(t, []*testDevice{a, b})
	b.reopen()
	wantQuiet(t, a, b)
}

// Create stops after each of its steps in the folder; Open finishes it.
func TestACreateThatWasInterruptedIsFinishedByOpen(t *testing.T) {
	t.Parallel()
	for _, obstacle := range []string{"devices", "sqlitesync.json", "roster"} {
		t.Run(obstacle, func(t *testing.T) {
			a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('x', 'dear', 1)")
			a.folder = t.TempDir()
			path := filepath.Join(a.folder, obstacle)
			if obstacle == "sqlitesync.json" {
				must(t, os.Symlink("nowhere", filepath.Join(a.folder, "README.txt"))) // only makes a mess
				must(t, os.MkdirAll(path, 0o700))
			} else {
				must(t, os.WriteFile(path, []byte("in the way"), 0o600))
			}
			_, err := Create(context.Background(), a.db, a.folder, &a.options)
			wantIs(t, err, ErrFolder)
			must(t, os.Remove(path))
			a.wantValue("dear", "SELECT name FROM item")

			a.syncer, err = Open(context.Background(), a.db, a.folder, &a.options)
			if errors.Is(err, ErrNotSetUp) {
				a.create(a.folder) // it had not begun
			} else {
				must(t, err)
			}
			a.sync()
			b.join(a.folder, a.invite())
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			b.wantValue("dear", "SELECT name FROM item")
		})
	}
}

func TestUninstallLeavesRowsAndNothingOfOurs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, everySchema+itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'stays', 1)")
	settle(a, b)
	b.exec("UPDATE item SET n = 2")
	b.close()
	before := b.dump()
	must(t, Uninstall(ctx, b.db))
	b.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%' OR tbl_name LIKE 'sqlitesync%' OR sql LIKE '%sqlitesync%'")
	b.wantValue("ok", "PRAGMA integrity_check")
	if after := b.dump(); after != before {
		t.Errorf("rows were\n%s\nand are\n%s", before, after)
	}
	_, err := Open(ctx, b.db, b.folder, &b.options)
	wantIs(t, err, ErrNotSetUp)
	must(t, Uninstall(ctx, b.db)) // nothing to do

	// Back again, as another device, with the rows as they were left.
	b.exec("INSERT INTO item VALUES ('y', 'written in between', 3)")
	a.exec("UPDATE item SET name = 'edited meanwhile' WHERE id = 'x'")
	a.sync()
	b.options.Existing = MergeExisting
	b.join(a.folder, a.invite())
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("edited meanwhile", "SELECT name FROM item WHERE id = 'x'")
	a.wantValue("written in between", "SELECT name FROM item WHERE id = 'y'")
	wantQuiet(t, a, b)
}

func TestTheFolderMayBeGivenRelativeToTheWorkingDirectory(t *testing.T) {
	a := newTestDevice(t, itemSchema)
	base := t.TempDir()
	must(t, os.Mkdir(filepath.Join(base, "shared"), 0o700))
	t.Chdir(base)
	a.create("shared")
	t.Chdir(t.TempDir())
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	names, err := filepath.Glob(filepath.Join(base, "shared", "devices", "*", "*.seg"))
	must(t, err)
	if len(names) != 1 {
		t.Errorf("segments %v, want one in the folder that was meant at Create", names)
	}
}

// The lock file is the only thing that stands beside the database.
func TestNothingButTheLockStandsBesideTheDatabase(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	a.close()
	entries, err := os.ReadDir(filepath.Dir(a.path))
	must(t, err)
	for _, entry := range entries {
		name := entry.Name()
		if name != "keys" && name != "app.db-sqlitesync.lock" && !strings.HasPrefix(name, "app.db") {
			t.Errorf("%s was left", name)
		}
	}
	info, err := os.Stat(a.path + "-sqlitesync.lock")
	must(t, err)
	if info.Mode()&fs.ModePerm > 0o644 || info.Size() != 0 {
		t.Errorf("lock file has mode %v and %d bytes", info.Mode(), info.Size())
	}
}

// Whoever removes the file of the lock, as cleaners do, lets a second Syncer in. The first one notices, before it gives numbers
// that the second has given.
func TestTheLockIsRemovedWhileSyncRuns(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	if err := os.Remove(lockPath(a.path)); err != nil {
		t.Skip("this system does not let files go that are open: ", err)
	}
	a.exec("INSERT INTO item VALUES ('1', 'nobody else is there', 1)")
	settle(a, b)
	b.wantValue("1", "SELECT count(*) FROM item")

	second := &testDevice{tb: t, path: a.path, folder: a.folder, options: a.options}
	var err error
	second.db, err = OpenDB(a.path)
	must(t, err)
	defer second.db.Close()
	second.open()
	c := newTestDevice(t, itemSchema)
	c.join(b.folder, b.invite())
	c.exec("INSERT INTO item VALUES ('2', 'of c', 1)")
	c.sync()
	second.sync() // gives c a number
	d := newTestDevice(t, itemSchema)
	d.join(b.folder, b.invite())
	d.exec("INSERT INTO item VALUES ('3', 'of d', 1)")
	d.sync()
	wantIs(t, a.trySync(), ErrInUse)
	wantText(t, errors.New(a.problem().Hint), "-sqlitesync.lock", "open it again")
	wantIs(t, a.syncer.Close(), ErrInUse)
	_, err = Open(a.context(), a.db, a.folder, &a.options)
	wantIs(t, err, ErrInUse)
	a.exec("INSERT INTO item VALUES ('4', 'captured all the same', 1)")
	second.sync()
	second.close()
	a.open()
	devices := []*testDevice{a, b, c, d}
	settle(devices...)
	wantSame(t, devices)
	b.wantValue("4", "SELECT count(*) FROM item")
	wantQuiet(t, devices...)
}

// While one process sets the database up, another one that stands by can't read it for a moment: it goes on to wait.
func TestWhoStandsByWaitsForALockedDatabase(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.exec("PRAGMA journal_mode = DELETE")
	db, err := sql.Open("sqlite", a.path) // without a busy timeout
	must(t, err)
	defer db.Close()
	lock := flock.New(lockPath(a.path))
	_, err = lock.TryLock()
	must(t, err)
	defer lock.Close()
	conn, err := a.db.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	must(t, err)
	s := &Syncer{app: db}
	ctx, cancel := context.WithCancel(t.Context())
	err = s.standBy(ctx, a.path, func(s *Syncer, ctx context.Context) error {
		cancel()
		return s.checkNewcomer(context.WithoutCancel(ctx))
	})
	wantIs(t, err, context.Canceled)
}
