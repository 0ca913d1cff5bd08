package segment

import (
	"encoding/binary"

	"github.com/sqlitesync/go/changelog"
)

// A group (FORMAT.md, section 8.7) is a run of changes of one shape, column by
// column. This file writes and reads one.

// appendGroup appends rows, which have the shape with this index.
func (p *plan) appendGroup(b []byte, index int, rows []*changelog.Change) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(index))
	b = binary.AppendUvarint(b, uint64(len(rows)))
	b = p.appendStamps(b, rows)
	shape := rows[0].Shape
	if shape.Kind != changelog.Delete {
		b = p.appendBirths(b, rows)
	}
	// Rows lie apart in memory; a column gathered once is walked through twice.
	column := make([]changelog.Value, len(rows))
	write := func(key bool) error {
		var bad int
		var err error
		if b, bad, err = appendColumn(b, column, key); err != nil {
			return &ChangeError{p.indexOf(rows[bad]), err}
		}
		return nil
	}
	for k := range shape.Key {
		for i, row := range rows {
			column[i] = row.Key[k]
		}
		if err := write(true); err != nil {
			return nil, err
		}
	}
	for k := range shape.Columns {
		for i, row := range rows {
			column[i] = row.Values[k]
		}
		if err := write(false); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// indexOf returns the index of a change in the segment.
func (p *plan) indexOf(c *changelog.Change) int {
	for i := range p.segment.Changes {
		if &p.segment.Changes[i] == c {
			return i
		}
	}
	return -1
}

func (p *plan) appendStamps(b []byte, rows []*changelog.Change) []byte {
	last := int64(0)
	for _, row := range rows {
		b = binary.AppendVarint(b, row.Stamp.Time-last)
		last = row.Stamp.Time
	}
	for _, row := range rows {
		b = p.appendReference(b, row.Stamp.Device)
	}
	for _, row := range rows {
		b = binary.AppendUvarint(b, row.Stamp.Batch)
	}
	return b
}

func (p *plan) appendBirths(b []byte, rows []*changelog.Change) []byte {
	for _, row := range rows {
		flag := byte(birthFollows)
		if row.Birth == row.Stamp {
			flag = birthIsStamp
		}
		b = append(b, flag)
	}
	for _, row := range rows {
		if row.Birth != row.Stamp {
			b = binary.AppendUvarint(b, uint64(row.Birth.Time))
			b = p.appendReference(b, row.Birth.Device)
			b = binary.AppendUvarint(b, row.Birth.Batch)
		}
	}
	return b
}

func (p *plan) appendReference(b []byte, device changelog.DeviceID) []byte {
	if device == p.segment.Author { // nearly always
		return append(b, referenceToAuthor)
	}
	return binary.AppendUvarint(b, p.references[device])
}

// group reads a group. It returns the index of its shape and its rows.
func (d *decoder) group() (index int, rows []changelog.Change) {
	if v := d.uvarint(); v < uint64(len(d.shapes)) {
		index = int(v)
	} else {
		d.fail("unknown shape")
		return 0, nil
	}
	shape := d.shapes[index]
	width := len(shape.Key) + len(shape.Columns)
	n := d.count(maxGroup, 3+width) // a byte for each of the stamp's parts, a kind for each value
	d.rows += n
	d.values += n * width
	switch {
	case d.err != nil:
		return 0, nil
	case n == 0:
		d.fail("group without rows")
		return 0, nil
	case d.rows > maxRows:
		d.fail("too many rows")
		return 0, nil
	case d.values > maxValues:
		d.fail("too many values")
		return 0, nil
	}
	rows = make([]changelog.Change, n)
	cells := make([]changelog.Value, n*width)
	for i := range rows {
		row := cells[i*width : (i+1)*width]
		rows[i].Shape = shape
		rows[i].Key = changelog.Key(row[:len(shape.Key):len(shape.Key)])
		if len(shape.Columns) > 0 {
			rows[i].Values = row[len(shape.Key):width:width]
		}
	}
	d.stamps(rows)
	if shape.Kind != changelog.Delete {
		d.births(rows)
	}
	for k := range width {
		d.column(cells[k:], width, n, k < len(shape.Key))
	}
	return index, rows
}

func (d *decoder) stamps(rows []changelog.Change) {
	last := int64(0)
	for i := range rows {
		last += d.varint()
		rows[i].Stamp.Time = last
	}
	for i := range rows {
		rows[i].Stamp.Device = d.device()
	}
	for i := range rows {
		stamp := &rows[i].Stamp
		stamp.Batch = d.uvarint()
		if fault := stampFault(*stamp); fault != "" {
			d.fail(fault)
		}
		if stamp.Device == d.segment.Author && !d.segment.holds(stamp.Batch) {
			d.fail("author's stamp names no batch of the segment")
		}
		if d.err != nil {
			return
		}
	}
}

func (d *decoder) births(rows []changelog.Change) {
	flags := d.take(len(rows))
	for i, flag := range flags {
		row := &rows[i]
		switch flag {
		case birthIsStamp:
			row.Birth = row.Stamp
			continue
		case birthFollows:
			row.Birth.Time = d.time()
			row.Birth.Device = d.device()
			row.Birth.Batch = d.uvarint()
		default:
			d.fail("unknown byte for a birth")
		}
		if fault := birthFault(row.Birth, row.Stamp); fault != "" {
			d.fail(fault)
		}
		if row.Birth == row.Stamp {
			d.fail("birth follows that is the stamp")
		}
		if d.err != nil {
			return
		}
	}
}
