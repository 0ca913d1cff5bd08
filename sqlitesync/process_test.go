package sqlitesync

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"modernc.org/sqlite"
)

// TestMain lets the test binary be a second process: an app of its own that
// does what its job says.
func TestMain(m *testing.M) {
	text := os.Getenv(jobVariable)
	sqlite.MustRegisterScalarFunction("stop_here", 0, stopHere)
	if text == "" {
		sqlite.RegisterConnectionHook(runConnectionHook)
		if dir := memoryDirectory(); dir != "" && os.Getenv("TMPDIR") == "" {
			os.Setenv("TMPDIR", dir) // half of the time the tests would wait for the disk, and nothing of theirs has to outlive a power cut
		}
		os.Exit(m.Run())
	}
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const jobVariable = "SQLITESYNC_TEST_JOB"

// job is what a child process does. It prints a line for each step that it has
// taken, and ends when its standard input does.
type job struct {
	Enter  string // "": no engine; "open", "create" or "join"
	Path   string // of the database
	Folder string
	Keys   string
	Code   string
	Prefix string // of the ids of its rows
	Count  int    // how many rows it writes; -1: as many as it can
	Change bool   // it also updates and deletes rows of its own

	// What it does instead, if it has an act: see dyingActs.
	Act    string
	Device string // of a relay
	Now    int64  // what its clock shows when it begins, in milliseconds since 1970
	Stop   int    // at which of its steps it stops until it is killed; below 0: it does not
	Where  string // the name of a step at which it stops too; "": none
}

func (j *job) run() error {
	ctx := context.Background()
	db, err := OpenDB(j.Path)
	if err != nil {
		return err
	}
	defer db.Close()
	if j.Act != "" {
		return j.act(db)
	}
	options := &Options{Keys: FileKeys(j.Keys), FlushDelay: 5 * time.Millisecond, PollInterval: 100 * time.Millisecond}
	var s *Syncer
	switch j.Enter {
	case "open":
		s, err = Open(ctx, db, j.Folder, options)
	case "create":
		s, err = Create(ctx, db, j.Folder, options)
	case "join":
		s, err = Join(ctx, db, j.Folder, j.Code, options)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for next := range j.statements() {
		switch next.verb {
		case "put":
			_, err = db.Exec("INSERT INTO item VALUES (?, ?, ?)", next.id, next.name, next.n)
		case "edit":
			_, err = db.Exec("UPDATE item SET name = ? WHERE id = ?", next.name, next.id)
		case "delete":
			_, err = db.Exec("DELETE FROM item WHERE id = ?", next.id)
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Println(next.verb, next.id); err != nil { // acknowledged
			return err
		}
	}
	fmt.Println("done")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if s != nil {
		return s.Close()
	}
	return nil
}

// statement is what a child does to one row.
type statement struct {
	verb, id string
	name     string // that the row has afterwards; "": the row is gone
	n        int
}

// statements are what a child does when it has no act, in this order, each in a transaction of its own.
func (j *job) statements() iter.Seq[statement] {
	return func(yield func(statement) bool) {
		does := func(verb string, n int, name string) bool {
			return yield(statement{verb, fmt.Sprint(j.Prefix, n), name, n})
		}
		for i := 0; i != j.Count; i++ {
			changes := j.Change && i >= 3
			if !does("put", i, j.Prefix) ||
				changes && i%3 == 0 && !does("edit", i-1, "edited") ||
				changes && i%7 == 0 && !does("delete", i-2, "") {
				return
			}
		}
	}
}

// child is a process that does a job.
type child struct {
	tb     testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

func startChild(tb testing.TB, j job) *child {
	tb.Helper()
	text, err := json.Marshal(j)
	must(tb, err)
	self, err := os.Executable()
	must(tb, err)
	c := &child{tb: tb, cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	c.cmd.Stderr = &c.stderr
	c.stdin, err = c.cmd.StdinPipe()
	must(tb, err)
	stdout, err := c.cmd.StdoutPipe()
	must(tb, err)
	c.lines = bufio.NewScanner(stdout)
	must(tb, c.cmd.Start())
	tb.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			c.cmd.Process.Kill()
			c.cmd.Wait()
		}
	})
	return c
}

// until reads lines until this one.
func (c *child) until(line string) {
	c.tb.Helper()
	for c.lines.Scan() {
		if c.lines.Text() == line {
			return
		}
	}
	c.cmd.Wait()
	c.tb.Fatalf("the child ended before %q: %s", line, c.stderr.String())
}

// end lets the child come to its end.
func (c *child) end() {
	c.tb.Helper()
	must(c.tb, c.stdin.Close())
	if err := c.cmd.Wait(); err != nil {
		c.tb.Fatalf("child: %v: %s", err, c.stderr.String())
	}
}

func (d *testDevice) job(enter, prefix string, count int) job {
	return job{
		Enter: enter, Path: d.path, Folder: d.folder, Keys: filepath.Join(filepath.Dir(d.path), "keys"),
		Prefix: prefix, Count: count,
	}
}

func TestTwoProcessesThatWriteAtOnceEndEqual(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.close()
	b.close()
	const rows = 300
	var children []*child
	for _, d := range []*testDevice{a, b} {
		children = append(children, startChild(t, d.job("open", filepath.Base(filepath.Dir(d.path))+"-"+d.path+"-", rows)))
	}
	for _, c := range children {
		c.until("done")
	}
	for _, d := range []*testDevice{a, b} {
		d.waitForUnsynced(fmt.Sprintf("SELECT count(*) = %d FROM item", 2*rows))
	}
	for _, c := range children {
		c.end()
	}
	wantSame(t, []*testDevice{a, b})
	a.open()
	b.open()
	settle(a, b)
	wantQuiet(t, a, b)
	if n := len(append(a.conflicts(), b.conflicts()...)); n != 0 {
		t.Errorf("%d conflicts", n)
	}
}

// waitForUnsynced is waitFor for a device whose engine runs in another process.
func (d *testDevice) waitForUnsynced(query string) {
	d.tb.Helper()
	d.syncer = &Syncer{pass: newGate()}
	d.waitFor(query)
	d.syncer = nil
}

// The engine runs here, the writers are other programs with other SQLites.
func TestWritesOfOtherProgramsAreNoticed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		write func(t *testing.T, path string)
	}{
		{"another process", func(t *testing.T, path string) {
			c := startChild(t, job{Path: path, Prefix: "row", Count: 20})
			c.until("done")
			c.end()
		}},
		{"sqlite3 shell", func(t *testing.T, path string) {
			script := ""
			for i := range 20 {
				script += fmt.Sprintf("INSERT INTO item VALUES ('row%d', 'row', %d);\n", i, i)
			}
			program(t, script, "sqlite3", "-bail", "-cmd", ".timeout 5000", path)
		}},
		{"Python", func(t *testing.T, path string) {
			script := `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=5)
for i in range(20):
    with db:
        db.execute("INSERT INTO item VALUES (?, 'row', ?)", ("row%d" % i, i))
`
			program(t, script, "python3", "-", path)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, itemSchema)
			for _, d := range []*testDevice{a, b} {
				d.options.Manual, d.options.FlushDelay, d.options.PollInterval = false, 5*time.Millisecond, 100*time.Millisecond
				d.reopen()
			}
			test.write(t, a.path)
			a.exec("UPDATE item SET name = 'edited' WHERE id = 'row7'")
			b.waitFor("SELECT count(*) = 20 AND sum(name = 'edited') = 1 FROM item")
			b.exec("DELETE FROM item WHERE n >= 10")
			a.waitFor("SELECT count(*) = 10 FROM item")
			wantSame(t, []*testDevice{a, b})
		})
	}
}

