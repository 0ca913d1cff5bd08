package segment

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Decode returns what body says. The author and the numbers of its first and
// last batch are those of the segment's signed header. Changes stand in the
// order of their groups.
//
// Any error wraps [ErrDamaged]. Decode takes exactly the bytes that [Encode]
// makes: Encode of what it returns is body.
//
// The pieces and BLOB values of the result are parts of body, which must not
// be altered any more, and all its TEXT values are parts of one string. So one
// value that is kept keeps the whole in memory: clone what outlives the merge.
func Decode(body []byte, author changelog.DeviceID, first, last uint64) (*Segment, error) {
	d := &decoder{
		reader:  reader{body: body},
		segment: &Segment{Author: author, First: first, Last: last},
	}
	if fault := rangeFault(author, first, last); fault != "" {
		return nil, fmt.Errorf("decode: %w: header: %s", ErrDamaged, fault)
	}
	if len(body) > MaxBody {
		return nil, fmt.Errorf("decode: %w: body: length above its limit", ErrDamaged)
	}
	for _, part := range []struct {
		name string
		read func()
	}{
		{"horizon", d.readHorizon},
		{"devices", d.readDevices},
		{"batches", d.readBatches},
		{"pieces", d.readPieces},
		{"shapes", d.readShapes},
		{"groups", d.readGroups},
		{"end", d.readEnd},
	} {
		d.part = part.name
		if part.read(); d.err != nil {
			return nil, d.err
		}
	}
	return d.segment, nil
}

// A decoder reads the parts of a body, which stand in the order in which its
// methods are called.
type decoder struct {
	reader
	segment *Segment

	devices  []changelog.DeviceID // what a reference k means stands at k; the first is no device
	referred []bool               // as devices
	shapes   []*changelog.Shape
	rows     int // in all groups so far
	values   int // the same, keys included
}

func (d *decoder) readHorizon() {
	if d.uvarint() != 0 {
		d.fail("not 0")
	}
}

func (d *decoder) readDevices() {
	n := d.count(maxDevices, deviceSize)
	d.devices = make([]changelog.DeviceID, 1, n+1)
	for range n {
		var id changelog.DeviceID
		copy(id[:], d.take(deviceSize))
		switch i := len(d.devices); {
		case i == 1 && id != d.segment.Author:
			d.fail("the first is not the author")
		case i > 1 && id == d.segment.Author:
			d.fail("author stands twice")
		case i > 1 && id == changelog.DeviceID{}:
			d.fail("id of zeros")
		case i > 2 && bytes.Compare(id[:], d.devices[i-1][:]) <= 0:
			d.fail("not in order")
		}
		if d.err != nil {
			return
		}
		d.devices = append(d.devices, id)
	}
	if n == 0 {
		d.fail("no author")
		return
	}
	d.referred = make([]bool, len(d.devices))
}

// device reads a device reference.
func (d *decoder) device() changelog.DeviceID {
	return d.devices[d.reference()]
}

func (d *decoder) reference() int {
	v := d.uvarint()
	if v >= uint64(len(d.devices)) {
		d.fail("reference to an unknown device")
		return 0
	}
	d.referred[v] = true
	return int(v)
}

func (d *decoder) readBatches() {
	s := d.segment
	n := d.count(MaxBatches, 3)
	if n == 0 {
		d.fail("none")
		return
	}
	s.Batches = make([]Batch, n)
	number := s.First
	var seen changelog.Vector
	total := 0
	for i := range s.Batches {
		step := d.uvarint()
		if step > s.Last-number {
			d.fail("number above the segment's last")
		}
		if i > 0 && step == 0 {
			d.fail("number stands twice")
		}
		number += step
		flags := d.byte()
		if flags&^flagContinued != 0 {
			d.fail("unknown flag")
		}
		if seen == nil {
			seen = make(changelog.Vector)
		} else {
			seen = maps.Clone(seen)
		}
		d.seen(seen)
		if total += len(seen); total > MaxSeen {
			d.fail("too many entries of seen vectors")
		}
		if d.err != nil {
			return
		}
		s.Batches[i] = Batch{Number: number, Continued: flags == flagContinued, Seen: seen}
	}
}

