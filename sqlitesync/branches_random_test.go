package sqlitesync

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"
)

var (
	restoresFrom  = flag.Uint64("restores.from", 1, "the first seed of TestRestoresAtRandom")
	restoresSeeds = flag.Int("restores.seeds", 1, "how many seeds TestRestoresAtRandom runs")
)

// Whatever is restored together of a database, its keys, its directory, the folder, and the heads of others, and whoever goes on
// beside it as a clone: everybody shows the same rows in the end, all that any of them showed among them, nothing is waited for,
// nobody writes any more, and no more devices have come to be than machines were restored or cloned.
//
//	go test ./sqlitesync -run TestRestoresAtRandom -restores.from=1000 -restores.seeds=100
func TestRestoresAtRandom(t *testing.T) {
	long(t)
	for n := range *restoresSeeds {
		seed := *restoresFrom + uint64(n)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			run := &restoresRun{t: t, Rand: rand.New(rand.NewPCG(seed, 2))}
			defer func() {
				if t.Failed() {
					t.Logf("%s\nAgain: go test ./sqlitesync -run TestRestoresAtRandom -restores.from=%d -restores.seeds=1", strings.Join(run.history, "\n"), seed)
				}
			}()
			run.all()
		})
	}
}

type restoresRun struct {
	t *testing.T
	*rand.Rand
	clock   *testClock
	devices []*testDevice
	backups map[*testDevice]string
	rows    int
	copies  int // how many restored or cloned machines there are
	history []string
}

func (run *restoresRun) note(format string, args ...any) {
	run.history = append(run.history, fmt.Sprintf("%d "+format, append([]any{len(run.history)}, args...)...))
}

func (run *restoresRun) all() {
	run.devices = newSpace(run.t, itemSchema, 1+run.IntN(4))
	if run.IntN(3) == 0 {
		reader := newTestDevice(run.t, itemSchema)
		invite, err := run.devices[0].syncer.Invite(run.t.Context(), &InviteOptions{Role: RoleReader})
		must(run.t, err)
		reader.join(run.devices[0].folder, invite.Code)
		settle(reader, run.devices[0])
		run.note("%d reads", len(run.devices))
		run.devices = append(run.devices, reader)
	}
	run.clock = newTestClock(run.devices...)
	for i, d := range run.devices {
		d.environment.Steady = run.clock.read
		d.differs = true
		d.reopen()
		if i > 0 && !d.syncer.reads() && run.IntN(2) == 0 {
			run.note("%d is a writer", i)
			must(run.t, run.devices[0].syncer.SetRole(run.t.Context(), d.id(), RoleWriter))
		}
	}
	settle(run.devices...)
	run.backups = make(map[*testDevice]string)
	for range 15 + run.IntN(25) {
		run.step()
		run.clock.pass(time.Duration(run.IntN(5000)) * time.Millisecond)
	}
	run.end()
}

func (run *restoresRun) sync(d *testDevice) {
	if err := d.syncer.Sync(context.Background()); err != nil {
		run.note("%d: %.300v", slices.Index(run.devices, d), err)
	}
}

func (run *restoresRun) step() {
	i := run.IntN(len(run.devices))
	d := run.devices[i]
	switch n := run.IntN(26); {
	case n < 9:
		if d.syncer.reads() {
			run.sync(d)
			return
		}
		run.rows++
		run.note("%d writes %d", i, run.rows)
		d.exec("INSERT INTO item VALUES (?, 'row', 0)", fmt.Sprint(run.rows))
		if run.IntN(3) == 0 {
			d.exec("UPDATE item SET n = ? WHERE id = ?", run.rows, fmt.Sprint(1+run.IntN(run.rows)))
		}
		if run.IntN(4) > 0 {
			run.sync(d)
		}
	case n < 15:
		run.note("%d syncs", i)
		run.sync(d)
	case n < 17:
		run.backup(i)
	case n < 19:
		run.restore(i)
	case n < 20:
		run.note("%d compacts", i)
		d.compactNext()
		run.sync(d)
	case n < 21:
		run.clone(i)
	case n < 22:
		hours := []int{1, 23, 25, 24 * 8}[run.IntN(4)]
		run.note("%d hours pass", hours)
		run.clock.pass(time.Duration(hours) * time.Hour)
	case n < 23:
		statement := run.IntN(200)
		run.note("%d is broken off before statement %d", i, statement)
		d.passUntil(statement)
		if run.IntN(2) == 0 {
			_ = d.syncer.Close()
			d.open()
		}
	case n < 24:
		if other := run.devices[run.IntN(len(run.devices))]; other.syncer.reads() {
			run.note("%d is made a writer: %v", slices.Index(run.devices, other), d.syncer.SetRole(run.t.Context(), other.id(), RoleWriter))
		}
	default:
		run.note("all sync")
		for _, d := range run.devices {
			run.sync(d)
		}
	}
}

func (run *restoresRun) backup(i int) {
	d := run.devices[i]
	run.note("%d makes a backup", i)
	dir := run.t.TempDir()
	d.exec("VACUUM INTO ?", filepath.Join(dir, "app.db"))
	copyState(run.t, string(d.options.Keys.(fileKeys)), filepath.Join(dir, "keys"))
	copyState(run.t, d.folder, filepath.Join(dir, "folder"))
	must(run.t, os.WriteFile(filepath.Join(dir, "id"), []byte(d.id().String()), 0o600))
	run.backups[d] = dir
}

