package sqlitesync

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// crashThorough is given by .ci/run.
var crashThorough = flag.Bool("crash.thorough", false, "fail and crash at every step instead of some, also those that only read, and kill a process 200 times")

// counts reports whether a step is one of those that a short run fails: those that write, and the reading of segments.
func counts(step string) bool {
	verb, name, _ := strings.Cut(step, " ")
	return *crashThorough || verb != "close" && (verb != "open" || strings.HasSuffix(name, ".seg"))
}

// sampled reports whether the n-th of these steps is one that a short run tries: each takes a while, more so under the race
// detector.
func sampled(n int) bool { return *crashThorough || n%3 == 1 }

// faults stands between a device and its folder and keys. The n-th step fails: nothing of it was done, or all of it was
// although it failed.
type faults struct {
	mu        sync.Mutex
	taken     int
	at        int // which step fails; below 0: none
	persisted bool
	failed    string // the step that did
	each      func(step string, perform func() error) error
}

func (f *faults) step(step string, perform func() error) error {
	if !counts(step) {
		return perform()
	}
	f.mu.Lock()
	each, hit := f.each, f.taken == f.at
	f.taken++
	if hit {
		f.failed = step
	}
	f.mu.Unlock()
	switch {
	case each != nil:
		return each(step, perform)
	case !hit:
		return perform()
	case f.persisted:
		_ = perform()
	}
	return fmt.Errorf("%s: %w", step, syscall.EIO)
}

// between lets something be done at each step, or nothing.
func (f *faults) between(each func(step string, perform func() error) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.each = each
}

// arm lets a step fail.
func (f *faults) arm(at int, persisted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken, f.at, f.persisted, f.failed = 0, at, persisted, ""
}

func (f *faults) disarm() { f.arm(-1, false) }

// give puts the faults under a device, which must not be open.
func (f *faults) give(d *testDevice) {
	f.disarm()
	d.environment.Step = f.step
	d.options.Keys = steppedKeys{d.options.Keys, f}
}

// newFaultyPair returns two devices of one space, and the faults of the first.
func newFaultyPair(t *testing.T) (a, b *testDevice, f *faults) {
	t.Helper()
	a, b, f = newTestDevice(t, itemSchema), newTestDevice(t, itemSchema), new(faults)
	f.give(a)
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	return a, b, f
}

// steppedKeys is a KeyStore whose Save can fail.
type steppedKeys struct {
	KeyStore
	*faults
}

func (k steppedKeys) Save(ctx context.Context, id string, secret []byte) error {
	return k.step("save keys", func() error { return k.KeyStore.Save(ctx, id, secret) })
}

// stage is a space in which device a is about to do something, and b is to hear of it.
type stage struct {
	t       *testing.T
	a, b    *testDevice
	clock   *testClock
	faults  *faults
	written int
	theirs  string // a temporary file of b
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, faults: new(faults)}
	s.a, s.b = newPair(t, itemSchema)
	s.clock = newTestClock(s.a, s.b)
	s.a.close()
	s.faults.give(s.a)
	s.a.open()
	s.theirs = filepath.Join(s.b.directory(), ".~sqs-0123456789abcdef.tmp")
	s.b.syncer.tidied = true // it is as if b wrote it just now
	must(t, os.WriteFile(s.theirs, []byte("half a file"), 0o600))
	return s
}

func (s *stage) write(d *testDevice) {
	s.t.Helper()
	d.exec("INSERT INTO item VALUES (?, 'dear', 1)", fmt.Sprint("row ", s.written))
	s.written++
}

// publish makes a segment of a and lets a find it.
func (s *stage) publish() {
	s.t.Helper()
	s.write(s.a)
	s.a.sync()
	s.a.sync()
}

