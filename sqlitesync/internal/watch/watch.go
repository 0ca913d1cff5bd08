package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a hint waits for what belongs to the same change: publishing a file makes several events. It also
// bounds how often events give hints while a sync client is busy.
const settle = 10 * time.Millisecond

// idle is how long after another a hint comes if nothing was found at that one: virus scanners and indexers make events by the
// thousand.
const idle = 200 * time.Millisecond

// patience is how long Close waits for a drive to answer.
const patience = 5 * time.Second

// A Watcher gives hints to look again. Its methods may be called from several goroutines at once.
type Watcher struct {
	poll time.Duration
	log  *slog.Logger
	open func() (notifier, error)

	hints   chan struct{} // capacity 1: hints that nobody has taken yet are one hint
	changed chan struct{} // capacity 1: wanted is new
	touched chan struct{} // capacity 1: an event came
	closing chan struct{}
	close   sync.Once
	running sync.WaitGroup

	mu       sync.Mutex
	wanted   []string
	watched  map[string]fs.FileInfo // what stood at each watched path when its watch was set
	failed   error                  // why a directory can't be watched
	silence  silence
	hinted   bool  // a hint came of events, and no scan since
	vain     bool  // the scan after the last such hint found what the one before it did, and so did all since
	degraded error // what was said last
}

// New starts a Watcher that gives a hint at least every poll, which must be positive. It watches nothing before
// SetDirectories is called. Close it to stop its goroutines.
func New(poll time.Duration, log *slog.Logger) *Watcher {
	return start(poll, log, openSystem)
}

// NewDeaf is New on a file system that lets directories be watched, and tells nothing.
func NewDeaf(poll time.Duration, log *slog.Logger) *Watcher { return start(poll, log, openDeaf) }

func start(poll time.Duration, log *slog.Logger, open func() (notifier, error)) *Watcher {
	w := &Watcher{
		poll:    poll,
		log:     log,
		open:    open,
		hints:   make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		touched: make(chan struct{}, 1),
		closing: make(chan struct{}),
		watched: map[string]fs.FileInfo{},
	}
	w.running.Go(w.run)
	return w
}

// C returns the channel of hints. It is never closed.
func (w *Watcher) C() <-chan struct{} { return w.hints }

// SetDirectories makes dirs the directories that are watched, each for itself and not for those below it. It returns at
// once. A directory that is missing or cannot be watched is tried again at every poll and at the next call. Whenever a
// watch begins there is a hint, because what happened before it gave none.
func (w *Watcher) SetDirectories(dirs []string) {
	w.mu.Lock()
	w.wanted = make([]string, len(dirs))
	for i, dir := range dirs {
		w.wanted[i] = filepath.Clean(dir)
	}
	w.mu.Unlock()
	signal(w.changed)
}

// Degraded returns nil, or why some directory cannot be watched, so that changes in it are noticed only by polling. A
// missing directory is no reason.
func (w *Watcher) Degraded() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.degraded
}

// Scanned tells the Watcher what a scan has found, as a number that is another one whenever other files stand in the
// directories. Where they change again and again and no event tells of it, Degraded says so: many network drives and
// FUSE mounts let a directory be watched, and then tell nothing.
func (w *Watcher) Scanned(found uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vain = found == w.silence.found && (w.vain || w.hinted) // of other scans nothing is to be expected
	w.hinted = false
	w.silence.scanned(found)
	w.assess()
}

// Close stops the Watcher and waits until its goroutines have ended, but not for a drive that does not answer: no system
// can call back who asks it, and he ends when it does. The error is always nil.
func (w *Watcher) Close() error {
	w.close.Do(func() { close(w.closing) })
	ended := make(chan struct{})
	go func() {
		w.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
	}
	return nil
}

// run is the goroutine that sets watches and gives hints. It is the only one that calls the notifier.
func (w *Watcher) run() {
	var system notifier
	defer func() {
		if system != nil {
			_ = system.Close()
		}
	}()
	ticker := time.NewTicker(w.poll)
	defer ticker.Stop()
	var settled <-chan time.Time // not nil while a hint waits
	var last time.Time           // when one came of events
	for {
		select {
		case <-w.closing:
			return
		case <-w.changed:
			system = w.refresh(system)
		case <-ticker.C:
			system = w.refresh(system)
			signal(w.hints)
		case <-w.touched:
			if settled == nil {
				settled = time.After(w.delay(last))
			}
		case <-settled:
			settled, last = nil, time.Now()
			w.hint()
		}
	}
}

