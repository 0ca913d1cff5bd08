package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// Each step of Create and Join in the folder, and each commit, fails once, in both forms: nothing of it was done, or all of it. The
// process lives on. Afterwards the database is a device, or the call can be repeated with the same code, and nothing is lost or said
// twice.
func TestAFailureAtAnyStepOfEnteringLosesNothing(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"create", "join"} {
		for _, persisted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s persisted=%v", verb, persisted), func(t *testing.T) {
				t.Parallel()
				enterWithFailures(t, verb, persisted, (*faults).give, sampled)
			})
			t.Run(fmt.Sprintf("commits of %s persisted=%v", verb, persisted), func(t *testing.T) {
				t.Parallel()
				enterWithFailures(t, verb, persisted, (*faults).giveCommits, func(int) bool { return true })
			})
		}
	}
}

// enterWithFailures lets devices enter a space, each with another step that fails, of those that are to be tried.
func enterWithFailures(t *testing.T, verb string, persisted bool, give func(*faults, *testDevice), tried func(step int) bool) {
	t.Helper()
	steps, failures := 0, 0
	for failed := true; failed; steps++ {
		if !tried(steps) {
			continue
		}
		step, err := enterWithFailure(t, verb, steps, persisted, give)
		failed = step != ""
		switch {
		case !failed && err != nil:
			t.Fatal(err)
		case failed && err != nil:
			failures++
		}
	}
	if failures < 2 {
		t.Errorf("only %d of %d steps made the call fail", failures, steps)
	}
}

// enterWithFailure lets a device enter a space while one step fails, and again if it has to. It returns that step, if there
// are so many, and the error of the first attempt.
func enterWithFailure(t *testing.T, verb string, at int, persisted bool, give func(*faults, *testDevice)) (step string, failure error) {
	t.Helper()
	s, enter := newEntering(t, verb, give)
	s.faults.arm(at, persisted)
	failure = enter()
	step = s.faults.failed
	s.faults.disarm()
	what := fmt.Sprintf("step %d, %s", at, step)
	if failure != nil {
		var err error
		if s.a.syncer, err = Open(s.a.context(), s.a.db, s.a.folder, &s.a.options); errors.Is(err, ErrNotSetUp) {
			err = enter()
		}
		if err != nil {
			t.Fatalf("%s: %v, and then %v", what, failure, err)
		}
	}
	s.a.sync()
	if verb == "create" {
		s.b.join(s.a.folder, s.a.invite())
	}
	s.check(what)
	wantSame(t, []*testDevice{s.a, s.b})
	devices, err := s.b.syncer.Devices(t.Context())
	must(t, err)
	if len(devices) != 2 {
		t.Errorf("%s: the space has %d devices", what, len(devices))
	}
	if refused := s.b.syncer.Status().Refused; len(refused) > 0 {
		t.Errorf("%s: %v", what, refused)
	}
	wantQuiet(t, s.a, s.b)
	s.a.close()
	s.b.close()
	return step, failure
}

// The context of Join ends at one of many steps while it reads. Join says so, the device is a member, and Open goes on: what was read stays, and
// is not read again.
func TestAJoinWhoseContextEndsWhileItReads(t *testing.T) {
	t.Parallel()
	ended, midway := 0, 0
	for at := 1; ; at += 7 { // there are about 90: each takes a while, and many are alike
		step, kept := joinThatIsEnded(t, at)
		if step == "" {
			break
		}
		ended++
		if 0 < kept && kept < endedBatches {
			midway++
		}
	}
	t.Logf("Join was ended %d times, %d of them with a part of the log read", ended, midway)
	if ended < 5 || midway < 3 {
		t.Errorf("Join was ended %d times, %d of them with a part of the log read", ended, midway)
	}
}

// endedBatches is how many batches stand in the log that a Join reads that is ended.
const endedBatches = 12

// joinThatIsEnded lets a device enter a space, ends the context at a step after it has begun to read, and opens it. It returns that
// step, if there are so many, and how many batches Join had read.
func joinThatIsEnded(t *testing.T, at int) (ended string, kept int) {
	t.Helper()
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.writeBatches(endedBatches, func(i int) string { return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', 1)", i) })
	b.exec("INSERT INTO item VALUES ('own', 'of b', 1)")
	b.options.Existing = MergeExisting
	b.folder = a.folder
	ctx, cancel := context.WithCancel(b.context())
	defer cancel()
	var mu sync.Mutex // a file is read while the one before it is merged
	steps := 0
	var read []string // the files of a, since the last look
	b.environment.Step = func(step string, perform func() error) error {
		mu.Lock()
		defer mu.Unlock()
		reads := strings.HasPrefix(step, "open ") && strings.HasSuffix(step, ".seg")
		if reads && strings.Contains(step, a.id().String()) {
			read = append(read, path.Base(step))
		}
		if reads || steps > 0 {
			if steps == at {
				ended = step
				cancel()
			}
			steps++
		}
		return perform()
	}
	var err error
	b.syncer, err = Join(ctx, b.db, a.folder, a.invite(), &b.options)
	if ended == "" {
		must(t, err)
		return "", endedBatches
	}
	if !errors.Is(err, context.Canceled) || b.syncer != nil {
		t.Fatalf("Join was ended at step %d, %s, and says: %v", at, ended, err)
	}
	device := a.id()
	const position = "SELECT coalesce(max(batch), 0) FROM sqlitesync_devices WHERE id = ?"
	must(t, b.db.QueryRow(position, device[:]).Scan(&kept))
	b.open()
	b.wantValue(fmt.Sprint(kept), position, device[:])
	b.wantValue(fmt.Sprint(kept+1), "SELECT count(*) FROM item") // one a batch, and its own
	read = nil
	b.sync()
	for _, file := range read {
		if name, ok := folder.ParseSegmentName(file); ok && name.Last <= uint64(kept) {
			t.Errorf("ended at step %d, %s: having read %d batches, the next pass reads %s", at, ended, kept, file)
		}
	}
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue(fmt.Sprint(endedBatches+1), "SELECT count(*) FROM item")
	a.wantHealthy()
	b.wantHealthy()
	wantQuiet(t, a, b)
	a.close()
	b.close()
	return ended, kept
}
