package sqlitesync

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/environment"
)

// stopping is a context that counts how often it was asked whether it has ended, which is before each statement, and what else
// a process does step by step. At a step the process stops, until it is killed.
type stopping struct {
	context.Context //nolint:containedctx // it is one
	mu              sync.Mutex
	armed           bool
	steps, at       int
	where           string // the first step of this name is one to stop at too; "": none is
}

// stops is that of this process, nil in the one that runs the tests.
var stops *stopping

func (s *stopping) step(where string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed {
		return
	}
	if s.steps == s.at || where == s.where {
		fmt.Println("stopped", where)
		select {} // and with the mutex all else
	}
	s.steps++
}

func (s *stopping) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = true
}

func (s *stopping) Err() error {
	s.step("statement")
	return nil
}

// stopHere is a function of SQL, for triggers: what does not ask the context is stopped by these.
func stopHere(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
	if stops != nil {
		stops.step("trigger")
	}
	return int64(0), nil
}

// act does what the job's process is to die in.
func (j *job) act(db *sql.DB) error {
	began := time.Now()
	e := &environment.Environment{
		Wall: func() time.Time { return time.UnixMilli(j.Now).Add(time.Since(began)) },
		Step: func(step string, perform func() error) error {
			stops.step("before " + step)
			err := perform()
			stops.step("after " + step)
			return err
		},
	}
	stops = &stopping{Context: environment.With(context.Background(), e), at: j.Stop, where: j.Where}
	options := &Options{Manual: true, Keys: FileKeys(j.Keys)}
	if j.Act == "join" || j.Act == "open" {
		stops.arm()
	}
	var s *Syncer
	var err error
	if j.Act == "join" {
		s, err = Join(stops, db, j.Folder, j.Code, options)
	} else {
		s, err = Open(stops, db, j.Folder, options)
	}
	if err != nil {
		return err
	}
	if err := s.pass.lock(context.Background()); err != nil {
		return err
	}
	stops.arm()
	switch j.Act {
	case "migrate":
		err = s.migrate(stops, migrateAndStop)
	case "relay":
		var device DeviceID
		if device, err = crypto.ParseDeviceID(j.Device); err == nil {
			err = s.relayAtOnce(stops, device)
		}
	case "compact", "sweep":
		s.environment.Compact = true
	}
	for range 3 {
		if err == nil {
			err = s.onePass(stops)
		}
	}
	if err != nil {
		return err
	}
	stops.mu.Lock()
	fmt.Println("through", stops.steps)
	select {}
}

// migrateAndStop is a migration of itemSchema.
func migrateAndStop(ctx context.Context, db *sql.DB) error {
	for _, script := range []string{
		"ALTER TABLE item ADD COLUMN c",
		"UPDATE item SET c = 'filled'",
		`BEGIN; CREATE TABLE item_new (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER, c, d DEFAULT 'd');
			INSERT INTO item_new (id, name, n, c) SELECT id, name, n, c FROM item; DROP TABLE item; ALTER TABLE item_new RENAME TO item; SELECT stop_here(); COMMIT`,
		"CREATE TABLE more (id TEXT PRIMARY KEY NOT NULL, v)",
		"INSERT INTO more VALUES ('x', 'of the migration')",
	} {
		stops.step("migration")
		if _, err := db.ExecContext(ctx, script); err != nil {
			return err
		}
	}
	stops.step("migration")
	return nil
}

// standBy lets d stand by, and returns what waits until it has taken over.
func (d *testDevice) standBy() (took func()) {
	options := d.options
	options.StandBy = true
	opened := make(chan *Syncer, 1)
	go func() {
		s, err := Open(d.context(), d.db, d.folder, &options)
		if err != nil {
			d.tb.Error("the one that stands by: ", err)
		}
		opened <- s
	}()
	return func() {
		d.tb.Helper()
		select {
		case d.syncer = <-opened:
		case <-time.After(20 * time.Second):
		}
		if d.syncer == nil {
			d.tb.Fatal("nobody goes on")
		}
	}
}

