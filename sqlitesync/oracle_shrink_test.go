package sqlitesync

import (
	"flag"
	"slices"
	"testing"
)

var oracleShrink = flag.Bool("oracle.shrink", false, "let TestOracle look for the shortest history that fails in the same way")

// shrink leaves out events as long as the rest fails in the same way.
func shrink(t *testing.T, events []oracleEvent, failure *oracleFailure) ([]oracleEvent, *oracleFailure) {
	for size := len(events) / 2; size > 0; {
		removed := false
		for start := 0; start < len(events); {
			end := min(start+size, len(events))
			shorter := slices.Delete(slices.Clone(events), start, end)
			if again := replay(t, shorter); again != nil && again.what == failure.what {
				events, failure, removed = shorter, again, true
				continue
			}
			start = end
		}
		if !removed || size > 1 {
			size /= 2
		}
	}
	return events, failure
}

// replay runs events until one fails.
func replay(t *testing.T, events []oracleEvent) (failure *oracleFailure) {
	run := newOracleRun(t)
	defer run.close()
	for _, event := range events {
		if failure = run.play(event); failure != nil {
			break
		}
	}
	return failure
}
