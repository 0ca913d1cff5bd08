package sqlitesync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// kill ends the child as a power switch would, and returns the lines that it
// printed and nobody has read yet.
func (c *child) kill() []string {
	c.tb.Helper()
	must(c.tb, c.cmd.Process.Kill())
	var rest []string
	for c.lines.Scan() {
		rest = append(rest, c.lines.Text())
	}
	c.cmd.Wait()
	return rest
}

// record follows what children say that they have committed. The one statement that comes next when a child is killed
// may or may not have been committed without being said.
type record struct {
	tb    testing.TB
	rows  map[string]string // id -> name
	next  func() (statement, bool)
	stop  func()
	begun statement   // of the child that runs, or about to be
	cut   []statement // those of the children that were killed
}

// follow begins with a child that does this job.
func (r *record) follow(j job) {
	r.next, r.stop = iter.Pull(j.statements())
	r.begun, _ = r.next()
}

// killed ends with the child.
func (r *record) killed() {
	r.stop()
	r.cut = append(r.cut, r.begun)
}

func (r *record) note(line string) {
	r.tb.Helper()
	switch line {
	case "ready", "done":
	case r.begun.verb + " " + r.begun.id:
		r.begun.perform(r.rows)
		r.begun, _ = r.next()
	default:
		r.tb.Fatalf("the child said %q, and was to %s %s", line, r.begun.verb, r.begun.id)
	}
}

func (s statement) perform(rows map[string]string) {
	if s.name == "" {
		delete(rows, s.id)
	} else {
		rows[s.id] = s.name
	}
}

// check compares the record with what a device shows.
func (r *record) check(d *testDevice) {
	r.tb.Helper()
	rows, err := d.db.Query("SELECT id, name FROM item WHERE id LIKE 'child%'")
	must(r.tb, err)
	defer rows.Close()
	shown := make(map[string]string)
	for rows.Next() {
		var id, name string
		must(r.tb, rows.Scan(&id, &name))
		shown[id] = name
	}
	must(r.tb, rows.Err())
	want := maps.Clone(r.rows)
	for _, unsaid := range r.cut {
		if shown[unsaid.id] == unsaid.name {
			unsaid.perform(want)
		}
	}
	for id, name := range want {
		if shown[id] != name {
			r.tb.Errorf("row %q shows %q, and %q was acknowledged", id, shown[id], name)
		}
	}
	for id, name := range shown {
		if _, known := want[id]; !known {
			r.tb.Errorf("row %q shows %q, which was never said to be put, or its delete was acknowledged", id, name)
		}
	}
}

// history remembers every segment file that was ever seen in a folder.
type history map[string][32]byte

// look makes sure that no segment has changed, nor gone before one stands that was
// written anew from it, and remembers new ones.
func (h history) look(tb testing.TB, dir string) {
	tb.Helper()
	now := make(history)
	must(tb, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file that was there a moment ago
		}
		if err != nil || !strings.HasSuffix(path, ".seg") {
			return err
		}
		data, err := os.ReadFile(path)
		now[path] = sha256.Sum256(data)
		return err
	}))
	for path, sum := range h {
		if found, there := now[path]; there && found != sum {
			tb.Errorf("%s has changed", path)
		} else if !there && !now.replaces(path) {
			tb.Errorf("%s has gone, and nothing stands for it", path)
		}
	}
	maps.Copy(h, now)
}

// replaces reports whether a segment is there that the author of another wrote
// anew from it.
func (h history) replaces(gone string) bool {
	old, _ := folder.ParseSegmentName(filepath.Base(gone))
	for path := range h {
		name, _ := folder.ParseSegmentName(filepath.Base(path))
		if filepath.Dir(path) == filepath.Dir(gone) && name.Generation > old.Generation && name.First <= old.First && old.Last <= name.Last {
			return true
		}
	}
	return false
}