// A dying is a process that dies in an act, and one that stands by.
type dying struct {
	a      *testDevice // whose database it is
	others []*testDevice
	clock  *testClock
	job    job
	rows   int    // of item, that all are to have
	died   func() // what is looked at before the one that stands by takes over; may be nil
	goOn   func() // what it does then; may be nil
	check  func() // what else is to be so; may be nil
}

var dyingActs = []struct {
	name    string
	prepare func(t *testing.T) *dying
}{
	{"migrate", func(t *testing.T) *dying {
		a, b := newPair(t, itemSchema)
		a.exec("INSERT INTO item VALUES ('1', 'of a', 1), ('2', 'of a', 1)")
		b.exec("INSERT INTO item VALUES ('3', 'of b', 1)")
		settle(a, b)
		clock := newTestClock(a, b)
		a.exec("UPDATE item SET name = 'not published' WHERE id = '1'")
		a.syncer.Pause()
		a.close()
		for _, table := range []string{"settings", "log", "segments", "devices"} {
			for _, verb := range []string{"INSERT", "UPDATE", "DELETE"} {
				a.exec(fmt.Sprintf("CREATE TRIGGER stop_%[1]s_%[2]s AFTER %[2]s ON sqlitesync_%[1]s BEGIN SELECT stop_here(); END", table, verb))
			}
		}
		b.exec("UPDATE item SET name = 'newer, of b' WHERE id = '2'")
		clock.pass(time.Minute)
		migrate := func(d *testDevice) {
			must(t, d.syncer.Migrate(t.Context(), func(ctx context.Context, db *sql.DB) error {
				if d.value("SELECT count(*) FROM pragma_table_info('item') WHERE name = 'c'") == "0" {
					if _, err := db.ExecContext(ctx, "ALTER TABLE item ADD COLUMN c; "); err != nil {
						return err
					}
				}
				_, err := db.ExecContext(ctx, "UPDATE item SET c = 'filled' WHERE c IS NULL")
				if err == nil && d.value("SELECT count(*) FROM pragma_table_info('item') WHERE name = 'd'") == "0" {
					_, err = db.ExecContext(ctx, "ALTER TABLE item ADD COLUMN d DEFAULT 'd'")
				}
				if err == nil {
					_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS more (id TEXT PRIMARY KEY NOT NULL, v); INSERT OR IGNORE INTO more VALUES ('x', 'of the migration')")
				}
				return err
			}))
		}
		y := &dying{a: a, others: []*testDevice{b}, clock: clock, rows: 3, job: a.job("", "", 0)}
		y.goOn = func() {
			b.sync()
			a.sync()
			migrate(a)
			migrate(b)
		}
		y.check = func() {
			for _, d := range []*testDevice{a, b} {
				d.wantValue("not published", "SELECT name FROM item WHERE id = '1'")
				d.wantValue("newer, of b", "SELECT name FROM item WHERE id = '2'")
				d.wantValue("of the migration", "SELECT v FROM more")
				d.wantValue("0", "SELECT count(*) FROM item WHERE c IS NULL OR d IS NULL")
			}
		}
		return y
	}},
	{"compact", func(t *testing.T) *dying { return compactDying(t, 0) }},
	{"sweep", func(t *testing.T) *dying { return compactDying(t, 2) }},
	{"relay", func(t *testing.T) *dying {
		devices := newSpace(t, itemSchema, 3)
		a, b, c := devices[0], devices[1], devices[2]
		c.exec("INSERT INTO item VALUES ('1', 'of c', 1), ('2', 'of c', 1), ('gone', 'of c', 1)")
		settle(devices...)
		c.exec("DELETE FROM item WHERE id = 'gone'")
		c.sync()
		c.exec("UPDATE item SET n = 7 WHERE id = '2'")
		settle(devices...)
		clock := newTestClock(a, b)
		y := &dying{a: a, others: []*testDevice{b}, clock: clock, rows: 2, job: a.job("", "", 0)}
		y.job.Device = c.id().String()
		late := newTestDevice(t, itemSchema)
		directory := c.directory()
		a.close()
		c.close()
		must(t, os.RemoveAll(directory))
		y.goOn = func() {
			a.sync()
			clock.pass(lostTime + 3*relayTurn)
			a.sync()
			a.sync()
			clock.give(late)
			late.join(a.folder, a.invite())
			late.sync()
			late.waitedLongEnough()
			y.others = append(y.others, late)
		}
		y.check = func() { late.wantValue("7", "SELECT n FROM item WHERE id = '2'") }
		return y
	}},
	{"pass", func(t *testing.T) *dying { // a rebuild
		a, b := newPair(t, itemSchema)
		a.exec("INSERT INTO item VALUES ('1', 'of a', 1), ('2', 'of a', 1), ('3', 'of a', 1)")
		settle(a, b)
		b.writeBatches(4, func(i int) string { return fmt.Sprintf("UPDATE item SET name = 'of b', n = %d WHERE id = '2'", i) })
		b.exec("DELETE FROM item WHERE id = '3'")
		settle(a, b)
		clock := newTestClock(a, b)
		a.close()
		a.exec("DROP TABLE item")
		a.open()
		a.sync()
		a.close()
		a.exec(itemSchema)
		y := &dying{a: a, others: []*testDevice{b}, clock: clock, rows: 2, job: a.job("", "", 0)}
		y.check = func() { a.wantValue("3", "SELECT n FROM item WHERE id = '2'") }
		return y
	}},
	{"join", func(t *testing.T) *dying {
		b := newTestDevice(t, itemSchema)
		b.create(t.TempDir())
		b.writeBatches(4, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'of b', 1)", i) })
		b.sync()
		a := newTestDevice(t, itemSchema)
		a.folder = b.folder
		clock := newTestClock(a, b)
		y := &dying{a: a, others: []*testDevice{b}, clock: clock, rows: 4, job: a.job("", "", 0)}
		y.job.Code = b.invite()
		return y
	}},
	{"open", func(t *testing.T) *dying { // a succession
		a, b := newPair(t, itemSchema)
		a.exec("INSERT INTO item VALUES ('1', 'of a', 1), ('2', 'of a', 1), ('3', 'of a', 1)")
		settle(a, b)
		a.exec("INSERT INTO item VALUES ('4', 'pending in the backup', 1)")
		clock := newTestClock(a, b)
		backup := filepath.Join(t.TempDir(), "backup.db")
		a.exec("VACUUM INTO ?", backup)
		a.exec("INSERT INTO item VALUES ('5', 'published', 1)")
		a.exec("UPDATE item SET n = 2 WHERE id = '2'")
		settle(a, b)
		old := a.id()
		a.restore(backup)
		a.exec("INSERT INTO item VALUES ('6', 'since', 1)")
		y := &dying{a: a, others: []*testDevice{b}, clock: clock, rows: 6, job: a.job("", "", 0)}
		told := false // by the one that has died
		y.died = func() {
			told = a.value("SELECT value FROM sqlitesync_settings WHERE name = 'device'") != old.String() &&
				a.value("SELECT count(*) FROM sqlitesync_settings WHERE name = '"+formerSetting+"'") == "0"
		}
		y.goOn = func() {
			warnings := a.syncer.Status().Warnings
			switch found := foundBehind; {
			case !told:
				if strings.Contains(fmt.Sprint(warnings), foundOther) { // the one that died had given a number to what was edited since
					found = foundOther
				}
				a.wantSucceeded(old, found)
			case len(warnings) > 0 || a.id() == old:
				t.Errorf("device %s, warnings %q", a.id(), warnings)
			}
		}
		y.check = func() { a.wantValue("2", "SELECT n FROM item WHERE id = '2'") }
		return y
	}},
}

