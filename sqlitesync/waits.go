package sqlitesync

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
)

// waits remembers since when a device's next batch has been waiting for others.
type waits map[DeviceID]Waiting

// rememberedWaits is the setting "waiting". A process that does one pass and ends,
// as one that a timer starts does, would otherwise begin to wait anew each time: what
// was written by somebody who had seen a file that is lost would never be merged.
type rememberedWaits struct {
	Incomplete int64            `json:"incomplete,omitempty"` // since when, in milliseconds since 1970
	Waiting    []rememberedWait `json:"waiting,omitempty"`
}

type rememberedWait struct {
	Device  DeviceID `json:"device"`
	Batch   uint64   `json:"batch"`
	For     DeviceID `json:"for"`
	Since   int64    `json:"since"`
	Overdue bool     `json:"overdue,omitempty"`
}

// uncovered returns which batches the author of the next one had seen and this device
// has not: one of each device, by the ids of these.
func (s *Syncer) uncovered(r *reading, next *group) (missing []Waiting) {
	if next.compacted() {
		return nil // a compacted range waits for nobody: two of them could wait for each other
	}
	for device, batch := range next.segments[0].Batches[0].Seen {
		if device == s.self() {
			continue // of course we have our own
		}
		if s.lacks(DeviceID(device), batch) {
			missing = append(missing, Waiting{Device: DeviceID(device), Batch: batch, For: r.device})
		}
	}
	slices.SortFunc(missing, func(a, b Waiting) int { return bytes.Compare(a.Device[:], b.Device[:]) })
	return missing
}

// lacks reports whether a batch that was not merged is to be expected: a device that was
// revoked makes nothing again.
func (s *Syncer) lacks(device DeviceID, batch uint64) bool {
	_, member := s.roster.Member(device)
	return member && s.seen[changelog.DeviceID(device)] < batch
}

// waitsFor reports whether a device is to wait for what is missing. A device of which
// something is overdue is not waited for again; of the others the first is, the same in
// each pass, or the wait would begin anew each time. Once it is over, all is overdue.
func (s *Syncer) waitsFor(waiting waits, missing []Waiting) bool {
	since := s.environment.Beat()
	given := func(w Waiting) bool { _, overdue := s.overdue[w.Device]; return overdue }
	if late := slices.IndexFunc(missing, func(w Waiting) bool { return !given(w) }); late >= 0 {
		if since = s.wait(waiting, missing[late]); s.environment.Since(since) < causalWait {
			return true
		}
		delete(waiting, missing[late].For)
	}
	for _, w := range missing {
		s.log.Warn("merging a batch without what its author had seen", "device", w.For, "missing", w.Device, "batch", w.Batch)
		w.Since, w.Overdue = since, true
		s.overdue[w.Device] = w
	}
	return false
}

// wait notes what a device waits for, and returns since when it does.
func (s *Syncer) wait(waiting waits, w Waiting) time.Time {
	w.Since = s.environment.Beat()
	if before, ok := s.waiting[w.For]; ok && before.Device == w.Device && before.Batch == w.Batch {
		w.Since = before.Since
	}
	waiting[w.For] = w
	return w.Since
}

// listWaits returns all that is waited for, and what was merged without.
func (s *Syncer) listWaits() []Waiting {
	list := slices.AppendSeq(slices.Collect(maps.Values(s.waiting)), maps.Values(s.overdue))
	slices.SortFunc(list, func(a, b Waiting) int {
		return cmp.Or(cmp.Compare(a.For.String(), b.For.String()), cmp.Compare(a.Device.String(), b.Device.String()))
	})
	return list
}

// cameOtherwise reports whether what a device lacks has been published by others, as far as anybody has read it: the log is one of which
// a copy went on as another device, and had been read further than it stands there.
func (s *Syncer) cameOtherwise(w Waiting) bool {
	return w.Overdue && s.hasSuccessor(w.Device) && s.environment.Since(w.Since) >= s.allTurns()
}

// recallWaits reads what an earlier Syncer waited for, at the first pass.
func (s *Syncer) recallWaits(ctx context.Context) error {
	if s.waiting != nil {
		return nil
	}
	text, err := load(ctx, s.handle.conn, "waiting")
	if err != nil {
		return err
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &s.remembered); err != nil {
			return fmt.Errorf("setting waiting: %w", err)
		}
	}
	s.waiting, s.overdue = make(waits), make(waits)
	if began := s.remembered.Incomplete; began != 0 {
		s.incomplete = s.beatAt(began)
	}
	for _, r := range s.remembered.Waiting {
		w := Waiting{Device: r.Device, Batch: r.Batch, For: r.For, Since: s.beatAt(r.Since), Overdue: r.Overdue}
		if r.Overdue {
			s.overdue[w.Device] = w
		} else {
			s.waiting[w.For] = w
		}
	}
	return nil
}

// beatAt returns what the steady clock showed at a time of the wall clock. One that
// was put back since makes no wait longer.
func (s *Syncer) beatAt(milliseconds int64) time.Time {
	return s.environment.Beat().Add(-max(0, s.environment.Now().Sub(time.UnixMilli(milliseconds))))
}

// rememberWaits writes down what is waited for, if that has changed.
func (s *Syncer) rememberWaits(ctx context.Context) error {
	wall := func(beat time.Time) int64 { return s.environment.Now().Add(-s.environment.Since(beat)).UnixMilli() }
	var now rememberedWaits
	if !s.incomplete.IsZero() {
		now.Incomplete = wall(s.incomplete)
	}
	for _, w := range s.listWaits() {
		now.Waiting = append(now.Waiting, rememberedWait{w.Device, w.Batch, w.For, wall(w.Since), w.Overdue})
	}
	// Two clocks never agree to the millisecond. But what was written down in the future, by a clock that
	// was put back since, would be waited for until then.
	today := s.environment.Now().UnixMilli()
	same := func(a, b rememberedWait) bool {
		a.Since = b.Since
		return a == b && b.Since <= today
	}
	began := s.remembered.Incomplete
	if (now.Incomplete == 0) == (began == 0) && began <= today && slices.EqualFunc(now.Waiting, s.remembered.Waiting, same) {
		return nil
	}
	text, err := json.Marshal(now)
	if err == nil {
		err = save(ctx, s.handle.conn, "waiting", string(text))
	}
	if err == nil {
		s.remembered = now
	}
	return err
}
