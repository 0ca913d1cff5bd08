package synctest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A disk stands between a device and what it does in its folder, see environment.Environment. Steps come from two goroutines,
// one that reads ahead, in an order that no seed decides: so whether a step fails depends on its name and on how often it was
// taken in this pass, not on the generator of the World. A process dies at steps that write, which one goroutine takes.
type disk struct {
	device *Device

	mu      sync.Mutex
	id      string         // the device's, when the pass began
	pass    int            // how many there were
	taken   map[string]int // in this pass
	written int            // how many of them wrote
	dieAt   int            // which of these the process dies at; 0: none
	writeAt int            // which of them the app writes at; 0: none
	cut     bool           // of a power cut
	died    *state
	dead    bool    // nothing is done any more
	cancel  func()  // breaks the pass off, at the first step that writes
	settled walMark // what of the WAL survives a power cut

	announced walMark           // settled, once the segment that is being written stands
	unsynced  bool              // so does the temporary file that is being written
	fresh     map[string][]byte // names whose directory was not synced, with what stood there before
	torn      []string          // those of them whose content was not synced either
}

var errDead = errors.New("the process is dead")

// begin begins a pass.
func (k *disk) begin() {
	w := k.device.world
	id := k.device.id()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id = id
	k.pass++
	k.taken, k.written, k.dieAt, k.writeAt, k.cut = make(map[string]int), 0, 0, 0, false
	if w.calm {
		return
	}
	if w.write != nil && w.allowed[Meanwhile] {
		k.writeAt = 1 + w.IntN(12)
	}
	switch at := 1 + w.IntN(20); { // what is past the last step hits nothing
	case w.allowed[CrashAtStep] && w.IntN(w.rarely(20)) == 0:
		k.dieAt = at
	case w.allowed[PowerLossAtStep] && w.IntN(w.rarely(20)) == 0:
		k.dieAt, k.cut = at, true
	}
}

// end ends a pass, and returns what a process that has died in it leaves.
func (k *disk) end() *state {
	k.mu.Lock()
	defer k.mu.Unlock()
	died := k.died
	k.died, k.dead, k.dieAt, k.writeAt = nil, false, 0, 0
	return died
}

func (k *disk) step(step string, perform func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	verb, name, _ := strings.Cut(step, " ")
	k.taken[step]++
	writes := verb != "open" && verb != "close"
	if writes && k.turn() || k.dead {
		return errDead
	}
	if writes && k.cancel != nil {
		k.cancel()
	}
	if err := k.fail(step, verb, perform); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	before := k.standing(verb, name)
	k.before(verb)
	err := perform()
	if err == nil {
		k.after(verb, name, before)
	}
	return err
}

// turn counts a step that writes, lets the app write if its turn has come, and reports whether the process dies of it.
func (k *disk) turn() (dies bool) {
	d := k.device
	k.written++
	if k.written == k.writeAt && !k.dead {
		d.world.hit(Meanwhile)
		d.world.write(d)
		d.stampWrites()
	}
	if k.written != k.dieAt || k.dead {
		return false
	}
	k.dead = true
	k.died = d.save()
	if k.cut {
		d.world.hit(PowerLossAtStep)
		d.cut(k.died)
	} else {
		d.world.hit(CrashAtStep)
	}
	return true
}

// chance returns a number below n that the seed, the pass and the step decide.
func (k *disk) chance(what, step string, n uint64) uint64 {
	hash := fnv.New64a()
	fmt.Fprint(hash, k.device.world.seed, k.device.name, k.pass, what, step, k.taken[step])
	return hash.Sum64() >> 16 % n
}

// fail lets a step fail, if a fault says so.
func (k *disk) fail(step, verb string, perform func() error) error {
	w := k.device.world
	if w.calm {
		return nil
	}
	once := uint64(w.rarely(80))
	if verb == "open" && w.allowed[Slow] && k.chance("slow", step, once) == 0 {
		w.hit(Slow)
		return folder.ErrSlow
	}
	for _, f := range diskFaults {
		if !slices.Contains(f.verbs, verb) {
			continue
		}
		for _, persisted := range []bool{false, true} {
			fault := f.fault(verb, persisted)
			if !w.allowed[fault] || k.chance(string(fault), step, once) > 0 {
				continue
			}
			w.hit(fault)
			if persisted {
				_ = perform()
			}
			return f.err
		}
	}
	if k.device.away != nil && k.device.away.fault == ReadOnly && slices.Contains(readOnlyVerbs, verb) {
		return errReadOnly
	}
	return nil
}

// saveKeys saves keys, which can fail as a step of the folder can.
func (k *disk) saveKeys(save func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.device.world
	switch {
	case k.dead:
		return errDead
	case w.happens(KeysNotSaved, 30):
		return errors.New("the key store is locked")
	case w.happens(KeysSavedWithError, 30):
		save()
		return errors.New("the key store does not answer")
	}
	save()
	return nil
}

// before notes what will be safe from a power cut when the step is taken: an engine commits durably before it publishes, the number
// of a head, too, which is the only file that replaces another.
func (k *disk) before(verb string) {
	if verb == "create" {
		k.unsynced = true
		k.announced = k.device.markWAL()
	}
	if verb == "link" || verb == "rename" {
		k.settled = k.announced
	}
}

// standing returns what stands under a name that a step is about to give.
func (k *disk) standing(verb, name string) []byte {
	if verb != "link" && verb != "rename" {
		return nil
	}
	path := k.device.own(name)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, err := os.ReadFile(path)
	k.device.world.must(err)
	return data
}

// after notes what a power cut would take back.
func (k *disk) after(verb, name string, before []byte) {
	switch verb {
	case "sync":
		if name == "temporary" {
			k.unsynced = false
			return
		}
		for path := range k.fresh {
			if filepath.Base(filepath.Dir(path)) == name {
				delete(k.fresh, path)
			}
		}
	case "link", "rename":
		path := k.device.own(name)
		if path == "" {
			return
		}
		if k.fresh == nil {
			k.fresh = make(map[string][]byte)
		}
		if _, known := k.fresh[path]; !known {
			k.fresh[path] = before
		}
		if k.unsynced {
			k.torn = append(k.torn, path)
		}
	}
}

// cutPower takes back what was not synced, or leaves it: both happen.
func (k *disk) cutPower() {
	w := k.device.world
	for _, path := range k.torn {
		w.must(os.WriteFile(path, nil, 0o600))
	}
	for _, path := range slices.Sorted(maps.Keys(k.fresh)) {
		if w.IntN(2) == 0 {
			continue
		}
		err := os.Remove(path)
		if before := k.fresh[path]; before != nil {
			err = os.WriteFile(path, before, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.must(err)
		}
		k.device.forget(path)
	}
	k.fresh, k.torn, k.unsynced = nil, nil, false
}