func compactDying(t *testing.T, passes int) *dying {
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.writeBatches(6, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'of a', 1)", i) })
	a.exec("UPDATE item SET n = 2")
	a.sync()
	a.exec("DELETE FROM item WHERE id = '0'")
	a.sync()
	a.sync()
	for range passes {
		a.compactNext()
		a.sync()
	}
	clock.pass(2 * graceTime)
	a.close()
	y := &dying{a: a, others: []*testDevice{b}, clock: clock, rows: 5, job: a.job("", "", 0)}
	y.goOn = func() {
		quietDown(clock, a, b)
		a.compactNext()
		quietDown(clock, a, b)
		late := newTestDevice(t, itemSchema)
		clock.give(late)
		late.join(a.folder, a.invite())
		y.others = append(y.others, late)
	}
	y.check = func() { y.others[1].wantValue("5", "SELECT count(*) FROM item WHERE n = 2") }
	return y
}

// A process dies at any step of what it does, and the one that stands by goes on.
func TestAProcessTakesOverFromOneThatDiesAtAnyStep(t *testing.T) {
	t.Parallel()
	for _, act := range dyingActs {
		t.Run(act.name, func(t *testing.T) {
			t.Parallel()
			dieAndTakeOver(t, act.name, act.prepare, -1, "after sync temporary")
			if !*crashThorough { // each has more steps
				dieAndTakeOver(t, act.name, act.prepare, 90, "")
				dieAndTakeOver(t, act.name, act.prepare, 260, "")
				return
			}
			const tries = 30
			through := dieAndTakeOver(t, act.name, act.prepare, -1, "")
			for i := range tries {
				dieAndTakeOver(t, act.name, act.prepare, i*through/tries, "")
			}
		})
	}
}