// hint gives a hint because of events.
func (w *Watcher) hint() {
	w.mu.Lock()
	w.hinted = true
	w.mu.Unlock()
	signal(w.hints)
}

// delay returns how long after its event a hint comes, the last one having come then.
func (w *Watcher) delay(last time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.vain {
		return settle
	}
	return max(settle, idle-time.Since(last))
}

// refresh makes the watches what they should be, and returns the notifier, which it opens if need be.
func (w *Watcher) refresh(system notifier) notifier {
	w.mu.Lock()
	wanted := w.wanted
	w.mu.Unlock()
	if system == nil && len(wanted) > 0 {
		opened, err := w.open()
		if err != nil {
			w.setFailed(fmt.Errorf("watch the folder: %w", explain(err)))
			return nil
		}
		system = opened
		w.running.Go(func() { w.receive(opened) })
	}
	for _, dir := range w.unwanted(wanted) {
		w.forget(dir)
		_ = system.Remove(dir) // fails if the directory is gone, and the watch with it
	}
	var failed error
	for _, dir := range wanted {
		if err := w.watch(system, dir); err != nil && failed == nil {
			failed = fmt.Errorf("watch %s: %w", dir, explain(err))
		}
	}
	w.setFailed(failed)
	return system
}

// watch watches a directory, unless it is watched already.
func (w *Watcher) watch(system notifier, dir string) error {
	now, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	before := w.watched[dir]
	w.mu.Unlock()
	if before != nil {
		if os.SameFile(before, now) {
			return nil
		}
		// Another directory has taken the place, as after a drive was connected again. The watch is on the old one.
		_ = system.Remove(dir)
	}
	// Noted before it is so: if the directory goes while Add runs, the event of its going must find it here.
	w.mu.Lock()
	w.watched[dir] = now
	w.mu.Unlock()
	if err := system.Add(dir); err != nil {
		w.forget(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	w.heard() // before now it could tell nothing
	signal(w.hints)
	return nil
}

// unwanted returns the directories that are watched and not in wanted.
func (w *Watcher) unwanted(wanted []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	keep := make(map[string]bool, len(wanted))
	for _, dir := range wanted {
		keep[dir] = true
	}
	var dirs []string
	for dir := range w.watched {
		if !keep[dir] {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// forget notes that a directory is not watched any more, and reports whether it was.
func (w *Watcher) forget(dir string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, was := w.watched[dir]
	delete(w.watched, dir)
	return was
}

// forgetAll notes that no watch can be relied on.
func (w *Watcher) forgetAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.watched)
}

func (w *Watcher) setFailed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = err
	w.assess()
}

// heard notes that the system has told something, or could not have yet.
func (w *Watcher) heard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silence.heard = true
}

// assess says whether changes are noticed at once. The caller holds mu.
func (w *Watcher) assess() {
	before := w.degraded
	w.degraded = w.failed
	if w.failed == nil && w.silence.lasts() {
		w.degraded = errSilent
	}
	switch {
	case w.degraded != nil && before == nil:
		w.log.Warn("changes in the folder are noticed by polling only", "error", w.degraded)
	case w.degraded == nil && before != nil:
		w.log.Info("changes in the folder are noticed at once again")
	}
}

// receive is the goroutine that takes the events of one notifier until that is closed. It never waits for run: a
// notifier may hold up Add and Remove until its events have been taken.
func (w *Watcher) receive(system notifier) {
	events, failures := system.Events(), system.Errors()
	for events != nil || failures != nil {
		select {
		case event, ok := <-events:
			if !ok {
				events = nil
			} else if w.matters(event) {
				w.heard()
				signal(w.touched)
			}
		case err, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			// Mostly ErrEventOverflow. A directory that went may be among what was lost, so every watch is set anew:
			// at the next poll and not now, because a system in trouble may report it many times a second.
			w.log.Debug("events of the folder were lost", "error", err)
			w.forgetAll()
			w.heard()
			signal(w.touched)
		}
	}
}

// matters reports whether an event may be news.
func (w *Watcher) matters(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false // virus scanners and indexers make these by the thousand
	}
	if event.Op.Has(fsnotify.Remove) || event.Op.Has(fsnotify.Rename) {
		if w.forget(filepath.Clean(event.Name)) {
			return true // a watched directory went, and its watch with it
		}
	}
	// Nothing that we publish begins with a dot or tilde, but temporary names do, those of sync clients and our own.
	name := filepath.Base(event.Name)
	return !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "~")
}

// signal leaves a token in a channel of capacity 1, unless one is there.
func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
