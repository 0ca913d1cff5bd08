package watch

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

const never = 1000 * time.Hour

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watchReal watches one real directory, from when it returns. No hint stands.
func watchReal(t *testing.T, poll time.Duration, dir string) *Watcher {
	t.Helper()
	w := New(poll, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { w.Close() })
	w.SetDirectories([]string{dir})
	hint(t, w)
	return w
}

// watches returns what stood at dir when its watch was set, or nil.
func watches(w *Watcher, dir string) fs.FileInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watched[dir]
}

// hint waits for a hint.
func hint(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.C():
	case <-time.After(10 * time.Second):
		t.Fatal("no hint")
	}
}

func TestChangesGiveHints(t *testing.T) {
	for change, do := range map[string]func(at func(string) string) error{
		"new file":         func(at func(string) string) error { return os.WriteFile(at("new"), []byte("new"), 0o644) },
		"new directory":    func(at func(string) string) error { return os.Mkdir(at("directory"), 0o755) },
		"written in place": func(at func(string) string) error { return os.WriteFile(at("file"), []byte("x"), 0o644) },
		"renamed":          func(at func(string) string) error { return os.Rename(at(".syncthing.head.tmp"), at("head")) },
		"renamed over":     func(at func(string) string) error { return os.Rename(at(".syncthing.head.tmp"), at("file")) },
		"linked":           func(at func(string) string) error { return os.Link(at(".syncthing.head.tmp"), at("head")) },
		"removed":          func(at func(string) string) error { return os.Remove(at("file")) },
	} {
		t.Run(change, func(t *testing.T) {
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			must(t, os.WriteFile(at("file"), []byte("old"), 0o644))
			must(t, os.WriteFile(at(".syncthing.head.tmp"), nil, 0o644))
			w := watchReal(t, never, dir)
			must(t, do(at))
			hint(t, w)
		})
	}
}

func TestDirectoryComesAndGoes(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "device")
	w := watchReal(t, never, parent)
	for range 3 {
		must(t, os.Mkdir(dir, 0o755))
		for watches(w, dir) == nil {
			hint(t, w)
			w.SetDirectories([]string{parent, dir}) // as one does after a scan
		}
		must(t, os.RemoveAll(dir))
		for watches(w, dir) != nil {
			hint(t, w)
		}
	}
	if err := w.Degraded(); err != nil {
		t.Errorf("degraded: %v", err)
	}
}

// When another directory takes the place, the watch follows the path and not the old directory.
func TestDirectoryReplaced(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "folder", "device")
	must(t, os.MkdirAll(dir, 0o755))
	w := watchReal(t, 10*time.Millisecond, dir)
	must(t, os.Rename(filepath.Join(parent, "folder"), filepath.Join(parent, "old"))) // no event: it is not watched
	must(t, os.MkdirAll(dir, 0o755))
	now, err := os.Stat(dir)
	must(t, err)
	for before := watches(w, dir); !os.SameFile(before, now); before = watches(w, dir) {
		hint(t, w)
	}
}

func TestPollFindsMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "late")
	w := watchReal(t, 10*time.Millisecond, t.TempDir())
	w.SetDirectories([]string{dir})
	hint(t, w)
	must(t, os.Mkdir(dir, 0o755))
	for watches(w, dir) == nil {
		hint(t, w)
	}
}

func TestCloseStopsGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		w := New(never, slog.New(slog.DiscardHandler))
		w.SetDirectories([]string{t.TempDir()})
		hint(t, w)
		must(t, w.Close())
		must(t, w.Close())
		w.SetDirectories([]string{t.TempDir()})
	}
	// A goroutine counts a moment longer than its last statement.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// A fakeNotifier is a notifier whose events the test makes.
type fakeNotifier struct {
	events chan fsnotify.Event
	errors chan error

	mu      sync.Mutex
	calls   []string
	refused map[string]error // what Add says about a directory, by its last element
}

func newFake() *fakeNotifier {
	return &fakeNotifier{events: make(chan fsnotify.Event), errors: make(chan error), refused: map[string]error{}}
}

func (n *fakeNotifier) Add(dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, "add "+filepath.Base(dir))
	return n.refused[filepath.Base(dir)]
}

func (n *fakeNotifier) Remove(dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, "remove "+filepath.Base(dir))
	return nil
}

func (n *fakeNotifier) Events() <-chan fsnotify.Event { return n.events }
func (n *fakeNotifier) Errors() <-chan error          { return n.errors }