// dieAndTakeOver lets a process die at a step, given by its number or name, or when it has taken all and there is no such step. Then
// it returns how many there are.
func dieAndTakeOver(t *testing.T, act string, prepare func(*testing.T) *dying, stop int, where string) (through int) {
	t.Helper()
	t.Run(cmp.Or(where, fmt.Sprint(stop)), func(t *testing.T) {
		y := prepare(t)
		a := y.a
		y.job.Act, y.job.Stop, y.job.Where, y.job.Now = act, stop, where, y.clock.read().UnixMilli()
		theirs := filepath.Join(y.others[0].directory(), ".~sqs-0123456789abcdef.tmp") // as if it were at it
		must(t, os.WriteFile(theirs, []byte("half a file"), 0o600))
		y.others[0].syncer.tidied = true
		c := startChild(t, y.job)
		if !c.lines.Scan() {
			c.cmd.Wait()
			t.Fatalf("the child ended: %s", c.stderr.String())
		}
		if n, _ := fmt.Sscanf(c.lines.Text(), "through %d", &through); (n > 0) != (stop < 0 && where == "") {
			t.Fatalf("the child is %q, and was to stop at step %d %s", c.lines.Text(), stop, where)
		}
		t.Log(c.lines.Text())
		entered := a.value("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlitesync_settings'") == "1"
		takeOver := func() {
			a.options.Existing = MergeExisting
			a.join(a.folder, y.job.Code)
		}
		if entered {
			takeOver = a.standBy()
		}
		c.kill()
		if left := temporaries(t, y.job.Folder); where != "" && len(left) != 2 {
			t.Errorf("temporary files %v, want one of each device", left)
		}
		a.exec("INSERT INTO item (id, name, n) VALUES ('meanwhile', 'of the one that stands by', 0)")
		if y.died != nil {
			y.died()
		}
		takeOver()
		if y.goOn != nil {
			y.goOn()
		}
		devices := append([]*testDevice{a}, y.others...)
		settle(devices...)
		settle(devices...)
		wantSame(t, devices)
		for _, d := range devices {
			d.wantValue(fmt.Sprint(y.rows+1), "SELECT count(*) FROM item")
			if act != "relay" { // files are missing
				d.wantVerified()
			}
			if n := len(d.conflicts()); n > 0 {
				t.Errorf("%d conflicts", n)
			}
			if status := d.syncer.Status(); status.Pending > 0 || len(status.Unsynced) > 0 || status.Held > 0 {
				t.Errorf("%+v", status)
			}
		}
		a.wantHealthy()
		if left := temporaries(t, a.folder); !slices.Equal(left, []string{theirs}) {
			t.Errorf("temporary files %v, want the one of another device", left)
		}
		if y.check != nil {
			y.check()
		}
		quietDown(y.clock, devices...)
		wantQuiet(t, devices...)
	})
	return through
}
