package sqlitesync

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// What a copy has in its outbox can't be read any more, or lacks the part of a value in pieces that had been found in the folder. It
// goes on as another device all the same, with every row that its tables have, and says what it could not look at.
func TestACopyWhoseOutboxCannotBeRead(t *testing.T) {
	t.Parallel()
	for how, spoil := range map[string]func(t *testing.T, a *testDevice, f *faults){
		"damaged": func(t *testing.T, a *testDevice, f *faults) {
			a.exec("INSERT INTO item VALUES ('not yet', 'x', 1)")
			must(t, a.syncer.prepare(t.Context()))
			a.exec("UPDATE sqlitesync_segments SET sealed = x'00' WHERE state = 0")
		},
		"a value in pieces of which the first is out": func(t *testing.T, a *testDevice, f *faults) {
			a.exec("INSERT INTO item VALUES ('not yet', CAST(zeroblob(?) AS TEXT), 1)", 20<<20)
			out := 0
			f.between(func(step string, perform func() error) error {
				if strings.HasPrefix(step, "write ") {
					if out++; out > 1 {
						return fmt.Errorf("%s: %w", step, syscall.ENOSPC)
					}
				}
				return perform()
			})
			for range 2 { // the second one finds the first segment
				if err := a.trySync(); err == nil {
					t.Fatal("all was published")
				}
			}
			a.wantValue("1", "SELECT count(*) FROM sqlitesync_segments WHERE state = 2 AND unit > 0")
			a.wantValue("true", "SELECT iif(count(*) > 0, 'true', 'false') FROM sqlitesync_segments WHERE state = 0 AND unit > 0")
			f.between(nil)
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			a, b, f := newFaultyPair(t)
			a.exec("INSERT INTO item VALUES ('published', 'x', 1)")
			settle(a, b)
			settle(a, b)
			spoil(t, a, f)
			old := a.id()
			moved := copyWithKeys(a)
			moved.open()
			moved.wantSucceeded(old, foundMachine)
			if said := fmt.Sprint(moved.syncer.Status().Warnings); !strings.Contains(said, "can't be read any more") {
				t.Errorf("warnings %q do not say that something could not be read", said)
			}
			settle(moved, b)
			b.waitedLongEnough() // for the rest of what the old device has begun to publish
			settle(moved, b)
			for _, d := range []*testDevice{moved, b} {
				if problems := d.syncer.Status().Problems; len(problems) > 0 {
					t.Errorf("problems %v", problems)
				}
			}
			wantEverywhere("2", "SELECT count(*) FROM item", moved, b)
			if moved.dump() != b.dump() {
				t.Error("the two show other rows") // which are too large to be shown
			}
		})
	}
}