func (n *fakeNotifier) Close() error {
	close(n.events)
	close(n.errors)
	return nil
}

// taken returns the calls since the last time, sorted.
func (n *fakeNotifier) taken() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	calls := n.calls
	n.calls = nil
	slices.Sort(calls)
	return calls
}

// hinted reports whether a hint stands, once nothing moves any more, and takes it.
func hinted(w *Watcher) bool {
	synctest.Wait()
	select {
	case <-w.C():
		return true
	default:
		return false
	}
}

// fake runs a test in a bubble with a watcher of the given directories, which really exist below a root of their own.
func fake(t *testing.T, poll time.Duration, dirs []string, test func(t *testing.T, w *Watcher, n *fakeNotifier, root string)) {
	root := t.TempDir()
	paths := make([]string, len(dirs))
	for i, dir := range dirs {
		paths[i] = filepath.Join(root, dir)
		must(t, os.Mkdir(paths[i], 0o755))
	}
	synctest.Test(t, func(t *testing.T) {
		n := newFake()
		w := start(poll, slog.New(slog.DiscardHandler), func() (notifier, error) { return n, nil })
		defer w.Close()
		w.SetDirectories(paths)
		if hinted(w) != (len(dirs) > 0) {
			t.Error("new watches give no hint")
		}
		test(t, w, n, root)
	})
}

func TestPolling(t *testing.T) {
	fake(t, 30*time.Second, []string{"a"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
		for range 3 {
			time.Sleep(29 * time.Second)
			if hinted(w) {
				t.Error("a hint before the poll")
			}
			time.Sleep(time.Second)
			if !hinted(w) {
				t.Error("no hint at the poll")
			}
		}
		time.Sleep(5 * time.Minute)
		if !hinted(w) || hinted(w) {
			t.Error("hints that nobody took are not one hint")
		}
		if calls := n.taken(); !slices.Equal(calls, []string{"add a"}) {
			t.Errorf("calls %q", calls)
		}
	})
}

func TestEvents(t *testing.T) {
	for _, test := range []struct {
		name string
		op   fsnotify.Op
		want bool
	}{
		{"head", fsnotify.Create, true},
		{"head", fsnotify.Write, true},
		{"head", fsnotify.Remove, true},
		{"head", fsnotify.Rename, true},
		{"head", fsnotify.Chmod, false},
		{"head", fsnotify.Write | fsnotify.Chmod, true},
		{"sqlitesync.json", fsnotify.Create, true},
		{".~sqs-0123456789abcdef.tmp", fsnotify.Create, false},
		{".~sqs-0123456789abcdef.tmp", fsnotify.Remove, false},
		{".syncthing.head.tmp", fsnotify.Write, false},
		{"~syncthing~head.tmp", fsnotify.Write, false},
		{"head (conflicted copy).txt", fsnotify.Create, true},
	} {
		fake(t, never, []string{"a"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
			n.events <- fsnotify.Event{Name: filepath.Join(root, "a", test.name), Op: test.op}
			time.Sleep(settle)
			if hinted(w) != test.want {
				t.Errorf("%v of %s: hint is %v", test.op, test.name, !test.want)
			}
		})
	}
}

func TestEventsAreOneHint(t *testing.T) {
	fake(t, never, []string{"a"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
		event := fsnotify.Event{Name: filepath.Join(root, "a", "head"), Op: fsnotify.Write}
		for range 100 {
			n.events <- event
		}
		if hinted(w) {
			t.Error("a hint before the change has settled")
		}
		time.Sleep(settle)
		if !hinted(w) {
			t.Error("no hint once it has")
		}
		time.Sleep(time.Hour)
		if hinted(w) {
			t.Error("a second hint")
		}
		// Events that never end do not put the hint off.
		hints := 0
		for range 1000 {
			n.events <- event
			time.Sleep(settle / 10)
			if hinted(w) {
				hints++
			}
		}
		if hints < 80 || hints > 100 {
			t.Errorf("%d hints in %v", hints, 100*settle)
		}
	})
}

