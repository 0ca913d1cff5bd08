package merge_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

var (
	seedFlag      = flag.Uint64("seed", 0, "run only the random history with this seed")
	fromFlag      = flag.Uint64("from", 1, "the first seed of random histories")
	historiesFlag = flag.Int("histories", 60, "how many random histories TestHistories and TestWorlds run, each")
	stepsFlag     = flag.Int("steps", 70, "steps of each random history")
)

// A record is a history that can be had again: what was chosen at random, and nothing that follows from it.
type record struct {
	Test     string   `json:"test"`
	Seed     uint64   `json:"seed"`
	Kind     string   `json:"kind"`
	Renamed  []string `json:"renamed,omitempty"`  // the tables that get other names
	OnDisk   bool     `json:"onDisk,omitempty"`   // databases are files
	Remember int      `json:"remember,omitempty"` // of how many rows a merge remembers that they were written, less one; 0: of very many
	Events   []event  `json:"events"`
}

// An event is a step of a history. What an event needs and does not find, because a shorter history lacks it, it does without.
type event struct {
	Op          string   `json:"op"`
	Device      string   `json:"device"`
	At          int64    `json:"at,omitempty"`  // what the clock says
	SQL         []string `json:"sql,omitempty"` // what the app writes
	Later       []string `json:"later,omitempty"`
	Of          string   `json:"of,omitempty"` // the author of the batches
	Count       int      `json:"count,omitempty"`
	Page        int      `json:"page,omitempty"`    // how many entries of the log are folded together
	Changes     []string `json:"changes,omitempty"` // encoded, in hexadecimal
	Absent      bool     `json:"absent,omitempty"`
	Loose       bool     `json:"loose,omitempty"`   // without references
	Without     string   `json:"without,omitempty"` // a table that the device does not have yet
	Grown       bool     `json:"grown,omitempty"`
	Renamed     bool     `json:"renamed,omitempty"`
	Recursive   bool     `json:"recursive,omitempty"`
	ForeignKeys bool     `json:"foreignKeys,omitempty"`
	Witness     bool     `json:"witness,omitempty"`
}

// A course is what random histories of one table, and of several that refer to one another, have in common.
type course struct {
	t      testing.TB
	random *rand.Rand
	logs   map[changelog.DeviceID][]*changelog.Batch
	record *record
	marks  map[string]bool // what happened in it
}

// A walk is a history under way.
type walk interface {
	next() event // chosen at random
	play(event)
	finish()
}

// courses runs random histories in parallel, each of which begin starts, and checks that what they are to show happened in some.
func courses(t *testing.T, test string, begin func(c *course, again bool) walk, wanted []string) {
	if *seedFlag != 0 {
		defer limitWritten(remember(*seedFlag))()
		walkOne(t, t, test, *seedFlag, begin, new(tally))
		return
	}
	all := new(tally)
	limits := map[int][]uint64{}
	count := *historiesFlag
	if testing.Short() {
		count = min(count, 15)
	}
	for n := range uint64(count) {
		seed := *fromFlag + n
		limits[remember(seed)] = append(limits[remember(seed)], seed)
	}
	for _, limit := range slices.Sorted(maps.Keys(limits)) { // merges share this one number
		restore := limitWritten(limit)
		var next atomic.Int64
		var workers sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			workers.Go(func() {
				for n := int(next.Add(1)) - 1; n < len(limits[limit]); n = int(next.Add(1)) - 1 {
					walkOne(t, nil, test, limits[limit][n], begin, all)
				}
			})
		}
		workers.Wait()
		restore()
	}
	t.Logf("%d histories, of which so many have %s", count, all)
	for _, what := range wanted {
		if all.marks[what] == 0 && count >= 5000 {
			t.Errorf("no history has %q", what)
		}
	}
}

// remember chooses how many rows a merge remembers, as a record says it.
func remember(seed uint64) int {
	if limit := int(seed % 16); limit < 3 {
		return limit + 1
	}
	return 0
}

