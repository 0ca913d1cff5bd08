package sqlitesync

import "testing"

// A few segments of which most is overruled are written anew though they are few.
func TestDeadWeightIsWrittenAnewThoughSegmentsAreFew(t *testing.T) {
	t.Parallel()
	const rows = 500
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO item SELECT i, 'of a', 1 FROM n", rows)
	a.sync()
	a.writeBatches(8, func(int) string { return "UPDATE item SET n = n + 1" })
	if n := len(a.segments()); n > maxLive/2 {
		t.Fatalf("%d segments: it is for their number", n)
	}
	quietDown(clock, a, b)
	changes := 0
	must(t, a.db.QueryRow("SELECT sum(rows) FROM sqlitesync_segments").Scan(&changes))
	if changes > 2*rows+1000 {
		t.Errorf("of 9 changes of each of %d rows, %d are left", rows, changes)
	}
	wantSame(t, []*testDevice{a, b})
	wantQuiet(t, a, b)
}

// What others overrule of a log makes it dead weight as well, though its author writes nothing more and never restarts: at rest the
// logs of all have about as many changes as there are rows.
func TestALogThatOthersOverruleIsWrittenAnew(t *testing.T) {
	t.Parallel()
	const rows = 3000
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	clock := newTestClock(devices...)
	a.exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO item SELECT i, 'of a', 1 FROM n", rows)
	quietDown(clock, devices...)
	for _, d := range []*testDevice{b, c} {
		d.exec("UPDATE item SET n = n + 1")
		quietDown(clock, devices...)
	}
	quietDown(clock, devices...)
	changes := 0
	for _, d := range devices {
		own := 0
		must(t, d.db.QueryRow("SELECT coalesce(sum(rows), 0) FROM sqlitesync_segments").Scan(&own))
		t.Logf("%d changes in %d segments", own, len(d.segments()))
		changes += own
	}
	if changes > rows*3/2 {
		t.Errorf("the logs have %d changes for %d rows", changes, rows)
	}
	wantSame(t, devices)
	wantQuiet(t, devices...)
}
