package sqlitesync

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// execAt runs a statement of the app while the wall clock of its device shows another time.
func (d *testDevice) execAt(at time.Time, statement string, args ...any) {
	d.tb.Helper()
	tx, err := d.db.Begin()
	must(d.tb, err)
	defer tx.Rollback()
	var logged int64
	must(d.tb, tx.QueryRow("SELECT coalesce(max(id), 0) FROM sqlitesync_log").Scan(&logged))
	if _, err := tx.Exec(statement, args...); err != nil {
		d.tb.Fatalf("%s: %v", statement, err)
	}
	_, err = tx.Exec("UPDATE sqlitesync_log SET at = 2440587.5 + ? / 86400000.0 WHERE id > ?", at.UnixMilli(), logged)
	must(d.tb, err)
	must(d.tb, tx.Commit())
}

var (
	year1970 = time.Date(1970, time.January, 1, 0, 0, 1, 0, time.UTC)
	year1960 = time.Date(1960, time.January, 1, 0, 0, 0, 0, time.UTC)
	year2099 = time.Date(2099, time.January, 1, 0, 0, 0, 0, time.UTC)
)

// A clock that is off refuses no write, wins nothing against an edit that had seen its own, and touches no other row; and
// everybody is told whose clock it is.
func TestClocksThatAreOff(t *testing.T) {
	t.Parallel()
	today := time.Now()
	for _, test := range []struct {
		name  string
		clock time.Time // of device b
		ahead bool
	}{
		{"before 1970", year1960, false},
		{"at 1970", year1970, false},
		{"a month behind", today.AddDate(0, -1, 0), false},
		{"two days ahead", today.AddDate(0, 0, 2), true},
		{"at 2099", year2099, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			devices := newSpace(t, itemSchema, 3)
			a, b, c := devices[0], devices[1], devices[2]
			b.environment.Wall = func() time.Time { return test.clock }
			b.reopen()
			a.exec("INSERT INTO item VALUES ('x', 'start', 1), ('y', 'start', 1), ('gone', 'start', 1)")
			settle(devices...)
			b.execAt(test.clock, "UPDATE item SET name = 'b' WHERE id = 'x'")
			b.execAt(test.clock, "DELETE FROM item WHERE id = 'gone'")
			settle(devices...)
			wantEverywhere("b", "SELECT name FROM item WHERE id = 'x'", devices...)
			a.exec("UPDATE item SET name = 'a' WHERE id = 'x'")
			a.exec("INSERT INTO item VALUES ('gone', 'back', 1)")
			settle(devices...)
			wantEverywhere("a", "SELECT name FROM item WHERE id = 'x'", devices...)
			wantEverywhere("back", "SELECT name FROM item WHERE id = 'gone'", devices...)
			c.exec("UPDATE item SET name = 'c' WHERE id = 'x'")
			settle(devices...)
			wantEverywhere("c", "SELECT name FROM item WHERE id = 'x'", devices...)

			// Row y knows nothing of it: of two edits that had not seen each other the later one wins.
			a.exec("UPDATE item SET name = 'earlier' WHERE id = 'y'")
			tick()
			c.exec("UPDATE item SET name = 'later' WHERE id = 'y'")
			settle(devices...)
			wantEverywhere("later", "SELECT name FROM item WHERE id = 'y'", devices...)
			a.wantValue("0", "SELECT count(*) FROM sqlitesync_clock_1 WHERE k0 = 'y' AND time > ?", time.Now().Add(time.Hour).UnixMilli())
			wantSame(t, devices)
			b.execAt(test.clock, "INSERT INTO item VALUES ('z', 'b', 1)") // it has read what a and c wrote since
			settle(devices...)
			for _, d := range devices {
				off := d.syncer.Status().Clocks
				if len(off) != 1 || off[0].Device != b.id() || off[0].Self != (d == b) || (off[0].By > 0) != test.ahead || off[0].By.Abs() < clockTolerance {
					t.Errorf("device %s names %+v, want b alone", d.id().Short(), off)
				}
			}

			b.environment.Wall = time.Now // the clock is set
			b.reopen()
			a.exec("UPDATE item SET n = 2 WHERE id = 'y'")
			settle(devices...) // b writes its head, and nothing else
			settle(devices...)
			for _, d := range devices {
				if off := d.syncer.Status().Clocks; len(off) > 0 {
					t.Errorf("device %s still names %+v", d.id().Short(), off)
				}
			}
			wantQuiet(t, devices...)
		})
	}
}