func limitWritten(limit int) (restore func()) {
	if limit == 0 {
		return func() {}
	}
	return merge.RememberWritten(limit - 1)
}

// walkOne runs one history, and makes a file of the shortest one that fails in its way.
func walkOne(t *testing.T, verbose testing.TB, test string, seed uint64, begin func(*course, bool) walk, all *tally) {
	r := &record{Test: test, Seed: seed, Remember: remember(seed), OnDisk: seed%8 == 0}
	failure, marks := attempt(verbose, func(tb testing.TB) map[string]bool {
		c := newCourse(tb, r)
		w := begin(c, false)
		for range *stepsFlag {
			e := w.next()
			r.Events = append(r.Events, e)
			c.play(w, e)
		}
		w.finish()
		return c.marks
	})
	if failure == "" {
		all.add(marks)
		return
	}
	shortest, failure := shrink(r, failure, begin)
	file, err := shortest.write()
	t.Errorf("seed %d: %s\nIn short, as %s (%v):\n%s\nAgain: go test ./changelog/merge -run '^%s$' -seed %d -steps %d -v",
		seed, failure, file, err, shortest.text(), t.Name(), seed, *stepsFlag)
}

// replay runs a history again and says how it fails, "" if it does not.
func replay(verbose testing.TB, r *record, begin func(*course, bool) walk) (failure string) {
	failure, _ = attempt(verbose, func(tb testing.TB) map[string]bool {
		c := newCourse(tb, r)
		w := begin(c, true)
		for _, e := range r.Events {
			c.play(w, e)
		}
		w.finish()
		return c.marks
	})
	return failure
}

func newCourse(tb testing.TB, r *record) *course {
	stream := uint64(len(r.Test))
	return &course{tb, rand.New(rand.NewPCG(r.Seed, stream)), make(map[changelog.DeviceID][]*changelog.Batch), r, make(map[string]bool)}
}

func (c *course) play(w walk, e event) {
	c.mark(e.Op)
	w.play(e)
	if c.t.Failed() {
		runtime.Goexit()
	}
}

// mark notes that something happened that histories are to show.
func (c *course) mark(what string) { c.marks[what] = true }

// newApp makes a database for the history.
func (c *course) newApp(name string) *device {
	if c.record.OnDisk {
		return onDisk(c.t, name)
	}
	return inMemory(c.t, name)
}

func (c *course) logf(format string, args ...any) {
	c.t.Helper()
	if *seedFlag != 0 && testing.Verbose() {
		c.t.Logf(format, args...)
	}
}

func (d *device) name() string { return authorName(d.id) }

func authorName(id changelog.DeviceID) string { return strings.TrimRight(string(id[:]), "\x00") }

func authorID(name string) (id changelog.DeviceID) {
	copy(id[:], name)
	return id
}

// anyAuthor picks a device of which d has not merged all; "" if there is none.
func (c *course) anyAuthor(d *device, seen changelog.Vector) string {
	var authors []string
	for author, log := range c.logs {
		if author != d.id && seen[author] < uint64(len(log)) {
			authors = append(authors, authorName(author))
		}
	}
	if len(authors) == 0 {
		return ""
	}
	slices.Sort(authors)
	return authors[c.random.IntN(len(authors))]
}

// waiting returns the next batches of an author, up to count, as one: as a compacted range comes, if they are more than one.
func (c *course) waiting(d *device, seen changelog.Vector, of string, count int) (batch *changelog.Batch, compacted bool) {
	author := authorID(of)
	log := c.logs[author]
	if author == d.id || seen[author] >= uint64(len(log)) {
		return nil, false
	}
	log = log[seen[author]:min(seen[author]+uint64(count), uint64(len(log)))]
	if len(log) == 1 {
		return log[0], false
	}
	c.mark("compacted range")
	last := log[len(log)-1]
	batch = &changelog.Batch{Device: author, Number: last.Number, Seen: last.Seen, Vectors: make(map[uint64]changelog.Vector)}
	for _, part := range log {
		batch.Changes = append(batch.Changes, part.Changes...)
		batch.Vectors[part.Number] = part.Seen
	}
	batch.Changes = compact(batch.Changes)
	return batch, true
}

