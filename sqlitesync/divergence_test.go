package sqlitesync

import (
	"slices"
	"testing"
)

// wantDiverged compares which tables a device says have diverged from another.
func (d *testDevice) wantDiverged(from *testDevice, tables ...string) {
	d.tb.Helper()
	var got []string
	for _, diverged := range d.syncer.Status().Diverged {
		if diverged.Device == from.id() && !diverged.Since.IsZero() {
			got = append(got, diverged.Table)
		}
	}
	if !slices.Equal(got, tables) {
		d.tb.Errorf("diverged: %q, want %q", got, tables)
	}
}

// What a wrong merge leaves behind on one device is noticed on both as soon as they have read the same, told once, and not
// told any more when it is mended.
func TestDevicesThatKnowDifferentThingsSayWhichTable(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema+"; CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)")
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1), ('y', 'of a', 2); INSERT INTO other VALUES ('o')")
	settle(a, b)
	a.wantDiverged(b)
	events := b.syncer.events.subscribe()
	a.differs, b.differs = true, true

	// As if the change of x had never been merged here, and its batch counted all the same.
	b.exec(`BEGIN;
		UPDATE item SET name = 'wrong' WHERE id = 'x';
		UPDATE sqlitesync_clock_1 SET image = zeroblob(16) WHERE k0 = 'x';
		UPDATE sqlitesync_digests SET digest = NULL;
		DELETE FROM sqlitesync_log;
		COMMIT`)
	settle(b, a)
	a.exec("INSERT INTO other VALUES ('later')")
	settle(a, b)
	a.wantDiverged(b, "item")
	b.wantDiverged(a, "item")
	told := 0
	for event, ok := events.take(); ok; event, ok = events.take() {
		if event.Kind != EventDiverged {
			continue
		}
		if told++; event.Device != a.id() || !slices.Equal(event.Tables, []string{"item"}) {
			t.Errorf("event %v", event)
		}
	}
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}

	a.exec("UPDATE item SET name = 'said again' WHERE id = 'x'")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	a.wantDiverged(b)
	b.wantDiverged(a)
}