// acts are what a device does with its folder: each is prepared, and then happens in one pass of a.
var acts = []struct {
	name    string
	prepare func(s *stage)
}{
	{"publish", func(s *stage) { s.write(s.a) }},
	{"merge", func(s *stage) {
		s.write(s.b)
		s.b.sync()
	}},
	{"compact", func(s *stage) {
		s.publish()
		s.publish()
		s.a.syncer.compaction = compaction{segments: -maxLive, rows: -1000} // rewrite what can be
	}},
	{"sweep", func(s *stage) {
		s.publish()
		s.publish()
		s.a.syncer.compaction = compaction{segments: -maxLive, rows: -1000}
		s.a.sync() // writes a range
		s.a.sync() // finds it
		s.clock.pass(graceTime)
	}},
	{"refill", func(s *stage) {
		s.publish()
		must(s.t, os.Remove(s.a.lastSegment()))
		_ = s.a.trySync() // misses it
		s.clock.pass(vanishedTime)
	}},
	{"refill of parts", func(s *stage) {
		s.publish()
		first := s.a.lastSegment()
		s.publish()
		name, _ := folder.ParseSegmentName(filepath.Base(first))
		s.a.share(name.First)
		must(s.t, os.Remove(first))
		_ = s.a.trySync() // misses it
		s.clock.pass(vanishedTime)
	}},
}

// check makes sure that both devices come to have every row that was written.
func (s *stage) check(context string) {
	s.t.Helper()
	for _, d := range []*testDevice{s.a, s.b, s.a, s.b} {
		if err := d.trySync(); err != nil {
			s.t.Fatalf("%s: %v", context, err)
		}
	}
	want := fmt.Sprint(s.written)
	for _, d := range []*testDevice{s.a, s.b} {
		if got := d.value("SELECT count(*) FROM item WHERE name = 'dear'"); got != want {
			s.t.Fatalf("%s: a device has %s rows, want %s", context, got, want)
		}
		if status := d.syncer.Status(); status.State != StateIdle || len(status.Waiting) > 0 || status.Pending > 0 {
			s.t.Fatalf("%s: %+v", context, status)
		}
	}
}

// checkTidy makes sure that a has left nothing behind, and has not tidied up after b.
func (s *stage) checkTidy(context string) {
	s.t.Helper()
	left, err := filepath.Glob(filepath.Join(s.a.folder, "devices", "*", ".~sqs-*"))
	must(s.t, err)
	if !slices.Equal(left, []string{s.theirs}) {
		s.t.Errorf("%s: temporary files %v, want the one of b", context, left)
	}
}

// Each step that a device takes in its folder, and each time that it saves its keys, fails once, in both forms. The next
// pass sees to it.
func TestAFailureAtAnyStepLosesNothing(t *testing.T) {
	t.Parallel()
	for _, act := range acts {
		for _, persisted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s persisted=%v", act.name, persisted), func(t *testing.T) {
				s := newStage(t)
				steps := 0
				for failed := true; failed; steps++ {
					if !sampled(steps) {
						continue
					}
					act.prepare(s)
					s.faults.arm(steps, persisted)
					err := s.a.trySync()
					step := s.faults.failed
					failed = step != ""
					s.faults.disarm()
					if !failed && err != nil {
						t.Fatal(err)
					}
					s.check(fmt.Sprintf("step %d, %s", steps, step))
				}
				if steps < 2 {
					t.Errorf("only %d steps could fail", steps)
				}
				s.a.reopen()
				s.check("at the end")
				s.checkTidy("at the end")
				late := newTestDevice(t, itemSchema)
				late.join(s.a.folder, s.a.invite())
				late.sync()
				wantSame(t, []*testDevice{s.a, late})
			})
		}
	}
}

// The medium goes in the midst of a pass: from some step on nothing works any more, and then no folder is there, or an empty one, the
// mount point. Nothing is written there, and nothing is lost when the medium is back.
func TestAFailureAtAnyStepThatTakesTheMedium(t *testing.T) {
	t.Parallel()
	for _, act := range acts {
		t.Run(act.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.a.crowded = true // it is not there to be compared
			s.publish()
			s.check("before")
			away := s.a.folder + ".away"
			steps, gone := 0, true
			for ; gone; steps++ {
				if !sampled(steps) {
					continue
				}
				act.prepare(s)
				var mu sync.Mutex // a segment is read ahead while another is merged
				taken, where := 0, ""
				s.faults.between(func(step string, perform func() error) error {
					mu.Lock()
					defer mu.Unlock()
					if taken++; taken <= steps {
						return perform()
					}
					if where == "" {
						where = step
						must(t, os.Rename(s.a.folder, away))
						if steps%2 == 0 {
							must(t, os.Mkdir(s.a.folder, 0o700))
						}
					}
					return fmt.Errorf("%s: %w", step, syscall.ENODEV)
				})
				_ = s.a.trySync()
				s.faults.between(nil)
				if gone = where != ""; gone {
					wantIs(t, s.a.trySync(), ErrFolder)
					if steps%2 == 0 {
						must(t, os.Remove(s.a.folder)) // it is still empty
					}
					must(t, os.Rename(away, s.a.folder))
				}
				_ = s.a.trySync()
				s.clock.pass(vanishedTime)
				s.check(fmt.Sprintf("step %d, %s", steps, where))
			}
			if steps < 2 {
				t.Error("no step could fail")
			}
			s.a.reopen()
			s.check("at the end")
			s.checkTidy("at the end")
		})
	}
}