// program runs another program that writes to the database.
func program(t *testing.T, script string, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(script)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, output)
	}
}

// Every kind of write by a SQLite of 2022, which has no function that was
// added since, while the engine is not even running.
func TestEveryKindOfWriteOfAnOlderSQLiteIsCaptured(t *testing.T) {
	t.Parallel()
	const schema = everySchema + `
		CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE);
		CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, person TEXT REFERENCES person(id) ON DELETE CASCADE)`
	a, b := newPair(t, schema)
	a.exec("INSERT INTO person VALUES ('1', 'a@'), ('2', 'b@'), ('3', 'c@')")
	a.exec("INSERT INTO note VALUES ('n1', '1'), ('n2', '2')")
	settle(a, b)
	a.close()
	program(t, `
		PRAGMA foreign_keys = ON;
		REPLACE INTO person VALUES ('4', 'c@');
		INSERT OR IGNORE INTO person VALUES ('4', 'ignored'), ('5', 'e@');
		INSERT INTO person VALUES ('5', 'f@') ON CONFLICT (id) DO UPDATE SET mail = excluded.mail;
		UPDATE OR REPLACE person SET mail = 'b@' WHERE id = '5';
		DELETE FROM person WHERE id = '1';
		UPDATE person SET id = '6' WHERE id = '4';
		INSERT INTO loose VALUES ('text', 'x'), ('blob', x'00ff'), ('real', -0.0), ('null', NULL), ('inf', 9e999), ('int', -9223372036854775808);
		INSERT INTO pair VALUES ('a', 1, 'v'), ('b', 1, 'v'); UPDATE pair SET b = 2 WHERE a = 'b';
		INSERT INTO norowid VALUES ('a', 1.5, x''); DELETE FROM norowid; INSERT INTO norowid VALUES ('a', 2, 'again');
		INSERT INTO firm (x) VALUES (1), (2), (3); UPDATE firm SET rowid = 10 WHERE id = 1;
		INSERT INTO computed (id, n) VALUES ('x', 4);
		BEGIN; INSERT INTO loose VALUES ('rolled back', 1); ROLLBACK;
		BEGIN; INSERT INTO loose VALUES ('kept', 1); SAVEPOINT s; INSERT INTO loose VALUES ('not', 1); ROLLBACK TO s; COMMIT;
		`, "sqlite3", "-bail", a.path)
	a.open()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("6 c@", "SELECT id || ' ' || mail FROM person WHERE mail = 'c@'")
	b.wantValue("5 b@", "SELECT id || ' ' || mail FROM person WHERE mail = 'b@'")
	b.wantValue("0", "SELECT count(*) FROM note")
	b.wantValue("1", "SELECT count(*) FROM loose WHERE id = 'kept'")
	b.wantValue("0", "SELECT count(*) FROM firm WHERE id = 1")
	wantQuiet(t, a, b)
}