// compact leaves out the changes of which newer ones of the same row contain every column (FORMAT.md, chapter 10, "Dropping").
func compact(changes []changelog.Change) (left []changelog.Change) {
	for _, c := range changes {
		contained := make(map[string]bool)
		exists, deleted := c.Shape.Kind == changelog.Partial, false
		for _, newer := range changes {
			if newer.Compare(&c) <= 0 || newer.Shape.Rows() != c.Shape.Rows() || newer.Key.Identity() != c.Key.Identity() {
				continue
			}
			exists = exists || newer.Shape.Kind != changelog.Partial
			deleted = deleted || newer.Shape.Kind == changelog.Delete
			for _, column := range newer.Shape.Columns {
				contained[column] = true
			}
		}
		all := c.Shape.Kind != changelog.Delete && exists
		for _, column := range c.Shape.Columns {
			all = all && contained[column]
		}
		if !all && !deleted {
			left = append(left, c)
		}
	}
	return left
}

// merged picks a batch that a device has merged.
func (c *course) merged(d *device, seen changelog.Vector) (of string, number int) {
	type place struct {
		of     string
		number int
	}
	var places []place
	for author, log := range c.logs {
		if author == d.id {
			continue
		}
		for n := range min(seen[author], uint64(len(log))) {
			places = append(places, place{authorName(author), int(n)})
		}
	}
	if len(places) == 0 {
		return "", 0
	}
	slices.SortFunc(places, func(a, b place) int {
		return strings.Compare(fmt.Sprint(a.of, 1e6+a.number), fmt.Sprint(b.of, 1e6+b.number))
	})
	p := places[c.random.IntN(len(places))]
	return p.of, p.number
}

// phantomBatch makes the next batch of a device that is none, and whose changes are made up.
func (c *course) phantomBatch(seen changelog.Vector, encoded []string, newest func(c *changelog.Change) int64) {
	id := authorID("p")
	batch := &changelog.Batch{Device: id, Number: uint64(len(c.logs[id])) + 1, Seen: maps.Clone(seen)}
	delete(batch.Seen, id)
	for _, text := range encoded {
		b, err := hex.DecodeString(text)
		if err != nil {
			c.t.Fatal(err)
		}
		change, err := changelog.ParseChange(b)
		if err != nil {
			c.t.Fatal(err)
		}
		change.Stamp.Device, change.Stamp.Batch = id, batch.Number
		change.Stamp.Time = max(change.Stamp.Time, newest(change)+1)
		if change.Birth != (changelog.Stamp{}) {
			change.Birth = change.Stamp
		}
		batch.Changes = append(batch.Changes, *change)
	}
	c.logs[id] = append(c.logs[id], batch)
}

// compare holds what a device has against what the oracle says.
func (c *course) compare(d *device, what string, got, want map[string]string) {
	c.t.Helper()
	if maps.Equal(got, want) {
		return
	}
	c.t.Errorf("%s has other %s than the oracle", d.name(), what)
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if got[key] != want[key] {
			c.t.Errorf("\t%q: %s, want %q", key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if _, there := got[key]; !there {
			c.t.Errorf("\t%q: missing, want %s", key, want[key])
		}
	}
}

// markHeld notes for what a row was held.
func (c *course) markHeld(reason string) {
	for text, what := range map[string]string{
		"cannot store": "a type", "there is no such table": "its table", "FOREIGN KEY": "a parent", "NOT NULL": "NOT NULL", "CHECK": "CHECK", "UNIQUE": "UNIQUE",
	} {
		if strings.Contains(reason, text) {
			c.mark("held for " + what)
		}
	}
}
