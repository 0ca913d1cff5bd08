package synctest

import (
	"context"
	"time"
)

// A clock is what a device shows as the time. It stands still while nobody calls [World.Pass], so that the seed alone decides
// what is newer.
type clock struct {
	now   time.Time
	drift float64 // by how much it goes too fast, 1 is twice as fast
}

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d + time.Duration(float64(d)*c.drift)) }

// milliseconds returns the time as databases hold it, which know none before 1970.
func (c *clock) milliseconds() int64 { return max(1, c.now.UnixMilli()) }

// stampWrites gives what the app has written since the last call the time of the device's clock. Triggers have no clock to ask
// but SQLite's, which is the machine's: entries of the machine's last hours are new.
func (d *Device) stampWrites() {
	if d.db == nil {
		return
	}
	_, err := d.db.ExecContext(context.Background(),
		`UPDATE sqlitesync_log SET at = 2440587.5 + ? / 86400000.0 WHERE abs(at - julianday('now')) < 1`, d.clock.milliseconds())
	d.world.must(err)
}

// troubleClock lets the device's clock go wrong.
func (w *World) troubleClock(d *Device) {
	const once = 60
	days := func() time.Duration { return time.Duration(1+w.IntN(365)) * 24 * time.Hour }
	d.stampWrites()
	c := &d.clock
	switch {
	case w.happens(ClockForwards, once):
		c.now = c.now.Add(days())
	case w.happens(ClockBackwards, once):
		c.now = c.now.Add(-days())
	case w.happens(ClockDrift, once):
		c.drift = 2*w.Float64() - 1
	case w.happens(Clock1970, once):
		c.now = time.Unix(int64(w.IntN(1000)), 0)
	case w.happens(Clock2099, once):
		c.now = time.Date(2099, time.December, 31, 0, 0, 0, 0, time.UTC)
	case w.happens(ClockRight, once/3):
		*c = clock{now: w.now}
	}
}