// A pass that finds nothing new opens and lists what it must, and writes nothing: no file, and no directory to the disk.
func TestAnIdlePassOnlyReads(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.write(s.a)
	s.write(s.b)
	s.check("before")
	var steps []string
	s.faults.between(func(step string, perform func() error) error {
		if verb, _, _ := strings.Cut(step, " "); verb != "open" && verb != "close" {
			steps = append(steps, step) // by one goroutine: what is read ahead is only opened
		}
		return perform()
	})
	s.a.sync()
	if len(steps) > 0 {
		t.Errorf("steps %v", steps)
	}
}

// What a pass that finds nothing new asks of the folder does not grow with its files, and by one listing for each device.
func TestAnIdlePassListsEachDirectoryOnce(t *testing.T) {
	t.Parallel()
	const few, many = 3, 7
	var asked []int
	for _, size := range []struct{ devices, segments int }{{few, 1}, {few, 20}, {many, 1}} {
		devices := newSpace(t, itemSchema, size.devices)
		for i := range size.segments {
			for _, d := range devices {
				d.exec("INSERT INTO item VALUES (?, 'x', 1)", fmt.Sprint(d.id(), i))
				d.sync()
			}
		}
		settle(devices...)
		settle(devices...)
		a, n := devices[0], 0
		a.environment.Step = func(step string, perform func() error) error {
			n++ // by one goroutine: nothing is read ahead
			return perform()
		}
		a.sync()
		asked = append(asked, n)
	}
	if asked[0] < few || asked[1] != asked[0] || asked[2]-asked[0] > 2*(many-few) { // each is opened and closed
		t.Errorf("%d devices ask %d times, with more segments %d times, %d devices %d times", few, asked[0], asked[1], many, asked[2])
	}
}

// A copy of the directory of all devices can stand for good. Whole names tell what its files hold: a pass opens none that it has read.
func TestAnIdlePassOpensNoSegmentOfACopy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for range 5 {
		s.write(s.b)
		s.b.sync()
	}
	s.a.sync()
	must(t, os.CopyFS(filepath.Join(s.a.folder, "devices (1)"), os.DirFS(filepath.Join(s.a.folder, "devices"))))
	var opened atomic.Int64
	s.faults.between(func(step string, perform func() error) error {
		if strings.HasSuffix(step, ".seg") {
			opened.Add(1)
		}
		return perform()
	})
	s.a.sync()
	if n := opened.Load(); n > 0 {
		t.Errorf("%d segments opened", n)
	}
}

// A moment is what stands on the disks when a process dies: databases, keys, the folder.
type moment struct {
	step string
	dir  string
}

// moment copies everything, as it is now. The pages that SQLite has not written yet are lost, as in a crash.
func (s *stage) moment(step string, devices ...*testDevice) moment {
	s.t.Helper()
	m := moment{step, s.t.TempDir()}
	copyState(s.t, s.a.folder, filepath.Join(m.dir, "folder"))
	for i, d := range devices {
		copyState(s.t, filepath.Dir(d.path), filepath.Join(m.dir, fmt.Sprint(i)))
	}
	return m
}

// restore puts everything back. The devices' engines have ended.
func (m moment) restore(folder string, devices ...*testDevice) {
	copyState(devices[0].tb, filepath.Join(m.dir, "folder"), folder)
	for i, d := range devices {
		d.tb.Helper()
		if d.syncer != nil {
			_ = d.syncer.Close() // what it still writes is of another world
			d.syncer = nil
		}
		must(d.tb, d.db.Close())
		copyState(d.tb, filepath.Join(m.dir, fmt.Sprint(i)), filepath.Dir(d.path))
		var err error
		d.db, err = OpenDB(d.path)
		must(d.tb, err)
	}
}

