package sqlitesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// No rule of merging depends on a clock being right, but people wonder why an
// edit of today lost against one of "2099". So each pass looks at what the heads
// of other devices say the time was, and [Status] names the clocks that are off.
//
// A head can lie in the folder, or on a stick, for weeks before it is read. What
// it says is proof in two cases only: it was written after now, or it was written
// before its author can have read what it says that it has read.

// clockTolerance is how far two clocks may be apart. Time zones that were set
// wrongly stay below it.
const clockTolerance = 24 * time.Hour

// firstRelease is a time that no clock that is right can be before.
var firstRelease = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// ClockOff is a device whose clock is off by more than a day.
type ClockOff struct {
	Device DeviceID
	Self   bool // it is this device
	// By is how far the clock is ahead, or, if it is negative, behind, at least.
	By time.Duration
}

// clockReading is the head of another device, and what it says about its clock.
type clockReading struct {
	head    *head // nil: none was read yet
	level   bool  // it had read just what this device has
	differs bool  // and knew something else
	// fork is what both have said of the logs that they had read, when they were looked at because of that.
	fork string

	position uint64    // how far the device's log was merged when its head was looked for
	looked   time.Time // when
	said     time.Time // by the device's clock; zero: it has no head
	// answers is when this device told of its newest batch, if the other had read
	// it when it wrote its head.
	answers time.Time
	suspect bool // its clock is off or its head false, so the head is read again each time
}

// told is when this device first named its newest batch in a head.
type told struct {
	batch uint64
	time  time.Time
}

// load and save keep it across restarts.
func (t *told) load(ctx context.Context, c *changelog.Conn) error {
	text, err := load(ctx, c, "told")
	if err != nil || text == "" {
		return err
	}
	var ms int64
	if _, err := fmt.Sscan(text, &t.batch, &ms); err != nil {
		return fmt.Errorf("setting told: %w", err)
	}
	t.time = time.UnixMilli(ms)
	return nil
}

func (t *told) save(ctx context.Context, c *changelog.Conn) error {
	return save(ctx, c, "told", fmt.Sprint(t.batch, " ", t.time.UnixMilli()))
}

// lookAtHeads reads the heads of the devices from which something new came in,
// and once in a while those of all that have written. It says whose clocks are
// off, and which heads are false. One that is damaged says nothing: heads are
// replaced in place, and sync clients deliver files in pieces. It fails with
// errHeadAhead if one is ahead of this device.
func (s *Syncer) lookAtHeads(ctx context.Context, f *folder.Folder, p *problems) (ahead error) {
	if s.clocks == nil {
		s.clocks = make(map[DeviceID]clockReading)
	}
	if s.told.batch == 0 {
		if err := s.told.load(ctx, s.handle.conn); err != nil {
			p.add(err)
			return nil
		}
	}
	members := make(map[DeviceID]bool)
	for _, member := range s.roster.Members() {
		position, before := s.seen[changelog.DeviceID(member.ID)], s.clocks[member.ID]
		members[member.ID] = true
		late := s.environment.Since(before.looked) > headInterval || s.options.Manual && before.head != nil && (!before.level || before.differs)
		if member.ID == s.identity.device || position == before.position && !late && !before.suspect {
			continue
		}
		reading := clockReading{head: before.head, fork: before.fork, position: position, looked: s.environment.Beat()}
		content, err := s.readHead(ctx, f, member)
		switch {
		case err == nil:
			reading.head, reading.said = content, time.UnixMilli(content.Time)
			if s.told.batch > 0 && content.Seen[s.identity.device.String()] >= s.told.batch {
				reading.answers = s.told.time
			}
		case errors.Is(err, errHeadAhead):
			ahead = cmp.Or(ahead, error(headFault(member.ID, err)))
			reading.suspect = true
		case errors.Is(err, errFalseHead) || errors.Is(err, crypto.ErrSignature):
			p.add(headFault(member.ID, err))
			reading.suspect = true
		}
		s.clocks[member.ID] = reading
	}
	maps.DeleteFunc(s.clocks, func(id DeviceID, _ clockReading) bool { return !members[id] })
	off := clocksOff(s.identity.device, s.environment.Now(), s.clocks)
	for _, clock := range off {
		if reading, known := s.clocks[clock.Device]; known && !reading.suspect {
			s.log.Warn("a clock is off", "device", clock.Device, "by", clock.By)
			reading.suspect = true
			s.clocks[clock.Device] = reading
		}
	}
	s.state.update(func(st *Status) { st.Clocks = off })
	p.add(s.lookForArrears(ctx, s.clocks))
	return ahead
}

// clocksOff decides whose clocks are off, by this device's clock and what others
// have said. Most decide; of two halves, and of two devices, the one whose clock
// shows the later time is taken to be wrong, unless the other shows a time before
// there was any sync: that is what a clock that lost its battery does.
func clocksOff(self DeviceID, now time.Time, readings map[DeviceID]clockReading) (off []ClockOff) {
	agree := 1 // this device with itself
	var ahead, behind, early []ClockOff
	for device, r := range readings {
		switch by := r.said.Sub(now); {
		case r.said.IsZero():
		case by > clockTolerance:
			ahead = append(ahead, ClockOff{Device: device, By: by})
		case by >= -clockTolerance:
			agree++
		case r.said.Before(firstRelease):
			early = append(early, ClockOff{Device: device, By: r.said.Sub(firstRelease)})
		case r.answers.Sub(now) <= clockTolerance && r.answers.Sub(r.said) > clockTolerance:
			behind = append(behind, ClockOff{Device: device, By: r.said.Sub(r.answers)})
		}
	}
	own := time.Duration(0)
	least := func(a, b ClockOff) int { return cmp.Compare(a.By.Abs(), b.By.Abs()) }
	switch {
	case now.Before(firstRelease):
		own = now.Sub(firstRelease)
		if len(ahead) > 0 {
			own = -slices.MinFunc(ahead, least).By
		}
		early = nil // with such a clock nothing can be said of others
	case len(ahead) > agree:
		own = -slices.MinFunc(ahead, least).By
	case len(behind) >= agree:
		own = -slices.MinFunc(behind, least).By
		off = ahead
	default:
		off = slices.Concat(ahead, behind)
	}
	if off = append(off, early...); own != 0 {
		off = append(off, ClockOff{Device: self, Self: true, By: own})
	}
	slices.SortFunc(off, func(a, b ClockOff) int { return cmp.Compare(a.Device.String(), b.Device.String()) })
	return off
}