// Events that never end, and nothing behind them, make few hints; what comes then is told of at once.
func TestEventsForNothing(t *testing.T) {
	fake(t, never, []string{"a"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
		event := fsnotify.Event{Name: filepath.Join(root, "a", "head"), Op: fsnotify.Write}
		found := uint64(1)
		w.Scanned(found)
		storm := func(more uint64) (hints int) {
			for range 1000 {
				n.events <- event
				time.Sleep(settle / 10)
				if hinted(w) {
					hints++
					found += more
					w.Scanned(found)
				}
			}
			return hints
		}
		if hints, most := storm(0), int(100*settle/idle)+1; hints < most-1 || hints > most {
			t.Errorf("%d hints in %v, want %d", hints, 100*settle, most)
		}
		time.Sleep(idle)
		if !hinted(w) {
			t.Error("the last event gave no hint")
		}
		time.Sleep(idle)
		n.events <- event
		time.Sleep(settle)
		if !hinted(w) {
			t.Error("an event after a silence is not told of at once")
		}
		if hints := storm(1); hints < 80 {
			t.Errorf("%d hints in %v, where there was something to be found", hints, 100*settle)
		}
		w.Scanned(found) // because this device has written something
		n.events <- event
		time.Sleep(settle)
		if !hinted(w) {
			t.Error("what another scan did not find made an event wait")
		}
	})
}

func TestOverflow(t *testing.T) {
	fake(t, time.Minute, []string{"a", "b"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
		n.taken()
		for range 100 {
			n.errors <- fsnotify.ErrEventOverflow
		}
		time.Sleep(settle)
		if !hinted(w) {
			t.Error("no hint")
		}
		if calls := n.taken(); calls != nil {
			t.Errorf("calls %q, before the poll", calls)
		}
		time.Sleep(time.Minute)
		hinted(w)
		if calls := n.taken(); !slices.Equal(calls, []string{"add a", "add b"}) {
			t.Errorf("calls %q, want every watch to be set anew", calls)
		}
	})
}

func TestSetDirectories(t *testing.T) {
	fake(t, time.Minute, []string{"a", "b"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
		at := func(names ...string) []string {
			for i, name := range names {
				names[i] = filepath.Join(root, name)
			}
			return names
		}
		step := func(dirs []string, wantHint bool, want ...string) {
			t.Helper()
			w.SetDirectories(dirs)
			if got := hinted(w); got != wantHint {
				t.Errorf("hint: %v", got)
			}
			if calls := n.taken(); !slices.Equal(calls, want) {
				t.Errorf("calls %q, want %q", calls, want)
			}
		}
		n.taken()
		step(at("a", "b"), false)
		step(at("b"), false, "remove a")
		step(at("b", "absent", "b"), false)
		step(at("a", "b/."), true, "add a")
		step(nil, false, "remove a", "remove b")
		step(at("a", "b"), true, "add a", "add b")

		// A watched directory that goes takes its watch along, and is watched again once it is back.
		must(t, os.Remove(filepath.Join(root, "a")))
		n.events <- fsnotify.Event{Name: filepath.Join(root, "a"), Op: fsnotify.Remove}
		time.Sleep(settle)
		if !hinted(w) {
			t.Error("no hint of a directory that went")
		}
		step(at("a", "b"), false)
		must(t, os.Mkdir(filepath.Join(root, "a"), 0o755))
		step(at("a", "b"), true, "add a")

		// Replaced without an event.
		must(t, os.Rename(filepath.Join(root, "b"), filepath.Join(root, "old")))
		must(t, os.Mkdir(filepath.Join(root, "b"), 0o755))
		step(at("a", "b"), true, "add b", "remove b")
	})
}

func TestDegraded(t *testing.T) {
	fake(t, time.Minute, []string{"a"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
		if err := w.Degraded(); err != nil {
			t.Fatalf("degraded: %v", err)
		}
		n.mu.Lock()
		n.refused["b"] = syscall.ENOSPC
		n.refused["c"] = fs.ErrNotExist // it went just before Add
		n.mu.Unlock()
		all := []string{filepath.Join(root, "c"), filepath.Join(root, "b"), filepath.Join(root, "a")}
		must(t, os.Mkdir(all[0], 0o755))
		must(t, os.Mkdir(all[1], 0o755))
		w.SetDirectories(all)
		hinted(w)
		err := w.Degraded()
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "limit of watched directories") || !strings.Contains(err.Error(), all[1]) {
			t.Errorf("degraded: %v", err)
		}
		// Polling goes on, and the watch is tried again.
		time.Sleep(time.Minute)
		if !hinted(w) {
			t.Error("no hint at the poll")
		}
		n.mu.Lock()
		delete(n.refused, "b")
		n.mu.Unlock()
		time.Sleep(time.Minute)
		hinted(w)
		if err := w.Degraded(); err != nil {
			t.Errorf("still degraded: %v", err)
		}
	})
}