// seen reads a seen vector as what differs from the one that v has.
func (d *decoder) seen(v changelog.Vector) {
	last := referenceToAuthor
	for range d.count(maxDevices, 2) {
		reference := d.reference()
		batch := d.uvarint()
		device := d.devices[reference]
		switch {
		case reference <= last:
			d.fail("seen vector not in order, or with no device or the author")
		case batch >= endOfBatches:
			d.fail("batch of a seen vector out of range")
		case batch == v[device]:
			d.fail("entry of a seen vector that says nothing new")
		}
		if d.err != nil {
			return
		}
		last = reference
		if batch == 0 {
			delete(v, device)
		} else {
			v[device] = batch
		}
	}
}

func (d *decoder) readPieces() {
	n := d.count(MaxBody, 32+1+1+1) // only the body bounds their number
	if n == 0 {
		return
	}
	d.segment.Pieces = make([]Piece, n)
	for i := range d.segment.Pieces {
		p := &d.segment.Pieces[i]
		copy(p.Hash[:], d.take(len(p.Hash)))
		p.Offset = d.uvarint()
		p.Bytes = d.take(d.length(MaxValue))
		if fault := pieceFault(p.Offset, uint64(len(p.Bytes))); fault != "" {
			d.fail(fault)
		}
		if d.err != nil {
			return
		}
	}
}

func (d *decoder) readShapes() {
	n := d.count(maxShapes, 6)
	d.shapes = make([]*changelog.Shape, 0, n)
	different := make(map[string]struct{}, n)
	names := 0
	for range n {
		start := d.pos
		shape := d.shape()
		if d.err != nil {
			return
		}
		different[string(d.body[start:d.pos])] = struct{}{}
		if names += namesIn(shape); names > maxNames {
			d.fail("too many names")
			return
		}
		d.shapes = append(d.shapes, shape)
	}
	if len(different) < len(d.shapes) {
		d.fail("shape stands twice")
	}
}

func (d *decoder) shape() *changelog.Shape {
	s := &changelog.Shape{Kind: changelog.Kind(d.byte()), Table: d.string(d.length(maxName))}
	s.Key = d.names(maxKeyColumns)
	s.Columns = d.names(maxColumns)
	if d.err != nil {
		return nil
	}
	if fault := shapeFault(s); fault != "" {
		d.fail(fault)
		return nil
	}
	// NewShape copies the names, so that a shape that a reader keeps does not
	// keep the body.
	return changelog.NewShape(s.Kind, s.Table, s.Key, s.Columns)
}

func (d *decoder) names(limit int) []string {
	names := make([]string, d.count(limit, 1))
	for i := range names {
		names[i] = d.string(d.length(maxName))
	}
	return names
}

func (d *decoder) readGroups() {
	count := d.count(maxShapes+maxRows/maxGroup, 2+4)
	groups := make([][]changelog.Change, 0, count)
	next := 0 // the shape that comes next
	for i := range count {
		index, rows := d.group()
		if d.err != nil {
			return
		}
		more := index == next-1 && len(groups[i-1]) == maxGroup
		if index != next && !more {
			d.fail("not in order")
			return
		}
		next = index + 1
		groups = append(groups, rows)
	}
	if next < len(d.shapes) {
		d.fail("shape without a group")
		return
	}
	if len(groups) == 1 {
		d.segment.Changes = groups[0] // spares a copy
	} else {
		d.segment.Changes = slices.Concat(groups...)
	}
	if d.segment.First == d.segment.Last && repeated(d.segment.Changes) >= 0 {
		d.fail("row stands twice in one batch")
	}
}

func (d *decoder) readEnd() {
	if d.rest() > 0 {
		d.fail("bytes left over")
	}
	for _, referred := range d.referred[referenceToAuthor+1:] {
		if !referred {
			d.fail("device that nothing refers to")
		}
	}
}