// temporaries returns the paths of the temporary files in a folder.
func temporaries(tb testing.TB, dir string) (paths []string) {
	tb.Helper()
	must(tb, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), ".~sqs-") {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

func TestNothingIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	const seed = 20240601
	kills := 15
	if *crashThorough {
		kills = 200
	}
	random := rand.New(rand.NewPCG(seed, 0))
	a, b := newPair(t, itemSchema)
	directory := a.directory()
	own := filepath.Join(directory, ".~sqs-fedcba9876543210.tmp")
	a.close()
	b.crowded = true
	theirs := filepath.Join(b.directory(), ".~sqs-0123456789abcdef.tmp") // as if b were at it
	must(t, os.WriteFile(theirs, []byte("half a file"), 0o600))
	said := &record{tb: t, rows: make(map[string]string)}
	segments := make(history)
	written := 0 // rows of b
	others := a.others([]string{directory})
	syncB := func() { // all that happens beside it is of the child
		a.wantUntouched(others, []string{directory}, false)
		b.sync()
		others = a.others([]string{directory})
	}
	for round := range kills {
		prefix := fmt.Sprintf("child%d-", round)
		j := a.job("open", prefix, -1)
		j.Change = true
		said.follow(j)
		c := startChild(t, j)
		lines := random.IntN(120)
		if round%5 == 4 { // while it opens
			lines = 0
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		}
		for range lines {
			if !c.lines.Scan() {
				c.cmd.Wait()
				t.Fatalf("the child ended: %s", c.stderr.String())
			}
			said.note(c.lines.Text())
			if random.IntN(10) == 0 { // something for the child to merge
				b.exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint("b", written))
				written++
				syncB()
			}
		}
		for _, line := range c.kill() {
			said.note(line)
		}
		said.killed()
		segments.look(t, a.folder)
		syncB()
	}
	must(t, os.WriteFile(own, []byte("half a file"), 0o600)) // what kills leave they leave by chance
	a.open()
	settle(a, b)
	segments.look(t, a.folder)
	if left := temporaries(t, a.folder); !slices.Equal(left, []string{theirs}) {
		t.Errorf("temporary files %v, want the one of b", left)
	}
	wantSame(t, []*testDevice{a, b})
	said.check(a)
	b.wantValue(fmt.Sprint(written), "SELECT count(*) FROM item WHERE name = 'of b'")
	a.wantValue("ok", "PRAGMA integrity_check")
	for _, d := range []*testDevice{a, b} {
		d.wantHealthy()
		if n := len(d.conflicts()); n != 0 {
			t.Errorf("%d conflicts between devices that edit different rows", n)
		}
	}
	if len(said.rows) < 100 || len(segments) < kills {
		t.Errorf("%d rows in %d segments: too little was going on", len(said.rows), len(segments))
	}
	quietDown(newTestClock(a, b), a, b) // the log may have grown enough to be written anew
	wantQuiet(t, a, b)
}

// A process that stands by goes on when the one that works is killed, with all that this one has committed.
func TestTheNextProcessGoesOnWhenOneIsKilled(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.close()
	b.crowded = true
	c := startChild(t, a.job("open", "child", 50))
	c.until("done")
	_, err := Open(t.Context(), a.db, a.folder, &a.options)
	wantIs(t, err, ErrInUse)
	options := a.options
	options.StandBy = true
	took := make(chan *Syncer, 1)
	go func() {
		s, err := Open(t.Context(), a.db, a.folder, &options)
		if err != nil {
			t.Error(err)
		}
		took <- s
	}()
	c.kill()
	select {
	case a.syncer = <-took:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody goes on")
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("50", "SELECT count(*) FROM item")
	a.wantHealthy()
}

// The directory of a device, in which its records take shape too, may not have
// been made before the process was killed, or be deleted with them.
func TestRecordsArePublishedThoughTheDirectoryIsGone(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('x', 'dear', 1)")
	must(t, os.RemoveAll(b.directory()))
	must(t, os.RemoveAll(filepath.Join(b.folder, "roster")))
	b.sync()
	a.sync()
	wantSame(t, []*testDevice{a, b})
	if records, _ := filepath.Glob(filepath.Join(a.folder, "roster", "*")); len(records) != 4 {
		t.Errorf("records %v, want found, invite, admit, and a join that confirms it", records)
	}
}

// Create and Join are killed at any moment. Afterwards the database is in the
// space, and Open goes on; or it is not, and the same call can be repeated.
func TestCreateAndJoinMayBeKilled(t *testing.T) {
	t.Parallel()
	const seed = 20240602
	random := rand.New(rand.NewPCG(seed, 0))
	ctx := context.Background()
	enter := func(t *testing.T, d *testDevice, again func()) {
		t.Helper()
		s, err := Open(ctx, d.db, d.folder, &d.options)
		switch {
		case errors.Is(err, ErrNotSetUp):
			again()
		case err != nil:
			t.Fatal(err)
		default:
			d.syncer = s
		}
	}
	rounds := 8
	if *crashThorough {
		rounds = 40
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
			a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
			b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
			a.folder, b.folder = t.TempDir(), ""
			c := startChild(t, a.job("create", "", 0))
			time.Sleep(time.Duration(random.IntN(80)) * time.Millisecond)
			c.kill()
			a.wantValue("of a", "SELECT name FROM item")
			enter(t, a, func() { a.create(a.folder) })
			a.sync()

			b.folder = a.folder
			j := b.job("join", "", 0)
			j.Code = a.invite()
			b.exec("DELETE FROM item")
			c = startChild(t, j)
			time.Sleep(time.Duration(random.IntN(80)) * time.Millisecond)
			c.kill()
			enter(t, b, func() { b.join(b.folder, j.Code) })
			b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			a.wantValue("2", "SELECT count(*) FROM item")
			wantQuiet(t, a, b)
		})
	}
}