// Network drives let directories be watched, and tell nothing.
func TestSilence(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps string // s: a scan finds what the last one did; n: it finds something new; e: an event; w: a watch begins
		want  bool
	}{
		{"nothing changes", "sssss", false},
		{"the first scan", "n", false},
		{"one change", "nsn", false},
		{"changes without an event", "nssnsn", true},
		{"an event each", "nenenen", false},
		{"an event that is late", "nnesn", false},
		{"an event while a scan runs that did not see its change", "nesnesn", false},
		{"one event long ago", "nesssnn", true},
		{"events come again", "nnnes", false},
		{"directories that are new", "nwnwnwn", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake(t, time.Hour, []string{"a"}, func(t *testing.T, w *Watcher, n *fakeNotifier, root string) {
				w.Scanned(0) // what was heard when the watch began is old
				w.Scanned(0)
				found, wanted := uint64(1), []string{filepath.Join(root, "a")}
				for _, step := range test.steps {
					switch step {
					case 'n':
						found++
						w.Scanned(found)
					case 's':
						w.Scanned(found)
					case 'e':
						n.events <- fsnotify.Event{Name: filepath.Join(root, "a", "new"), Op: fsnotify.Create}
						synctest.Wait()
					case 'w':
						wanted = append(wanted, filepath.Join(root, string(rune('a'+len(wanted)))))
						must(t, os.Mkdir(wanted[len(wanted)-1], 0o755))
						w.SetDirectories(wanted)
						synctest.Wait()
					}
				}
				if err := w.Degraded(); (err != nil) != test.want {
					t.Errorf("degraded: %v", err)
				}
			})
		})
	}
}

func TestNoNotifier(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newFake()
		var opened atomic.Int32
		w := start(time.Minute, slog.New(slog.DiscardHandler), func() (notifier, error) {
			if opened.Add(1) < 3 {
				return nil, syscall.EMFILE
			}
			return n, nil
		})
		defer w.Close()
		if hinted(w); opened.Load() != 0 {
			t.Error("a notifier is opened for nothing")
		}
		w.SetDirectories([]string{dir})
		hinted(w)
		if err := w.Degraded(); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("degraded: %v", err)
		}
		time.Sleep(time.Minute)
		if !hinted(w) {
			t.Error("no hint at the poll")
		}
		time.Sleep(time.Minute)
		hinted(w)
		if err := w.Degraded(); err != nil || opened.Load() != 3 {
			t.Errorf("degraded: %v after %d attempts", err, opened.Load())
		}
		if calls := n.taken(); !slices.Equal(calls, []string{"add " + filepath.Base(dir)}) {
			t.Errorf("calls %q", calls)
		}
	})
}

func BenchmarkHint(b *testing.B) {
	dir := b.TempDir()
	w := New(never, slog.New(slog.DiscardHandler))
	defer w.Close()
	w.SetDirectories([]string{dir})
	<-w.C()
	temporary, head := filepath.Join(dir, ".~sqs-0123456789abcdef.tmp"), filepath.Join(dir, "head")
	for b.Loop() {
		must(b, os.WriteFile(temporary, nil, 0o644))
		must(b, os.Rename(temporary, head))
		<-w.C()
	}
}

func TestTry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Try([]string{dir, filepath.Join(dir, "missing")}); err != nil {
		t.Error(err)
	}
	full := func() (notifier, error) {
		fake := newFake()
		fake.refused[filepath.Base(dir)] = syscall.ENOSPC
		return fake, nil
	}
	if err := try([]string{dir}, full); err == nil || !strings.Contains(err.Error(), "max_user_watches") {
		t.Errorf("at the system's limit: %v", err)
	}
	none := func() (notifier, error) { return nil, syscall.EMFILE }
	if err := try([]string{dir}, none); err == nil || !strings.Contains(err.Error(), "open files") {
		t.Errorf("without watchers: %v", err)
	}
}

// A drive that does not answer, as one on a network that is gone, keeps nobody from closing.
func TestADriveThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan struct{})
		w := start(time.Minute, slog.New(slog.DiscardHandler), func() (notifier, error) {
			<-answers
			return newFake(), nil
		})
		w.SetDirectories([]string{dir})
		synctest.Wait()
		began := time.Now()
		must(t, w.Close())
		if waited := time.Since(began); waited != patience {
			t.Errorf("waited for %s", waited)
		}
		close(answers) // and nothing is left running
	})
}
