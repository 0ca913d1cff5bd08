package sqlitesync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Long work tells how far it has come, in events and in Status, and when it is over.
func TestProgress(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('before', 'the space', 1)")
	a.create(t.TempDir())
	a.sync()
	a.writeBatches(20, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	b := newTestDevice(t, itemSchema)
	b.join(a.folder, a.invite())
	a.writeBatches(20, func(i int) string { return fmt.Sprintf("UPDATE item SET n = 2 WHERE id = '%d'", i) })
	now := time.Now()
	b.environment.Steady = func() time.Time { // of a slow machine
		now = now.Add(progressInterval)
		return now
	}
	var mu sync.Mutex                // a file is read while the one before it is merged
	shown := make(map[Progress]bool) // by Status, while it goes on
	b.environment.Step = func(step string, perform func() error) error {
		mu.Lock()
		defer mu.Unlock()
		shown[b.syncer.Status().Progress] = true
		return perform()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := b.syncer.Events(ctx)
	b.sync()
	files, of, rows, seen := 0, 0, 0, 0
	var bytes int64
	for event := range events {
		if event.Kind == EventProgress {
			p := event.Progress
			if p.Phase != PhaseMerging || p.Files <= files || p.Of < p.Files || p.Bytes <= bytes || p.Rows <= rows || (p.Left > 0) != (p.Files < p.Of) {
				t.Errorf("progress %+v after %d files and %d rows", p, files, rows)
			}
			if shown[p] {
				seen++
			}
			files, of, rows, bytes = p.Files, p.Of, p.Rows, p.Bytes
		}
		if files == 20 {
			break
		}
	}
	if of != 20 || rows != 20 {
		t.Errorf("%d files, %d rows", of, rows)
	}
	if seen < 10 {
		t.Errorf("Status has shown only %d of what the events told", seen)
	}
	if p := b.syncer.Status().Progress; p != (Progress{}) {
		t.Errorf("progress %+v when nothing is done", p)
	}
}

// A device that reads a long log publishes what its app writes meanwhile, and does not wait until it has read all.
func TestEditsDoNotWaitForALongLog(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.writeBatches(20, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	now, wall := time.Now(), time.Now()
	b.environment.Steady = func() time.Time { // of a slow machine
		now = now.Add(maxFlushDelay)
		return now
	}
	b.environment.Wall = func() time.Time { // which somebody puts back all the while
		wall = wall.Add(-time.Hour)
		return wall
	}
	var mu sync.Mutex // a file is read while the one before it is merged
	var steps []string
	b.environment.Step = func(step string, perform func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") {
			if len(steps) == 5 {
				b.exec("INSERT INTO item VALUES ('mine', 'y', 1)")
			}
			steps = append(steps, "read")
		}
		if strings.HasPrefix(step, "link") && strings.Contains(step, ".seg") {
			steps = append(steps, "published")
		}
		return perform()
	}
	b.sync()
	published, read := slices.Index(steps, "published"), 0
	for _, step := range steps[max(0, published):] {
		if step == "read" {
			read++
		}
	}
	if published < 0 || read < 10 {
		t.Errorf("published at step %d, and read %d files after it: %v", published, read, steps)
	}
}

// While ranges are read, which wait for nobody, children wait for parents that other logs have. They are not reported as held
// before all was read.
func TestChildrenThatWaitWhileLogsAreReadAreNotReported(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL);
		CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL, parent TEXT NOT NULL REFERENCES parent)`
	a, b := newPair(t, schema)
	late := newTestDevice(t, schema)
	late.join(a.folder, a.invite())
	late.close()
	clock := newTestClock(a, b)
	a.exec("INSERT INTO parent VALUES ('a')")
	b.exec("INSERT INTO parent VALUES ('b')")
	settle(a, b)
	a.exec("INSERT INTO child VALUES ('of a', 'b')")
	b.exec("INSERT INTO child VALUES ('of b', 'a')")
	settle(a, b)
	a.compactNext()
	b.compactNext()
	quietDown(clock, a, b)

	late.open()
	waited, told := 0, 0
	late.environment.Steady = func() time.Time { // is asked between segments
		if late.value("SELECT count(*) FROM sqlitesync_kept WHERE reason <> ''") != "0" {
			waited++
			if n := late.syncer.state.status.Held; n != 0 { // the pass that asks for the time may have locked it
				t.Errorf("%d rows are reported as held", n)
			}
			if late.syncer.state.status.Progress.Phase == PhaseMerging && late.syncer.state.doing == StateCatchingUp {
				told++
			}
		}
		clock.pass(progressInterval)
		return clock.read()
	}
	late.sync()
	if waited == 0 || told == 0 {
		t.Errorf("children have waited %d times, and %d times it was told that logs are read", waited, told)
	}
	wantSame(t, []*testDevice{a, late})
	if st := late.syncer.Status(); st.Held != 0 || st.State != StateIdle {
		t.Errorf("%d rows are held at the end, it is %s", st.Held, st.State)
	}
}

// A newcomer to a large space has its Syncer before all is read: it sees how far that has come, and what its app writes goes out.
func TestANewcomerSeesWhatIsStillToBeRead(t *testing.T) {
	t.Parallel()
	const all = 40 // more would be written anew, into few files
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.writeBatches(all, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	b.options.Manual = false
	b.environment.Step = func(step string, perform func() error) error {
		if strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg") {
			time.Sleep(120 * time.Millisecond) // a slow disk
		}
		return perform()
	}
	b.join(a.folder, a.invite())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var p Progress
	for event := range b.syncer.Events(ctx) {
		if event.Kind == EventProgress {
			p = event.Progress
			break
		}
	}
	if p.Phase != PhaseMerging || p.Files == 0 || p.Files >= p.Of || p.Bytes == 0 || p.Rows == 0 {
		t.Errorf("progress %+v", p)
	}
	b.exec("INSERT INTO item VALUES ('of b', 'y', 1)")
	read := ""
	for len(b.segments()) == 0 && ctx.Err() == nil {
		read = b.value("SELECT count(*) < 40 FROM item WHERE name = 'x'")
		time.Sleep(time.Millisecond)
	}
	if read != "1" {
		t.Error("the edit waited for all that there was to read")
	}
	b.waitFor("SELECT count(*) = 40 FROM item WHERE name = 'x'")
	a.sync()
	a.wantValue("1", "SELECT count(*) FROM item WHERE id = 'of b'")
}
