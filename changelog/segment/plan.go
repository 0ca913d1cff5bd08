package segment

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// A plan is what must be known of a whole segment before its first byte.
type plan struct {
	segment    *Segment
	devices    []changelog.DeviceID // what a reference k means stands at k-1
	references map[changelog.DeviceID]uint64
	seen       [][]seenEntry // for each batch, what differs from the batch before
	groups     []group
	encoded    map[string]int // encoded shapes, and the indices of their groups
	size       int            // upper bound of the body's length
}

type seenEntry struct {
	device changelog.DeviceID
	batch  uint64
}

// A group here holds all changes of one shape, however many; they are written
// as groups of at most maxGroup rows.
type group struct {
	shape   *changelog.Shape
	encoded string
	rows    []*changelog.Change
}

func newPlan(s *Segment) (*plan, error) {
	if fault := rangeFault(s.Author, s.First, s.Last); fault != "" {
		return nil, errors.New(fault)
	}
	p := &plan{
		segment:    s,
		references: make(map[changelog.DeviceID]uint64),
		encoded:    make(map[string]int),
		size:       layoutSize,
	}
	for _, step := range []func() error{p.planBatches, p.planPieces, p.planChanges, p.planDevices} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *plan) planBatches() error {
	s := p.segment
	if len(s.Batches) == 0 {
		return errors.New("no batch")
	}
	if len(s.Batches) > MaxBatches {
		return fmt.Errorf("%d batches: %w", len(s.Batches), ErrTooLarge)
	}
	var before changelog.Vector
	total := 0
	for i, b := range s.Batches {
		if b.Number < s.First || b.Number > s.Last || i > 0 && b.Number <= s.Batches[i-1].Number {
			return errors.New("number of a batch out of range or order")
		}
		if _, named := b.Seen[s.Author]; named {
			return errors.New("seen vector names the author")
		}
		var entries []seenEntry
		for device, batch := range b.Seen {
			if batch >= endOfBatches || device == (changelog.DeviceID{}) {
				return errors.New("entry of a seen vector out of range")
			}
			if batch != 0 {
				total++
			}
			if batch != before[device] {
				entries = append(entries, seenEntry{device, batch})
			}
		}
		for device, batch := range before {
			if _, named := b.Seen[device]; !named && batch != 0 {
				entries = append(entries, seenEntry{device, 0})
			}
		}
		slices.SortFunc(entries, func(a, b seenEntry) int { return bytes.Compare(a.device[:], b.device[:]) })
		for _, entry := range entries {
			p.refer(entry.device)
		}
		p.seen = append(p.seen, entries)
		p.size += batchSize + len(entries)*entrySize
		before = b.Seen
	}
	if total > MaxSeen {
		return fmt.Errorf("seen vectors of %d entries: %w", total, ErrTooLarge)
	}
	return nil
}

func (p *plan) planPieces() error {
	for _, piece := range p.segment.Pieces {
		if fault := pieceFault(piece.Offset, uint64(len(piece.Bytes))); fault != "" {
			return errors.New(fault)
		}
		p.size += pieceSize + len(piece.Bytes)
	}
	return nil
}

func (p *plan) planChanges() error {
	s := p.segment
	if len(s.Changes) > maxRows {
		return fmt.Errorf("%d changes: %w", len(s.Changes), ErrTooLarge)
	}
	byShape := make(map[*changelog.Shape]int) // index into p.groups
	var last *changelog.Shape
	current, values := 0, 0
	for i := range s.Changes {
		c := &s.Changes[i]
		if c.Shape != last {
			index, known := byShape[c.Shape]
			if !known {
				var err error
				if index, err = p.groupOf(c.Shape); err != nil {
					return &ChangeError{i, err}
				}
				byShape[c.Shape] = index
			}
			last, current = c.Shape, index
		}
		if err := p.checkChange(c); err != nil {
			return &ChangeError{i, err}
		}
		p.groups[current].rows = append(p.groups[current].rows, c)
		values += len(c.Key) + len(c.Values)
		p.size += changeSize(c)
	}
	if values > maxValues {
		return fmt.Errorf("%d values: %w", values, ErrTooLarge)
	}
	names := 0
	for _, g := range p.groups {
		names += namesIn(g.shape)
	}
	if names > maxNames {
		return fmt.Errorf("shapes with %d names: %w", names, ErrTooLarge)
	}
	return nil
}

// groupOf returns the index of the group of a shape that is met for the first
// time, if not for the first time as another value of type Shape.
func (p *plan) groupOf(s *changelog.Shape) (int, error) {
	if s == nil {
		return 0, errors.New("change without a shape")
	}
	if fault := shapeFault(s); fault != "" {
		return 0, errors.New(fault)
	}
	encoded := string(s.Append(nil))
	if index, known := p.encoded[encoded]; known {
		return index, nil
	}
	if len(p.groups) == maxShapes {
		return 0, fmt.Errorf("more than %d shapes: %w", maxShapes, ErrTooLarge)
	}
	p.encoded[encoded] = len(p.groups)
	p.groups = append(p.groups, group{shape: s, encoded: encoded})
	p.size += shapeSize(s)
	return len(p.groups) - 1, nil
}

// checkChange checks all but the values, and notes the devices.
func (p *plan) checkChange(c *changelog.Change) error {
	if len(c.Key) != len(c.Shape.Key) || len(c.Values) != len(c.Shape.Columns) {
		return errors.New("number of values differs from the shape's")
	}
	if fault := stampFault(c.Stamp); fault != "" {
		return errors.New(fault)
	}
	if c.Stamp.Device == p.segment.Author && !p.segment.holds(c.Stamp.Batch) {
		return errors.New("author's stamp names no batch of the segment")
	}
	p.refer(c.Stamp.Device)
	switch {
	case c.Birth == c.Stamp && c.Shape.Kind != changelog.Delete:
	case c.Shape.Kind == changelog.Delete:
		if c.Birth != (changelog.Stamp{}) {
			return errors.New("delete with a birth")
		}
	default:
		if fault := birthFault(c.Birth, c.Stamp); fault != "" {
			return errors.New(fault)
		}
		p.refer(c.Birth.Device)
	}
	return nil
}

// refer notes that device will be referred to.
func (p *plan) refer(device changelog.DeviceID) {
	if device != p.segment.Author && device != (changelog.DeviceID{}) {
		p.references[device] = 0 // numbered by planDevices
	}
}

// planDevices numbers the devices: the author, then all others by rising id.
func (p *plan) planDevices() error {
	p.devices = slices.SortedFunc(maps.Keys(p.references), func(a, b changelog.DeviceID) int {
		return bytes.Compare(a[:], b[:])
	})
	p.devices = slices.Insert(p.devices, 0, p.segment.Author)
	if len(p.devices) > maxDevices {
		return fmt.Errorf("%d devices: %w", len(p.devices), ErrTooLarge)
	}
	for i, device := range p.devices {
		p.references[device] = uint64(i) + 1
	}
	p.references[changelog.DeviceID{}] = 0 // no device
	p.size += len(p.devices) * deviceSize
	return nil
}
