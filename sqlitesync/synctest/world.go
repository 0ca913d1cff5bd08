package synctest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// A World is some devices, what carries files between their folders, and what goes wrong. It belongs to the goroutine that
// [Run] calls; its methods end the run when something fails.
type World struct {
	*rand.Rand // the seed's, for the test to decide with

	seed    uint64
	dir     string
	now     time.Time // by the clock that nobody sets
	devices []*Device
	made    int                          // how many there ever were
	ended   map[sqlitesync.DeviceID]bool // devices that were revoked, or are gone
	gone    map[sqlitesync.DeviceID]bool // those of them that could not be revoked
	courier courier
	allowed map[Fault]bool
	hits    map[Fault]int
	write   func(d *Device) // what apps write in the midst of a pass, or nil
	calm    bool            // nothing goes wrong for now
	trace   []string
}

// A Failure is why a run has ended.
type Failure struct {
	Seed  uint64
	Err   error
	Trace []string // what happened, in order
}

// maxShown bounds how much of the trace Error shows.
const maxShown = 400

func (f *Failure) Error() string {
	trace := f.Trace
	if len(trace) > maxShown {
		trace = slices.Concat([]string{fmt.Sprintf("… %d steps before", len(trace)-maxShown)}, trace[len(trace)-maxShown:])
	}
	return fmt.Sprintf("seed %d: %v\n%s", f.Seed, f.Err, strings.Join(trace, "\n"))
}

// Unwrap returns what has failed.
func (f *Failure) Unwrap() error { return f.Err }

// stop ends a run.
type stop struct{ err error }

// Run makes a World, in a temporary directory that it removes, and calls play. The error is a [*Failure].
func Run(seed uint64, play func(w *World)) (err error) {
	dir, err := os.MkdirTemp("", "synctest")
	if err != nil {
		return err
	}
	w := &World{
		Rand: rand.New(rand.NewPCG(seed, 7)), seed: seed, dir: dir, now: time.Date(2050, time.January, 1, 0, 0, 0, 0, time.UTC),
		ended: make(map[sqlitesync.DeviceID]bool), gone: make(map[sqlitesync.DeviceID]bool),
		allowed: make(map[Fault]bool), hits: make(map[Fault]int), courier: newCourier(),
	}
	defer func() {
		w.calm = true
		closed := errors.Join(w.close(), os.RemoveAll(dir))
		switch ended := recover().(type) {
		case nil:
			if err = closed; err != nil {
				err = &Failure{seed, err, w.trace}
			}
		case stop:
			err = &Failure{seed, ended.err, w.trace}
		default:
			panic(ended)
		}
	}()
	play(w)
	return nil
}

// Fatalf ends the run with an error.
func (w *World) Fatalf(format string, args ...any) { panic(stop{fmt.Errorf(format, args...)}) }

// must ends the run if there is an error.
func (w *World) must(err error) {
	if err != nil {
		panic(stop{err})
	}
}

// unlessGone ends the run if there is another error than that a file is not there: an app in another process may just have
// removed it.
func (w *World) unlessGone(err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		w.must(err)
	}
}

// Notef adds to the trace.
func (w *World) Notef(format string, args ...any) {
	w.trace = append(w.trace, strings.ReplaceAll(fmt.Sprintf(format, args...), w.dir, ""))
}

// Trace returns what has happened, in order. With the same seed, and the same random bytes, it is the same.
func (w *World) Trace() []string { return slices.Clone(w.trace) }

// Devices returns the devices that there are.
func (w *World) Devices() []*Device { return slices.Clone(w.devices) }

// Allow lets faults of these classes happen from now on. Which of them, and when, the seed decides.
func (w *World) Allow(faults ...Fault) {
	for _, f := range faults {
		w.allowed[f] = true
	}
}

// Meanwhile says what apps write in the midst of a pass, when [Meanwhile] happens.
func (w *World) Meanwhile(write func(d *Device)) { w.write = write }

// Hits tells how often faults of each class that was allowed have happened; 0 if never.
func (w *World) Hits() map[Fault]int {
	hits := maps.Clone(w.hits)
	for f := range w.allowed {
		hits[f] += 0
	}
	return hits
}

// happens decides whether a fault happens, once in so many times if some thirty are allowed.
func (w *World) happens(f Fault, once int) bool {
	if w.calm || !w.allowed[f] || w.IntN(w.rarely(once)) > 0 {
		return false
	}
	w.hit(f)
	return true
}

// rarely returns once in how many times a fault happens: the more often the fewer are allowed, so that short runs try something and
// those with all faults get anywhere.
func (w *World) rarely(once int) int { return max(2, once*(4+len(w.allowed))/40) }

func (w *World) hit(f Fault) {
	w.hits[f]++
	w.Notef("   ! %s", f)
}

// Pass lets time pass, for all devices.
func (w *World) Pass(d time.Duration) {
	for _, device := range w.devices {
		device.stampWrites()
		device.clock.pass(d)
	}
	w.now = w.now.Add(d)
}

// Step lets some seconds pass, files travel, and each device make a pass, in an order of the seed's. Whatever was allowed may
// happen.
func (w *World) Step() {
	w.Pass(time.Duration(1+w.IntN(20)) * time.Second)
	for _, i := range w.Perm(len(w.devices)) {
		d := w.devices[i]
		w.trouble(d)
		w.carry(d)
		if err := d.Sync(); err != nil {
			w.Notef("%s: sync: %.200v", d.name, err)
		}
		w.carry(d)
	}
}

// close ends all devices.
func (w *World) close() error {
	var errs []error
	for _, d := range w.devices {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}

// path returns a path in the World's directory.
func (w *World) path(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}