// copyState makes to hold what from holds, but for what lives no longer than processes do.
func copyState(tb testing.TB, from, to string) {
	tb.Helper()
	must(tb, os.MkdirAll(to, 0o700))
	entries, err := os.ReadDir(to)
	must(tb, err)
	for _, entry := range entries {
		must(tb, os.RemoveAll(filepath.Join(to, entry.Name())))
	}
	must(tb, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, ".lock") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	}))
}

// record takes moments before and after the steps of a pass.
func (s *stage) record(devices []*testDevice, pass func() error) []moment {
	s.t.Helper()
	var moments []moment
	steps := 0
	var mu sync.Mutex // a segment is read ahead while another is merged
	s.faults.between(func(step string, perform func() error) error {
		mu.Lock()
		defer mu.Unlock()
		take := sampled(steps)
		steps++
		if take {
			moments = append(moments, s.moment("before "+step, devices...))
		}
		err := perform()
		if take {
			moments = append(moments, s.moment("after "+step, devices...))
		}
		return err
	})
	must(s.t, pass())
	s.faults.between(nil)
	return moments
}

// The process dies before and after each step, and is started again.
func TestACrashAtAnyStepLosesNothing(t *testing.T) {
	t.Parallel()
	for _, act := range acts {
		t.Run(act.name, func(t *testing.T) {
			s := newStage(t)
			s.publish() // something to be there in any case
			s.check("before")
			act.prepare(s)
			devices := []*testDevice{s.a, s.b}
			moments := s.record(devices, s.a.trySync)
			if len(moments) < 2 {
				t.Errorf("only %d moments to die in", len(moments))
			}
			for i, m := range moments {
				context := fmt.Sprintf("moment %d, %s", i, m.step)
				m.restore(s.a.folder, devices...)
				s.a.open()
				s.b.open()
				s.clock.give(s.a)
				s.clock.give(s.b)
				s.b.syncer.tidied = true
				s.clock.pass(vanishedTime) // what was missed before the crash was missed for long
				_, _ = s.a.trySync(), s.a.trySync()
				s.clock.pass(vanishedTime)
				s.check(context)
				s.checkTidy(context)
			}
		})
	}
}

// newEntering returns a stage on which a, to which the faults are given, is about to create a space, or to join that of b.
func newEntering(t *testing.T, verb string, give func(*faults, *testDevice)) (s *stage, enter func() error) {
	t.Helper()
	s = &stage{t: t, faults: new(faults), a: newTestDevice(t, itemSchema), b: newTestDevice(t, itemSchema)}
	give(s.faults, s.a)
	s.write(s.a)
	s.a.folder = t.TempDir()
	if verb == "create" {
		return s, func() (err error) {
			s.a.syncer, err = Create(s.a.context(), s.a.db, s.a.folder, &s.a.options)
			return err
		}
	}
	s.write(s.b)
	s.b.create(s.a.folder)
	s.b.sync()
	code := s.b.invite()
	s.a.options.Existing = MergeExisting
	return s, func() (err error) {
		s.a.syncer, err = Join(s.a.context(), s.a.db, s.a.folder, code, &s.a.options)
		return err
	}
}

// The process dies at a step of Create or Join. Afterwards the database is a device, or the call can be repeated.
func TestACrashAtAnyStepOfEnteringLosesNothing(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"create", "join"} {
		t.Run(verb, func(t *testing.T) {
			s, enter := newEntering(t, verb, (*faults).give)
			devices := []*testDevice{s.a}
			if verb == "join" {
				devices = append(devices, s.b)
			}
			moments := s.record(devices, enter)
			for i, m := range moments {
				m.restore(s.a.folder, devices...)
				if verb == "join" {
					s.b.open()
				}
				var err error
				if s.a.syncer, err = Open(s.a.context(), s.a.db, s.a.folder, &s.a.options); errors.Is(err, ErrNotSetUp) {
					err = enter()
				}
				if err != nil {
					t.Fatalf("moment %d, %s: %v", i, m.step, err)
				}
				s.a.sync()
				if verb == "create" {
					s.b = newTestDevice(t, itemSchema)
					s.b.join(s.a.folder, s.a.invite())
				}
				s.check(fmt.Sprintf("moment %d, %s", i, m.step))
			}
			if len(moments) < 2 {
				t.Errorf("only %d moments to die in", len(moments))
			}
		})
	}
}
