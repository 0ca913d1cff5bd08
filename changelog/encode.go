package changelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// AppendChange appends c in the form in which changes are kept in local tables
// (held rows, conflicts). It is not the form in which they travel.
func AppendChange(b []byte, c *Change) []byte {
	b = c.Shape.Append(b)
	for _, stamp := range []Stamp{c.Stamp, c.Birth} {
		b = binary.AppendVarint(b, stamp.Time)
		b = append(b, stamp.Device[:]...)
		b = binary.AppendUvarint(b, stamp.Batch)
	}
	for _, v := range c.Key {
		b = AppendValue(b, v)
	}
	for _, v := range c.Values {
		b = AppendValue(b, v)
	}
	return b
}

// errDamaged is for bytes that AppendChange did not write.
var errDamaged = errors.New("stored change is damaged")

// ParseChange reads what AppendChange wrote, and nothing else: there is one
// encoding of each change.
func ParseChange(encoded []byte) (*Change, error) {
	shape, rest, err := parseShape(encoded)
	if err != nil {
		return nil, err
	}
	p := parser{rest: rest}
	c := &Change{Shape: shape, Stamp: p.stamp(), Birth: p.stamp()}
	for range shape.Key {
		c.Key = append(c.Key, p.value())
	}
	for range shape.Columns {
		c.Values = append(c.Values, p.value())
	}
	if p.failed || !bytes.Equal(AppendChange(nil, c), encoded) {
		return nil, errDamaged
	}
	return c, nil
}

// parseShape reads what Shape.Append wrote, and returns what follows it.
func parseShape(b []byte) (*Shape, []byte, error) {
	p := parser{rest: b}
	kind := Kind(p.byte())
	table := p.text()
	key := p.texts()
	columns := p.texts()
	if p.failed || kind > Partial {
		return nil, nil, errDamaged
	}
	return NewShape(kind, table, key, columns), p.rest, nil
}

// parser reads from the front of rest. After a failure it yields zero values.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) take(n uint64) []byte {
	if p.failed || n > uint64(len(p.rest)) {
		p.failed = true
		return nil
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.failed = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 {
		p.failed = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) text() string { return string(p.take(p.uvarint())) }

func (p *parser) texts() []string {
	n := p.uvarint()
	if n > uint64(len(p.rest)) { // each takes a byte at least
		p.failed = true
		return nil
	}
	var texts []string
	for range n {
		texts = append(texts, p.text())
	}
	return texts
}

func (p *parser) stamp() Stamp {
	s := Stamp{Time: p.varint()}
	copy(s.Device[:], p.take(uint64(len(s.Device))))
	s.Batch = p.uvarint()
	return s
}

func (p *parser) value() Value {
	switch p.byte() {
	case KindNull:
		return nil
	case KindInteger:
		return p.varint()
	case KindReal:
		if b := p.take(8); b != nil {
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	case KindText:
		return p.text()
	case KindBlob:
		return append([]byte{}, p.take(p.uvarint())...)
	default:
		p.failed = true
	}
	return nil
}
