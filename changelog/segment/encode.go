package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Encode returns the body of s. Changes are grouped by shape, in the order in
// which the shapes first appear; inside a group they keep their order.
//
// An error wraps [ErrTooLarge] if s exceeds a limit. Any other one means that s
// says what no segment may say, such as a row twice in a single batch; what is
// wrong with one change comes as a [ChangeError].
func Encode(s *Segment) ([]byte, error) {
	p, err := newPlan(s)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	b, err := p.append(make([]byte, 0, min(p.size, MaxBody)))
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if len(b) > MaxBody {
		return nil, fmt.Errorf("encode: body of %d bytes: %w", len(b), ErrTooLarge)
	}
	if s.First == s.Last {
		if i := repeated(s.Changes); i >= 0 {
			return nil, fmt.Errorf("encode: %w", &ChangeError{i, errors.New("row stands twice in one batch")})
		}
	}
	return b, nil
}

// append appends the body, part by part in the order of FORMAT.md, section 8.2.
func (p *plan) append(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, 0) // horizon
	b = binary.AppendUvarint(b, uint64(len(p.devices)))
	for _, device := range p.devices {
		b = append(b, device[:]...)
	}
	b = p.appendBatches(b)
	b = binary.AppendUvarint(b, uint64(len(p.segment.Pieces)))
	for _, piece := range p.segment.Pieces {
		b = append(b, piece.Hash[:]...)
		b = binary.AppendUvarint(b, piece.Offset)
		b = binary.AppendUvarint(b, uint64(len(piece.Bytes)))
		b = append(b, piece.Bytes...)
	}
	b = binary.AppendUvarint(b, uint64(len(p.groups)))
	groups := 0
	for _, g := range p.groups {
		b = append(b, g.encoded...)
		groups += (len(g.rows) + maxGroup - 1) / maxGroup
	}
	b = binary.AppendUvarint(b, uint64(groups))
	for i, g := range p.groups {
		for rows := range slices.Chunk(g.rows, maxGroup) {
			var err error
			if b, err = p.appendGroup(b, i, rows); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func (p *plan) appendBatches(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(p.segment.Batches)))
	before := p.segment.First
	for i, batch := range p.segment.Batches {
		b = binary.AppendUvarint(b, batch.Number-before)
		before = batch.Number
		flags := byte(0)
		if batch.Continued {
			flags = flagContinued
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(len(p.seen[i])))
		for _, entry := range p.seen[i] {
			b = binary.AppendUvarint(b, p.references[entry.device])
			b = binary.AppendUvarint(b, entry.batch)
		}
	}
	return b
}
