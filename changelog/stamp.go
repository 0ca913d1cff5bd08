package changelog

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
)

// DeviceID names a device: the hash of its signing key, computed by package
// crypto. The zero DeviceID means "no device" and stands only in the stamps of
// baseline rows.
type DeviceID [16]byte

// String returns the id as 32 lower-case hexadecimal digits.
func (d DeviceID) String() string { return hex.EncodeToString(d[:]) }

// Stamp says when and by whom a change was made. Stamps are totally ordered by
// [Stamp.Compare]; the newer of two changes of one row wins.
//
// Time is in milliseconds since 1970. It is not a clock reading: it is
// max(1, the time that the trigger logged, the row's known time + 1), so a
// change made after its author saw another one is always the newer of the two,
// whatever the clocks of the two devices say. There is no device-wide logical
// clock that a wrong clock elsewhere could push into the future.
//
// A baseline row, one that stood in a database before it entered its space,
// has the zero Stamp: any tracked change is newer, and equal images are the
// same change.
type Stamp struct {
	Time   int64
	Device DeviceID
	Batch  uint64
}

// Compare orders stamps by time, then device, then batch. Two different
// changes can share a stamp (two baselines, a device that was cloned); the
// image hash then decides, see [Change.Compare].
func (s Stamp) Compare(t Stamp) int {
	if c := cmp.Compare(s.Time, t.Time); c != 0 {
		return c
	}
	if c := bytes.Compare(s.Device[:], t.Device[:]); c != 0 {
		return c
	}
	return cmp.Compare(s.Batch, t.Batch)
}

// Baseline reports whether s is the stamp of baseline rows.
func (s Stamp) Baseline() bool { return s == Stamp{} }

// String is for logs: it names no row and no value.
func (s Stamp) String() string {
	return fmt.Sprintf("%d/%.8s/%d", s.Time, s.Device, s.Batch)
}

// Vector says, per device, the newest of its batches that somebody has merged.
// A batch carries the vector of its author at the time it was folded.
type Vector map[DeviceID]uint64

// Covers reports whether a reader at v has merged the batch in which s was
// made. Baselines are covered by every vector.
func (v Vector) Covers(s Stamp) bool {
	return s.Baseline() || v[s.Device] >= s.Batch
}