func TestBackgroundWork(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	for _, d := range devices {
		d.options.Manual, d.options.FlushDelay, d.options.PollInterval = false, 5*time.Millisecond, 50*time.Millisecond
		d.reopen()
	}
	a, b, c := devices[0], devices[1], devices[2]
	var writers sync.WaitGroup
	for i, d := range devices {
		writers.Go(func() {
			for k := range 50 {
				if _, err := d.db.Exec("INSERT INTO item VALUES (?, 'new', ?)", fmt.Sprint(i, "-", k), k); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	for _, d := range devices {
		d.waitFor("SELECT count(*) = 150 FROM item")
	}
	// The folder goes, and comes back.
	must(t, os.Rename(a.folder, a.folder+".away"))
	a.exec("UPDATE item SET name = 'offline' WHERE id = '0-0'")
	a.waitForState(StateFailing)
	must(t, os.Rename(a.folder+".away", a.folder))
	b.waitFor("SELECT count(*) = 1 FROM item WHERE name = 'offline'")
	a.waitForState(StateIdle)
	// Changes of the schema are noticed without a write.
	c.exec("CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL)")
	c.exec("INSERT INTO later VALUES ('x')")
	a.exec("CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL)")
	a.waitFor("SELECT count(*) = 1 FROM later")
	// A pause.
	b.syncer.Pause()
	wantIs(t, b.syncer.Sync(t.Context()), ErrPaused) // after the pass that may be under way
	a.exec("INSERT INTO item VALUES ('paused', 'x', 1)")
	c.waitFor("SELECT count(*) = 1 FROM item WHERE id = 'paused'")
	b.wantValue("0", "SELECT count(*) FROM item WHERE id = 'paused'")
	b.syncer.Resume()
	b.waitFor("SELECT count(*) = 1 FROM item WHERE id = 'paused'")
	for _, d := range devices {
		d.close()
	}
	wantSame(t, devices, "item")
}

func (d *testDevice) waitForState(state State) {
	d.tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for d.syncer.Status().State != state {
		if time.Now().After(deadline) {
			d.tb.Fatalf("state %+v, want %s", d.syncer.Status(), state)
		}
		time.Sleep(time.Millisecond)
	}
}

// Several goroutines use everything that a Syncer has, until it is closed
// under them.
func TestASyncerMayBeUsedFromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	for _, d := range []*testDevice{a, b} {
		d.options.Manual, d.options.FlushDelay, d.options.PollInterval = false, time.Millisecond, 10*time.Millisecond
		d.reopen()
	}
	var users sync.WaitGroup
	stop := make(chan struct{})
	use := func(fn func(*Syncer) error) {
		for _, d := range []*testDevice{a, b} {
			s := d.syncer
			users.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := fn(s); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrPaused) {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	use(func(s *Syncer) error { return s.Sync(ctx) })
	use(func(s *Syncer) error { s.Status(); return nil })
	use(func(s *Syncer) error { _, err := s.Devices(ctx); return err })
	use(func(s *Syncer) error {
		for _, err := range s.Conflicts(ctx) {
			if err != nil {
				return err
			}
		}
		for _, err := range s.Held(ctx) {
			return err
		}
		return nil
	})
	use(func(s *Syncer) error { s.Pause(); s.Resume(); return nil })
	use(func(s *Syncer) error {
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		for range s.Events(short) {
		}
		return nil
	})
	for i := range 30 {
		a.exec("INSERT INTO item VALUES (?, 'a', 1)", fmt.Sprint("a", i))
		b.exec("INSERT INTO item VALUES (?, 'b', 1) ON CONFLICT DO UPDATE SET name = 'b'", fmt.Sprint("a", i))
	}
	a.waitFor("SELECT count(*) = 30 FROM item")
	a.close()
	b.close()
	close(stop)
	users.Wait()
	// settle looks whether a pass changes its own device's files alone, which it
	// can't tell while another device writes by itself.
	a.options.Manual, b.options.Manual = true, true
	a.open()
	b.open()
	settle(a, b, a)
	wantSame(t, []*testDevice{a, b})
}

// Close does not wait until a pass that takes long has done all of its work.
func TestCloseEndsAPassThatIsUnderWay(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for i := range 40 {
		a.exec("INSERT INTO item VALUES (?, 'x', 1)", fmt.Sprint(i))
		a.sync()
	}
	log := &stoppingLog{stopped: make(chan struct{}), release: make(chan struct{})}
	b.options.Logger = slog.New(log)
	b.reopen()
	log.armed.Store(true)
	result, closed := make(chan error), make(chan error)
	s := b.syncer
	go func() { result <- s.Sync(context.Background()) }()
	<-log.stopped
	go func() { closed <- s.Close() }()
	<-s.life.Done() // Close has begun, and the pass still runs
	close(log.release)
	wantIs(t, <-result, ErrClosed)
	must(t, <-closed)
	b.wantValue("1", "SELECT count(*) < 40 FROM item")
	b.syncer, b.options.Logger = nil, nil
	b.open()
	b.sync()
	wantSame(t, []*testDevice{a, b})
}

// stoppingLog stops whoever logs that a batch was merged, the first time.
type stoppingLog struct {
	armed            atomic.Bool
	stopped, release chan struct{}
}

func (l *stoppingLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *stoppingLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *stoppingLog) WithGroup(string) slog.Handler            { return l }

func (l *stoppingLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "merged" && l.armed.Swap(false) {
		close(l.stopped)
		<-l.release
	}
	return nil
}
