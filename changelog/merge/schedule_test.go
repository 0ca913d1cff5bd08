package merge_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

var (
	schedules     = flag.Int("schedules", 20_000, "how many schedules of the rule of merging TestSchedules tries")
	scheduleFirst = flag.Uint64("schedules.from", 1, "the first of their seeds")
)

// A schedule is what happens to one row on some devices: each remembers only what Combine says is needed, writes with the
// knowledge that it has, and hears of what others wrote in any order, in groups, and more than once. There is no SQLite in it,
// so that millions of them can be tried.
type schedule struct {
	*rand.Rand
	known   [][]changelog.Change // by device: what it remembers
	written []changelog.Change
	missing [][]int // by device: what it has not heard of yet
	batch   uint64
}

// TestSchedules holds Combine against the rule as FORMAT.md says it, on every device, at the end of each schedule.
func TestSchedules(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		running.Go(func() {
			for i := worker; i < *schedules && !t.Failed(); i += workers {
				seed := *scheduleFirst + uint64(i)
				if wrong := runSchedule(seed); wrong != "" {
					t.Errorf("seed %d: %s\nAgain: go test ./changelog/merge -run '^TestSchedules$' -schedules 1 -schedules.from %d", seed, wrong, seed)
				}
			}
		})
	}
	running.Wait()
}

func runSchedule(seed uint64) string {
	random := rand.New(rand.NewPCG(seed, 1))
	devices := 2 + random.IntN(7)
	s := &schedule{Rand: random, known: make([][]changelog.Change, devices), missing: make([][]int, devices)}
	for range 3 + random.IntN(20) {
		if device := random.IntN(devices); random.IntN(2) == 0 {
			s.write(device)
		} else {
			s.hear(device)
		}
	}
	for device := range devices {
		for len(s.missing[device]) > 0 {
			s.hear(device)
		}
	}
	want := ruled(s.written)
	for device := range devices {
		w := merge.Combine(s.known[device])
		if got := winnerText(&w); got != want {
			return fmt.Sprintf("device %d of %d shows %s, want %s", device, devices, got, want)
		}
		if got, want := neededText(w.Needed), neededText(merge.Combine(s.written).Needed); got != want {
			return fmt.Sprintf("device %d of %d remembers %s, want %s", device, devices, got, want)
		}
	}
	return ""
}

var scheduleColumns = []string{"a", "b", "c"}

// write makes a change of a device: a delete, or a put of all columns that its schema has, or of some.
func (s *schedule) write(device int) {
	c := changelog.Change{Key: changelog.Key{int64(1)}, Stamp: changelog.Stamp{Time: int64(1 + s.IntN(4)), Device: changelog.DeviceID{byte(device + 1)}}}
	for i := range s.known[device] { // made with knowledge of it
		c.Stamp.Time = max(c.Stamp.Time, s.known[device][i].Stamp.Time+1)
	}
	s.batch++
	c.Stamp.Batch = s.batch
	kind := changelog.Kind(s.IntN(3))
	var columns []string
	if kind != changelog.Delete {
		columns = scheduleColumns[:1+s.IntN(len(scheduleColumns))]
		if kind == changelog.Partial {
			first := s.IntN(len(columns))
			columns = columns[first : first+1]
		}
		c.Birth = c.Stamp
	}
	c.Shape = changelog.NewShape(kind, "t", []string{"id"}, columns)
	for range c.Shape.Columns {
		c.Values = append(c.Values, int64(s.IntN(5)))
	}
	s.written = append(s.written, c)
	s.learn(device, c)
	for other := range s.missing {
		if other != device {
			s.missing[other] = append(s.missing[other], len(s.written)-1)
		}
	}
}

// hear tells a device of some of what it has not heard of, in any order, and of something that it has heard of before.
func (s *schedule) hear(device int) {
	missing := s.missing[device]
	if len(missing) == 0 {
		return
	}
	s.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
	n := 1 + s.IntN(len(missing))
	var group []changelog.Change
	for _, i := range missing[:n] {
		group = append(group, s.written[i])
	}
	s.missing[device] = slices.Clone(missing[n:])
	if s.IntN(3) == 0 {
		again := s.IntN(len(s.written))
		if !slices.Contains(s.missing[device], again) {
			group = append(group, s.written[again])
		}
	}
	s.learn(device, group...)
}

// learn lets a device forget all that is not needed any more.
func (s *schedule) learn(device int, changes ...changelog.Change) {
	s.known[device] = merge.Combine(slices.Concat(s.known[device], changes)).Needed
}

// ruled is the rule, read from FORMAT.md, chapter 10, and nothing else: for each column the newest change that contains it;
// existence is a column that deletes and full puts contain.
func ruled(changes []changelog.Change) string {
	newest := func(contains func(*changelog.Change) bool) *changelog.Change {
		var found *changelog.Change
		for i := range changes {
			if c := &changes[i]; contains(c) && (found == nil || c.Compare(found) > 0) {
				found = c
			}
		}
		return found
	}
	var b strings.Builder
	existence := newest(func(c *changelog.Change) bool { return c.Shape.Kind != changelog.Partial })
	fmt.Fprint(&b, existence != nil && existence.Shape.Kind == changelog.Full)
	for _, column := range scheduleColumns {
		c := newest(func(c *changelog.Change) bool {
			return c.Shape.Kind == changelog.Delete || slices.Contains(c.Shape.Columns, column)
		})
		if c != nil && c.Shape.Kind != changelog.Delete {
			fmt.Fprint(&b, " ", column, "=", c.Values[slices.Index(c.Shape.Columns, column)])
		}
	}
	return b.String()
}

func winnerText(w *merge.Winner) string {
	var b strings.Builder
	fmt.Fprint(&b, w.Exists)
	for _, column := range scheduleColumns {
		if value, contained := w.Values[column]; contained {
			fmt.Fprint(&b, " ", column, "=", value)
		}
	}
	return b.String()
}

func neededText(changes []changelog.Change) string {
	var b strings.Builder
	for i := range changes {
		fmt.Fprint(&b, changes[i].Stamp, " ")
	}
	return b.String()
}