func (run *restoresRun) restore(i int) {
	d := run.devices[i]
	dir, made := run.backups[d]
	if !made || run.copies > 3 {
		return
	}
	run.copies++
	database, keys, what := run.IntN(4) > 0, run.IntN(3) > 0, []string{"directory", "folder", "heads", "no heads", "nothing"}[run.IntN(5)]
	run.note("%d restores: database %v, keys %v, %s", i, database, keys, what)
	if run.IntN(2) == 0 {
		d.syncer.Pause() // it does not publish any more
	}
	_ = d.syncer.Close()
	d.syncer = nil
	if database {
		must(run.t, d.db.Close())
		for _, suffix := range []string{"-wal", "-shm"} {
			os.Remove(d.path + suffix)
		}
		run.put(filepath.Join(dir, "app.db"), d.path)
		var err error
		d.db, err = OpenDB(d.path)
		must(run.t, err)
	}
	if keys {
		names, err := filepath.Glob(filepath.Join(dir, "keys", "*.key"))
		must(run.t, err)
		for _, name := range names {
			run.put(name, filepath.Join(string(d.options.Keys.(fileKeys)), filepath.Base(name)))
		}
	}
	run.restoreFolder(d, dir, what)
	d.open()
}

func (run *restoresRun) restoreFolder(d *testDevice, dir, what string) {
	switch what {
	case "directory":
		id, err := os.ReadFile(filepath.Join(dir, "id"))
		must(run.t, err)
		old := filepath.Join(dir, "folder", "devices", string(id))
		if _, err := os.Stat(old); err == nil {
			copyState(run.t, old, filepath.Join(d.folder, "devices", string(id)))
		}
	case "folder":
		copyState(run.t, filepath.Join(dir, "folder"), d.folder)
	case "heads", "no heads":
		heads, err := filepath.Glob(filepath.Join(d.folder, "devices", "*", "head"))
		must(run.t, err)
		for _, head := range heads {
			must(run.t, os.Remove(head))
			old := filepath.Join(dir, "folder", "devices", filepath.Base(filepath.Dir(head)), "head")
			if _, err := os.Stat(old); err == nil && what == "heads" {
				run.put(old, head)
			}
		}
	}
}

func (run *restoresRun) put(from, to string) {
	data, err := os.ReadFile(from)
	must(run.t, err)
	must(run.t, os.WriteFile(to, data, 0o600))
}

func (run *restoresRun) clone(i int) {
	d := run.devices[i]
	if run.copies > 3 || len(run.devices) > 5 {
		return
	}
	run.copies++
	run.note("%d is cloned as %d", i, len(run.devices))
	twin := copyOf(d)
	twin.differs = true
	keys := filepath.Join(run.t.TempDir(), "keys")
	copyState(run.t, string(d.options.Keys.(fileKeys)), keys)
	twin.options.Keys = FileKeys(keys)
	twin.open()
	run.devices = append(run.devices, twin)
}

func (run *restoresRun) end() {
	t := run.t
	shown := make(map[string]bool)
	for _, d := range run.devices {
		for _, id := range d.column("SELECT id FROM item") {
			shown[id] = true
		}
	}
	run.note("the end")
	missing := func() (list []string) {
		for i, d := range run.devices {
			ids := d.column("SELECT id FROM item")
			for id := range maps.Keys(shown) {
				if !slices.Contains(ids, id) {
					list = append(list, fmt.Sprintf("%d lacks %s", i, id))
				}
			}
		}
		slices.Sort(list)
		return list
	}
	round := func() {
		for range 2 {
			for _, d := range run.devices {
				run.sync(d)
			}
			run.clock.pass(2 * time.Minute)
		}
	}
	round()
	round()
	round()
	run.note("an hour later: %v", missing())
	for range 14 {
		run.clock.pass(25 * time.Hour)
		round()
	}
	run.note("16 days later: %v", missing())
	for _, d := range run.devices {
		d.differs = false
		d.reopen()
		run.sync(d)
		run.clock.pass(time.Hour)
	}
	for range 14 {
		run.clock.pass(25 * time.Hour)
		round()
	}
	if list := missing(); len(list) > 0 {
		t.Error(list)
	}
	wantSame(t, run.devices)
	for i, d := range run.devices {
		status := d.syncer.Status()
		status.Waiting = slices.DeleteFunc(status.Waiting, func(w Waiting) bool { // for what a device has written that nobody is any more, until it is revoked
			return !d.syncer.hasSuccessor(w.Device) && !slices.ContainsFunc(run.devices, func(other *testDevice) bool { return other.id() == w.Device })
		})
		if status.State != StateIdle || status.Err != nil || len(status.Waiting) != 0 || len(status.Diverged) != 0 || status.Held != 0 {
			t.Errorf("%d: state %s, problems %v, waiting %v, diverged %v, held %d", i, status.State, status.Problems, status.Waiting, status.Diverged, status.Held)
		}
		if _, faults := d.verify(); len(faults) > 0 { // what stood in a branch that is gone is in no log
			t.Error(faults)
		}
		if e := d.examine(""); len(e.Findings) > 0 {
			for _, f := range e.Findings {
				if !f.Note && f.Code != FindingClockOff { // it looks at the clock of this machine
					t.Errorf("%d: doctor says %s", i, f.Text)
				}
			}
		}
	}
	dirs, err := os.ReadDir(filepath.Join(run.devices[0].folder, "devices"))
	must(t, err)
	n := len(run.devices[0].syncer.roster.Members())
	run.note("%d members, %d directories, %d machines, %d copies", n, len(dirs), len(run.devices), run.copies)
	if n > len(run.devices)+2*run.copies {
		t.Errorf("%d members, of %d machines and %d copies", n, len(run.devices), run.copies)
	}
	wantQuiet(t, run.devices...)
}