// The clock goes back between two edits, whether a pass runs in between or not: the later edit wins everywhere.
func TestAClockThatGoesBackBetweenTwoEdits(t *testing.T) {
	t.Parallel()
	for _, passes := range []int{0, 1} {
		t.Run(fmt.Sprint(passes), func(t *testing.T) {
			devices := newSpace(t, itemSchema, 3)
			a, b := devices[0], devices[1]
			for i, at := range []time.Time{year2099, time.Now(), year1970, year1960} {
				a.execAt(at, "INSERT INTO item VALUES ('x', ?, 1) ON CONFLICT DO UPDATE SET name = excluded.name", fmt.Sprint("edit ", i))
				for range passes {
					a.sync()
				}
			}
			settle(devices...)
			wantEverywhere("edit 3", "SELECT name FROM item", devices...)
			b.execAt(year1960, "DELETE FROM item")
			settle(devices...)
			wantEverywhere("no row", "SELECT name FROM item", devices...)
			wantQuiet(t, devices...)
		})
	}
}

func TestWhoseClockIsOff(t *testing.T) {
	t.Parallel()
	self, x, y, z := DeviceID{1}, DeviceID{2}, DeviceID{3}, DeviceID{4}
	today := time.Date(2030, time.June, 1, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	at := func(by time.Duration) clockReading { return clockReading{said: today.Add(by)} }
	// It had read what this device told an hour ago.
	answer := func(by time.Duration) clockReading {
		return clockReading{said: today.Add(by), answers: today.Add(-time.Hour)}
	}
	for _, test := range []struct {
		name     string
		now      time.Time
		readings map[DeviceID]clockReading
		want     map[DeviceID]time.Duration // by how far, at least
	}{
		{"all agree", today, map[DeviceID]clockReading{x: answer(-time.Hour), y: at(20 * time.Hour)}, nil},
		{"nobody has said anything", today, map[DeviceID]clockReading{x: {}, y: {}}, nil},
		{"an old head is no clock that is behind", today, map[DeviceID]clockReading{x: at(-90 * day)}, nil},
		{"it has read what came later", today, map[DeviceID]clockReading{x: answer(-90 * day), y: answer(0)}, map[DeviceID]time.Duration{x: -90*day + time.Hour}},
		{"of two the later one", today, map[DeviceID]clockReading{x: at(3 * day)}, map[DeviceID]time.Duration{x: 3 * day}},
		{"of two the later one, which is this", today, map[DeviceID]clockReading{x: answer(-3 * day)}, map[DeviceID]time.Duration{self: 3*day - time.Hour}},
		{"of two the one that shows 1970", today, map[DeviceID]clockReading{x: {said: year1970, answers: today.Add(-time.Hour)}}, map[DeviceID]time.Duration{x: year1970.Sub(firstRelease)}},
		{"1970 here", year1970, map[DeviceID]clockReading{x: answer(0)}, map[DeviceID]time.Duration{self: year1970.Sub(today)}},
		{"1970 here, and nobody else", year1970, nil, map[DeviceID]time.Duration{self: year1970.Sub(firstRelease)}},
		{"most are ahead", today, map[DeviceID]clockReading{x: at(3 * day), y: at(4 * day)}, map[DeviceID]time.Duration{self: -3 * day}},
		{"most are behind", today, map[DeviceID]clockReading{x: answer(-3 * day), y: answer(-4 * day), z: answer(0)}, map[DeviceID]time.Duration{self: 3*day - time.Hour}},
		{"one ahead, one behind", today, map[DeviceID]clockReading{x: at(3 * day), y: answer(-3 * day), z: answer(0)}, map[DeviceID]time.Duration{x: 3 * day, y: -3*day + time.Hour}},
		{"told by a clock that has been set since", today, map[DeviceID]clockReading{x: {said: today.Add(-2 * day), answers: today.Add(30 * day)}}, nil},
	} {
		off := clocksOff(self, test.now, test.readings)
		got := make(map[DeviceID]time.Duration)
		for _, clock := range off {
			got[clock.Device] = clock.By
			if clock.Self != (clock.Device == self) {
				t.Errorf("%s: %+v", test.name, clock)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) || !slices.IsSortedFunc(off, func(a, b ClockOff) int { return slices.Compare(a.Device[:], b.Device[:]) }) {
			t.Errorf("%s: %v are off, want %v", test.name, off, test.want)
		}
	}
}

// A device whose own heads were written long ago and read by others is not accused of anything after a restart.
func TestWhatWasToldOutlivesARestart(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	month := time.Now().AddDate(0, -1, 0)
	for _, d := range []*testDevice{a, b} {
		d.environment.Wall = func() time.Time { return month }
		d.reopen()
	}
	a.exec("INSERT INTO item VALUES ('x', 'a', 1)")
	settle(a, b)
	b.exec("INSERT INTO item VALUES ('y', 'b', 1)")
	b.sync()
	a.environment.Wall = time.Now
	a.reopen()
	a.options.DeviceName = "renamed" // so that its head is written anew
	a.reopen()
	a.sync()
	a.reopen()
	a.sync()
	if off := a.syncer.Status().Clocks; len(off) > 0 {
		t.Errorf("a names %+v: b had no occasion to say anything since", off)
	}
	b.environment.Wall = time.Now
	b.reopen()
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
}
