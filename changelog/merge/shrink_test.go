package merge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// keptHistories is where histories are kept that have failed once.
const keptHistories = "testdata/histories"

// TestKeptHistories runs again what has failed once.
func TestKeptHistories(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(keptHistories, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories are kept: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := new(record)
			if err := json.Unmarshal(b, r); err != nil {
				t.Fatal(err)
			}
			begin := walks[r.Test]
			if begin == nil {
				t.Fatalf("there are no histories called %q", r.Test)
			}
			defer limitWritten(r.Remember)()
			if failure := replay(nil, r, begin); failure != "" {
				t.Error(failure)
			}
		})
	}
}

// walks are the kinds of histories, by name.
var walks = map[string]func(c *course, again bool) walk{"history": beginHistory, "world": beginWorld}

// TestShrink shrinks a history that fails by design.
func TestShrink(t *testing.T) {
	r := &record{Test: "history", Kind: tableKinds[0].name, Events: []event{{Op: "join", Device: "a"}, {Op: "join", Device: "b"}}}
	for range 20 {
		r.Events = append(r.Events, event{Op: "restart", Device: "a"})
	}
	r.Events = append(r.Events, event{Op: "no such event", Device: "a"}, event{Op: "restart", Device: "b"})
	failure := replay(nil, r, beginHistory)
	short, again := shrink(r, failure, beginHistory)
	if failure == "" || again != failure || len(short.Events) != 2 || short.Events[1].Op != "no such event" {
		t.Errorf("%q became %q with the events %v", failure, again, short.Events)
	}
}

// maxReplays bounds how long a history is shrunk.
const maxReplays = 400

// shrink leaves out events, and then statements, as long as the rest fails in the same way.
func shrink(r *record, failure string, begin func(*course, bool) walk) (shortest *record, how string) {
	shortest, how = r, failure
	replays := 0
	try := func(events []event) bool {
		shorter := *shortest
		shorter.Events = events
		replays++
		again := replay(nil, &shorter, begin)
		if again == "" || wayOf(again) != wayOf(failure) {
			return false
		}
		shortest, how = &shorter, again
		return true
	}
	for size := len(r.Events) / 2; size > 0 && replays < maxReplays; {
		removed := false
		for start := 0; start < len(shortest.Events) && replays < maxReplays; {
			if try(slices.Delete(slices.Clone(shortest.Events), start, min(start+size, len(shortest.Events)))) {
				removed = true
				continue
			}
			start += size
		}
		if !removed || size > 1 {
			size /= 2
		}
	}
	for i := range shortest.Events {
		for n := 0; n < len(shortest.Events[i].SQL) && replays < 2*maxReplays; {
			events := slices.Clone(shortest.Events)
			if events[i].SQL = slices.Delete(slices.Clone(events[i].SQL), n, n+1); !try(events) {
				n++
			}
		}
	}
	return shortest, how
}

// wayOf returns what two failures have in common that are alike: what was said first, but for the device.
func wayOf(failure string) string {
	first, _, _ := strings.Cut(failure, "\n")
	_, way, _ := strings.Cut(first, " ")
	way, _, _ = strings.Cut(way, " of ")
	return way
}

func (r *record) text() string {
	var b strings.Builder
	for _, e := range r.Events {
		line, err := json.Marshal(e)
		fmt.Fprintf(&b, "\t%s %v\n", line, err)
	}
	return b.String()
}

// write makes a file of the history.
func (r *record) write() (file string, err error) {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return "", err
	}
	file = filepath.Join(keptHistories, fmt.Sprintf("%s-%d.json", r.Test, r.Seed))
	if err := os.MkdirAll(keptHistories, 0o755); err != nil {
		return file, err
	}
	return file, os.WriteFile(file, append(b, '\n'), 0o600)
}

// A trial is a test whose failure is an answer.
type trial struct {
	testing.TB // that of which this is a part, which hears the log; nil if nobody does
	said       []string
	cleanups   []func()
}

// attempt runs fn and returns how it failed, "" if it did not.
func attempt(tb testing.TB, fn func(testing.TB) map[string]bool) (failure string, marks map[string]bool) {
	t := &trial{TB: tb}
	done := make(chan struct{})
	go func() { // which Fatalf ends
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("it panics: %v\n%s", p, debug.Stack())
			}
			for _, cleanup := range slices.Backward(t.cleanups) {
				cleanup()
			}
		}()
		marks = fn(t)
	}()
	<-done
	return strings.Join(t.said, "\n"), marks
}

func (t *trial) Helper()           {}
func (t *trial) Failed() bool      { return len(t.said) > 0 }
func (t *trial) Cleanup(fn func()) { t.cleanups = append(t.cleanups, fn) }
func (t *trial) Errorf(format string, args ...any) {
	t.said = append(t.said, fmt.Sprintf(format, args...))
}
func (t *trial) Error(args ...any) { t.said = append(t.said, fmt.Sprint(args...)) }

func (t *trial) Logf(format string, args ...any) {
	if t.TB != nil {
		t.TB.Logf(format, args...)
	}
}

func (t *trial) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *trial) Fatal(args ...any) {
	t.Error(args...)
	runtime.Goexit()
}

// TempDir is gone after the trial, of which a test makes many.
func (t *trial) TempDir() string {
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A tally counts what happened in histories.
type tally struct {
	sync.Mutex
	marks map[string]int
}

func (t *tally) add(marks map[string]bool) {
	t.Lock()
	defer t.Unlock()
	if t.marks == nil {
		t.marks = make(map[string]int)
	}
	for what := range marks {
		t.marks[what]++
	}
}

func (t *tally) String() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(t.marks)) {
		parts = append(parts, fmt.Sprint(what, ": ", t.marks[what]))
	}
	return strings.Join(parts, ", ")
}
