package segment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Split makes of b one or more segments whose bodies have at most target bytes
// each (64 KiB if target is less), for batches b.Number, b.Number+1, … All of them but the last are
// continued; the last one is if b is. It does not alter b.
//
// The changes of the segments, one segment after the other, are those of b in
// the same order. Two things differ. Stamps (and births equal to them) that
// name b name the batch in which the change now stands: the caller must store
// these. And where a value is longer than [MaxValue], or a row is too large for
// a segment, a [Ref] stands for the value, whose pieces stand in the same
// segment or in ones before it.
//
// A single row whose key and short values exceed target gets a segment of its
// own. If they exceed [MaxBody], or the whole row [MaxLargeValue], the error is a
// [ChangeError] that wraps [ErrTooLarge].
//
// The segments share values, shapes, the seen vector and, where nothing
// differs, the changes themselves with b.
func Split(b *changelog.Batch, target int) ([]*Segment, error) {
	if len(b.Seen) >= maxDevices {
		return nil, fmt.Errorf("split: seen vector of %d entries: %w", len(b.Seen), ErrTooLarge)
	}
	s := &splitter{
		batch:  b,
		target: min(max(target, minTarget), MaxBody),
		placed: make(map[[32]byte]bool),
	}
	s.open()
	for i := range b.Changes {
		if err := s.add(i); err != nil {
			return nil, fmt.Errorf("split: %w", &ChangeError{i, err})
		}
	}
	s.close(len(b.Changes))
	s.current.Batches[0].Continued = b.Continued
	if s.current.Last >= endOfBatches {
		return nil, fmt.Errorf("split: number of a batch: %w", ErrTooLarge)
	}
	return s.segments, nil
}

// The least target is well above what the largest seen vector takes.
const minTarget = 64 << 10

// A splitter fills one segment after the other.
type splitter struct {
	batch    *changelog.Batch
	target   int
	placed   map[[32]byte]bool // large values whose pieces stand in a segment
	segments []*Segment

	// The segment that is being filled.
	current *Segment
	load    load
	start   int                       // index of its first change in the batch
	cut     map[int][]changelog.Value // by the index of a change: its values, if there are refs among them
	shapes  map[*changelog.Shape]bool
	devices map[changelog.DeviceID]bool
}

// A load is what counts against the limits of a segment.
type load struct {
	size, rows, values, shapes, names, devices int

	large int // bytes of the values that refs stand for, which a Joiner puts together at once
}

func (l load) plus(m load) load {
	return load{
		l.size + m.size, l.rows + m.rows, l.values + m.values,
		l.shapes + m.shapes, l.names + m.names, l.devices + m.devices, l.large + m.large,
	}
}

func (l load) exceeds(limit load) bool {
	return l.size > limit.size || l.rows > limit.rows || l.values > limit.values ||
		l.shapes > limit.shapes || l.names > limit.names || l.devices > limit.devices || l.large > limit.large
}

// limit returns the limits of a segment with a body of this size.
func limit(size int) load {
	return load{size, maxRows, maxValues, maxShapes, maxNames, maxDevices, MaxLargeValue}
}

// open begins the next segment.
func (s *splitter) open() {
	number := s.batch.Number + uint64(len(s.segments))
	s.current = &Segment{
		Author:  s.batch.Device,
		First:   number,
		Last:    number,
		Batches: []Batch{{Number: number, Continued: true, Seen: s.batch.Seen}},
	}
	s.cut = make(map[int][]changelog.Value)
	s.shapes = make(map[*changelog.Shape]bool)
	s.devices = map[changelog.DeviceID]bool{{}: true, s.batch.Device: true} // no device needs no place
	for device := range s.batch.Seen {
		s.devices[device] = true
	}
	s.load = load{
		size:    layoutSize + batchSize + deviceSize*(1+len(s.batch.Seen)) + entrySize*len(s.batch.Seen),
		devices: 1 + len(s.batch.Seen),
	}
}

// close ends the segment before the change with index end.
func (s *splitter) close(end int) {
	c := s.current
	c.Changes = s.batch.Changes[s.start:end:end]
	moved := c.First != s.batch.Number
	if moved || len(s.cut) > 0 {
		c.Changes = slices.Clone(c.Changes)
	}
	if moved {
		for i := range c.Changes {
			s.move(&c.Changes[i], c.First)
		}
	}
	for i, values := range s.cut {
		c.Changes[i-s.start].Values = values
	}
	s.segments = append(s.segments, c)
	s.start = end
}

// move gives a change that was made in the batch the number of the batch in
// which it now stands. Its birth moves along if the change is its own birth.
func (s *splitter) move(c *changelog.Change, number uint64) {
	if c.Stamp.Device != s.batch.Device || c.Stamp.Batch != s.batch.Number {
		return // relayed, or a baseline
	}
	born := c.Birth == c.Stamp
	c.Stamp.Batch = number
	if born {
		c.Birth = c.Stamp
	}
}

// add puts the change with index i into the segment or, if it does not fit,
// into the next.
func (s *splitter) add(i int) error {
	c := &s.batch.Changes[i]
	if c.Shape == nil {
		return errors.New("change without a shape")
	}
	if slices.ContainsFunc(c.Key, tooLong) {
		return fmt.Errorf("key: %w", ErrTooLarge)
	}
	values, size, large := c.Values, changeSize(c), 0
	if size > MaxLargeValue {
		return fmt.Errorf("row of about %d bytes: %w", size, ErrTooLarge)
	}
	// What the change takes when it is alone in a segment.
	alone := size + shapeSize(c.Shape) + layoutSize + batchSize + (deviceSize+entrySize)*(3+len(s.batch.Seen))
	if alone > s.target || slices.ContainsFunc(values, tooLong) {
		cut := s.cutValues(i, alone-s.target)
		saved := valuesSize(values) - valuesSize(cut)
		values, size, alone = cut, size-saved, alone-saved
		large = refsLength(cut)
	}
	if alone > MaxBody {
		return fmt.Errorf("row without its long values: %w", ErrTooLarge)
	}
	cost := s.cost(c, size, large)
	if s.load.plus(cost).exceeds(limit(s.target)) && !s.empty() {
		s.close(i)
		s.open()
		cost = s.cost(c, size, large)
	}
	s.load = s.load.plus(cost)
	if s.load.exceeds(limit(MaxBody)) {
		return fmt.Errorf("devices: %w", ErrTooLarge) // the seen vector's and those of a relayed change
	}
	if cost.shapes > 0 {
		s.shapes[c.Shape] = true
	}
	if cost.devices > 0 {
		s.devices[c.Stamp.Device] = true
		s.devices[c.Birth.Device] = true
	}
	if len(values) > 0 && &values[0] != &c.Values[0] {
		s.cut[i] = values
	}
	return nil
}

func (s *splitter) empty() bool { return s.load.rows == 0 && len(s.current.Pieces) == 0 }

// cost returns what c, which takes size bytes in its group and has refs to
// large bytes, adds to the load.
func (s *splitter) cost(c *changelog.Change, size, large int) load {
	cost := load{size: size, rows: 1, values: len(c.Key) + len(c.Values), large: large}
	if !s.shapes[c.Shape] {
		cost.shapes = 1
		cost.names = namesIn(c.Shape)
		cost.size += shapeSize(c.Shape)
	}
	for _, device := range []changelog.DeviceID{c.Stamp.Device, c.Birth.Device} {
		if device != s.batch.Device && !s.devices[device] {
			cost.devices++
			cost.size += deviceSize
		}
	}
	return cost
}
