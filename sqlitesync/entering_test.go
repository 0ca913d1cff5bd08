package sqlitesync

import (
	"errors"
	"fmt"
	"testing"
)

// Each step of Create and Join fails once, in both forms: nothing of it was done, or all of it. The process lives on. Afterwards the
// database is a device, or the call can be repeated with the same code, and nothing is lost or said twice.
func TestAFailureAtAnyStepOfEnteringLosesNothing(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"create", "join"} {
		for _, persisted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s persisted=%v", verb, persisted), func(t *testing.T) {
				t.Parallel()
				steps, failures := 0, 0
				for failed := true; failed; steps++ {
					if !sampled(steps) {
						continue
					}
					step, err := enterWithFailure(t, verb, steps, persisted)
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
			})
		}
	}
}

// enterWithFailure lets a device enter a space while one step fails, and again if it has to. It returns that step, if there
// are so many, and the error of the first attempt.
func enterWithFailure(t *testing.T, verb string, at int, persisted bool) (step string, failure error) {
	t.Helper()
	s, enter := newEntering(t, verb)
	s.faults.arm(at, persisted)
	failure = enter()
	step = s.faults.failed
	s.faults.disarm()
	context := fmt.Sprintf("step %d, %s", at, step)
	if failure != nil {
		var err error
		if s.a.syncer, err = Open(s.a.context(), s.a.db, s.a.folder, &s.a.options); errors.Is(err, ErrNotSetUp) {
			err = enter()
		}
		if err != nil {
			t.Fatalf("%s: %v, and then %v", context, failure, err)
		}
	}
	s.a.sync()
	if verb == "create" {
		s.b.join(s.a.folder, s.a.invite())
	}
	s.check(context)
	wantSame(t, []*testDevice{s.a, s.b})
	devices, err := s.b.syncer.Devices(t.Context())
	must(t, err)
	if len(devices) != 2 {
		t.Errorf("%s: the space has %d devices", context, len(devices))
	}
	if refused := s.b.syncer.Status().Refused; len(refused) > 0 {
		t.Errorf("%s: %v", context, refused)
	}
	wantQuiet(t, s.a, s.b)
	s.a.close()
	s.b.close()
	return step, failure
}
